"""The emulator's frame: routing, errors in Google's shapes, settings, faults, batch, durability."""

from __future__ import annotations

import http.client
import json
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from emulator.core.state import State
from emulator.server.server import LocalEmulator, PortInUseError, listen


def call(emulator: LocalEmulator, http_method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(emulator.url + path, data, method=http_method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


UNKNOWN = [
    ("GET", "/v1/projects/hospital-imaging/nonsense", 404, "NOT_FOUND"),
    ("PUT", "/v1/projects/hospital-imaging/locations/eu/datasets", 404, "NOT_FOUND"),
    ("GET", "/v1/projects/hospital-imaging/locations/eu/datasets/d/fhirStores", 501, "UNIMPLEMENTED"),
    ("GET", "/v1/projects/hospital-imaging/locations/eu/datasets/d/hl7V2Stores/s", 501, "UNIMPLEMENTED"),
    ("GET", "/v1beta1/projects/hospital-imaging/locations/eu/datasets/d/consentStores/s", 501, "UNIMPLEMENTED"),
    ("GET", "/discovery/v1/apis/compute/v1/rest", 404, "NOT_FOUND"),
    ("DELETE", "/emulator/v1/settings", 405, "INVALID_ARGUMENT"),
    ("GET", "/emulator/v1/nothing", 404, "NOT_FOUND"),
]


@pytest.mark.parametrize(("http_method", "path", "status", "name"), UNKNOWN)
def test_what_is_not_served_is_refused_in_googles_shape(
    emulator: LocalEmulator, http_method: str, path: str, status: int, name: str
) -> None:
    code, body = call(emulator, http_method, path)
    assert code == status
    assert body["error"]["code"] == status
    assert body["error"]["status"] == name
    assert body["error"]["message"]


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({}, "method"),
    ({"method": "healthcare.nothing", "effect": {"status": 503}}, "discovery id"),
    ({"method": "storage.objects.get"}, "effect"),
    ({"method": "storage.objects.get", "effect": {"status": 200}}, "400 to 599"),
    ({"method": "storage.objects.get", "effect": {"drop": "sometimes"}}, "'before' or 'after'"),
    ({"method": "storage.objects.get", "effect": {"status": 503}, "times": -1}, "times"),
    ({"method": "storage.objects.get", "effect": {"status": 503}, "tims": 1}, "tims"),
    ({"method": "storage.objects.get", "effect": {"operation": {"error": {"code": 99}}}}, "google.rpc"),
]


@pytest.mark.parametrize(("body", "text"), FAULTS)
def test_a_fault_that_can_not_happen_is_refused(emulator: LocalEmulator, body: dict[str, Any], text: str) -> None:
    code, answer = call(emulator, "POST", "/emulator/v1/faults", body)
    assert code == 400
    assert text in answer["error"]["message"]


def test_an_unknown_setting_changes_nothing(emulator: LocalEmulator) -> None:
    code, answer = call(emulator, "PATCH", "/emulator/v1/settings", {"operationSeconds": 9, "speed": 1})
    assert code == 400
    assert "speed" in answer["error"]["message"]
    assert call(emulator, "GET", "/emulator/v1/settings")[1] == {
        "operationSeconds": 0.0,
        "iamPropagationSeconds": 0.0,
        "enforceIam": True,
        "bigqueryJobsProject": "destination",
        "requireAgentRole": False,
        "enforceServices": False,
        "partialImports": "error",
    }


WRONG_VALUES = [
    ("operationSeconds", -1, "a number of seconds"),
    ("operationSeconds", True, "a number of seconds"),
    ("enforceIam", 1, "true or false"),
    ("requireAgentRole", "yes", "true or false"),
    ("bigqueryJobsProject", "both", "'destination' or 'source', not 'both'"),
    ("bigqueryJobsProject", ["source"], "'destination' or 'source'"),
]


@pytest.mark.parametrize(("name", "value", "text"), WRONG_VALUES)
def test_a_setting_of_the_wrong_kind_is_refused(emulator: LocalEmulator, name: str, value: Any, text: str) -> None:
    before = call(emulator, "GET", "/emulator/v1/settings")[1]
    code, answer = call(emulator, "PATCH", "/emulator/v1/settings", {name: value})
    assert code == 400
    assert text in answer["error"]["message"]
    assert call(emulator, "GET", "/emulator/v1/settings")[1] == before


def test_settings_last_until_reset(emulator: LocalEmulator) -> None:
    assert call(emulator, "PATCH", "/emulator/v1/settings", {"operationSeconds": 2.5})[1]["operationSeconds"] == 2.5
    assert call(emulator, "POST", "/emulator/v1/reset", {})[0] == 200
    assert call(emulator, "GET", "/emulator/v1/settings")[1]["operationSeconds"] == 0


def test_a_planned_status_comes_after_the_skipped_calls_and_is_counted(emulator: LocalEmulator) -> None:
    method = "cloudresourcemanager.projects.get"
    effect = {"status": 503, "message": "later", "retryAfter": 2}
    fault = call(emulator, "POST", "/emulator/v1/faults", {"method": method, "times": 2, "after": 1, "effect": effect})[
        1
    ]
    codes = [call(emulator, "GET", "/v1/projects/hospital-imaging")[0] for _ in range(4)]
    assert codes[1:3] == [503, 503]
    assert codes[0] == codes[3] != 503
    state = call(emulator, "GET", f"/emulator/v1/faults/{fault['id']}")[1]
    assert state == {"id": fault["id"], "planned": 2, "consumed": 2, "completed": True}


def test_a_planned_status_says_when_to_retry(emulator: LocalEmulator) -> None:
    effect = {"status": 429, "retryAfter": 7}
    emulator.control("POST", "faults", {"method": "cloudresourcemanager.projects.get", "effect": effect})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{emulator.url}/v1/projects/hospital-imaging")
    with caught.value as error:
        assert error.headers["Retry-After"] == "7"


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_dropped_connection_has_no_answer(emulator: LocalEmulator, when: str) -> None:
    method = "cloudresourcemanager.projects.get"
    fault = emulator.control("POST", "faults", {"method": method, "effect": {"drop": when}})
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        urllib.request.urlopen(f"{emulator.url}/v1/projects/hospital-imaging")
    assert emulator.control("GET", f"faults/{fault['id']}")["completed"] is True


def test_received_calls_are_listed_with_their_discovery_id(emulator: LocalEmulator) -> None:
    before = emulator.control("GET", "requests")["requests"]
    since = before[-1]["sequence"] if before else 0
    request = urllib.request.Request(
        f"{emulator.url}/v1/projects/hospital-imaging/locations/eu/datasets/d/fhirStores",
        headers={"Authorization": "Bearer principal:user:alice@example.org"},
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    caught.value.close()
    (entry,) = emulator.control("GET", f"requests?since={since}")["requests"]
    assert entry["method"] == "healthcare.projects.locations.datasets.fhirStores.list"
    assert entry["status"] == 501
    assert entry["principal"] == "user:alice@example.org"
    assert entry["path"].startswith("/v1/projects/hospital-imaging/")


def test_discovery_documents_name_the_emulator_as_their_root(emulator: LocalEmulator) -> None:
    code, body = call(emulator, "GET", "/discovery/v1/apis/bigquery/v2/rest")
    assert code == 200
    assert body["rootUrl"] == emulator.url + "/"
    assert body["id"] == "bigquery:v2"


def test_a_port_in_use_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUseError, match=str(port)):
            listen("127.0.0.1", port)


def test_documents_and_blobs_survive_on_disk(tmp_path: Path) -> None:
    first = State(tmp_path)
    first.collection("stores")["a"] = {"labels": {"x": "ä"}}
    first.collection("stores")["b"] = {}
    del first.collection("stores")["b"]
    blob = first.blobs.put(b"bytes" * 1000)
    # Not closed: a killed process closes nothing.
    second = State(tmp_path)
    assert dict(second.collection("stores")) == {"a": {"labels": {"x": "ä"}}}
    assert second.blobs.read(blob.id, 5, 10) == b"bytes"
    first.close()
    second.close()


def test_a_blob_that_was_not_committed_leaves_nothing(tmp_path: Path) -> None:
    state = State(tmp_path)
    writer = state.blobs.create()
    writer.write(b"x" * 3_000_000)
    writer.abort()
    assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []
    state.close()


def batch(emulator: LocalEmulator, content: bytes) -> tuple[int, bytes]:
    head = {"Content-Type": "multipart/mixed; boundary=b"}
    request = urllib.request.Request(emulator.url + "/batch/storage/v1", content, head, method="POST")
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def part(request: bytes) -> bytes:
    return b"--b\r\nContent-Type: application/http\r\nContent-ID: <1>\r\n\r\n" + request + b"\r\n--b--\r\n"


@pytest.mark.parametrize(
    "content", [b"", b"--b--", part(b""), part(b"GET"), part(b"\r\n\r\n"), part(b"\x85 \x85"), b"x"]
)
def test_a_batch_that_is_none_is_refused(emulator: LocalEmulator, content: bytes) -> None:
    status, body = batch(emulator, content)
    assert status == 400
    assert json.loads(body)["error"]["code"] == 400


def test_a_download_in_a_batch_is_refused_alone(emulator: LocalEmulator) -> None:
    call(emulator, "POST", "/storage/v1/b?project=hospital-imaging", {"name": "inbox"})
    call(emulator, "POST", "/upload/storage/v1/b/inbox/o?uploadType=media&name=x", {"a": 1})
    assert b"HTTP/1.1 200" in batch(emulator, part(b"GET /storage/v1/b/inbox/o/x HTTP/1.1\r\n\r\n"))[1]
    assert b"HTTP/1.1 400" in batch(emulator, part(b"GET /storage/v1/b/inbox/o/x?alt=media HTTP/1.1\r\n\r\n"))[1]


@pytest.mark.parametrize("since", ["%C2%B2", "-1", "1.5", "9" * 400, ""])
def test_a_sequence_number_that_is_none_is_refused(emulator: LocalEmulator, since: str) -> None:
    assert call(emulator, "GET", f"/emulator/v1/requests?since={since}")[0] == 400
