"""``multipart/related`` uploads: metadata as JSON, then the object's bytes, which are never held whole.

https://cloud.google.com/storage/docs/uploading-objects#multipart-upload
"""

from __future__ import annotations

from dataclasses import dataclass
from email.message import Message
from typing import TYPE_CHECKING, Any, NamedTuple

from ..http.call import parse_json
from .errors import invalid_argument

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

#: What comes before the bytes: two part headers and the metadata.
_MOST_METADATA = 1024 * 1024
_LINE_FEED = ord("\n")


@dataclass(slots=True)
class Related:
    """The parts of a body: metadata, media type of the bytes (empty if not said), the bytes."""

    metadata: dict[str, Any]
    content_type: str
    media: AsyncIterator[bytes]


def boundary_of(content_type: str) -> str:
    """The boundary in a ``Content-Type`` header.

    Raises:
        ApiError: 400 if it is not ``multipart/related`` with a boundary.
    """
    message = Message()
    message["content-type"] = content_type
    boundary = message.get_boundary()
    if message.get_content_maintype() != "multipart" or not boundary:
        raise invalid_argument("Missing boundary: an upload in parts is sent as multipart/related with a boundary")
    # gcloud quotes with apostrophes, which are no quotation marks by the standard.
    return boundary[1:-1] if len(boundary) > 2 and boundary[0] == boundary[-1] == "'" else boundary


async def read_related(chunks: AsyncIterator[bytes], boundary: str) -> Related:
    """Read up to where the bytes of the object begin.

    Args:
        chunks: the body.
        boundary: what separates its parts.

    Raises:
        ApiError: 400 if the body does not consist of two parts.
    """
    mark = b"--" + boundary.encode("latin-1", "replace")
    buffer = bytearray()
    found: _Found | None = None
    looked_at = 0
    async for chunk in chunks:
        buffer += chunk
        # Not for every chunk anew: a body in tiny pieces would take for ever.
        if len(buffer) > 1.5 * looked_at:
            looked_at = len(buffer)
            found = _two_parts(buffer, mark)
        if found is not None:
            break
        if len(buffer) > 2 * _MOST_METADATA:
            raise invalid_argument("Malformed multipart body: no second part within the first megabyte")
    else:
        found = _two_parts(buffer, mark)
    if found is None:
        raise invalid_argument("Malformed multipart body: it has no two parts")
    content_type = ""
    for line in found.headers.splitlines():
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-type":
            content_type = value.strip().decode("latin-1")
    media = _media(bytes(buffer[found.end :]), chunks, found.newline + mark)
    return Related(parse_json(found.metadata), content_type, media)


class _Found(NamedTuple):
    """Contents of the first part, headers of the second and where its contents begin, and how lines end."""

    metadata: bytes
    headers: bytes
    end: int
    newline: bytes


def _two_parts(buffer: bytearray, mark: bytes) -> _Found | None:
    """The beginning of a body up to the contents of its second part; None if more of it is needed."""
    first = _delimiter(buffer, mark, 0)
    begin = first and _behind_headers(buffer, first[1])
    second = begin and _delimiter(buffer, mark, begin)
    end = second and _behind_headers(buffer, second[1])
    if not (first and begin and second and end):
        return None
    # Lines end with CR LF by the standard; some of Google's own clients send LF only.
    newline = b"\r\n" if buffer[first[1] - 2 : first[1]] == b"\r\n" else b"\n"
    return _Found(bytes(buffer[begin : second[0]]), bytes(buffer[second[1] : end]), end, newline)


def _delimiter(buffer: bytearray, mark: bytes, at: int) -> tuple[int, int] | None:
    """Where the next line that separates parts begins and ends."""
    while (at := buffer.find(mark, at)) >= 0:
        if at and buffer[at - 1] != _LINE_FEED:
            at += 1
            continue
        end = buffer.find(b"\n", at) + 1
        if not end:
            return None
        if not buffer[at + len(mark) : end].strip():
            return at, end
        at = end
    return None


def _behind_headers(buffer: bytearray, at: int) -> int | None:
    """Where the empty line that ends the headers of a part ends."""
    while (end := buffer.find(b"\n", at) + 1) > 0:
        if not buffer[at:end].strip():
            return end
        at = end
    return None


async def _media(first: bytes, chunks: AsyncIterator[bytes], closing: bytes) -> AsyncIterator[bytes]:
    held = first
    back = len(closing) - 1
    while True:
        at = held.find(closing)
        if at >= 0:
            if at:
                yield held[:at]
            async for _ in chunks:
                pass  # what follows the last part means nothing
            return
        if len(held) > back:
            yield held[:-back]
            held = held[-back:]
        chunk = await anext(chunks, None)
        if chunk is None:
            raise invalid_argument("Malformed multipart body: the last part does not end with the boundary")
        held += chunk
