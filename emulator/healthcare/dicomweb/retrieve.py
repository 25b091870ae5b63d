"""WADO: instances, frames, pictures, bulk data and metadata.

Media types and transfer syntaxes: Google's DICOM conformance statement, "Retrieve transaction". What is accepted is
tried in the order in which the client wants it; 406 says that nothing of it can be had.
"""

from __future__ import annotations

import json
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from starlette.responses import Response, StreamingResponse

from ...core.errors import ApiError, invalid, not_found
from ...http.routing import Routes
from ..dicom import syntaxes as ts
from ..forms import frames_in, instance_in, pictures_of, source_of
from ..instances import Instances
from ..names import StoreName
from ..pool import beside_others
from ..stored import Instance
from .accept import BYTES, DICOM, JSON, XML, Accepted, Multipart, choices, choose
from .common import READ, found_instances, is_number, root, store_and_path
from .native_xml import native_xml

if TYPE_CHECKING:
    from ...http.call import Call
    from ..dicom.rendering import Viewport

routes = Routes("healthcare")
_STUDIES = "projects.locations.datasets.dicomStores.studies"
_INSTANCES = f"{_STUDIES}.series.instances"
_PICTURES = ("image/jpeg", "image/png")
_LIMITS = (
    "no library for JPEG XL, nor for encoding JPEG Extended and HTJ2K; more than 8 bits as JPEG baseline: the scaling"
    " is not documented"
)
#: Answers that are made before they begin stay in memory up to this size.
_IN_MEMORY = 16 * 1024 * 1024


def _first_possible(forms: list[Accepted], answer: Callable[[Accepted], Response]) -> Response:
    """The answer in the first form in which it can be had.

    Raises:
        ApiError: 406, or 400 where the instances have nothing of the kind, if there is none.
    """
    from ..dicom.pixels import UnsupportedError

    refused: UnsupportedError | None = None
    for form in forms:
        try:
            return answer(form)
        except UnsupportedError as error:
            refused = refused or error
    if refused is None:
        raise ApiError(406, "none of the accepted media types can be had")
    raise ApiError(refused.status, refused.message)


@routes.method(
    f"{_STUDIES}.retrieveStudy",
    f"{_STUDIES}.series.retrieveSeries",
    f"{_INSTANCES}.retrieveInstance",
    note=_LIMITS,
)
@beside_others
def retrieve(call: Call) -> Response:
    """The instances of a study or series, or one instance."""
    store, number, path = store_and_path(call, READ)
    found = found_instances(call, store, number, path)
    offered = [(DICOM, True), (BYTES, True)]
    if path.instance:
        offered += [(DICOM, False), *((kind, True) for kind in _PICTURES)]

    def answer(form: Accepted) -> Response:
        if form.kind == "image/png":
            return _pictures(call, found[0], form.kind)
        if form.kind != DICOM:
            return _all_frames(call, found, form.kind, form.syntax)
        syntax = form.syntax or ts.EXPLICIT
        if not form.multipart:
            kind = _content_type(found[0], syntax)
            if syntax not in ("*", found[0].transfer_syntax):
                return Response(instance_in(call.emulator, found[0], syntax), media_type=kind)
            size = {"content-length": str(found[0].size)}
            return StreamingResponse(call.emulator.state.blobs.chunks(found[0].blob), headers=size, media_type=kind)
        return _instances(call, found, syntax)

    return _first_possible(choices(call, offered, (DICOM, True)), answer)


def _content_type(one: Instance, syntax: str) -> str:
    """The Content-Type of an instance; without a transfer syntax if it is sent as stored and its file says none."""
    sent = one.transfer_syntax if syntax == "*" else syntax
    return f"{DICOM}; transfer-syntax={sent}" if sent else DICOM


def _instances(call: Call, found: list[Instance], syntax: str) -> Response:
    """Instances in parts."""
    parts = Multipart(DICOM)

    def stream() -> Iterator[bytes]:
        for one in found:
            yield parts.part(_content_type(one, syntax))
            if syntax in ("*", one.transfer_syntax):
                yield from call.emulator.state.blobs.chunks(one.blob)
            else:
                yield instance_in(call.emulator, one, syntax)
        yield parts.end()

    if all(syntax in ("*", one.transfer_syntax) for one in found):
        return StreamingResponse(stream(), media_type=parts.content_type)
    # Transcoding may fail: everything is made before anything is answered.
    return _made(call, stream(), parts.content_type)


def _made(call: Call, chunks: Iterable[bytes], media_type: str) -> Response:
    """An answer of chunks that are all made before the first is sent."""
    spool = tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(call.emulator.state.temporary))  # noqa: SIM115 - closed below
    try:
        for chunk in chunks:
            spool.write(chunk)
    except BaseException:
        spool.close()
        raise
    size = spool.tell()
    spool.seek(0)

    def stream() -> Iterator[bytes]:
        with spool:
            while chunk := spool.read(1024 * 1024):
                yield chunk

    return StreamingResponse(stream(), headers={"content-length": str(size)}, media_type=media_type)


def _all_frames(call: Call, found: list[Instance], kind: str, syntax: str) -> Response:
    """All frames of instances: bytes, uncompressed or as stored, or JPEG."""
    parts = Multipart(kind)

    def chunks() -> Iterator[bytes]:
        for one in found:
            wanted, content_type = _frame_form(one, kind, syntax)
            for data in frames_in(call.emulator, one, None, wanted):
                yield parts.part(content_type)
                yield data
        yield parts.end()

    return _made(call, chunks(), parts.content_type)


def _pictures(call: Call, one: Instance, kind: str) -> Response:
    """All frames of an instance as pictures, in parts."""
    parts = Multipart(kind)
    pictures = pictures_of(call.emulator, one, None, kind)
    body = b"".join(parts.part(kind) + picture for picture in pictures)
    return Response(body + parts.end(), media_type=parts.content_type)


def _frame_form(one: Instance, kind: str, syntax: str) -> tuple[str, str]:
    """The transfer syntax in which frames are wanted (``*``: as stored), and the Content-Type that says so.

    Args:
        one: the instance.
        kind: the accepted media type.
        syntax: the accepted transfer syntax; empty if none is named.

    Raises:
        UnsupportedError: they can't be had that way.
    """
    from ..dicom.pixels import UnsupportedError

    stored = one.transfer_syntax or ts.IMPLICIT
    if kind == BYTES:
        if syntax not in ("", "*", ts.EXPLICIT, stored):
            raise UnsupportedError(
                f"frames can't be had in transfer syntax {syntax} as {BYTES}; there are * and {ts.EXPLICIT}"
            )
        if syntax in ("", ts.EXPLICIT) or (stored in ts.NATIVE and syntax != "*"):
            return ts.EXPLICIT, f"{BYTES}; transfer-syntax={ts.EXPLICIT}"
        return "*", f"{ts.FRAME_TYPES.get(stored, BYTES)}; transfer-syntax={stored}"
    if syntax == "*" or (not syntax and ts.FRAME_TYPES.get(stored) == kind):
        syntax = stored
    syntax = syntax or ts.FRAME_DEFAULTS[kind]
    if ts.FRAME_TYPES.get(syntax) != kind:
        raise UnsupportedError(f"frames in transfer syntax {syntax} are not {kind}")
    return syntax, f"{kind}; transfer-syntax={syntax}"


@routes.method(
    f"{_INSTANCES}.frames.retrieveFrames",
    note=f"{_LIMITS}, nor are the values of frames as PNG",
)
@beside_others
def retrieve_frames(call: Call) -> Response:
    """Frames of an instance: uncompressed, as stored, or in another transfer syntax."""
    store, number, path = store_and_path(call, READ)
    (one,) = found_instances(call, store, number, path)
    numbers = _frame_numbers(call, one)
    kinds = [BYTES, *dict.fromkeys(ts.FRAME_TYPES.values())]

    def answer(form: Accepted) -> Response:
        from ..dicom.pixels import UnsupportedError

        if not form.multipart and len(numbers) != 1:
            raise UnsupportedError("several frames can only be had in parts: Accept: multipart/related")
        syntax, kind = _frame_form(one, form.kind, form.syntax)
        frames = frames_in(call.emulator, one, numbers, syntax)
        if not form.multipart:
            return Response(frames[0], media_type=kind)
        parts = Multipart(kind.partition(";")[0])
        body = b"".join(parts.part(kind) + data for data in frames)
        return Response(body + parts.end(), media_type=parts.content_type)

    offered = [(kind, multipart) for kind in kinds for multipart in (True, False)]
    return _first_possible(choices(call, offered, (BYTES, True)), answer)


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


@routes.method(
    f"{_INSTANCES}.retrieveRendered",
    f"{_INSTANCES}.frames.retrieveRendered",
    note="one frame at a time: what the service makes of several is not documented",
)
@beside_others
def retrieve_rendered(call: Call) -> Response:
    """A picture of an instance or frame."""
    store, number, path = store_and_path(call, READ)
    (one,) = found_instances(call, store, number, path)
    viewport = _viewport(call)
    numbers = _frame_numbers(call, one) if "framesId" in call.path else [1]
    if len(numbers) != 1:
        raise invalid("one frame at a time can be rendered")
    if "framesId" not in call.path and one.frames > 1:
        raise ApiError(406, f"instance {one.uid} has {one.frames} frames; ask for .../frames/N/rendered")

    def answer(form: Accepted) -> Response:
        (picture,) = pictures_of(call.emulator, one, numbers, form.kind, viewport)
        return Response(picture, media_type=form.kind)

    return _first_possible(choices(call, [(kind, False) for kind in _PICTURES], (_PICTURES[0], False)), answer)


def _viewport(call: Call) -> Viewport | None:
    """The viewport of a query (DICOM PS3.18 8.3.5.1.3), the only parameter of pictures that the service supports.

    Raises:
        ApiError: 400 if it is malformed, or if there are other parameters.
    """
    from ..dicom.rendering import Viewport

    for name in ("annotation", "quality", "window", "iccprofile"):
        if name in call.query:
            raise invalid(f"the parameter {name} is not supported; viewport is")
    text = call.query.get("viewport")
    if not text:
        return None
    width, height, *region = text.split(",") if "," in text else (text, "")
    try:
        if not (is_number(width) and is_number(height) and 0 < int(width) <= 10_000 and 0 < int(height) <= 10_000):
            raise ValueError
        numbers = [float(part) if part else 0.0 for part in region]
        if len(numbers) > 4 or any(abs(number) > 1e9 or number != number for number in numbers):
            raise ValueError
    except ValueError:
        raise invalid(f"viewport={text[:100]!r}: WIDTH,HEIGHT[,LEFT,TOP,WIDTH,HEIGHT] in pixels is expected") from None
    return Viewport(int(width), int(height), *(abs(number) for number in numbers[:2]), *numbers[2:])


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
        dataset = open_instance(source_of(call.emulator, one))
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
