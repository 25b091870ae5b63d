"""Transfer syntaxes: their names here, what decodes and encodes them, and the media types of their frames.

Which ones the service knows: Google's DICOM conformance statement, "Supported transfer syntaxes for transcoding". Media
types: DICOM PS3.18 8.7.3.
"""

from __future__ import annotations

_ROOT = "1.2.840.10008.1.2"

IMPLICIT = _ROOT
EXPLICIT = f"{_ROOT}.1"
DEFLATED = f"{_ROOT}.1.99"
BIG_ENDIAN = f"{_ROOT}.2"
JPEG = f"{_ROOT}.4.50"
JPEG_EXTENDED = f"{_ROOT}.4.51"
JPEG_LOSSLESS = f"{_ROOT}.4.57"
JPEG_LOSSLESS_FIRST_ORDER = f"{_ROOT}.4.70"
JPEG_LS = f"{_ROOT}.4.80"
JPEG_LS_NEAR_LOSSLESS = f"{_ROOT}.4.81"
JPEG_2000_LOSSLESS = f"{_ROOT}.4.90"
JPEG_2000 = f"{_ROOT}.4.91"
JPEG_XL_LOSSLESS, JPEG_XL_RECOMPRESSED, JPEG_XL = (f"{_ROOT}.4.{number}" for number in (110, 111, 112))
HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL, HTJ2K = (f"{_ROOT}.4.{number}" for number in (201, 202, 203))
RLE = f"{_ROOT}.5"
DEFLATED_FRAMES = f"{_ROOT}.8.1"

#: Pixels stand there as they are (DICOM PS3.5 8.1.1): nothing has to be decoded.
NATIVE = frozenset({IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN})

#: What instances can be asked for in, beside ``*``.
REQUESTABLE = frozenset(
    {
        *(IMPLICIT, EXPLICIT, DEFLATED, JPEG, JPEG_EXTENDED, JPEG_LOSSLESS, JPEG_LOSSLESS_FIRST_ORDER, JPEG_LS),
        *(JPEG_LS_NEAR_LOSSLESS, JPEG_2000_LOSSLESS, JPEG_2000, JPEG_XL_LOSSLESS, JPEG_XL_RECOMPRESSED, JPEG_XL),
        *(HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL, HTJ2K, RLE, DEFLATED_FRAMES),
    }
)

#: pydicom's decoding plugin for each compressed transfer syntax that can be decoded.
DECODERS = {
    JPEG: "pillow",
    JPEG_EXTENDED: "pillow",
    JPEG_LOSSLESS: "gdcm",
    JPEG_LOSSLESS_FIRST_ORDER: "gdcm",
    JPEG_LS: "pyjpegls",
    JPEG_LS_NEAR_LOSSLESS: "pyjpegls",
    JPEG_2000_LOSSLESS: "pylibjpeg",
    JPEG_2000: "pylibjpeg",
    HTJ2K_LOSSLESS: "pylibjpeg",
    HTJ2K_LOSSLESS_RPCL: "pylibjpeg",
    HTJ2K: "pylibjpeg",
    RLE: "pydicom",
}

#: Media type of the frames of compressed transfer syntaxes.
FRAME_TYPES = {
    **dict.fromkeys((JPEG, JPEG_EXTENDED, JPEG_LOSSLESS, JPEG_LOSSLESS_FIRST_ORDER), "image/jpeg"),
    **dict.fromkeys((JPEG_LS, JPEG_LS_NEAR_LOSSLESS), "image/jls"),
    **dict.fromkeys((JPEG_2000_LOSSLESS, JPEG_2000), "image/jp2"),
    **dict.fromkeys((HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL, HTJ2K), "image/jphc"),
    **dict.fromkeys((JPEG_XL_LOSSLESS, JPEG_XL_RECOMPRESSED, JPEG_XL), "image/jxl"),
    RLE: "image/dicom-rle",
    DEFLATED_FRAMES: "application/x-deflate",
}

#: What a media type stands for if no transfer syntax is named.
FRAME_DEFAULTS = {
    "image/jpeg": JPEG_LOSSLESS_FIRST_ORDER,
    "image/jls": JPEG_LS,
    "image/jp2": JPEG_2000_LOSSLESS,
    "image/jphc": HTJ2K_LOSSLESS,
    "image/jxl": JPEG_XL_LOSSLESS,
    "image/dicom-rle": RLE,
    "application/x-deflate": DEFLATED_FRAMES,
}
