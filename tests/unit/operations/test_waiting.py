"""Waiting: noticed soon, cheap, and ended only by the operation, its deadline, or what can't pass."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operations.google.connection import Connection
from operations.google.errors import ApiError, UnreachableError
from operations.model.outcome import Outcome, State
from operations.run.wait import OperationGoneError, Progress, Waiter, WaitTimeoutError, pause_after
from tests.unit.operations.service import DATASET, Fault, Service, SimulatedClock


def test_an_operation_that_never_ends_stops_the_wait_at_its_deadline_and_goes_on(
    service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    name = service.add(seconds=1e9)
    with pytest.raises(WaitTimeoutError, match="hasn't finished after 1 h of waiting; it is still running") as caught:
        Waiter(connection, clock).wait(name, timeout=3600)
    assert 3600 <= clock.time < 3601
    assert caught.value.outcome is not None
    assert caught.value.outcome.state is State.RUNNING


def test_an_operation_whose_record_is_gone_ends_the_wait(
    service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    name = service.add(seconds=1000, gone_at=100)
    with pytest.raises(OperationGoneError, match="what it did is unknown"):
        Waiter(connection, clock).wait(name, timeout=3600)


def test_a_refusal_of_the_caller_ends_the_wait_at_once(
    service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    name = service.add(seconds=100)
    service.plan("operations.get", Fault(403, "Permission healthcare.operations.get denied"))
    with pytest.raises(ApiError, match=r"healthcare\.operations\.get"):
        Waiter(connection, clock).wait(name, timeout=3600)
    assert clock.time == 0


def test_a_token_that_stays_expired_ends_the_wait(
    service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    name = service.add(seconds=100)
    # Each call sends the request again twice after refreshing the token.
    service.plan("operations.get", *[Fault(401)] * 12)
    with pytest.raises(ApiError, match="UNAUTHENTICATED"):
        Waiter(connection, clock).wait(name, timeout=3600)
    service.assert_consumed()


def test_an_emulator_that_was_stopped_ends_the_wait_with_the_command_that_starts_it(
    service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    name = service.add(seconds=100)
    service.plan("operations.get", *[Fault(error=ConnectionRefusedError(111, "refused"))] * 50)
    with pytest.raises(UnreachableError, match="start the emulator with `make emulator`"):
        Waiter(connection, clock).wait(name, timeout=3600)
    assert clock.time < 120


def test_an_operation_that_is_not_readable_yet_is_waited_for(
    service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    name = service.add(seconds=20)
    service.unknown_until = 5
    assert Waiter(connection, clock).wait(name, timeout=3600).state is State.SUCCEEDED


@pytest.mark.parametrize(
    "fault",
    [
        Fault(503),
        Fault(500),
        Fault(429, retry_after="7"),
        Fault(429),
        Fault(502),
        Fault(504),
        Fault(401),
        Fault(drop="before"),
        Fault(error=TimeoutError("timed out")),
        Fault(error=BrokenPipeError(32, "broken pipe")),
    ],
    ids=repr,
)
def test_what_passes_by_itself_is_waited_out(
    fault: Fault, service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    name = service.add(seconds=60)
    service.plan("operations.get", *[fault] * 3)
    assert Waiter(connection, clock).wait(name, timeout=3600).state is State.SUCCEEDED
    service.assert_consumed()


def test_a_burst_of_503_longer_than_the_deadline_ends_as_a_timeout(
    service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    name = service.add(seconds=60)
    service.plan("operations.get", *[Fault(503)] * 1000)
    with pytest.raises(WaitTimeoutError):
        Waiter(connection, clock).wait(name, timeout=600)


def test_a_wall_clock_that_jumps_changes_nothing(
    service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    name = service.add(seconds=600)

    def jump(_progress: Progress) -> None:
        clock.wall_offset += 86400 if clock.time < 300 else -2 * 86400

    outcome = Waiter(connection, clock).wait(name, timeout=700, on_progress=jump)
    assert outcome.state is State.SUCCEEDED
    assert clock.time < 631


# The limits of the speed targets: noticed within max(1 s, 5 % of the length, at most 20 s).
@pytest.mark.parametrize(("length", "requests"), [(10, 20), (60, 50), (600, 110), (7200, 450)])
def test_the_end_is_noticed_soon_and_costs_few_requests(
    length: float, requests: int, service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    name = service.add(seconds=length)
    outcome = Waiter(connection, clock).wait(name, timeout=1e6)
    assert outcome.state is State.SUCCEEDED
    assert clock.time - length <= max(1.0, min(0.05 * length, 20.0))
    assert service.count("operations.get") <= requests


def test_an_operation_that_is_done_already_costs_one_request_and_no_time(
    service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    name = service.add(seconds=0)
    Waiter(connection, clock).wait(name, timeout=10)
    assert (service.requests, clock.time) == ([(0.0, "operations.get")], 0.0)


def test_a_timeout_of_nothing_still_looks_once(service: Service, connection: Connection, clock: SimulatedClock) -> None:
    assert Waiter(connection, clock).wait(service.add(seconds=0), timeout=0).done


def test_progress_tells_counts_rate_and_the_time_left(
    service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    name = service.add(seconds=100, success=10_000, failure=3)
    seen: list[Progress] = []
    Waiter(connection, clock).wait(name, timeout=1000, total=10_003, on_progress=seen.append)
    middle = next(progress for progress in seen if progress.waited >= 50)
    assert middle.rate == pytest.approx(100, rel=0.02)
    assert middle.remaining == pytest.approx(100 - middle.waited, rel=0.05)
    assert str(middle).startswith(
        f"{middle.handled:,} of 10,003 instances ({100 * middle.handled // 10_003} %), 100/s, "
    )
    assert "3 failed, about " in str(middle)


def test_many_operations_of_a_dataset_are_read_by_one_list_per_round(
    service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    names = [service.add(seconds=5 + index / 10) for index in range(1000)]
    seen: list[Outcome] = []
    results = Waiter(connection, clock).wait_all(names, timeout=1000, on_done=seen.append)
    assert {name for name, result in results.items() if isinstance(result, Outcome)} == set(names)
    assert [outcome.operation for outcome in seen] == list(results)
    assert service.count("operations.get") == 0
    rounds = len({time for time, _ in service.requests})
    assert service.count("operations.list") == rounds


def test_a_list_of_many_pages_costs_its_pages_and_no_more(
    service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    service.page_size = 100
    names = [service.add(seconds=5) for _ in range(1000)]
    Waiter(connection, clock).wait_all(names, timeout=1000)
    rounds = len({time for time, _ in service.requests})
    assert len(service.requests) == 10 * rounds


def test_a_caller_who_may_not_list_gets_the_operations_one_by_one(
    service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    names = [service.add(seconds=3) for _ in range(3)]
    service.plan("operations.list", Fault(403, "Permission healthcare.operations.list denied"))
    results = Waiter(connection, clock).wait_all(names, timeout=100)
    assert all(isinstance(result, Outcome) for result in results.values())
    assert service.count("operations.list") == 1


def test_waiting_for_many_tells_apart_those_that_are_gone_late_or_done(
    service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    done, late, gone = service.add(seconds=5), service.add(seconds=1e6), f"{DATASET}/operations/unknown"
    results = Waiter(connection, clock).wait_all([done, late, gone], timeout=60)
    assert isinstance(results[done], Outcome)
    assert isinstance(results[late], WaitTimeoutError)
    assert isinstance(results[gone], OperationGoneError)


def test_the_pause_grows_with_the_time_waited_from_one_to_twenty_seconds() -> None:
    assert [pause_after(waited) for waited in (0, 10, 20, 100, 600, 1e6)] == [1, 1, 1, 5, 20, 20]


@settings(max_examples=40)
@given(length=st.floats(0, 40_000), seed=st.randoms(use_true_random=False))
def test_whatever_the_length_and_the_jitter_the_end_is_noticed_in_time(length: float, seed: Random) -> None:
    time, looks = 0.0, 1
    while time < length:
        time += pause_after(time, seed.random())
        looks += 1
    assert time - length <= max(1.0, min(0.05 * length, 20.0)) + 1e-6
    # 20 looks a second apart, then 5 % (less a tenth for jitter) more each time up to 400 s, then every 18 to 20 s.
    assert looks <= 22 + 80 + max(length - 400, 0) / 18 + 1
