"""Reading a multipart/related request as it arrives, part by part."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from ...errors import ApiError, invalid

#: Largest part, in bytes.
LARGEST_PART = 2 * 1024**3
#: Each part has an entry in the answer, which is made at the end.
MOST_PARTS = 100_000
_LARGEST_HEAD = 16 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """A part: its headers, names in lower case, and its contents."""

    headers: dict[str, str]
    data: bytes


async def parts(chunks: AsyncIterator[bytes], boundary: str) -> AsyncIterator[Part]:
    """The parts of a body (RFC 2046 5.1).

    Raises:
        ApiError: 400 if the body is not made that way, 413 if a part is too large.
    """
    mark = b"--" + boundary.encode("latin-1", "replace")
    buffer = bytearray(b"\r\n")
    delimiter = b"\r\n" + mark
    inside = False
    searched = count = 0
    async for chunk in chunks:
        buffer += chunk
        while True:
            at = buffer.find(delimiter, searched)
            if at < 0 or len(buffer) < at + len(delimiter) + 2:
                # The delimiter may lie across two chunks.
                searched = max(0, min(len(buffer), at if at >= 0 else len(buffer)) - len(delimiter) - 2)
                if len(buffer) > LARGEST_PART:
                    raise ApiError(413, f"a part of the request is larger than {LARGEST_PART >> 30} GiB")
                break
            after = bytes(buffer[at + len(delimiter) : at + len(delimiter) + 2])
            if after not in (b"\r\n", b"--") and not after.startswith((b" ", b"\t")):
                searched = at + 1
                continue
            line = buffer.find(b"\r\n", at + len(delimiter), at + len(delimiter) + _LARGEST_HEAD)
            if line < 0 and after != b"--":
                if len(buffer) > at + len(delimiter) + _LARGEST_HEAD:
                    raise invalid("a boundary of the multipart body is not at the end of its line")
                searched = at
                break
            if inside:
                count += 1
                if count > MOST_PARTS:
                    raise ApiError(413, f"the request has more than {MOST_PARTS:,} parts")
                yield _part(bytes(buffer[:at]))
            if after == b"--":
                async for _ in chunks:
                    pass
                return
            del buffer[: line + 2]
            inside, searched = True, 0
    raise invalid("the multipart body ends before its last boundary")


def _part(data: bytes) -> Part:
    if data.startswith(b"\r\n"):
        return Part({}, data[2:])
    at = data.find(b"\r\n\r\n", 0, _LARGEST_HEAD)
    if at < 0:
        raise invalid("a part of the multipart body has no end of its headers")
    headers = {}
    for line in data[:at].decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return Part(headers, data[at + 4 :])
