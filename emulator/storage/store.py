"""What Cloud Storage keeps: buckets, objects by name in order, and who refers to a blob."""

from __future__ import annotations

import time
from bisect import bisect_left, insort
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..core.clock import now
from .errors import no_bucket

if TYPE_CHECKING:
    from ..core.runtime import Emulator
    from ..core.state import BlobInfo, Collection, Document


def timestamp(moment: datetime | None = None) -> str:
    """``2026-01-02T03:04:05.678Z``: Cloud Storage writes milliseconds."""
    moment = (moment or now()).astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def version_key(name: str, generation: int) -> str:
    """The key of a version of an object: by name, then by generation. No name of an object has a line end."""
    return f"{name}\n{generation:020d}"


class Store:
    """Buckets and objects of one emulator.

    Buckets are documents ``{project, location, metageneration, timeCreated, updated, fields}``; objects are documents
    ``{generation, metageneration, size, blob, crc32c, md5, timeCreated, updated, fields}``, with ``kmsKeyName``
    if a key of Cloud KMS encrypts them, in one collection per bucket. ``fields`` holds what clients set.

    Args:
        emulator: whose state this is.
    """

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self.lock = emulator.state.lock
        self.buckets = emulator.state.collection("storage.buckets")
        self._references = emulator.state.collection("blobs.references")
        self._names: dict[str, list[str]] = {}
        self._last_generation = 0
        emulator.on_reset(self._names.clear)

    def bucket(self, name: str) -> Document:
        """A bucket.

        Raises:
            ApiError: 404 if there is no such bucket.
        """
        bucket = self.buckets.get(name)
        if bucket is None:
            raise no_bucket()
        return bucket

    def objects(self, bucket: str) -> Collection:
        """The objects of a bucket by name."""
        return self._emulator.state.collection(f"storage.objects/{bucket}")

    def versions(self, bucket: str) -> Collection:
        """The noncurrent versions of a bucket's objects, with ``timeDeleted``, by :func:`version_key`."""
        # No bucket has a ~ in its name. The prefix is that of objects, so that a restart finds the blobs in use.
        return self._emulator.state.collection(f"storage.objects/~versions/{bucket}")

    def names(self, bucket: str) -> list[str]:
        """The names of all objects of a bucket, in order (by code point, which is the order of their UTF-8 bytes).

        The list changes when objects come and go: hold the lock, or copy it.
        """
        with self.lock:
            names = self._names.get(bucket)
            if names is None:
                names = self._names[bucket] = sorted(self.objects(bucket))
            return names

    def next_generation(self) -> int:
        """A generation number: microseconds since 1970, never the same twice."""
        with self.lock:
            self._last_generation = max(self._last_generation + 1, time.time_ns() // 1000)
            return self._last_generation

    def put(
        self,
        bucket: str,
        name: str,
        blob: BlobInfo,
        fields: dict[str, Any],
        *,
        component_count: int | None = None,
        kms_version: str = "",
    ) -> Document:
        """Keep an object in place of any that has the name; the reference to the blob becomes the object's."""
        with self.lock, self._emulator.state.transaction():
            objects, names = self.objects(bucket), self.names(bucket)
            generation = self.next_generation()
            moment = timestamp()
            stored: Document = {
                "generation": generation,
                "metageneration": 1,
                "size": blob.size,
                "blob": blob.id,
                "crc32c": blob.crc32c,
                "md5": blob.md5,
                "timeCreated": moment,
                "updated": moment,
                "fields": self._with_defaults(bucket, fields),
            }
            if component_count is not None:
                stored["componentCount"] = component_count
            if kms_version:
                stored["kmsKeyName"] = kms_version
            old = objects.get(name)
            objects[name] = stored
            if old is None:
                insort(names, name)
            else:
                self._retire(bucket, name, old)
            return stored

    def _with_defaults(self, bucket: str, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields of a new object with what its bucket says of new objects."""
        chosen = self.bucket(bucket)["fields"]
        if (chosen.get("autoclass") or {}).get("enabled") is True:
            made = {**fields, "storageClass": "STANDARD"}  # whatever the client asks for
        else:
            made = {"storageClass": chosen.get("storageClass", "STANDARD"), **fields}
        if chosen.get("defaultEventBasedHold") in (True, "true"):
            made.setdefault("eventBasedHold", True)
        return made

    def replace_fields(self, bucket: str, name: str, stored: Document, fields: dict[str, Any]) -> Document:
        """Keep an object with other metadata: the next metageneration."""
        changed = {**stored, "metageneration": stored["metageneration"] + 1, "updated": timestamp(), "fields": fields}
        if fields.get("storageClass") != stored["fields"].get("storageClass"):
            changed["timeStorageClassUpdated"] = changed["updated"]
        self.objects(bucket)[name] = changed
        return changed

    def delete(self, bucket: str, name: str, *, for_good: bool = False) -> None:
        """Remove an object. Where the bucket keeps versions, it becomes a noncurrent one, unless it goes for good.

        Raises:
            KeyError: there is none.
        """
        with self.lock, self._emulator.state.transaction():
            objects, names = self.objects(bucket), self.names(bucket)
            stored = objects[name]
            del objects[name]
            del names[bisect_left(names, name)]
            if for_good:
                self.release(stored["blob"])
            else:
                self._retire(bucket, name, stored)

    def delete_version(self, bucket: str, name: str, generation: int) -> None:
        """Remove a noncurrent version.

        Raises:
            KeyError: there is none.
        """
        with self.lock, self._emulator.state.transaction():
            versions, key = self.versions(bucket), version_key(name, generation)
            blob = versions[key]["blob"]
            del versions[key]
            self.release(blob)

    def _retire(self, bucket: str, name: str, stored: Document) -> None:
        """Keep what was replaced or deleted where the bucket keeps versions; else let its bytes go."""
        if (self.bucket(bucket)["fields"].get("versioning") or {}).get("enabled") in (True, "true"):
            self.versions(bucket)[version_key(name, stored["generation"])] = {**stored, "timeDeleted": timestamp()}
        else:
            self.release(stored["blob"])

    def retain(self, blob_id: str) -> None:
        """Count one more who refers to a blob."""
        with self.lock:
            count = self._references.get(blob_id, {"count": 1})["count"]
            self._references[blob_id] = {"count": count + 1}

    def release(self, blob_id: str) -> None:
        """Count one less; the bytes go with the last."""
        with self.lock:
            # A blob without a count has one who refers to it: whoever made it.
            count = self._references.get(blob_id, {"count": 1})["count"] - 1
            if count > 1:
                self._references[blob_id] = {"count": count}
                return
            self._references.pop(blob_id, None)
            if count < 1:
                state = self._emulator.state
                state.after_commit(lambda: state.blobs.delete(blob_id))


def store(emulator: Emulator) -> Store:
    """Cloud Storage of this emulator."""
    return emulator.service(Store)
