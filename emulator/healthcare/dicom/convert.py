"""From the raw elements of one instance to its DICOM JSON, its BigQuery row and the shape of that row.

Every element is converted once; the results of short values are remembered, because the instances of a series differ
in few of them.

What BigQuery takes follows "Understanding the BigQuery DICOM schema"; what DICOM JSON looks like, DICOM PS3.18 Annex F;
which values are bulk data, Google's DICOM conformance statement. Where exported rows that people published differ from
the pages, the rows are followed: those of the table DICOM_METADATA of the Imaging Data Commons
(xlang-ai/Spider2, spider2-snow/resource/databases/IDC/IDC_V17, exported in November 2023).
"""

from __future__ import annotations

import base64
import json
import math
import re
from functools import cache, lru_cache
from json.encoder import encode_basestring as quoted
from typing import Any, NamedTuple

from pydicom.datadict import private_dictionary_VR

from . import values as read
from .columns import DEEPEST, LARGEST_VALUE, PIXELS, Column, column_for, dictionary_vr
from .elements import DEEPEST_SEQUENCE, Elements, NestedTooDeeplyError, items_of, raw_value

_MEMORY_LIMIT = 50_000
_REMEMBERED_VALUE = 256
_REMEMBERED_SEQUENCE = 2048
#: Bulk data by the conformance statement: these VRs always, those above 2 KiB, those with more than 512 values.
_BULK = frozenset({"OB", "OW", "UN"})
_BULK_ABOVE_2K = frozenset({"OD", "OF", "OL", "OV"})
_BULK_MANY_VALUES = frozenset({"AT", "FD", "FL", "UL", "US", "SV", "UV"})
_KNOWN_VRS = (
    read.ASCII_VRS | read.TEXT_VRS | read.LONG_TEXT_VRS | read.BINARY_VRS | {"UR", "AT", "SQ"} | set(read.NUMBER_VRS)
)
_HEADER_VERSION = 0x00020001
_TIMEZONE = 0x00080201
_CHARSET = 0x00080005
_SIGNED = 0x00280103
_DECIMAL = re.compile(r"[0-9+\-.eE]+")


class Entry(NamedTuple):
    """What one element contributes.

    Attributes:
        meta: member of the DICOM JSON object; empty if there is none.
        row: member of the BigQuery row; empty if there is none.
        token: number of the column's description; -1 if there is no column.
        listed: ``(column, first, second)`` for columns that gather several elements, with the JSON values of the item's
            two fields; None for others.
        dropped: items of ``DroppedTags``, joined by commas.
    """

    meta: str = ""
    row: str = ""
    token: int = -1
    listed: tuple[str, str, str] | None = None
    dropped: str = ""


class Converted(NamedTuple):
    """A data set: JSON members by tag, members of the row, numbers of its columns, dropped items."""

    meta: list[str]
    row: list[str]
    tokens: tuple[int, ...]
    dropped: list[str]


#: ``(class, tag, name, type, repeated, children)``; children are numbers of descriptions. Classes order the columns:
#: 0 standard elements, 1 private sequences, 2 OtherElements, 3 DroppedTags.
Description = tuple[int, int, str, str, bool, tuple[int, ...]]

_descriptions: list[Description] = []
_numbers: dict[Description, int] = {}


def _token(description: Description) -> int:
    number = _numbers.get(description)
    if number is None:
        number = _numbers[description] = len(_descriptions)
        _descriptions.append(description)
    return number


_ITEM = '{{"{}":{},"{}":{}}}'
OTHER_ELEMENTS = _token((2, 0, "OtherElements", "OTHER", True, ()))
DROPPED_TAGS = _token((3, 0, "DroppedTags", "DROPPED", True, ()))


def described(tokens: tuple[int, ...]) -> list[list[Any]]:
    """The descriptions of columns with their children, as JSON."""
    return [[*_descriptions[n][:5], described(_descriptions[n][5])] for n in tokens]


class Context:
    """How the bytes of a data set are to be read, and what was learnt so far about values read that way.

    Args:
        encodings: Python codecs of the Specific Character Set.
        little: little endian.
        implicit: implicit VR.
        signed: Pixel Representation is 1: ambiguous VRs are SS.
        offset: Timezone Offset From UTC, or empty.
    """

    def __init__(self, encodings: tuple[str, ...], little: bool, implicit: bool, signed: bool, offset: str) -> None:
        self.encodings = encodings
        self.little = little
        self.implicit = implicit
        self.signed = signed
        self.offset = offset
        self.memory: dict[tuple[Any, ...], Entry] = {}

    def inside(self, elements: Elements, *, implicit: bool, little: bool) -> Context:
        """The context of a sequence item, which may have a character set of its own."""
        encodings = self.encodings
        if _CHARSET in elements:
            encodings = read.encodings_of(raw_value(elements, _CHARSET))
        if encodings == self.encodings and implicit == self.implicit and little == self.little:
            return self
        return context(encodings, little, implicit, self.signed, self.offset)


@lru_cache(maxsize=64)
def context(encodings: tuple[str, ...], little: bool, implicit: bool, signed: bool, offset: str) -> Context:
    """The context with these properties; always the same object."""
    return Context(encodings, little, implicit, signed, offset)


def context_of(elements: Elements, *, implicit: bool, little: bool) -> Context:
    """The context of an instance's main data set."""
    offset = raw_value(elements, _TIMEZONE).decode("ascii", "replace").strip("\0 ")
    signed = raw_value(elements, _SIGNED)[:2] == (b"\1\0" if little else b"\0\1")
    return context(read.encodings_of(raw_value(elements, _CHARSET)), little, implicit, signed, offset)


def convert(
    elements: Elements,
    ctx: Context,
    wanted: dict[int, str] | None = None,
    path: str = "",
    level: int = 0,
) -> Converted:
    """Convert a data set.

    Args:
        elements: by tag.
        ctx: how to read them.
        wanted: takes the JSON members of the tags that are its keys already.
        path: where the data set is: sequence tags and item numbers, each followed by a period; empty at the top.
        level: how many BigQuery records enclose it.

    Raises:
        NestedTooDeeplyError: there are too many sequences within sequences.
    """
    meta: list[str] = []
    row: list[str] = []
    tokens: list[int] = []
    dropped: list[str] = []
    lists: dict[str, list[tuple[str, str]]] = {}
    memory = ctx.memory
    if len(memory) > _MEMORY_LIMIT:
        memory.clear()
    recall = memory.get
    for tag in sorted(elements):
        vr, value = elements[tag]
        if tag & 0x10000 and (vr is None or vr == "UN"):
            vr = private_vr(elements, tag, vr)
        if type(value) is list:
            entry: Entry | None = _sequence(ctx, tag, value, path, level)
        else:
            # Where a value is matters to its bulk data address and to how deep its records are.
            key = (tag, vr, value, path) if path else (tag, vr, value)
            entry = recall(key)
            if entry is None:
                entry = _convert(ctx, tag, vr, value, path, level)  # type: ignore[arg-type]
                size = 0 if value is None else len(value)
                if size <= _REMEMBERED_VALUE or (vr == "SQ" and size <= _REMEMBERED_SEQUENCE):
                    memory[key] = entry
        text, cell, token, one, left_out = entry  # type: ignore[misc]
        if text:
            meta.append(text)
            if wanted is not None and tag in wanted:
                wanted[tag] = text
        if cell:
            row.append(cell)
        if token >= 0:
            tokens.append(token)
        if one is not None:
            lists.setdefault(one[0], []).append(one[1:])
        if left_out:
            dropped.append(left_out)
    for name, items in lists.items():
        if name != "OtherElements":
            row.append(f'"{name}":[{",".join(_ITEM.format("Id", one, "Value", two) for one, two in items)}]')
            continue
        tokens.append(OTHER_ELEMENTS)
        if path:
            row.append(f'"{name}":[{",".join(_ITEM.format("Tag", one, "Data", two) for one, two in items)}]')
        else:
            # By field instead of by item: BigQuery's loader takes a long list three times as fast that way.
            ones, twos = zip(*items, strict=True)
            row.append(f'"{name}":{{"Tag":[{",".join(ones)}],"Data":[{",".join(twos)}]}}')
    return Converted(meta, row, tuple(dict.fromkeys(tokens)), dropped)


def _convert(ctx: Context, tag: int, vr: str | None, value: bytes | None, path: str, level: int) -> Entry:
    """The contribution of an element that is not a parsed sequence; ``value`` None: it was too large to be read."""
    if tag & 0xFFFF == 0 or tag == _HEADER_VERSION or tag >> 16 in (0, 0xFFFE):
        # Neither group lengths nor the version of the file meta information are in exported rows or metadata. Commands
        # (DICOM PS3.7) and stray items and delimiters (PS3.5 7.5) are no elements of a data set.
        return Entry()
    implicit, little = ctx.implicit or vr is None, ctx.little
    if vr is None:
        vr = dictionary_vr(tag)
    elif vr == "UN" and not tag & 0x10000:
        # An unknown VR hides an element that the dictionary knows; such values are implicit VR little endian.
        known = dictionary_vr(tag)
        if known != "UN":
            vr, implicit, little = known, True, True
    vr = one_vr(vr, signed=ctx.signed)
    if vr not in _KNOWN_VRS:
        vr = "UN"
    if tag in PIXELS and not path:
        # They are in no metadata, and every exported row of an image lists them as dropped, whatever their size.
        return Entry(dropped=_dropped(tag, path))
    if vr == "SQ":
        if value is None or len(value) >= LARGEST_VALUE:
            return Entry()
        try:
            items = items_of(value, implicit=implicit, little=little, encodings=ctx.encodings)
        except NestedTooDeeplyError:
            raise
        except (OSError, ValueError, EOFError):
            return Entry(meta=f'"{tag:08X}":{{"vr":"SQ"}}', dropped=_dropped(tag, path))
        return _sequence(ctx, tag, items, path, level, implicit=implicit, little=little)
    column = column_for(tag)
    if value is None or len(value) > LARGEST_VALUE:
        # "Exporting DICOM metadata to BigQuery": beyond about 1 MB tags are excluded entirely, not listed as dropped.
        return Entry(meta=_bulk(tag, vr, path))
    if vr in read.BINARY_VRS:
        if not value:
            return Entry(meta=f'"{tag:08X}":{{"vr":"{vr}"}}')
        if vr in _BULK or len(value) > 2048:
            meta = _bulk(tag, vr, path)
        else:
            meta = f'"{tag:08X}":{{"vr":"{vr}","InlineBinary":"{base64.b64encode(value).decode()}"}}'
        return Entry(meta=meta, dropped=_dropped(tag, path))
    try:
        found: list[Any]
        if vr in read.NUMBER_VRS:
            found = list(read.number_values(vr, value, little=little))
        elif vr == "AT":
            found = list(read.tag_values(value, little=little))
        else:
            found = list(read.text_values(vr, value, ctx.encodings))
    except ValueError:
        return Entry(meta=f'"{tag:08X}":{{"vr":"{vr}"}}', token=_leaf(column, level), dropped=_dropped(tag, path))
    if vr in _BULK_MANY_VALUES and len(found) > 512:
        return Entry(meta=_bulk(tag, vr, path), dropped=_dropped(tag, path))
    return _placed(ctx, column, vr, found, _json_member(tag, vr, found), path, level)


def _placed(ctx: Context, column: Column, vr: str, found: list[Any], meta: str, path: str, level: int) -> Entry:
    """Values in their column."""
    tag = column.tag
    if column.private:
        return _other(tag, vr, found, meta, path, level)
    token = _leaf(column, level)
    if token < 0 or column.type == "SQ":
        # No column for this tag, or a value where the dictionary has a sequence.
        return _other(tag, vr, found, meta, path, level) if found else Entry(meta=meta)
    if not found:
        return Entry(meta=meta, token=token)
    try:
        if not column.repeated and len(found) > 1:
            raise ValueError("several values where the dictionary has one")
        texts = [_cell(ctx, column.type, value) for value in found if value != "" or column.type == "STRING"]
    except (ValueError, OverflowError, TypeError):
        return _other(tag, vr, found, meta, path, level)._replace(token=token)
    if column.repeated:
        cell = f"[{','.join(texts)}]"
    elif texts:
        cell = texts[0]
    else:
        return Entry(meta=meta, token=token)
    if column.group:
        return Entry(meta=meta, token=token, listed=(column.name, f'"{column.group}"', cell))
    return Entry(meta=meta, row=f'"{column.name}":{cell}', token=token)


def _other(tag: int, vr: str, found: list[Any], meta: str, path: str, level: int) -> Entry:
    """Values without a column of their own: private elements, and standard ones that fit none.

    Exported rows have both there: tags that the service's dictionary did not know, and a name of carets alone.
    """
    if level + 1 > DEEPEST:
        return Entry(meta=meta, dropped=_dropped(tag, path))
    data = ",".join(quoted(f"{value:08X}" if vr == "AT" else read.to_string(value, vr)) for value in found)
    return Entry(meta=meta, listed=("OtherElements", f'"Tag_{tag:08X}"', f"[{data}]"))


def _cell(ctx: Context, kind: str, value: Any) -> str:
    """A value as the JSON of a cell.

    Raises:
        ValueError: it does not fit the type.
    """
    match kind:
        case "STRING":
            return quoted(read.to_string(value))
        case "INTEGER":
            return str(read.to_integer(value))
        case "FLOAT":
            number = read.to_float(value)
            return repr(number) if isinstance(number, float) else f'"{number}"'
        case "DATE":
            return f'"{read.bigquery_date(value)}"'
        case "TIME":
            return f'"{read.bigquery_time(value)}"'
        case "TIMESTAMP":
            return f'"{read.bigquery_timestamp(value, ctx.offset)}"'
        case _:
            if not isinstance(value, str) or not value.strip("^= "):
                raise ValueError("no person name")
            return json.dumps(read.name_record(value), ensure_ascii=False, separators=(",", ":"))


def _leaf(column: Column, level: int) -> int:
    """The number of a column that is no sequence; -1 if there is no such column at this depth."""
    records = level + (2 if column.type == "PN" else 0) + (1 if column.group else 0)
    if not column.type or column.type == "SQ" or records > DEEPEST or (column.group and column.type == "PN"):
        return -1
    kind = f"GROUP:{column.type}" if column.group else column.type
    return _token((0, column.place, column.name, kind, column.repeated, ()))


def _sequence(
    ctx: Context,
    tag: int,
    items: list[Elements],
    path: str,
    level: int,
    *,
    implicit: bool | None = None,
    little: bool | None = None,
) -> Entry:
    """The contribution of a sequence."""
    if path.count(".") // 2 >= DEEPEST_SEQUENCE:
        raise NestedTooDeeplyError(f"sequences are nested more than {DEEPEST_SEQUENCE} levels deep")
    column = column_for(tag)
    metas: list[str] = []
    rows: list[str] = []
    dropped: list[str] = []
    tokens: list[tuple[int, ...]] = []
    for number, elements in enumerate(items):
        inner = ctx.inside(
            elements,
            implicit=ctx.implicit if implicit is None else implicit,
            little=ctx.little if little is None else little,
        )
        one = convert(elements, inner, None, f"{path}{tag:08X}.{number}.", level + 1)
        metas.append(f"{{{','.join(one.meta)}}}")
        rows.append(f"{{{','.join(one.row)}}}")
        tokens.append(one.tokens)
        dropped += one.dropped
    if sum(map(len, metas)) >= LARGEST_VALUE:
        return Entry()
    meta = f'"{tag:08X}":{{"vr":"SQ","Value":[{",".join(metas)}]}}' if metas else f'"{tag:08X}":{{"vr":"SQ"}}'
    usable = column.private or column.type == "SQ"
    if level + 1 > DEEPEST or not usable or column.group:
        return Entry(meta=meta, dropped=_dropped(tag, path) if metas else "")
    children = merged(tokens)
    if not children:
        # BigQuery has no records without fields: a sequence of empty items makes no column.
        return Entry(meta=meta, dropped=",".join(dropped))
    token = _token((1 if column.private else 0, tag, column.name, "SQ", True, children))
    return Entry(meta=meta, row=f'"{column.name}":[{",".join(rows)}]', token=token, dropped=",".join(dropped))


@lru_cache(maxsize=10_000)
def _merged(several: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
    by_place: dict[tuple[int, int], Description] = {}
    for number in dict.fromkeys(number for tokens in several for number in tokens):
        new = _descriptions[number]
        old = by_place.get(new[:2])
        if old is not None and old != new:
            new = (*new[:5], merged([old[5], new[5]]))
        by_place[new[:2]] = new
    return tuple(_token(by_place[place]) for place in sorted(by_place))


def merged(several: list[tuple[int, ...]]) -> tuple[int, ...]:
    """The union of several lists of columns, in the order of columns."""
    return _merged(tuple(dict.fromkeys(several)))


def _json_member(tag: int, vr: str, found: list[Any]) -> str:
    """An element with its values as a member of a DICOM JSON object."""
    if not found:
        return f'"{tag:08X}":{{"vr":"{vr}"}}'
    if vr == "PN":
        texts = [
            json.dumps(read.name_groups(name), ensure_ascii=False, separators=(",", ":")) if name else "null"
            for name in found
        ]
    elif vr == "AT":
        texts = [f'"{number:08X}"' for number in found]
    elif vr in ("FL", "FD"):
        texts = [repr(number) if math.isfinite(number) else "null" for number in found]
    elif vr in read.NUMBER_VRS:
        texts = [str(number) for number in found]
    elif vr == "IS":
        texts = [_number_text(text, int) for text in found]
    elif vr == "DS":
        texts = [_number_text(text, float) for text in found]
    else:
        texts = [quoted(text) if text else "null" for text in found]
    return f'"{tag:08X}":{{"vr":"{vr}","Value":[{",".join(texts)}]}}'


def _number_text(text: str, kind: type[int | float]) -> str:
    """Decimal text as a JSON number; what is none stays text, which DICOM JSON allows for DS and IS."""
    if not text:
        return "null"
    if not _DECIMAL.fullmatch(text):
        return quoted(text)  # Python's numbers may have underscores and other digits
    try:
        number = kind(text)
    except ValueError:
        return quoted(text)
    return repr(number) if math.isfinite(number) else quoted(text)


def _bulk(tag: int, vr: str, path: str) -> str:
    """A member whose value is fetched by its own address; the address is completed when it is answered."""
    return f'"{tag:08X}":{{"vr":"{vr}","BulkDataURI":"bulkdata/{path.rstrip(".") or "instance"}/{tag:08X}"}}'


def _dropped(tag: int, path: str) -> str:
    """An item of ``DroppedTags``: the element's name, and the sequences that lead to it, none at the top.

    That the reference is empty at the top was seen; what it holds below is an assumption.
    """
    reference = ".".join(part for part in path.split(".")[:-1:2] if part)
    return f'{{"TagName":"{column_for(tag).name}","TagReference":"{reference}"}}'


def one_vr(vr: str, *, signed: bool) -> str:
    """One VR where the dictionary has several."""
    match vr:
        case "US or SS":
            return "SS" if signed else "US"
        case "OB or OW" | "US or OW" | "US or SS or OW":
            return "OW"
        case _:
            return vr


@cache
def _private_dictionary_vr(tag: int, creator: str) -> str | None:
    try:
        return private_dictionary_VR(tag, creator)
    except KeyError:
        return None


def private_vr(elements: Elements, tag: int, vr: str | None) -> str | None:
    """The VR of a private element whose file does not say it, from pydicom's private dictionaries."""
    if 0x10 <= tag & 0xFFFF <= 0xFF:
        return "LO"
    creator = raw_value(elements, tag & 0xFFFF0000 | (tag >> 8 & 0xFF))
    if not creator:
        return vr or "UN"
    name = creator.decode("ascii", "replace").strip("\0 ")
    found = _private_dictionary_vr(tag, name)
    return found if found is not None and found in _KNOWN_VRS else vr or "UN"
