"""A reset while something is at work: the old work ends first, and nothing of it is in the new state."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom.data
import pytest

from emulator.bigquery import rows
from emulator.bigquery.catalog import Catalog
from emulator.healthcare.instances import Instances

Client = Any
SAMPLE = (Path(pydicom.data.__file__).parent / "test_files" / "CT_small.dcm").read_bytes()
OTHER = "research-analytics"
TABLES = f"/bigquery/v2/projects/{OTHER}/datasets/dicom/tables"
TO_TABLE = {"bigqueryDestination": {"tableUri": f"bq://{OTHER}.dicom.instances"}}
COLUMNS = {"fields": [{"name": "n", "type": "INTEGER"}]}


def prepare(call: Client) -> None:
    call.setup()
    reference = {"projectId": OTHER, "datasetId": "dicom"}
    call.ok("POST", f"/bigquery/v2/projects/{OTHER}/datasets", {"datasetReference": reference, "location": "EU"})
    call.grant(f"projects/{OTHER}", "roles/bigquery.dataEditor", "roles/bigquery.jobUser")


def start_export(call: Client) -> None:
    call.ok("POST", f"{call.store}:export", TO_TABLE)


def start_import(call: Client) -> None:
    call.bucket("more", {"x.dcm": SAMPLE}, "roles/storage.objectViewer")
    call.ok("POST", f"{call.store}:import", {"gcsSource": {"uri": "gs://more/**"}})


def start_streaming_import(call: Client) -> None:
    call.store = f"{call.dataset}/dicomStores/streaming"
    call.ok("POST", f"{call.dataset}/dicomStores?dicomStoreId=streaming", {"streamConfigs": [TO_TABLE]})
    start_import(call)


def start_load(call: Client) -> None:
    call.bucket("rows", {"x.csv": b"1\n2\n"})
    table = {"projectId": OTHER, "datasetId": "dicom", "tableId": "instances"}
    load = {"sourceUris": ["gs://rows/x.csv"], "schema": COLUMNS, "destinationTable": table}
    call.ok("POST", f"/bigquery/v2/projects/{OTHER}/jobs", {"configuration": {"load": load}})


def start_store(call: Client) -> None:
    headers = {"Content-Type": "application/dicom"}
    path = f"{call.dataset}/dicomStores/web"
    call.ok("POST", f"{call.dataset}/dicomStores?dicomStoreId=web", {})
    threading.Thread(target=call.raw, args=("POST", f"{path}/dicomWeb/studies", SAMPLE, headers)).start()


#: What is started, and where it is held up: at the step that writes.
WRITERS: list[tuple[Callable[[Client], None], type, str]] = [
    (start_export, Catalog, "keep_table"),
    (start_import, Instances, "add"),
    (start_streaming_import, Catalog, "keep_table"),
    (start_load, Catalog, "keep_table"),
    (start_store, Instances, "add"),
]


@pytest.mark.parametrize(("start", "owner", "step"), WRITERS, ids=[start.__name__ for start, _, _ in WRITERS])
def test_nothing_that_was_at_work_writes_into_the_state_after_a_reset(
    call: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    start: Callable[[Client], None],
    owner: type,
    step: str,
) -> None:
    prepare(call)
    call.import_files({"x.dcm": SAMPLE})
    real = getattr(owner, step)
    reached, go_on, over = threading.Event(), threading.Event(), threading.Event()

    def held(*arguments: Any, **named: Any) -> Any:
        reached.set()
        assert go_on.wait(30)
        try:
            return real(*arguments, **named)
        finally:
            over.set()

    monkeypatch.setattr(owner, step, held)
    starting = threading.Thread(target=start, args=(call,))
    starting.start()
    assert reached.wait(30)
    reset = threading.Thread(target=call.local.control, args=("POST", "reset"))
    reset.start()
    # Without waiting for what is held up, the reset is done long before this.
    reset.join(0.5)
    go_on.set()
    assert over.wait(30)
    reset.join(30)
    starting.join(30)
    monkeypatch.undo()
    emulator = call.local.emulator
    assert not emulator.underway.background_threads
    assert not emulator.state.collection("bigquery.tables")
    assert not emulator.state.collection("bigquery.jobs")
    assert not emulator.state.collection("healthcare.operations")
    assert emulator.service(Instances).query("SELECT COUNT(*) FROM instances") == [(0,)]
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
    # The next one begins with an empty table of the same name.
    call.store = f"{call.dataset}/dicomStores/pacs"
    prepare(call)
    call.import_files({"x.dcm": SAMPLE})
    assert "error" not in call.run("export", TO_TABLE)
    assert call.ok("GET", f"{TABLES}/instances")["numRows"] == "1"


def test_a_reset_ends_a_query_that_would_take_hours(call: Client, caplog: pytest.LogCaptureFixture) -> None:
    prepare(call)
    numbers = "UNNEST(GENERATE_ARRAY(1, 1000000))"
    text = f"SELECT COUNT(*) FROM {numbers} a, {numbers} b WHERE MOD(a * b, 7) = 3"  # noqa: S608 - a constant
    query = {"query": text, "useLegacySql": False}
    call.ok("POST", f"/bigquery/v2/projects/{OTHER}/jobs", {"configuration": {"query": query}})
    assert call.local.emulator.underway.background_threads
    call.local.control("POST", "reset")
    assert not call.local.emulator.underway.background_threads
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_an_operation_that_lasts_is_gone_after_a_reset(call: Client) -> None:
    prepare(call)
    call.import_files({"x.dcm": SAMPLE})
    call.local.control("PATCH", "settings", {"operationSeconds": 3600})
    operation = call.ok("POST", f"{call.store}:export", TO_TABLE)
    call.local.control("POST", "reset")
    prepare(call)
    assert call("GET", operation["name"])[0] == 404
    assert call("GET", f"{TABLES}/instances")[0] == 404


def hold(monkeypatch: pytest.MonkeyPatch, owner: Any, step: str, meanwhile: Callable[[], None]) -> None:
    """Have something happen before a step that an operation takes."""
    real = getattr(owner, step)
    happened = threading.Event()

    def held(*arguments: Any, **named: Any) -> Any:
        if not happened.is_set():
            happened.set()
            meanwhile()
        return real(*arguments, **named)

    monkeypatch.setattr(owner, step, held)


DELETIONS = [
    ("dataset", "datasets/dicom", TO_TABLE, {}),
    ("dataset", "datasets/dicom", TO_TABLE, {"writeDisposition": "WRITE_APPEND"}),
    ("store", "", TO_TABLE, {}),
    ("store", "", {"gcsDestination": {"uriPrefix": "gs://outbox/files"}}, {}),
]


@pytest.mark.parametrize(("what", "path", "to", "more"), DELETIONS)
def test_an_export_whose_store_or_destination_is_deleted_while_it_runs_ends_with_an_error(
    call: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    what: str,
    path: str,
    to: dict[str, Any],
    more: dict[str, Any],
) -> None:
    prepare(call)
    call.import_files({"x.dcm": SAMPLE})
    call.bucket("outbox", {}, "roles/storage.objectAdmin")
    if more:
        assert "error" not in call.run("export", to)
        to = {"bigqueryDestination": {**to["bigqueryDestination"], **more}}
    if what == "store":
        # Both read the instances after the operation has begun.
        step = ("pages", Instances) if "bigqueryDestination" in to else ("by_ids", Instances)
        hold(monkeypatch, step[1], step[0], lambda: call("DELETE", call.store))
        said = f"DICOM store {call.store} was deleted while the export ran"
    else:
        address = f"/bigquery/v2/projects/{OTHER}/{path}?deleteContents=true"
        # The rows are about to be written; that they are the table's comes after.
        hold(monkeypatch, rows, "_insert", lambda: call("DELETE", address))
        said = "Not found: Table" if more else "Not found: Dataset"
    error = call.run("export", to)["error"]
    assert error["code"] == 5
    assert said in error["message"]
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
    if what == "dataset":
        assert not call.local.emulator.state.collection("bigquery.tables")
