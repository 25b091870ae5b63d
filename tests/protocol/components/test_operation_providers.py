"""The dynamic providers of imports and exports without an engine: what they keep in mind, and what they cancel."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pulumi import UNKNOWN

from components.provider.engine_log import Failure
from components.provider.inputs import journal_folder, journal_of
from components.provider.resources import AwaitedProvider, StartedProvider
from components.resources.reference_queries import VIEWS, load_query
from emulator.server.server import LocalEmulator
from operations.model.requests import request_from_body
from operations.run.record import record_of
from operations.run.start import start
from operations.run.wait import Waiter
from tests.protocol.operations.hospital import STORE, TABLE, Hospital

URN = "urn:pulumi:test::imaging::imaging:index:DicomExport$pulumi-python:dynamic/imaging:StartedOperation::metadata"
BODY = {"bigqueryDestination": {"tableUri": TABLE, "writeDisposition": "WRITE_TRUNCATE", "schemaFlattened": {}}}


@pytest.fixture(autouse=True)
def _journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGING_JOURNAL", str(tmp_path / "starts"))


@pytest.fixture
def hospital(emulator: LocalEmulator) -> Iterator[Hospital]:
    made = Hospital(emulator)
    made.store_instances(2)
    yield made
    made.close()


@pytest.fixture
def props(emulator: LocalEmulator) -> dict[str, Any]:
    return {
        "label": "metadata",
        "store": STORE,
        "method": "export",
        "body": BODY,
        "allowedFailures": 0.0,
        "timeout": 60.0,
        "permissionWait": 0.0,
        "maxRunning": 5.0,
        "endpoint": emulator.url,
        "rerun": "always",
        "previous": {"read": True},
        "inPreview": False,
        "urn": URN,
    }


def awaited(started: dict[str, Any]) -> dict[str, Any]:
    return {
        **started,
        "urn": URN.replace("StartedOperation", "AwaitedOperation"),
        "startedAt": started["startedAt"],
        "filterUri": "",
    }


def states(hospital: Hospital) -> list[str]:
    """Say of each export whether it runs or how it ended, in their order."""
    return [
        "running" if not each.get("done") else "cancelled" if each.get("error") else "done"
        for each in hospital.operations("ExportDicomData")
    ]


def test_a_start_that_the_stack_never_saved_is_found_again_and_an_awaited_one_is_not(
    hospital: Hospital, props: dict[str, Any]
) -> None:
    first = StartedProvider().create(props)
    again = StartedProvider().create(props)
    assert again.outs == first.outs
    AwaitedProvider().create(awaited(dict(again.outs or {})))
    second = StartedProvider().create(props)
    AwaitedProvider().create(awaited(dict(second.outs or {})))
    assert states(hospital) == ["done", "done"]


def test_a_start_that_is_in_the_state_is_not_adopted_by_the_update_that_follows(
    hospital: Hospital, props: dict[str, Any]
) -> None:
    first = dict(StartedProvider().create(props).outs or {})
    while "running" in states(hospital):
        pass
    assert StartedProvider().diff("id", first, props).changes
    second = dict(StartedProvider().update("id", first, props).outs or {})
    AwaitedProvider().create(awaited(second))
    assert states(hospital) == ["done", "done"]


def test_an_update_cancels_what_runs_and_a_delete_does_too(hospital: Hospital, props: dict[str, Any]) -> None:
    hospital.fault("export", times=2, operation={"seconds": 3600})
    first = dict(StartedProvider().create(props).outs or {})
    second = dict(StartedProvider().update("id", first, {**props, "trigger": "again"}).outs or {})
    assert states(hospital) == ["cancelled", "running"]
    StartedProvider().delete("id", second)
    assert states(hospital) == ["cancelled", "cancelled"]
    assert journal_of(props).open_entry is None


def test_an_update_does_not_ask_for_an_operation_whose_end_is_on_record(
    hospital: Hospital, props: dict[str, Any], emulator: LocalEmulator
) -> None:
    first = dict(StartedProvider().create(props).outs or {})
    ended = dict(AwaitedProvider().create(awaited(first)).outs or {})
    before = emulator.control("GET", "requests")["requests"][-1]["sequence"]
    again = {**props, "trigger": "again", "previous": record_of(ended).to_json()}
    StartedProvider().update("id", first, again)
    asked = [each["method"] for each in emulator.control("GET", f"requests?since={before}")["requests"]]
    assert [each for each in asked if each.endswith("operations.get")] == []
    assert len(states(hospital)) == 2


def test_deleting_what_was_replaced_leaves_its_replacement_alone(hospital: Hospital, props: dict[str, Any]) -> None:
    first = dict(StartedProvider().create(props).outs or {})
    AwaitedProvider().create(awaited(first))
    hospital.fault("export", operation={"seconds": 3600})
    second = dict(StartedProvider().create(props).outs or {})
    StartedProvider().delete("id", first)
    assert states(hospital) == ["done", "running"]
    entry = journal_of(props).open_entry
    assert entry is not None
    assert entry.operation == second["operation"]


def test_deleting_a_run_cancels_what_was_started_anew_in_its_place(hospital: Hospital, props: dict[str, Any]) -> None:
    first = dict(StartedProvider().create(props).outs or {})
    hospital.fault("export", operation={"seconds": 3600})
    journal = journal_of(props, instead_of=first["operation"])
    journal.begin(request_from_body(STORE, "export", BODY), first["startedAt"], [], {})
    stores = hospital.connection.healthcare.projects().locations().datasets().dicomStores()
    body: Any = BODY
    journal.began(stores.export(name=STORE, body=body).execute()["name"])
    StartedProvider().delete("id", first)
    # Neither the first export nor the cancellation is waited for by a deletion.
    deadline = time.monotonic() + 30
    while "running" in states(hospital) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert states(hospital) == ["done", "cancelled"]
    assert journal.open_entry is None


def test_a_service_away_is_a_failure_unless_it_is_a_preview(hospital: Hospital, props: dict[str, Any]) -> None:
    first = dict(StartedProvider().create(props).outs or {})
    away = {**props, "endpoint": "http://127.0.0.1:9"}
    with pytest.raises(Failure, match=r'^export "metadata": can\'t see whether a new run is needed: nothing answers'):
        StartedProvider().diff("id", first, away)
    del away["inPreview"]
    assert StartedProvider().diff("id", first, away).changes is False
    assert len(states(hospital)) == 1


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"IMAGING_JOURNAL": "/volume/starts", "PULUMI_HOME": "/p"}, "/volume/starts"),
        ({"PULUMI_HOME": "/p"}, "/p/imaging/starts"),
        ({}, str(Path.home() / ".pulumi/imaging/starts")),
    ],
)
def test_the_journal_is_where_pulumi_keeps_things_of_the_user_unless_told_otherwise(
    environment: dict[str, str], folder: str
) -> None:
    assert str(journal_folder(environment)) == folder


@pytest.fixture
def empty(hospital: Hospital) -> str:
    """A second store, without instances."""
    dataset = STORE.rpartition("/dicomStores/")[0]
    stores = hospital.connection.healthcare.projects().locations().datasets().dicomStores()
    stores.create(parent=dataset, dicomStoreId="empty", body={}).execute()
    return f"{dataset}/dicomStores/empty"


def test_an_empty_store_fails_the_run_and_says_what_would_skip_it(
    empty: str, hospital: Hospital, props: dict[str, Any]
) -> None:
    with pytest.raises(Failure, match=r"DICOM store empty is empty.*`whenEmpty: skip`"):
        StartedProvider().create({**props, "store": empty})
    assert states(hospital) == []


def test_a_run_without_anything_to_do_is_skipped_and_runs_when_there_is_something(
    empty: str, hospital: Hospital, props: dict[str, Any]
) -> None:
    # The query would fail: its table is made by an export that has nothing to do either.
    chosen = {"query": "SELECT path FROM dicom.nowhere", "project": "research-analytics", "bucket": "b"}
    props |= {"store": empty, "whenEmpty": "skip", "previous": {"read": True}, "rerun": "when-inputs-change"}
    skipped = dict(StartedProvider().create({**props, "filter": chosen}).outs or {})
    assert (skipped["operation"], skipped["skipped"]) == (
        "",
        "DICOM store empty is empty, so there is nothing to export; import or store instances first",
    )
    done = dict(AwaitedProvider().create(awaited(skipped)).outs or {})
    outcome = done["outcome"]
    assert (outcome["state"], outcome["reason"], outcome["success"]) == ("skipped", skipped["skipped"], 0)
    assert not StartedProvider().diff("id", skipped, props).changes
    assert AwaitedProvider().read("id", done).outs == done
    assert states(hospital) == []

    # The store that has instances stands for the same store later.
    later = {**props, "store": STORE}
    assert StartedProvider().diff("id", skipped, later).changes
    started = dict(StartedProvider().update("id", skipped, later).outs or {})
    assert started["skipped"] == ""
    assert AwaitedProvider().diff("id", done, awaited(started)).changes
    ended = dict(AwaitedProvider().update("id", done, awaited(started)).outs or {})
    assert (ended["outcome"]["state"], ended["outcome"]["rows"]) == ("succeeded", 2)
    StartedProvider().delete("id", skipped)
    assert states(hospital) == ["done"]


def test_an_import_of_a_pattern_without_objects_is_skipped(hospital: Hospital, props: dict[str, Any]) -> None:
    before = hospital.operations("ImportDicomData")
    body = {"gcsSource": {"uri": "gs://hospital-dicom-inbox/nothing/**.dcm"}}
    outs = StartedProvider().create({**props, "method": "import", "body": body, "whenEmpty": "skip"}).outs or {}
    assert outs["skipped"].startswith("no object matches gs://hospital-dicom-inbox/nothing/**.dcm")
    assert hospital.operations("ImportDicomData") == before


def test_a_preview_of_a_new_run_names_what_is_in_its_way_and_an_update_leaves_it_to_the_start(
    hospital: Hospital, props: dict[str, Any]
) -> None:
    tables: Any = hospital.connection.bigquery.tables()
    body = {
        "tableReference": {"projectId": "research-analytics", "datasetId": "dicom", "tableId": "a_view"},
        "view": {"query": "SELECT 1 AS one", "useLegacySql": False},
    }
    tables.insert(projectId="research-analytics", datasetId="dicom", body=body).execute()
    onto_view = {**BODY["bigqueryDestination"], "tableUri": "bq://research-analytics.dicom.a_view"}
    wanted = {**props, "body": {"bigqueryDestination": onto_view}, "existing": ["store", "destination"]}
    in_preview = {**wanted, "inPreview": UNKNOWN, "store": STORE.replace("/pacs", "/nowhere")}
    (failure,) = StartedProvider().check({}, in_preview).failures
    assert "research-analytics.dicom.a_view is a view, and an export writes to tables only" in failure.reason
    assert f"DICOM store {in_preview['store']} doesn't exist" in failure.reason
    # A store that the same update creates isn't known yet.
    (failure,) = StartedProvider().check({}, {**in_preview, "store": UNKNOWN}).failures
    assert "doesn't exist" not in failure.reason
    assert StartedProvider().check({}, wanted).failures == []
    with pytest.raises(Failure, match="is a view, and an export writes to tables only"):
        StartedProvider().create(wanted)
    assert states(hospital) == []


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_of_a_table_that_is_not_there_yet_has_its_columns_and_no_row(view: str, hospital: Hospital) -> None:
    body: Any = {"query": load_query(f"views/{view}", TABLE, exists=False), "useLegacySql": False}
    missing = hospital.connection.bigquery.jobs().query(projectId="research-analytics", body=body).execute()
    started = start(hospital.connection, request_from_body(STORE, "export", BODY))
    Waiter(hospital.connection).wait(started.operation, timeout=60)
    table: Any = hospital.connection.bigquery.tables().get(
        projectId="research-analytics", datasetId="dicom", tableId="instances"
    )
    columns = [each["name"] for each in table.execute()["schema"]["fields"]]
    body = {"query": load_query(f"views/{view}", TABLE, columns), "useLegacySql": False}
    there = hospital.connection.bigquery.jobs().query(projectId="research-analytics", body=body).execute()
    shape = [[(field["name"], field["type"]) for field in each["schema"]["fields"]] for each in (missing, there)]
    assert shape[0] == shape[1]
    assert (missing["totalRows"], missing.get("rows", [])) == ("0", [])
