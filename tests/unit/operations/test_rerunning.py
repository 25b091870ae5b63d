"""When something runs again: what is compared, and what never starts a run."""

from typing import Any

import pytest

from operations.google.connection import Connection
from operations.google.errors import OperationsError
from operations.run.rerun import RUN_INPUTS, changed_inputs, reason_to_run
from tests.unit.operations.service import DATASET, STORE, Fault, Service, SimulatedClock

METRICS = {"studies": 2, "series": 0, "instances": 10, "blob_bytes": 0}


def props(**more: Any) -> dict[str, Any]:
    return {
        "store": STORE,
        "method": "export",
        "body": {"bigqueryDestination": {"tableUri": "bq://research.dicom.instances", "schemaFlattened": {}}},
        "filter": None,
        "trigger": None,
        "rerun": "when-inputs-change",
        "allowedFailures": 0.0,
        "timeout": 60.0,
        **more,
    }


def state(operation: str, **more: Any) -> dict[str, Any]:
    return {**props(), "operation": operation, "facts": {"metrics": METRICS}, **more}


def record(operation: str, **more: Any) -> dict[str, Any]:
    return {"read": True, "operation": operation, "failure": 0.0, **more}


def test_a_recorded_success_asks_nothing_and_runs_nothing(
    service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    name = service.add(seconds=0)
    assert reason_to_run(connection, state(name), props(previous=record(name)), clock) is None
    assert service.requests == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"store": STORE + "2"}, f"the store changed: {STORE} → {STORE}2"),
        ({"method": "import"}, "the kind of operation changed: export → import"),
        ({"trigger": "monday"}, "the trigger changed"),
        ({"filter": {"file": "gs://b/f"}}, "the filter changed"),
        ({"rerun": "always"}, "rerun is always"),
    ],
)
def test_changed_inputs_run_again(
    change: dict[str, Any], reason: str, service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    name = service.add(seconds=0)
    assert reason_to_run(connection, state(name), props(**change, previous=record(name)), clock) == reason


@pytest.mark.parametrize(
    "change",
    [
        {"timeout": 1.0},
        {"allowedFailures": 3.0},
        {"rerun": "when-store-changes"},
        {"body": props()["body"] | {"filterConfig": None}},
        # It says how the next run writes; appending what is there already would double it.
        {
            "body": {
                "bigqueryDestination": {**props()["body"]["bigqueryDestination"], "writeDisposition": "WRITE_APPEND"}
            }
        },
        {"whenEmpty": "skip"},
    ],
)
def test_other_changes_run_nothing(
    change: dict[str, Any], service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    name = service.add(seconds=0)
    assert reason_to_run(connection, state(name), props(**change, previous=record(name)), clock) is None


@pytest.mark.parametrize(
    ("ended", "reason"),
    [
        ({"error": {"code": 13, "message": "m"}}, "the last operation failed with INTERNAL"),
        ({"cancelled": True}, "the last operation was cancelled"),
        ({"failure": 2}, "2 instances failed, 0 are allowed"),
        ({"gone_at": 0.0}, "the service no longer knows the last operation, and its end was never seen"),
        ({}, None),
    ],
)
def test_an_operation_without_a_recorded_success_is_looked_at(
    ended: dict[str, Any], reason: str | None, service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    name = service.add(seconds=0, **ended)
    assert reason_to_run(connection, state(name), props(previous={"read": True}), clock) == reason


@pytest.mark.parametrize("rerun", ["when-inputs-change", "when-store-changes", "always"])
def test_an_operation_that_still_runs_is_waited_for(
    rerun: str, service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    name = service.add(seconds=1000)
    service.instances = 12
    news = props(rerun=rerun, previous={"read": True})
    assert reason_to_run(connection, state(name), news, clock) is None
    clock.time += 1001
    assert bool(reason_to_run(connection, state(name), news, clock)) is (rerun != "when-inputs-change")


@pytest.mark.parametrize("rerun", ["when-store-changes", "always"])
@pytest.mark.parametrize("fault", [Fault(drop="before"), Fault(503), Fault(401, "no credentials")], ids=repr)
def test_a_service_that_does_not_answer_is_an_error_and_no_reason(
    fault: Fault, rerun: str, service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    name = service.add(seconds=0)
    for kind in ("operations.get", "metrics"):
        service.plan(kind, *[fault] * 20)
    with pytest.raises(OperationsError):
        reason_to_run(connection, state(name), props(rerun=rerun, previous=record(name)), clock)
    assert clock.time <= 5


@pytest.mark.parametrize("status", [403, 404])
def test_always_asks_the_store_whether_the_service_answers_and_not_for_an_operation_that_may_be_forgotten(
    status: int, service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    name = service.add(seconds=0, gone_at=0.0)
    service.plan("metrics", Fault(status))
    assert reason_to_run(connection, state(name), props(rerun="always", previous=record(name)), clock)
    service.assert_consumed()
    assert service.count("operations.get") == 0


def test_a_missing_record_is_no_drift_where_the_state_cannot_be_read(
    service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    name = service.add(seconds=0, gone_at=0.0)
    assert reason_to_run(connection, state(name), props(previous={"read": False}), clock) is None


def test_fewer_allowed_failures_than_recorded_run_again(
    service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    name = service.add(seconds=0)
    news = props(previous=record(name, failure=3.0), allowedFailures=2.0)
    assert reason_to_run(connection, state(name), news, clock) == "3 instances failed, 2 are allowed"


def test_a_changed_store_runs_an_export_again_and_says_how_it_changed(
    service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    name = service.add(seconds=0)
    news = props(rerun="when-store-changes", previous=record(name))
    assert reason_to_run(connection, state(name), news, clock) is None
    service.instances = 12
    assert reason_to_run(connection, state(name), news, clock) == "store changed since the last run: 10 → 12 instances"


@pytest.mark.parametrize(
    ("kept", "sizes", "reason"),
    [
        ({}, {"blobStorageSizeBytes": "2048"}, "store changed since the last run: 0 → 2,048 bytes of bulk data"),
        (
            {"structured_bytes": 700},
            {"structuredStorageSizeBytes": "701"},
            "store changed since the last run: 700 → 701 bytes of metadata",
        ),
        ({"structured_bytes": 700}, {"structuredStorageSizeBytes": "700"}, None),
        # Records from before the sizes were kept.
        ({}, {"structuredStorageSizeBytes": "700"}, None),
        ({"blob_bytes": None}, {"blobStorageSizeBytes": "700"}, None),
    ],
)
def test_a_replaced_instance_shows_in_the_sizes(
    kept: dict[str, Any],
    sizes: dict[str, str],
    reason: str | None,
    service: Service,
    connection: Connection,
    clock: SimulatedClock,
) -> None:
    name = service.add(seconds=0)
    service.sizes = sizes
    olds = state(name, facts={"metrics": METRICS | kept})
    assert reason_to_run(connection, olds, props(rerun="when-store-changes", previous=record(name)), clock) == reason


def test_an_import_compares_with_the_store_after_it(
    service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    name = service.add(seconds=0)
    olds = state(name, method="import", facts={"metrics": METRICS | {"instances": 0}})
    news = props(method="import", rerun="when-store-changes", previous=record(name, metrics=METRICS))
    assert reason_to_run(connection, olds, news, clock) is None
    service.instances = 3
    assert reason_to_run(connection, olds, news, clock) == "store changed since the last run: 10 → 3 instances"


def test_a_service_that_cannot_be_reached_is_an_error_soon(
    service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    service.plan("operations.get", *[Fault(drop="before")] * 20)
    with pytest.raises(OperationsError):
        reason_to_run(connection, state(f"{DATASET}/operations/1"), props(previous={"read": True}), clock)
    assert clock.time <= 5


TABLE = {"bigqueryDestination": {"tableUri": "bq://research.dicom.instances", "writeDisposition": "WRITE_TRUNCATE"}}
BUCKET = {"gcsDestination": {"uriPrefix": "gs://hospital-out/images/"}}
SOURCE = {"gcsSource": {"uri": "gs://hospital-inbox/**"}}
LEFT = {"success": 10.0, "rows": 10.0, "created": "1000"}
RESULTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "table": ({"body": TABLE}, LEFT),
    "objects": ({"body": BUCKET}, {"success": 10.0}),
    "instances": ({"method": "import", "body": SOURCE}, {"success": 10.0}),
}


def left_by(kind: str, service: Service) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return state and inputs of a run whose result is there."""
    inputs, known = RESULTS[kind]
    name = service.add(seconds=0)
    service.rows, service.table_created, service.instances = 10, "1000", 10
    service.objects = {"images/1/2/3.dcm": 1}
    return state(name, **inputs), props(**inputs, previous=record(name, **known))


@pytest.mark.parametrize("kind", RESULTS)
def test_a_result_that_is_there_costs_one_look_and_runs_nothing(
    kind: str, service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    olds, news = left_by(kind, service)
    assert reason_to_run(connection, olds, news, clock) is None
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    ("kind", "change", "reason"),
    [
        ("table", {"rows": None}, "its table is gone"),
        ("table", {"rows": 0}, "its table has no rows any more"),
        ("table", {"rows": 9}, None),
        ("table", {"table_created": "2000"}, None),
        (
            "table",
            {"table_created": "2000", "rows": 9},
            "its table was made again by somebody else",
        ),
        ("objects", {"objects": {}}, "no object is left under its prefix"),
        ("objects", {"objects": {"images/": 0}}, "no object is left under its prefix"),
        ("objects", {"objects": {"images-of-others/1.dcm": 1}}, "no object is left under its prefix"),
        (
            "instances",
            {"instances": 0},
            "its DICOM store is empty: it was made again, or all its instances were deleted",
        ),
        ("instances", {"instances": 1}, None),
    ],
)
def test_a_result_that_is_gone_as_a_whole_runs_again(
    kind: str,
    change: dict[str, Any],
    reason: str | None,
    service: Service,
    connection: Connection,
    clock: SimulatedClock,
) -> None:
    olds, news = left_by(kind, service)
    for name, value in change.items():
        setattr(service, name, value)
    assert reason_to_run(connection, olds, news, clock) == reason


@pytest.mark.parametrize(
    ("kind", "call", "gone"),
    [
        ("table", "tables.get", "its table is gone"),
        ("objects", "objects.list", "its bucket is gone"),
        ("instances", "metrics", "its DICOM store is gone"),
    ],
)
def test_what_may_not_be_seen_is_not_guessed_at_and_what_does_not_answer_is_an_error(
    kind: str, call: str, gone: str, service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    olds, news = left_by(kind, service)
    service.plan(call, Fault(403), Fault(404))
    assert reason_to_run(connection, olds, news, clock) is None
    assert reason_to_run(connection, olds, news, clock) == gone
    service.plan(call, *[Fault(503)] * 20)
    with pytest.raises(OperationsError):
        reason_to_run(connection, olds, news, clock)


@pytest.mark.parametrize("kind", RESULTS)
def test_a_run_that_left_nothing_behind_has_nothing_to_lose(
    kind: str, service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    olds, news = left_by(kind, service)
    news["previous"]["success"] = 0.0
    service.rows, service.objects, service.instances = None, {}, 0
    assert reason_to_run(connection, olds, news, clock) is None


def test_what_a_refresh_found_to_be_gone_runs_again_and_is_not_looked_at(
    service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    olds, news = left_by("table", service)
    news["previous"]["lost"] = "its DICOM store is gone"
    assert reason_to_run(connection, olds, news, clock) == "its DICOM store is gone"
    assert service.requests == []


@pytest.mark.parametrize(
    ("before", "now", "reason"),
    [
        (None, {"archive": "1"}, None),
        ({"archive": "1"}, None, None),
        ({"archive": "1"}, {"archive": "1", "more": "2"}, None),
        ({"archive": "1"}, {"archive": object()}, None),  # not known in a preview
        ({"archive": "1"}, {"archive": "2"}, "its DICOM store was made again, and filled by import archive"),
    ],
)
def test_an_export_runs_again_after_an_import_that_fills_a_store_that_was_made_again(
    before: Any, now: Any, reason: str | None, service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    name = service.add(seconds=0)
    news = props(imports=now, previous=record(name))
    assert reason_to_run(connection, state(name, imports=before), news, clock) == reason


EARLY, STARTED, LATE = (f"2026-11-28T{hour}:00:00.000+00:00" for hour in ("08", "09", "10"))
REPLACED = "export first replaces the table's rows"


@pytest.mark.parametrize(
    ("before", "now", "reason"),
    [
        (None, None, None),
        ({"first": EARLY}, {"first": EARLY}, None),
        ({"first": EARLY}, None, None),  # removed from the settings; the rows stay
        ({"first": EARLY}, {"first": ""}, None),  # it writes to another table now
        ({"first": EARLY}, {"first": object()}, None),  # not known in a preview
        ({"first": EARLY}, {"renamed": EARLY}, None),
        ({"first": EARLY}, {"renamed": EARLY, "first": LATE}, REPLACED),
        ({"first": EARLY}, {"first": LATE}, REPLACED),
        ({"first": ""}, {"first": LATE}, REPLACED),  # it was skipped before
        # The clock of another machine may be behind.
        ({"first": "2026-11-28T09:30:00.000+00:00"}, {"first": EARLY}, REPLACED),
        # One that was put before this one: it counts if it has replaced anything since.
        (None, {"first": EARLY}, None),
        (None, {"first": LATE}, REPLACED),
        ({"other": EARLY}, {"other": EARLY, "first": LATE}, REPLACED),
    ],
)
def test_an_export_runs_again_after_an_earlier_one_has_replaced_its_rows(
    before: Any, now: Any, reason: str | None, service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    name = service.add(seconds=0)
    news = props(writers=now, previous=record(name))
    assert reason_to_run(connection, state(name, writers=before, startedAt=STARTED), news, clock) == reason


@pytest.mark.parametrize("secret_in", ["olds", "news"])
@pytest.mark.parametrize("key", sorted(RUN_INPUTS))
def test_a_change_of_a_secret_run_is_said_without_its_values(key: str, secret_in: str) -> None:
    olds: dict[str, Any] = {"operation": "o", "body": {"a": "b"}}
    news: dict[str, Any] = {"body": {"a": "b"}}
    nested = key in ("body", "filter")
    olds[key], news[key] = ({"a": "doe"}, {"a": "roe"}) if nested else ("doe", "roe")
    plain = changed_inputs(olds, news)
    assert plain is not None
    assert "doe" in plain, "else this test shows nothing"
    {"olds": olds, "news": news}[secret_in]["secret"] = True
    said = changed_inputs(olds, news)
    assert said == f"{RUN_INPUTS[key]}{' (a)' if nested else ''}"


def test_another_bucket_for_the_filter_file_starts_no_run() -> None:
    olds = {"operation": "o", "filter": {"lines": ["/studies/1"], "bucket": "old"}}
    assert changed_inputs(olds, {"filter": {"lines": ["/studies/1"], "bucket": "new"}}) is None
    assert changed_inputs(olds, {"filter": {"lines": ["/studies/2"], "bucket": "old"}}) is not None


EXPORT = {
    "bigqueryDestination": {
        "tableUri": "bq://research.dicom.instances",
        "writeDisposition": "WRITE_TRUNCATE",
        "schemaFlattened": {},
    }
}
IMPORT = {"gcsSource": {"uri": "gs://inbox/**.dcm"}}


@pytest.mark.parametrize(("method", "body"), [("export", EXPORT), ("import", IMPORT)])
def test_a_run_that_was_skipped_runs_as_soon_as_there_is_something_and_never_before(
    method: str, body: dict[str, Any], service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    skipped = state("", method=method, body=body, skipped="nothing there")
    wanted = props(method=method, body=body, whenEmpty="skip", rerun="always", previous={"read": True})
    service.instances = 0
    assert reason_to_run(connection, skipped, wanted, clock) is None
    service.instances, service.objects = 10, {"a.dcm": 1}
    assert reason_to_run(connection, skipped, wanted, clock) == (
        f"it was skipped, and there is something to {method} now"
    )
    service.instances, service.objects = 0, {}
    failing = {**wanted, "whenEmpty": "fail"}
    assert reason_to_run(connection, skipped, failing, clock) == "it was skipped, and whenEmpty is no longer skip"


def test_what_can_not_be_looked_at_is_tried(service: Service, connection: Connection, clock: SimulatedClock) -> None:
    skipped = state("", body=EXPORT, skipped="nothing there")
    service.plan("metrics", Fault(403, "denied"))
    assert reason_to_run(connection, skipped, props(body=EXPORT, whenEmpty="skip"), clock)
