"""WADO: instances, frames, pictures, bulk data and metadata."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from starlette.responses import Response, StreamingResponse

from ...errors import ApiError, invalid, not_found
from ...routing import Routes
from ..instances import Instance, Instances
from ..names import StoreName
from .accept import BYTES, DICOM, JSON, XML, Accepted, Multipart, choose
from .common import READ, found_instances, is_number, root, store_and_path
from .native_xml import native_xml

if TYPE_CHECKING:
    from ...call import Call

routes = Routes("healthcare")
_STUDIES = "projects.locations.datasets.dicomStores.studies"
_INSTANCES = f"{_STUDIES}.series.instances"
_EXPLICIT = "1.2.840.10008.1.2.1"
_PICTURES = ("image/jpeg", "image/png")
#: Media types of frames as they are stored, by transfer syntax (DICOM PS3.18 8.7.3.3).
_STORED_FRAMES = {
    "1.2.840.10008.1.2.4.50": "image/jpeg",
    "1.2.840.10008.1.2.4.51": "image/jpeg",
    "1.2.840.10008.1.2.4.57": "image/jpeg",
    "1.2.840.10008.1.2.4.70": "image/jpeg",
    "1.2.840.10008.1.2.4.80": "image/jls",
    "1.2.840.10008.1.2.4.81": "image/jls",
    "1.2.840.10008.1.2.4.90": "image/jp2",
    "1.2.840.10008.1.2.4.91": "image/jp2",
    "1.2.840.10008.1.2.5": "image/dicom-rle",
}


@routes.method(
    f"{_STUDIES}.retrieveStudy",
    f"{_STUDIES}.series.retrieveSeries",
    f"{_INSTANCES}.retrieveInstance",
    blocking=True,
    note="transfer syntaxes: the stored one, the uncompressed ones and RLE",
)
def retrieve(call: Call) -> Response:
    """The instances of a study or series, or one instance."""
    store, number, path = store_and_path(call, READ)
    found = found_instances(call, store, number, path)
    offered = [(DICOM, True), *([(DICOM, False)] if path.instance else []), (BYTES, True)]
    form = choose(call, offered, (DICOM, True))
    if form.kind == BYTES:
        return _all_frames(call, found, form)
    syntax = form.syntax or _EXPLICIT
    # What can't be had in the wanted form has to be known before the answer begins.
    first = _contents(call, found[0], syntax)
    if not form.multipart:
        return Response(first, media_type=DICOM)
    parts = Multipart(DICOM)

    def stream() -> Iterator[bytes]:
        for index, one in enumerate(found):
            yield parts.part(f"{DICOM}; transfer-syntax={one.transfer_syntax if syntax == '*' else syntax}")
            yield first if index == 0 else _contents(call, one, syntax)
        yield parts.end()

    if syntax != "*":
        for one in found[1:]:
            if one.transfer_syntax != syntax:
                # Transcoding may fail: everything is made before anything is answered.
                return Response(b"".join(stream()), media_type=parts.content_type)
    return StreamingResponse(stream(), media_type=parts.content_type)


def _source(call: Call, one: Instance) -> bytes | FilePath:
    blobs = call.emulator.state.blobs
    path = blobs.path(one.blob)
    return blobs.read(one.blob) if path is None else path


def _contents(call: Call, one: Instance, syntax: str) -> bytes:
    """The bytes of an instance in a transfer syntax.

    Raises:
        ApiError: 406 if it can't be had in that form.
    """
    if syntax in ("*", one.transfer_syntax):
        return call.emulator.state.blobs.read(one.blob)
    from ..dicom.pixels import UnsupportedError, transcoded

    try:
        return transcoded(_source(call, one), syntax)
    except UnsupportedError as error:
        raise ApiError(406, f"instance {one.uid}: {error}") from None


def _all_frames(call: Call, found: list[Instance], form: Accepted) -> Response:
    parts = Multipart(BYTES)
    body = b""
    for one in found:
        for data, kind in _frames(call, one, None, form.syntax):
            body += parts.part(kind) + data
    return Response(body + parts.end(), media_type=parts.content_type)


@routes.method(f"{_INSTANCES}.frames.retrieveFrames", blocking=True)
def retrieve_frames(call: Call) -> Response:
    """Frames of an instance, uncompressed or as stored."""
    store, number, path = store_and_path(call, READ)
    (one,) = found_instances(call, store, number, path)
    numbers = _frame_numbers(call, one)
    stored = _STORED_FRAMES.get(one.transfer_syntax)
    offered = [(BYTES, True), (BYTES, False), *([(stored, True), (stored, False)] if stored else [])]
    form = choose(call, offered, (BYTES, True))
    syntax = "*" if form.kind == stored else form.syntax
    frames = _frames(call, one, numbers, syntax)
    if not form.multipart:
        if len(frames) != 1:
            raise ApiError(406, "several frames can only be had in parts: Accept: multipart/related")
        return Response(frames[0][0], media_type=form.kind)
    parts = Multipart(form.kind)
    body = b"".join(parts.part(kind) + data for data, kind in frames)
    return Response(body + parts.end(), media_type=parts.content_type)


def _frame_numbers(call: Call, one: Instance) -> list[int]:
    """The frames of the path.

    Raises:
        ApiError: 400 for what is no list of numbers, 404 for frames that the instance does not have.
    """
    text = call.path["framesId"]
    if not all(is_number(part) and len(part) < 9 and int(part) > 0 for part in text.split(",")):
        raise invalid(f"frames: a list of numbers from 1 is expected, not {text[:100]!r}")
    numbers = [int(part) for part in text.split(",")]
    if max(numbers) > max(1, one.frames):
        raise not_found(f"instance {one.uid} has no frame {max(numbers)}")
    return numbers


def _frames(call: Call, one: Instance, numbers: list[int] | None, syntax: str) -> list[tuple[bytes, str]]:
    """The bytes and media types of frames (None: of all).

    Raises:
        ApiError: 406 if they can't be had in the wanted transfer syntax.
    """
    from ..dicom.pixels import UnsupportedError, frame_count, open_instance, raw_frame

    if syntax not in ("", "*", _EXPLICIT, one.transfer_syntax):
        raise ApiError(406, f"frames can't be had in transfer syntax {syntax}; there are * and {_EXPLICIT}")
    as_stored = syntax in ("*", one.transfer_syntax) and syntax != ""
    stored = _STORED_FRAMES.get(one.transfer_syntax, BYTES)
    kind = f"{stored}; transfer-syntax={one.transfer_syntax}" if as_stored else f"{BYTES}; transfer-syntax={_EXPLICIT}"
    try:
        dataset = open_instance(_source(call, one))
        wanted = numbers or range(1, frame_count(dataset) + 1)
        return [(raw_frame(dataset, number, decoded=not as_stored), kind) for number in wanted]
    except UnsupportedError as error:
        raise ApiError(406, f"instance {one.uid}: {error}") from None


@routes.method(
    f"{_INSTANCES}.retrieveRendered",
    f"{_INSTANCES}.frames.retrieveRendered",
    blocking=True,
    note="JPEG and PNG; of an instance with several frames one frame at a time",
)
def retrieve_rendered(call: Call) -> Response:
    """A picture of an instance or frame."""
    from ..dicom.pixels import UnsupportedError, open_instance, rendered

    store, number, path = store_and_path(call, READ)
    (one,) = found_instances(call, store, number, path)
    form = choose(call, [(kind, False) for kind in _PICTURES], (_PICTURES[0], False))
    frame = 1
    if "framesId" in call.path:
        numbers = _frame_numbers(call, one)
        if len(numbers) != 1:
            raise invalid("one frame at a time can be rendered")
        frame = numbers[0]
    elif one.frames > 1:
        raise ApiError(406, f"instance {one.uid} has {one.frames} frames; ask for .../frames/N/rendered")
    try:
        picture = rendered(open_instance(_source(call, one)), frame, form.kind, _viewport(call))
    except UnsupportedError as error:
        raise ApiError(406, f"instance {one.uid}: {error}") from None
    return Response(picture, media_type=form.kind)


def _viewport(call: Call) -> tuple[int, int] | None:
    text = call.query.get("viewport")
    if not text:
        return None
    parts = text.split(",")
    if len(parts) != 2 or not all(is_number(part) and 0 < int(part) <= 10_000 for part in parts):
        raise invalid(f"viewport={text!r}: WIDTH,HEIGHT in pixels is expected")
    return int(parts[0]), int(parts[1])


@routes.method(
    f"{_STUDIES}.retrieveMetadata",
    f"{_STUDIES}.series.retrieveMetadata",
    f"{_INSTANCES}.retrieveMetadata",
    blocking=True,
)
def retrieve_metadata(call: Call) -> Response:
    """The metadata of all instances of a study or series, or of one instance."""
    store, number, path = store_and_path(call, READ)
    found = found_instances(call, store, number, path)
    form = choose(call, [(JSON, False), ("application/json", False), (XML, True)], (JSON, False))
    texts = _metadata(call, store, found)
    if form.kind == XML:
        parts = Multipart(XML)
        xml = (parts.part(XML) + native_xml(json.loads(text)) for text in texts)
        return StreamingResponse(_then(xml, parts.end()), media_type=parts.content_type)
    return StreamingResponse(_array(texts), media_type=JSON)


def _metadata(call: Call, store: StoreName, found: list[Instance]) -> Iterator[bytes]:
    instances = call.emulator.service(Instances)
    base = root(call, store)
    for at in range(0, len(found), 200):
        part = found[at : at + 200]
        texts = instances.metadata([one.id for one in part])
        for one in part:
            if one.id in texts:
                where = f'"BulkDataURI":"{base}/{one.path}/bulkdata/'.encode()
                yield zlib.decompress(texts[one.id]).replace(b'"BulkDataURI":"bulkdata/', where)


def _array(texts: Iterable[bytes]) -> Iterator[bytes]:
    before = b"["
    for text in texts:
        yield before + text
        before = b","
    yield b"]" if before == b"," else b"[]"


def _then(parts: Iterable[bytes], end: bytes) -> Iterator[bytes]:
    yield from parts
    yield end


@routes.method(f"{_INSTANCES}.bulkdata.retrieveBulkdata", blocking=True)
def retrieve_bulkdata(call: Call) -> Response:
    """A value that the metadata only refer to."""
    from ..dicom.pixels import UnsupportedError, open_instance

    store, number, path = store_and_path(call, READ)
    (one,) = found_instances(call, store, number, path)
    form = choose(call, [(BYTES, True), (BYTES, False)], (BYTES, True))
    try:
        dataset = open_instance(_source(call, one))
        values = _bulk_values(dataset, call.path["bulkdataId"], call.path["bulkdataId1"])
    except UnsupportedError as error:
        raise ApiError(406, f"instance {one.uid}: {error}") from None
    except Exception as error:  # noqa: BLE001 - a damaged value makes pydicom fail in any way
        raise ApiError(406, f"instance {one.uid}: the value can't be read: {type(error).__name__}") from None
    if values is None:
        raise not_found(f"instance {one.uid} has no such bulk data")
    if not form.multipart:
        return Response(b"".join(values), media_type=BYTES)
    parts = Multipart(BYTES)
    body = b"".join(parts.part(BYTES) + value for value in values)
    return Response(body + parts.end(), media_type=parts.content_type)


def _bulk_values(dataset: Any, place: str, tag: str) -> list[bytes] | None:
    """The value of an element, in several pieces if it is encapsulated; None if there is none.

    Args:
        dataset: the instance.
        place: ``instance``, or sequence tags and item numbers joined by periods.
        tag: eight hexadecimal digits.
    """
    try:
        steps = [] if place == "instance" else place.split(".")
        for sequence, item in zip(steps[::2], steps[1::2], strict=True):
            dataset = dataset[int(sequence, 16)].value[int(item)]
        element = dataset.get_item(int(tag, 16))
    except (KeyError, ValueError, IndexError, TypeError, AttributeError):
        return None
    value = None if element is None else element.value
    if not isinstance(value, bytes):
        return None
    if (tag.upper() == "7FE00010" and getattr(element, "is_undefined_length", False)) or _encapsulated(value, tag):
        from pydicom.encaps import generate_fragments

        return list(generate_fragments(value))[1:]
    return [value]


def _encapsulated(value: bytes, tag: str) -> bool:
    return tag.upper() == "7FE00010" and value[:4] == b"\xfe\xff\x00\xe0"
