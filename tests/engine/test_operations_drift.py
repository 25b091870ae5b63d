"""What a refresh and a later update say of a run whose record, destination or store is gone."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emulator.server.server import LocalEmulator
from tests.engine.operations_program import Program
from tests.engine.test_operations_lifecycle import calls, count, export, exports, last_call
from tests.protocol.operations.hospital import DATASET, INBOX, OUT, RESEARCH, STORE, Hospital

pytestmark = pytest.mark.engine

FORGOTTEN = {"times": 99, "status": 404}


@pytest.fixture
def hospital(emulator: LocalEmulator) -> Iterator[Hospital]:
    made = Hospital(emulator)
    made.store_instances(3)
    yield made
    made.close()


@pytest.fixture
def program(tmp_path: Path, emulator: LocalEmulator) -> Program:
    return Program(tmp_path, {"metadata": export(emulator)})


def refresh(program: Program, *options: str) -> str:
    return program.command("refresh", "--yes", "--skip-preview", *options)


def drop_table(hospital: Hospital) -> None:
    hospital.connection.bigquery.tables().delete(projectId=RESEARCH, datasetId="dicom", tableId="instances").execute()


def test_thirty_days_after_a_run_a_refresh_shows_nothing_and_makes_no_call_that_must_fail(
    hospital: Hospital, program: Program, emulator: LocalEmulator
) -> None:
    program.up()
    hospital.fault("get", **FORGOTTEN)
    before = last_call(emulator)
    said = refresh(program, "--expect-no-changes")
    assert "runs again" not in said
    program.up("--refresh", "--expect-no-changes")
    program.command("preview", "--refresh", "--expect-no-changes")
    assert count(emulator, "operations.get", before) == 0
    assert [call for call in calls(emulator, before) if call["status"] >= 400] == []
    assert len(exports(hospital)) == 1


def test_what_was_seen_after_a_killed_update_counts_thirty_days_later(
    hospital: Hospital, program: Program, emulator: LocalEmulator
) -> None:
    hospital.fault("export", operation={"seconds": 4})
    before = last_call(emulator)
    program.up_interrupted(signal.SIGKILL, lambda: count(emulator, "operations.get", before) > 0)
    program.command("cancel", "--yes")
    program.up()
    hospital.fault("get", **FORGOTTEN)
    assert "runs again" not in refresh(program, "--clear-pending-creates", "--expect-no-changes")
    program.up("--expect-no-changes")
    assert len(exports(hospital)) == 1


def test_an_operation_that_nobody_saw_end_is_no_drift_and_runs_again_at_the_next_update(
    hospital: Hospital, program: Program
) -> None:
    hospital.fault("export", operation={"vanish": True})
    program.up_fails()
    refresh(program, "--expect-no-changes")
    assert "its end was never seen" in program.up("--refresh")
    assert program.outcome("metadata")["rows"] == 3


def test_a_table_that_is_gone_is_drift_and_the_export_runs_again(hospital: Hospital, program: Program) -> None:
    program.up()
    drop_table(hospital)
    gone = "its table is gone"
    assert f"runs again: {gone}" in program.preview()

    said = refresh(program)
    assert re.search(r"AwaitedOperation +metadata +updated", said)
    assert f"the next `pulumi up` runs it again: {gone}" in said
    (awaited,) = [each for kind, each in program.state().items() if kind.startswith("AwaitedOperation")]
    assert {key: awaited["outputs"]["outcome"][key] for key in ("state", "rows", "lost")} == {
        "state": "lost",
        "rows": 0,
        "lost": gone,
    }

    assert f"runs again: {gone}" in program.up()
    assert len(exports(hospital)) == 2
    outcome = program.outcome("metadata")
    assert (outcome["state"], outcome["rows"], "lost" in outcome) == ("succeeded", 3, False)
    refresh(program, "--expect-no-changes")
    program.up("--expect-no-changes")


def test_a_table_that_somebody_emptied_or_made_again_does_not_hold_the_result(
    hospital: Hospital, program: Program
) -> None:
    def query(sql: str) -> None:
        body: Any = {"query": sql, "useLegacySql": False}
        hospital.connection.bigquery.jobs().query(projectId=RESEARCH, body=body).execute()

    program.up()
    # Rows are deleted, a table is clustered: that is how tables are kept up.
    query("CREATE OR REPLACE TABLE dicom.instances AS SELECT * FROM dicom.instances")
    query("DELETE FROM dicom.instances WHERE SOPInstanceUID = '1.2.3.1.0'")
    query("INSERT dicom.instances SELECT * FROM dicom.instances LIMIT 1")
    assert "runs again" not in program.preview()
    query("CREATE OR REPLACE TABLE dicom.instances AS SELECT 1 AS x")
    assert "runs again: its table was made again" in program.preview()
    query("TRUNCATE TABLE dicom.instances")
    assert "runs again: its table has no rows any more" in program.preview()


def test_objects_that_are_gone_are_drift_and_the_export_runs_again(
    hospital: Hospital, program: Program, emulator: LocalEmulator
) -> None:
    program.runs = {"images": {"store": STORE, "destination": f"gs://{OUT}/images", "endpoint": emulator.url}}
    program.up()
    objects = hospital.connection.storage.objects()
    listed: Any = objects.list(bucket=OUT).execute()
    first, *others = [each["name"] for each in listed["items"]]
    objects.delete(bucket=OUT, object=first).execute()
    refresh(program, "--expect-no-changes")
    for name in others:
        objects.delete(bucket=OUT, object=name).execute()
    gone = "no object is left under its prefix"
    assert gone in refresh(program)
    assert f"runs again: {gone}" in program.up()
    assert len(exports(hospital)) == 2


def test_after_a_store_was_made_again_imports_into_it_and_exports_from_it_run_again(
    hospital: Hospital, program: Program, emulator: LocalEmulator
) -> None:
    program.runs = {
        "archive": {"store": STORE, "uri": f"gs://{INBOX}/stored-1.2.3/**", "endpoint": emulator.url},
        **program.runs,
    }
    program.up()
    imports = len(hospital.operations("ImportDicomData"))
    stores = hospital.connection.healthcare.projects().locations().datasets().dicomStores()
    stores.delete(name=STORE).execute()
    said = refresh(program)
    shown = r"AwaitedOperation +(\w+) .*the next `pulumi up` runs it again: its DICOM store is gone"
    assert set(re.findall(shown, said)) == {"archive", "metadata"}
    assert "2 updated" in said
    stores.create(parent=DATASET, dicomStoreId="pacs", body={}).execute()
    said = program.up()
    assert set(re.findall(r"StartedOperation +(\w+) .*runs again: its DICOM store is gone", said)) == set(program.runs)
    assert len(hospital.operations("ImportDicomData")) == imports + 1
    assert len(exports(hospital)) == 2
    assert program.outcome("metadata")["state"] == program.outcome("archive")["state"] == "succeeded"
    refresh(program, "--expect-no-changes")


def test_a_store_that_was_made_again_unseen_has_its_import_run_again(
    hospital: Hospital, program: Program, emulator: LocalEmulator
) -> None:
    program.runs = {"archive": {"store": STORE, "uri": f"gs://{INBOX}/stored-1.2.3/**", "endpoint": emulator.url}}
    program.up()
    stores = hospital.connection.healthcare.projects().locations().datasets().dicomStores()
    stores.delete(name=STORE).execute()
    stores.create(parent=DATASET, dicomStoreId="pacs", body={}).execute()
    assert "runs again: its DICOM store is empty" in program.up()
    assert program.outcome("archive")["success"] == 3


def test_what_a_refresh_can_not_see_is_said_and_is_no_drift(
    hospital: Hospital, program: Program, emulator: LocalEmulator
) -> None:
    program.up()
    fault = hospital.fault("table", times=9, status=401)
    said = refresh(program, "--expect-no-changes")
    assert "can't see whether the result is still there" in said
    assert emulator.control("GET", f"faults/{fault}")["consumed"]


def test_a_destination_that_the_caller_may_not_see_is_no_drift_and_no_reason(
    hospital: Hospital, program: Program
) -> None:
    program.up()
    hospital.fault("table", times=9, status=403)
    refresh(program, "--expect-no-changes")
    program.up("--expect-no-changes")
