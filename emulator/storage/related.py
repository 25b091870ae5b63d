"""``multipart/related`` uploads: metadata as JSON, then the object's bytes, which are never held whole.

https://cloud.google.com/storage/docs/uploading-objects#multipart-upload
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.message import Message
from typing import TYPE_CHECKING, Any

from ..call import parse_json
from .errors import invalid_argument

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

#: What comes before the bytes: two part headers and the metadata.
_MOST_METADATA = 1024 * 1024


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
    buffer = b""
    # Lines end with CR LF by the standard; some of Google's own clients send LF only.
    opening = re.compile(rb"(?:^|\r?\n)" + re.escape(mark) + rb"[ \t]*(\r?\n)(.*?)\r?\n\r?\n", re.DOTALL)
    both = re.compile(
        opening.pattern + rb"(.*?)\r?\n" + re.escape(mark) + rb"[ \t]*\r?\n((?:[^\r\n]+\r?\n)*)\r?\n",
        re.DOTALL,
    )
    while True:
        found = both.search(buffer) if buffer.count(mark) > 1 else None
        if found is not None:
            break
        if len(buffer) > _MOST_METADATA:
            raise invalid_argument("Malformed multipart body: no second part within the first megabyte")
        chunk = await anext(chunks, None)
        if chunk is None:
            raise invalid_argument("Malformed multipart body: it has no two parts")
        buffer += chunk
    newline, metadata, headers = found[1], found[3], found[4]
    content_type = ""
    for line in headers.splitlines():
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-type":
            content_type = value.strip().decode("latin-1")
    return Related(parse_json(metadata), content_type, _media(buffer[found.end() :], chunks, newline + mark))


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
