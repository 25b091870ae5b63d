"""Following an operation while grants take effect: as long as allowed, whatever the clock on the wall does."""

from datetime import UTC, datetime
from typing import Any

import pytest

from operations.google.connection import Connection
from operations.model.outcome import State
from operations.model.requests import make_export
from operations.run.checks import Facts
from operations.run.follow import follow
from operations.run.report import conclude, problem_of
from operations.run.start import StartLimits, start
from operations.run.wait import Waiter
from tests.unit.operations.service import STORE, Fault, Service, SimulatedClock

DENIED = {"code": 7, "message": "Access Denied: Dataset research:dicom"}
DAY = 86400.0


@pytest.mark.parametrize("jump", [0.0, -DAY, DAY])
def test_a_grant_that_never_comes_is_waited_for_no_longer_than_allowed(
    jump: float, service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    request = make_export(STORE, "bq://research.dicom.instances", write_disposition="WRITE_TRUNCATE")
    service.errors.extend([DENIED] * 40)
    started = start(connection, request, clock=clock, facts=Facts())

    def restarted(_operation: str) -> None:
        clock.wall_offset += jump

    outcome = follow(
        connection,
        request,
        started.operation,
        waiter=Waiter(connection, clock),
        started_at=started.time,
        facts=Facts(),
        limits=StartLimits(permission_wait=60),
        timeout=600,
        on_restart=restarted,
        clock=clock,
    ).outcome
    assert outcome.state is State.FAILED
    assert 30 <= clock.time <= 60


def course(jump: float) -> tuple[State, str | None, int, float]:
    """Return how a run through many faults ends, and how long it takes, when the wall clock jumps at every call."""
    clock = SimulatedClock()
    service = Service(clock, rows=10, seconds=100)
    answer = service.answer

    def jumping(method: str, uri: str, body: Any) -> Any:
        clock.wall_offset += jump
        return answer(method, uri, body)

    service.answer = jumping  # type: ignore[method-assign]
    connection = service.connection()
    for _ in range(5):
        service.add(seconds=40)
    request = make_export(STORE, "bq://research.dicom.instances", write_disposition="WRITE_TRUNCATE")
    refused = Fault(403, "Access Denied: Dataset research:dicom")
    service.plan("export", Fault(429, retry_after="7"), Fault(drop="before"), refused, refused)
    service.plan("operations.get", Fault(503), Fault(503))
    service.plan("tables.get", Fault(503), Fault(503))
    started = start(connection, request, clock=clock)
    outcome = follow(
        connection,
        request,
        started.operation,
        waiter=Waiter(connection, clock),
        started_at=started.time,
        facts=started.facts,
        limits=StartLimits(),
        timeout=600,
        clock=clock,
    ).outcome
    outcome = conclude(connection, outcome, request, started.facts, clock)
    service.assert_consumed()
    return outcome.state, problem_of(outcome), len(service.operations), clock.time


@pytest.mark.parametrize("jump", [-DAY, DAY])
def test_a_wall_clock_that_jumps_at_every_call_changes_neither_the_course_nor_the_result(jump: float) -> None:
    steady = course(jump=0)
    assert steady[:3] == (State.SUCCEEDED, None, 6)
    assert course(jump) == steady


def test_an_operation_that_was_started_long_ago_is_not_started_anew(
    service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    request = make_export(STORE, "bq://research.dicom.instances", write_disposition="WRITE_TRUNCATE")
    name = service.add(seconds=0, error=DENIED)
    outcome = follow(
        connection,
        request,
        name,
        waiter=Waiter(connection, clock),
        started_at=datetime.fromtimestamp(clock.now() - DAY, UTC).isoformat(),
        facts=Facts(),
        limits=StartLimits(),
        timeout=600,
        clock=clock,
    ).outcome
    assert outcome.operation == name
    assert service.count("export") == 0
