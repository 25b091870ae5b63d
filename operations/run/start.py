"""Starting an import or export exactly once.

The service gives no way to mark a request, and a POST whose answer is lost may have been accepted. So it is never
sent again blindly: the operations of the dataset are listed before it, and after a lost answer the one that is new is
adopted. The same is done for a start in whose middle the program was killed, if a journal of starts is kept.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from operations.google.clock import SYSTEM_CLOCK, Clock, uninterrupted
from operations.google.connection import Connection
from operations.google.errors import (
    STACK_WORDS,
    ApiError,
    OperationsError,
    UnreachableError,
    Wording,
    advice,
    passes_with_grants,
)
from operations.google.reading import cancel_running, read_operation
from operations.google.retrying import Pauses, passes, send
from operations.model.durations import format_duration
from operations.model.requests import Import, Request
from operations.run.checks import Facts, check_start, count_again, facts_from_json
from operations.run.deadline import Deadline, Say, deadline_in
from operations.run.journal import NO_JOURNAL, Journal
from operations.run.rerun import why_not
from operations.run.resume import find_interrupted, find_started
from operations.run.slots import MAX_RUNNING, free_slot

PERMISSION_WAIT = 600.0
TIMEOUT = 6 * 3600.0

_MAX_SENDS = 6
_CANCEL_SECONDS = 60.0
# Rows and instances that were counted longer ago than this are counted again before the request is sent.
_COUNTS_STAY_FRESH = 5.0
# Seen since 2018, with and without the dataset's name after it.
_NOT_INITIALIZED = re.compile(r"dataset not initialized\b", re.IGNORECASE)


@dataclass(frozen=True)
class Started:
    """An operation that was started.

    Attributes:
        operation: its full name.
        request: what was asked for.
        facts: what was found before the start.
        time: when it was started, RFC 3339, by this machine's clock.
        adopted: whether its answer was lost, and it was found again.
    """

    operation: str
    request: Request
    facts: Facts
    time: str
    adopted: bool = False


@dataclass(frozen=True)
class StartLimits:
    """How long a start may wait, in seconds, and how many operations of the dataset may run beside it.

    Attributes:
        permission_wait: for fresh grants, from the first refusal on.
        timeout: for a free slot, and for a service that asks to slow down.
        max_running: imports and exports of the dataset that run at once.
    """

    permission_wait: float = PERMISSION_WAIT
    timeout: float = TIMEOUT
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
    journal: Journal = NO_JOURNAL,
) -> Started:
    """Check what can be checked, then start the operation.

    Args:
        connection: the APIs.
        request: what to do.
        limits: how long to wait for grants, quota and other operations.
        service_agent: e-mail of the Healthcare service agent, for messages.
        say: told what is waited for.
        clock: real or simulated time.
        facts: the result of `check_start`, when that was called a moment ago. What was counted is counted again when
            the start has to wait, so that the result is compared with what was there right before it.
        wording: for a stack or for the command line.
        journal: keeps the start in mind until the stack knows the operation. Call `resume` first.

    Raises:
        CheckError: something is missing or in the way; nothing was started.
        OperationsError: the service refused; nothing was started.
    """
    if facts is None:
        facts = check_start(connection, request, clock, wording=wording)
    counted = clock.monotonic()
    deadline = deadline_in(limits.timeout, clock)
    granted: Deadline | None = None
    permission_pauses, throttle_pauses = Pauses(clock), Pauses(clock)
    sends = 0
    while True:
        pause = 0.0
        slot = free_slot(connection, request.store.parent, limits.max_running, deadline=deadline, say=say, clock=clock)
        with slot as known:
            if clock.monotonic() - counted > _COUNTS_STAY_FRESH:
                facts, counted = count_again(connection, request, facts, clock), clock.monotonic()
            time = datetime.fromtimestamp(clock.now(), UTC).isoformat(timespec="milliseconds")
            try:
                journal.begin(request, time, known, facts.to_json())
            except OSError as error:
                say(f"the start can't be written into the journal ({error}); a kill right now could double it")
            try:
                operation = _post(connection, request)
                journal.began(operation)
                return Started(operation, request, facts, time)
            except OperationsError as error:
                if not _may_be_accepted(error):
                    journal.settle()
                sends += 1
                if _may_be_accepted(error):
                    found = find_started(connection, request, known, error, journal, uninterrupted(clock))
                    if found is not None:
                        journal.began(found)
                        say(f"the answer to the start was lost; found its operation {found}")
                        return Started(found, request, facts, time, adopted=True)
                    if sends >= _MAX_SENDS:
                        raise
                    pause = throttle_pauses.after(error)
                elif isinstance(error, ApiError) and error.status == 429:
                    pause = throttle_pauses.after(error)
                    if pause > deadline.left(clock):
                        raise _refused(error, request, service_agent, wording) from error
                    say(f"the service asks to slow down ({error.message}); trying again in {format_duration(pause)}")
                elif isinstance(error, ApiError) and _passes_with_grants(error):
                    pause = permission_pauses.after(error)
                    granted = granted or deadline_in(limits.permission_wait, clock)
                    if pause > granted.left(clock):
                        raise _refused(error, request, service_agent, wording) from error
                    say(
                        "waiting for the service agent's permissions to take effect "
                        f"({format_duration(granted.seconds - granted.left(clock))} of at most "
                        f"{format_duration(granted.seconds)})"
                    )
                elif isinstance(error, UnreachableError) and sends < _MAX_SENDS and not connection.settings.is_emulator:
                    pause = throttle_pauses.after(error)
                elif isinstance(error, ApiError):
                    raise _refused(error, request, service_agent, wording) from error
                else:
                    raise
        clock.sleep(pause)


def resume(
    connection: Connection,
    request: Request,
    journal: Journal,
    *,
    allowed_failures: int = 0,
    say: Say = lambda _text: None,
    note: Say = lambda _text: None,
    clock: Clock = SYSTEM_CLOCK,
) -> Started | None:
    """Go on with a start in whose middle an earlier run was killed.

    To be called before anything is checked: the operation may have written to the destination already.

    Args:
        connection: the APIs.
        request: what is to be started now.
        journal: of the resource.
        allowed_failures: with how many failures an operation still counts as a success.
        say: told of what is done.
        note: told what the person should know afterwards.
        clock: real or simulated time.

    Returns:
        The operation that the earlier start began, unless it failed; None where a new start is needed.

    Raises:
        OperationsError: it can't be told whether an operation began, or which one.
    """
    entry = journal.open_entry
    if entry is None:
        return None
    say("an earlier start was interrupted; looking for its operation")
    operation = entry.operation or find_interrupted(connection, request, journal, entry, note, clock)
    if operation and not journal.is_same(entry, request):
        # Something else is wanted by now, and two must not write at once.
        cancel_running(connection, operation, wait=_CANCEL_SECONDS, say=note, clock=clock)
    elif operation:
        problem = _problem(connection, operation, allowed_failures, clock)
        if problem is None:
            journal.began(operation)
            note(f"resumes the operation of an earlier start that was interrupted: {operation}")
            return Started(operation, request, facts_from_json(entry.facts), entry.time, adopted=True)
        note(f"{problem}, which an earlier start that was interrupted began: {operation}")
    journal.settle()
    return None


def _problem(connection: Connection, operation: str, allowed_failures: int, clock: Clock) -> str | None:
    try:
        return why_not(read_operation(connection, operation, clock), allowed_failures)
    except ApiError as error:
        if error.status != 404:
            raise
        return "the service no longer knows the operation"


def _post(connection: Connection, request: Request) -> str:
    # A connection that was idle may be dead already, which looks like a lost answer: begin with a new one.
    connection.reset()

    def prepare() -> Any:
        stores = connection.healthcare.projects().locations().datasets().dicomStores()
        arguments: dict[str, Any] = {"name": str(request.store), "body": request.body()}
        # `import` is a keyword in Python, so the client calls that method `import_`.
        return stores.import_(**arguments) if isinstance(request, Import) else stores.export(**arguments)

    answer = cast("Mapping[str, Any]", send(connection, prepare))
    return str(answer["name"])


def _may_be_accepted(error: OperationsError) -> bool:
    if isinstance(error, UnreachableError):
        return not error.refused
    return isinstance(error, ApiError) and passes(error) and error.status != 429


def _passes_with_grants(error: ApiError) -> bool:
    if error.status == 404 and _NOT_INITIALIZED.match(error.message):
        return True  # the dataset was created a moment ago
    return passes_with_grants(error.code.number, error.message)


def _refused(error: ApiError, request: Request, service_agent: str | None, wording: Wording) -> OperationsError:
    hint = advice(error.code, error.message, request, service_agent, wording)
    return OperationsError(
        f"{request.describe()} was refused\n"
        f"  reason  {error.code.name} ({error.code.number}): {error.message}\n"
        f"  cause   {hint.cause}\n"
        f"  fix     {hint.fix}"
    )
