"""``multipart/related`` bodies, cut at every place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from emulator.core.errors import ApiError
from emulator.storage.related import boundary_of, read_related


async def pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(body), size):
        yield body[at : at + size]


def read(body: bytes, size: int = 7, boundary: str = "sep") -> tuple[dict[str, object], str, bytes]:
    async def go() -> tuple[dict[str, object], str, bytes]:
        related = await read_related(pieces(body, size), boundary)
        return related.metadata, related.content_type, b"".join([chunk async for chunk in related.media])

    return asyncio.run(go())


def body_of(media: bytes, newline: bytes = b"\r\n") -> bytes:
    lines = [
        b"--sep",
        b"Content-Type: application/json; charset=UTF-8",
        b"",
        b'{"name": "a"}',
        b"--sep",
        b"content-type: application/dicom",
        b"Content-Transfer-Encoding: binary",
        b"",
        media,
        b"--sep--",
        b"",
    ]
    return newline.join(lines)


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
@pytest.mark.parametrize("media", [b"", b"x", b"\r\n--se\r\n--", b"\n", b"--sep", bytes(range(256)) * 3, b"\r\n\r\n"])
@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_the_bytes_come_out_as_they_were_sent(media: bytes, newline: bytes, size: int) -> None:
    assert read(body_of(media, newline), size) == ({"name": "a"}, "application/dicom", media)


def test_the_second_part_needs_no_headers() -> None:
    body = b"--sep\r\nContent-Type: application/json\r\n\r\n{}\r\n--sep\r\n\r\nbytes\r\n--sep--"
    assert read(body) == ({}, "", b"bytes")


BROKEN = [
    b"",
    b"nothing of the kind",
    b"--sep\r\nContent-Type: application/json\r\n\r\n{}\r\n--sep--",
    body_of(b"bytes").replace(b"--sep--", b""),
    body_of(b"bytes").replace(b'{"name": "a"}', b"[1]"),
    body_of(b"bytes").replace(b'{"name": "a"}', b"{"),
]


@pytest.mark.parametrize("body", BROKEN)
def test_a_body_without_two_whole_parts_is_refused(body: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        read(body)
    assert caught.value.status == 400


@pytest.mark.parametrize("quoted", ["==12==", '"==12=="', "'==12=='"])
def test_a_boundary_may_be_quoted_as_gcloud_does(quoted: str) -> None:
    assert boundary_of(f"multipart/related; boundary={quoted}") == "==12=="


@pytest.mark.parametrize("header", ["", "application/json", "multipart/related", 'multipart/related; boundary=""'])
def test_a_content_type_without_a_boundary_is_refused(header: str) -> None:
    with pytest.raises(ApiError, match="boundary"):
        boundary_of(header)


def test_metadata_that_never_end_cost_bounded_memory() -> None:
    body = b"--sep\r\nContent-Type: application/json\r\n\r\n" + b" " * 3_000_000
    with pytest.raises(ApiError, match="first megabyte"):
        read(body, 65536)


HOSTILE = [
    b"--sep\r\n" * 2 + b"\r\n\r\n" * 200_000,
    b"--sep\r\n\r\n" + b"\r\n--sep" * 140_000,
    b"--sep\r\n\r\n" + b"--sep" * 200_000 + b"\r\n",
    b"--sep\r\n" + b"a: b\r\n" * 170_000,
    b"\r\n" * 600_000,
]


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("size", [1000, 65536])
def test_a_body_made_to_do_harm_costs_little(body: bytes, size: int) -> None:
    began = time.process_time()
    with pytest.raises(ApiError) as caught:
        read(body, size)
    assert caught.value.status == 400
    assert time.process_time() - began < 5
