"""How soon the end of an operation is noticed and what that costs, beside gcloud's schedule and a fixed loop.

In simulated time: only when the service is asked matters. gcloud's schedule is that of google-cloud-sdk 578.0.0
(`command_lib/util/apis/yaml_command_translator.py`, `api_lib/util/waiter.py`): 1 s before the first look, then 2 s,
multiplied by 1.4 each time up to 20 s and up to 1 s more, given up after 30 minutes.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable, Iterator
from itertools import pairwise

from benchmarks import Figure
from operations.model.outcome import Outcome
from operations.run.wait import Waiter, pause_after
from tests.unit.operations.service import Service, SimulatedClock

# Length in seconds and the requests that it may cost.
LENGTHS = ((10, 20), (60, 50), (600, 110), (7200, 450))
_GCLOUD_LIMIT = 1800.0
_MANY = 1000


def measure() -> Iterable[Figure]:
    """Measure lateness and requests for four lengths, then requests and memory for 1,000 operations."""
    for length, requests in LENGTHS:
        yield from _one_length(length, requests)
    yield from _many()


def _one_length(length: int, requests: int) -> Iterator[Figure]:
    limit = max(1.0, min(0.05 * length, 20.0))
    late, asked = _worst(_ours, length)
    others = [("gcloud", _gcloud), ("60 s loop", _loop)]
    beside = ", ".join(f"{name} {_late_text(*_worst(schedule, length))}" for name, schedule in others)
    name = f"operation of {length:,} s"
    yield Figure(f"{name}: noticed late by", f"{late:.1f} s", f"{limit:.0f} s; {beside}", late / limit, 1.0)
    asked_by = ", ".join(f"{name} {_worst(schedule, length)[1]}" for name, schedule in others)
    yield Figure(f"{name}: requests", str(asked), f"{requests}; {asked_by}", asked / requests, 1.0)


def _worst(schedule: object, length: int) -> tuple[float, int]:
    """Return the greatest lateness and number of requests over lengths near the given one."""
    lateness, requests = 0.0, 0
    for step in range(101):
        end = length * (1 + (step - 50) / 1000)
        times = []
        for time in schedule():  # type: ignore[operator]
            times.append(time)
            if time >= end:
                break
        lateness = max(lateness, (times[-1] - end) if times[-1] >= end else float("inf"))
        if end <= length:
            requests = max(requests, len(times))
    return lateness, requests


def _late_text(late: float, _requests: int) -> str:
    return "never" if late == float("inf") else f"{late:.1f} s"


def _ours() -> Iterator[float]:
    time = 0.0
    while True:
        yield time
        time += pause_after(time, 0.5)


def _gcloud() -> Iterator[float]:
    time, pause = 1.0, 2.0
    while time <= _GCLOUD_LIMIT:
        yield time
        time += min(pause, 20.0) + 0.5
        pause *= 1.4


def _loop() -> Iterator[float]:
    time = 0.0
    while True:
        yield time
        time += 60.0


def _many() -> Iterator[Figure]:
    clock = SimulatedClock()
    service = Service(clock)
    names = [service.add(seconds=60 + index * 0.6) for index in range(_MANY)]
    sizes: list[int] = []

    def note(_outcome: Outcome) -> None:
        sizes.append(tracemalloc.get_traced_memory()[0])

    waiter = Waiter(service.connection(), clock)
    tracemalloc.start()
    waiter.wait_all(names, timeout=1e6, on_done=note)
    tracemalloc.stop()
    rounds = len({time for time, _ in service.requests})
    per_round = len(service.requests) / rounds
    pages = -(-_MANY // service.page_size)
    yield Figure(
        f"{_MANY:,} operations: requests per round", f"{per_round:.2f}", f"{pages} page", per_round / pages, 1.0
    )
    # The list of requests that the in-memory service keeps is counted too.
    grown = max(later - earlier for earlier, later in pairwise(sizes[:: _MANY // 10])) / 1e6
    yield Figure(
        f"{_MANY:,} operations: memory grown in a tenth of the wait", f"{grown:.1f} MB", "5 MB", grown / 5, 1.0
    )
