"""Running and watching operations from the command line, in simulated time."""

import io
import json
import signal
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from operations.command_line.exit_codes import ExitCode, exit_code_of
from operations.google.clock import InterruptibleClock
from operations.google.connection import Connection
from operations.google.errors import ApiError, OperationsError, UnreachableError
from operations.model.codes import code_of
from tests.unit.operations.command_line import CommandLine
from tests.unit.operations.service import DATASET, STORE, Fault, Service, SimulatedClock

EXPORT = f"export --store {STORE} --to bq://research.dicom.instances --write-disposition WRITE_TRUNCATE"
FIRST = f"{DATASET}/operations/1000"


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], connection: Connection, clock: SimulatedClock) -> CommandLine:
    return CommandLine(capsys, connection, clock)


class Interrupts(SimulatedClock):
    """Time in which Ctrl-C, or whatever `act` does, comes at a moment."""

    def __init__(self, after: float, act: Callable[[], None]) -> None:
        super().__init__()
        self._after = after
        self._act = act

    def _pass(self) -> None:
        if self.time > self._after:
            self._after = float("inf")
            self._act()

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self._pass()

    def wait(self, condition: Any, seconds: float) -> None:
        super().wait(condition, seconds)
        self._pass()


def _interrupting(number: int, after: float) -> tuple[Interrupts, Service]:
    clock = Interrupts(after, lambda: signal.raise_signal(number))
    return clock, Service(clock)


def test_an_operation_that_fails_is_exit_1_with_reason_meaning_and_what_to_do(
    cli: CommandLine, service: Service
) -> None:
    service.seconds = 134
    service.errors.append({"code": 5, "message": "Not found: Dataset research:dicom"})
    assert cli(EXPORT) == 1
    assert "error: export pacs → bq://research.dicom.instances failed after 2 m 14 s" in cli.err
    assert "reason  NOT_FOUND (5): Not found: Dataset research:dicom" in cli.err
    assert "BigQuery dataset research.dicom doesn't exist" in cli.err
    assert "run the command again" in cli.err
    assert FIRST in cli.err
    assert "pulumi" not in cli.err
    assert cli.out == ""


def test_more_failures_than_allowed_are_exit_1_and_as_many_as_allowed_are_not(
    cli: CommandLine, service: Service
) -> None:
    service.failure, service.rows = 3, 7
    assert cli(f"{EXPORT} --allowed-failures 2") == 1
    assert "3 instances failed, 2 are allowed (--allowed-failures)" in cli.err
    assert cli(f"{EXPORT} --allowed-failures 3") == 0
    assert "7 instances" in cli.out
    assert "3 failed" in cli.out


def test_a_table_with_other_rows_than_reported_is_exit_1(cli: CommandLine, service: Service) -> None:
    service.rows = 9
    assert cli(EXPORT) == 1
    assert "rows in the table: expected 10, found 9" in cli.err
    assert "run it again with the same command" in cli.err


def test_a_non_empty_table_with_write_empty_is_exit_6_and_nothing_is_started(
    cli: CommandLine, service: Service
) -> None:
    service.rows = 4
    assert cli(EXPORT.replace("WRITE_TRUNCATE", "WRITE_EMPTY")) == 6
    assert "choose WRITE_TRUNCATE to replace them" in cli.err
    assert service.bodies == []


def test_an_empty_store_is_exit_6_and_nothing_is_started(cli: CommandLine, service: Service) -> None:
    service.instances = 0
    assert cli(EXPORT) == 6
    assert "is empty, so there is nothing to export" in cli.err
    assert service.bodies == []


def test_a_caller_without_permission_is_exit_4_at_once(cli: CommandLine, service: Service) -> None:
    service.rows = 10
    service.plan("export", Fault(403, f"Permission healthcare.dicomStores.export denied on resource {STORE}"))
    assert cli(EXPORT) == 4
    service.assert_consumed()
    assert "you do not have permission to do this with the store" in cli.err
    assert service.operations == {}


def test_a_request_that_the_service_refuses_is_exit_1(cli: CommandLine, service: Service) -> None:
    service.plan("export", Fault(400, "Invalid JSON payload received."))
    assert cli(EXPORT) == 1
    service.assert_consumed()
    assert "INVALID_ARGUMENT" in cli.err


def test_a_listing_that_is_refused_says_what_it_may_mean(cli: CommandLine, service: Service) -> None:
    service.plan("operations.list", Fault(403, f"Permission healthcare.operations.list denied on resource {DATASET}"))
    assert cli(f"list {DATASET}") == 4
    assert "or the Healthcare dataset doesn't exist" in cli.err


def test_an_operation_that_is_not_known_is_exit_6_at_once(
    cli: CommandLine, service: Service, clock: SimulatedClock
) -> None:
    for command in ("describe", "wait", "cancel"):
        assert cli(f"{command} {DATASET}/operations/7") == 6
        assert "doesn't know operation" in cli.err
    assert clock.time == 0
    assert service.count("operations.cancel") == 0
    assert cli(f"wait {DATASET}/operations/7 --json") == 6
    assert json.loads(cli.out)["state"] == "expired"


def test_a_service_that_has_no_capacity_is_exit_5(cli: CommandLine, service: Service) -> None:
    service.plan("operations.list", *[Fault(503)] * 20)
    assert cli(f"list {DATASET}") == 5
    assert "UNAVAILABLE" in cli.err


def test_an_api_that_does_not_answer_is_exit_5(cli: CommandLine, service: Service) -> None:
    service.plan("operations.get", *[Fault(error=TimeoutError("timed out"))] * 20)
    assert cli(f"describe {FIRST}") == 5
    assert "took too long to answer" in cli.err


def test_an_operation_that_outlasts_the_deadline_is_exit_3_with_how_to_wait_again(
    cli: CommandLine, service: Service
) -> None:
    service.seconds, service.rows = 7200, 10
    assert cli(f"{EXPORT} --timeout 1h") == 3
    assert "hasn't finished after 1 h of waiting; it is still running" in cli.err
    assert f"python -m operations wait {FIRST}" in cli.err
    assert cli(f"wait {FIRST} --timeout 30m --json") == 3
    document = json.loads(cli.out)
    assert document["operation"] == FIRST
    assert document["state"] == "running"
    assert document["success"] > 0
    assert document["exitCode"] == 3
    assert cli(f"wait {FIRST}") == 0
    assert len(service.operations) == 1


def test_how_to_wait_again_names_the_endpoint_that_was_given(cli: CommandLine, service: Service) -> None:
    name = service.add(100)
    assert cli(f"wait {name} --timeout 10 --endpoint http://127.0.0.1:1") == 3
    assert f"python -m operations wait {name} --endpoint http://127.0.0.1:1" in cli.err


def test_a_wait_for_a_failed_operation_is_exit_1_with_the_log(cli: CommandLine, service: Service) -> None:
    name = service.add(5, failure=2)
    service.log_entries = [
        {"jsonPayload": {"source": "gs://in/a.dcm", "error": {"code": 3, "message": "empty DICOM instance found"}}}
    ]
    assert cli(f"wait {name}") == 1
    assert "left out 2 of 12 instances" in cli.err
    assert "gs://in/a.dcm: empty DICOM instance found" in cli.err
    assert cli(f"wait {name} --allowed-failures 2") == 0


def test_a_cancelled_operation_is_exit_1_for_who_waits_for_it(cli: CommandLine, service: Service) -> None:
    name = service.add(500)
    assert cli(f"cancel {name}") == 0
    assert "asked the service to cancel" in cli.err
    assert service.operations[name].cancelled
    assert cli(f"wait {name}") == 1
    assert "was cancelled" in cli.err


def test_cancelling_what_has_ended_sends_nothing_and_says_how_it_ended(cli: CommandLine, service: Service) -> None:
    name = service.add(0)
    assert cli(f"cancel {name} --json") == 0
    assert "has ended already: succeeded" in cli.err
    assert json.loads(cli.out)["state"] == "succeeded"
    assert service.count("operations.cancel") == 0


def test_ctrl_c_while_waiting_says_that_the_operation_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    clock, service = _interrupting(signal.SIGINT, after=20)
    service.seconds = 3600
    before = signal.getsignal(signal.SIGINT)
    cli = CommandLine(capsys, service.connection(), clock)
    assert cli(EXPORT) == 130
    assert f"operation {FIRST} is still running" in cli.err
    assert f"python -m operations wait {FIRST}" in cli.err
    assert signal.getsignal(signal.SIGINT) is before
    assert not service.operations[FIRST].cancelled


def test_sigterm_while_waiting_is_exit_143_and_leaves_nothing_running_unknown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock, service = _interrupting(signal.SIGTERM, after=20)
    name = service.add(3600)
    cli = CommandLine(capsys, service.connection(), clock)
    assert cli(f"wait {name} --json") == 143
    document = json.loads(cli.out)
    assert (document["operation"], document["state"], document["exitCode"]) == (name, "running", 143)


def test_ctrl_c_before_the_start_does_not_speak_of_an_operation(capsys: pytest.CaptureFixture[str]) -> None:
    clock, service = _interrupting(signal.SIGINT, after=0.5)
    service.plan("metrics", *[Fault(503)] * 9)
    cli = CommandLine(capsys, service.connection(), clock)
    assert cli(EXPORT) == 130
    assert cli.err.strip() == "interrupted"
    assert service.operations == {}


def test_ctrl_c_while_the_start_is_on_its_way_still_tells_what_was_started(
    capsys: pytest.CaptureFixture[str], service: Service, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = service.answer

    def press_and_answer(method: str, uri: str, body: Any) -> Any:
        if ":export" in uri:
            signal.raise_signal(signal.SIGINT)
        return answer(method, uri, body)

    service.seconds = 3600
    monkeypatch.setattr(service, "answer", press_and_answer)
    cli = CommandLine(capsys, connection, SimulatedClock())
    assert cli(EXPORT, clock=InterruptibleClock()) == 130
    assert "stopping as soon as it is known what was started" in cli.err
    assert f"operation {FIRST} is still running" in cli.err
    assert len(service.operations) == 1


def test_a_lost_answer_to_the_start_is_adopted_and_never_posted_twice(cli: CommandLine, service: Service) -> None:
    service.rows = 10
    service.plan("export", Fault(drop="after"))
    assert cli(EXPORT) == 0
    service.assert_consumed()
    assert "the answer to the start was lost; found its operation" in cli.err
    assert len(service.bodies) == 1


def test_grants_that_take_time_are_waited_for_and_the_operation_is_started_anew(
    cli: CommandLine, service: Service
) -> None:
    service.rows = 10
    agent = "service-1@gcp-sa-healthcare.iam.gserviceaccount.com"
    service.errors.append({"code": 7, "message": f"Access Denied: Dataset research:dicom: {agent}"})
    assert cli(EXPORT) == 0
    assert "waiting for the service agent's permissions to take effect" in cli.err
    assert f"started anew, now that permissions may have taken effect: {DATASET}/operations/1001" in cli.err


def test_grants_that_never_come_are_exit_1_after_the_permission_wait(
    cli: CommandLine, service: Service, clock: SimulatedClock
) -> None:
    denied = {"code": 7, "message": "Access Denied: Dataset research:dicom"}
    service.errors.extend([denied] * 40)
    assert cli(f"{EXPORT} --permission-wait 60") == 1
    assert clock.time <= 60
    assert "does not have permission to write to BigQuery dataset research.dicom" in cli.err


class Stamped(io.StringIO):
    """A stream that remembers when each line came."""

    def __init__(self, clock: SimulatedClock) -> None:
        super().__init__()
        self._clock = clock
        self.moments: list[float] = []

    def write(self, text: str) -> int:
        self.moments.append(self._clock.time)
        return super().write(text)


def _longest_silence(moments: list[float], end: float) -> float:
    return max(after - before for before, after in pairwise([0.0, *moments, end]))


def test_lines_come_at_least_once_a_minute_and_not_with_every_look(
    cli: CommandLine, service: Service, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    err = Stamped(clock)
    monkeypatch.setattr("sys.stderr", err)
    name = service.add(3600, success=98_112)
    assert cli(f"wait {name}") == 0
    assert _longest_silence(err.moments, clock.time) <= 60
    assert len(err.moments) < service.count("operations.get")


def test_lines_come_at_least_once_a_minute_while_the_service_is_away(
    cli: CommandLine, service: Service, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    err = Stamped(clock)
    monkeypatch.setattr("sys.stderr", err)
    name = service.add(600)
    service.plan("operations.get", *[Fault(503)] * 15)
    assert cli(f"wait {name}") == 0
    service.assert_consumed()
    assert _longest_silence(err.moments, clock.time) <= 60
    assert "UNAVAILABLE" in err.getvalue()


def test_the_start_alone_prints_the_name_of_the_operation_for_scripts(cli: CommandLine, service: Service) -> None:
    service.seconds = 3600
    assert cli(f"{EXPORT} --no-wait") == 0
    assert cli.out == f"{FIRST}\n"
    assert f"python -m operations wait {FIRST}" in cli.err
    assert service.count("operations.get") == 0
    assert cli(f"{EXPORT} --no-wait --json") == 0
    document = json.loads(cli.out)
    assert document["operation"] == f"{DATASET}/operations/1001"
    assert document["destination"] == "bq://research.dicom.instances"


def test_the_request_carries_every_option_and_the_disposition_inside_the_destination(
    cli: CommandLine, service: Service
) -> None:
    service.rows = 10
    line = "--schema json --include-source-store --filter-file gs://filters/studies.txt"
    service.plan("buckets.get", Fault(403))  # the caller need not be allowed to read the filter file
    assert cli(f"{EXPORT} {line}") == 0
    assert service.bodies == [
        {
            "bigqueryDestination": {
                "tableUri": "bq://research.dicom.instances",
                "writeDisposition": "WRITE_TRUNCATE",
                "schemaJson": {},
                "includeSourceStore": True,
            },
            "filterConfig": {"resourcePathsGcsUri": "gs://filters/studies.txt"},
        }
    ]


def test_a_short_format_name_is_sent_as_the_value_of_the_api(cli: CommandLine, service: Service) -> None:
    cli(f"export --store {STORE} --to gs://out/jpeg --mime-type jpeg --no-wait")
    assert service.bodies == [
        {
            "gcsDestination": {
                "uriPrefix": "gs://out/jpeg/",
                "mimeType": "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50",
            }
        }
    ]


def test_an_import_sends_its_pattern_and_storage_class(cli: CommandLine, service: Service) -> None:
    service.objects = {"2024/a.dcm": 1, "2024/b/c.dcm": 1}
    assert cli(f"import --store {STORE} --from gs://inbox/2024/**.dcm --storage-class ARCHIVE --no-wait --json") == 0
    assert service.bodies == [
        {
            "gcsSource": {"uri": "gs://inbox/2024/**.dcm"},
            "blobStorageSettings": {"blobStorageClass": "ARCHIVE"},
        }
    ]
    assert json.loads(cli.out)["store"] == STORE


def test_json_is_all_that_stdout_has_and_its_keys_are_those_of_the_stack(cli: CommandLine, service: Service) -> None:
    service.rows = 10
    service.seconds = 90
    assert cli(f"{EXPORT} --json") == 0
    document = json.loads(cli.out)
    stack = {"operation", "state", "success", "failure", "pending", "startTime", "endTime", "destination", "rows"}
    assert stack | {"logsUrl", "errors"} <= document.keys()
    assert (document["state"], document["success"], document["rows"]) == ("succeeded", 10, 10)
    assert document["checks"][0]["passed"] is True
    assert document["seconds"] == 90


def test_the_list_is_newest_first_and_can_be_narrowed(
    cli: CommandLine, service: Service, clock: SimulatedClock
) -> None:
    oldest = service.add(0)
    clock.time = 100
    failed = service.add(0, error={"code": 5, "message": "Not found"})
    clock.time = 200
    running = service.add(1000)
    assert cli(f"list {DATASET} --json") == 0
    assert [each["operation"] for each in json.loads(cli.out)["operations"]] == [running, failed, oldest]
    assert cli(f"list {DATASET} --running --json") == 0
    assert [each["operation"] for each in json.loads(cli.out)["operations"]] == [running]
    assert cli(f"list {DATASET} --state failed --state succeeded --limit 1 --json") == 0
    assert [each["operation"] for each in json.loads(cli.out)["operations"]] == [failed]
    assert cli(f"list {DATASET} --state cancelled") == 0
    assert cli.out == ""
    assert "0 of 3 operations" in cli.err


def test_a_dataset_without_operations_is_no_error(cli: CommandLine) -> None:
    assert cli("list --dataset radiology", environment={"IMAGING_PROJECT": "p", "IMAGING_LOCATION": "l"}) == 0
    assert cli.out == ""
    assert "has no operations" in cli.err


def test_the_table_of_a_pipe_has_whole_names_and_no_colours(cli: CommandLine, service: Service) -> None:
    name = service.add(0, success=98_112)
    assert cli(f"list {DATASET}") == 0
    header, row = cli.out.splitlines()
    assert header.split()[:3] == ["operation", "does", "state"]
    assert row.split()[0] == name.rpartition("/")[2]
    assert "98,112" in row
    assert "2023-11-14 22:13:20" in row
    assert "\x1b" not in cli.out


def test_describe_tells_everything_and_is_exit_0_whatever_became_of_the_operation(
    cli: CommandLine, service: Service
) -> None:
    name = service.add(0, error={"code": 8, "message": "quota"})
    assert cli(f"describe {name}") == 0
    assert "state      failed" in cli.out
    assert "RESOURCE_EXHAUSTED (8): quota" in cli.out
    assert cli(f"describe {name} --no-logs --json") == 0
    assert json.loads(cli.out)["error"] == {"code": 8, "name": "RESOURCE_EXHAUSTED", "message": "quota"}


@pytest.mark.parametrize(
    ("status", "number", "code"),
    [
        (400, 3, ExitCode.FAILED),
        (401, 16, ExitCode.REFUSED),
        (403, 7, ExitCode.REFUSED),
        (404, 5, ExitCode.MISSING),
        (409, 6, ExitCode.FAILED),
        (412, 9, ExitCode.MISSING),
        (429, 8, ExitCode.UNREACHABLE),
        (500, 13, ExitCode.UNREACHABLE),
        (501, 12, ExitCode.FAILED),
        (503, 14, ExitCode.UNREACHABLE),
    ],
)
def test_each_kind_of_refusal_has_its_exit_code_also_behind_a_better_text(
    status: int, number: int, code: ExitCode
) -> None:
    error = ApiError(status, code_of(number), "text")
    assert exit_code_of(error) is code
    said_better = OperationsError("the export was refused")
    said_better.__cause__ = error
    assert exit_code_of(said_better) is code


def test_an_unreachable_api_and_an_unexplained_error_have_their_exit_codes() -> None:
    assert exit_code_of(UnreachableError("no answer")) is ExitCode.UNREACHABLE
    assert exit_code_of(OperationsError("something")) is ExitCode.FAILED


def test_a_closed_pipe_ends_the_command_quietly(
    cli: CommandLine, service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    service.add(0)
    stand_in = (tmp_path / "stdout").open("w")

    def closed(_text: str) -> int:
        raise BrokenPipeError

    with stand_in:
        monkeypatch.setattr(stand_in, "write", closed, raising=False)
        monkeypatch.setattr("sys.stdout", stand_in)
        assert cli(f"list {DATASET}") == 141
    assert cli.err == ""
