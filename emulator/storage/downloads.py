"""The bytes of an object (``alt=media``): whole or a range, streamed.

https://cloud.google.com/storage/docs/json_api/v1/objects/get
"""

from __future__ import annotations

import asyncio
import re
import zlib
from datetime import datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING

from starlette.responses import Response

from ..core.errors import ApiError
from .resources import etag

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Receive, Scope, Send

    from ..core.state import Blobs, Document
    from ..http.call import Call

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
_CHUNK = 1024 * 1024


class MediaResponse(Response):
    """Bytes of a blob, read in a worker thread one chunk ahead of what is sent.

    Args:
        blobs: where the blob is.
        blob_id: the blob.
        start: first byte.
        end: byte after the last.
        status: HTTP status.
        headers: response headers, with the content length.
    """

    def __init__(self, blobs: Blobs, blob_id: str, start: int, end: int, status: int, headers: dict[str, str]) -> None:
        super().__init__(None, status, headers)
        self._blobs = blobs
        self._blob_id = blob_id
        self._start = start
        self._end = end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI has it
        """Send the response."""
        chunks = self._blobs.chunks(self._blob_id, self._start, self._end, _CHUNK)
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if self._end - self._start <= _CHUNK:
            body = b"".join(chunks)
        else:
            body = b""
            loop = asyncio.get_running_loop()
            ahead = loop.run_in_executor(None, _next, chunks)
            while chunk := await ahead:
                ahead = loop.run_in_executor(None, _next, chunks)
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": body, "more_body": False})


def _next(chunks: Iterator[bytes]) -> bytes:
    return next(chunks, b"")


def media(call: Call, stored: Document) -> Response:
    """The answer with the bytes of an object.

    Raises:
        ApiError: 416 if the range begins after the end.
    """
    fields = stored["fields"]
    size = stored["size"]
    hashes = f"crc32c={stored['crc32c']}"
    if "componentCount" not in stored:
        hashes += f",md5={stored['md5']}"
    encoding = fields.get("contentEncoding", "")
    headers = {
        "content-type": fields.get("contentType", "application/octet-stream"),
        "etag": etag(stored["generation"], stored["metageneration"]),
        "last-modified": format_datetime(datetime.fromisoformat(stored["updated"]), usegmt=True),
        "cache-control": fields.get("cacheControl", "no-cache, no-store, max-age=0, must-revalidate"),
        "accept-ranges": "bytes",
        "x-goog-generation": str(stored["generation"]),
        "x-goog-metageneration": str(stored["metageneration"]),
        "x-goog-stored-content-encoding": encoding or "identity",
        "x-goog-stored-content-length": str(size),
        "x-goog-storage-class": fields.get("storageClass", "STANDARD"),
        "x-goog-hash": hashes,
        # An object may be a web page: it must not run as part of the console, which has the same address.
        "content-security-policy": "sandbox",
        "x-content-type-options": "nosniff",
    }
    for key, header in (("contentDisposition", "content-disposition"), ("contentLanguage", "content-language")):
        if key in fields:
            headers[header] = fields[key]
    headers = {key: _header(value) for key, value in headers.items()}
    blobs = call.emulator.state.blobs
    if encoding == "gzip" and "gzip" not in call.headers.get("accept-encoding", ""):
        # Decompressive transcoding: https://cloud.google.com/storage/docs/transcoding
        try:
            body = zlib.decompress(blobs.read(stored["blob"]), wbits=31)
        except zlib.error:
            body = None
        if body is not None:
            headers["vary"] = "Accept-Encoding"
            headers["warning"] = "214 UploadServer gunzipped"
            return Response(body, 200, headers)
    if encoding:
        headers["content-encoding"] = _header(encoding)
    start, end, status = _range(call.headers.get("range"), size)
    if status == 206:
        headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
    headers["content-length"] = str(end - start)
    return MediaResponse(blobs, stored["blob"], start, end, status, headers)


def _header(text: str) -> str:
    """What people set, as the value of a header: no line can be begun with it."""
    return "".join(char if " " <= char <= "~" else "?" for char in text)


def _range(header: str | None, size: int) -> tuple[int, int, int]:
    """First byte, byte after the last, and status. What is not one simple range is answered with everything."""
    found = _RANGE.fullmatch(header.strip()) if header else None
    if found is None or (not found[1] and not found[2]):
        return 0, size, 200
    if not found[1]:
        start, end = max(0, size - int(found[2])), size
    else:
        start = int(found[1])
        end = min(size, int(found[2]) + 1) if found[2] else size
        if found[2] and int(found[2]) < start:
            return 0, size, 200
    if start >= size:
        raise ApiError(
            416,
            "Request range not satisfiable",
            reason="requestedRangeNotSatisfiable",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return start, end, 206
