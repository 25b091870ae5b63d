"""Imports and exports from start to verification, with the real clients against the emulator."""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from emulator.cloud.logs import Logs
from emulator.server.server import LocalEmulator
from operations.google import cloud_storage
from operations.google.clock import SystemClock
from operations.google.connection import Connection
from operations.google.errors import OperationsError
from operations.google.logs import read_log_entries
from operations.model.codes import CODES
from operations.model.outcome import Check, Outcome, State
from operations.model.requests import Request, make_export, make_import
from operations.run.checks import CheckError
from operations.run.follow import follow
from operations.run.report import conclude, failure_report, problem_of, rows_in_table, success_report
from operations.run.rerun import reason_to_run
from operations.run.start import Started, StartLimits, start
from operations.run.verify import verify
from operations.run.wait import OperationGoneError, Waiter
from tests.protocol.operations.hospital import INBOX, LOCATION, OUT, PROJECT, STORE, TABLE, Hospital


class QuickClock(SystemClock):
    """Real time in which pauses are short, and counted as if they had been taken."""

    def __init__(self) -> None:
        self._skipped = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self._skipped

    def now(self) -> float:
        return super().now() + self._skipped

    def sleep(self, seconds: float) -> None:
        self._skip(seconds)

    def wait(self, condition: Any, seconds: float) -> None:
        condition.release()
        try:
            self._skip(seconds)
        finally:
            condition.acquire()

    def _skip(self, seconds: float) -> None:
        taken = min(seconds, 0.02)
        super().sleep(taken)
        self._skipped += seconds - taken


@pytest.fixture
def clock() -> QuickClock:
    return QuickClock()


@pytest.fixture
def hospital(emulator: LocalEmulator) -> Iterator[Hospital]:
    made = Hospital(emulator)
    yield made
    made.close()


@pytest.fixture
def bare_hospital(emulator: LocalEmulator) -> Iterator[Hospital]:
    made = Hospital(emulator, grants=False)
    yield made
    made.close()


def run(
    connection: Connection, request: Request, clock: QuickClock, *, permission_wait: float = 0.0
) -> tuple[Started, Outcome]:
    limits = StartLimits(permission_wait=permission_wait)
    started = start(connection, request, limits=limits, clock=clock)
    followed = follow(
        connection,
        request,
        started.operation,
        waiter=Waiter(connection, clock),
        started_at=started.time,
        facts=started.facts,
        limits=limits,
        timeout=600,
        clock=clock,
    )
    return started, conclude(connection, followed.outcome, request, followed.facts, clock)


def export(disposition: str = "WRITE_TRUNCATE", **more: Any) -> Request:
    return make_export(STORE, TABLE, write_disposition=disposition, **more)


@pytest.mark.parametrize("form", ["error", "response"])
def test_a_broken_file_is_counted_named_and_fails_the_run_unless_it_is_allowed(
    hospital: Hospital, clock: QuickClock, form: str
) -> None:
    hospital.settings(partialImports=form)
    hospital.put_instances(3)
    hospital.put("2024/broken.dcm", b"no DICOM at all")
    request = make_import(STORE, f"gs://{INBOX}/2024/**.dcm")
    _, outcome = run(hospital.connection, request, clock)
    assert (outcome.state, outcome.success, outcome.failure) == (State.SUCCEEDED_WITH_FAILURES, 3, 1)
    assert bool(outcome.error_code) is (form == "error")
    assert [item.source for item in outcome.item_errors] == [f"gs://{INBOX}/2024/broken.dcm"]
    assert problem_of(outcome, allowed_failures=1) is None
    assert [(check.found, check.passed) for check in outcome.checks] == [(3, True)]
    # Nothing twice: what is allowed holds at the next look, from the state and from the service.
    olds = {"operation": outcome.operation, "store": STORE, "method": "import", "body": {}}
    for allowed, reason in ((1, None), (0, "1 instances failed, 0 are allowed")):
        news = {**olds, "allowedFailures": allowed, "rerun": "when-inputs-change", "previous": {}}
        assert reason_to_run(hospital.connection, olds, news, clock) == reason
    report = failure_report("archive", request, outcome)
    assert report.startswith(f'import "archive": gs://{INBOX}/2024/**.dcm → pacs left out 1 of 4 instances')
    assert f"log     1 of 1 failures: gs://{INBOX}/2024/broken.dcm: " in report
    assert outcome.operation in report


@pytest.mark.parametrize("kind", ["import", "export"])
def test_entries_without_the_operations_id_are_found_by_store_and_time(
    hospital: Hospital, clock: QuickClock, emulator: LocalEmulator, kind: str
) -> None:
    """The page of best practices says that entries lack the operation's id; samples show it."""
    hospital.store_instances(1, study="1.2.9")
    hospital.put("2024/broken.dcm", b"no DICOM at all")
    hospital.put_instances(1)
    if kind == "import":
        request: Request = make_import(STORE, f"gs://{INBOX}/2024/**")
    else:
        hospital.fault("export", operation={"failures": 1})
        request = export()
    limits = StartLimits(permission_wait=0)
    started = start(hospital.connection, request, limits=limits, clock=clock)
    done = Waiter(hospital.connection, clock).wait(started.operation, timeout=60)
    wanted = read_log_entries(hospital.connection, done, clock=clock).items
    assert len(wanted) == 1
    logs = emulator.emulator.state.collection("logging.entries")
    for key in list(logs):
        entry = logs[key]
        logs[key] = {**entry, "operation": {**entry["operation"], "id": "something-else"}}
        # Those of another store, of another kind and of another time are not its own.
        others: dict[str, dict[str, Any]] = {
            "store": {"resource": {"type": entry["resource"]["type"], "labels": {"dicom_store_id": "other"}}},
            "time": {"timestamp": "2001-01-01T00:00:00Z"},
            "kind": {
                "operation": {"id": "x", "producer": "import_hl7v2"},
                "jsonPayload": {"source": "gs://x/y", "error": {"message": "other"}},
            },
        }
        for name, change in others.items():
            logs[f"{PROJECT}/9{name}{key.rpartition('/')[2]}"] = {**logs[key], **change}
    emulator.emulator.service(Logs)._keys[PROJECT] = deque(logs)
    outcome = conclude(hospital.connection, done.with_(errors=()), request, started.facts, clock)
    assert outcome.log_entries == wanted
    assert [note for note in outcome.notes if "found by store and time" in note]


def test_an_import_tells_how_many_instances_were_there_already(hospital: Hospital, clock: QuickClock) -> None:
    hospital.put_instances(3)
    request = make_import(STORE, f"gs://{INBOX}/2024/*")
    run(hospital.connection, request, clock)
    hospital.put_instances(5)
    _, outcome = run(hospital.connection, request, clock)
    assert problem_of(outcome) is None
    assert "new instances in the store: 2 (3 of 5 were there already, or twice in the source)" in success_report(
        request, outcome
    )


@pytest.mark.parametrize(
    ("pattern", "files"),
    [("2024/1.dcm", 1), ("2024/?.dcm", 3), ("2024/*", 3), ("2024/*.txt", 0), ("**", 5), ("**.dcm", 4)],
)
def test_wildcards_select_what_the_service_selects(
    pattern: str, files: int, hospital: Hospital, clock: QuickClock
) -> None:
    hospital.put_instances(3)
    hospital.put_instances(1, folder="2024/deeper", study="1.2.4")
    hospital.put("2024/deeper/notes", b"no DICOM at all")
    request = make_import(STORE, f"gs://{INBOX}/{pattern}")
    if not files:
        with pytest.raises(CheckError, match="no object matches"):
            run(hospital.connection, request, clock)
        return
    started, outcome = run(hospital.connection, request, clock)
    assert started.facts.total == outcome.success + outcome.failure == files


@pytest.mark.parametrize(
    ("disposition", "before", "after"), [("WRITE_TRUNCATE", 3, 4), ("WRITE_APPEND", 3, 7), ("WRITE_EMPTY", 0, 4)]
)
def test_rows_are_verified_for_each_write_disposition(
    disposition: str, before: int, after: int, hospital: Hospital, clock: QuickClock
) -> None:
    hospital.store_instances(3)
    if before:
        run(hospital.connection, export(), clock)
    hospital.store_instances(1, study="1.2.4")
    request = export(disposition)
    started, outcome = run(hospital.connection, request, clock)
    assert started.facts.rows == before
    assert rows_in_table(request, outcome) == after
    assert problem_of(outcome) is None


def test_write_empty_into_a_table_with_rows_starts_nothing(hospital: Hospital, clock: QuickClock) -> None:
    hospital.store_instances(3)
    run(hospital.connection, export(), clock)
    with pytest.raises(CheckError, match="has 3 rows"):
        run(hospital.connection, export("WRITE_EMPTY"), clock)
    assert len(hospital.operations("ExportDicomData")) == 1


def test_an_export_to_cloud_storage_is_verified_by_its_objects(hospital: Hospital, clock: QuickClock) -> None:
    hospital.store_instances(4)
    _, outcome = run(hospital.connection, make_export(STORE, f"gs://{OUT}/original"), clock)
    assert [str(check) for check in outcome.checks] == ["instances under the prefix: 4"]
    assert problem_of(outcome) is None


def test_objects_are_not_counted_when_it_is_not_known_since_when(hospital: Hospital, clock: QuickClock) -> None:
    """Else those of an earlier export would count, and an export that wrote nothing would pass."""
    hospital.store_instances(4)
    request = make_export(STORE, f"gs://{OUT}/original")
    started, outcome = run(hospital.connection, request, clock)
    for unreadable in ("", "yesterday"):
        (check,) = verify(hospital.connection, request, started.facts, replace(outcome, start_time=unreadable), clock)
        assert check.found is None
        assert str(check).startswith("instances under the prefix: not checked, the service doesn't say when")


def test_a_large_export_to_cloud_storage_is_verified_by_its_studies(
    hospital: Hospital, clock: QuickClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        hospital.store_instances(2, study=f"1.2.{number}")
    request = make_export(STORE, f"gs://{OUT}/images")
    started, outcome = run(hospital.connection, request, clock)
    monkeypatch.setattr(cloud_storage, "_PAGE", 5)
    monkeypatch.setattr("operations.run.verify._MAX_PAGES", 1)

    def check(**changed: Any) -> Check:
        (found,) = verify(hospital.connection, request, started.facts, replace(outcome, **changed), clock)
        return found

    good = check()
    assert (good.passed, good.expected, good.found) == (True, 12, 12)
    assert good.note == "of 6 looked into, 6 have objects of this export"
    # Objects that were there before this export are none of it.
    assert not check(start_time="2999-01-01T00:00:00Z").passed
    for number in range(2):
        hospital.connection.storage.objects().delete(
            bucket=OUT, object=f"images/1.2.5/1.2.5.1/1.2.5.1.{number}.dcm"
        ).execute()
    missing = check()
    assert (missing.passed, missing.expected, missing.found) == (False, 12, 11)
    assert check(failure=2).passed


def test_a_large_filtered_export_is_verified_by_its_objects_as_its_studies_are_not_known(
    hospital: Hospital, clock: QuickClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(8):
        hospital.store_instances(2, study=f"1.2.{number}")
    hospital.put("filter.txt", b"".join(b"/studies/1.2.%d\n" % number for number in range(6)))
    request = make_export(STORE, f"gs://{OUT}/images", filter_uri=f"gs://{INBOX}/filter.txt")
    started, outcome = run(hospital.connection, request, clock)
    monkeypatch.setattr(cloud_storage, "_PAGE", 5)
    monkeypatch.setattr("operations.run.verify._MAX_PAGES", 1)

    def check(**changed: Any) -> Check:
        (found,) = verify(hospital.connection, request, started.facts, replace(outcome, **changed), clock)
        return found

    assert str(check()) == "instances under the prefix: 12"
    hospital.connection.storage.objects().delete(bucket=OUT, object="images/1.2.5/1.2.5.1/1.2.5.1.0.dcm").execute()
    assert str(check()) == "instances under the prefix: expected 12, found 11"
    # More than even that: it can only be seen that something of this export is there.
    monkeypatch.setattr("operations.run.verify._MAX_PAGES_OF_FILTERED", 1)
    assert check().passed
    assert not check(start_time="2999-01-01T00:00:00Z").passed


def test_a_filter_file_selects_what_is_exported(hospital: Hospital, clock: QuickClock) -> None:
    hospital.store_instances(3)
    hospital.store_instances(2, study="1.2.4")
    hospital.put("filter.txt", b"/studies/1.2.4\n")
    request = export(filter_uri=f"gs://{INBOX}/filter.txt")
    started, outcome = run(hospital.connection, request, clock)
    assert (outcome.success, rows_in_table(request, outcome)) == (2, 2)
    assert started.facts.filter is not None
    assert started.facts.filter.lines == 1


def test_a_bad_line_in_a_filter_file_starts_nothing(hospital: Hospital, clock: QuickClock) -> None:
    hospital.store_instances(1)
    hospital.put("filter.txt", b"/studies/1.2.4\nstudy\n")
    with pytest.raises(ValueError, match=r"filter\.txt, line 2: "):
        run(hospital.connection, export(filter_uri=f"gs://{INBOX}/filter.txt"), clock)
    assert hospital.operations("ExportDicomData") == []


def test_without_a_grant_the_report_names_agent_role_and_resource(bare_hospital: Hospital, clock: QuickClock) -> None:
    hospital = bare_hospital
    hospital.put_instances(1)
    request = make_import(STORE, f"gs://{INBOX}/**")
    with pytest.raises(OperationsError) as refused:
        run(hospital.connection, request, clock)
    report = str(refused.value)
    assert "PERMISSION_DENIED (7)" in report
    assert f"the Healthcare service agent does not have permission to list and read bucket {INBOX}" in report
    assert "roles/storage.objectViewer" in report
    assert hospital.operations("ImportDicomData") == []


def test_a_location_that_does_not_exist_is_named_before_anything_starts(hospital: Hospital, clock: QuickClock) -> None:
    request = make_import(STORE.replace("europe-west4", "europe-west44"), f"gs://{INBOX}/**")
    with pytest.raises(CheckError, match='no location "europe-west44"; did you mean "europe-west4"'):
        run(hospital.connection, request, clock)


def test_a_caller_without_permission_is_told_so_at_once(hospital: Hospital, clock: QuickClock) -> None:
    alice = hospital.connect("principal:user:alice@example.org")
    with pytest.raises(OperationsError, match=r"roles/healthcare\.dicomEditor"):
        run(alice, make_import(STORE, f"gs://{INBOX}/**"), clock, permission_wait=300)
    assert hospital.operations("ImportDicomData") == []


def test_grants_that_take_time_to_spread_are_waited_for_and_leave_one_success(
    bare_hospital: Hospital, clock: QuickClock
) -> None:
    hospital = bare_hospital
    hospital.put_instances(2)
    hospital.settings(iamPropagationSeconds=0.5)
    hospital.grant()
    _, outcome = run(hospital.connection, make_import(STORE, f"gs://{INBOX}/**"), clock, permission_wait=10_000)
    assert (outcome.state, outcome.success) == (State.SUCCEEDED, 2)


# Scenarios: the planned faults, then how many operations must exist in the end, and the state of the last one.
SCENARIOS: dict[str, tuple[list[dict[str, Any]], int, State]] = {
    "503 bursts on the POST": ([{"method": "export", "times": 2, "status": 503}], 1, State.SUCCEEDED),
    "answer lost after the POST took effect": ([{"method": "export", "drop": "after"}], 1, State.SUCCEEDED),
    "answer lost before the POST took effect": ([{"method": "export", "drop": "before"}], 1, State.SUCCEEDED),
    "answer lost twice": ([{"method": "export", "times": 2, "drop": "before"}], 1, State.SUCCEEDED),
    "429 without Retry-After": ([{"method": "export", "status": 429}], 1, State.SUCCEEDED),
    "429 with Retry-After": ([{"method": "export", "status": 429, "retryAfter": 30}], 1, State.SUCCEEDED),
    "401 on the POST": ([{"method": "export", "status": 401}], 1, State.SUCCEEDED),
    "503 bursts while waiting": ([{"method": "get", "times": 4, "status": 503}], 1, State.SUCCEEDED),
    "connections lost while waiting": ([{"method": "get", "times": 3, "drop": "before"}], 1, State.SUCCEEDED),
    "answers lost while waiting": ([{"method": "get", "times": 3, "drop": "after"}], 1, State.SUCCEEDED),
    "401 while waiting": ([{"method": "get", "status": 401}], 1, State.SUCCEEDED),
    "429 while waiting": ([{"method": "get", "status": 429, "retryAfter": 5}], 1, State.SUCCEEDED),
    "503 on metrics and table": (
        [{"method": "metrics", "times": 2, "status": 503}, {"method": "table", "times": 2, "status": 503}],
        1,
        State.SUCCEEDED,
    ),
    "503 on the list and a lost answer": (
        [{"method": "list", "times": 2, "status": 503}, {"method": "export", "drop": "after"}],
        1,
        State.SUCCEEDED,
    ),
    "503 while verifying": ([{"method": "table", "after": 1, "times": 2, "status": 503}], 1, State.SUCCEEDED),
    "partial failure": ([{"method": "export", "operation": {"failures": 2}}], 1, State.SUCCEEDED_WITH_FAILURES),
    "log can't be read": (
        [{"method": "export", "operation": {"failures": 2}}, {"method": "entries", "status": 403}],
        1,
        State.SUCCEEDED_WITH_FAILURES,
    ),
    **{
        f"operation ends with {code.name}": (
            [{"method": "export", "operation": {"error": {"code": code.number, "message": "planned"}}}],
            1,
            State.CANCELLED if code.number == 1 else State.FAILED,
        )
        for code in CODES
    },
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_faults_are_survived_and_nothing_is_started_twice(name: str, hospital: Hospital, clock: QuickClock) -> None:
    planned, operations, state = SCENARIOS[name]
    hospital.store_instances(5)
    faults = []
    for plan in planned:
        effect = dict(plan)
        method, times, after = effect.pop("method"), effect.pop("times", 1), effect.pop("after", 0)
        faults.append(hospital.fault(method, times, after, **effect))
    started, outcome = run(hospital.connection, export(), clock)
    hospital.assert_consumed(*faults)
    assert outcome.state is state
    assert [each["name"] for each in hospital.operations("ExportDicomData")] == [started.operation]
    assert len(hospital.operations("ExportDicomData")) == operations


RUNS: dict[str, Request] = {
    "export to BigQuery": export(filter_uri=f"gs://{INBOX}/filter.txt"),
    "export to Cloud Storage": make_export(STORE, f"gs://{OUT}/images"),
    "import": make_import(STORE, f"gs://{INBOX}/2024/**.dcm"),
}


@pytest.mark.parametrize(
    "effect", [{"times": 2, "status": 503}, {"drop": "before"}, {"drop": "after"}, {"status": 401}], ids=str
)
@pytest.mark.parametrize("kind", RUNS)
def test_every_call_of_a_run_may_fail_for_a_while_or_lose_its_connection(
    kind: str, effect: dict[str, Any], hospital: Hospital, clock: QuickClock, emulator: LocalEmulator
) -> None:
    hospital.store_instances(3)
    hospital.put_instances(2, study="1.2.5")
    hospital.put("filter.txt", b"/studies/1.2.3\n")
    method = "ImportDicomData" if kind == "import" else "ExportDicomData"
    before = emulator.control("GET", "requests?since=0")["requests"][-1]["sequence"]
    run(hospital.connection, RUNS[kind], clock)
    called = {call["method"] for call in emulator.control("GET", f"requests?since={before}")["requests"]}
    called.discard("bigquery.datasets.get")  # asked for only while the table doesn't exist; tests/unit has its faults
    assert len(called) >= 5
    expected = len(hospital.operations(method))
    for each in sorted(called):
        fault = hospital.fault(each, **effect)
        # As by another process, which knows nothing of the project yet.
        _, outcome = run(hospital.connect(), RUNS[kind], clock)
        hospital.assert_consumed(fault)
        assert outcome.state is State.SUCCEEDED, each
        assert problem_of(outcome, allowed_failures=0) is None, each
        expected += 1
        assert len(hospital.operations(method)) == expected, each


def test_what_runs_in_the_same_dataset_is_waited_for_and_what_runs_elsewhere_is_not(
    hospital: Hospital, clock: QuickClock
) -> None:
    hospital.store_instances(1)
    datasets = hospital.connection.healthcare.projects().locations().datasets()
    datasets.create(parent=LOCATION, datasetId="cardiology", body={}).execute()
    datasets.dicomStores().create(parent=f"{LOCATION}/datasets/cardiology", dicomStoreId="echo", body={}).execute()
    hospital.fault("import", operation={"seconds": 30})
    other = make_import(f"{LOCATION}/datasets/cardiology/dicomStores/echo", f"gs://{INBOX}/**.dcm")
    elsewhere = start(hospital.connection, other, clock=clock)
    hospital.fault("export", operation={"seconds": 1})
    here = start(hospital.connection, export(), clock=clock)
    said: list[str] = []
    start(hospital.connection, export(), limits=StartLimits(max_running=1), clock=clock, say=said.append)
    assert said[0] == "1 import or export of the dataset is running (maximum 1); waiting for one to end"
    assert hospital.operation(here.operation)["done"]
    assert not hospital.operation(elsewhere.operation).get("done")


def test_rows_that_were_appended_by_others_are_a_note_and_those_that_are_missing_a_failure(
    hospital: Hospital, clock: QuickClock
) -> None:
    hospital.store_instances(4)
    run(hospital.connection, export(), clock)
    request = make_export(STORE, TABLE, write_disposition="WRITE_APPEND")
    started, outcome = run(hospital.connection, request, clock)
    assert [str(check) for check in outcome.checks] == ["rows in the table: 8 (4 were there before)"]
    # As if 3 of the 4 earlier rows had come while this export ran.
    facts = replace(started.facts, rows=1)
    more = conclude(hospital.connection, outcome, request, facts, clock)
    assert problem_of(more) is None
    assert "3 more than this export wrote: others wrote to the table meanwhile" in str(more.checks[0])
    fewer = conclude(hospital.connection, outcome, request, replace(started.facts, rows=5), clock)
    assert problem_of(fewer) == "reported success, but its result doesn't match"


def test_a_record_that_vanishes_before_its_end_was_seen_is_told(hospital: Hospital, clock: QuickClock) -> None:
    hospital.store_instances(1)
    fault = hospital.fault("export", operation={"vanish": True})
    with pytest.raises(OperationGoneError):
        run(hospital.connection, export(), clock)
    hospital.assert_consumed(fault)


def test_an_operation_cancelled_by_somebody_else_is_told_as_cancelled(hospital: Hospital, clock: QuickClock) -> None:
    hospital.store_instances(2)
    hospital.settings(operationSeconds=3600)
    started = start(hospital.connection, export(), clock=clock)
    operations = hospital.connection.healthcare.projects().locations().datasets().operations()
    operations.cancel(name=started.operation, body={}).execute()
    outcome = Waiter(hospital.connection, clock).wait(started.operation, timeout=600)
    assert outcome.state is State.CANCELLED
    assert "somebody cancelled the operation" in failure_report("metadata", started.request, outcome)


def test_somebody_who_changes_the_table_meanwhile_is_noticed(hospital: Hospital, clock: QuickClock) -> None:
    hospital.store_instances(4)
    request = export()
    started, outcome = run(hospital.connection, request, clock)
    again = conclude(hospital.connection, outcome.with_(success=5), request, started.facts, clock)
    assert problem_of(again) == "reported success, but its result doesn't match"
    report = failure_report("metadata", request, again, again="`pulumi up --replace X`")
    assert "rows in the table: expected 5, found 4" in report
    assert "run it again with `pulumi up --replace X`" in report


def test_project_is_the_one_of_the_store() -> None:
    assert make_import(STORE, f"gs://{INBOX}/**").store.project == PROJECT
