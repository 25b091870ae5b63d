"""Cloud Storage as the other parts of the emulator use it: imports, exports, load and extract jobs, the console.

Nothing here checks permissions; :func:`allowed` answers whether somebody holds one.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.errors import ApiError
from ..core.state import BlobInfo
from .encryption import default_key, require_readable, version_for
from .protection import check_deletable
from .store import store

if TYPE_CHECKING:
    from ..core.runtime import Emulator
    from ..core.state import Document


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object of a bucket.

    Attributes:
        size: in bytes.
        blob_id: where its bytes are: ``emulator.state.blobs.read(blob_id)``, ``.path(blob_id)``, ``.chunks(blob_id)``.
        updated: RFC 3339.
        crc32c: checksum in base64, as Cloud Storage writes it.
        md5: the same.
        kms_key: the version of the key of Cloud KMS that encrypts it; empty without one.
    """

    bucket: str
    name: str
    generation: int
    size: int
    blob_id: str
    content_type: str
    updated: str
    crc32c: str = ""
    md5: str = ""
    kms_key: str = ""

    @property
    def blob(self) -> BlobInfo:
        """Its bytes, for :func:`put_object` elsewhere without copying them."""
        return BlobInfo(self.blob_id, self.size, self.crc32c, self.md5)


def bucket_exists(emulator: Emulator, bucket: str) -> bool:
    """Whether there is a bucket of this name."""
    return bucket in store(emulator).buckets


def bucket_project(emulator: Emulator, bucket: str) -> str | None:
    """Id of the project that holds the bucket; None if there is no such bucket."""
    document = store(emulator).buckets.get(bucket)
    return None if document is None else document["project"]


def list_objects(emulator: Emulator, bucket: str, prefix: str = "") -> list[StoredObject]:
    """The objects whose names start with ``prefix``, by name; none if there is no such bucket."""
    if not bucket_exists(emulator, bucket):
        return []
    kept = store(emulator)
    found = []
    with kept.lock:
        names, objects = kept.names(bucket), kept.objects(bucket)
        for index in range(bisect_left(names, prefix), len(names)):
            name = names[index]
            if not name.startswith(prefix):
                break
            found.append(_stored_object(bucket, name, objects[name]))
    return found


def get_object(emulator: Emulator, bucket: str, name: str) -> StoredObject | None:
    """An object; None if it, or its bucket, does not exist."""
    if not bucket_exists(emulator, bucket):
        return None
    document = store(emulator).objects(bucket).get(name)
    return None if document is None else _stored_object(bucket, name, document)


def put_object(
    emulator: Emulator,
    bucket: str,
    name: str,
    data: bytes | BlobInfo,
    content_type: str = "application/octet-stream",
) -> StoredObject:
    """Keep an object, in place of any that has the name.

    Args:
        emulator: where.
        bucket: an existing bucket.
        name: the object's name.
        data: its bytes, or a blob that is there already: the object then counts as one more who refers to it, and the
            caller keeps the reference of its own.
        content_type: media type.

    Raises:
        ApiError: 404 if there is no such bucket; 400 or 403 if its default key can't be used; 403 if the object that is
            there is held or kept by the bucket's retention policy.
    """
    kept = store(emulator)
    document = kept.bucket(bucket)
    version = version_for(emulator, document, default_key(document))
    with kept.lock, emulator.state.transaction():
        if (old := kept.objects(bucket).get(name)) is not None:
            check_deletable(document, bucket, name, old)
        if isinstance(data, BlobInfo):
            kept.retain(data.id)
            blob = data
        else:
            blob = emulator.state.blobs.put(data)
        stored = kept.put(bucket, name, blob, {"contentType": content_type}, kms_version=version)
    return _stored_object(bucket, name, stored)


def delete_object(emulator: Emulator, bucket: str, name: str) -> bool:
    """Remove an object; False if there was none."""
    kept = store(emulator)
    with kept.lock:
        if not bucket_exists(emulator, bucket) or name not in kept.objects(bucket):
            return False
        kept.delete(bucket, name)
        return True


def read_object(emulator: Emulator, bucket: str, name: str) -> bytes | None:
    """The bytes of an object; None if it does not exist. For small objects, such as the previews of the console."""
    found = get_object(emulator, bucket, name)
    return None if found is None else emulator.state.blobs.read(found.blob_id)


def unreadable(emulator: Emulator, found: StoredObject) -> ApiError | None:
    """Why the bytes of an object can't be read: the key that encrypts them can't be used. None if they can be."""
    bucket = store(emulator).buckets.get(found.bucket)
    if not found.kms_key or bucket is None:
        return None
    try:
        require_readable(emulator, bucket, {"kmsKeyName": found.kms_key})
    except ApiError as error:
        return error
    return None


def allowed(emulator: Emulator, principal: str, permission: str, bucket: str) -> bool:
    """Whether somebody holds a permission on a bucket, through its policy or that of its project.

    Args:
        emulator: where.
        principal: an IAM member or ``emulator.iam.OWNER``.
        permission: for instance ``storage.objects.get``.
        bucket: name; False if there is no such bucket.
    """
    project = bucket_project(emulator, bucket)
    if project is None:
        return False
    return emulator.iam.allowed(principal, permission, f"b/{bucket}", f"projects/{project}")


def retain_blob(emulator: Emulator, blob_id: str) -> None:
    """Count one more who refers to a blob (a DICOM instance that shares the bytes of the imported object)."""
    store(emulator).retain(blob_id)


def release_blob(emulator: Emulator, blob_id: str) -> None:
    """Count one less who refers to a blob; its bytes are deleted with the last. Whoever made a blob counts as one."""
    store(emulator).release(blob_id)


def _stored_object(bucket: str, name: str, document: Document) -> StoredObject:
    return StoredObject(
        bucket=bucket,
        name=name,
        generation=document["generation"],
        size=document["size"],
        blob_id=document["blob"],
        content_type=document["fields"].get("contentType", "application/octet-stream"),
        updated=document["updated"],
        crc32c=document["crc32c"],
        md5=document["md5"],
        kms_key=document.get("kmsKeyName", ""),
    )
