"""Uploads of load jobs: in parts, simple, and resumable.

https://cloud.google.com/bigquery/docs/reference/api-uploads
"""

from __future__ import annotations

import re
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from ..core.errors import ApiError, invalid, not_found
from ..http.call import parse_json
from ..storage.related import boundary_of, read_related

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..core.runtime import Emulator
    from ..http.call import Call

_RANGE = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)")
#: Uploads that were begun and not ended; the oldest are forgotten first.
_MOST = 1000


@dataclass(frozen=True, slots=True)
class Received:
    """A job resource and the file that belongs to it; the receiver removes the file."""

    body: dict[str, Any]
    media: Path


class _Uploads:
    """Resumable uploads of one emulator. They are not kept over a restart: a client begins again."""

    def __init__(self, emulator: Emulator) -> None:
        self.open: dict[str, tuple[dict[str, Any], Path, int]] = {}
        emulator.on_reset(self.forget)
        emulator.on_close(self.forget)

    def forget(self) -> None:
        """Remove all begun uploads."""
        for _, path, _ in self.open.values():
            path.unlink(missing_ok=True)
        self.open.clear()


def _new_file(call: Call) -> Path:
    handle, name = tempfile.mkstemp(prefix="upload-", dir=call.emulator.state.temporary)
    import os

    os.close(handle)
    return Path(name)


async def receive(call: Call) -> Received | Response:
    """The whole upload, or the answer to a step of a resumable one.

    Raises:
        ApiError: 400 for an upload that can't be read, 404 for an unknown resumable one.
    """
    if call.method.http_method == "PUT":
        return await _continue(call)
    if call.method.http_method == "DELETE":
        raise ApiError(501, "The emulator does not serve the cancelling of uploads of jobs.")
    kind = call.query.get("uploadType", "")
    content_type = call.headers.get("content-type", "")
    if kind == "resumable":
        return await _begin(call)
    if kind == "multipart" or content_type.startswith("multipart/related"):
        related = await read_related(call.stream(), boundary_of(content_type))
        return Received(related.metadata, await _write(call, related.media))
    raise invalid(f"Invalid upload type: '{kind}'; it is multipart or resumable")


async def _write(call: Call, media: AsyncIterator[bytes]) -> Path:
    path = _new_file(call)
    with path.open("wb") as out:
        async for chunk in media:
            out.write(chunk)
    return path


async def _begin(call: Call) -> Response:
    body = parse_json(await call.read())
    uploads = call.emulator.service(_Uploads)
    while len(uploads.open) >= _MOST:
        _, path, _ = uploads.open.pop(next(iter(uploads.open)))
        path.unlink(missing_ok=True)
    upload_id = secrets.token_urlsafe(24)
    uploads.open[upload_id] = (body, _new_file(call), 0)
    target = f"{call.base_url}{call.raw_path}?uploadType=resumable&upload_id={upload_id}"
    return Response(status_code=200, headers={"Location": target, "X-GUploader-UploadID": upload_id})


async def _continue(call: Call) -> Received | Response:
    uploads = call.emulator.service(_Uploads)
    upload_id = call.query.get("upload_id", "")
    if upload_id not in uploads.open:
        raise not_found(f"Not found: upload {upload_id[:80]!r}")
    body, path, size = uploads.open[upload_id]
    header = call.headers.get("content-range", "")
    found = _RANGE.fullmatch(header)
    if header and found is None:
        raise invalid(f"Failed to parse Content-Range header: {header[:80]!r}")
    if found is not None and found[1] is not None and int(found[1]) != size:
        raise ApiError(503, f"The upload has {size} bytes; the request goes on at {found[1]}")
    with path.open("ab") as out:
        async for chunk in call.stream():
            out.write(chunk)
            size += len(chunk)
    total = None if found is None or found[3] == "*" else int(found[3])
    if found is None or (total is not None and size >= total):
        del uploads.open[upload_id]
        return Received(body, path)
    uploads.open[upload_id] = (body, path, size)
    headers = {"Range": f"bytes=0-{size - 1}"} if size else {}
    return Response(status_code=308, headers=headers)
