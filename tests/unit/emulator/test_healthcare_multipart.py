"""``multipart/related`` bodies of DICOMweb requests, cut at every place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from emulator.errors import ApiError
from emulator.healthcare.dicomweb import multipart


def read(body: bytes, size: int) -> list[bytes]:
    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), size):
            yield body[at : at + size]

    async def go() -> list[bytes]:
        return [part.data async for part in multipart.parts(pieces(), "b")]

    return asyncio.run(go())


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
