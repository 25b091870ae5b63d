"""Uploads that are broken or made to do harm: wrong ranges, gzip bombs, names that point elsewhere, raw bytes."""

from __future__ import annotations

import gzip
import http.client
import json
import re
import socket
import time
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.server.server import LocalEmulator
from tests.protocol.emulator.fuzzing import NASTY, examples, quoted

PROJECT = "hospital-imaging"
DATASETS = f"/v1/projects/{PROJECT}/locations/europe-west4/datasets"
Q = 256 * 1024


class Client:
    """Plain HTTP: status, headers and body; 5xx fails the test."""

    def __init__(self, local: LocalEmulator) -> None:
        address = urlsplit(local.url)
        self.host, self.port = address.hostname or "", address.port or 0
        self._connection = http.client.HTTPConnection(self.host, self.port, timeout=30)

    def __call__(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request(method, path, body, sent)
        answer = self._connection.getresponse()
        got = answer.read()
        assert answer.status < 500 or answer.status == 501, (method, path, answer.status, got[:300])
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, got

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def client(emulator: LocalEmulator) -> Iterator[Client]:
    one = Client(emulator)
    one("POST", f"/storage/v1/b?project={PROJECT}", b'{"name": "inbox"}')
    one("POST", f"{DATASETS}?datasetId=radiology", b"{}")
    one("POST", f"{DATASETS}/radiology/dicomStores?dicomStoreId=pacs", b"{}")
    yield one
    one.close()


# --- resumable uploads ---

RANGES = [
    *("", "bytes", "bytes 0-", "bytes -1/2", "bytes 5-2/9", "bytes 0-1", "bytes 0-1/", "bytes a-b/c", "bytes 0-1/1"),
    *(
        "bytes 0--1/5",
        "bytes */-1",
        "items 0-1/2",
        "bytes 0-1/2, bytes 2-3/4",
        "bytes 0-99999999999999999999/5",
        "\u00b2",
    ),
    *("bytes 1-2/3", f"bytes {Q}-{Q + 1}/{Q + 2}", "bytes 0-1/9", "bytes 0-9/10", "bytes 0-0/0"),
]


def begin(client: Client, name: str = "x") -> str:
    status, headers, _ = client("POST", f"/upload/storage/v1/b/inbox/o?uploadType=resumable&name={name}", b"")
    assert status == 200
    return re.sub(r"^https?://[^/]+", "", headers["location"])


@pytest.mark.parametrize("sent", RANGES)
def test_a_range_that_does_not_fit_is_refused_and_makes_no_object(client: Client, sent: str) -> None:
    session = begin(client)
    headers = {"Content_Range": sent.encode().decode("latin-1")}
    status, _, got = client("PUT", session, b"xyz", **headers)
    assert status in (308, 400), got
    assert client("GET", "/storage/v1/b/inbox/o/x")[0] == 404


def test_pieces_in_any_order_make_the_bytes_that_were_sent_or_nothing(client: Client) -> None:
    data = Random(1).randbytes(5 * Q // 2)  # noqa: S311 - the same bytes in every run

    @examples(60)
    @given(st.randoms(use_true_random=True))
    def run(random: Random) -> None:
        session = begin(client)
        status, size = 308, len(data)
        for _ in range(random.randrange(1, 7)):
            first = random.choice([0, Q, 2 * Q, random.randrange(size)])
            last = min(size, first + random.choice([1, Q, 2 * Q, size])) - 1
            total = random.choice([str(size), str(size), "*"])
            piece = data[first : last + 1]
            if random.randrange(6) == 0:
                piece = piece[: random.randrange(len(piece))]
            header = random.choice(
                [f"bytes {first}-{last}/{total}", f"bytes {first}-{last}/{total}", f"bytes */{total}"]
            )
            status, answered, got = client("PUT", session, b"" if "*/" in header else piece, Content_Range=header)
            assert status in (200, 308, 400), got
            if status == 200:
                break
            if "range" in answered:
                assert int(answered["range"].rpartition("-")[2]) < size
        found, _, stored = client("GET", "/storage/v1/b/inbox/o/x?alt=media")
        assert (found, stored) == (200, data) if status == 200 else found == 404
        client("DELETE", "/storage/v1/b/inbox/o/x")
        client("DELETE", session)

    run()


# --- compressed bodies ---


@cache
def bomb(mebibytes: int) -> bytes:
    """So many mebibytes of white space, compressed with gzip."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(squeeze.compress(b" " * 1024**2) for _ in range(mebibytes)) + squeeze.flush()


@pytest.mark.parametrize(
    "path",
    [
        f"{DATASETS}?datasetId=second",
        "/upload/storage/v1/b/inbox/o?uploadType=media&name=bomb",
        f"{DATASETS}/radiology/dicomStores/pacs/dicomWeb/studies",
    ],
)
def test_a_gzip_bomb_is_refused_or_costs_little(client: Client, path: str) -> None:
    data = bomb(512)
    began = time.monotonic()
    status, _, got = client("POST", path, data, Content_Encoding="gzip", Content_Type="application/dicom")
    assert time.monotonic() - began < 15
    assert status in (200, 400, 409, 413), got


@pytest.mark.parametrize("data", [b"", b"x", gzip.compress(b"{}")[:-4], gzip.compress(b"{}") + b"x", b"\x1f\x8b\x08"])
def test_a_damaged_compressed_body_is_refused_or_understood(client: Client, data: bytes) -> None:
    assert client("POST", f"{DATASETS}?datasetId=second", data, Content_Encoding="gzip")[0] in (200, 400)


def test_a_json_body_that_is_too_large_is_refused(client: Client) -> None:
    status, _, got = client(
        "POST", f"{DATASETS}?datasetId=second", b" " * (33 * 1024**2), Content_Type="application/json"
    )
    assert status == 413
    assert json.loads(got)["error"]["message"] == "Request payload size exceeds the limit: 33554432 bytes."


# --- names that point elsewhere ---

TRICKS = [
    *(
        "..",
        "../x",
        "../../etc/passwd",
        "/etc/passwd",
        "//x",
        "./x",
        "a/../../../x",
        "..\\x",
        "x\0y",
        "%2e%2e/x",
        "~root",
    ),
    *("a" * 1024, "ä" * 512, ".", "con", "x/", "documents.sqlite", "../documents.sqlite", "blobs/../x"),
]


def test_no_name_leaves_the_data_directory(tmp_path: Path) -> None:
    inside = tmp_path / "data"
    with LocalEmulator(inside) as local:
        client = Client(local)
        client("POST", f"/storage/v1/b?project={PROJECT}", b'{"name": "inbox"}')
        before = sorted(path for path in inside.iterdir())
        for name in [*TRICKS, *NASTY]:
            one = quoted(name)
            client("POST", f"/upload/storage/v1/b/inbox/o?uploadType=media&name={one}", b"x" * 10)
            client("POST", f"/upload/storage/v1/b/inbox/o?uploadType=resumable&name={one}", b"")
            for path in (f"inbox/o/{one}?alt=media", f"{one}", f"{one}/o/{one}", f"{one}/iam"):
                got = client("GET", f"/storage/v1/b/{path}")[2]
                assert b"root:" not in got
                assert b"SQLite format" not in got
            client(
                "POST",
                f"/storage/v1/b?project={PROJECT}",
                json.dumps({"name": name.encode("utf-8", "ignore").decode()}).encode(),
            )
            client("POST", f"{DATASETS}?datasetId={one}", b"{}")
            client("GET", f"{DATASETS}/{one}/dicomStores/{one}/dicomWeb/studies/{one}")
            client("GET", f"/discovery/v1/apis/{one}/{one}/rest")
        client("GET", "/discovery/v1/apis/../../../../../etc/passwd")
        client("GET", "/../../../../../etc/passwd")
        # Bytes stand in files with names of the emulator's own; nothing stands outside.
        assert sorted(path for path in tmp_path.iterdir()) == [inside]
        assert set(before) <= set(inside.iterdir())
        for kept in (inside / "blobs").rglob("*"):
            assert re.fullmatch(r"[0-9a-f-]+|parts", kept.name), kept
        client.close()


# --- raw bytes ---

RAW = [
    b"\0\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"G\xffT / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET //etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://169.254.169.254/ HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /storage/v1/b/inbox HTTP/1.1\r\nHost: <script>\r\n\r\n",
    b"GET /storage/v1/b/inbox HTTP/1.1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    b"GET /" + b"a" * 300_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /storage/v1/b HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /storage/v1/b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
    b"POST /storage/v1/b?project=x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /storage/v1/b?project=x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
]


@pytest.mark.parametrize("data", RAW, ids=range(len(RAW)))
def test_raw_bytes_end_in_a_refusal_and_the_emulator_goes_on(client: Client, data: bytes) -> None:
    with socket.create_connection((client.host, client.port), timeout=10) as raw:
        answer = b""
        try:
            raw.sendall(data)
            raw.shutdown(socket.SHUT_WR)
            while chunk := raw.recv(65536):
                answer += chunk
        except ConnectionError:
            pass
    assert not re.match(rb"HTTP/1.1 (2|50[0-35-9])", answer) or data.startswith(b"GET /storage/v1/b/inbox"), answer[
        :300
    ]
    assert b"root:" not in answer
    assert b"<script>" not in answer or b"application/json" in answer
    assert client("GET", "/storage/v1/b/inbox")[0] == 200


def test_a_body_that_ends_too_early_makes_no_object(emulator: LocalEmulator, client: Client) -> None:
    for head in (b"Content-Length: 1000", b"Transfer-Encoding: chunked"):
        with socket.create_connection((client.host, client.port), timeout=10) as raw:
            raw.sendall(
                b"POST /upload/storage/v1/b/inbox/o?uploadType=media&name=half HTTP/1.1\r\nHost: x\r\n"
                + head
                + b"\r\n\r\n"
            )
            raw.sendall(b"64\r\n" + b"x" * 50)
    deadline = time.monotonic() + 30
    while sum(call["method"] == "storage.objects.insert" for call in calls(emulator)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert client("GET", "/storage/v1/b/inbox/o/half")[0] == 404


def calls(emulator: LocalEmulator) -> list[dict[str, object]]:
    """The calls that were answered or broken off."""
    found: list[dict[str, object]] = emulator.control("GET", "requests")["requests"]
    return found
