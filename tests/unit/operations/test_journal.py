"""The journal of starts: a kill between the service's yes and the saved name loses no operation and doubles none."""

import json
import os
import stat
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from operations.google.connection import Connection
from operations.google.errors import OperationsError
from operations.model.outcome import Outcome, State
from operations.model.requests import Request, make_export
from operations.run.checks import Facts
from operations.run.follow import follow
from operations.run.journal import NO_JOURNAL, Journal
from operations.run.start import Started, StartLimits, resume, start
from operations.run.wait import Waiter
from tests.unit.operations.service import DATASET, STORE, Fault, Service, SimulatedClock

URN = "urn:pulumi:prod::imaging::x:StartedOperation::metadata"
FILTER = "gs://hospital-filters/filters/metadata-1.txt"


class Killed(BaseException):
    """The process is gone at this point."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "imaging" / "starts"


@pytest.fixture
def journal(folder: Path) -> Journal:
    return Journal(folder, URN)


@pytest.fixture
def request_() -> Request:
    return make_export(STORE, "bq://research.dicom.instances", write_disposition="WRITE_TRUNCATE", filter_uri=FILTER)


@pytest.fixture
def kill(service: Service, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Kill the next start, `before` or `after` the service has accepted it."""

    def plan(when: str) -> None:
        answer = service.answer

        def die(method: str, uri: str, body: Any) -> Any:
            if ":export" not in uri:
                return answer(method, uri, body)
            monkeypatch.undo()
            if when == "after":
                service.answer(method, uri, body)
            raise Killed

        monkeypatch.setattr(service, "answer", die)

    return plan


def killed_start(connection: Connection, request: Request, journal: Journal, clock: SimulatedClock) -> None:
    with pytest.raises(Killed):
        start(connection, request, clock=clock, journal=journal, facts=Facts(rows=7, total=10))


def again(
    connection: Connection, request: Request, journal: Journal, clock: SimulatedClock, noted: list[str] | None = None
) -> Started:
    """Do what the next run does."""
    noted = [] if noted is None else noted
    return resume(connection, request, journal, note=noted.append, clock=clock) or start(
        connection, request, clock=clock, journal=journal, facts=Facts()
    )


def test_several_operations_of_that_moment_are_named_and_none_is_adopted_or_posted(
    service: Service,
    connection: Connection,
    clock: SimulatedClock,
    request_: Request,
    journal: Journal,
    kill: Callable[[str], None],
) -> None:
    kill("after")
    killed_start(connection, request_, journal, clock)
    other = service.add(seconds=3600)
    with pytest.raises(OperationsError, match="can't be told") as refused:
        again(connection, request_, journal, clock)
    assert all(name in str(refused.value) for name in service.operations)
    assert service.count("export") == 1
    # What the person cancels doesn't count the next time.
    service.operations[other].cancelled = True
    assert again(connection, request_, journal, clock).adopted
    assert service.count("export") == 1


def test_who_may_not_list_is_told_and_nothing_is_posted_until_the_trigger_changes(
    service: Service,
    connection: Connection,
    clock: SimulatedClock,
    request_: Request,
    folder: Path,
    kill: Callable[[str], None],
) -> None:
    service.plan("operations.list", Fault(403, "Permission healthcare.operations.list denied"))
    kill("after")
    killed_start(connection, request_, Journal(folder, URN), clock)
    for _ in range(2):
        with pytest.raises(OperationsError, match=r"may not list .* or change `trigger` to start a new one"):
            again(connection, request_, Journal(folder, URN), clock)
    assert service.count("export") == 1
    again(connection, request_, Journal(folder, URN, trigger="again"), clock)
    assert service.count("export") == 2


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_killed_start_is_found_again_or_posted_again_and_leaves_one_operation(
    when: str,
    service: Service,
    connection: Connection,
    clock: SimulatedClock,
    request_: Request,
    journal: Journal,
    kill: Callable[[str], None],
) -> None:
    earlier = service.add(seconds=0)
    kill(when)
    killed_start(connection, request_, journal, clock)
    noted: list[str] = []
    started = again(connection, request_, journal, clock, noted)
    assert list(service.operations) == [earlier, started.operation]
    assert started.adopted is bool(noted) is (when == "after")
    # The stack has saved the name: the next start is a new one.
    journal.seen([started.operation])
    assert not again(connection, request_, journal, clock).adopted
    assert len(service.operations) == 3


def test_what_was_there_before_the_killed_start_is_what_its_result_is_compared_with(
    connection: Connection,
    clock: SimulatedClock,
    request_: Request,
    journal: Journal,
    kill: Callable[[str], None],
) -> None:
    kill("after")
    killed_start(connection, request_, journal, clock)
    assert again(connection, request_, journal, clock).facts == Facts(rows=7, total=10)


def test_an_operation_that_is_listed_late_is_waited_for(
    service: Service,
    connection: Connection,
    clock: SimulatedClock,
    request_: Request,
    journal: Journal,
    kill: Callable[[str], None],
) -> None:
    kill("after")
    killed_start(connection, request_, journal, clock)
    service.unknown_until = clock.time + 5
    assert again(connection, request_, journal, clock).adopted
    assert len(service.operations) == 1


def test_a_kill_after_the_answer_and_before_the_stack_saved_it_is_resumed_without_a_list(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request, journal: Journal
) -> None:
    first = start(connection, request_, clock=clock, journal=journal, facts=Facts())
    service.add(seconds=3600)  # of somebody else, at the same moment
    lists = service.count("operations.list")
    assert again(connection, request_, journal, clock).operation == first.operation
    assert (service.count("operations.list"), service.count("export")) == (lists, 1)


@pytest.mark.parametrize(
    "ended", [{"error": {"code": 13, "message": "m"}}, {"cancelled": True}, {"failure": 1}, {"gone_at": 0.0}]
)
def test_an_operation_that_came_to_nothing_is_started_anew(
    ended: dict[str, Any],
    service: Service,
    connection: Connection,
    clock: SimulatedClock,
    request_: Request,
    journal: Journal,
) -> None:
    first = start(connection, request_, clock=clock, journal=journal, facts=Facts()).operation
    service.operations[first] = replace(service.operations[first], **ended)
    assert again(connection, request_, journal, clock).operation != first
    assert len(service.operations) == 2


def test_a_refused_start_leaves_nothing_to_look_for(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request, journal: Journal
) -> None:
    service.plan("export", Fault(400, "no such thing"))
    with pytest.raises(OperationsError):
        start(connection, request_, clock=clock, journal=journal, facts=Facts())
    assert journal.open_entry is None


def test_operations_of_another_kind_time_dataset_or_stack_are_not_candidates(
    service: Service,
    connection: Connection,
    clock: SimulatedClock,
    request_: Request,
    folder: Path,
    journal: Journal,
    kill: Callable[[str], None],
) -> None:
    kill("before")
    killed_start(connection, request_, journal, clock)
    service.operations[service.add(seconds=0)].method = "ImportDicomData"
    service.add(seconds=0, dataset=f"{DATASET}-2")
    other = Journal(folder, URN.replace("prod", "test"))
    theirs = start(connection, request_, clock=clock, journal=other, facts=Facts()).operation
    clock.time += 3600
    service.add(seconds=0)
    started = again(connection, request_, journal, clock)
    assert not started.adopted
    assert started.operation != theirs
    assert list(service.operations)[-1] == started.operation


def test_two_killed_starts_of_two_stacks_are_not_mistaken_for_each_other(
    service: Service,
    connection: Connection,
    clock: SimulatedClock,
    request_: Request,
    folder: Path,
    journal: Journal,
    kill: Callable[[str], None],
) -> None:
    other = Journal(folder, URN.replace("prod", "test"))
    kill("before")
    killed_start(connection, request_, journal, clock)
    kill("after")
    killed_start(connection, request_, other, clock)
    for each in (journal, other):
        with pytest.raises(OperationsError, match="can't be told"):
            again(connection, request_, each, clock)
    assert len(service.operations) == 1


def test_other_settings_cancel_what_is_known_and_name_what_is_only_likely(
    service: Service,
    connection: Connection,
    clock: SimulatedClock,
    request_: Request,
    journal: Journal,
    kill: Callable[[str], None],
) -> None:
    service.seconds = 3600
    other = make_export(STORE, "bq://research.dicom.others", write_disposition="WRITE_TRUNCATE")
    first = start(connection, request_, clock=clock, journal=journal, facts=Facts()).operation
    noted: list[str] = []
    kill("after")
    with pytest.raises(Killed):
        again(connection, other, journal, clock, noted)
    assert service.operations[first].cancelled
    assert noted == [f"cancelling {first}"]
    likely = list(service.operations)[-1]
    last = again(connection, request_, journal, clock, noted)
    assert noted[1:] == [f"an earlier start with other settings was interrupted and may have begun {likely}"]
    assert (last.adopted, len(service.operations)) == (False, 3)
    assert not service.operations[likely].cancelled


def test_a_later_start_in_the_state_settles_what_another_machine_never_saw(
    connection: Connection,
    clock: SimulatedClock,
    request_: Request,
    journal: Journal,
    kill: Callable[[str], None],
) -> None:
    kill("after")
    killed_start(connection, request_, journal, clock)
    journal.seen([], datetime.fromtimestamp(clock.now() - 60, UTC).isoformat())
    assert journal.open_entry is not None
    journal.seen([], datetime.fromtimestamp(clock.now() + 60, UTC).isoformat())
    assert journal.open_entry is None


def test_a_kill_while_an_operation_is_started_anew_for_permissions_loses_nothing(
    service: Service,
    connection: Connection,
    clock: SimulatedClock,
    request_: Request,
    journal: Journal,
    kill: Callable[[str], None],
) -> None:
    service.errors.append({"code": 7, "message": "Access Denied: Dataset research:dicom"})
    first = start(connection, request_, clock=clock, journal=journal, facts=Facts())
    journal.seen([first.operation])
    kill("after")
    with pytest.raises(Killed):
        follow(
            connection,
            request_,
            first.operation,
            waiter=Waiter(connection, clock),
            started_at=first.time,
            facts=Facts(),
            limits=StartLimits(permission_wait=60),
            timeout=60,
            clock=clock,
            journal=journal,
        )
    started = again(connection, request_, journal, clock)
    assert started.adopted
    assert list(service.operations) == [first.operation, started.operation]


def test_the_entry_is_on_the_disk_before_the_request_is_sent_for_its_user_only_and_without_the_request(
    service: Service,
    connection: Connection,
    clock: SimulatedClock,
    request_: Request,
    folder: Path,
    journal: Journal,
    kill: Callable[[str], None],
) -> None:
    known = service.add(seconds=0)
    kill("before")
    killed_start(connection, request_, journal, clock)
    (file,) = folder.glob("*.json")
    text = file.read_text()
    entry = json.loads(text)
    assert (entry["owner"], entry["dataset"], entry["operation"]) == (URN, DATASET, "")
    assert entry["known"] == [known.rpartition("/")[2]]
    assert "gs://" not in text
    assert "bq://" not in text
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, file)] == [0o700, 0o600]
    assert [path for path in folder.iterdir() if path.suffix == ".new"] == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"owner": "x"}', '{"known": 3}'])
def test_a_file_that_cannot_be_read_is_no_entry(content: str, folder: Path, journal: Journal) -> None:
    journal.begin(make_export(STORE, "gs://bucket/x"), "2026-01-01T00:00:00+00:00", None, {})
    (file,) = folder.glob("*.json")
    file.write_text(content)
    assert journal.open_entry is None
    assert Journal(folder, "another").others() == []
    journal.began(f"{DATASET}/operations/1")
    assert journal.open_entry is None


def test_a_folder_that_cannot_be_written_is_said_and_stops_no_start(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    said: list[str] = []
    journal = Journal(tmp_path / "file" / "starts", URN)
    start(connection, request_, clock=clock, journal=journal, facts=Facts(), say=said.append)
    assert len(service.operations) == 1
    assert "can't be written into the journal" in said[0]


def other_start(folder: Path, clock: SimulatedClock, request: Request, ago: float) -> Journal:
    """Another program's start in the same dataset, whose answer hasn't come yet."""
    other = Journal(folder, "another stack")
    begun = datetime.fromtimestamp(clock.now() - ago, UTC).isoformat(timespec="milliseconds")
    other.begin(request, begun, [], Facts().to_json())
    return other


def test_a_lost_answer_is_not_mistaken_for_the_start_that_another_program_makes_at_that_moment(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request, folder: Path, journal: Journal
) -> None:
    """No lock keeps two programs apart: the other's operation is listed before it has written down whose it is."""
    theirs: list[str] = []
    other = other_start(folder, clock, request_, ago=0)
    answer = service.answer

    def somebody_else_starts_too(method: str, uri: str, body: object) -> object:
        if ":export" in uri and not theirs:
            theirs.append(service.add(seconds=100))
        if theirs and clock.time >= 5:
            other.began(theirs[0])
        return answer(method, uri, body)

    service.answer = somebody_else_starts_too  # type: ignore[method-assign, assignment]
    service.plan("export", Fault(drop="before"))
    started = start(connection, request_, clock=clock, journal=journal, facts=Facts())
    assert not started.adopted
    assert started.operation != theirs[0]
    assert (service.count("export"), len(service.operations)) == (2, 2)


def test_a_lost_answer_beside_a_start_that_never_learns_its_own_is_an_error_and_nothing_is_posted(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request, folder: Path, journal: Journal
) -> None:
    other_start(folder, clock, request_, ago=0)
    service.plan("export", Fault(drop="after"))
    with pytest.raises(OperationsError, match=r"1 operation began at that moment, perhaps by another start"):
        start(connection, request_, clock=clock, journal=journal, facts=Facts())
    assert service.count("export") == 1


def test_a_start_that_another_program_was_killed_in_long_ago_holds_nothing_up(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request, folder: Path, journal: Journal
) -> None:
    other_start(folder, clock, request_, ago=3600)
    service.plan("export", Fault(drop="after"))
    assert start(connection, request_, clock=clock, journal=journal, facts=Facts()).adopted
    assert clock.time < 5


def test_a_start_takes_no_lock_that_another_program_could_wait_for(
    connection: Connection, clock: SimulatedClock, request_: Request, folder: Path, journal: Journal
) -> None:
    start(connection, request_, clock=clock, journal=journal, facts=Facts())
    assert [file.suffix for file in folder.iterdir()] == [".json"]


def test_what_a_killed_program_left_half_written_is_removed_after_a_day(folder: Path, journal: Journal) -> None:
    folder.mkdir(parents=True)
    for name, age in (("a.1.new", 2 * 86400), ("b.1.new", 3600)):
        (folder / name).write_text("{")
        os.utime(folder / name, (time.time() - age, time.time() - age))
    journal.begin(make_export(STORE, "gs://bucket/x"), "2026-01-01T00:00:00+00:00", None, {})
    assert sorted(file.name for file in folder.glob("*.new")) == ["b.1.new"]


def test_entries_older_than_the_records_of_the_service_are_removed(folder: Path, journal: Journal) -> None:
    old = Journal(folder, "old")
    old.begin(make_export(STORE, "gs://bucket/x"), "2026-01-01T00:00:00+00:00", None, {})
    (file,) = folder.glob("*.json")
    os.utime(file, (0, 0))
    journal.begin(make_export(STORE, "gs://bucket/x"), "2026-01-01T00:00:00+00:00", None, {})
    assert old.open_entry is None
    assert journal.open_entry is not None


def test_without_a_folder_nothing_is_kept(connection: Connection, clock: SimulatedClock, request_: Request) -> None:
    start(connection, request_, clock=clock, journal=NO_JOURNAL, facts=Facts())
    assert NO_JOURNAL.open_entry is None
    assert NO_JOURNAL.others() == []


def test_an_operation_without_a_time_may_be_the_one(journal: Journal) -> None:
    journal.begin(make_export(STORE, "gs://bucket/x"), "2026-01-01T00:00:00+00:00", [], {})
    entry = journal.open_entry
    assert entry is not None
    outcome = Outcome(f"{DATASET}/operations/1", State.RUNNING, api_method="ExportDicomData_gcs")
    assert entry.may_have_begun(outcome)
    assert not entry.may_have_begun(replace(outcome, start_time="2026-01-02T00:00:00Z"))
