"""Reading a DICOM file once: everything the store keeps of it beside its bytes.

What a hostile file could do is bounded here: deflated data that expands without end,
millions of tiny elements, sequences nested without end, lengths far beyond the end of the file.
"""

from __future__ import annotations

import hashlib
import json
import logging
import mmap
import re
import struct
import warnings
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from pydicom.errors import InvalidDicomError
from pydicom.filereader import data_element_generator, read_partial

from . import values as read
from .columns import FOUR_BYTE_LENGTHS, LARGEST_VALUE, PIXELS
from .convert import Context, context_of, convert, described
from .elements import Elements, NestedTooDeeplyError, NotPlainError, TooManyElementsError, cut, plain, raw_value

logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)  # its messages may contain values of patients

#: A deflated file may expand to this many bytes.
LARGEST_INFLATED = 256 * 1024 * 1024
_INFLATED_AT_ONCE = 4 * 1024 * 1024
#: Reads of a file by pydicom, which takes up to three for an element and much longer than cutting it out does.
_MOST_READS = 400_000
#: Files up to this size have too few elements to do harm; larger ones are read through a meter.
_UNMETERED = 512 * 1024
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_EXPLICIT = b"1.2.840.10008.1.2.1"
_IMPLICIT = b"1.2.840.10008.1.2"
_BIG_ENDIAN = b"1.2.840.10008.1.2.2"
#: DICOM PS3.5 9.1; components with zeros in front are met in practice, and they are kept.
_UID = re.compile(r"(?=.{1,64}\Z)[0-9]+(?:\.[0-9]+)*")
#: An integer string may have a sign (DICOM PS3.5 6.2).
_FRAMES = re.compile(r"\+?[0-9]{1,8}")
#: The form that dates had in ACR-NEMA, and that readers are to understand (DICOM PS3.5 6.2).
_OLD_DATE = re.compile(r"([0-9]{4})\.([0-9]{2})\.([0-9]{2})")
_LONG_HEADER = frozenset(FOUR_BYTE_LENGTHS)

#: Attributes that searches answer by default, by level (Google's DICOM conformance statement).
STUDY_TAGS = (
    *(0x00080005, 0x00080020, 0x00080030, 0x00080050, 0x00080056, 0x00080090, 0x00080201),
    *(0x00100010, 0x00100020, 0x00100030, 0x00100040, 0x0020000D, 0x00200010),
)
SERIES_TAGS = (0x00080005, 0x00080060, 0x00080201, 0x0008103E, 0x0020000E, 0x00400244, 0x00400245, 0x00400275)
INSTANCE_TAGS = (
    *(0x00080005, 0x00080016, 0x00080018, 0x00080056, 0x00080201),
    *(0x00200013, 0x00280008, 0x00280010, 0x00280011, 0x00280100),
)
_WANTED = frozenset((*STUDY_TAGS, *SERIES_TAGS, *INSTANCE_TAGS))

_STUDY_UID, _SERIES_UID, _SOP_UID, _SOP_CLASS = 0x0020000D, 0x0020000E, 0x00080018, 0x00080016


class BadInstanceError(Exception):
    """A file that is no DICOM instance, or none that can be stored.

    Args:
        message: what is wrong with it.
        code: number of google.rpc.Code.
        sop_class, instance: UIDs that the file has nevertheless, for telling which one it is; empty if unknown.
    """

    def __init__(self, message: str, code: int = 3, sop_class: str = "", instance: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.sop_class = sop_class
        self.instance = instance


class Record(NamedTuple):
    """What is kept of an instance.

    Attributes:
        study, series, instance: the UIDs.
        sop_class, transfer_syntax: UIDs; empty if the file does not say.
        patient_name, patient_id, accession, referring, study_date, modality: what searches compare.
        study_json, series_json, instance_json: members of the DICOM JSON objects that searches answer by default.
        metadata: the DICOM JSON object, compressed with zlib.
        metadata_size: its size in bytes before that.
        row: the members of the BigQuery row, without braces; see :func:`emulator.healthcare.schemas.whole_row`.
        shape: key of the row's columns.
        columns: those columns (see :func:`emulator.healthcare.dicom.convert.described`).
        frames: number of frames.
    """

    study: str
    series: str
    instance: str
    sop_class: str
    transfer_syntax: str
    patient_name: str
    patient_id: str
    accession: str
    referring: str
    study_date: str
    modality: str
    study_json: str
    series_json: str
    instance_json: str
    metadata: bytes
    metadata_size: int
    row: bytes
    shape: str
    columns: str
    frames: int


_shapes: dict[tuple[int, ...], tuple[str, str]] = {}


def read_instance(source: bytes | Path) -> Record:
    """Read a DICOM file.

    Args:
        source: its bytes, or where it is.

    Raises:
        BadInstanceError: with the reason why it can't be stored.
    """
    hush()
    if isinstance(source, Path):
        if source.stat().st_size == 0:
            raise BadInstanceError("empty DICOM instance found")
        with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return _guarded(mapped)
    if not source:
        raise BadInstanceError("empty DICOM instance found")
    return _guarded(source)


def hush() -> None:
    """Keep pydicom from warning about odd values: they are data here, and warnings would quote them."""
    # Again for every file: a context that restores the filters may have removed it meanwhile.
    warnings.filterwarnings("ignore", module=r"(pydicom|emulator\.healthcare\.dicom)(\..*)?$")


def _guarded(data: Any) -> Record:
    try:
        return _read(data)
    except (BadInstanceError, MemoryError):
        raise
    except InvalidDicomError:
        raise BadInstanceError("not a DICOM file: the prefix 'DICM' after the preamble is missing") from None
    except (NestedTooDeeplyError, RecursionError):
        raise BadInstanceError("the DICOM instance can't be read: sequences are nested too deeply") from None
    except TooManyElementsError:
        raise BadInstanceError("the DICOM instance can't be read: it has too many elements") from None
    except Exception as error:  # noqa: BLE001 - a damaged file makes pydicom fail in any way
        raise BadInstanceError(f"the DICOM instance can't be read: {type(error).__name__}") from None


class _Metered:
    """A file that may be read a bounded number of times."""

    def __init__(self, file: Any) -> None:
        self._read = file.read
        self.seek = file.seek
        self.tell = file.tell
        self._left = _MOST_READS

    def read(self, size: int = -1) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise TooManyElementsError
        data: bytes = self._read(size)
        return data


def _read(data: Any) -> Record:
    """Read an instance from bytes or a mapped file."""
    head = bytes(data[:4096])
    if head[128:132] != b"DICM":
        raise BadInstanceError("not a DICOM file: the prefix 'DICM' after the preamble is missing")
    start, place = end_of_header(data)
    syntax = b"" if place is None else bytes(data[place[0] : place[1]]).rstrip(b"\0 ")
    deflated = syntax == _DEFLATED
    if deflated:
        data = inflated(data, start, place)
        syntax = _EXPLICIT
    try:
        header, elements, ctx = _cut_file(data, start, syntax)
    except NotPlainError:
        header, elements, ctx = _read_with_pydicom(data)
    if deflated:
        header[0x00020010] = ("UI", _DEFLATED)
    return _record(header, elements, ctx)


def _cut_file(data: Any, start: int, syntax: bytes) -> tuple[Elements, Elements, Context]:
    """File meta information and data set of an ordinary file.

    Raises:
        NotPlainError: pydicom has to read it.
    """
    if not syntax or syntax == _BIG_ENDIAN or not syntax.startswith(b"1.2.840.10008.1.2"):
        raise NotPlainError
    implicit = syntax == _IMPLICIT
    header = cut(data, 132, start, implicit=False)
    elements = cut(data, start, len(data), implicit=implicit)
    return header, elements, context_of(elements, implicit=implicit, little=True)


def _read_with_pydicom(data: Any) -> tuple[Elements, Elements, Context]:
    """File meta information and data set of any file that pydicom understands."""
    size = len(data)
    file: Any = BytesIO(data) if isinstance(data, bytes) else data
    file.seek(0)
    if size > _UNMETERED:
        file = _Metered(file)
    seen: list[tuple[str | None, int]] = []

    def at_pixels(tag: Any, vr: str | None, length: int) -> bool:
        if tag in PIXELS:
            seen.append((vr, length))
            return True
        return False

    dataset = read_partial(file, at_pixels, defer_size=LARGEST_VALUE)
    implicit, little = dataset.original_encoding
    implicit, little = bool(implicit), little is not False
    if not dataset and not seen:
        # So pydicom answers a file that ends within an element: it has read it all, and keeps nothing.
        raise BadInstanceError("the DICOM instance can't be read: it has no elements, or ends within one")
    raw: Any = dataset._dict  # noqa: SLF001 - the public mapping would convert every value
    meta: Any = dataset.file_meta._dict  # noqa: SLF001 - the same
    elements = plain(raw)
    ctx = context_of(elements, implicit=implicit, little=little)
    if seen:
        _read_behind_pixels(file, size, elements, ctx, seen, at_pixels)
    return plain(meta), elements, ctx


def _read_behind_pixels(
    file: Any, size: int, elements: Elements, ctx: Context, seen: list[tuple[str | None, int]], stop: Any
) -> None:
    """Note the pixel data, and read the few elements that may follow it."""
    while seen:
        vr, length = seen.pop()
        start = file.tell()
        group, element = struct.unpack(f"{'<' if ctx.little else '>'}HH", file.read(4))
        header = 12 if not ctx.implicit and vr in _LONG_HEADER else 8
        kind = vr or ("OB" if length == 0xFFFFFFFF else "OW")
        elements[group << 16 | element] = (kind, None if length else b"")
        at = _end_of_fragments(file, start + header, size) if length == 0xFFFFFFFF else start + header + length
        if at + 8 > size:
            return
        file.seek(at)
        rest = data_element_generator(
            file, ctx.implicit, ctx.little, stop_when=stop, defer_size=LARGEST_VALUE, encoding=list(ctx.encodings)
        )
        elements.update(plain({raw.tag: raw for raw in rest}))


def _end_of_fragments(file: Any, at: int, size: int) -> int:
    """Where encapsulated pixel data ends: behind its sequence delimiter."""
    while at + 8 <= size:
        file.seek(at)
        group, element, length = struct.unpack("<HHI", file.read(8))
        if (group, element) != (0xFFFE, 0xE000):
            return at + 8
        at += 8 + length
    return size


def _record(header: Elements, elements: Elements, ctx: Context) -> Record:
    uids = [_text(elements, tag, ctx) for tag in (_STUDY_UID, _SERIES_UID, _SOP_UID)]
    # Type 1 in what storing answers (DICOM PS3.18 Annex I); the file meta information has it too.
    sop_class = _text(elements, _SOP_CLASS, ctx) or _text(header, 0x00020002, ctx)
    syntax = _text(header, 0x00020010, ctx)
    for name, uid in zip(("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"), uids, strict=True):
        if not uid:
            raise BadInstanceError(f"the DICOM instance has no {name}", 3, sop_class, uids[2])
        if not _UID.fullmatch(uid):
            raise BadInstanceError(f"the {name} of the DICOM instance is not a valid UID", 3, sop_class, uids[2])
    if syntax and not _UID.fullmatch(syntax):
        raise BadInstanceError("the TransferSyntaxUID of the DICOM instance is not a valid UID", 3, sop_class, uids[2])
    for tag in (_STUDY_UID, _SERIES_UID, _SOP_UID):
        vr, value = elements[tag]
        if vr not in (None, "UI"):
            elements[tag] = ("UI", value)  # it was read as one, so it is answered as one
    for tag in [tag for tag in header if tag in elements]:
        del elements[tag]  # a damaged file may repeat its header; no row has a column twice
    first = convert(header, context_of({}, implicit=False, little=True))
    wanted = dict.fromkeys(_WANTED, "")
    rest = convert(elements, ctx, wanted)
    tokens = (*first.tokens, *rest.tokens)
    shape = _shapes.get(tokens)
    if shape is None:
        columns = json.dumps(described(tokens), separators=(",", ":"))
        shape = _shapes[tokens] = (hashlib.sha256(columns.encode()).hexdigest()[:24], columns)
        if len(_shapes) > 10_000:
            _shapes.clear()
    row = [*first.row, *rest.row]
    if rest.dropped:
        row.append(f'"DroppedTags":[{",".join(rest.dropped)}]')
    # The service's answers begin with the file meta information (GoogleCloudPlatform/nodejs-docs-samples issue 1545).
    text = f"{{{','.join((*first.meta, *rest.meta))}}}".encode("utf-8", "replace")
    frames = _text(elements, 0x00280008, ctx)
    return Record(
        study=uids[0],
        series=uids[1],
        instance=uids[2],
        sop_class=sop_class,
        transfer_syntax=syntax,
        patient_name=_text(elements, 0x00100010, ctx, "PN"),
        patient_id=_text(elements, 0x00100020, ctx, "LO"),
        accession=_text(elements, 0x00080050, ctx, "SH"),
        referring=_text(elements, 0x00080090, ctx, "PN"),
        study_date=_OLD_DATE.sub(r"\1\2\3", _text(elements, 0x00080020, ctx)),
        modality=_text(elements, 0x00080060, ctx),
        study_json=",".join(wanted[tag] for tag in STUDY_TAGS if wanted[tag]),
        series_json=",".join(wanted[tag] for tag in SERIES_TAGS if wanted[tag]),
        instance_json=",".join(wanted[tag] for tag in INSTANCE_TAGS if wanted[tag]),
        metadata=zlib.compress(text, 1),
        metadata_size=len(text),
        row=",".join(row).encode("utf-8", "replace"),
        shape=shape[0],
        columns=shape[1],
        frames=int(frames) if _FRAMES.fullmatch(frames) else 1,
    )


def _text(elements: Elements, tag: int, ctx: Context, vr: str = "UI") -> str:
    """The first value of an element as text; empty if it has none."""
    value = raw_value(elements, tag)
    found = read.text_values(vr, value, ctx.encodings) if value else []
    return found[0] if found else ""


def inflated(data: Any, start: int, syntax: tuple[int, int] | None) -> bytes:
    """A deflated file as an ordinary one, as far as it may expand.

    Args:
        data: the file.
        start: where the deflated part begins.
        syntax: where its transfer syntax is.

    Raises:
        BadInstanceError: it expands to too much, or is damaged.
    """
    if syntax is None:
        raise BadInstanceError("the deflated DICOM instance has no transfer syntax")
    padded = _EXPLICIT.ljust(syntax[1] - syntax[0], b"\0")
    out = BytesIO()  # which gives its contents away without copying them
    out.write(bytes(data[: syntax[0]]) + padded + bytes(data[syntax[1] : start]))
    largest = out.tell() + LARGEST_INFLATED
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    left: bytes = bytes(data[start:])
    try:
        while not stream.eof:
            piece = stream.decompress(left, _INFLATED_AT_ONCE)
            left = stream.unconsumed_tail
            if not piece and not left:
                break  # it is cut; what is there is read
            out.write(piece)
            if out.tell() > largest:
                raise BadInstanceError(f"the deflated DICOM instance expands to more than {LARGEST_INFLATED >> 20} MiB")
    except zlib.error as error:
        raise BadInstanceError(f"the deflated DICOM instance is damaged: {error}") from None
    return out.getvalue()


def end_of_header(data: Any) -> tuple[int, tuple[int, int] | None]:
    """Where the file meta information (group 0002) ends, and where in it the transfer syntax is."""
    at, syntax, size = 132, None, len(data)
    while at + 12 <= size:
        group, element, vr, length = struct.unpack_from("<HH2sH", data, at)
        if group != 2:
            break
        start = at + 8
        if vr.decode("latin-1") in _LONG_HEADER:
            start, length = at + 12, struct.unpack_from("<I", data, at + 8)[0]
        if element == 0x0010:
            syntax = (start, start + length)
        at = start + length
    return at, syntax
