"""Objects: metadata, list, delete, copy, rewrite, move, compose.

https://cloud.google.com/storage/docs/json_api/v1/objects
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from ..core.errors import ApiError
from ..http.routing import Routes
from . import conditions
from .access import bucket_for, holds, require
from .buckets import merged
from .downloads import media
from .encryption import default_key, require_readable, version_for
from .errors import invalid_argument, no_access, no_object, required
from .listing import Query, list_names
from .protection import check_deletable, expiration, released
from .resources import OBJECT_SETTABLE, STORAGE_CLASSES, known_fields, object_resource
from .store import store, version_key

if TYPE_CHECKING:
    from ..core.state import BlobInfo, Collection, Document
    from ..http.call import Call

routes = Routes("storage")

#: https://cloud.google.com/storage/docs/composing-objects
_MOST_SOURCES = 32


@routes.method("objects.get")
async def get(call: Call) -> dict[str, Any] | Response:
    """An object's metadata, or its bytes with ``alt=media``."""
    bucket_name, name = call.path["bucket"], call.path["object"]
    bucket = bucket_for(call, "storage.objects.get", kind="object")
    stored = find(call, bucket_name, name, bucket)
    if conditions.not_modified(call.query, stored):
        return Response(status_code=304)
    if call.query.get("alt") == "media":
        require_readable(call.emulator, bucket, stored)
        return media(call, stored)
    return object_resource(bucket_name, name, stored, call.base_url, expiration(bucket, stored))


@routes.method("objects.list", note="softDeleted and filter are refused; a page of versions ends with a name")
def list_objects(call: Call) -> dict[str, Any]:
    """One page of objects, and of prefixes if a delimiter is given."""
    bucket_name = call.path["bucket"]
    bucket = bucket_for(call, "storage.objects.list")
    query = call.query
    for name in ("softDeleted", "filter"):
        if query.get(name) not in (None, "", "false"):
            raise ApiError(501, f"The emulator does not serve {name} of storage.objects.list.")
    kept = store(call.emulator)
    asked = Query(
        prefix=query.get("prefix", ""),
        delimiter=query.get("delimiter", ""),
        start=query.get("startOffset", ""),
        end=query.get("endOffset", ""),
        glob=query.get("matchGlob", ""),
        trailing_delimiter=query.get("includeTrailingDelimiter") == "true",
        limit=call.page_size("maxResults", 1000, 1000),
        token=query.get("pageToken"),
    )
    with kept.lock:
        objects = kept.objects(bucket_name)
        earlier = _noncurrent(kept.versions(bucket_name)) if query.get("versions") == "true" else {}
        names = sorted({*kept.names(bucket_name), *earlier}) if earlier else kept.names(bucket_name)
        found = list_names(names, asked)
        items = [
            object_resource(bucket_name, name, stored, call.base_url, expiration(bucket, stored))
            for name in found.names
            for stored in (*earlier.get(name, ()), *((objects[name],) if name in objects else ()))
        ]
    answer: dict[str, Any] = {"kind": "storage#objects"}
    if items:
        answer["items"] = items
    if found.prefixes:
        answer["prefixes"] = found.prefixes
    if found.token:
        answer["nextPageToken"] = found.token
    return answer


def _noncurrent(versions: Collection) -> dict[str, list[Document]]:
    """Noncurrent versions by the name of their object, the oldest first."""
    found: dict[str, list[Document]] = {}
    for key in sorted(versions):
        found.setdefault(key.partition("\n")[0], []).append(versions[key])
    return found


@routes.method("objects.patch")
def patch(call: Call) -> dict[str, Any]:
    """Change some fields: a nested value is merged, null removes."""
    return _change(call, merge=True)


@routes.method("objects.update")
def update(call: Call) -> dict[str, Any]:
    """Replace every field that can be changed."""
    return _change(call, merge=False)


@routes.method("objects.delete", note="soft delete keeps nothing: deleted objects can be neither listed nor restored")
def delete(call: Call) -> Response:
    """Delete an object; with a generation, that version for good."""
    bucket_name, name = call.path["bucket"], call.path["object"]
    kept = store(call.emulator)
    with kept.lock:
        bucket = bucket_for(call, "storage.objects.delete", kind="object")
        stored = find(call, bucket_name, name, bucket)
        conditions.check(call.query, stored)
        check_deletable(bucket, bucket_name, name, stored)
        if "timeDeleted" in stored:
            kept.delete_version(bucket_name, name, stored["generation"])
        else:
            kept.delete(bucket_name, name, for_good=bool(call.query.get("generation")))
    return Response(status_code=204)


@routes.method("objects.copy")
def copy(call: Call) -> dict[str, Any]:
    """Copy an object; the bytes are shared."""
    return _copied(call)


@routes.method("objects.rewrite")
def rewrite(call: Call) -> dict[str, Any]:
    """Copy an object, done in one call."""
    resource = _copied(call)
    return {
        "kind": "storage#rewriteResponse",
        "totalBytesRewritten": resource["size"],
        "objectSize": resource["size"],
        "done": True,
        "resource": resource,
    }


@routes.method("objects.move")
def move(call: Call) -> dict[str, Any]:
    """Rename an object within its bucket."""
    bucket_name, old_name, name = call.path["bucket"], call.path["sourceObject"], call.path["destinationObject"]
    kept = store(call.emulator)
    with kept.lock:
        bucket = bucket_for(call, "storage.objects.move", kind="object")
        source = find(call, bucket_name, old_name, bucket)
        conditions.check(call.query, source, "Source")
        check_deletable(bucket, bucket_name, old_name, source)
        require_readable(call.emulator, bucket, source)
        with call.emulator.state.transaction():
            kept.retain(source["blob"])
            try:
                stored = keep(call, bucket_name, bucket, name, blob_of(source), source["fields"])
            except ApiError:
                kept.release(source["blob"])
                raise
            if name != old_name:
                kept.delete(bucket_name, old_name)
    return object_resource(bucket_name, name, stored, call.base_url, expiration(bucket, stored))


@routes.method("objects.compose", blocking=True)
def compose(call: Call) -> dict[str, Any]:
    """Join up to 32 objects of a bucket into one."""
    bucket_name, name = call.path["destinationBucket"], call.path["destinationObject"]
    bucket = bucket_for(call, "storage.objects.create", bucket_name, "object")
    require(call, "storage.objects.get", bucket_name, bucket, "object")
    body = known_fields("ComposeRequest", call.body)
    sources = body.get("sourceObjects") or []
    if not sources:
        raise required("sourceObjects")
    if len(sources) > _MOST_SOURCES:
        raise invalid_argument(
            f"The number of source components provided ({len(sources)}) exceeds the maximum ({_MOST_SOURCES})"
        )
    check_name(name)
    kept, blobs = store(call.emulator), call.emulator.state.blobs
    with kept.lock:
        found = []
        for source in sources:
            part = _component(call, bucket_name, source)
            require_readable(call.emulator, bucket, part)
            kept.retain(part["blob"])
            found.append(part)
        key_version(call, bucket)  # known before anything is written; checked again when it is kept
    writer = blobs.create()
    try:
        for part in found:
            for chunk in blobs.chunks(part["blob"]):
                writer.write(chunk)
        blob = writer.commit()
    except BaseException:
        writer.abort()
        raise
    finally:
        for part in found:
            kept.release(part["blob"])
    fields = settable(body.get("destination") or {})
    fields.setdefault("contentType", found[0]["fields"].get("contentType", "application/octet-stream"))
    count = sum(part.get("componentCount", 1) for part in found)
    try:
        with kept.lock:
            stored = keep(call, bucket_name, bucket, name, blob, fields, component_count=count)
            if body.get("deleteSourceObjects") in (True, "true"):
                for source in sources:
                    if source["name"] != name and source["name"] in kept.objects(bucket_name):
                        kept.delete(bucket_name, source["name"])
    except ApiError:
        blobs.delete(blob.id)
        raise
    return object_resource(bucket_name, name, stored, call.base_url, expiration(bucket, stored))


def find(call: Call, bucket_name: str, name: str, bucket: Document, generation: str = "generation") -> Document:
    """An object as kept.

    Args:
        call: the call.
        bucket_name: its bucket.
        name: its name.
        bucket: the bucket as kept.
        generation: the query parameter that names the generation.

    Raises:
        ApiError: 404 if there is none, or not in that generation; 403 instead if the caller may not list.
    """
    kept = store(call.emulator)
    stored = kept.objects(bucket_name).get(name)
    wanted = conditions.number(call.query, generation)
    if wanted is not None and (stored is None or wanted != stored["generation"]):
        stored = kept.versions(bucket_name).get(version_key(name, wanted)) if wanted > 0 else None
    if stored is None:
        if not holds(call, "storage.objects.list", bucket_name, bucket):
            raise no_access(call.principal, "storage.objects.list", "bucket")
        raise no_object(bucket_name, name)
    return stored


def keep(
    call: Call,
    bucket_name: str,
    bucket: Document,
    name: str,
    blob: BlobInfo,
    fields: dict[str, Any],
    *,
    component_count: int | None = None,
) -> Document:
    """Keep a new object if the call's preconditions hold and what it replaces may be replaced.

    Raises:
        ApiError: 403 or 412, or 400 about the key; the blob is then still the caller's.
    """
    kept = store(call.emulator)
    with kept.lock:
        kept.bucket(bucket_name)
        old = kept.objects(bucket_name).get(name)
        conditions.check(call.query, old)
        if old is not None:
            require(call, "storage.objects.delete", bucket_name, bucket, "object")
            check_deletable(bucket, bucket_name, name, old)
        version = key_version(call, bucket)
        return kept.put(bucket_name, name, blob, fields, component_count=component_count, kms_version=version)


def key_version(call: Call, bucket: Document) -> str:
    """The version of the key that encrypts the object which a call makes; empty without one.

    Raises:
        ApiError: 400 or 403 if the key can't be used.
    """
    key = call.query.get("kmsKeyName") or call.query.get("destinationKmsKeyName") or default_key(bucket)
    return version_for(call.emulator, bucket, key)


def settable(body: dict[str, Any]) -> dict[str, Any]:
    """The fields of an object that its writer sets.

    Raises:
        ApiError: 400 for an unknown storage class.
    """
    fields = {key: body[key] for key in OBJECT_SETTABLE if body.get(key) is not None}
    storage_class = fields.get("storageClass", "STANDARD")
    if storage_class not in STORAGE_CLASSES:
        raise invalid_argument(f"Invalid storage class: '{storage_class}'")
    return fields


def check_name(name: str) -> None:
    """Refuse what can't be the name of an object (https://cloud.google.com/storage/docs/objects#naming).

    Raises:
        ApiError: 400.
    """
    if not name:
        raise required("name")
    if len(name.encode("utf-8", "surrogatepass")) > 1024 or "\n" in name or "\r" in name or name in (".", ".."):
        raise invalid_argument(f"Disallowed object name: '{name[:100]}'")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise invalid_argument("Object names must be valid UTF-8") from None


def blob_of(stored: Document) -> BlobInfo:
    """Where the bytes of an object are."""
    from ..core.state import BlobInfo

    return BlobInfo(stored["blob"], stored["size"], stored["crc32c"], stored["md5"])


def _change(call: Call, *, merge: bool) -> dict[str, Any]:
    bucket_name, name = call.path["bucket"], call.path["object"]
    kept = store(call.emulator)
    with kept.lock:
        bucket = bucket_for(call, "storage.objects.update", kind="object")
        stored = find(call, bucket_name, name, bucket)
        conditions.check(call.query, stored)
        body = known_fields("Object", call.body, merge=merge)
        sent = {key: value for key, value in body.items() if key in OBJECT_SETTABLE}
        fields = settable(merged(stored["fields"] if merge else {}, sent))
        if "storageClass" in stored["fields"]:
            fields.setdefault("storageClass", stored["fields"]["storageClass"])
        if fields.get("storageClass", "STANDARD") != stored["fields"].get("storageClass", "STANDARD"):
            raise invalid_argument("The storage class of an object is changed by rewriting it, not by an update.")
        if "timeDeleted" in stored:
            raise ApiError(501, "The emulator does not serve changes of noncurrent versions.")
        changed = kept.replace_fields(bucket_name, name, {**stored, **released(stored, fields)}, fields)
    return object_resource(bucket_name, name, changed, call.base_url, expiration(bucket, changed))


def _copied(call: Call) -> dict[str, Any]:
    path = call.path
    source_bucket, source_name = path["sourceBucket"], path["sourceObject"]
    bucket_name, name = path["destinationBucket"], path["destinationObject"]
    kept = store(call.emulator)
    with kept.lock:
        origin = bucket_for(call, "storage.objects.get", source_bucket, "object")
        bucket = bucket_for(call, "storage.objects.create", bucket_name, "object")
        source = find(call, source_bucket, source_name, origin, "sourceGeneration")
        conditions.check(call.query, source, "Source")
        require_readable(call.emulator, origin, source)
        check_name(name)
        fields = settable(known_fields("Object", call.body))
        if fields:
            # A body replaces all of the source's metadata.
            if "contentType" in source["fields"]:
                fields.setdefault("contentType", source["fields"]["contentType"])
        else:
            # Holds and the storage class are those of the destination.
            own = ("storageClass", "eventBasedHold", "temporaryHold")
            fields = {key: value for key, value in source["fields"].items() if key not in own}
        kept.retain(source["blob"])
        try:
            stored = keep(
                call, bucket_name, bucket, name, blob_of(source), fields, component_count=source.get("componentCount")
            )
        except ApiError:
            kept.release(source["blob"])
            raise
    return object_resource(bucket_name, name, stored, call.base_url, expiration(bucket, stored))


def _component(call: Call, bucket_name: str, source: dict[str, Any]) -> Document:
    name = source.get("name")
    if not name:
        raise required("sourceObjects.name")
    stored = store(call.emulator).objects(bucket_name).get(name)
    wanted = source.get("generation")
    if stored is None or (wanted not in (None, "") and int(wanted) != stored["generation"]):
        raise no_object(bucket_name, name)
    match = (source.get("objectPreconditions") or {}).get("ifGenerationMatch")
    if match not in (None, ""):
        conditions.check({"ifGenerationMatch": str(match)}, stored)
    return stored
