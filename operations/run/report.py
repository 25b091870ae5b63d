"""Putting a result together and saying it to a person: what came of a run, why it failed, what to do."""

from typing import Any

from operations.google.clock import SYSTEM_CLOCK, Clock
from operations.google.connection import Connection
from operations.google.errors import STACK_WORDS, Wording, advice
from operations.google.logs import LogEntries, try_log_entries
from operations.model.codes import code_of
from operations.model.durations import format_duration
from operations.model.outcome import Check, Outcome, State
from operations.model.requests import ExportToBigQuery, Import, Request
from operations.run.checks import Facts
from operations.run.verify import verify

_ITEMS_SHOWN = 10


def conclude(
    connection: Connection,
    outcome: Outcome,
    request: Request | None = None,
    facts: Facts | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Outcome:
    """Add to a finished operation what Cloud Logging and the destination tell.

    Args:
        connection: the APIs.
        outcome: of an operation that is done.
        request: what was asked for; without it nothing can be verified.
        facts: what was found before the start.
        clock: real or simulated time.

    Returns:
        The outcome with log entries when something failed, and with checks when something succeeded.
    """
    entries = LogEntries()
    if outcome.failure or outcome.state is State.FAILED:
        entries = try_log_entries(
            connection,
            outcome,
            request.store if request is not None else None,
            expected=bool(outcome.failure) and not outcome.errors,
            clock=clock,
        )
    notes = (entries.note,) if entries.note else ()
    checks: tuple[Check, ...] = ()
    if request is not None and outcome.state in (State.SUCCEEDED, State.SUCCEEDED_WITH_FAILURES):
        checks = verify(connection, request, facts or Facts(), outcome, clock)
    return outcome.with_(log_entries=entries.items, checks=checks, notes=notes)


def problem_of(outcome: Outcome, allowed_failures: int = 0) -> str | None:
    """Say in a few words why a finished operation doesn't count as a success; None when it does."""
    if outcome.state is State.FAILED:
        return "failed"
    if outcome.state is State.CANCELLED:
        return "was cancelled"
    if outcome.state is State.EXPIRED:
        return "is no longer known to the service"
    if outcome.failure > allowed_failures:
        return f"left out {outcome.failure:,} of {outcome.success + outcome.failure:,} instances"
    if any(not check.passed for check in outcome.checks):
        return "reported success, but its result doesn't match"
    return None


def failure_report(
    name: str,
    request: Request,
    outcome: Outcome,
    *,
    allowed_failures: int = 0,
    service_agent: str | None = None,
    again: str = "",
    wording: Wording = STACK_WORDS,
    listing: str = "",
    withheld: str = "",
) -> str:
    """Say what failed, why, what it means and what to do, in the words of the person who asked for it.

    Args:
        name: what the run is called in the settings.
        request: what was asked for.
        outcome: what came of it.
        allowed_failures: how many instances may fail.
        service_agent: e-mail of the Healthcare service agent, when it is known.
        again: how to run it again after a result that doesn't match.
        wording: for a stack or for the command line.
        listing: the command that shows everything that failed.
        withheld: why texts of the service and of the settings are left out; empty if they are not.
    """
    after = f" after {format_duration(outcome.seconds)}" if outcome.seconds else ""
    problem = problem_of(outcome, allowed_failures) or "succeeded"
    kind = "import" if isinstance(request, Import) else "export"
    rows = [("", f'{kind} "{name}": {request.describe()} {problem}{after}')]
    if withheld:
        reason = f"{outcome.error_name} ({outcome.error_code})" if outcome.error_code else problem
        rows = [("", f'{kind} "{name}" {problem}{after}'), ("reason", f"{reason}; {withheld}")]
        rows.append(("fix", f"see `python -m operations describe {outcome.operation}`"))
    elif outcome.error_code and outcome.state is not State.SUCCEEDED_WITH_FAILURES:
        code = code_of(outcome.error_code)
        hint = advice(code, outcome.error_message, request, service_agent, wording)
        rows += [
            ("reason", f"{code.name} ({outcome.error_code}): {outcome.error_message}"),
            ("cause", hint.cause),
            ("fix", hint.fix),
        ]
    elif outcome.failure > allowed_failures:
        rows.append(
            ("reason", f"{outcome.failure:,} instances failed, {allowed_failures:,} are allowed ({wording.allow})")
        )
        if outcome.error_message:
            rows.append(("", f"{'':10}the service says: {outcome.error_message}"))
        rows.append(
            (
                "fix",
                f"correct or remove what failed and {wording.again}; or allow as many ({wording.allow})",
            )
        )
    elif not all(check.passed for check in outcome.checks):
        rows += [("reason", str(check)) for check in outcome.checks if not check.passed]
        rows.append(
            (
                "fix",
                "find out who else changed the destination" + (f"; then run it again with {again}" if again else ""),
            )
        )
    if not withheld:
        rows += [("log" if number == 0 else " ", line) for number, line in enumerate(_item_lines(outcome))]
        rows += [("note", note) for note in outcome.notes]
    if listing:
        rows.append(("all", f"`{listing}`"))
    if outcome.logs_url:
        rows.append(("logs", outcome.logs_url))
    rows.append(("operation", outcome.operation))
    return "\n".join(_row(label, text) for label, text in rows)


def success_report(request: Request | None, outcome: Outcome, *, listing: str = "", counts_only: bool = False) -> str:
    """Say in one or more lines what a run that counts as a success did.

    Args:
        request: what was asked for, if that is to be said.
        outcome: what came of it.
        listing: the command that shows everything that failed.
        counts_only: leave out everything that may repeat what was asked for.
    """
    took = f" in {format_duration(outcome.seconds)}" if outcome.seconds else ""
    rate = f", {outcome.rate:,.0f}/s" if outcome.rate and outcome.rate >= 1 else ""
    what = f"{request.describe()}: " if request is not None else ""
    lines = [f"{what}{outcome.success:,} instances{took}{rate}"]
    if outcome.failure:
        lines[0] += f", {outcome.failure:,} failed"
    if not counts_only:
        lines += [f"  {check}" for check in outcome.checks]
        lines += [f"  {line}" for line in _item_lines(outcome)]
    if listing:
        lines.append(f"  all of them: `{listing}`")
    return "\n".join(lines)


def result_json(request: Request, outcome: Outcome) -> dict[str, Any]:
    """Return what came of a request as JSON values: `Outcome.to_json` with `store`, `destination` and `rows`."""
    value = {**outcome.to_json(), "store": str(request.store), "destination": request.destination}
    rows = rows_in_table(request, outcome)
    return value if rows is None else {**value, "rows": rows}


def rows_in_table(request: Request | None, outcome: Outcome) -> int | None:
    """Return the rows that an export's table has now, when they were read."""
    if not isinstance(request, ExportToBigQuery):
        return None
    return next((check.found for check in outcome.checks), None)


def _item_lines(outcome: Outcome) -> list[str]:
    items = outcome.item_errors
    if not items:
        return []
    of = max(outcome.failure, len(items))
    if len(items) == 1:
        return [f"1 of {of:,} failures: {items[0]}"]
    lines = [f"{len(items):,} of {of:,} failures:"] + [f"  {item}" for item in items[:_ITEMS_SHOWN]]
    if len(items) > _ITEMS_SHOWN:
        lines.append(f"  and {len(items) - _ITEMS_SHOWN:,} more")
    return lines


def _row(label: str, text: str) -> str:
    return f"  {label:<7} {text}" if label else text
