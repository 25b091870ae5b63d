"""Which decoder takes which instance, and one that pydicom lacks: JPEG Extended of 12 bits.

pydicom's interface to GDCM refuses JPEG Extended of more than 8 bits, which GDCM decodes as DCMTK does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from . import syntaxes as ts

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_Pixels = TypeVar("_Pixels")
_NAME = "gdcm 12 bits"

#: What pydicom asks of a module with a decoder.
DECODER_DEPENDENCIES = {ts.JPEG_EXTENDED: ("gdcm",)}


def is_available(uid: str) -> bool:
    """Whether there is a decoder for a transfer syntax here."""
    return uid in DECODER_DEPENDENCIES


def decoder_for(dataset: Dataset, syntax: str) -> str:
    """The name of the pydicom plugin that decodes an instance; empty if none is needed or there is none.

    Args:
        dataset: describes the pixels.
        syntax: their transfer syntax.
    """
    if syntax == ts.JPEG_EXTENDED and int(dataset.get("BitsStored") or 8) > 8:
        _register()
        return _NAME
    return ts.DECODERS.get(syntax, "")


def decoded(decode: Callable[[str], _Pixels], dataset: Dataset, syntax: str) -> _Pixels:
    """What the chosen decoder makes of an instance, or another one that knows its transfer syntax if that one can't.

    Args:
        decode: decodes with the pydicom plugin of that name; with an empty name, with any.
        dataset: describes the pixels.
        syntax: their transfer syntax.

    Raises:
        Exception: of any kind, of the chosen decoder, if no other can decode it either.
    """
    plugin = decoder_for(dataset, syntax)
    with whole_bytes(dataset, syntax):
        try:
            return decode(plugin)
        except MemoryError:
            raise
        except Exception:
            if not plugin:
                raise
            with contextlib.suppress(Exception):
                return decode("")
            raise


@contextlib.contextmanager
def whole_bytes(dataset: Dataset, syntax: str) -> Iterator[None]:
    """Describe samples of fewer than 8 bits as of 8 while they are decoded: GDCM ends the process at others.

    Args:
        dataset: describes the pixels, in their transfer syntax ``syntax``.
    """
    stored, high = dataset.get("BitsStored"), dataset.get("HighBit")
    lossless = syntax in (ts.JPEG_LOSSLESS, ts.JPEG_LOSSLESS_FIRST_ORDER)
    if not lossless or dataset.get("BitsAllocated") != 8 or stored is None or stored >= 8:
        yield
        return
    dataset.BitsStored, dataset.HighBit = 8, 7
    try:
        yield
    finally:
        dataset.BitsStored, dataset.HighBit = stored, high


@cache
def _register() -> None:
    from pydicom.pixels.decoders.base import JPEGExtended12BitDecoder

    JPEGExtended12BitDecoder.add_plugin(_NAME, (__name__, "decode_frame"))


def decode_frame(source: bytes, runner: Any) -> bytes:
    """Decode one grey frame of more than 8 bits.

    Args:
        source: the JPEG stream.
        runner: pydicom's description of the frame (``pydicom.pixels.decoders.base.DecodeRunner``).

    Raises:
        ValueError: it can't be decoded.
    """
    import gdcm  # type: ignore[import-untyped]

    if runner.samples_per_pixel != 1 or runner.bits_allocated != 16:
        raise ValueError("only grey images are decoded")
    fragment, fragments = gdcm.Fragment(), gdcm.SequenceOfFragments.New()
    fragment.SetByteStringValue(source)
    fragments.AddFragment(fragment)
    pixels = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    pixels.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((runner.columns, runner.rows, 1))
    image.SetDataElement(pixels)
    grey = gdcm.PhotometricInterpretation.MONOCHROME2
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(grey))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGExtendedProcess2_4))
    bits = runner.bits_stored
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, bits, bits - 1, runner.pixel_representation))
    text = image.GetBuffer()  # bytes, which the bindings take for text
    if text is None:
        raise ValueError("not decodable")
    found: bytes = text.encode("utf-8", "surrogateescape")
    return found
