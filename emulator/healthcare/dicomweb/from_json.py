"""Instances that are stored as metadata in JSON with bulk data in further parts.

What the request has to hold: Google's DICOM conformance statement, "JSON metadata and bulk data requests". It says both
that an instance may have several BulkDataURIs and that it has at most one; several are taken here.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any

from ...core.errors import ApiError, invalid
from ...http.call import BODY_LIMIT
from ..dicom import syntaxes as ts
from .accept import JSON, parse_media_type
from .multipart import Part

if TYPE_CHECKING:
    from ...core.state import BlobInfo, Blobs

#: Elements that the metadata of every instance have.
_REQUIRED = {
    "00080005": "SpecificCharacterSet",
    "00020010": "TransferSyntaxUID",
    "00080016": "SOPClassUID",
    "0020000D": "StudyInstanceUID",
    "0020000E": "SeriesInstanceUID",
    "00080018": "SOPInstanceUID",
}
_UNSUPPORTED = (ts.BIG_ENDIAN, ts.DEFLATED)
_PIXELS = "7FE00010"
#: Bulk data of one instance, which is put together in memory.
_LARGEST_BULK = 512 * 1024 * 1024


async def instances_from_json(found: AsyncIterator[Part], blobs: Blobs) -> AsyncIterator[bytes]:
    """DICOM files made of the parts of a request.

    Args:
        found: the parts: metadata first.
        blobs: hold the bulk data until their instance is made.

    Raises:
        ApiError: 400 if the request is not as it has to be, 413 if its metadata or bulk data are too large.
    """
    datasets: list[Any] | None = None
    encoded = ""
    bulk: dict[str, tuple[str, BlobInfo]] = {}
    try:
        async for part in found:
            kind, parameters = parse_media_type(part.headers.get("content-type", ""))
            if datasets is None:
                if kind != JSON:
                    _drop(part)
                    raise invalid(f"the first part of the request has to be {JSON}")
                datasets, encoded = (
                    await asyncio.to_thread(_metadata, part, blobs),
                    parameters.get("transfer-syntax", ""),
                )
                continue
            blob = await asyncio.to_thread(_kept, part, blobs)
            where = part.headers.get("content-location", "")
            if where in bulk:
                blobs.delete(blob.id)
                raise invalid("two parts of the request have the same Content-Location")
            bulk[where] = parameters.get("transfer-syntax", ""), blob
        used: set[str] = set()

        def read(uri: str) -> tuple[str, bytes] | None:
            if uri not in bulk:
                return None
            if uri in used:
                raise invalid("two attributes of the metadata have the same BulkDataURI")
            used.add(uri)
            syntax, blob = bulk[uri]
            if blob.size > _LARGEST_BULK:
                raise ApiError(413, f"the bulk data of an instance are larger than {_LARGEST_BULK >> 20} MiB")
            return syntax, blobs.read(blob.id)

        for dataset in datasets or []:
            yield await asyncio.to_thread(_file_of, dataset, read, encoded)
    finally:
        for _, blob in bulk.values():
            blobs.delete(blob.id)


def _metadata(part: Part, blobs: Blobs) -> list[Any]:
    if part.size > BODY_LIMIT:
        _drop(part)
        raise ApiError(413, f"the metadata are larger than {BODY_LIMIT >> 20} MiB")
    blob = _kept(part, blobs)
    try:
        parsed = json.loads(blobs.read(blob.id))
    except (ValueError, RecursionError):
        raise invalid("the metadata are not JSON") from None
    finally:
        blobs.delete(blob.id)
    return parsed if isinstance(parsed, list) else [parsed]


def _kept(part: Part, blobs: Blobs) -> BlobInfo:
    return blobs.put(part.data) if isinstance(part.data, bytes) else part.data.commit()


def _drop(part: Part) -> None:
    if not isinstance(part.data, bytes):
        part.data.abort()


def _file_of(dataset: Any, read: Callable[[str], tuple[str, bytes] | None], encoded: str) -> bytes:
    """A DICOM file from its JSON form.

    Args:
        dataset: the DICOM JSON object.
        read: gives transfer syntax and bytes of bulk data by its URI.
        encoded: transfer syntax of the binary values in the metadata.

    Raises:
        ApiError: 400 if it is not a data set, or refers to bulk data that is not in the request.
    """
    import pydicom
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID

    from ..dicom.reader import hush

    hush()
    syntax = _checked_syntax(dataset)
    if encoded in _UNSUPPORTED:
        raise invalid(f"binary values in transfer syntax {encoded} are not supported")
    try:
        _fill(dataset, read, syntax)
        header = {tag: dataset.pop(tag) for tag in list(dataset) if tag.startswith("0002")}
        made = pydicom.Dataset.from_json(dataset)
        made.file_meta = FileMetaDataset(pydicom.Dataset.from_json(header))
        made.file_meta.TransferSyntaxUID = UID(syntax)
        if "PixelData" in made and syntax not in ts.NATIVE:
            made["PixelData"].is_undefined_length = True
        out = BytesIO()
        made.save_as(out, implicit_vr=syntax == ts.IMPLICIT, little_endian=True, enforce_file_format=True)
    except ApiError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever the metadata are, they are the client's
        raise invalid(f"the metadata are not a DICOM data set: {type(error).__name__}") from None
    return out.getvalue()


def _checked_syntax(dataset: Any) -> str:
    """The transfer syntax of an instance whose metadata have what they have to have."""
    if not isinstance(dataset, dict):
        raise invalid("the metadata are not an array of DICOM JSON objects")
    values = {}
    for tag, keyword in _REQUIRED.items():
        element = dataset.get(tag)
        value = element.get("Value") if isinstance(element, dict) else None
        if not isinstance(value, list) or not value or not isinstance(value[0], str):
            raise invalid(f"{keyword} ({tag}) is missing in the metadata of an instance")
        values[tag] = value[0]
    if values["00080005"] != "ISO_IR 192":
        raise invalid("SpecificCharacterSet (00080005) of the metadata has to be ISO_IR 192")
    if values["00020010"] in _UNSUPPORTED:
        raise invalid(f"instances in transfer syntax {values['00020010']} can't be stored as JSON")
    return values["00020010"]


def _fill(elements: dict[str, Any], read: Callable[[str], tuple[str, bytes] | None], syntax: str) -> None:
    """Put bulk data where the metadata refer to it."""
    from pydicom.encaps import encapsulate

    for tag, element in elements.items():
        if not isinstance(element, dict):
            raise invalid(f"attribute {tag} of the metadata is not an object")
        if tag.upper() == _PIXELS and "InlineBinary" in element:
            raise invalid("PixelData has to be sent as bulk data")
        if "BulkDataURI" in element:
            found = read(str(element.pop("BulkDataURI")))
            if found is None:
                raise invalid(f"the bulk data of attribute {tag} is not in the request")
            named, data = found
            if tag.upper() == _PIXELS and syntax not in ts.NATIVE:
                if named != syntax:
                    raise invalid(
                        f"the transfer syntax of the bulk data, {named or 'which is missing'}, is not that of the "
                        f"metadata, {syntax}"
                    )
                data = encapsulate([data])
            elif named not in ("", *ts.NATIVE):
                raise invalid(f"bulk data in transfer syntax {named} can only be those of PixelData")
            element["InlineBinary"] = base64.b64encode(data).decode()
        elif element.get("vr") == "SQ":
            for item in element.get("Value") or []:
                if not isinstance(item, dict):
                    raise invalid(f"an item of attribute {tag} of the metadata is not an object")
                _fill(item, read, syntax)
