"""What is acknowledged outlives ``kill -9``, what is half-done is invisible, and what was running says so."""

from __future__ import annotations

import hashlib
import http.client
import json
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.protocol.emulator.killable import ROOT, Process

PROJECT = "hospital-imaging"
DATASETS = f"/v1/projects/{PROJECT}/locations/europe-west4/datasets"
STORE = f"{DATASETS}/radiology/dicomStores/pacs"
WEB = f"{STORE}/dicomWeb"
BIGQUERY = f"/bigquery/v2/projects/{PROJECT}"
OBJECTS = "/storage/v1/b/inbox/o"
UPLOAD = "/upload/storage/v1/b/inbox/o"
Q = 256 * 1024
JSON_ANSWER = {"Accept": "application/dicom+json"}


def ct() -> bytes:
    from pydicom.data import get_testdata_file

    return Path(str(get_testdata_file("CT_small.dcm", download=False))).read_bytes()


def instances(number: int) -> list[bytes]:
    """Copies of one image with UIDs of their own."""
    data, uid = ct(), b"1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322"
    assert data.count(uid) == 2
    return [data.replace(uid, uid[:-4] + f"{one:04}".encode()) for one in range(number)]


def furnish(emulator: Process) -> None:
    """A dataset, a store, a bucket, a BigQuery dataset, and a service agent that may do everything."""
    emulator.wait(emulator.ok("POST", f"{DATASETS}?datasetId=radiology", {"timeZone": "Europe/Berlin"}))
    emulator.ok("POST", f"{DATASETS}/radiology/dicomStores?dicomStoreId=pacs", {"labels": {"team": "radiology"}})
    emulator.ok("POST", f"/storage/v1/b?project={PROJECT}", {"name": "inbox", "labels": {"a": "b"}})
    emulator.ok("POST", f"{BIGQUERY}/datasets", {"datasetReference": {"projectId": PROJECT, "datasetId": "dicom"}})
    number = emulator.ok("GET", f"/v1/projects/{PROJECT}")["projectNumber"]
    agent = f"serviceAccount:service-{number}@gcp-sa-healthcare.iam.gserviceaccount.com"
    roles = ("roles/storage.admin", "roles/bigquery.admin", "roles/pubsub.publisher")
    bindings = [{"role": role, "members": [agent]} for role in roles]
    emulator.ok("POST", f"/v1/projects/{PROJECT}:setIamPolicy", {"policy": {"bindings": bindings}})


def put(emulator: Process, name: str, data: bytes) -> Any:
    return emulator.ok("POST", f"{UPLOAD}?uploadType=media&name={name}", data, {"Content-Type": "application/dicom"})


def export(table: str, **more: Any) -> dict[str, Any]:
    destination = {"tableUri": f"bq://{PROJECT}.dicom.{table}", "writeDisposition": "WRITE_TRUNCATE", **more}
    return {"bigqueryDestination": destination}


def query(emulator: Process, sql: str) -> list[list[str | None]]:
    answer = emulator.ok("POST", f"{BIGQUERY}/queries", {"query": sql, "useLegacySql": False})
    assert answer["jobComplete"], answer
    return [[cell["v"] for cell in row["f"]] for row in answer.get("rows", [])]


def soon(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --- everything that was acknowledged ---


def write_everything(emulator: Process) -> str:
    """One of everything; returns the path of an upload that is not finished."""
    furnish(emulator)
    for number, data in enumerate(instances(3)):
        put(emulator, f"{number}.dcm", data)
    put(emulator, "gone", b"x")
    assert emulator.send("DELETE", f"{OBJECTS}/gone")[0] == 204
    put(emulator, "replaced", b"old")
    put(emulator, "replaced", b"new")
    emulator.ok("PATCH", f"{OBJECTS}/replaced", {"metadata": {"k": "v"}})
    emulator.ok("POST", f"{OBJECTS}/composed/compose", {"sourceObjects": [{"name": "0.dcm"}, {"name": "1.dcm"}]})
    emulator.ok("POST", f"{OBJECTS}/0.dcm/copyTo/b/inbox/o/copied", {})
    sessions = []
    for name in ("whole", "begun"):
        _, headers, _ = emulator.send("POST", f"{UPLOAD}?uploadType=resumable&name={name}", b"")
        sessions.append(headers["location"].removeprefix(emulator.url))
        status, _, _ = emulator.send("PUT", sessions[-1], b"a" * Q, {"Content-Range": f"bytes 0-{Q - 1}/{2 * Q}"})
        assert status == 308
    emulator.ok("PUT", sessions[0], b"b" * Q, {"Content-Range": f"bytes {Q}-{2 * Q - 1}/{2 * Q}"})
    headers = {"Content-Type": "application/dicom", **JSON_ANSWER}
    emulator.ok("POST", f"{WEB}/studies", instances(4)[3], headers)
    emulator.wait(emulator.ok("POST", f"{STORE}:import", {"gcsSource": {"uri": "gs://inbox/*.dcm"}}))
    emulator.wait(emulator.ok("POST", f"{STORE}:import", {"gcsSource": {"uri": "gs://inbox/replaced"}}))
    for body in (export("flat"), export("json", schemaJson={}), {"gcsDestination": {"uriPrefix": "gs://inbox/out"}}):
        emulator.wait(emulator.ok("POST", f"{STORE}:export", body))
    emulator.wait(emulator.ok("POST", f"{STORE}:export", export("flat", writeDisposition="WRITE_APPEND")))
    reference = {"projectId": PROJECT, "datasetId": "dicom", "tableId": "people"}
    columns = {"fields": [{"name": "name", "type": "STRING"}, {"name": "born", "type": "DATE"}]}
    emulator.ok("POST", f"{BIGQUERY}/datasets/dicom/tables", {"tableReference": reference, "schema": columns})
    rows = [{"json": {"name": "Ann", "born": "2000-02-29"}}, {"json": {"name": "Bob"}}]
    emulator.ok("POST", f"{BIGQUERY}/datasets/dicom/tables/people/insertAll", {"rows": rows})
    view = {"view": {"query": "SELECT name FROM dicom.people", "useLegacySql": False}}
    emulator.ok(
        "POST", f"{BIGQUERY}/datasets/dicom/tables", {"tableReference": {**reference, "tableId": "seen"}, **view}
    )
    query(emulator, "CREATE TABLE dicom.made AS SELECT name, 7 AS n FROM dicom.people")
    query(emulator, "DELETE FROM dicom.people WHERE name = 'Bob'")
    binding = {"role": "roles/viewer", "members": ["user:alice@example.org"]}
    for path in (f"{DATASETS}/radiology", STORE):
        emulator.ok("POST", f"{path}:setIamPolicy", {"policy": {"bindings": [binding]}})
    emulator.ok("PUT", "/storage/v1/b/inbox/iam", {"bindings": [binding]})
    emulator.ok("PUT", f"/v1/projects/{PROJECT}/topics/arrivals", {"labels": {"a": "b"}})
    emulator.ok(
        "PUT", f"/v1/projects/{PROJECT}/subscriptions/readers", {"topic": f"projects/{PROJECT}/topics/arrivals"}
    )
    emulator.ok("POST", f"/v1/projects/{PROJECT}/topics/arrivals:publish", {"messages": [{"data": "aGk="}]})
    rings = f"/v1/projects/{PROJECT}/locations/europe-west4/keyRings"
    emulator.ok("POST", f"{rings}?keyRingId=ring", {})
    emulator.ok("POST", f"{rings}/ring/cryptoKeys?cryptoKeyId=key", {"purpose": "ENCRYPT_DECRYPT"})
    emulator.ok("POST", f"/v1/projects/{PROJECT}/serviceAccounts", {"accountId": "robot-1"})
    role = {"title": "reader", "includedPermissions": ["healthcare.datasets.get"]}
    emulator.ok("POST", f"/v1/projects/{PROJECT}/roles", {"roleId": "reader", "role": role})
    emulator.ok("POST", f"/v1/projects/{PROJECT}/services/pubsub.googleapis.com:enable", {})
    return sessions[1]


#: What is read before the process is killed and after the next one has started.
READ: list[tuple[str, str, Any]] = [
    *(("GET", path, None) for path in ("/storage/v1/b/inbox", OBJECTS, f"{OBJECTS}/0.dcm?alt=media")),
    *(("GET", f"{OBJECTS}/{name}?alt=media", None) for name in ("replaced", "composed", "copied", "whole")),
    *(("GET", path, None) for path in (DATASETS, f"{DATASETS}/radiology", f"{DATASETS}/radiology/dicomStores")),
    *(("GET", path, None) for path in (f"{DATASETS}/radiology/operations", f"{STORE}:getDICOMStoreMetrics")),
    *(("GET", f"{WEB}/{level}", None) for level in ("studies", "series", "instances?includefield=all")),
    *(("GET", f"{BIGQUERY}/{path}", None) for path in ("datasets", "datasets/dicom", "datasets/dicom/tables")),
    *(
        ("GET", f"{BIGQUERY}/datasets/dicom/tables/{table}", None)
        for table in ("flat", "json", "people", "seen", "made")
    ),
    *(("GET", f"{BIGQUERY}/datasets/dicom/tables/{table}/data", None) for table in ("flat", "json", "people", "made")),
    ("GET", f"{BIGQUERY}/jobs?projection=full", None),
    *(("POST", f"{path}:getIamPolicy", {}) for path in (f"/v1/projects/{PROJECT}",)),
    *(("GET", path, None) for path in (f"{DATASETS}/radiology:getIamPolicy", f"{STORE}:getIamPolicy")),
    ("GET", "/storage/v1/b/inbox/iam", None),
    *(
        ("GET", f"/v1/projects/{PROJECT}/{path}", None)
        for path in ("topics", "subscriptions", "roles", "serviceAccounts")
    ),
    ("GET", f"/v1/projects/{PROJECT}/locations/europe-west4/keyRings/ring/cryptoKeys", None),
    ("GET", f"/v1/projects/{PROJECT}/services?filter=state:ENABLED", None),
    ("POST", "/v2/entries:list", {"resourceNames": [f"projects/{PROJECT}"], "orderBy": "timestamp asc"}),
]


def read_everything(emulator: Process) -> dict[str, str]:
    """Every answer; the address of the emulator, which is another one after a restart, is taken out."""
    found = {}
    for method, path, body in READ:
        status, _, got = emulator.send(method, path, body, {"Accept": "*/*"})
        assert status == 200, (path, got[:300])
        text = got.replace(emulator.url.encode(), b"")
        found[path] = text.decode("utf-8", "replace") if len(text) < 20_000 else hashlib.sha256(text).hexdigest()
    return found


def test_everything_that_was_acknowledged_is_there_after_kill(tmp_path: Path) -> None:
    with Process(tmp_path) as first:
        begun = write_everything(first)
        before = read_everything(first)
        first.kill()
    with Process(tmp_path) as second:
        after = read_everything(second)
        for path, text in before.items():
            assert after[path] == text, path
        status, headers, _ = second.send("PUT", begun, b"", {"Content-Range": f"bytes */{2 * Q}"})
        assert (status, headers["range"]) == (308, f"bytes=0-{Q - 1}")
        second.ok("PUT", begun, b"c" * Q, {"Content-Range": f"bytes {Q}-{2 * Q - 1}/{2 * Q}"})
        assert second.ok("GET", f"{OBJECTS}/begun?alt=media") == b"a" * Q + b"c" * Q
        pulled = second.ok("POST", f"/v1/projects/{PROJECT}/subscriptions/readers:pull", {"maxMessages": 5})
        assert [one["message"]["data"] for one in pulled["receivedMessages"]] == ["aGk="]
        assert query(second, "SELECT COUNT(*) FROM dicom.flat") == [["8"]]
        assert query(second, "SELECT name FROM dicom.seen") == [["Ann"]]
        # What is deleted now is deleted for good, with the bytes that nobody refers to any more.
        study = json.loads(second.send("GET", f"{WEB}/studies", headers=JSON_ANSWER)[2])[0]["0020000D"]["Value"][0]
        second.wait(second.ok("DELETE", f"{WEB}/studies/{study}"))
        for one in second.ok("GET", OBJECTS)["items"]:
            second.send("DELETE", f"{OBJECTS}/{one['name'].replace('/', '%2F')}")
        assert blobs(tmp_path) == []
        assert second.end() == (0, "")


def blobs(data: Path) -> list[Path]:
    return sorted(path for path in (data / "blobs").rglob("*") if path.is_file())


# --- what was running ---


@pytest.mark.parametrize("verb", ["import", "export", "create", "delete"])
def test_an_operation_that_ran_is_failed_and_says_so(tmp_path: Path, verb: str) -> None:
    with Process(tmp_path) as first:
        furnish(first)
        for number, data in enumerate(instances(3)):
            put(first, f"{number}.dcm", data)
        first.wait(first.ok("POST", f"{STORE}:import", {"gcsSource": {"uri": "gs://inbox/0.dcm"}}))
        studies = first.send("GET", f"{WEB}/studies", headers=JSON_ANSWER)[2]
        first.ok("PATCH", "/emulator/v1/settings", {"operationSeconds": 300})
        study = json.loads(studies)[0]["0020000D"]["Value"][0]
        match verb:
            case "import":
                begun = first.ok("POST", f"{STORE}:import", {"gcsSource": {"uri": "gs://inbox/*.dcm"}})
            case "export":
                begun = first.ok("POST", f"{STORE}:export", export("flat"))
            case "create":
                begun = first.ok("POST", f"{DATASETS}?datasetId=second", {})
            case _:
                begun = first.ok("DELETE", f"{WEB}/studies/{study}")
        assert not first.ok("GET", f"/v1/{begun['name']}").get("done")
        first.kill()
    with Process(tmp_path) as second:
        # Before anything else has looked at the operations.
        assert second.send("GET", f"{DATASETS}/second")[0] in (403, 404)
        found = second.ok("GET", f"/v1/{begun['name']}")
        assert found["done"]
        assert found["error"]["code"] == 10
        assert "start it again" in found["error"]["message"]
        assert "endTime" in found["metadata"]
        assert "pending" not in found["metadata"].get("counter", {})
        assert second.ok("GET", f"{STORE}:getDICOMStoreMetrics")["instanceCount"] == "1"
        assert second.send("GET", f"{BIGQUERY}/datasets/dicom/tables/flat")[0] == 404
        second.wait(second.ok("POST", f"{DATASETS}?datasetId=second", {}))
        done = second.wait(second.ok("POST", f"{STORE}:import", {"gcsSource": {"uri": "gs://inbox/*.dcm"}}))
        assert done["metadata"]["counter"] == {"success": "3"}
        done = second.wait(second.ok("POST", f"{STORE}:export", export("flat")))
        assert done["metadata"]["counter"] == {"success": "3"}


@pytest.mark.parametrize("moment", [0.0, 0.08, 0.3])
def test_an_import_and_an_export_killed_at_any_moment_leave_nothing_half_done(tmp_path: Path, moment: float) -> None:
    with Process(tmp_path) as first:
        furnish(first)
        for number, data in enumerate(instances(120)):
            put(first, f"{number}.dcm", data)
        first.wait(first.ok("POST", f"{STORE}:import", {"gcsSource": {"uri": "gs://inbox/?.dcm"}}))
        first.wait(first.ok("POST", f"{STORE}:export", export("flat")))
        running = [
            first.ok("POST", f"{STORE}:import", {"gcsSource": {"uri": "gs://inbox/*.dcm"}}),
            first.ok("POST", f"{STORE}:export", export("flat")),
            first.ok("POST", f"{STORE}:export", export("json", schemaJson={})),
            first.ok("POST", f"{STORE}:export", {"gcsDestination": {"uriPrefix": "gs://inbox/out"}}),
        ]
        time.sleep(moment)  # any moment will do
        first.kill()
    with Process(tmp_path) as second:
        for one in running:
            found = second.ok("GET", f"/v1/{one['name']}")
            assert found["done"]
            assert found.get("error", {}).get("code") in (None, 10)
        # Each row of the table is whole, and there are as many as one export wrote.
        ((rows, filled),) = query(second, "SELECT COUNT(*), COUNTIF(SOPInstanceUID IS NOT NULL) FROM dicom.flat")
        assert 10 <= int(rows or 0) == int(filled or 0) <= 120
        stored = second.ok("GET", f"{STORE}:getDICOMStoreMetrics")["instanceCount"]
        found_instances = json.loads(second.send("GET", f"{WEB}/instances?limit=1000", headers=JSON_ANSWER)[2])
        assert 10 <= int(stored) == len(found_instances) <= 120
        for one in second.ok("GET", f"{OBJECTS}?maxResults=1000")["items"]:
            data = second.send("GET", f"{OBJECTS}/{one['name'].replace('/', '%2F')}?alt=media")[2]
            assert len(data) == int(one["size"]) == len(ct())
        assert not list((tmp_path / "temporary").glob("export-*"))
        soon(lambda: references_are_right(tmp_path))
        done = second.wait(second.ok("POST", f"{STORE}:import", {"gcsSource": {"uri": "gs://inbox/*.dcm"}}))
        assert done["metadata"]["counter"] == {"success": "120"}
        assert second.ok("GET", f"{STORE}:getDICOMStoreMetrics")["instanceCount"] == "120"


def references_are_right(data: Path) -> bool:
    """Every blob is referred to as often as is counted, and there is no other."""
    held: dict[str, int] = {}
    documents = sqlite3.connect(data / "documents.sqlite")
    stored = sqlite3.connect(data / "instances.sqlite")
    try:
        objects = "SELECT json_extract(document, '$.blob') FROM documents WHERE collection LIKE 'storage.objects/%'"
        for (blob,) in [*documents.execute(objects), *stored.execute("SELECT blob FROM instances")]:
            held[blob] = held.get(blob, 0) + 1
        sql = "SELECT key, json_extract(document, '$.count') FROM documents WHERE collection = 'blobs.references'"
        counted = dict(documents.execute(sql).fetchall())
    finally:
        documents.close()
        stored.close()
    many = {blob: count for blob, count in held.items() if count > 1}
    return counted == many and {path.name for path in blobs(data)} == set(held)


def test_acknowledged_writes_survive_kills_at_many_moments(tmp_path: Path) -> None:
    names: list[str] = []
    stored: list[str] = []
    rows = 0
    for round_ in range(5):
        with Process(tmp_path) as emulator:
            if round_ == 0:
                furnish(emulator)
                people = {"projectId": PROJECT, "datasetId": "dicom", "tableId": "people"}
                columns = {"fields": [{"name": "n", "type": "INTEGER"}]}
                body = {"tableReference": people, "schema": columns}
                emulator.ok("POST", f"{BIGQUERY}/datasets/dicom/tables", body)
            kill_at = time.monotonic() + 0.15 + 0.11 * round_
            # The kill comes from outside, in the middle of whatever is being done.
            killer = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    f"import os,time; time.sleep({0.15 + 0.11 * round_}); os.kill({emulator.process.pid}, 9)",
                ]
            )
            try:
                files = iter(instances(3000)[round_ * 500 :])
                while time.monotonic() < kill_at + 10:
                    name = f"{round_}-{len(names)}"
                    put(emulator, name, name.encode() * 5000)
                    names.append(name)
                    headers = {"Content-Type": "application/dicom", **JSON_ANSWER}
                    answer = emulator.ok("POST", f"{WEB}/studies", next(files), headers)
                    stored.append(answer["00081199"]["Value"][0]["00081155"]["Value"][0])
                    body = {"rows": [{"json": {"n": rows}}]}
                    emulator.ok("POST", f"{BIGQUERY}/datasets/dicom/tables/people/insertAll", body)
                    rows += 1
            except (ConnectionError, http.client.HTTPException):
                pass
            assert emulator.process.wait(30) == -signal.SIGKILL
            assert killer.wait(30) == 0
            emulator.end(0) if emulator.process.poll() is None else emulator._close_pipes()
    with Process(tmp_path) as last:
        listed = {one["name"]: one for one in last.ok("GET", f"{OBJECTS}?maxResults=1000")["items"]}
        assert set(names) <= set(listed)
        assert len(listed) <= len(names) + 5  # the one of each round whose answer was lost
        for name in listed:
            assert last.ok("GET", f"{OBJECTS}/{name}?alt=media") == name.encode() * 5000
        # Empty where nothing was stored.
        found = json.loads(last.send("GET", f"{WEB}/instances?limit=5000", headers=JSON_ANSWER)[2] or "[]")
        uids = {one["00080018"]["Value"][0] for one in found}
        assert set(stored) <= uids
        for uid in uids:
            one = next(one for one in found if one["00080018"]["Value"][0] == uid)
            study, series = one["0020000D"]["Value"][0], one["0020000E"]["Value"][0]
            path = f"{WEB}/studies/{study}/series/{series}/instances/{uid}"
            assert len(last.send("GET", path, headers={"Accept": "application/dicom; transfer-syntax=*"})[2]) == len(
                ct()
            )
        ((count, distinct),) = query(last, "SELECT COUNT(*), COUNT(DISTINCT n) FROM dicom.people")
        assert rows <= int(count or 0) <= rows + 5
        assert int(distinct or 0) >= rows
        soon(lambda: references_are_right(tmp_path))
        assert last.end() == (0, "")


def test_an_upload_that_was_cut_off_leaves_nothing(tmp_path: Path) -> None:
    with Process(tmp_path) as first:
        furnish(first)
        address = urlsplit(first.url)
        with socket.create_connection((address.hostname or "", address.port or 0)) as raw:
            head = f"POST {UPLOAD}?uploadType=media&name=half HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n"
            raw.sendall(head.encode() + b"x" * 5_000_000)
            soon(lambda: bool(blobs(tmp_path)))
            first.kill()
    with Process(tmp_path) as second:
        assert second.send("GET", f"{OBJECTS}/half")[0] == 404
        assert blobs(tmp_path) == []


def test_what_nobody_refers_to_is_removed_at_the_start(tmp_path: Path) -> None:
    with Process(tmp_path) as first:
        furnish(first)
        put(first, "kept", b"kept")
        headers = {"Content-Type": "application/dicom", **JSON_ANSWER}
        first.ok("POST", f"{WEB}/studies", ct(), headers)
        put(first, "0.dcm", instances(1)[0])
        first.wait(first.ok("POST", f"{STORE}:import", {"gcsSource": {"uri": "gs://inbox/0.dcm"}}))
        first.kill()
    kept = blobs(tmp_path)
    # As a process leaves it that is killed between two steps.
    (tmp_path / "blobs" / "ab").mkdir(exist_ok=True)
    shutil.copy(kept[0], tmp_path / "blobs" / "ab" / "0123456789ab-000000ab")
    (tmp_path / "temporary" / "export-x").mkdir()
    (tmp_path / "temporary" / "export-x" / "rows.json").write_text("{}", "ascii")
    documents = sqlite3.connect(tmp_path / "documents.sqlite")
    for path in kept:
        documents.execute(
            "INSERT OR REPLACE INTO documents VALUES ('blobs.references', ?, '{\"count\":7}')", (path.name,)
        )
    documents.commit()
    documents.close()
    with Process(tmp_path) as second:
        soon(lambda: references_are_right(tmp_path))
        assert blobs(tmp_path) == kept
        assert not (tmp_path / "temporary" / "export-x").exists()
        assert second.ok("GET", f"{OBJECTS}/kept?alt=media") == b"kept"
        assert second.ok("GET", f"{STORE}:getDICOMStoreMetrics")["instanceCount"] == "2"


def test_instances_of_a_store_that_was_being_deleted_are_removed_at_the_start(tmp_path: Path) -> None:
    with Process(tmp_path) as first:
        furnish(first)
        headers = {"Content-Type": "application/dicom", **JSON_ANSWER}
        first.ok("POST", f"{WEB}/studies", ct(), headers)
        first.kill()
    documents = sqlite3.connect(tmp_path / "documents.sqlite")
    documents.execute("DELETE FROM documents WHERE collection = 'healthcare.dicomStores'")
    documents.commit()
    documents.close()
    with Process(tmp_path) as second:
        soon(lambda: references_are_right(tmp_path) and blobs(tmp_path) == [])
        second.ok("POST", f"{DATASETS}/radiology/dicomStores?dicomStoreId=pacs", {})
        assert second.ok("GET", f"{STORE}:getDICOMStoreMetrics").get("instanceCount", "0") == "0"


# --- start and end ---


def test_without_a_data_directory_everything_is_gone_after_a_restart() -> None:
    with Process(None, "--project", PROJECT) as first:
        furnish(first)
        assert first.end() == (0, "")
    with Process() as second:
        assert second.send("GET", "/storage/v1/b/inbox")[0] == 404


def test_reset_empties_the_data_directory_for_good(tmp_path: Path) -> None:
    with Process(tmp_path, "--project", PROJECT) as first:
        write_everything(first)
        first.ok("POST", "/emulator/v1/reset", {})
        assert blobs(tmp_path) == []
        assert first.send("GET", f"{BIGQUERY}/datasets/dicom")[0] == 404
        furnish(first)
        first.kill()
    with Process(tmp_path) as second:
        assert "items" not in second.ok("GET", OBJECTS)
        assert second.ok("GET", f"{DATASETS}/radiology")["timeZone"] == "Europe/Berlin"
        assert second.send("GET", f"{BIGQUERY}/datasets/dicom/tables/flat")[0] == 404


def test_two_emulators_do_not_share_a_data_directory(tmp_path: Path) -> None:
    with Process(tmp_path) as first:
        with pytest.raises(RuntimeError, match=r"did not start: 1 .*can't be used: another emulator uses it"):
            Process(tmp_path)
        assert first.end() == (0, "")
    with Process(tmp_path) as second:
        assert second.end() == (0, "")


def test_a_data_directory_that_can_not_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "ascii")
    with pytest.raises(RuntimeError, match=r"did not start: 1 .*error: the data directory .*file"):
        Process(tmp_path / "file")


def test_a_port_in_use_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "emulator", "serve", "--port", port]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert port in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("number", "durable"), [(signal.SIGTERM, True), (signal.SIGINT, False)], ids=["SIGTERM on disk", "SIGINT in memory"]
)
def test_the_emulator_ends_within_seconds_while_operations_and_requests_run(
    tmp_path: Path, number: int, durable: bool
) -> None:
    with Process(tmp_path if durable else None) as emulator:
        furnish(emulator)
        for one, data in enumerate(instances(40)):
            put(emulator, f"{one}.dcm", data)
        fault = {"method": "storage.buckets.get", "effect": {"delaySeconds": 60}}
        emulator.ok("POST", "/emulator/v1/faults", fault)
        emulator.ok("PATCH", "/emulator/v1/settings", {"operationSeconds": 60})
        emulator.ok("POST", f"{STORE}:import", {"gcsSource": {"uri": "gs://inbox/*.dcm"}})
        emulator.ok("PATCH", "/emulator/v1/settings", {"operationSeconds": 0})
        emulator.ok("POST", f"{STORE}:import", {"gcsSource": {"uri": "gs://inbox/*.dcm"}})
        address = urlsplit(emulator.url)
        with socket.create_connection((address.hostname or "", address.port or 0)) as waiting:
            waiting.sendall(b"GET /storage/v1/b/inbox HTTP/1.1\r\nHost: x\r\n\r\n")
            began = time.monotonic()
            status, errors = emulator.end(number)
        assert status == 0, errors
        assert time.monotonic() - began < 10
        assert "Traceback" not in errors
