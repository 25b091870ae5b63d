"""Starting an import or export exactly once.

The service gives no way to mark a request, and a POST whose answer is lost may have been accepted. So it is never
sent again blindly: the operations of the dataset are listed before it, and after a lost answer the one that is new is
adopted. Starts of one process for one project take turns, which keeps two of them from claiming the same operation.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, cast

from operations.checks import Facts, check_start
from operations.clock import SYSTEM_CLOCK, Clock, uninterrupted
from operations.connection import Connection
from operations.durations import format_duration
from operations.errors import (
    STACK_WORDS,
    ApiError,
    OperationsError,
    UnreachableError,
    Wording,
    advice,
    passes_with_grants,
)
from operations.outcome import Outcome
from operations.reading import list_datasets, list_operations
from operations.requests import Import, Request
from operations.resource_names import DatasetName
from operations.retrying import Pauses, passes, send

MAX_RUNNING = 5  # Google's advice for one project
# Operations are listed per dataset, at one request each.
_DATASETS_LOOKED_AT = 20
PERMISSION_WAIT = 300.0
THROTTLE_WAIT = 1800.0

_DICOM_METHODS = ("ImportDicomData", "ExportDicomData")
# An accepted operation may take a moment to be listed.
_LOOK_AFTER_LOSS = (0.0, 1.0, 2.0, 4.0, 8.0)
_LOOK_AFTER_5XX = (0.0, 2.0)
_MAX_SENDS = 6
_LONGEST_QUEUE_PAUSE = 30.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Started:
    """An operation that was started.

    Attributes:
        operation: its full name.
        request: what was asked for.
        facts: what was found before the start.
        time: when it was started, RFC 3339, by this machine's clock.
        adopted: whether the answer was lost and the operation found in the list.
    """

    operation: str
    request: Request
    facts: Facts
    time: str
    adopted: bool = False


@dataclass(frozen=True)
class StartLimits:
    """How long a start may wait, in seconds, and how many operations of the project may run beside it."""

    permission_wait: float = PERMISSION_WAIT
    throttle_wait: float = THROTTLE_WAIT
    max_running: int = MAX_RUNNING


LIMITS = StartLimits()


def start(
    connection: Connection,
    request: Request,
    *,
    limits: StartLimits = LIMITS,
    service_agent: str | None = None,
    say: Say = lambda _text: None,
    clock: Clock = SYSTEM_CLOCK,
    facts: Facts | None = None,
    wording: Wording = STACK_WORDS,
) -> Started:
    """Check what can be checked, then start the operation.

    Args:
        connection: the APIs.
        request: what to do.
        limits: how long to wait for grants, quota and other operations.
        service_agent: e-mail of the Healthcare service agent, for messages.
        say: told what is waited for.
        clock: real or simulated time.
        facts: the result of `check_start`, when that was called already.
        wording: for a stack or for the command line.

    Raises:
        CheckError: something is missing or in the way; nothing was started.
        OperationsError: the service refused; nothing was started.
    """
    if facts is None:
        facts = check_start(connection, request, clock, wording=wording)
    begin = clock.monotonic()
    permission_pauses, throttle_pauses = Pauses(clock), Pauses(clock)
    sends = 0
    while True:
        pause = 0.0
        with _turn(request.store.project):
            known = _wait_for_place(connection, request, limits.max_running, say, clock)
            time = datetime.fromtimestamp(clock.now(), UTC).isoformat(timespec="milliseconds")
            try:
                return Started(_post(connection, request, clock), request, facts, time)
            except OperationsError as error:
                sends += 1
                waited = clock.monotonic() - begin
                if _may_be_accepted(error):
                    found = _find_started(connection, request, known, error, uninterrupted(clock))
                    if found is not None:
                        say(f"the answer to the start was lost; adopted {found}")
                        return Started(found, request, facts, time, adopted=True)
                    if sends >= _MAX_SENDS:
                        raise
                    pause = throttle_pauses.after(error)
                elif isinstance(error, ApiError) and error.status == 429:
                    pause = throttle_pauses.after(error)
                    if waited + pause > limits.throttle_wait:
                        raise _refused(error, request, service_agent, wording) from error
                    say(f"the service asks to slow down ({error.message}); trying again in {format_duration(pause)}")
                elif isinstance(error, ApiError) and _passes_with_grants(error):
                    pause = permission_pauses.after(error)
                    if waited + pause > limits.permission_wait:
                        raise _refused(error, request, service_agent, wording) from error
                    say(
                        "waiting for the service agent's permissions to take effect "
                        f"({format_duration(waited)} of at most {format_duration(limits.permission_wait)})"
                    )
                elif isinstance(error, UnreachableError) and sends < _MAX_SENDS and not connection.settings.is_emulator:
                    pause = throttle_pauses.after(error)
                elif isinstance(error, ApiError):
                    raise _refused(error, request, service_agent, wording) from error
                else:
                    raise
        clock.sleep(pause)


def _post(connection: Connection, request: Request, clock: Clock) -> str:
    # A connection that was idle may be dead already, which looks like a lost answer: begin with a new one.
    connection.reset()

    def prepare() -> Any:
        stores = connection.healthcare.projects().locations().datasets().dicomStores()
        arguments: dict[str, Any] = {"name": str(request.store), "body": request.body()}
        # `import` is a keyword in Python, so the client calls that method `import_`.
        return stores.import_(**arguments) if isinstance(request, Import) else stores.export(**arguments)

    answer = cast("Mapping[str, Any]", send(connection, prepare, clock))
    return str(answer["name"])


def _may_be_accepted(error: OperationsError) -> bool:
    if isinstance(error, UnreachableError):
        return not error.refused
    return isinstance(error, ApiError) and passes(error) and error.status != 429


def _passes_with_grants(error: ApiError) -> bool:
    if error.status == 404 and "dataset not initialized" in error.message.lower():
        return True  # the dataset was created a moment ago
    return passes_with_grants(error.code.number, error.message)


def _find_started(
    connection: Connection, request: Request, known: frozenset[str] | None, error: OperationsError, clock: Clock
) -> str | None:
    """Look for the operation that a POST without an answer may have started."""
    if known is None:
        raise OperationsError(
            f"the answer to the start was lost ({error}), and you may not list the dataset's operations to find out "
            "whether it took effect; see in the Google Cloud console, or get roles/healthcare.datasetAdmin"
        )
    for pause in _LOOK_AFTER_LOSS if isinstance(error, UnreachableError) else _LOOK_AFTER_5XX:
        clock.sleep(pause)
        new = [
            outcome.operation
            for outcome in list_operations(connection, request.store.parent, clock)
            if outcome.operation not in known and outcome.api_method in request.api_methods
        ]
        if len(new) == 1:
            return new[0]
        if new:
            raise OperationsError(
                f"the answer to the start was lost ({error}), and {len(new)} operations began at that moment: "
                f"{', '.join(new)}; see what they are with `python -m operations describe` "
                "and cancel what isn't wanted"
            )
    return None


def _wait_for_place(
    connection: Connection, request: Request, max_running: int, say: Say, clock: Clock
) -> frozenset[str] | None:
    """Wait until fewer than `max_running` imports and exports run; return the operations known by then.

    Those of the other datasets of the location count too, as far as the caller may see them.

    Returns:
        The names of the dataset's operations; None when the caller may not list them.
    """
    pause = 1.0
    others = _other_datasets(connection, request.store.parent, clock)
    while True:
        elsewhere = _running_in(connection, others, max_running, clock)
        # The dataset's own come last, so that those known are from the moment before the start.
        try:
            operations = list(list_operations(connection, request.store.parent, clock))
        except ApiError:
            # roles/healthcare.dicomEditor lacks operations.list. Then the service's own limit has to do.
            return None
        running = elsewhere + _running(operations)
        if running < max_running:
            return frozenset(each.operation for each in operations)
        these = "1 operation of the project is" if running == 1 else f"{running} operations of the project are"
        say(f"{these} running, {max_running} at most; waiting for a place")
        clock.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_QUEUE_PAUSE)


def _other_datasets(connection: Connection, own: DatasetName, clock: Clock) -> list[DatasetName]:
    try:
        found = list(islice(list_datasets(connection, own.project, own.location, clock), _DATASETS_LOOKED_AT))
    except ApiError:
        return []  # the caller may not list them
    return [each for each in found if each != own]


def _running_in(connection: Connection, datasets: Iterable[DatasetName], enough: int, clock: Clock) -> int:
    """Count what runs in some datasets; `enough` is where counting may stop."""
    running = 0
    for dataset in datasets:
        if running >= enough:
            break
        with suppress(ApiError):  # the caller may not list them there
            running += _running(list_operations(connection, dataset, clock))
    return running


def _running(operations: Iterable[Outcome]) -> int:
    return sum(not each.done and each.api_method.startswith(_DICOM_METHODS) for each in operations)


def _refused(error: ApiError, request: Request, service_agent: str | None, wording: Wording) -> OperationsError:
    hint = advice(error.code, error.message, request, service_agent, wording)
    return OperationsError(
        f"{request.describe()} was refused\n"
        f"  reason  {error.code.name} ({error.code.number}): {error.message}\n"
        f"  means   {hint.means}\n"
        f"  do      {hint.do}"
    )


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


_QUEUES: dict[str, _Queue] = {}
_QUEUES_LOCK = threading.Lock()


@contextmanager
def _turn(project: str) -> Iterator[None]:
    with _QUEUES_LOCK:
        queue = _QUEUES.setdefault(project, _Queue())
    with queue.turn():
        yield
