"""Instances as they are opened for their pixels, and the frames in them as they are stored.

Everything here that can't be had is refused with :class:`UnsupportedError`. Nothing here runs native decoders; what
does is in :mod:`.transcoding` and :mod:`.rendering`, and runs in worker processes (:mod:`emulator.healthcare.pool`).
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .columns import PIXELS
from .fragments import FragmentsError, split_frames
from .reader import BadInstanceError, end_of_header, hush, inflated
from .syntaxes import BIG_ENDIAN, DEFLATED, IMPLICIT, NATIVE
from .writing import swapped

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset

#: The decoded pixels of an instance may take this many bytes.
LARGEST_PIXELS = 512 * 1024 * 1024
_SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"
#: Bytes of one value of the VRs whose byte order matters and that pydicom keeps as bytes.
_WORDS = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}


class UnsupportedError(Exception):
    """An instance that can't be had in the wanted form.

    Args:
        message: why; it quotes no values of the instance.
        status: the HTTP status it is answered with: 400 where the instance has nothing of the kind, 406 where it can't
            be had in that form (conformance statement, status codes of the retrieve transaction).
    """

    def __init__(self, message: str, status: int = 406) -> None:
        super().__init__(message)
        self.message = message
        self.status = status

    def __reduce__(self) -> tuple[type[UnsupportedError], tuple[str, int]]:
        return UnsupportedError, (self.message, self.status)


def open_instance(source: bytes | Path) -> FileDataset:
    """A stored instance with its pixels.

    Raises:
        UnsupportedError: it can't be read any more.
    """
    import pydicom

    hush()
    try:
        data = source if isinstance(source, bytes) else source.read_bytes()
        start, syntax = end_of_header(data)
        if syntax is not None and data[syntax[0] : syntax[1]].rstrip(b"\0 ") == DEFLATED.encode():
            data = inflated(data, start, syntax)
        dataset = pydicom.dcmread(BytesIO(data))
        if not dataset and len(data) > start:
            # So pydicom answers a file that ends within an element: encapsulated pixel data without their delimiter are
            # whole with it, and every fragment is checked when it is used.
            dataset = pydicom.dcmread(BytesIO(data + _SEQUENCE_END))
            if not dataset:
                raise UnsupportedError("the instance can't be read: it ends within an element")
        return dataset
    except UnsupportedError:
        raise
    except BadInstanceError as error:
        raise UnsupportedError(error.message) from None
    except Exception as error:  # noqa: BLE001 - a damaged file makes pydicom fail in any way
        raise UnsupportedError(f"the instance can't be read: {type(error).__name__}") from None


def written(dataset: FileDataset, syntax: str) -> bytes:
    """The bytes of an instance whose pixel data are as the transfer syntax wants them.

    Raises:
        Exception: of any kind, if there are values that can't be written.
    """
    from pydicom import dcmwrite
    from pydicom.uid import UID

    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    out = BytesIO()
    # Forced, because pydicom does not know all of the transfer syntaxes.
    dcmwrite(out, dataset, force_encoding=True, implicit_vr=syntax == IMPLICIT, little_endian=syntax != BIG_ENDIAN)
    return out.getvalue()


def syntax_of(dataset: FileDataset) -> str:
    """The transfer syntax UID; implicit VR little endian if the file does not say."""
    return str(dataset.file_meta.get("TransferSyntaxUID", "") or IMPLICIT)


def frame_count(dataset: Dataset) -> int:
    """How many frames an instance has."""
    try:
        return max(1, int(dataset.get("NumberOfFrames") or 1))
    except (TypeError, ValueError):
        return 1


def require_pixels(dataset: Dataset) -> None:
    """Refuse what has no frames, or frames that would take too much memory.

    Raises:
        UnsupportedError: saying so.
    """
    if "PixelData" not in dataset:
        raise UnsupportedError("the instance has no pixel data", 400)
    try:
        size = int(dataset.get("Rows") or 0) * int(dataset.get("Columns") or 0) * frame_count(dataset)
        size *= int(dataset.get("SamplesPerPixel") or 1) * max(1, int(dataset.get("BitsAllocated") or 8) // 8)
    except (TypeError, ValueError):
        raise UnsupportedError("the size of the frames can't be told") from None
    if size > LARGEST_PIXELS:
        raise UnsupportedError(f"the pixels take more than {LARGEST_PIXELS >> 20} MiB")


def stored_frames(source: bytes | Path, numbers: list[int] | None) -> list[bytes]:
    """The bytes of frames as they are stored: encoded, or little endian.

    Args:
        source: the instance.
        numbers: which, from 1; None for all.

    Raises:
        UnsupportedError: they can't be had.
    """
    dataset = open_instance(source)
    if "PixelData" not in dataset:
        raise UnsupportedError("the instance has no pixel data", 400)
    try:
        if syntax_of(dataset) == BIG_ENDIAN:
            to_little_endian(dataset)
        return frames_of(dataset, numbers)
    except UnsupportedError:
        raise
    except Exception as error:  # noqa: BLE001 - damaged pixel data make pydicom fail in any way
        raise UnsupportedError(f"the frames can't be had: {type(error).__name__}") from None


def frames_of(dataset: FileDataset, numbers: list[int] | None = None) -> list[bytes]:
    """The bytes of frames as they are stored.

    Args:
        dataset: the instance.
        numbers: which, from 1; None for all.

    Raises:
        UnsupportedError: there are no such frames.
    """
    count = frame_count(dataset)
    wanted = numbers if numbers is not None else range(1, count + 1)
    if syntax_of(dataset) in NATIVE:
        return [_native_frame(dataset, number) for number in wanted]
    tables = (dataset.get("ExtendedOffsetTable"), dataset.get("ExtendedOffsetTableLengths"))
    try:
        frames = split_frames(dataset.PixelData, count, tables if all(tables) else None)
    except FragmentsError as error:
        raise UnsupportedError(str(error)) from None
    if not all(0 < number <= count for number in wanted):
        raise UnsupportedError(f"the instance has {count} frames")
    return frames if numbers is None else [frames[number - 1] for number in numbers]


def _native_frame(dataset: FileDataset, number: int) -> bytes:
    """The bytes of one uncompressed frame.

    Raises:
        UnsupportedError: the pixel data end before it.
    """
    from pydicom.pixels.utils import get_expected_length, pack_bits, unpack_bits

    frames, data = frame_count(dataset), dataset.PixelData
    if int(dataset.get("BitsAllocated", 8)) == 1 and (bits := _bits_of_frame(dataset)) % 8:
        # Frames of single bits follow each other without a gap (DICOM PS3.5 8.1.1).
        start = (number - 1) * bits
        unpacked: Any = unpack_bits(data[start // 8 : (start + bits + 7) // 8])
        chosen = unpacked[start % 8 : start % 8 + bits]
        if len(chosen) < bits:
            raise UnsupportedError(f"the pixel data end before the end of frame {number}")
        return pack_bits(chosen, pad=False)
    size = get_expected_length(dataset) // frames
    found: bytes = data[(number - 1) * size : number * size]
    if len(found) < size:
        raise UnsupportedError(f"the pixel data end before the end of frame {number}")
    return found


def _bits_of_frame(dataset: Dataset) -> int:
    return int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("SamplesPerPixel") or 1)


def to_little_endian(dataset: FileDataset) -> None:
    """Change the pixel data of a big-endian instance, in place; other values are swapped when they are written."""
    from pydicom.uid import UID

    for tag in PIXELS & set(dataset.keys()):
        element = dataset[tag]
        if isinstance(element.value, bytes) and (size := _WORDS.get(element.VR)):
            if element.tag == 0x7FE00010 and int(dataset.get("BitsAllocated") or 16) > 16:
                size = int(dataset.BitsAllocated) // 8
            element.value = swapped(element.value, size)
    dataset.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.1")
