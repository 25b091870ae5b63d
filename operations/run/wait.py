"""Waiting for operations: cheap for the service, and the end is noticed soon.

The pause before the next look grows with the time waited: 5 % of it, at least 1 s and at most 20 s (as gcloud), also
after failures, unless the service asks for a longer one. All operations of one dataset that are waited for in this
process are read together by one `operations.list`, whoever's turn it is. What passes by itself (throttling, 5xx, lost
connections) never ends a wait before its deadline.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from operations.google.clock import SYSTEM_CLOCK, Clock
from operations.google.connection import Connection
from operations.google.errors import ApiError, OperationsError, UnreachableError
from operations.google.reading import list_pages, read_operation
from operations.google.retrying import Patience, Pauses, passes
from operations.model.durations import format_duration
from operations.model.outcome import Outcome
from operations.model.resource_names import DatasetName, parse_operation_name

SHORTEST_PAUSE = 1.0
LONGEST_PAUSE = 20.0
PAUSE_PER_SECOND_WAITED = 0.05
_JITTER = 0.1

_ONCE = Patience(0)
# An operation that was started a moment ago may not be readable yet.
_NOT_YET_KNOWN = 10.0
_EXPIRED_TOKENS = 3
# An emulator that was stopped does not come back by itself; the service does.
_EMULATOR_GONE = 30.0
_RATE_WINDOW = 60.0


class WaitTimeoutError(OperationsError):
    """The operation is still running at the deadline. `outcome` is what was last seen of it."""

    def __init__(self, outcome: Outcome | None, operation: str, timeout: float) -> None:
        """Say which operation and how long it was waited for."""
        self.outcome = outcome
        super().__init__(
            f"operation {operation} hasn't finished after {format_duration(timeout)} of waiting; it is still running"
        )


class OperationGoneError(OperationsError):
    """The service no longer knows the operation, and its end was never seen."""

    def __init__(self, operation: str) -> None:
        """Name the operation."""
        super().__init__(
            f"the service doesn't know operation {operation} (records are kept for about 30 days after the end, "
            "and go with their dataset); what it did is unknown"
        )


@dataclass(frozen=True)
class Progress:
    """How far an operation is.

    Attributes:
        outcome: the last reading.
        waited: seconds since the wait began.
        total: instances or files in all, when known.
        rate: instances per second lately, when known.
    """

    outcome: Outcome
    waited: float
    total: int | None = None
    rate: float | None = None

    @property
    def handled(self) -> int:
        """Instances that are through, whether they succeeded or failed."""
        return self.outcome.success + self.outcome.failure

    @property
    def expected(self) -> int | None:
        """Instances in all: what the service says is pending counts first."""
        if self.outcome.pending:
            return self.handled + self.outcome.pending
        return max(self.total, self.handled) if self.total is not None else None

    @property
    def remaining(self) -> float | None:
        """Seconds left at the present rate."""
        if not self.rate or self.expected is None:
            return None
        return max(self.expected - self.handled, 0) / self.rate

    def __str__(self) -> str:
        if self.expected is None and not self.handled:
            return "running, no counts yet"
        parts = [f"{self.handled:,} instances"]
        if self.expected:
            parts = [f"{self.handled:,} of {self.expected:,} instances ({100 * self.handled // self.expected} %)"]
        if self.rate:
            parts.append(f"{self.rate:,.0f}/s" if self.rate >= 10 else f"{self.rate:.1f}/s")
        if self.outcome.failure:
            parts.append(f"{self.outcome.failure:,} failed")
        if self.remaining:
            parts.append(f"about {format_duration(self.remaining)} left")
        return ", ".join(parts)


def pause_after(waited: float, random: float = 1.0) -> float:
    """Return the pause before the next look.

    Args:
        waited: seconds since the wait began.
        random: from 0 to 1; shortens the pause by up to a tenth, so that many waits don't look in one instant.
    """
    share = PAUSE_PER_SECOND_WAITED * (1 - _JITTER * (1 - random))
    return min(max(SHORTEST_PAUSE, share * waited), LONGEST_PAUSE)


@dataclass
class _Board:
    """What is known of the watched operations of one dataset, shared by the threads that wait for them."""

    dataset: DatasetName
    condition: threading.Condition = field(default_factory=threading.Condition)
    watched: Counter[str] = field(default_factory=Counter)
    latest: dict[str, tuple[int, Outcome]] = field(default_factory=dict)
    reading: bool = False
    may_list: bool = True
    pages: int = 1
    version: int = 0


class Waiter:
    """Waits for operations. One instance serves a whole process, from as many threads as there are waits."""

    def __init__(self, connection: Connection, clock: Clock = SYSTEM_CLOCK) -> None:
        """Use these APIs and this clock."""
        self._connection = connection
        self._clock = clock
        self._boards: dict[DatasetName, _Board] = {}
        self._lock = threading.Lock()

    def wait(
        self,
        operation: str,
        *,
        timeout: float,
        total: int | None = None,
        on_progress: Callable[[Progress], None] = lambda _progress: None,
        on_trouble: Callable[[str], None] = lambda _text: None,
    ) -> Outcome:
        """Wait until an operation is done.

        Args:
            operation: its full name.
            timeout: seconds after which to give up; the operation is looked at once in any case.
            total: instances it will go through, for the progress.
            on_progress: told of every look at the running operation. May raise to end the wait.
            on_trouble: told of failures that are waited out.

        Returns:
            The outcome as the service reports it, in whatever way it ended.

        Raises:
            WaitTimeoutError: it is still running.
            OperationGoneError: the service no longer knows it.
            OperationsError: it can't be read, for instance because the caller may not.
        """
        board = self._board(parse_operation_name(operation).parent)
        with board.condition:
            board.watched[operation] += 1
        try:
            return self._wait(board, operation, timeout, _Meter(total, on_progress), on_trouble)
        finally:
            with board.condition:
                board.watched[operation] -= 1
                if not board.watched[operation]:
                    del board.watched[operation]
                    board.latest.pop(operation, None)

    def wait_all(
        self,
        operations: Iterable[str],
        *,
        timeout: float,
        on_done: Callable[[Outcome], None] = lambda _outcome: None,
    ) -> dict[str, Outcome | OperationsError]:
        """Wait for many operations in one thread.

        Args:
            operations: full names.
            timeout: seconds after which to give up on those that still run.
            on_done: told of each as soon as its end is seen.

        Returns:
            For each name its outcome, or the error that ended the wait for it.
        """
        open_names = dict.fromkeys(operations)
        results: dict[str, Outcome | OperationsError] = {}
        begin = self._clock.monotonic()
        pauses = Pauses(self._clock)
        while open_names:
            waited = self._clock.monotonic() - begin
            pause = pause_after(waited, self._clock.random())
            for dataset, names in _by_dataset(open_names).items():
                try:
                    seen = self._look(self._board(dataset), names)
                    pauses = Pauses(self._clock)
                except OperationsError as error:
                    if not passes(error):
                        results |= dict.fromkeys(names, error)
                    else:
                        pause = max(pause, pauses.after(error))
                    continue
                for name, result in seen.items():
                    if isinstance(result, OperationsError) or result.done:
                        results[name] = result
                        if isinstance(result, Outcome):
                            on_done(result)
            for name in results:
                open_names.pop(name, None)
            if open_names and waited >= timeout:
                results |= {name: WaitTimeoutError(None, name, timeout) for name in open_names}
                break
            if open_names:
                self._clock.sleep(min(pause, max(timeout - waited, 0)))
        return results

    def _wait(
        self, board: _Board, operation: str, timeout: float, meter: "_Meter", on_trouble: Callable[[str], None]
    ) -> Outcome:
        begin = due = self._clock.monotonic()
        version = board.version
        last: Outcome | None = None
        troubles = _Troubles(self._clock, self._connection.settings.is_emulator)
        while True:
            try:
                version, last = self._next_reading(board, operation, version, due)
            except OperationsError as error:
                waited = self._clock.monotonic() - begin
                pause = troubles.pause(error, operation, waited, known=last is not None)
                if waited >= timeout:
                    raise WaitTimeoutError(last, operation, timeout) from error
                on_trouble(f"{error}; looking again in {format_duration(pause)}")
            else:
                troubles.over()
                if last.done:
                    return last
                waited = self._clock.monotonic() - begin
                meter.show(last, waited)
                if waited >= timeout:
                    raise WaitTimeoutError(last, operation, timeout)
                pause = pause_after(waited, self._clock.random())
            due = self._clock.monotonic() + min(pause, max(timeout - waited, 0.0))

    def _next_reading(self, board: _Board, operation: str, version: int, due: float) -> tuple[int, Outcome]:
        """Return the next reading: one that another thread made in the meantime, or, when it is due, an own one."""
        while True:
            with board.condition:
                latest = board.latest.get(operation)
                if latest is not None and latest[0] > version:
                    return latest
                left = due - self._clock.monotonic()
                if left > 0 or board.reading:
                    self._clock.wait(board.condition, max(left, SHORTEST_PAUSE / 10))
                    continue
                board.reading = True
                names = list(board.watched)
            try:
                seen = self._look(board, names if len(names) > board.pages and board.may_list else [operation])
            finally:
                with board.condition:
                    board.reading = False
                    board.condition.notify_all()
            with board.condition:
                board.version += 1
                board.latest |= {
                    name: (board.version, result)
                    for name, result in seen.items()
                    if isinstance(result, Outcome) and name in board.watched
                }
                board.condition.notify_all()
            mine = seen.get(operation)
            if isinstance(mine, OperationsError):
                raise mine

    def _look(self, board: _Board, names: list[str]) -> Mapping[str, Outcome | OperationsError]:
        """Read the named operations of one dataset: by a list when there are many, else one by one.

        Raises:
            OperationsError: nothing could be read.
        """
        seen: dict[str, Outcome | OperationsError] = {}
        if len(names) > board.pages and board.may_list:
            wanted = set(names)
            try:
                pages = 0
                for page in list_pages(self._connection, board.dataset, self._clock, _ONCE):
                    pages += 1
                    seen |= {each.operation: each for each in page if each.operation in wanted}
                board.pages = pages
            except ApiError as error:
                if error.status != 403:
                    raise
                board.may_list = False  # roles/healthcare.dicomEditor may get operations but not list them
        for name in names:
            if name not in seen:
                try:
                    seen[name] = read_operation(self._connection, name, self._clock, _ONCE)
                except ApiError as error:
                    if passes(error) or len(names) == 1:
                        raise
                    seen[name] = OperationGoneError(name) if error.status == 404 else error
        return seen

    def _board(self, dataset: DatasetName) -> _Board:
        with self._lock:
            return self._boards.setdefault(dataset, _Board(dataset))


class _Meter:
    """Turns readings into progress, with the rate of the last minute."""

    def __init__(self, total: int | None, on_progress: Callable[[Progress], None]) -> None:
        self._total = total
        self._on_progress = on_progress
        self._points: deque[tuple[float, int]] = deque()

    def show(self, outcome: Outcome, waited: float) -> None:
        handled = outcome.success + outcome.failure
        self._points.append((waited, handled))
        while len(self._points) > 2 and waited - self._points[1][0] >= _RATE_WINDOW:
            self._points.popleft()
        then, handled_then = self._points[0]
        rate = (handled - handled_then) / (waited - then) if waited > then else None
        self._on_progress(Progress(outcome, waited, self._total, rate))


class _Troubles:
    """Decides which failures are waited out, and how long to pause after each."""

    def __init__(self, clock: Clock, is_emulator: bool) -> None:
        self._clock = clock
        self._is_emulator = is_emulator
        self.over()

    def over(self) -> None:
        self._pauses = Pauses(self._clock)
        self._begin: float | None = None
        self._expired_tokens = 0

    def pause(self, error: OperationsError, operation: str, waited: float, *, known: bool) -> float:
        """Return the pause after a failure, or raise when it doesn't pass."""
        now = self._clock.monotonic()
        self._begin = now if self._begin is None else self._begin
        if isinstance(error, OperationGoneError) or (isinstance(error, ApiError) and error.status == 404):
            if known or waited >= _NOT_YET_KNOWN:
                raise OperationGoneError(operation) from error
            return SHORTEST_PAUSE
        if isinstance(error, ApiError) and error.status == 401:
            self._expired_tokens += 1
            if self._expired_tokens > _EXPIRED_TOKENS:
                raise error
        elif not passes(error):
            raise error
        gone = isinstance(error, UnreachableError) and error.refused and self._is_emulator
        if gone and now - self._begin >= _EMULATOR_GONE:
            raise error
        pause = self._pauses.after(error)
        asked = error.retry_after if isinstance(error, ApiError) else None
        return pause if asked is not None else min(pause, LONGEST_PAUSE)


def _by_dataset(names: Iterable[str]) -> dict[DatasetName, list[str]]:
    groups: dict[DatasetName, list[str]] = {}
    for name in names:
        groups.setdefault(parse_operation_name(name).parent, []).append(name)
    return groups
