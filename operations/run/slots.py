"""A free slot for a start: few operations of a dataset run at once, and starts of one program take turns.

Google advises about five imports and exports at once for a project. The operations of the own dataset are looked at
with one list before each start; for whatever runs elsewhere, the service's own limit has to do: it answers 429, which
`operations.run.start` waits out.
"""

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from operations.google.clock import Clock
from operations.google.connection import Connection
from operations.google.errors import ApiError, OperationsError
from operations.google.reading import list_operations
from operations.model.durations import format_duration
from operations.model.outcome import Outcome
from operations.model.resource_names import DatasetName
from operations.run.deadline import Deadline, Say

MAX_RUNNING = 5

_LONGEST_PAUSE = 30.0
_LOOK_AT_QUEUE_EVERY = 1.0

_DICOM_METHODS = ("ImportDicomData", "ExportDicomData")


class NoSlotError(OperationsError):
    """No slot became free in time; nothing was started."""


@contextmanager
def free_slot(
    connection: Connection, dataset: DatasetName, max_running: int, *, deadline: Deadline, say: Say, clock: Clock
) -> Iterator[frozenset[str] | None]:
    """Wait until fewer than `max_running` imports and exports of the dataset run.

    Starts of this program in the same dataset take turns, so that an operation whose start was not answered can be told
    from theirs. Other programs are not held up.

    Args:
        connection: the APIs.
        dataset: the dataset whose operation is to be started.
        max_running: how many may run with it.
        deadline: when to give up.
        say: told of what is waited for.
        clock: real or simulated time.

    Yields:
        The names of the dataset's operations; None when the caller does not have permission to list them
        (roles/healthcare.dicomEditor doesn't include it). Then only the service's own limit counts.

    Raises:
        NoSlotError: the deadline has passed.
        ApiError: the operations can't be listed for another reason than a missing permission.
        UnreachableError: no answer came.
    """
    with _queue(connection, dataset).turn(deadline, clock):
        pause = 1.0
        while True:
            clock.sleep(0.0)  # a program that was interrupted while it queued starts nothing any more
            try:
                operations = list(list_operations(connection, dataset, clock))
            except ApiError as error:
                if error.status in (403, 404):  # a dataset that doesn't exist is for the start itself to find out
                    yield None
                    return
                if error.status != 429:
                    raise
                why = f"the service asks to slow down ({error.message})"
            else:
                running = _running(operations)
                if len(running) < max_running:
                    yield frozenset(each.operation for each in operations)
                    return
                why = f"{_are_running(len(running))} (maximum {max_running})"
            left = deadline.left(clock)
            if left <= 0:
                raise NoSlotError(
                    f"no operation could be started within {format_duration(deadline.seconds)}: {why}; see "
                    f"`python -m operations list {dataset} --running`, cancel what hangs, or allow a longer `timeout`"
                )
            say(f"{why}; waiting for one to end")
            clock.sleep(min(pause, left))
            pause = min(pause * 1.5, _LONGEST_PAUSE)


def _running(operations: Iterable[Outcome]) -> list[Outcome]:
    return [each for each in operations if not each.done and each.api_method.startswith(_DICOM_METHODS)]


def _are_running(count: int) -> str:
    return "1 import or export of the dataset is running" if count == 1 else f"{count} imports and exports are running"


class _Queue:
    """A lock that is given in the order in which it was asked for."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._waiting: deque[object] = deque()

    @contextmanager
    def turn(self, deadline: Deadline, clock: Clock) -> Iterator[None]:
        ticket = object()
        try:
            with self._condition:
                self._waiting.append(ticket)
                while self._waiting[0] is not ticket:
                    left = deadline.left(clock)
                    if left <= 0:
                        raise NoSlotError(
                            f"no operation could be started within {format_duration(deadline.seconds)}: other starts "
                            "of this program in the same dataset were still waiting"
                        )
                    clock.wait(self._condition, min(left, _LOOK_AT_QUEUE_EVERY))
            yield
        finally:
            # Also when the wait was interrupted: a ticket that stays would hold up all later ones.
            with self._condition:
                self._waiting.remove(ticket)
                self._condition.notify_all()


_queues: dict[tuple[str, DatasetName], _Queue] = {}
_queues_lock = threading.Lock()


def _queue(connection: Connection, dataset: DatasetName) -> _Queue:
    with _queues_lock:
        return _queues.setdefault((connection.settings.endpoints.get("healthcare", ""), dataset), _Queue())
