"""The formats in which DICOM instances can be exported to Cloud Storage.

The list is the one in the description of `GcsDestination.mimeType`
(https://cloud.google.com/healthcare-api/docs/reference/rest/v1/projects.locations.datasets.dicomStores/export),
plus plain `application/dicom`, as in the `gcloud` examples. Transfer syntaxes are named as in DICOM PS3.6.
"""

import difflib
import re
from dataclasses import dataclass

from operations.model.invalid import InputError, quoted


class MimeTypeError(InputError):
    """The service can't export in this format."""


@dataclass(frozen=True)
class MimeType:
    """One export format: a short name to write, the value the API takes, and what it is."""

    name: str
    value: str
    title: str
    extension: str


def _dicom(name: str, transfer_syntax: str, title: str) -> MimeType:
    return MimeType(name, f"application/dicom; transfer-syntax={transfer_syntax}", title, ".dcm")


MIME_TYPES: tuple[MimeType, ...] = (
    MimeType("dicom", "application/dicom", "DICOM, transfer syntax left to the service", ".dcm"),
    _dicom("dicom-as-stored", "*", "DICOM with no transcoding"),
    _dicom("dicom-implicit-little-endian", "1.2.840.10008.1.2", "DICOM, Implicit VR Little Endian"),
    _dicom("dicom-explicit-little-endian", "1.2.840.10008.1.2.1", "DICOM, Explicit VR Little Endian"),
    _dicom("dicom-deflated", "1.2.840.10008.1.2.1.99", "DICOM, Deflated Explicit VR Little Endian"),
    _dicom("dicom-jpeg-baseline", "1.2.840.10008.1.2.4.50", "DICOM with JPEG Baseline (lossy, 8 bit)"),
    _dicom("dicom-jpeg-extended", "1.2.840.10008.1.2.4.51", "DICOM with JPEG Extended (lossy, 12 bit)"),
    _dicom("dicom-jpeg-lossless", "1.2.840.10008.1.2.4.57", "DICOM with JPEG Lossless"),
    _dicom(
        "dicom-jpeg-lossless-first-order",
        "1.2.840.10008.1.2.4.70",
        "DICOM with JPEG Lossless, First-Order Prediction",
    ),
    _dicom("dicom-jpeg-ls-lossless", "1.2.840.10008.1.2.4.80", "DICOM with JPEG-LS Lossless"),
    _dicom("dicom-jpeg-ls", "1.2.840.10008.1.2.4.81", "DICOM with JPEG-LS Lossy (Near-Lossless)"),
    _dicom("dicom-jpeg-2000-lossless", "1.2.840.10008.1.2.4.90", "DICOM with JPEG 2000 Lossless Only"),
    _dicom("dicom-jpeg-2000", "1.2.840.10008.1.2.4.91", "DICOM with JPEG 2000"),
    _dicom("dicom-jpeg-xl-lossless", "1.2.840.10008.1.2.4.110", "DICOM with JPEG XL Lossless"),
    _dicom("dicom-jpeg-xl-recompression", "1.2.840.10008.1.2.4.111", "DICOM with JPEG XL JPEG Recompression"),
    _dicom("dicom-jpeg-xl", "1.2.840.10008.1.2.4.112", "DICOM with JPEG XL"),
    _dicom("dicom-htj2k-lossless", "1.2.840.10008.1.2.4.201", "DICOM with High-Throughput JPEG 2000 Lossless"),
    _dicom(
        "dicom-htj2k-rpcl-lossless",
        "1.2.840.10008.1.2.4.202",
        "DICOM with High-Throughput JPEG 2000 RPCL Lossless",
    ),
    _dicom("dicom-htj2k", "1.2.840.10008.1.2.4.203", "DICOM with High-Throughput JPEG 2000"),
    _dicom("dicom-rle-lossless", "1.2.840.10008.1.2.5", "DICOM with RLE Lossless"),
    _dicom("dicom-deflated-frames", "1.2.840.10008.1.2.8.1", "DICOM with Deflated Image Frame Compression"),
    MimeType("pixels-as-stored", "application/octet-stream; transfer-syntax=*", "PixelData as it was stored", ""),
    MimeType(
        "pixels-uncompressed",
        "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1",
        "PixelData, uncompressed",
        "",
    ),
    MimeType("jpeg", "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50", "JPEG for viewing", ".jpg"),
    MimeType("png", "image/png", "PNG for viewing", ".png"),
)

_BY_NAME = {mime_type.name: mime_type for mime_type in MIME_TYPES}
_BY_VALUE = {mime_type.value: mime_type for mime_type in MIME_TYPES}
_VALUE_PARTS = re.compile(
    r"\s*([\w.+-]+/[\w.+-]+)\s*(?:;\s*transfer-syntax\s*=\s*\"?([^\s;\"]+)\"?\s*)?", re.IGNORECASE
)


def parse_mime_type(text: str) -> MimeType:
    """Find the export format that `text` names.

    Args:
        text: a value of the API (`image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50`; spaces and the case of
            the type don't matter) or one of the short names (`jpeg`).

    Raises:
        MimeTypeError: there is no such format; the message names the nearest one.
    """
    if text in _BY_NAME:
        return _BY_NAME[text]
    found = _BY_VALUE.get(_canonical(text))
    if found is None:
        near = nearest_mime_type(text)
        raise MimeTypeError(
            f"{quoted(text)} is no format that can be exported; "
            f"did you mean {quoted(near.value)} ({near.name}: {near.title})?"
        )
    return found


def nearest_mime_type(text: str) -> MimeType:
    """Return the format whose value or short name is most like `text`."""
    canonical = _canonical(text)
    media_type = canonical.partition(";")[0]

    def likeness(mime_type: MimeType) -> tuple[float, float]:
        if "/" not in canonical:
            return float(mime_type.name.startswith(canonical)), _ratio(canonical, mime_type.name)
        # The media type weighs first: a mistyped transfer syntax of image/jpeg still means an image/jpeg.
        return _ratio(media_type, mime_type.value.partition(";")[0]), _ratio(canonical, mime_type.value)

    return max(MIME_TYPES, key=likeness)


def _ratio(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def _canonical(text: str) -> str:
    match = _VALUE_PARTS.fullmatch(text)
    if match is None:
        return " ".join(text.lower().split())
    media_type, transfer_syntax = match.groups()
    return media_type.lower() + (f"; transfer-syntax={transfer_syntax}" if transfer_syntax else "")
