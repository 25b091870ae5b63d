"""Instances and frames in another transfer syntax.

What can't be made is refused: the conformance statement of Google's service lists cases that it refuses too (images of
one bit, of floating-point numbers, and colour of more than 8 bits as JPEG). Lossy compression is recorded in the
instance as DICOM PS3.3 C.7.6.1.1.5 has it; the UIDs stay.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import syntaxes as ts
from .decoders import decoded
from .pixels import (
    UnsupportedError,
    frame_count,
    frames_of,
    open_instance,
    require_pixels,
    syntax_of,
    to_little_endian,
)
from .writing import elements_of, encoded

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

#: JPEG quality, and the largest error of a pixel value in near-lossless JPEG-LS. The service's own are not documented.
_QUALITY = 90
_NEAR = 2


def transcoded(source: bytes | Path, target: str) -> bytes:
    """An instance in another transfer syntax.

    Args:
        source: its bytes or file.
        target: transfer syntax UID.

    Raises:
        UnsupportedError: it can't be had in that form.
    """
    dataset = open_instance(source)
    stored = elements_of(dataset)
    _change(dataset, target)
    try:
        return encoded(dataset, stored, target)
    except Exception as error:  # noqa: BLE001 - values that are not valid make pydicom fail in any way
        raise UnsupportedError(f"the instance can't be written in {target}: {type(error).__name__}") from None


def transcoded_frames(source: bytes | Path, numbers: list[int] | None, target: str) -> list[bytes]:
    """Frames of an instance in another transfer syntax.

    Args:
        source: the instance.
        numbers: which, from 1; None for all.
        target: transfer syntax UID.

    Raises:
        UnsupportedError: they can't be had in that form.
    """
    dataset = open_instance(source)
    if numbers is not None:
        _keep_frames(dataset, numbers)
    require_pixels(dataset)
    _change(dataset, target)
    return frames_of(dataset)


def _keep_frames(dataset: FileDataset, numbers: list[int]) -> None:
    """Leave these frames only, so that no other has to be decoded."""
    if "PixelData" not in dataset:
        raise UnsupportedError("the instance has no pixel data", 400)
    from pydicom.encaps import encapsulate

    if int(dataset.get("BitsAllocated") or 8) == 1:
        raise UnsupportedError("images of one bit can't be encoded in another form")
    try:
        frames = frames_of(dataset, numbers)
        compressed = syntax_of(dataset) not in ts.NATIVE
        dataset.PixelData = encapsulate(frames) if compressed else b"".join(frames)
        _forget_offsets(dataset)
        dataset.NumberOfFrames = len(frames)
    except UnsupportedError:
        raise
    except Exception as error:  # noqa: BLE001 - damaged pixel data make pydicom fail in any way
        raise UnsupportedError(f"the frames can't be had: {type(error).__name__}") from None


def _change(dataset: FileDataset, target: str) -> None:
    """Change a data set, in place, so that it can be written in the transfer syntax."""
    from pydicom.uid import UID

    original = syntax_of(dataset)
    encode = _ENCODERS.get(target)
    if encode is None and target not in ts.NATIVE:
        raise UnsupportedError(f"nothing here encodes transfer syntax {target}")
    if original not in ts.NATIVE and original not in ts.DECODERS and original != ts.DEFLATED_FRAMES:
        raise UnsupportedError(f"nothing here decodes transfer syntax {original}")
    _check_kind(dataset, original, target)
    try:
        if original == ts.BIG_ENDIAN:
            to_little_endian(dataset)
        if "PixelData" in dataset:
            require_pixels(dataset)
            if original == ts.DEFLATED_FRAMES:
                inflate_frames(dataset)
            elif original in ts.DECODERS:
                _decompress(dataset, original)
            if encode is not None:
                _tidy(dataset)
                encode(dataset)
        dataset.file_meta.TransferSyntaxUID = UID(target)
    except UnsupportedError:
        raise
    except MemoryError:
        raise UnsupportedError("the instance takes too much memory to be changed") from None
    except Exception as error:  # noqa: BLE001 - decoders and encoders fail in any way
        raise UnsupportedError(f"transfer syntax {original} can't be changed to {target}: {_reason(error)}") from None


def _decompress(dataset: FileDataset, syntax: str) -> None:
    """Decode all frames, and answer for their number and size: pydicom takes the offset table at its word."""
    from pydicom.encaps import encapsulate

    count = frame_count(dataset)
    dataset.PixelData = encapsulate(frames_of(dataset))
    _forget_offsets(dataset)
    decoded(lambda name: dataset.decompress(decoding_plugin=name, generate_instance_uid=False), dataset, syntax)
    if frame_count(dataset) != count:
        raise UnsupportedError("the decoder found another number of frames than the instance has")
    _widen(dataset)


def _forget_offsets(dataset: FileDataset) -> None:
    """Remove tables that say where frames were."""
    for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if keyword in dataset:
            delattr(dataset, keyword)


def _widen(dataset: FileDataset) -> None:
    """Give each sample the bytes that Bits Allocated says: decoders answer as many as Bits Stored needs.

    Raises:
        UnsupportedError: the decoded pixels are not as many as the instance has.
    """
    import numpy as np
    from pydicom.pixels.utils import get_expected_length

    samples, size = get_expected_length(dataset, unit="pixels"), get_expected_length(dataset)
    data, signed = dataset.PixelData, int(dataset.get("PixelRepresentation") or 0)
    wide = int(dataset.BitsAllocated) // 8
    for narrow in (1, 2):
        if narrow < wide and len(data) == samples * narrow + samples * narrow % 2:
            kind = "i" if signed else "u"
            values = np.frombuffer(data[: samples * narrow], f"<{kind}{narrow}")
            dataset.PixelData = data = values.astype(f"<{kind}{wide}").tobytes()
            dataset["PixelData"].VR = "OW"
    if len(data) != size + size % 2:
        raise UnsupportedError("the decoder found another number of pixels than the instance has")


def _tidy(dataset: FileDataset) -> None:
    """Leave nothing behind the last frame, and put the samples of each pixel beside each other."""
    from pydicom.pixels.utils import get_expected_length, pixel_array

    size = get_expected_length(dataset)
    if len(dataset.PixelData) < size:
        raise UnsupportedError("the pixel data end before the end of the last frame")
    dataset.PixelData = dataset.PixelData[: size + size % 2]
    if int(dataset.get("SamplesPerPixel") or 1) > 1 and int(dataset.get("PlanarConfiguration") or 0):
        dataset.PixelData = pixel_array(dataset, raw=True).tobytes() + b"\0" * (size % 2)
        dataset.PlanarConfiguration = 0


def _check_kind(dataset: FileDataset, original: str, target: str) -> None:
    if original in ts.NATIVE and target in ts.NATIVE:
        return
    if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        raise UnsupportedError("images of floating-point numbers can only be had uncompressed")
    if "PixelData" in dataset and str(dataset.get("BitsAllocated")) == "1":
        raise UnsupportedError("the emulator neither decodes nor encodes images of one bit")


def _reason(error: Exception) -> str:
    """Why a decoder or encoder refused, in a few words; its own text may quote values of the instance."""
    text = str(error)
    if "Unable to decode" in text:
        return "the decoder does not understand its pixel data"
    if "Unable to encode" in text or "is not valid for pixel data encoded with" in text:
        return "images of its kind or size can't be encoded that way"
    return f"its pixel data or their description are not valid ({type(error).__name__})"


# -- encoders: each takes a data set with native pixel data in little endian, and gives it encapsulated ones --


def _with_pydicom(syntax: str, plugin: str, **options: Any) -> Callable[[FileDataset], None]:
    def encode(dataset: FileDataset) -> None:
        if dataset.get("PhotometricInterpretation") == "YBR_FULL_422":
            _as_rgb(dataset)
        dataset.compress(syntax, encoding_plugin=plugin, generate_instance_uid=False, **options)

    return encode


def _rle(dataset: FileDataset) -> None:
    """RLE has a segment for each byte of a sample (DICOM PS3.5 G.2), also for bytes that Bits Stored does not need."""
    stored, high = dataset.BitsStored, dataset.HighBit
    dataset.BitsStored, dataset.HighBit = dataset.BitsAllocated, dataset.BitsAllocated - 1
    try:
        _with_pydicom(ts.RLE, "pydicom")(dataset)
    finally:
        dataset.BitsStored, dataset.HighBit = stored, high


def _near_lossless(dataset: FileDataset) -> None:
    if int(dataset.PixelRepresentation) and _touches_limits(dataset):
        # The codec sees unsigned numbers: an error at the lowest value would be one over the sign bit. This transfer
        # syntax may hold lossless streams too (DICOM PS3.5 A.4.3).
        _with_pydicom(ts.JPEG_LS_NEAR_LOSSLESS, "pyjpegls", jls_error=0)(dataset)
        return
    before = len(dataset.PixelData)
    _with_pydicom(ts.JPEG_LS_NEAR_LOSSLESS, "pyjpegls", jls_error=_NEAR)(dataset)
    _note_loss(dataset, before, "ISO_14495_1")


def _touches_limits(dataset: FileDataset) -> bool:
    """Whether signed pixels come as near to what their bits can hold as an error may be large."""
    from pydicom.pixels.utils import pixel_array

    values, limit = pixel_array(dataset, raw=True), 1 << int(dataset.BitsStored) - 1
    return bool(int(values.min()) < _NEAR - limit or int(values.max()) >= limit - _NEAR)


def _as_rgb(dataset: FileDataset) -> None:
    """Make RGB of colours that were stored uncompressed in another form."""
    from pydicom.pixels.utils import pixel_array, set_pixel_data

    pixels = pixel_array(dataset, raw=False)
    set_pixel_data(dataset, pixels, "RGB", int(dataset.BitsStored), generate_instance_uid=False)


def _jpeg(dataset: FileDataset) -> None:
    """JPEG baseline, which holds 8 bits a sample."""
    import numpy as np
    from PIL import Image
    from pydicom.encaps import encapsulate
    from pydicom.pixels.utils import pixel_array

    photometric, samples = str(dataset.PhotometricInterpretation), int(dataset.SamplesPerPixel)
    if samples > 1 and int(dataset.BitsStored) > 8:
        raise UnsupportedError("colour images of more than 8 bits a sample can't be had as JPEG")
    if int(dataset.BitsAllocated) != 8 or int(dataset.PixelRepresentation):
        raise UnsupportedError(
            "JPEG baseline holds unsigned values of 8 bits; how the service scales others into them is not documented"
        )
    if photometric not in ("MONOCHROME1", "MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422"):
        raise UnsupportedError(f"images of the kind {photometric} can't be had as JPEG baseline")
    before = len(dataset.PixelData)
    pixels = pixel_array(dataset, raw=False).reshape(
        frame_count(dataset), dataset.Rows, dataset.Columns, *([3] if samples == 3 else [])
    )
    frames = []
    for pixel in pixels:
        out = BytesIO()
        Image.fromarray(pixel.astype(np.uint8)).save(out, "JPEG", quality=_QUALITY, subsampling="4:2:2")
        frames.append(out.getvalue())
    _put_frames(dataset, encapsulate(frames))
    if samples == 3:
        dataset.PhotometricInterpretation, dataset.PlanarConfiguration = "YBR_FULL_422", 0
    _note_loss(dataset, before, "ISO_10918_1")


def _put_frames(dataset: FileDataset, encapsulated: bytes) -> None:
    dataset.PixelData = encapsulated
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True


def _note_loss(dataset: FileDataset, before: int, method: str) -> None:
    ratio = f"{before / max(1, len(dataset.PixelData)):.2f}"
    dataset.LossyImageCompression = "01"
    for keyword, value in (("LossyImageCompressionRatio", ratio), ("LossyImageCompressionMethod", method)):
        known = dataset.get(keyword)
        several = [] if known in (None, "") else [known] if isinstance(known, (str, float)) else list(known)
        setattr(dataset, keyword, [*map(str, several), value])


def _jpeg_lossless(dataset: FileDataset) -> None:
    """JPEG lossless with first-order prediction."""
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID

    if int(dataset.BitsAllocated) > 16:
        raise UnsupportedError("JPEG lossless holds values of at most 16 bits")
    if dataset.get("PhotometricInterpretation") == "YBR_FULL_422":
        _as_rgb(dataset)
    dataset.file_meta.TransferSyntaxUID = UID(ts.EXPLICIT)
    frames = [_lossless_frame(dataset, frame) for frame in frames_of(dataset)]
    _put_frames(dataset, encapsulate(frames))


def _lossless_frame(dataset: FileDataset, frame: bytes) -> bytes:
    """One frame encoded by GDCM, which reads and writes files."""
    import gdcm  # type: ignore[import-untyped]
    from pydicom import dcmread
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID

    # Only what describes the pixels: GDCM is to see nothing else.
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = UID(ts.EXPLICIT)
    image.SOPClassUID = UID("1.2.840.10008.5.1.4.1.1.7")
    image.SOPInstanceUID = UID("2.25.1")
    for keyword in ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"):
        setattr(image, keyword, dataset[keyword].value)
    image.SamplesPerPixel = int(dataset.SamplesPerPixel)
    image.PhotometricInterpretation = "RGB" if image.SamplesPerPixel == 3 else "MONOCHROME2"
    if image.SamplesPerPixel == 3:
        image.PlanarConfiguration = 0
    image.add_new(0x7FE00010, "OW" if image.BitsAllocated > 8 else "OB", frame + b"\0" * (len(frame) % 2))
    if image.BitsAllocated == 8:
        # GDCM does not read back streams of fewer bits that it writes.
        image.BitsStored, image.HighBit = 8, 7
    # A worker process has a temporary folder of its own, which is the emulator's to remove if the process is killed.
    with tempfile.TemporaryDirectory() as directory:
        plain, encoded = f"{directory}/plain", f"{directory}/encoded"
        image.save_as(plain, implicit_vr=False, little_endian=True, enforce_file_format=True)
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(plain)
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        if not reader.Read():
            raise ValueError("not readable")
        change.SetInput(reader.GetImage())
        if not change.Change():
            raise ValueError("not encodable")
        writer.SetFileName(encoded)
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        if not writer.Write():
            raise ValueError("not writable")
        made = dcmread(encoded)
    return frames_of(made)[0]


# -- Deflated Image Frame Compression (DICOM PS3.5 8.2): each frame is a raw deflate stream of its native form --


def _deflate(dataset: FileDataset) -> None:
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID

    dataset.file_meta.TransferSyntaxUID = UID(ts.EXPLICIT)
    frames = []
    for frame in frames_of(dataset):
        squeeze = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        frames.append(squeeze.compress(frame) + squeeze.flush())
    _put_frames(dataset, encapsulate(frames))


def inflate_frames(dataset: FileDataset) -> None:
    """Make native pixel data, in place, of deflated frames.

    Raises:
        UnsupportedError: a frame is not whole.
    """
    from pydicom.pixels.utils import get_expected_length
    from pydicom.uid import UID

    size = get_expected_length(dataset) // frame_count(dataset)
    frames = list(_inflated_frames(dataset, size))
    dataset.PixelData = b"".join(frames) + b"\0" * (sum(map(len, frames)) % 2)
    dataset["PixelData"].VR = "OB" if int(dataset.BitsAllocated) <= 8 else "OW"
    dataset["PixelData"].is_undefined_length = False
    dataset.file_meta.TransferSyntaxUID = UID(ts.EXPLICIT)


def _inflated_frames(dataset: FileDataset, size: int) -> Iterator[bytes]:
    for number, frame in enumerate(frames_of(dataset), start=1):
        data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(frame, size)
        if len(data) != size:
            raise UnsupportedError(f"the pixel data end before the end of frame {number}")
        yield data


_ENCODERS: dict[str, Callable[[FileDataset], None]] = {
    ts.JPEG: _jpeg,
    # A stream with first-order prediction is one of process 14 too.
    ts.JPEG_LOSSLESS: _jpeg_lossless,
    ts.JPEG_LOSSLESS_FIRST_ORDER: _jpeg_lossless,
    ts.JPEG_LS: _with_pydicom(ts.JPEG_LS, "pyjpegls"),
    ts.JPEG_LS_NEAR_LOSSLESS: _near_lossless,
    ts.JPEG_2000_LOSSLESS: _with_pydicom(ts.JPEG_2000_LOSSLESS, "pylibjpeg"),
    # This transfer syntax may hold lossless streams too (DICOM PS3.5 A.4.4): nothing is lost without need.
    ts.JPEG_2000: _with_pydicom(ts.JPEG_2000_LOSSLESS, "pylibjpeg"),
    ts.RLE: _rle,
    ts.DEFLATED_FRAMES: _deflate,
}
#: Transfer syntaxes that instances can be changed to here.
TARGETS = frozenset({ts.IMPLICIT, ts.EXPLICIT, ts.DEFLATED, *_ENCODERS})
