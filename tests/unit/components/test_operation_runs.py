"""Imports and exports as components: what they declare, refuse, carry in the state, and say."""

import base64
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pulumi
import pytest
from pulumi.dynamic.dynamic import serialize_provider
from pulumi.output import Unknown

from components.provider import engine_log
from components.provider.inputs import started_urn
from components.provider.resources import AwaitedProvider, StartedProvider
from components.provider.starts import table_since, why_to_start
from components.runs.dicom_export import DicomExport, DicomExportArgs, ExportFilter
from components.runs.dicom_import import DicomImport, DicomImportArgs
from components.runs.state import record_in
from operations.model.invalid import InputError
from operations.run.record import Record, recorded

Run = Callable[..., Any]
STORE = "projects/hospital/locations/europe-west4/datasets/radiology/dicomStores/pacs"
TABLE = "bq://research-analytics.dicom.instances"
UNKNOWN: Any = Unknown()  # type: ignore[no-untyped-call]
STARTED, AWAITED = (f"pulumi-python:dynamic/imaging:{kind}Operation" for kind in ("Started", "Awaited"))


def export(name: str = "metadata", opts: pulumi.ResourceOptions | None = None, **more: Any) -> DicomExport:
    settings = {"store": STORE, "destination": TABLE, "write_disposition": "WRITE_TRUNCATE", **more}
    return DicomExport(name, DicomExportArgs(**settings), opts)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"write_disposition": None}, "write_disposition: is missing; choose"),
        ({"destination": "bq://research.dicom"}, "destination: .* names no table"),
        ({"destination": "gs://hospital-out/x"}, "write_disposition: is for bq:// destinations"),
        ({"filter": ExportFilter()}, "give exactly one of lines, file and query"),
        ({"filter": ExportFilter(lines=["/studies/1"], file="gs://bkt/f")}, "give exactly one of"),
        ({"filter": ExportFilter(lines=["/studies/1"])}, "need a bucket for the filter file"),
        ({"filter": ExportFilter(lines=["/studies/0a"]), "filter_bucket": "f"}, 'filter of "metadata", line 1: '),
        ({"filter": ExportFilter(file="gs://bucket")}, "names no object"),
        (
            {"rerun": "sometimes"},
            'rerun: "sometimes" is unknown; choose when-inputs-change, when-store-changes, always',
        ),
        (
            {"allowed_failures": -1, "timeout": -1.0},
            r"(?s)allowed_failures: is -1; .*timeout: is -1\.0; ",
        ),
        ({"max_running": 0}, "max_running: is 0; it must be 1 or more"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_declared(settings: Any, problem: str, run: Run) -> None:
    with pytest.raises(InputError, match=problem):
        run(lambda: export(**settings))


def test_a_wrong_import_is_refused(run: Run) -> None:
    with pytest.raises(InputError, match="must end the path"):
        run(lambda: DicomImport("archive", DicomImportArgs(store=STORE, uri="gs://inbox/**/x")))


def test_a_run_is_a_start_and_a_wait_in_a_provider_of_its_own(run: Run) -> None:
    def declare() -> None:
        export("one")
        export("two")

    program = run(declare)
    assert program.names(STARTED) == program.names(AWAITED) == ["one", "two"]
    assert {each.parent for each in program.all(STARTED)} == {
        "imaging:index:DicomExport one",
        "imaging:index:DicomExport two",
    }
    # All waits share one instance; starts stay in the default one, so that none queues behind a wait.
    assert program.names("pulumi:providers:pulumi-python") == ["waits"]
    assert {each.provider for each in program.all(AWAITED)} == {"waits"}
    assert {each.provider for each in program.all(STARTED)} == {""}


def test_both_resources_wait_for_what_the_component_depends_on(run: Run) -> None:
    def declare() -> None:
        grant = pulumi.CustomResource("test:index:Grant", "grant")
        export(opts=pulumi.ResourceOptions(depends_on=[grant]))

    program = run(declare)
    assert "grant" in program.one(STARTED).after
    assert "grant" in program.one(AWAITED).after


def test_the_request_is_in_the_state_as_it_is_sent_and_no_secret_is(run: Run) -> None:
    started = run(lambda: export(include_source_store=True) and None).one(STARTED)
    assert started.inputs["body"] == {
        "bigqueryDestination": {
            "tableUri": TABLE,
            "writeDisposition": "WRITE_TRUNCATE",
            "schemaFlattened": {},
            "includeSourceStore": True,
        }
    }
    assert not [key for key in started.inputs if "token" in key.lower() or "credential" in key.lower()]


def test_messages_go_to_the_rows_of_the_resources_themselves(run: Run) -> None:
    program = run(lambda: export() and None)
    assert program.one(STARTED).inputs["urn"].endswith(f"imaging:index:DicomExport${STARTED}::metadata")
    assert program.one(AWAITED).inputs["urn"].endswith(f"imaging:index:DicomExport${AWAITED}::metadata")


def test_lines_of_a_filter_lose_repetitions(run: Run) -> None:
    chosen = ExportFilter(lines=["/studies/2", "/studies/1", "/studies/2"])
    started = run(lambda: export(filter=chosen, filter_bucket="filters") and None).one(STARTED)
    assert started.inputs["filter"] == {"lines": ["/studies/2", "/studies/1"], "bucket": "filters"}


def test_a_query_runs_in_the_project_of_the_store_unless_told_otherwise(run: Run) -> None:
    chosen = ExportFilter(query="SELECT 1")
    started = run(lambda: export(filter=chosen, filter_bucket="filters") and None).one(STARTED)
    assert started.inputs["filter"]["project"] == "hospital"


def test_settings_may_come_as_a_mapping(run: Run) -> None:
    program = run(lambda: DicomImport("archive", {"store": STORE, "uri": "gs://inbox/*"}) and None)
    assert program.one(STARTED).inputs["body"] == {"gcsSource": {"uri": "gs://inbox/*"}}


@pytest.mark.parametrize("provider", [StartedProvider(), AwaitedProvider()])
def test_providers_are_pickled_by_reference_so_that_new_code_is_no_change(provider: Any) -> None:
    pickled = base64.b64decode(serialize_provider(provider))
    assert b"components.provider.resources" in pickled
    assert len(pickled) < 200
    assert provider.serialize_as_secret_always is False


def test_the_dynamic_provider_loads_without_the_google_provider_and_the_clients() -> None:
    code = (
        "import sys, components.provider.resources; "
        "print([m for m in ('pulumi_gcp', 'googleapiclient', 'google.auth', 'rich', 'httplib2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_input_means_a_new_run() -> None:
    olds = {"operation": "projects/p/locations/l/datasets/d/operations/1"}
    assert StartedProvider().diff("id", olds, {"store": UNKNOWN, "rerun": "when-inputs-change"}).changes is True
    assert AwaitedProvider().diff("id", olds, {"operation": UNKNOWN, "allowedFailures": 0}).changes is True


def writing(disposition: str, table: str = TABLE) -> dict[str, Any]:
    return {"body": {"bigqueryDestination": {"tableUri": table, "writeDisposition": disposition}}}


@pytest.mark.parametrize(
    ("wanted", "before", "started", "since"),
    [
        (writing("WRITE_TRUNCATE"), {}, "now", "now"),
        (writing("WRITE_EMPTY"), {}, "now", "now"),
        (writing("WRITE_APPEND"), {}, "now", ""),
        (writing("WRITE_TRUNCATE"), {**writing("WRITE_TRUNCATE"), "tableSince": "then"}, "now", "now"),
        (writing("WRITE_APPEND"), {**writing("WRITE_TRUNCATE"), "tableSince": "then"}, "now", "then"),
        # Skipped: what it wrote the last time is still there.
        (writing("WRITE_TRUNCATE"), {**writing("WRITE_TRUNCATE"), "tableSince": "then"}, None, "then"),
        (writing("WRITE_APPEND"), {**writing("WRITE_TRUNCATE", TABLE + "2"), "tableSince": "then"}, "now", ""),
        ({"body": {"gcsDestination": {"uriPrefix": "gs://hospital-out/x/"}}}, {}, "now", ""),
    ],
)
def test_an_export_keeps_when_it_last_replaced_the_rows_of_its_table(
    wanted: dict[str, Any], before: dict[str, Any], started: str | None, since: str
) -> None:
    assert table_since(before, wanted, started) == since


SUCCEEDED = {"read": True, "operation": "projects/p/locations/l/datasets/d/operations/1"}


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        ({"writers": {"first": UNKNOWN, "zero": "1"}}, "export first replaces the table's rows"),
        ({"writers": UNKNOWN}, "an earlier export replaces the table's rows"),
        ({"writers": {"first": "1"}}, None),
        ({"imports": {"archive": UNKNOWN}}, None),
        ({"imports": {"archive": UNKNOWN}, "rerun": "when-store-changes"}, "an import before it runs"),
        ({"imports": {"archive": "1"}, "rerun": "when-store-changes"}, None),
    ],
)
def test_a_preview_plans_an_export_whose_store_or_table_an_earlier_run_changes(
    now: dict[str, Any], reason: str | None
) -> None:
    olds = {
        "store": STORE,
        "method": "export",
        "body": {"bigqueryDestination": {"tableUri": TABLE}},
        "operation": SUCCEEDED["operation"],
        "writers": {"first": "1"},
        "allowedFailures": 0,
    }
    assert why_to_start(olds, {**olds, **now, "previous": SUCCEEDED, "inPreview": UNKNOWN}) == reason


@pytest.mark.parametrize(
    ("old", "new", "allowed", "changes"), [("1", "1", 0, False), ("1", "2", 0, True), ("1", "1", 3, False)]
)
def test_a_wait_is_made_again_only_for_a_new_operation(old: str, new: str, allowed: int, changes: bool) -> None:
    olds = {"operation": old, "outcome": {"failure": 0}}
    news = {"operation": new, "allowedFailures": allowed, "timeout": 1}
    assert AwaitedProvider().diff("id", olds, news).changes is changes


def test_a_wait_is_judged_again_when_fewer_failures_are_allowed() -> None:
    olds = {"operation": "1", "outcome": {"failure": 2}}
    assert AwaitedProvider().diff("id", olds, {"operation": "1", "allowedFailures": 1}).changes is True


@pytest.mark.parametrize(
    ("state", "found"),
    [
        (None, Record(read=False)),
        ({}, Record()),
        ({"urn": {"type": "t"}}, Record()),
        ({"urn": {"outputs": None}}, Record()),
        ({"urn": {"outputs": {"operation": "1"}}}, Record()),
        ({"urn": {"outputs": {"operation": "1", "outcome": None}}}, Record()),
        (
            {
                "urn": {
                    "outputs": {"operation": "1", "outcome": {"operation": "2", "failure": 2.0}, "left": {"rows": 0.0}}
                }
            },
            Record(operation="1", ended="2", failure=2, rows=0),
        ),
    ],
)
def test_the_record_of_the_last_success_comes_from_the_state(state: dict[str, Any] | None, found: Record) -> None:
    assert record_in(state, "urn") == found
    assert recorded({"previous": found.to_json()}) == found


@pytest.mark.parametrize("kind", ["StartedOperation", "AwaitedOperation"])
def test_both_resources_of_a_run_know_the_urn_of_the_start_whatever_they_are_called(kind: str) -> None:
    parent = "urn:pulumi:AwaitedOperation::AwaitedOperations::x:AwaitedOperation"
    urn = f"{parent}$pulumi-python:dynamic/imaging:{{}}::AwaitedOperation::x"
    assert started_urn({"urn": urn.format(kind)}) == urn.format("StartedOperation")


@pytest.mark.parametrize("outcome", [None, {}])
def test_a_wait_without_an_outcome_has_nothing_to_judge(outcome: Any) -> None:
    olds = {"operation": "1", "outcome": outcome}
    assert AwaitedProvider().diff("id", olds, {"operation": "1", "allowedFailures": 0}).changes is False


def test_a_refresh_decides_about_no_run_and_an_update_after_it_does() -> None:
    provider, olds = StartedProvider(), {"urn": "urn:pulumi:s::p::t::refreshed", "label": "x"}
    assert provider.diff("id", olds, olds).changes is True
    assert provider.read("id", olds).outs == olds
    assert provider.diff("id", olds, olds).changes is False
    assert provider.check(olds, olds).inputs == olds
    assert provider.diff("id", olds, olds).changes is True


def test_what_is_lost_is_a_change_of_the_wait() -> None:
    olds = {"operation": "1", "outcome": {"state": "lost", "lost": "its table is gone"}}
    assert AwaitedProvider().diff("id", olds, {"operation": "1", "allowedFailures": 0}).changes is True


def test_without_an_engine_messages_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    engine_log.info("urn", "text")
    with engine_log.ProgressLine("urn", "at first") as show:
        show("text")
    assert capsys.readouterr() == ("", "")
