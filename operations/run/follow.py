"""Following a started operation to its end, through the time that fresh grants need to take effect."""

from collections.abc import Callable
from dataclasses import dataclass

from operations.google.clock import SYSTEM_CLOCK, Clock
from operations.google.connection import Connection
from operations.google.errors import passes_with_grants
from operations.google.retrying import Pauses
from operations.model.durations import format_duration
from operations.model.outcome import Outcome, seconds_of
from operations.model.requests import Request
from operations.run.checks import Facts, count_again
from operations.run.deadline import Say
from operations.run.journal import NO_JOURNAL, Journal
from operations.run.start import StartLimits, start
from operations.run.wait import Progress, Waiter


@dataclass(frozen=True)
class Followed:
    """The end of a run: the outcome of its last operation, and what was found before that one was started."""

    outcome: Outcome
    facts: Facts


def follow(
    connection: Connection,
    request: Request,
    operation: str,
    *,
    waiter: Waiter,
    started_at: str,
    facts: Facts,
    limits: StartLimits,
    timeout: float,
    service_agent: str | None = None,
    on_progress: Callable[[Progress], None] = lambda _progress: None,
    say: Say = lambda _text: None,
    on_restart: Say = lambda _operation: None,
    clock: Clock = SYSTEM_CLOCK,
    journal: Journal = NO_JOURNAL,
) -> Followed:
    """Wait for an operation. One that fails because grants have no effect yet is started anew, for a bounded time.

    Args:
        connection: the APIs.
        request: what was asked for.
        operation: full name of the operation.
        waiter: the one of this process.
        started_at: when it was started first, RFC 3339; the time for grants counts from there.
        facts: what was found before the start.
        limits: how long to wait for grants.
        timeout: seconds to wait for the end of one operation.
        service_agent: e-mail of the Healthcare service agent, for messages.
        on_progress: told of every look at the running operation.
        say: told of what is waited out.
        on_restart: told the name of each new operation.
        clock: real or simulated time.
        journal: keeps what is started anew in mind.

    Returns:
        The outcome of the last operation, and what to compare it with.

    Raises:
        OperationsError: as `Waiter.wait` and `start`.
    """
    pauses = Pauses(clock)
    # How long ago it was started only the wall clock can tell; from here on that may be set anew.
    left_at_begin = limits.permission_wait - max(clock.now() - seconds_of(started_at), 0.0)
    begin = clock.monotonic()
    while True:
        outcome = waiter.wait(operation, timeout=timeout, total=facts.total, on_progress=on_progress, on_trouble=say)
        pause = pauses.next()
        left = left_at_begin - (clock.monotonic() - begin)
        if not passes_with_grants(outcome.error_code, outcome.error_message) or pause > left:
            return Followed(outcome, facts)
        say(
            "waiting for the service agent's permissions to take effect, "
            f"{format_duration(left)} at most: {outcome.error_message}"
        )
        clock.sleep(pause)
        started = start(
            connection,
            request,
            limits=limits,
            service_agent=service_agent,
            say=say,
            clock=clock,
            facts=count_again(connection, request, facts, clock),
            journal=journal,
        )
        operation, facts = started.operation, started.facts
        on_restart(operation)
