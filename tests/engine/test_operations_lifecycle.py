"""Imports and exports as resources, by the real CLI: no run lost, none doubled, every reason said."""

import re
import shlex
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emulator.server.server import LocalEmulator
from tests.engine.holding_proxy import holding_proxy
from tests.engine.operations_program import Program
from tests.protocol.operations.hospital import INBOX, OUT, RESEARCH, STORE, TABLE, Hospital

pytestmark = pytest.mark.engine


@pytest.fixture
def hospital(emulator: LocalEmulator) -> Iterator[Hospital]:
    made = Hospital(emulator)
    made.store_instances(3)
    yield made
    made.close()


@pytest.fixture
def program(tmp_path: Path, emulator: LocalEmulator) -> Program:
    return Program(tmp_path, {"metadata": export(emulator)})


def export(emulator: LocalEmulator, **more: Any) -> dict[str, Any]:
    settings = {"write_disposition": "WRITE_TRUNCATE", "permission_wait": 0, "timeout": 60}
    return {"store": STORE, "destination": TABLE, "endpoint": emulator.url, **settings, **more}


def exports(hospital: Hospital) -> list[str]:
    return [each["name"] for each in hospital.operations("ExportDicomData")]


def calls(emulator: LocalEmulator, since: int = 0) -> list[dict[str, Any]]:
    """Return the calls that the emulator received after one with this number."""
    found = emulator.control("GET", f"requests?since={since}")["requests"]
    return [call for call in found if call["sequence"] > since]


def last_call(emulator: LocalEmulator) -> int:
    return int(calls(emulator)[-1]["sequence"])


def count(emulator: LocalEmulator, method: str, since: int) -> int:
    return sum(call["method"].endswith(method) for call in calls(emulator, since))


def test_a_run_that_failed_leaves_its_start_and_the_next_up_starts_a_new_one(
    hospital: Hospital, program: Program
) -> None:
    hospital.fault("export", operation={"error": {"code": 13, "message": "planned"}})
    said = program.up_fails()
    assert "Traceback" not in said
    assert f'export "metadata": pacs → {TABLE} failed' in said
    assert "reason  INTERNAL (13): planned" in said
    assert set(program.state()) >= {"StartedOperation metadata"}
    assert "AwaitedOperation metadata" not in program.state()

    assert "runs again: the last operation failed with INTERNAL" in program.preview()
    program.up()
    assert len(exports(hospital)) == 2
    assert program.outcome("metadata")["operation"] == exports(hospital)[-1]


def test_a_second_up_changes_nothing_and_asks_for_the_table_alone(
    hospital: Hospital, program: Program, emulator: LocalEmulator
) -> None:
    program.up()
    before = last_call(emulator)
    assert "updated" not in program.up()
    assert [call["method"] for call in calls(emulator, before)] == ["bigquery.tables.get"]
    program.command("refresh", "--yes", "--skip-preview")
    assert "to update" not in program.preview()
    assert len(exports(hospital)) == 1


def test_the_outcome_has_what_the_stack_promises(hospital: Hospital, program: Program) -> None:
    program.up()
    outcome = program.outcome("metadata")
    keys = "operation state success failure pending startTime endTime destination rows logsUrl errors"
    assert set(keys.split()) <= set(outcome)
    assert {key: outcome[key] for key in ("state", "success", "failure", "rows", "destination", "errors")} == {
        "state": "succeeded",
        "success": 3,
        "failure": 0,
        "rows": 3,
        "destination": TABLE,
        "errors": [],
    }
    assert outcome["operation"] == exports(hospital)[0]


def test_failures_beyond_those_allowed_fail_the_run_and_allowing_them_needs_no_new_one(
    hospital: Hospital, program: Program
) -> None:
    hospital.fault("export", operation={"failures": 1})
    assert "1 instances failed, 0 are allowed (allowedFailures)" in program.up_fails()
    program.runs["metadata"]["allowed_failures"] = 1
    program.up()
    assert len(exports(hospital)) == 1
    assert program.outcome("metadata")["state"] == "succeeded with failures"
    # Fewer are allowed again: what succeeded counts as failed now, and runs again.
    program.runs["metadata"]["allowed_failures"] = 0
    assert "runs again: 1 instances failed, 0 are allowed" in program.preview()
    program.up()
    assert len(exports(hospital)) == 2


def test_what_starts_a_new_run_is_said_and_what_does_not_starts_none(hospital: Hospital, program: Program) -> None:
    program.up()
    program.runs["metadata"] |= {"timeout": 99, "permission_wait": 1, "max_running": 4, "service_agent": "agent@x"}
    program.up()
    assert len(exports(hospital)) == 1

    program.runs["metadata"]["trigger"] = "monday"
    assert "runs again: the trigger changed" in program.preview()
    program.up()
    # How the next run writes is no reason for one: it would double the rows.
    program.runs["metadata"]["write_disposition"] = "WRITE_APPEND"
    assert "runs again" not in program.preview()
    program.up()
    assert len(exports(hospital)) == 2
    program.runs["metadata"]["trigger"] = "tuesday"
    said = program.preview()
    assert "runs again: the trigger changed: monday → tuesday" in said
    assert "appends to a table that has 3 rows" in said
    program.up()
    assert program.outcome("metadata")["rows"] == 6
    assert len(exports(hospital)) == 3

    program.runs["metadata"]["rerun"] = "always"
    assert "runs again: rerun is always" in program.preview()


def test_a_preview_names_everything_that_is_in_the_way_of_a_run_and_starts_nothing(
    hospital: Hospital, program: Program, emulator: LocalEmulator
) -> None:
    tables: Any = hospital.connection.bigquery.tables()
    body = {
        "tableReference": {"projectId": RESEARCH, "datasetId": "dicom", "tableId": "a_view"},
        "view": {"query": "SELECT 1 AS one", "useLegacySql": False},
    }
    tables.insert(projectId=RESEARCH, datasetId="dicom", body=body).execute()
    program.up()
    common = {"endpoint": emulator.url, "existing": ["store", "destination"]}
    disposition = {"write_disposition": "WRITE_EMPTY"}
    nowhere = STORE.replace("/dicomStores/", "/dicomStores/no-")
    # Everything of one run together; the engine ends with the first run of which something is said.
    expected = {
        (f"bq://{RESEARCH}.dicom.a_view", nowhere): [
            f"DICOM store {nowhere} doesn't exist",
            f"{RESEARCH}.dicom.a_view is a view, and an export writes to tables only",
        ],
        (TABLE, STORE): ["has 3 rows and the write disposition is WRITE_EMPTY"],
        (f"bq://{RESEARCH}.no_dataset.t", STORE): [
            f"BigQuery dataset {RESEARCH}.no_dataset doesn't exist, and the stack doesn't declare it"
        ],
        ("gs://no-such-bucket/x", STORE): ["bucket no-such-bucket doesn't exist, and the stack doesn't declare it"],
    }
    for (destination, store), texts in expected.items():
        more = disposition if destination.startswith("bq:") else {}
        program.runs["wrong"] = {"store": store, "destination": destination, **common, **more}
        said = program.preview_fails()
        assert 'export "wrong" can\'t run as it stands' in said
        assert [text for text in texts if text not in said] == []
    # What the same update may create is not missing.
    program.runs["wrong"] = {"store": STORE, "destination": "gs://no-such-bucket/x", "endpoint": emulator.url}
    program.preview()
    del program.runs["wrong"]
    # A finished run is not judged by the rows that it wrote itself; one that would run again is.
    program.runs["metadata"]["write_disposition"] = "WRITE_EMPTY"
    assert "runs again" not in program.preview()
    program.runs["metadata"]["trigger"] = "again"
    assert "has 3 rows and the write disposition is WRITE_EMPTY" in program.preview_fails()
    assert len(exports(hospital)) == 1


def test_a_store_that_changed_runs_again_only_when_asked_to(hospital: Hospital, program: Program) -> None:
    program.up()
    hospital.store_instances(2, study="1.2.4")
    assert "runs again" not in program.preview()
    program.runs["metadata"]["rerun"] = "when-store-changes"
    assert "runs again: store changed since the last run: 3 → 5 instances" in program.preview()
    program.up()
    assert program.outcome("metadata")["rows"] == 5
    assert "runs again" not in program.preview()


def test_a_changed_filter_file_runs_again(hospital: Hospital, program: Program) -> None:
    hospital.store_instances(2, study="1.2.4")
    hospital.put("filter.txt", b"/studies/1.2.4\n")
    program.runs["metadata"]["filter"] = {"file": f"gs://{INBOX}/filter.txt"}
    program.up()
    assert program.outcome("metadata")["rows"] == 2
    assert "runs again" not in program.preview()
    hospital.put("filter.txt", b"/studies/1.2.3\n")
    assert "runs again: the filter file changed" in program.preview()
    program.up()
    assert program.outcome("metadata")["rows"] == 3


def test_filter_lines_become_an_object_in_the_filter_bucket(hospital: Hospital, program: Program) -> None:
    hospital.store_instances(2, study="1.2.4")
    program.runs["metadata"] |= {"filter": {"lines": ["/studies/1.2.4", "/studies/1.2.4"]}, "filter_bucket": INBOX}
    program.up()
    assert program.outcome("metadata")["rows"] == 2
    program.runs["metadata"]["filter"] = {"lines": ["/studies/1.2.3/series/1.2.3.1"]}
    assert "runs again: the filter changed" in program.preview()


def test_a_changed_result_of_a_filter_query_runs_again(hospital: Hospital, program: Program) -> None:
    def query(sql: str) -> None:
        body: Any = {"query": sql, "useLegacySql": False}
        hospital.connection.bigquery.jobs().query(projectId=RESEARCH, body=body).execute()

    hospital.store_instances(2, study="1.2.4")
    query("CREATE TABLE dicom.chosen AS SELECT '/studies/1.2.4' AS path")
    chosen = {"query": "SELECT path FROM dicom.chosen", "query_project": RESEARCH}
    program.runs["metadata"] |= {"filter": chosen, "filter_bucket": INBOX}
    program.up()
    assert program.outcome("metadata")["rows"] == 2
    assert "runs again" not in program.preview()

    def queries_run() -> int:
        jobs = hospital.connection.bigquery.jobs().list(projectId=RESEARCH, allUsers=True).execute().get("jobs", [])
        return sum(each["configuration"]["jobType"] == "QUERY" for each in jobs)

    changed = f"runs again: what the filter query reads changed ({RESEARCH}.dicom.chosen); it runs if the result did"
    query("INSERT dicom.chosen SELECT '/studies/1.2.4'")
    before = queries_run()
    assert changed in program.preview()
    assert queries_run() == before, "a preview runs no query"
    said = program.up()
    assert "the filter query still selects the same; nothing is started" in said
    assert len(exports(hospital)) == 1
    assert "runs again" not in program.preview()
    query("INSERT dicom.chosen SELECT '/studies/1.2.3'")
    assert changed in program.preview()
    program.up()
    assert program.outcome("metadata")["rows"] == 5
    assert len(exports(hospital)) == 2


def test_without_the_api_a_preview_works_and_plans_no_run_and_an_up_fails(
    hospital: Hospital, program: Program, emulator: LocalEmulator
) -> None:
    program.runs["images"] = {"store": STORE, "destination": f"gs://{OUT}/images", "endpoint": emulator.url}
    program.runs["metadata"]["rerun"] = "when-store-changes"
    program.runs["images"]["rerun"] = "always"
    program.up()
    for run in program.runs.values():
        run["endpoint"] = "http://127.0.0.1:9"
    said = program.preview()
    unseen = "can't see whether a new run is needed"
    for name in program.runs:
        shown = (
            f"StartedOperation +{name} +warning: {unseen}, so none is planned: nothing answers at http://127.0.0.1:9"
        )
        assert re.search(shown, said)
    assert "runs again" not in said
    # A pipeline must not take it for a night without anything to do. The engine ends with the first that says so.
    assert re.search(f'export "(metadata|images)": {unseen}: nothing answers', program.up_fails())
    assert len(exports(hospital)) == 2


def test_a_record_that_is_gone_before_its_end_was_seen_is_run_again(hospital: Hospital, program: Program) -> None:
    hospital.fault("export", operation={"vanish": True})
    assert "doesn't know operation" in program.up_fails()
    assert "its end was never seen" in program.preview()
    program.up()
    assert program.outcome("metadata")["rows"] == 3


def test_a_record_that_is_gone_after_its_end_was_seen_is_no_drift(
    hospital: Hospital, program: Program, emulator: LocalEmulator
) -> None:
    program.up()
    hospital.fault("get", times=9, status=404)
    program.command("refresh", "--yes", "--skip-preview")
    assert "runs again" not in program.preview()
    program.up()
    assert len(exports(hospital)) == 1
    assert emulator.url


def test_an_operation_that_outlasts_its_deadline_goes_on_and_is_waited_for_again(
    hospital: Hospital, program: Program
) -> None:
    hospital.fault("export", operation={"seconds": 4})
    program.runs["metadata"]["timeout"] = 1
    said = program.up_fails()
    assert "hasn't finished after 1 s of waiting; it is still running" in said
    assert "`pulumi up` to resume waiting for the same operation" in said
    program.runs["metadata"]["timeout"] = 60
    assert "runs again" not in program.preview()
    program.up()
    assert len(exports(hospital)) == 1


def test_a_result_that_does_not_match_fails_again_until_it_is_made_anew_as_the_message_says(
    hospital: Hospital, program: Program, emulator: LocalEmulator
) -> None:
    program.up()
    with holding_proxy(emulator.url) as proxy:
        program.runs["metadata"] |= {"write_disposition": "WRITE_APPEND", "trigger": "again", "endpoint": proxy.url}
        proxy.hold(r"POST .*:export")

        def meddle() -> None:
            assert proxy.held.wait(60)
            table = f"`{TABLE.removeprefix('bq://')}`"
            # Takes one instance away, of before and of this export; rows that are added would only be a note.
            sql = f"DELETE FROM {table} WHERE SOPInstanceUID = (SELECT MIN(SOPInstanceUID) FROM {table})"  # noqa: S608
            body: Any = {"query": sql, "useLegacySql": False}
            hospital.connection.bigquery.jobs().query(projectId=RESEARCH, body=body).execute()
            proxy.release()

        somebody = threading.Thread(target=meddle)
        somebody.start()
        said = program.up_fails()
        somebody.join()
        assert "rows in the table: expected 6, found 4" in said
        assert "rows in the table: expected 6, found 4" in program.up_fails()
        assert len(exports(hospital)) == 2
        again = re.search(r"run it again with `pulumi (up --replace '[^']+')`", said)
        assert again
        program.command(*shlex.split(again[1]), "--yes", "--skip-preview")
        assert len(exports(hospital)) == 3
        assert program.outcome("metadata")["rows"] == 7
        assert "runs again" not in program.preview()


def test_deleting_a_run_cancels_what_still_runs_and_leaves_the_data(hospital: Hospital, program: Program) -> None:
    program.up()
    program.runs["metadata"] |= {"trigger": "again", "timeout": 1}
    hospital.fault("export", operation={"seconds": 3600})
    program.up_fails()
    program.command("destroy", "--yes", "--skip-preview")
    last = hospital.operation(exports(hospital)[-1])
    assert (last["done"], last["error"]["code"]) == (True, 1)
    table = hospital.connection.bigquery.tables().get(
        projectId="research-analytics", datasetId="dicom", tableId="instances"
    )
    assert table.execute()["numRows"] == "3"


def test_two_ups_at_once_leave_the_engines_own_message_and_one_operation(
    hospital: Hospital, program: Program, emulator: LocalEmulator
) -> None:
    hospital.fault("export", operation={"seconds": 4})
    before = last_call(emulator)
    first = threading.Thread(target=program.up)
    first.start()
    while not count(emulator, "operations.get", before):
        time.sleep(0.02)
    assert "the stack is currently locked" in program.up_fails()
    first.join()
    assert len(exports(hospital)) == 1


def test_start_and_wait_act_as_the_principal_of_the_configuration_and_its_token_stays_secret(
    hospital: Hospital, program: Program, emulator: LocalEmulator
) -> None:
    hospital.grant_caller("user:bob@example.org", "roles/healthcare.dicomEditor")
    program.command("config", "set", "gcp:accessToken", "principal:user:bob@example.org", "--secret")
    before = last_call(emulator)
    program.up()
    healthcare = [call for call in calls(emulator, before) if call["method"].startswith("healthcare.")]
    assert {call["principal"] for call in healthcare} == {"user:bob@example.org"}
    assert "bob@example.org" not in program.command("stack", "export")
    assert "updated" not in program.up()


def test_progress_shows_on_the_row_while_it_runs(hospital: Hospital, program: Program) -> None:
    hospital.fault("export", operation={"seconds": 2})
    said = program.up()
    assert "3 instances (" in said
    assert "rows in the table: 3" in said


def test_imports_and_exports_to_cloud_storage_run_too(
    hospital: Hospital, program: Program, emulator: LocalEmulator
) -> None:
    hospital.put_instances(4, folder="2024", study="1.2.5")
    hospital.put("2024/broken.dcm", b"no DICOM at all")
    program.runs = {
        "archive": {
            "store": STORE,
            "uri": f"gs://{INBOX}/2024/**.dcm",
            "endpoint": emulator.url,
            "allowed_failures": 1,
            "storage_class": "NEARLINE",
        },
        "images": {"store": STORE, "destination": f"gs://{OUT}/images", "endpoint": emulator.url},
    }
    program.up()
    archive, images = program.outcome("archive"), program.outcome("images")
    assert (archive["success"], archive["failure"], archive["state"]) == (4, 1, "succeeded with failures")
    assert [error["source"] for error in archive["errors"]] == [f"gs://{INBOX}/2024/broken.dcm"]
    assert archive["destination"] == STORE
    assert images["destination"] == f"gs://{OUT}/images/"
    assert images["success"] >= 3


def test_ten_exports_are_all_waited_for_at_once(hospital: Hospital, program: Program, emulator: LocalEmulator) -> None:
    names = [f"metadata-{number}" for number in range(10)]
    program.runs = {
        name: export(emulator, destination=f"bq://{RESEARCH}.dicom.{name.replace('-', '_')}", max_running=10)
        for name in names
    }
    hospital.fault("export", times=10, operation={"seconds": 15})
    said = program.up("--parallel", "32")
    # Every row has shown how far it is before the first of them was through.
    first_end = re.search(r"AwaitedOperation metadata-\d created", said)
    assert first_end
    before = said[: first_end.start()]
    assert [name for name in names if not re.search(rf"{name} creating.* of 3 instances", before)] == []
    assert len(exports(hospital)) == 10
