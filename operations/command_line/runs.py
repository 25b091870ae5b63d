"""One import or export from its start to its verified end."""

from dataclasses import dataclass
from typing import Any

from operations.command_line.session import Session
from operations.command_line.watching import Watch
from operations.google.errors import COMMAND_WORDS
from operations.model.filters import FilterSummary
from operations.model.outcome import Outcome
from operations.model.requests import Request
from operations.run.checks import check_start
from operations.run.follow import follow
from operations.run.report import conclude
from operations.run.start import Started, StartLimits, start
from operations.run.wait import Waiter


@dataclass(frozen=True)
class RunLimits:
    """How long to wait, in seconds, and what counts as a success.

    Attributes:
        timeout: for a free slot, and then for the end of the operation.
        permission_wait: for fresh grants of the service agent.
        allowed_failures: instances that may fail.
        max_running: imports and exports of the dataset at once; further ones queue.
    """

    timeout: float
    permission_wait: float
    allowed_failures: int
    max_running: int

    @property
    def start(self) -> StartLimits:
        """The part that concerns the start."""
        return StartLimits(self.permission_wait, self.timeout, self.max_running)


def start_run(
    session: Session, request: Request, limits: RunLimits, shown: Watch, filter_summary: FilterSummary | None = None
) -> Started:
    """Start an operation, waiting for a place, for quota and for grants.

    Raises:
        OperationsError: nothing was started.
    """
    facts = check_start(
        session.connection, request, session.clock, filter_summary=filter_summary, wording=COMMAND_WORDS
    )
    with session.being_started():
        started = start(
            session.connection,
            request,
            limits=limits.start,
            say=shown.say,
            clock=session.clock,
            facts=facts,
            wording=COMMAND_WORDS,
        )
        session.operation = started.operation
    shown.note(f"started {started.operation}")
    return started


def finish_run(session: Session, started: Started, limits: RunLimits, shown: Watch) -> Outcome:
    """Wait for a started operation and verify what it did.

    Raises:
        WaitTimeoutError: it is still running.
        OperationsError: its end could not be seen.
    """

    def restarted(operation: str) -> None:
        session.operation = operation
        shown.note(f"started anew, now that permissions may have taken effect: {operation}")

    followed = follow(
        session.connection,
        started.request,
        started.operation,
        waiter=_NotingWaiter(session),
        started_at=started.time,
        facts=started.facts,
        limits=limits.start,
        timeout=limits.timeout,
        on_progress=shown.progress,
        say=shown.say,
        on_restart=restarted,
        clock=session.clock,
    )
    outcome = followed.outcome
    session.starting, session.ended = False, outcome.operation
    if session.stopped_by is not None:
        raise session.stopped_by
    shown.say("checking the result")
    return conclude(session.connection, outcome, started.request, followed.facts, session.clock)


class _NotingWaiter(Waiter):
    """Notes in the session which operation is under way, for messages when the command is interrupted."""

    def __init__(self, session: Session) -> None:
        super().__init__(session.connection, session.clock)
        self._session = session

    def wait(self, operation: str, **options: Any) -> Outcome:
        self._session.operation, self._session.starting = operation, False
        outcome = super().wait(operation, **options)
        # What fails for want of grants is started anew.
        self._session.operation, self._session.starting = None, True
        return outcome
