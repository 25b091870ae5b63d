"""Frames and renderings of instances, and other transfer syntaxes, as far as pydicom and Pillow can make them.

What can't be made is refused with :class:`UnsupportedError`; the conformance statement of Google's service lists cases
that it refuses too (colour images of more than 8 bits as JPEG, for instance).
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .reader import BadInstanceError, end_of_header, hush, inflated

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPEG = "1.2.840.10008.1.2.4.50"
RLE = "1.2.840.10008.1.2.5"
_UNCOMPRESSED = (IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN)
#: Transfer syntaxes that instances can be changed to here.
TARGETS = (IMPLICIT, EXPLICIT, DEFLATED, RLE)
#: Decoded pixels of one frame may take this many bytes.
_LARGEST_FRAME = 512 * 1024 * 1024


class UnsupportedError(Exception):
    """An instance that can't be had in the wanted form; the text says why."""


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
        return pydicom.dcmread(BytesIO(data))
    except BadInstanceError as error:
        raise UnsupportedError(error.message) from None
    except Exception as error:  # noqa: BLE001 - a damaged file makes pydicom fail in any way
        raise UnsupportedError(f"the instance can't be read: {type(error).__name__}") from None


def syntax_of(dataset: FileDataset) -> str:
    """The transfer syntax UID; implicit VR little endian if the file does not say."""
    return str(dataset.file_meta.get("TransferSyntaxUID", "") or IMPLICIT)


def transcoded(source: bytes | Path, target: str) -> bytes:
    """An instance in another transfer syntax.

    Args:
        source: its bytes or file.
        target: transfer syntax UID.

    Raises:
        UnsupportedError: it can't be had in that form.
    """
    from pydicom.uid import UID

    dataset = open_instance(source)
    if target not in TARGETS:
        raise UnsupportedError(f"instances can't be encoded in transfer syntax {target} here")
    original = syntax_of(dataset)
    try:
        _check_size(dataset)
        if original not in _UNCOMPRESSED and "PixelData" in dataset:
            dataset.decompress(generate_instance_uid=False)
        if original == BIG_ENDIAN:
            raise UnsupportedError("instances in big endian can't be changed to another transfer syntax here")
        if target == RLE and "PixelData" in dataset:
            dataset.compress(RLE, generate_instance_uid=False)
        dataset.file_meta.TransferSyntaxUID = UID(target)
        out = BytesIO()
        dataset.save_as(
            out, implicit_vr=target == IMPLICIT, little_endian=True, enforce_file_format=True, overwrite=True
        )
    except UnsupportedError:
        raise
    except Exception as error:  # noqa: BLE001 - decoders and writers fail in any way
        raise UnsupportedError(f"transfer syntax {original} can't be changed to {target}: {_reason(error)}") from None
    return out.getvalue()


def frame_count(dataset: FileDataset) -> int:
    """How many frames an instance has."""
    try:
        return max(1, int(dataset.get("NumberOfFrames") or 1))
    except (TypeError, ValueError):
        return 1


def raw_frame(dataset: FileDataset, number: int, *, decoded: bool) -> bytes:
    """The bytes of one frame.

    Args:
        dataset: the instance.
        number: from 1.
        decoded: uncompressed, little endian; else as stored.

    Raises:
        UnsupportedError: it can't be had.
    """
    if "PixelData" not in dataset:
        raise UnsupportedError("the instance has no pixel data")
    syntax = syntax_of(dataset)
    try:
        if syntax in _UNCOMPRESSED:
            return _uncompressed_frame(dataset, number, swapped=syntax == BIG_ENDIAN)
        if decoded:
            return bytes(_pixels(dataset, number, raw=True).tobytes())
        from pydicom.encaps import get_frame

        return get_frame(dataset.PixelData, number - 1, number_of_frames=frame_count(dataset))
    except UnsupportedError:
        raise
    except Exception as error:  # noqa: BLE001 - decoders fail in any way
        raise UnsupportedError(f"frame {number} can't be had: {_reason(error)}") from None


def _uncompressed_frame(dataset: FileDataset, number: int, *, swapped: bool) -> bytes:
    from pydicom.pixels.utils import get_expected_length

    frames = frame_count(dataset)
    if int(dataset.get("BitsAllocated", 8)) == 1 or (swapped and int(dataset.get("BitsAllocated", 8)) > 8):
        return bytes(_pixels(dataset, number, raw=True).tobytes())
    size = get_expected_length(dataset) // frames
    data: bytes = dataset.PixelData[(number - 1) * size : number * size]
    if len(data) < size:
        raise UnsupportedError(f"the pixel data end before the end of frame {number}")
    return data


def rendered(dataset: FileDataset, number: int, kind: str, viewport: tuple[int, int] | None = None) -> bytes:
    """One frame as a picture for people.

    Args:
        dataset: the instance.
        number: from 1.
        kind: ``image/jpeg`` or ``image/png``.
        viewport: width and height that the picture has to fit in.

    Raises:
        UnsupportedError: it can't be rendered.
    """
    if "PixelData" not in dataset:
        raise UnsupportedError("the instance has no pixel data")
    try:
        image = _image(dataset, number)
        if viewport is not None:
            image.thumbnail(viewport)
        out = BytesIO()
        if kind == "image/png":
            image.save(out, "PNG")
        else:
            image.save(out, "JPEG", quality=90)
    except UnsupportedError:
        raise
    except Exception as error:  # noqa: BLE001 - decoders fail in any way
        raise UnsupportedError(f"frame {number} can't be rendered: {_reason(error)}") from None
    return out.getvalue()


def _image(dataset: FileDataset, number: int) -> Any:
    import numpy as np
    from PIL import Image
    from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut

    photometric = str(dataset.get("PhotometricInterpretation", "MONOCHROME2"))
    if int(dataset.get("SamplesPerPixel", 1)) == 3 and int(dataset.get("BitsAllocated", 8)) > 8:
        raise UnsupportedError("colour images of more than 8 bits per sample can't be rendered")
    pixels = _pixels(dataset, number, raw=False)
    if photometric == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, dataset)
        if pixels.dtype.itemsize > 1:
            pixels = (pixels >> 8).astype(np.uint8)
        return Image.fromarray(pixels[..., :3].astype(np.uint8))
    if pixels.ndim == 3:
        return Image.fromarray(pixels.astype(np.uint8))
    if int(dataset.get("BitsAllocated", 8)) == 1:
        return Image.fromarray((pixels > 0).astype(np.uint8) * 255)
    values = np.nan_to_num(apply_voi_lut(apply_modality_lut(pixels, dataset), dataset).astype(np.float64))
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) * (255.0 / (high - low)) if high > low else np.zeros_like(values)
    if photometric == "MONOCHROME1":
        scaled = 255.0 - scaled
    return Image.fromarray(scaled.round().astype(np.uint8))


def _pixels(dataset: FileDataset, number: int, *, raw: bool) -> Any:
    from pydicom.pixels.utils import pixel_array

    _check_size(dataset)
    return pixel_array(dataset, index=number - 1, raw=raw)


def _check_size(dataset: FileDataset) -> None:
    try:
        size = int(dataset.get("Rows") or 0) * int(dataset.get("Columns") or 0)
        size *= int(dataset.get("SamplesPerPixel") or 1) * max(1, int(dataset.get("BitsAllocated") or 8) // 8)
    except (TypeError, ValueError):
        raise UnsupportedError("the size of the frames can't be told") from None
    if size > _LARGEST_FRAME:
        raise UnsupportedError(f"the frames are larger than {_LARGEST_FRAME >> 20} MiB")


def _reason(error: Exception) -> str:
    """Why a decoder refused, in a few words; its own text may quote values of the instance."""
    text = str(error)
    if "missing dependencies" in text or "plugins are missing" in text:
        return "no decoder for its transfer syntax is installed"
    if "Unable to decode" in text:
        return "no decoder understands its pixel data"
    return f"its pixel data or their description are not valid ({type(error).__name__})"
