"""Uploads and downloads as they are on the wire: https://cloud.google.com/storage/docs/json_api/v1/how-tos/upload."""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import google_crc32c
import pytest

from emulator.server.server import LocalEmulator

UPLOAD = "/upload/storage/v1/b/{}/o"
QUANTUM = 256 * 1024


def crc32c(data: bytes) -> str:
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


def md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def put(rest: Callable[..., Any], bucket: str, name: str, data: bytes, query: str = "", **headers: str) -> Any:
    path = f"{UPLOAD.format(bucket)}?uploadType=media&name={quote(name, safe='')}{query}"
    return rest("POST", path, data, headers={"Content-Type": "application/dicom", **headers})


def begin(rest: Callable[..., Any], bucket: str, query: str, body: Any = None, **headers: str) -> str:
    answer = rest("POST", f"{UPLOAD.format(bucket)}?uploadType=resumable&{query}", body or {}, headers=headers)
    assert answer.status == 200
    location: str = answer.headers["location"]
    return location


REFUSED = [
    ("?uploadType=media&name=x", {}, b"data", 404, "The specified bucket does not exist."),
    ("BUCKET?uploadType=media", {}, b"data", 400, "Required parameter: name"),
    ("BUCKET?uploadType=sideways&name=x", {}, b"data", 400, "upload type"),
    ("BUCKET?name=x", {}, b"data", 400, "upload type"),
    ("BUCKET?uploadType=media&name=" + "x" * 1025, {}, b"data", 400, "object name"),
    ("BUCKET?uploadType=media&name=a%0Ab", {}, b"data", 400, "object name"),
    ("BUCKET?uploadType=media&name=..", {}, b"data", 400, "object name"),
    ("BUCKET?uploadType=media&name=x", {"X-Goog-Hash": "crc32c=AAAAAA=="}, b"data", 400, "CRC32C"),
    ("BUCKET?uploadType=media&name=x", {"Content-MD5": md5(b"else")}, b"data", 400, "MD5"),
    ("BUCKET?uploadType=media&name=x&ifGenerationMatch=1", {}, b"data", 412, "pre-conditions"),
    ("BUCKET?uploadType=media&name=x&ifGenerationMatch=one", {}, b"data", 400, "ifGenerationMatch"),
    ("BUCKET?uploadType=multipart&name=x", {"Content-Type": "multipart/related"}, b"data", 400, "boundary"),
    ("BUCKET?uploadType=multipart", {"Content-Type": "multipart/related; boundary=b"}, b"data", 400, "two parts"),
    ("BUCKET?uploadType=media&name=x", {"Content-Encoding": "gzip"}, b"no gzip", 400, "gzip"),
]


@pytest.mark.parametrize(("query", "headers", "data", "status", "text"), REFUSED)
def test_an_upload_that_can_not_be_is_refused_and_leaves_nothing(
    rest: Callable[..., Any], bucket: str, query: str, headers: dict[str, str], data: bytes, status: int, text: str
) -> None:
    name, _, parameters = query.partition("?")
    answer = rest("POST", f"{UPLOAD.format(bucket if name else 'nowhere')}?{parameters}", data, headers=headers)
    assert answer.status == status
    assert text in answer.message
    assert answer.json["error"]["errors"][0]["reason"]
    assert "items" not in rest("GET", f"/storage/v1/b/{bucket}/o").json


def test_a_metadata_checksum_that_differs_is_refused(rest: Callable[..., Any], bucket: str) -> None:
    metadata = json.dumps({"name": "x", "md5Hash": md5(b"other")}).encode()
    body = b"--b\r\nContent-Type: application/json\r\n\r\n" + metadata + b"\r\n--b\r\n\r\nbytes\r\n--b--"
    answer = rest(
        "POST",
        UPLOAD.format(bucket) + "?uploadType=multipart",
        body,
        headers={"Content-Type": "multipart/related; boundary=b"},
    )
    assert answer.status == 400
    assert md5(b"bytes") in answer.message
    assert answer.reason == "invalid"


def test_a_stored_object_has_its_checksums_type_and_links(rest: Callable[..., Any], bucket: str) -> None:
    name = "2024/a b/ü&?.dcm"
    answer = put(rest, bucket, name, b"DICM bytes")
    assert answer.status == 200
    resource = answer.json
    assert resource["name"] == name
    assert resource["bucket"] == bucket
    assert resource["size"] == "10"
    assert resource["crc32c"] == crc32c(b"DICM bytes")
    assert resource["md5Hash"] == md5(b"DICM bytes")
    assert resource["contentType"] == "application/dicom"
    assert resource["metageneration"] == "1"
    assert resource["id"] == f"{bucket}/{name}/{resource['generation']}"
    assert rest("GET", resource["selfLink"]).json == resource
    assert rest("GET", resource["mediaLink"]).body == b"DICM bytes"


def test_only_an_absent_object_passes_generation_zero(rest: Callable[..., Any], bucket: str) -> None:
    first = put(rest, bucket, "x", b"1", "&ifGenerationMatch=0").json
    assert put(rest, bucket, "x", b"2", "&ifGenerationMatch=0").status == 412
    second = put(rest, bucket, "x", b"2", f"&ifGenerationMatch={first['generation']}").json
    assert int(second["generation"]) > int(first["generation"])
    assert put(rest, bucket, "x", b"3", f"&ifGenerationNotMatch={second['generation']}").status == 412
    assert rest("GET", f"/storage/v1/b/{bucket}/o/x?alt=media").body == b"2"


def test_bytes_compressed_for_the_way_are_stored_as_they_were(rest: Callable[..., Any], bucket: str) -> None:
    data = b"pixels" * 1000
    answer = put(rest, bucket, "x", gzip.compress(data), **{"Content-Encoding": "gzip"})
    assert answer.json["size"] == str(len(data))
    assert rest("GET", f"/storage/v1/b/{bucket}/o/x?alt=media").body == data


def test_an_object_stored_compressed_is_unpacked_for_who_can_not(rest: Callable[..., Any], bucket: str) -> None:
    packed = gzip.compress(b"text" * 100)
    put(rest, bucket, "x", packed, "&contentEncoding=gzip")
    as_is = rest("GET", f"/storage/v1/b/{bucket}/o/x?alt=media", headers={"Accept-Encoding": "gzip"})
    assert as_is.body == packed
    assert as_is.headers["content-encoding"] == "gzip"
    assert rest("GET", f"/storage/v1/b/{bucket}/o/x?alt=media", headers={"Accept-Encoding": "identity"}).body == (
        b"text" * 100
    )


RANGES = [
    ("bytes=0-4", 206, b"01234", "bytes 0-4/10"),
    ("bytes=7-", 206, b"789", "bytes 7-9/10"),
    ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
    ("bytes=-3", 206, b"789", "bytes 7-9/10"),
    ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
    ("bytes=5-2", 200, b"0123456789", None),
    ("bytes=0-1,4-5", 200, b"0123456789", None),
    ("lines=1-2", 200, b"0123456789", None),
]


@pytest.mark.parametrize(("header", "status", "body", "content_range"), RANGES)
def test_a_range_is_answered_as_http_has_it(
    rest: Callable[..., Any], bucket: str, header: str, status: int, body: bytes, content_range: str | None
) -> None:
    put(rest, bucket, "x", b"0123456789")
    answer = rest("GET", f"/download/storage/v1/b/{bucket}/o/x?alt=media", headers={"Range": header})
    assert (answer.status, answer.body) == (status, body)
    assert answer.headers.get("content-range") == content_range
    assert f"md5={md5(b'0123456789')}" in answer.headers["x-goog-hash"]


@pytest.mark.parametrize(("size", "header"), [(10, "bytes=10-"), (10, "bytes=99-100"), (0, "bytes=0-")])
def test_a_range_behind_the_end_is_refused(rest: Callable[..., Any], bucket: str, size: int, header: str) -> None:
    put(rest, bucket, "x", b"0" * size)
    answer = rest("GET", f"/storage/v1/b/{bucket}/o/x?alt=media", headers={"Range": header})
    assert answer.status == 416
    assert answer.headers["content-range"] == f"bytes */{size}"


def test_chunks_arrive_in_order_and_the_status_says_how_far(rest: Callable[..., Any], bucket: str) -> None:
    data = bytes(range(256)) * (QUANTUM // 256) * 2 + b"end"
    session = begin(rest, bucket, "name=x", {"contentType": "application/dicom", "metadata": {"site": "a"}})
    none_yet = rest("PUT", session, b"", headers={"Content-Range": f"bytes */{len(data)}"})
    assert none_yet.status == 308
    assert "range" not in none_yet.headers
    first = rest("PUT", session, data[:QUANTUM], headers={"Content-Range": f"bytes 0-{QUANTUM - 1}/*"})
    assert (first.status, first.headers["range"]) == (308, f"bytes=0-{QUANTUM - 1}")
    # A chunk that overlaps what is there adds what is new.
    second = rest("PUT", session, data[: 2 * QUANTUM], headers={"Content-Range": f"bytes 0-{2 * QUANTUM - 1}/*"})
    assert second.headers["range"] == f"bytes=0-{2 * QUANTUM - 1}"
    asked = rest("PUT", session, b"", headers={"Content-Range": "bytes */*"})
    assert asked.headers["range"] == f"bytes=0-{2 * QUANTUM - 1}"
    last = rest(
        "PUT",
        session,
        data[2 * QUANTUM :],
        headers={"Content-Range": f"bytes {2 * QUANTUM}-{len(data) - 1}/{len(data)}"},
    )
    assert last.status == 200
    assert last.json["crc32c"] == crc32c(data)
    assert last.json["contentType"] == "application/dicom"
    assert last.json["metadata"] == {"site": "a"}
    # Whoever lost the last answer asks again.
    again = rest("PUT", session, b"", headers={"Content-Range": f"bytes */{len(data)}"})
    assert (again.status, again.json["generation"]) == (200, last.json["generation"])
    assert rest("GET", f"/storage/v1/b/{bucket}/o/x?alt=media").body == data


CHUNKS_REFUSED = [
    ("bytes 10-20/21", b"x" * 11, "exceeds already uploaded size of 0"),
    ("bytes 0-9/*", b"x" * 10, "multiple of 262144"),
    ("bytes 0-9/100", b"x" * 10, "multiple of 262144"),
    ("bytes 0-20/21", b"x" * 5, "fewer"),
    ("bytes 9-0/21", b"x", "Content-Range"),
    ("octets 0-1/2", b"xx", "Content-Range"),
]


@pytest.mark.parametrize(("content_range", "data", "text"), CHUNKS_REFUSED)
def test_a_chunk_that_does_not_fit_is_refused(
    rest: Callable[..., Any], bucket: str, content_range: str, data: bytes, text: str
) -> None:
    session = begin(rest, bucket, "name=x")
    answer = rest("PUT", session, data, headers={"Content-Range": content_range})
    assert answer.status == 400
    assert text in answer.message
    assert rest("GET", f"/storage/v1/b/{bucket}/o/x").status == 404


def test_a_whole_object_may_come_in_one_put(rest: Callable[..., Any], bucket: str) -> None:
    session = begin(rest, bucket, "name=x", **{"X-Upload-Content-Type": "application/dicom"})
    answer = rest("PUT", session, b"all of it")
    assert answer.status == 200
    assert answer.json["contentType"] == "application/dicom"
    assert answer.json["size"] == "9"


def test_the_preconditions_of_the_beginning_hold_at_the_end(rest: Callable[..., Any], bucket: str) -> None:
    session = begin(rest, bucket, "name=x&ifGenerationMatch=0")
    put(rest, bucket, "x", b"somebody was faster")
    assert rest("PUT", session, b"late").status == 412
    assert rest("GET", f"/storage/v1/b/{bucket}/o/x?alt=media").body == b"somebody was faster"


def test_a_cancelled_upload_is_gone(rest: Callable[..., Any], bucket: str) -> None:
    session = begin(rest, bucket, "name=x")
    assert rest("DELETE", session).status == 499
    assert rest("PUT", session, b"data").status == 404


def test_a_broken_connection_keeps_what_arrived(emulator: LocalEmulator, rest: Callable[..., Any], bucket: str) -> None:
    session = begin(rest, bucket, "name=x")
    host, _, port = emulator.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as raw:
        head = (
            f"PUT {session.removeprefix(emulator.url)} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
            "Content-Range: bytes 0-999999/1000000\r\n\r\n"
        )
        raw.sendall(head.encode() + b"x" * 600_000)
    # The server learns of the end of the connection by itself; the next request waits for the one before it.
    connection = http.client.HTTPConnection(host, int(port))
    headers = {"Content-Range": "bytes */1000000", "Content-Length": "0"}
    connection.request("PUT", session.removeprefix(emulator.url), headers=headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert answer.status == 308
    arrived = int(answer.headers["Range"].rpartition("-")[2]) + 1 if answer.headers["Range"] else 0
    assert arrived <= 600_000
    rest_of_it = rest(
        "PUT", session, b"x" * (1_000_000 - arrived), headers={"Content-Range": f"bytes {arrived}-999999/1000000"}
    )
    assert rest_of_it.status == 200
    assert rest_of_it.json["md5Hash"] == md5(b"x" * 1_000_000)


def test_an_upload_goes_on_after_a_restart(tmp_path: Path) -> None:
    import urllib.error
    import urllib.request

    data = bytes(range(256)) * (2 * QUANTUM // 256)

    def send(method: str, url: str, body: bytes | None, **headers: str) -> Any:
        request = urllib.request.Request(url, body, headers, method=method)
        try:
            return urllib.request.urlopen(request)
        except urllib.error.HTTPError as error:
            return error

    with LocalEmulator(tmp_path) as first:
        bucket = send("POST", first.url + "/storage/v1/b?project=hospital-imaging", b'{"name": "durable"}')
        bucket.close()
        begun = send("POST", first.url + UPLOAD.format("durable") + "?uploadType=resumable&name=x", b"{}")
        session = begun.headers["Location"].removeprefix(first.url)
        begun.close()
        content_range = f"bytes 0-{QUANTUM - 1}/{len(data)}"
        part = send("PUT", first.url + session, data[:QUANTUM], **{"Content-Range": content_range})
        assert part.code == 308
        part.close()
        # What a killed process leaves behind is what is on the disk now, other half-written files among it.
        import shutil

        other = first.emulator.state.blobs.create()
        other.write(b"never finished" * 100_000)
        shutil.copytree(tmp_path, tmp_path.with_name("copy"))
    with LocalEmulator(tmp_path.with_name("copy")) as second:
        content_range = f"bytes {QUANTUM}-{len(data) - 1}/{len(data)}"
        done = send("PUT", second.url + session, data[QUANTUM:], **{"Content-Range": content_range})
        assert json.load(done)["md5Hash"] == md5(data)
        done.close()
        assert list((tmp_path.with_name("copy") / "blobs" / "parts").iterdir()) == []
        other.abort()
    with LocalEmulator(tmp_path.with_name("copy")) as third:
        found = send("GET", third.url + "/storage/v1/b/durable/o/x?alt=media", None)
        assert found.read() == data
        found.close()
