"""Reading a multipart/related request as it arrives, part by part; large parts go to disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...core.errors import ApiError, invalid

if TYPE_CHECKING:
    from ...core.state import BlobWriter

#: Largest part, in bytes.
LARGEST_PART = 2 * 1024**3
#: Each part has an entry in the answer, which is made at the end.
MOST_PARTS = 100_000
#: Parts up to this size are handed over as bytes; what is larger is written to a blob while it arrives.
IN_MEMORY = 1024 * 1024
_LARGEST_HEAD = 16 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a request.

    Attributes:
        headers: their names in lower case.
        data: its contents: bytes, or a blob that holds them and that whoever takes the part commits or aborts.
        size: bytes of the contents.
    """

    headers: dict[str, str]
    data: bytes | BlobWriter
    size: int


class Growing:
    """Contents that arrive in pieces.

    Args:
        new_blob: makes the blob that takes them if they grow large.
    """

    def __init__(self, new_blob: Callable[[], BlobWriter]) -> None:
        self._new_blob = new_blob
        self._pieces: list[bytes] = []
        self._blob: BlobWriter | None = None
        self.headers: dict[str, str] | None = None
        self.size = 0

    async def take(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            ApiError: 413 if there are too many.
        """
        self.size += len(data)
        if self.size > LARGEST_PART:
            raise ApiError(413, f"a part of the request is larger than {LARGEST_PART >> 30} GiB")
        self._pieces.append(data)
        if self._blob is None and self.size <= IN_MEMORY:
            return
        blob = self._blob = self._blob or self._new_blob()
        pieces, self._pieces = self._pieces, []
        await asyncio.to_thread(blob.write, b"".join(pieces))

    def whole(self) -> Part:
        """The part, once everything is there."""
        blob, self._blob = self._blob, None
        return Part(self.headers or {}, blob if blob is not None else b"".join(self._pieces), self.size)

    def abort(self) -> None:
        """Throw away what is on disk, unless it was handed over."""
        if self._blob is not None:
            self._blob.abort()


async def parts(
    chunks: AsyncIterator[bytes], boundary: str, new_blob: Callable[[], BlobWriter]
) -> AsyncGenerator[Part]:
    """The parts of a body (RFC 2046 5.1).

    Args:
        chunks: the body.
        boundary: what stands between the parts.
        new_blob: makes the blobs that take large parts.

    Raises:
        ApiError: 400 if the body is not made that way, 413 if a part is too large.
    """
    delimiter = b"\r\n--" + boundary.encode("latin-1", "replace")
    buffer = bytearray(b"\r\n")
    part: Growing | None = None  # None before the first boundary
    searched = count = 0
    try:
        async for chunk in chunks:
            buffer += chunk
            found, searched = _next_boundary(buffer, delimiter, searched)
            while found is not None:
                if part is not None:
                    count += 1
                    if count > MOST_PARTS:
                        raise ApiError(413, f"the request has more than {MOST_PARTS:,} parts")
                    await part.take(_contents(part, buffer[: found.start]))
                    yield part.whole()
                if found.last:
                    part = None
                    async for _ in chunks:
                        pass
                    return
                del buffer[: found.end]
                part = Growing(new_blob)
                found, searched = _next_boundary(buffer, delimiter, 0)
            if searched > IN_MEMORY:
                # No boundary begins before that place.
                if part is not None:
                    await part.take(_contents(part, buffer[:searched]))
                del buffer[:searched]
                searched = 0
    finally:
        if part is not None:
            part.abort()
    raise invalid("the multipart body ends before its last boundary")


@dataclass(frozen=True, slots=True)
class _Boundary:
    """Where a boundary begins, and where the next part begins behind it."""

    start: int
    end: int
    last: bool


def _next_boundary(buffer: bytearray, delimiter: bytes, start: int) -> tuple[_Boundary | None, int]:
    """The first boundary from ``start`` on, or None and a place before which none begins."""
    while True:
        at = buffer.find(delimiter, start)
        if at < 0:
            return None, max(start, len(buffer) - len(delimiter) + 1)
        end = at + len(delimiter)
        after = bytes(buffer[end : end + 2])
        if after == b"--":
            return _Boundary(at, end + 2, last=True), at
        if len(after) < 2:
            return None, at
        if after == b"\r\n" or after.startswith((b" ", b"\t")):
            line = buffer.find(b"\r\n", end, end + _LARGEST_HEAD)
            if line >= 0:
                return _Boundary(at, line + 2, last=False), at
            if len(buffer) > end + _LARGEST_HEAD:
                raise invalid("a boundary of the multipart body is not at the end of its line")
            return None, at
        start = at + 1


def _contents(part: Growing, data: bytearray) -> bytes:
    """What of the bytes of a part are contents: those behind its headers, which come first."""
    if part.headers is not None:
        return bytes(data)
    part.headers = {}
    if data.startswith(b"\r\n"):
        return bytes(data[2:])
    at = data.find(b"\r\n\r\n", 0, _LARGEST_HEAD)
    if at < 0:
        raise invalid("a part of the multipart body has no end of its headers")
    for line in data[:at].decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        part.headers[name.strip().lower()] = value.strip()
    return bytes(data[at + 4 :])
