"""What arrives compressed, cut, or from another site's page."""

from __future__ import annotations

import gzip
import threading
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from emulator.core.state import Collection
from emulator.http import call as calls

Rest = Callable[..., Any]
PATH = "/v1/projects/hospital-imaging/locations/europe-west4/datasets?datasetId=d"
GZIP = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
GOOD = gzip.compress(b"{}")

DAMAGED = {
    "cut in the trailer": GOOD[:-1],
    "cut in the data": gzip.compress(b'{"timeZone": "UTC"}')[:-12],
    "only the header": GOOD[:10],
    "nothing": b"",
    "no gzip": b"{}",
    "garbage behind": GOOD + b"garbage",
    "a wrong checksum": GOOD[:-8] + bytes(8),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_or_cut_body_is_refused(rest: Rest, name: str) -> None:
    answer = rest("POST", PATH, DAMAGED[name], headers=GZIP)
    assert answer.status == 400
    assert "gzip-encoded body is damaged" in answer.message
    assert rest("GET", "/v1/projects/hospital-imaging/locations/europe-west4/datasets/d").status == 403


@pytest.mark.parametrize("body", [GOOD, GOOD + GOOD[:0], gzip.compress(b"{") + gzip.compress(b"}")])
def test_a_whole_body_of_one_or_more_members_is_read(rest: Rest, body: bytes) -> None:
    assert rest("POST", PATH, body, headers=GZIP).status == 200


def test_a_body_may_expand_far_as_long_as_the_whole_is_within_the_limit(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rest("POST", "/storage/v1/b?project=hospital-imaging", {"name": "large-bucket"}).status == 200
    path = "/upload/storage/v1/b/large-bucket/o?uploadType=media&name=zeros"
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/octet-stream"}
    # 40 MB that arrive as one chunk of 40 KB.
    made = rest("POST", path, gzip.compress(bytes(40_000_000)), headers=headers)
    assert (made.status, made.json["size"]) == (200, "40000000")
    # Many members, each small: it is the whole that counts.
    monkeypatch.setattr(calls, "EXPANDED_LIMIT", 5_000_000)
    several = b"".join(gzip.compress(bytes(1_000_000)) for _ in range(6))
    assert rest("POST", path.replace("zeros", "more"), several, headers=headers).status == 413
    assert rest("GET", "/storage/v1/b/large-bucket/o/more").status == 404


def test_json_may_not_expand_beyond_what_json_may_have(rest: Rest) -> None:
    body = zlib.compress(b" " * (calls.BODY_LIMIT + 10), wbits=31)
    assert rest("POST", PATH, body, headers=GZIP).status == 413


OTHER_SITES = [
    {"Origin": "https://evil.example.org"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1.evil.example.org"},
    {"Origin": "http://localhost.evil.example.org:8085"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]
CHANGES = [
    ("POST", "/emulator/v1/reset"),
    ("PATCH", "/emulator/v1/settings"),
    ("POST", PATH),
    ("POST", "/storage/v1/b?project=hospital-imaging"),
    ("DELETE", "/storage/v1/b/kept-bucket"),
    ("POST", "/batch/storage/v1"),
    ("POST", "/console/query"),
    ("POST", "/bigquery/v2/projects/hospital-imaging/queries"),
]


@pytest.mark.parametrize(("http_method", "path"), CHANGES)
@pytest.mark.parametrize("headers", OTHER_SITES)
def test_pages_of_other_sites_change_nothing(rest: Rest, http_method: str, path: str, headers: dict[str, str]) -> None:
    assert rest("POST", "/storage/v1/b?project=hospital-imaging", {"name": "kept-bucket"}).status == 200
    body = b"{}" if http_method != "DELETE" else None
    answer = rest(http_method, path, body, headers={**headers, "Content-Type": "text/plain"})
    assert answer.status == 403
    assert "other sites" in answer.message
    assert rest("GET", "/storage/v1/b/kept-bucket").status == 200


@pytest.mark.parametrize("host", ["evil.example.org", "evil.example.org:8085", "127.0.0.1.evil.example.org"])
@pytest.mark.parametrize("http_method", ["GET", "POST"])
def test_other_names_of_this_machine_are_answered_nothing(rest: Rest, host: str, http_method: str) -> None:
    path = "/storage/v1/b?project=hospital-imaging"
    answer = rest(http_method, path, {"name": "b-ucket"} if http_method == "POST" else None, headers={"Host": host})
    assert answer.status == 403
    assert rest("GET", path).json.get("items") is None


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "localhost"},
        {"Host": "emulator.localhost:8085"},
        {"Host": "127.0.0.1"},
        {"Host": "[::1]:8085"},
        # A viewer on another port of this machine.
        {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://127.0.0.1:3000", "Sec-Fetch-Site": "same-site"},
    ],
)
def test_this_machines_own_clients_and_pages_are_served(rest: Rest, headers: dict[str, str]) -> None:
    assert rest("POST", "/storage/v1/b?project=hospital-imaging", {"name": "own-bucket"}, headers=headers).status == 200


def test_two_that_set_a_key_at_once_leave_the_same_document_in_memory_and_on_disk() -> None:
    """The second is held up between its two writes: without an order, each place would keep another document."""
    on_disk: dict[str, Any] = {}
    writing, go_on = threading.Event(), threading.Event()

    def write(_: str, key: str, document: Any) -> None:
        on_disk[key] = document
        if document == {"first": True}:
            writing.set()
            go_on.wait(0.2)

    collection = Collection("c", {}, write, threading.RLock())
    first = threading.Thread(target=lambda: collection.__setitem__("key", {"first": True}))
    first.start()
    assert writing.wait(10)
    second = threading.Thread(target=lambda: collection.__setitem__("key", {"second": True}))
    second.start()
    second.join(0.1)
    go_on.set()
    first.join(10)
    second.join(10)
    assert on_disk["key"] == collection["key"] == {"second": True}
