"""The elements of a data set as plain values: by tag, the VR and the bytes, or the items of a sequence.

pydicom reads every kind of file that there is. Most are of one kind, little endian and well formed; their elements are
cut out here without making an object of each, which takes a quarter of the time. Whatever is not exactly as the
standard says (DICOM PS3.5 7) is left to pydicom.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, TypeAlias

from pydicom.dataelem import RawDataElement
from pydicom.values import convert_SQ

from .columns import FOUR_BYTE_LENGTHS, LARGEST_VALUE, PIXELS, TWO_BYTE_LENGTHS, dictionary_vr

#: VR (None: implicit) and value: bytes, None for a value that is too large to be kept, or the items of a sequence.
Element: TypeAlias = "tuple[str | None, bytes | list[Elements] | None]"
Elements: TypeAlias = dict[int, Element]

#: More elements than this, with those in sequences, make an instance unreadable.
MOST_ELEMENTS = 1_000_000
#: Sequences nested deeper than this make an instance unreadable.
DEEPEST_SEQUENCE = 64

_SHORT = {vr.encode(): vr for vr in TWO_BYTE_LENGTHS}
_LONG = {vr.encode(): vr for vr in FOUR_BYTE_LENGTHS}
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD

_explicit = struct.Struct("<HH2sH").unpack_from
_implicit = struct.Struct("<HHI").unpack_from
_length = struct.Struct("<I").unpack_from


class NestedTooDeeplyError(ValueError):
    """Sequences within sequences without end."""


class TooManyElementsError(ValueError):
    """More elements than any real instance has."""


class NotPlainError(ValueError):
    """A data set that is not as the standard says, or of a rarer kind."""


def cut(data: Any, at: int, end: int, *, implicit: bool) -> Elements:
    """The elements of a data set, little endian.

    A file may have :data:`MOST_ELEMENTS` elements, or it is no picture but an attack.

    Args:
        data: bytes, or a mapped file.
        at: where it begins.
        end: where it ends.
        implicit: implicit VR.

    Raises:
        NotPlainError: pydicom has to read it.
        TooManyElementsError: it has too many.
    """
    elements: Elements = {}
    try:
        if _cut(data, at, end, elements, implicit, 0, [MOST_ELEMENTS], inside=False) != end:
            raise NotPlainError
    except (struct.error, KeyError):
        raise NotPlainError from None
    return elements


def _cut(
    data: Any, at: int, end: int, elements: Elements, implicit: bool, depth: int, left: list[int], *, inside: bool
) -> int:
    """Cut elements until ``end``, or ``inside`` an item of undefined length until its delimiter.

    Returns:
        Where the data set ended.
    """
    if depth > DEEPEST_SEQUENCE:
        raise NestedTooDeeplyError
    last, most = -1, left[0]
    vr: str | None = None
    while at < end:
        if implicit:
            group, element, length = _implicit(data, at)
            start = at + 8
        else:
            group, element, code, length = _explicit(data, at)
            vr = _SHORT.get(code)
            if vr is None:
                if group == 0xFFFE:
                    vr, length, start = None, _length(data, at + 4)[0], at + 8
                else:
                    vr = _LONG[code]
                    length = _length(data, at + 8)[0]
                    start = at + 12
            else:
                start = at + 8
        tag = group << 16 | element
        if tag <= last:
            raise NotPlainError
        if len(elements) > most:
            raise TooManyElementsError
        last = tag
        if length == _UNDEFINED:
            if tag in PIXELS:
                at = _behind_fragments(data, start, end)
                elements[tag] = (vr or "OB", None)
                continue
            if vr != "SQ" and not (implicit and dictionary_vr(tag) == "SQ"):
                raise NotPlainError
            items: list[Elements] = []
            at = _cut_items(data, start, end, items, implicit, depth + 1, left)
            elements[tag] = ("SQ", items)
            continue
        if group == 0xFFFE:
            if inside and tag == _ITEM_END:
                left[0] -= len(elements) + 1
                return start
            raise NotPlainError
        at = start + length
        if tag in PIXELS:
            elements[tag] = (vr or "OW", None if length else b"")
        elif length > LARGEST_VALUE and at <= end and (vr == "SQ" or (implicit and dictionary_vr(tag) == "SQ")):
            # What is too large may be the bulk data inside, which the metadata only refer to.
            inner: list[Elements] = []
            if _cut_items(data, start, at, inner, implicit, depth + 1, left, delimited=False) != at:
                raise NotPlainError
            elements[tag] = ("SQ", inner)
        elif length > LARGEST_VALUE:
            elements[tag] = (vr, None)
        else:
            elements[tag] = (vr, data[start:at])
    if inside:
        raise NotPlainError
    left[0] -= len(elements) + 1
    return at


def _cut_items(
    data: Any,
    at: int,
    end: int,
    items: list[Elements],
    implicit: bool,
    depth: int,
    left: list[int],
    *,
    delimited: bool = True,
) -> int:
    """Cut the items of a sequence, until its delimiter or ``end``; returns where it ended."""
    while delimited or at < end:
        group, element, length = _implicit(data, at)
        tag = group << 16 | element
        at += 8
        if tag == _SEQUENCE_END:
            return at
        if tag != _ITEM:
            raise NotPlainError
        if left[0] < 0:
            raise TooManyElementsError
        item: Elements = {}
        if length == _UNDEFINED:
            at = _cut(data, at, end, item, implicit, depth, left, inside=True)
        else:
            if _cut(data, at, at + length, item, implicit, depth, left, inside=False) != at + length:
                raise NotPlainError
            at += length
        items.append(item)
    return at


def _behind_fragments(data: Any, at: int, end: int) -> int:
    """Where encapsulated pixel data ends."""
    while at < end:
        group, element, length = _implicit(data, at)
        at += 8
        tag = group << 16 | element
        if tag == _SEQUENCE_END:
            return at
        if tag != _ITEM or length == _UNDEFINED:
            raise NotPlainError
        at += length
    raise NotPlainError


def items_of(value: bytes, *, implicit: bool, little: bool, encodings: tuple[str, ...]) -> list[Elements]:
    """The items of a sequence whose value was kept as bytes.

    Raises:
        ValueError, OSError, EOFError: they can't be read.
        NestedTooDeeplyError: there are too many sequences within sequences.
    """
    if little:
        items: list[Elements] = []
        at = 0
        try:
            while at < len(value):
                group, element, length = _implicit(value, at)
                if (group, element) != (0xFFFE, 0xE000):
                    raise NotPlainError
                item: Elements = {}
                stop = len(value) if length == _UNDEFINED else at + 8 + length
                at = _cut(value, at + 8, stop, item, implicit, 1, [MOST_ELEMENTS], inside=length == _UNDEFINED)
                if length != _UNDEFINED and (at != stop or at > len(value)):
                    raise NotPlainError
                items.append(item)
            return items
        except (struct.error, KeyError, NotPlainError):
            pass
    if value and not value.startswith(b"\xfe\xff\0\xe0" if little else b"\xff\xfe\xe0\0"):
        raise ValueError("no items")  # pydicom would find one without elements
    return [plain(item._dict) for item in convert_SQ(value, implicit, little, list(encodings))]  # noqa: SLF001 - see plain


def plain(elements: Mapping[Any, Any]) -> Elements:
    """Elements that pydicom read, as they were before it looked at their values.

    Args:
        elements: the mapping inside a pydicom data set, whose public face would convert every value.
    """
    found: Elements = {}
    for key in sorted(elements, key=int):
        element = elements[key]
        if type(element) is RawDataElement:
            value = element.value
            found[int(key)] = (element.VR, (b"" if element.length == 0 else None) if value is None else value)
        elif element.VR == "SQ":
            found[int(key)] = ("SQ", [plain(item._dict) for item in element.value or ()])  # noqa: SLF001 - see above
        elif isinstance(element.value, int):
            found[int(key)] = (str(element.VR), struct.pack("<I", element.value))
        else:
            texts = [element.value] if isinstance(element.value, str) else list(element.value or ())
            found[int(key)] = (str(element.VR), "\\".join(map(str, texts)).encode("ascii", "replace"))
    return found


def raw_value(elements: Elements, tag: int) -> bytes:
    """The bytes of an element's value; empty if it is missing, too large or a sequence."""
    value = elements.get(tag, ("", b""))[1]
    return value if isinstance(value, bytes) else b""
