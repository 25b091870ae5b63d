"""Pictures of frames for people.

Grey values go through the modality LUT, then the first VOI LUT or window of the frame, and are then spread over 8 bits
(DICOM PS3.4 N.2, PS3.3 C.11); without a window, from the smallest value to the largest. The service does not document
which window it takes.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from . import syntaxes as ts
from .decoders import decoded
from .pixels import UnsupportedError, frames_of, open_instance, require_pixels, syntax_of
from .transcoding import inflate_frames

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset

_QUALITY = 90


class Viewport(NamedTuple):
    """Where a picture is to fit in, and which region of the image it shows (DICOM PS3.18 8.3.5.1.3).

    Attributes:
        width, height: of the viewport, in pixels.
        left, top: the corner of the region, in pixels of the image.
        region_width, region_height: its size; 0 for up to the edge. Negative: mirrored.
    """

    width: int
    height: int
    left: float = 0
    top: float = 0
    region_width: float = 0
    region_height: float = 0


def rendered(
    source: bytes | Path, numbers: list[int] | None, kind: str, viewport: Viewport | None = None
) -> list[bytes]:
    """Frames as pictures.

    Args:
        source: the instance.
        numbers: which, from 1; None for all.
        kind: ``image/jpeg`` or ``image/png``.
        viewport: what they have to fit in.

    Raises:
        UnsupportedError: they can't be rendered.
    """
    dataset = open_instance(source)
    require_pixels(dataset)
    found = []
    try:
        if syntax_of(dataset) == ts.DEFLATED_FRAMES:
            inflate_frames(dataset)
        frames = frames_of(dataset, numbers)
    except UnsupportedError:
        raise
    except Exception as error:  # noqa: BLE001 - damaged pixel data make pydicom fail in any way
        raise UnsupportedError(f"the frames can't be rendered: {type(error).__name__}") from None
    wanted = numbers if numbers is not None else range(1, len(frames) + 1)
    for number, frame in zip(wanted, frames, strict=True):
        try:
            _leave(dataset, frame)
            image = _image(dataset, number)
            if viewport is not None:
                image = _fitted(image, viewport)
            out = BytesIO()
            if kind == "image/png":
                image.save(out, "PNG")
            else:
                image.save(out, "JPEG", quality=_QUALITY)
        except UnsupportedError:
            raise
        except MemoryError:
            raise UnsupportedError(f"frame {number} takes too much memory to be rendered") from None
        except Exception as error:  # noqa: BLE001 - decoders fail in any way
            raise UnsupportedError(f"frame {number} can't be rendered: {type(error).__name__}") from None
        found.append(out.getvalue())
    return found


def _leave(dataset: FileDataset, frame: bytes) -> None:
    """Leave one frame: pydicom would look for it among all others, by an offset table that may be wrong."""
    from pydicom.encaps import encapsulate

    native = syntax_of(dataset) in ts.NATIVE
    dataset.PixelData = frame + b"\0" * (len(frame) % 2) if native else encapsulate([frame])
    dataset.NumberOfFrames = 1
    for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if keyword in dataset:
            delattr(dataset, keyword)


def _image(dataset: FileDataset, number: int) -> Any:
    import numpy as np
    from PIL import Image
    from pydicom.pixels.processing import apply_color_lut
    from pydicom.pixels.utils import pixel_array

    syntax = syntax_of(dataset)
    if syntax not in ts.NATIVE and syntax not in ts.DECODERS:
        raise UnsupportedError(f"nothing here decodes transfer syntax {syntax}")
    photometric = str(dataset.get("PhotometricInterpretation", "MONOCHROME2"))
    if int(dataset.get("SamplesPerPixel", 1)) == 3 and int(dataset.get("BitsAllocated", 8)) > 8:
        raise UnsupportedError("colour images of more than 8 bits a sample can't be rendered")
    pixels = decoded(lambda name: pixel_array(dataset, index=0, decoding_plugin=name), dataset, syntax)
    if photometric == "PALETTE COLOR":
        colours = apply_color_lut(pixels, dataset)
        if colours.dtype.itemsize > 1:
            colours = colours >> 8
        return Image.fromarray(colours[..., :3].astype(np.uint8))
    if pixels.ndim == 3:
        return Image.fromarray(pixels.astype(np.uint8))
    shades = (pixels > 0).astype(np.float64) if int(dataset.BitsAllocated) == 1 else _shades(dataset, number, pixels)
    if photometric == "MONOCHROME1":
        shades = 1.0 - shades
    return Image.fromarray((shades * 255.0).round().astype(np.uint8))


def _shades(dataset: FileDataset, number: int, pixels: Any) -> Any:
    """Grey values from 0 (black) to 1 (white)."""
    import numpy as np
    from pydicom.pixels.processing import apply_modality_lut, apply_voi

    values = apply_modality_lut(pixels, _group(dataset, number, "PixelValueTransformationSequence"))
    look = _group(dataset, number, "FrameVOILUTSequence")
    if look.get("VOILUTSequence"):
        bits = int(look.VOILUTSequence[0].LUTDescriptor[2])
        return np.clip(apply_voi(np.rint(values).astype(np.int64), look) / (2**bits - 1), 0.0, 1.0)
    values = np.nan_to_num(values.astype(np.float64))
    centre, width = _first(look, "WindowCenter"), _first(look, "WindowWidth")
    function = str(look.get("VOILUTFunction") or "LINEAR")
    if centre is None or width is None or width <= 0 or (function == "LINEAR" and width < 1):
        # Without a window that is valid (DICOM PS3.3 C.11.2.1.2), as without any.
        low, high = float(values.min()), float(values.max())
        return (values - low) / (high - low) if high > low else np.zeros_like(values)
    return windowed(values, centre, width, function)


def windowed(values: Any, centre: float, width: float, function: str) -> Any:
    """Grey values of a window that is valid (DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3), from 0 to 1."""
    import numpy as np

    match function:
        case "SIGMOID":
            return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - centre) / width, -700.0, 700.0)))
        case "LINEAR_EXACT":
            return np.clip((values - centre) / width + 0.5, 0.0, 1.0)
        case _ if width == 1:
            return (values > centre - 0.5).astype(np.float64)
        case _:
            return np.clip((values - (centre - 0.5)) / (width - 1.0) + 0.5, 0.0, 1.0)


def _group(dataset: Dataset, number: int, keyword: str) -> Dataset:
    """Where a frame's attributes of one functional group stand; the data set itself if it has no such groups."""
    for sequence, index in (("PerFrameFunctionalGroupsSequence", number - 1), ("SharedFunctionalGroupsSequence", 0)):
        items = dataset.get(sequence) or []
        if index < len(items) and items[index].get(keyword):
            found: Dataset = items[index][keyword].value[0]
            return found
    return dataset


def _first(dataset: Dataset, keyword: str) -> float | None:
    """The first value of an element; None if it has none, or one that is no number."""
    import math

    try:
        value = dataset.get(keyword)
        found = float(value if isinstance(value, (int, float, str)) else value[0])
    except Exception:  # noqa: BLE001 - pydicom fails in any way on what is not valid
        return None
    return found if math.isfinite(found) else None


def _fitted(image: Any, viewport: Viewport) -> Any:
    """The region of an image, as large as it fits in the viewport without being distorted."""
    from PIL import Image, ImageOps

    left, top = viewport.left, viewport.top
    width = abs(viewport.region_width) or image.width - left
    height = abs(viewport.region_height) or image.height - top
    right, bottom = min(left + width, image.width), min(top + height, image.height)
    if right <= left or bottom <= top:
        raise UnsupportedError("the region of the viewport lies outside of the image", 400)
    scale = min(viewport.width / (right - left), viewport.height / (bottom - top))
    size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    fitted = image.resize(size, Image.Resampling.BILINEAR, box=(left, top, right, bottom), reducing_gap=2.0)
    if viewport.region_width < 0:
        fitted = ImageOps.mirror(fitted)
    return ImageOps.flip(fitted) if viewport.region_height < 0 else fitted
