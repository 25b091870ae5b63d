"""``multipart/related`` bodies of DICOMweb requests, cut at every place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from emulator.core.errors import ApiError
from emulator.core.state import State
from emulator.healthcare.dicomweb import multipart


def read(body: bytes, size: int) -> list[bytes]:
    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), size):
            yield body[at : at + size]

    async def go() -> list[bytes]:
        found = []
        async for part in multipart.parts(pieces(), "b", blobs.create):
            data = part.data if isinstance(part.data, bytes) else blobs.read(part.data.commit().id)
            assert part.size == len(data)
            found.append(data)
        return found

    state = State()
    blobs = state.blobs
    try:
        return asyncio.run(go())
    finally:
        state.close()


BODIES = [
    (b"--b\r\n\r\nx\r\n--b\r\nA: b\r\n\r\ny\r\n--b--", [b"x", b"y"]),
    (b"preamble\r\n--b\r\n\r\nx\r\n--b--\r\nepilogue", [b"x"]),
    # White space may follow a boundary (RFC 2046 5.1.1); the part before it comes once.
    (b"--b \t \r\n\r\nx\r\n--b  \r\n\r\ny\r\n--b--", [b"x", b"y"]),
    (b"--b\r\n\r\n--bx\r\n--bb\r\n-\r\n--b-\r\n--b--", [b"--bx\r\n--bb\r\n-\r\n--b-"]),
    (b"--b\r\n\r\n\r\n--b--", [b""]),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(("body", "parts"), BODIES)
def test_the_parts_come_out_as_they_were_sent(body: bytes, parts: list[bytes], size: int) -> None:
    assert read(body, size) == parts


@pytest.mark.parametrize("size", [997, 65_536, 10_000_000])
def test_large_parts_come_out_as_they_were_sent(size: int) -> None:
    large = bytes(range(256)) * 10_000 + b"\r\n--" + b"-\r" * 700_000 + b"\r\n"
    body = b"--b\r\nA: b\r\n\r\n" + large + b"\r\n--b\r\n\r\nx\r\n--b\r\nA: b\r\n\r\n" + large + b"\r\n--b--"
    assert read(body, size) == [large, b"x", large]


@pytest.mark.parametrize("end", [b"", b"\r\n--b", b"\r\n--b\r\nno end of headers\r\n--b--"])
def test_what_is_on_disk_of_a_body_that_is_refused_is_removed(end: bytes) -> None:
    state = State()
    blobs = state.blobs

    async def pieces() -> AsyncIterator[bytes]:
        yield b"--b\r\n\r\n" + b"x" * 3_000_000 + b"\r\n--b\r\n\r\n"
        for _ in range(30):
            yield b"y" * 100_000
        yield end

    async def go() -> None:
        async for part in multipart.parts(pieces(), "b", blobs.create):
            assert not isinstance(part.data, bytes)
            part.data.abort()

    with pytest.raises(ApiError):
        asyncio.run(go())
    assert [path for path in blobs.file("x").parents[1].rglob("*") if path.is_file()] == []
    state.close()


BROKEN = [
    b"",
    b"--b",
    b"--b\r\n",
    b"--b\r\n\r\nx",
    b"--b\r\n\r\nx\r\n--b\r\n",
    b"--b\r\nno end of headers\r\n--b--",
    b"x" * 9,
]


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize("body", BROKEN)
def test_a_body_that_is_not_made_of_parts_is_refused(body: bytes, size: int) -> None:
    with pytest.raises(ApiError) as caught:
        read(body, size)
    assert caught.value.status == 400


HOSTILE = [
    b"--b " + b" " * 3_000_000,
    b"--b\r\n" * 600_000,
    b"--b\r\n\r\n" + b"\r\n--b" * 600_000,
    b"--b\r\n\r\n" + b"\r\n--bx" * 500_000,
    b"--b\r\n" + b"a: b\r\n" * 500_000,
    b"\r\n" * 1_500_000,
]


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
def test_a_body_made_to_do_harm_costs_little(body: bytes) -> None:
    began = time.process_time()
    with pytest.raises(ApiError) as caught:
        read(body, 65536)
    assert caught.value.status in (400, 413)
    assert time.process_time() - began < 5
