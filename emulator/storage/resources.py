"""JSON resources of Cloud Storage: buckets and objects as clients see them.

https://cloud.google.com/storage/docs/json_api/v1/buckets, https://cloud.google.com/storage/docs/json_api/v1/objects
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from ..core.errors import ApiError
from ..core.projects import project_number
from ..http import discovery

#: Fields of an object that a client may set, at upload and later.
OBJECT_SETTABLE = (
    "cacheControl",
    "contentDisposition",
    "contentEncoding",
    "contentLanguage",
    "contentType",
    "customTime",
    "eventBasedHold",
    "metadata",
    "storageClass",
    "temporaryHold",
)

#: Fields of a bucket that a client may set; the others are the service's, or not supported.
BUCKET_SETTABLE = (
    "autoclass",
    "billing",
    "cors",
    "customPlacementConfig",
    "defaultEventBasedHold",
    "encryption",
    "hierarchicalNamespace",
    "iamConfiguration",
    "labels",
    "lifecycle",
    "logging",
    "objectRetention",
    "retentionPolicy",
    "rpo",
    "softDeletePolicy",
    "storageClass",
    "versioning",
    "website",
)

#: Fields that can only be set when a bucket is created.
BUCKET_FIXED = ("hierarchicalNamespace", "customPlacementConfig", "objectRetention")

#: https://cloud.google.com/storage/docs/locations: continents; all-upper two-region codes are dual-regions.
_MULTI_REGIONS = frozenset({"US", "EU", "ASIA"})
_DUAL_REGIONS = frozenset({"ASIA1", "EUR4", "EUR5", "EUR7", "EUR8", "NAM4"})

STORAGE_CLASSES = frozenset(
    {"STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE", "MULTI_REGIONAL", "REGIONAL", "DURABLE_REDUCED_AVAILABILITY"}
)


def location_type(location: str, fields: dict[str, Any]) -> str:
    """``multi-region``, ``dual-region`` or ``region``.

    Args:
        location: the bucket's location, in capitals.
        fields: its settings: two regions of one's own choice make a dual-region of their continent.
    """
    if fields.get("customPlacementConfig"):
        return "dual-region"
    if location in _MULTI_REGIONS:
        return "multi-region"
    return "dual-region" if location in _DUAL_REGIONS else "region"


def etag(*numbers: int) -> str:
    """An etag as Cloud Storage writes it: numbered varints in base64 (``CAE=`` is the first version of a bucket)."""
    data = bytearray()
    for field, number in enumerate(numbers, start=1):
        data.append(field << 3)
        left = number
        while left > 0x7F:
            data.append(left & 0x7F | 0x80)
            left >>= 7
        data.append(left)
    return base64.b64encode(data).decode()


def known_fields(schema: str, value: dict[str, Any], *, merge: bool = False) -> dict[str, Any]:
    """The fields of a request body that the schema has; Cloud Storage ignores the others.

    Args:
        schema: name of the schema.
        value: the body.
        merge: it is merged into what is there: null is kept, as it removes a field.

    Raises:
        ApiError: 400 if a known field is of the wrong kind.
    """
    problems = [
        text for _, text in discovery.schema_violations("storage", "v1", schema, value) if "Unknown name" not in text
    ]
    if problems:
        raise ApiError(400, "\n".join(problems), reason="invalid")
    return discovery.declared("storage", "v1", schema, value, keep_null=merge)


def _generation(created: str) -> int:
    """The generation of a bucket: the time of its creation in microseconds.

    Args:
        created: RFC 3339.
    """
    since = datetime.fromisoformat(created) - datetime.fromtimestamp(0, UTC)
    return since // timedelta(microseconds=1)


def bucket_resource(name: str, bucket: dict[str, Any], base_url: str) -> dict[str, Any]:
    """A bucket as ``buckets.get`` answers it.

    Args:
        name: its name.
        bucket: as kept: ``project``, ``metageneration``, ``timeCreated``, ``updated``, ``location``, ``fields``.
        base_url: root of the emulator, for ``selfLink``.
    """
    metageneration = bucket["metageneration"]
    location = bucket["location"]
    resource: dict[str, Any] = {
        "kind": "storage#bucket",
        "id": name,
        "name": name,
        "selfLink": f"{base_url}/storage/v1/b/{name}",
        "projectNumber": project_number(bucket["project"]),
        "generation": str(_generation(bucket["timeCreated"])),
        "metageneration": str(metageneration),
        "etag": etag(metageneration),
        "location": location,
        "locationType": location_type(location, bucket["fields"]),
        "timeCreated": bucket["timeCreated"],
        "updated": bucket["updated"],
    }
    resource.update(bucket["fields"])
    return resource


def object_resource(
    bucket: str, name: str, stored: dict[str, Any], base_url: str, expiration: str | None = None
) -> dict[str, Any]:
    """An object as ``objects.get`` answers it.

    Args:
        bucket: its bucket.
        name: its name.
        stored: as kept: ``generation``, ``metageneration``, ``size``, checksums, times and ``fields``.
        base_url: root of the emulator, for the links.
        expiration: until when the bucket's retention policy keeps it.
    """
    generation, metageneration = stored["generation"], stored["metageneration"]
    at = f"storage/v1/b/{bucket}/o/{quote(name, safe='~')}"
    resource: dict[str, Any] = {
        "kind": "storage#object",
        "id": f"{bucket}/{name}/{generation}",
        "selfLink": f"{base_url}/{at}",
        "mediaLink": f"{base_url}/download/{at}?generation={generation}&alt=media",
        "name": name,
        "bucket": bucket,
        "generation": str(generation),
        "metageneration": str(metageneration),
        "storageClass": "STANDARD",
        "size": str(stored["size"]),
        "crc32c": stored["crc32c"],
        "etag": etag(generation, metageneration),
        "timeCreated": stored["timeCreated"],
        "updated": stored["updated"],
        "timeStorageClassUpdated": stored.get("timeStorageClassUpdated", stored["timeCreated"]),
        "timeFinalized": stored["timeCreated"],
    }
    if "componentCount" in stored:
        resource["componentCount"] = stored["componentCount"]
    else:
        resource["md5Hash"] = stored["md5"]
    if "kmsKeyName" in stored:
        resource["kmsKeyName"] = stored["kmsKeyName"]
    resource.update(stored["fields"])
    if "timeDeleted" in stored:
        resource["timeDeleted"] = stored["timeDeleted"]
    if expiration is not None:
        resource["retentionExpirationTime"] = expiration
    return resource
