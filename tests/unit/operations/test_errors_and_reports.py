"""What is said when something failed: the code's name, what it means, what to do, which files."""

import json
import re

import httplib2
import pytest
from googleapiclient.errors import HttpError

from operations.google.errors import (
    COMMAND_WORDS,
    STACK_WORDS,
    Wording,
    advice,
    api_error,
    passes_with_grants,
)
from operations.google.refusals import names_service_agent
from operations.model.codes import CODES, code_of
from operations.model.durations import format_duration
from operations.model.outcome import Check, ItemError, State, outcome_of
from operations.model.requests import make_export, make_import
from operations.run.report import failure_report, problem_of, success_report
from tests.unit.operations.service import DATASET, STORE

DATASET_NAME = "BigQuery dataset research-analytics.dicom"
AGENT = "service-4711@gcp-sa-healthcare.iam.gserviceaccount.com"
EXPORT = make_export(STORE, "bq://research-analytics.dicom.instances", write_disposition="WRITE_TRUNCATE")
OBJECTS = make_export(STORE, "gs://hospital-out/x")
IMPORT = make_import(STORE, "gs://hospital-inbox/**")

DENIED = {
    "name": f"{DATASET}/operations/1234567",
    "done": True,
    "metadata": {
        "apiMethodName": "google.cloud.healthcare.v1.dicom.DicomService.ExportDicomData_bq",
        "createTime": "2024-05-01T10:00:00Z",
        "endTime": "2024-05-01T10:02:14Z",
        "counter": {"failure": "2"},
    },
    "error": {"code": 7, "message": "Access Denied: Dataset research-analytics:dicom"},
}


def test_the_codes_are_those_of_google_rpc() -> None:
    """google/rpc/code.proto, with the HTTP status that its comments map each to."""
    listed = (
        "1 CANCELLED 499, 2 UNKNOWN 500, 3 INVALID_ARGUMENT 400, 4 DEADLINE_EXCEEDED 504, 5 NOT_FOUND 404, "
        "6 ALREADY_EXISTS 409, 7 PERMISSION_DENIED 403, 8 RESOURCE_EXHAUSTED 429, 9 FAILED_PRECONDITION 400, "
        "10 ABORTED 409, 11 OUT_OF_RANGE 400, 12 UNIMPLEMENTED 501, 13 INTERNAL 500, 14 UNAVAILABLE 503, "
        "15 DATA_LOSS 500, 16 UNAUTHENTICATED 401"
    )
    assert ", ".join(f"{code.number} {code.name} {code.http}" for code in CODES) == listed


def test_a_code_that_does_not_exist_is_unknown() -> None:
    assert code_of(99).name == "UNKNOWN"


@pytest.mark.parametrize("wording", [STACK_WORDS, COMMAND_WORDS])
@pytest.mark.parametrize("request_", [EXPORT, OBJECTS, IMPORT, None])
def test_there_is_advice_for_every_code_and_request(request_: None, wording: Wording) -> None:
    for code in CODES:
        for message in ("", "permission denied", "Already Exists: Table", "no matching objects found"):
            hint = advice(code, message, request_, None, wording)
            assert hint.cause
            assert hint.fix
            assert not re.search(r"[{}]", hint.cause + hint.fix)


def test_a_denied_export_is_explained_with_agent_role_and_dataset() -> None:
    report = failure_report("metadata", EXPORT, outcome_of(DENIED), service_agent=AGENT)
    assert report.splitlines()[:3] == [
        'export "metadata": pacs → bq://research-analytics.dicom.instances failed after 2 m 14 s',
        "  reason  PERMISSION_DENIED (7): Access Denied: Dataset research-analytics:dicom",
        f"  cause   the service agent {AGENT} does not have permission to write to {DATASET_NAME}",
    ]
    do = report.splitlines()[3]
    assert do.startswith(
        "  fix     grant it roles/bigquery.dataEditor there and roles/bigquery.jobUser on project research"
    )
    assert "(the stack does, unless grants are external; one that somebody took away it makes again with" in do
    assert do.endswith("`pulumi up --refresh`), then run `pulumi up`: a new operation is started")
    assert report.splitlines()[-1] == f"  operation {DATASET}/operations/1234567"


@pytest.mark.parametrize("project", ["research-analytics", "hospital-imaging"])
def test_a_denied_job_is_explained_with_the_project_that_the_service_names(project: str) -> None:
    """The table is in research-analytics, the store in hospital-imaging; which one runs the job, Google leaves open."""
    message = (
        f"Access Denied: Project {project}: User does not have bigquery.jobs.create permission in project {project}."
    )
    hint = advice(code_of(7), message, EXPORT, AGENT)
    assert hint.cause == f"the service agent {AGENT} does not have permission to run BigQuery jobs in project {project}"
    assert hint.fix.startswith("grant it roles/bigquery.jobUser on that project")


_NO_PERMISSION = "Healthcare API doesn't have required Cloud Storage permission. See …"
_FILTER = "gs://hospital-lists/x.txt"


@pytest.mark.parametrize(
    ("destination", "message", "means"),
    [
        ("bq://research.dicom.x", _NO_PERMISSION, "does not have permission to read the filter file"),
        (
            "bq://research.dicom.x",
            "Access Denied: Dataset research:dicom",
            "does not have permission to write to BigQuery dataset",
        ),
        (
            "gs://filtered-images/x",
            f"{_NO_PERMISSION} gs://filtered-images/x/1",
            "does not have permission to write to bucket filtered-",
        ),
        ("gs://filtered-images/x", f"{_NO_PERMISSION} {_FILTER}", "does not have permission to read the filter file"),
        ("gs://filtered-images/x", _NO_PERMISSION, "filtered-images, or to read the filter file in bucket hospital-l"),
        ("gs://hospital-lists/x", _NO_PERMISSION, "does not have permission to write to bucket hospital-lists"),
    ],
)
def test_a_refusal_of_a_filtered_export_is_about_the_filter_only_where_it_can_be(
    destination: str, message: str, means: str
) -> None:
    disposition = "WRITE_TRUNCATE" if destination.startswith("bq:") else None
    request = make_export(STORE, destination, write_disposition=disposition, filter_uri=_FILTER)
    assert means in advice(code_of(7), message, request, AGENT).cause


@pytest.mark.parametrize("message", [_NO_PERMISSION, "filter … Access Denied"])
def test_without_a_filter_no_refusal_is_about_one(message: str) -> None:
    for request in (EXPORT, OBJECTS, make_export(STORE, "gs://filtered-images/x")):
        hint = advice(code_of(7), message, request, AGENT)
        assert "filter file" not in hint.cause + hint.fix


def test_an_agent_without_its_own_role_is_told_so() -> None:
    message = "the agent lacks the role roles/healthcare.serviceAgent on its own project hospital-imaging"
    for request in (EXPORT, OBJECTS, IMPORT):
        assert "grant it roles/healthcare.serviceAgent" in advice(code_of(7), message, request, AGENT).fix


def test_the_command_line_has_words_of_its_own() -> None:
    report = failure_report("metadata", EXPORT, outcome_of(DENIED), wording=COMMAND_WORDS)
    assert "pulumi" not in report
    assert "stack" not in report
    assert "run the command again" in report


@pytest.mark.parametrize(
    ("message", "agents"),
    [
        (f"Access Denied: Dataset research:dicom: {AGENT} lacks bigquery.tables.create", True),
        ("Healthcare API doesn't have required Cloud Storage permission. See https://…", True),
        ("Access Denied: Project B: User does not have bigquery.jobs.create permission in project B.", True),
        (f"Permission healthcare.dicomStores.export denied on resource {STORE} (or it may not exist)", False),
        ("The caller does not have permission", False),
    ],
)
def test_refusals_of_the_agent_and_of_the_caller_are_told_apart(message: str, agents: bool) -> None:
    assert names_service_agent(message) is agents
    assert passes_with_grants(7, message) is agents
    assert not passes_with_grants(13, message)


def http_error(status: int, content: bytes, **headers: str) -> HttpError:
    return HttpError(httplib2.Response({"status": str(status), **headers}), content)


@pytest.mark.parametrize(
    ("status", "content", "name", "message"),
    [
        (403, b'{"error":{"code":403,"message":"no","status":"PERMISSION_DENIED"}}', "PERMISSION_DENIED", "no"),
        (409, b'{"error":{"code":409,"message":"no","status":"ALREADY_EXISTS"}}', "ALREADY_EXISTS", "no"),
        (404, b'{"error":{"code":404,"message":"gone","errors":[]}}', "NOT_FOUND", "gone"),
        (502, b"<html>Bad Gateway</html>", "UNKNOWN", "<html>Bad Gateway</html>"),
        (503, b"", "UNAVAILABLE", "no text in the answer"),
        (500, b'{"error": "text"}', "INTERNAL", '{"error": "text"}'),
        (400, b"[]", "INVALID_ARGUMENT", "[]"),
    ],
)
def test_refusals_are_read_whatever_their_shape(status: int, content: bytes, name: str, message: str) -> None:
    error = api_error(http_error(status, content))
    assert (error.status, error.code.name, error.message) == (status, name, message)


@pytest.mark.parametrize(
    ("value", "seconds"), [("120", 120.0), ("Thu, 01 Jan 1970 00:02:00 GMT", 20.0), ("soon", None), ("", None)]
)
def test_retry_after_may_be_seconds_or_a_date_by_the_clock_of_the_service(value: str, seconds: float | None) -> None:
    headers = {"retry-after": value, "date": "Thu, 01 Jan 1970 00:01:40 GMT"}
    assert api_error(http_error(429, b"", **headers)).retry_after == seconds


def test_a_date_to_retry_after_says_nothing_without_the_time_it_is() -> None:
    headers = {"retry-after": "Thu, 01 Jan 1970 00:02:00 GMT"}
    assert api_error(http_error(429, b"", **headers)).retry_after is None


def test_counters_are_text_and_missing_ones_are_zero() -> None:
    outcome = outcome_of({"name": "n", "metadata": {"counter": {"success": "12"}}})
    assert (outcome.state, outcome.success, outcome.failure, outcome.pending) == (State.RUNNING, 12, 0, 0)


@pytest.mark.parametrize(
    ("operation", "state"),
    [
        ({"name": "n"}, State.RUNNING),
        ({"name": "n", "done": False, "metadata": {}}, State.RUNNING),
        ({"name": "n", "done": True, "response": {}}, State.SUCCEEDED),
        ({"name": "n", "done": True, "metadata": {"counter": {"failure": "1"}}}, State.SUCCEEDED_WITH_FAILURES),
        ({"name": "n", "done": True, "error": {"code": 1}}, State.CANCELLED),
        ({"name": "n", "done": True, "error": {"code": 13}}, State.FAILED),
    ],
)
def test_the_state_follows_from_done_error_and_failures(operation: dict[str, object], state: State) -> None:
    assert outcome_of(operation).state is state


_SYNTHEA = (
    "invalid_argument: importing one or more resources failed. Please use the link in the metadata.logsUrl field to "
    "see the errors"
)
_IMPORT_METHOD = "google.cloud.healthcare.v1.dicom.DicomService.ImportDicomData"


@pytest.mark.parametrize(
    ("error", "counter", "method", "state"),
    [
        # Seen at imports of FHIR resources.
        ((3, _SYNTHEA), {"success": "8", "failure": "2"}, _IMPORT_METHOD, State.SUCCEEDED_WITH_FAILURES),
        ((3, _SYNTHEA), {"failure": "2"}, _IMPORT_METHOD, State.SUCCEEDED_WITH_FAILURES),
        # The same of DICOM in other words: everything was gone through.
        (
            (3, "some files are no DICOM files"),
            {"success": "8", "failure": "2"},
            _IMPORT_METHOD,
            State.SUCCEEDED_WITH_FAILURES,
        ),
        # No failure is counted, or something is left: an error in the middle.
        ((3, _SYNTHEA), {}, _IMPORT_METHOD, State.FAILED),
        ((3, _SYNTHEA), {"success": "8", "failure": "2", "pending": "5"}, _IMPORT_METHOD, State.FAILED),
        # Other codes, and exports, whose errors may come from the destination.
        ((13, _SYNTHEA), {"success": "8", "failure": "2"}, _IMPORT_METHOD, State.FAILED),
        ((7, "no"), {"success": "8", "failure": "2"}, _IMPORT_METHOD, State.FAILED),
        ((3, "line 2 of the filter"), {"success": "8", "failure": "2"}, "…ExportDicomData_bq", State.FAILED),
    ],
)
def test_an_error_that_only_says_that_files_failed_counts_by_its_counters(
    error: tuple[int, str], counter: dict[str, str], method: str, state: State
) -> None:
    operation = {
        "name": "n",
        "done": True,
        "metadata": {"apiMethodName": method, "counter": counter},
        "error": {"code": error[0], "message": error[1]},
    }
    outcome = outcome_of(operation)
    assert outcome.state is state
    assert (outcome.error_code, outcome.error_message) == error
    if state is State.SUCCEEDED_WITH_FAILURES:
        assert problem_of(outcome, allowed_failures=2) is None
        assert problem_of(outcome, allowed_failures=1) == f"left out 2 of {outcome.success + 2} instances"
        report = failure_report("archive", IMPORT, outcome, allowed_failures=1)
        assert "2 instances failed, 1 are allowed" in report
        assert f"the service says: {error[1]}" in report
    else:
        assert problem_of(outcome, allowed_failures=100) == "failed"


def test_legacy_sample_errors_are_read() -> None:
    details = [
        {"sampleErrors": [{"resource": "gs://b/a.dcm", "error": {"code": 3, "message": "empty DICOM instance found"}}]}
    ]
    outcome = outcome_of({"name": "n", "done": True, "error": {"code": 3, "message": "m", "details": details}})
    assert outcome.errors == (ItemError("gs://b/a.dcm", "empty DICOM instance found", 3),)


def test_failures_beyond_those_allowed_and_mismatches_are_problems() -> None:
    outcome = outcome_of({"name": "n", "done": True, "metadata": {"counter": {"success": "8", "failure": "2"}}})
    assert problem_of(outcome) == "left out 2 of 10 instances"
    assert problem_of(outcome, allowed_failures=2) is None
    wrong = outcome.with_(checks=(Check("rows in the table", 8, 7, passed=False),))
    assert problem_of(wrong, allowed_failures=2) == "reported success, but its result doesn't match"
    unread = outcome.with_(checks=(Check("rows in the table", 8, None, passed=True, note="you may not read it"),))
    assert problem_of(unread, allowed_failures=2) is None
    assert "rows in the table: not checked, you may not read it" in success_report(EXPORT, unread)


def test_many_failed_files_are_cut_to_ten_lines() -> None:
    items = tuple(ItemError(f"gs://b/{number}.dcm", "empty DICOM instance found", 3) for number in range(50))
    outcome = outcome_of({"name": "n", "done": True, "metadata": {"counter": {"failure": "98"}}}).with_(
        log_entries=items
    )
    report = failure_report("archive", IMPORT, outcome)
    assert "log     50 of 98 failures:" in report
    assert "and 40 more" in report
    assert report.count("gs://b/") == 10


def test_an_outcome_is_plain_json() -> None:
    found = json.loads(json.dumps(outcome_of(DENIED).to_json()))
    assert (found["state"], found["error"]["name"]) == ("failed", "PERMISSION_DENIED")
    assert format_duration(outcome_of(DENIED).seconds or 0) == "2 m 14 s"
