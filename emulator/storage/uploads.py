"""Uploads: simple, in parts, resumable.

https://cloud.google.com/storage/docs/uploads-downloads
"""

from __future__ import annotations

import asyncio
import re
import secrets
from typing import TYPE_CHECKING, Any

from starlette.datastructures import QueryParams
from starlette.responses import Response

from ..core.errors import ApiError
from ..http.call import parse_json
from . import conditions
from .access import bucket_for
from .errors import invalid_argument, required
from .objects import check_name, keep, key_version, routes, settable
from .protection import expiration
from .related import boundary_of, read_related
from .resources import known_fields, object_resource
from .store import store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from ..core.runtime import Emulator
    from ..core.state import BlobInfo, BlobWriter, Document
    from ..http.call import Call

#: Chunks of a resumable upload are multiples of this, but for the last.
_QUANTUM = 256 * 1024
#: Bytes that are handed to worker threads together; less than this is written at once.
_BATCH = 2 * 1024 * 1024

_CONTENT_RANGE = re.compile(r"bytes (?:([0-9]{1,18})-([0-9]{1,18})|\*)/([0-9]{1,18}|\*)")


@routes.method("objects.insert", streams=True, note="ACLs and customer-supplied encryption keys are ignored")
async def insert(call: Call) -> dict[str, Any] | Response:
    """Upload an object."""
    http_method = call.method.http_method
    if http_method != "POST":
        return await _resume(call, http_method)
    bucket_name = call.path["bucket"]
    bucket = bucket_for(call, "storage.objects.create", bucket_name, "object")
    content_type = call.headers.get("content-type", "")
    kind = call.query.get("uploadType", "")
    if not call.upload:
        return await _store_media(call, bucket, parse_json(await call.read()), "", _nothing())
    key_version(call, bucket)  # known before the bytes are read, as are the preconditions
    if kind == "resumable":
        return await _begin(call, bucket_name)
    if kind == "multipart" or (not kind and content_type.startswith("multipart/related")):
        related = await read_related(call.stream(), boundary_of(content_type))
        return await _store_media(call, bucket, related.metadata, related.content_type, related.media)
    if kind == "media":
        return await _store_media(call, bucket, {}, content_type, call.stream())
    raise invalid_argument(f"Invalid upload type: '{kind}'; it is media, multipart or resumable")


async def _nothing() -> AsyncIterator[bytes]:
    yield b""


async def _store_media(
    call: Call, bucket: Document, metadata: dict[str, Any], content_type: str, media: AsyncIterator[bytes]
) -> dict[str, Any]:
    bucket_name = call.path["bucket"]
    body = known_fields("Object", metadata)
    name = call.query.get("name") or body.get("name", "")
    check_name(name)
    # Known before the bytes are read, so that nobody uploads a gigabyte in vain; checked again when it is kept.
    conditions.check(call.query, store(call.emulator).objects(bucket_name).get(name))
    fields = _fields(call.query, body, content_type)
    writer = call.emulator.state.blobs.create()
    if (length := call.headers.get("content-length", "")).isdecimal():
        writer.expect(int(length[:15]))
    try:
        await pump(media, writer)
        _check_sums(writer, _announced(body, call))
        blob = writer.commit()
    except BaseException:
        writer.abort()
        raise
    stored = _keep(call, bucket_name, bucket, name, blob, fields)
    return object_resource(bucket_name, name, stored, call.base_url, expiration(bucket, stored))


def _keep(
    call: Call, bucket_name: str, bucket: Document, name: str, blob: BlobInfo, fields: dict[str, Any]
) -> Document:
    try:
        return keep(call, bucket_name, bucket, name, blob, fields)
    except ApiError:
        call.emulator.state.blobs.delete(blob.id)
        raise


def _fields(query: QueryParams, body: dict[str, Any], content_type: str) -> dict[str, Any]:
    fields = settable(body)
    if not fields.get("contentType"):
        fields["contentType"] = content_type or "application/octet-stream"
    if query.get("contentEncoding"):
        fields["contentEncoding"] = query["contentEncoding"]
    return fields


async def pump(chunks: AsyncIterator[bytes], writer: BlobWriter, skip: int = 0) -> None:
    """Write chunks as they come: a batch is hashed and written by worker threads while the next is received.

    Args:
        chunks: the bytes.
        writer: where they go.
        skip: how many bytes at the beginning are there already.
    """
    loop = asyncio.get_running_loop()
    batch: list[bytes] = []
    size = 0
    working: list[asyncio.Future[None]] = []
    try:
        async for chunk in chunks:
            if skip:
                chunk, skip = chunk[skip:], max(0, skip - len(chunk))  # noqa: PLW2901 - the rest of it
            batch.append(chunk)
            size += len(chunk)
            if size >= _BATCH:
                for work in working:
                    await work
                # Checksums and the disk take about as long as each other; neither holds the interpreter's lock.
                working = [loop.run_in_executor(None, _each, do, batch) for do in (writer.digest, writer.append)]
                batch, size = [], 0
    finally:
        for work in working:
            await work
        _each(writer.write, batch)


def _each(do: Callable[[bytes], None], batch: list[bytes]) -> None:
    for chunk in batch:
        do(chunk)


def _announced(body: dict[str, Any], call: Call) -> dict[str, str]:
    """Checksums that the client sent: in the metadata or in headers."""
    announced = {}
    for part in call.headers.get("x-goog-hash", "").split(","):
        name, _, value = part.strip().partition("=")
        if name in ("crc32c", "md5") and value:
            announced[name] = value
    if body.get("crc32c"):
        announced["crc32c"] = body["crc32c"]
    if body.get("md5Hash"):
        announced["md5"] = body["md5Hash"]
    if call.headers.get("content-md5") and call.query.get("uploadType") == "media":
        announced["md5"] = call.headers["content-md5"]
    return announced


def _check_sums(writer: BlobWriter, announced: dict[str, str]) -> None:
    """Refuse bytes that are not those the client announced.

    Raises:
        ApiError: 400.
    """
    sums = writer.sums()
    for name, shown in (("crc32c", "CRC32C"), ("md5", "MD5 hash")):
        sent = announced.get(name)
        if sent is not None and sent != sums[name]:
            raise invalid_argument(f'Provided {shown} "{sent}" doesn\'t match calculated {shown} "{sums[name]}".')


class Sessions:
    """Resumable uploads that have begun: documents, and the writers of those that go on in this process.

    Args:
        emulator: whose state this is.
    """

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self.documents = emulator.state.collection("storage.uploads")
        self._writers: dict[str, BlobWriter] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        emulator.on_reset(self._abort)
        emulator.on_close(self._close)

    def begin(self, document: Document) -> str:
        """Begin a session; returns its id."""
        upload_id = secrets.token_urlsafe(48)
        writer = self._emulator.state.blobs.create()
        self._writers[upload_id] = writer
        self.documents[upload_id] = {**document, "blob": writer.id}
        return upload_id

    def writer(self, upload_id: str) -> BlobWriter:
        """Where its bytes go; after a restart with those that arrived before."""
        writer = self._writers.get(upload_id)
        if writer is None:
            document = self.documents[upload_id]
            writer = self._emulator.state.blobs.reopen(document["blob"], document.get("received", 0))
            self._writers[upload_id] = writer
        return writer

    def received(self, upload_id: str) -> None:
        """Have what arrived outlive the process."""
        writer = self._writers[upload_id]
        writer.flush()
        self.documents[upload_id] = {**self.documents[upload_id], "received": writer.size}

    def lock(self, upload_id: str) -> asyncio.Lock:
        """One chunk at a time."""
        return self._locks.setdefault(upload_id, asyncio.Lock())

    def end(self, upload_id: str, generation: int | None) -> None:
        """The object is there, or the upload was cancelled (None)."""
        self._writers.pop(upload_id, None)
        if generation is None:
            self.documents.pop(upload_id, None)
            self._locks.pop(upload_id, None)
        else:
            self.documents[upload_id] = {**self.documents[upload_id], "generation": generation}

    def _abort(self) -> None:
        for writer in self._writers.values():
            writer.abort()
        self._writers.clear()
        self._locks.clear()

    def _close(self) -> None:
        if self._emulator.state.blobs.durable:
            for writer in self._writers.values():
                writer.close()
            self._writers.clear()
        else:
            self._abort()


async def _begin(call: Call, bucket_name: str) -> Response:
    body = known_fields("Object", parse_json(await call.read()))
    name = call.query.get("name") or body.get("name", "")
    check_name(name)
    conditions.check(call.query, store(call.emulator).objects(bucket_name).get(name))
    length = call.headers.get("x-upload-content-length", "")
    upload_id = call.emulator.service(Sessions).begin(
        {
            "bucket": bucket_name,
            "name": name,
            "fields": _fields(call.query, body, call.headers.get("x-upload-content-type", "")),
            "query": dict(call.query),
            "announced": _announced(body, call),
            "size": int(length) if length.isdecimal() and len(length) < 20 else None,
        }
    )
    location = f"{call.base_url}/upload/storage/v1/b/{bucket_name}/o?uploadType=resumable&upload_id={upload_id}"
    return Response(
        status_code=200, headers={"location": location, "x-guploader-uploadid": upload_id, "content-length": "0"}
    )


async def _resume(call: Call, http_method: str) -> dict[str, Any] | Response:
    upload_id = call.query.get("upload_id")
    if not upload_id:
        raise required("upload_id")
    sessions = call.emulator.service(Sessions)
    async with sessions.lock(upload_id):
        session = sessions.documents.get(upload_id)
        if session is None or session["bucket"] != call.path["bucket"]:
            raise ApiError(404, "No such upload: it never began, has expired or was cancelled.", reason="notFound")
        if http_method == "DELETE":
            if "generation" not in session:
                sessions.writer(upload_id).abort()
                sessions.end(upload_id, None)
            return Response(status_code=499, headers={"content-length": "0"})
        return await _chunk(call, sessions, upload_id, session)


async def _chunk(call: Call, sessions: Sessions, upload_id: str, session: Document) -> dict[str, Any] | Response:
    if "generation" in session:
        stored = store(call.emulator).objects(session["bucket"]).get(session["name"])
        if stored is None:
            raise ApiError(404, "The uploaded object was deleted meanwhile.", reason="notFound")
        async for _ in call.stream():
            pass
        until = expiration(store(call.emulator).bucket(session["bucket"]), stored)
        return object_resource(session["bucket"], session["name"], stored, call.base_url, until)
    writer = sessions.writer(upload_id)
    first, last, total = _content_range(call.headers.get("content-range"))
    if total is None:
        total = session["size"]
    if first is not None:
        if first > writer.size:
            raise invalid_argument(
                f"Invalid request.  According to the Content-Range header, the upload offset is {first} byte(s), "
                f"which exceeds already uploaded size of {writer.size} byte(s)."
            )
        if last is not None and (total is None or last + 1 < total) and (last + 1 - first) % _QUANTUM:
            raise invalid_argument(
                f"Invalid request.  There were {last + 1 - first} byte(s) in the request body, but every chunk except "
                f"the last must be a multiple of {_QUANTUM} bytes."
            )
        if (length := call.headers.get("content-length", "")).isdecimal():
            writer.expect(int(length[:15]) - (writer.size - first))
        try:
            await pump(call.stream(), writer, skip=writer.size - first)
        finally:
            sessions.received(upload_id)
        if last is None:
            total = writer.size
        elif writer.size < last + 1:
            raise invalid_argument(
                f"Invalid request.  Content-Range announced {last + 1 - first} byte(s); fewer were in the request body."
            )
    if total is None or writer.size < total:
        headers = {"content-length": "0", "x-guploader-uploadid": upload_id}
        if writer.size:
            headers["range"] = f"bytes=0-{writer.size - 1}"
        return Response(status_code=308, headers=headers)
    if writer.size > total:
        raise invalid_argument(
            f"Invalid request.  {writer.size} byte(s) were uploaded, more than the total of {total}."
        )
    return _finish(call, sessions, upload_id, session, writer)


def _finish(call: Call, sessions: Sessions, upload_id: str, session: Document, writer: BlobWriter) -> dict[str, Any]:
    bucket_name, name = session["bucket"], session["name"]
    # The preconditions are those of the call that began the upload.
    call.query = QueryParams(session["query"])
    try:
        bucket = bucket_for(call, "storage.objects.create", bucket_name, "object")
        _check_sums(writer, {**session["announced"], **_announced({}, call)})
    except ApiError:
        writer.abort()
        sessions.end(upload_id, None)
        raise
    blob = writer.commit()
    try:
        with call.emulator.state.transaction():
            stored = _keep(call, bucket_name, bucket, name, blob, session["fields"])
            sessions.end(upload_id, stored["generation"])
    except ApiError:
        sessions.end(upload_id, None)
        raise
    return object_resource(bucket_name, name, stored, call.base_url, expiration(bucket, stored))


def _content_range(header: str | None) -> tuple[int | None, int | None, int | None]:
    """First and last byte, and the total: ``bytes 0-9/20`` → 0, 9, 20; ``bytes */*`` → None, None, None.

    Without a header the body is the whole object: 0, None, None.

    Raises:
        ApiError: 400 if it is malformed.
    """
    if header is None:
        return 0, None, None
    found = _CONTENT_RANGE.fullmatch(header.strip())
    if found is None or (found[1] is not None and int(found[2]) < int(found[1])):
        raise invalid_argument(f"Invalid Content-Range: '{header}'")
    total = None if found[3] == "*" else int(found[3])
    if found[1] is None:
        return None, None, total
    return int(found[1]), int(found[2]), total
