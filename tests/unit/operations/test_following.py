"""Following an operation while grants take effect: as long as allowed, whatever the clock on the wall does."""

from datetime import UTC, datetime

import pytest

from operations.checks import Facts
from operations.connection import Connection
from operations.follow import follow
from operations.outcome import State
from operations.requests import make_export
from operations.start import StartLimits, start
from operations.wait import Waiter
from tests.unit.operations.service import STORE, Service, SimulatedClock

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
    )
    assert outcome.state is State.FAILED
    assert clock.time <= 60


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
    )
    assert outcome.operation == name
    assert service.count("export") == 0
