"""A place for a start: few operations of a project run at once, and further ones queue in the order in which they came.

Google advises about five for a project. Operations are listed by dataset and datasets by location, so the whole project
is looked through, as far as the caller may see it: the locations and datasets once in ten minutes, the operations of at
most 20 datasets before each start.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain, islice
from weakref import WeakKeyDictionary

from operations.google.clock import Clock
from operations.google.connection import Connection
from operations.google.errors import ApiError
from operations.google.reading import list_datasets, list_locations, list_operations
from operations.google.retrying import Patience
from operations.model.outcome import Outcome
from operations.model.resource_names import DatasetName
from operations.run.journal import Journal

MAX_RUNNING = 5

_DATASETS_LOOKED_AT = 20
_DATASETS_KNOWN_FOR = 600.0
_LONGEST_PAUSE = 30.0
# A location that is out of order must not hold up the start in another one for long.
_PATIENCE = Patience(10)

_DICOM_METHODS = ("ImportDicomData", "ExportDicomData")

Say = Callable[[str], None]


@contextmanager
def place(
    connection: Connection, dataset: DatasetName, max_running: int, *, journal: Journal, say: Say, clock: Clock
) -> Iterator[frozenset[str] | None]:
    """Wait until fewer than `max_running` imports and exports of the project run, and let nothing else start meanwhile.

    Others of this process queue, those of other processes of this user take turns; what somebody else starts can only
    be counted.

    Args:
        connection: the APIs.
        dataset: the dataset whose operation is to be started.
        max_running: how many may run with it.
        journal: through which processes take turns.
        say: told of what is waited for.
        clock: real or simulated time.

    Yields:
        The names of the dataset's operations; None when the caller may not list them. Then the service's own limit has
        to do (roles/healthcare.dicomEditor lacks operations.list).
    """
    with _queue(dataset.project).turn():
        pause = 1.0
        while True:
            clock.sleep(0.0)  # whoever was interrupted while queueing starts nothing any more
            with journal.turn(dataset.project, clock):
                elsewhere = _running_in(connection, _other_datasets(connection, dataset, clock), max_running, clock)
                # The dataset's own come last, so that those known are from the moment before the start.
                try:
                    own = list(list_operations(connection, dataset, clock))
                except ApiError:
                    yield None
                    return
                running = elsewhere + _running(own)
                if running < max_running:
                    yield frozenset(each.operation for each in own)
                    return
            these = "1 operation of the project is" if running == 1 else f"{running} operations of the project are"
            say(f"{these} running, {max_running} at most; waiting for a place")
            clock.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)


_known_datasets: "WeakKeyDictionary[Connection, dict[str, tuple[float, list[DatasetName]]]]" = WeakKeyDictionary()


def _other_datasets(connection: Connection, own: DatasetName, clock: Clock) -> list[DatasetName]:
    """Return the project's other datasets: those of the same location first, and not too many."""
    known = _known_datasets.setdefault(connection, {})
    then, datasets = known.get(own.project, (0.0, None))
    if datasets is None or clock.monotonic() - then > _DATASETS_KNOWN_FOR:
        found = chain.from_iterable(
            _datasets_in(connection, own.project, location, clock) for location in _locations(connection, own, clock)
        )
        # One more, as the own one may be among them.
        datasets = list(islice(found, _DATASETS_LOOKED_AT + 1))
        known[own.project] = clock.monotonic(), datasets
    return [each for each in datasets if each != own][:_DATASETS_LOOKED_AT]


def _locations(connection: Connection, own: DatasetName, clock: Clock) -> Iterator[str]:
    yield own.location
    with suppress(ApiError):  # the caller may not list them
        yield from (each for each in list_locations(connection, own.project, clock, _PATIENCE) if each != own.location)


def _datasets_in(connection: Connection, project: str, location: str, clock: Clock) -> Iterator[DatasetName]:
    with suppress(ApiError):  # the caller may not list them there
        yield from list_datasets(connection, project, location, clock, _PATIENCE)


def _running_in(connection: Connection, datasets: Iterable[DatasetName], enough: int, clock: Clock) -> int:
    """Count what runs in some datasets; `enough` is where counting may stop."""
    running = 0
    for dataset in datasets:
        if running >= enough:
            break
        with suppress(ApiError):  # the caller may not list them there
            running += _running(list_operations(connection, dataset, clock, _PATIENCE))
    return running


def _running(operations: Iterable[Outcome]) -> int:
    return sum(not each.done and each.api_method.startswith(_DICOM_METHODS) for each in operations)


class _Queue:
    """A lock that is given in the order in which it was asked for."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._waiting: deque[object] = deque()

    @contextmanager
    def turn(self) -> Iterator[None]:
        ticket = object()
        with self._condition:
            self._waiting.append(ticket)
            self._condition.wait_for(lambda: self._waiting[0] is ticket)
        try:
            yield
        finally:
            with self._condition:
                self._waiting.popleft()
                self._condition.notify_all()


_queues: dict[str, _Queue] = {}
_queues_lock = threading.Lock()


def _queue(project: str) -> _Queue:
    with _queues_lock:
        return _queues.setdefault(project, _Queue())
