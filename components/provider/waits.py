"""What the provider of awaited operations does: wait for the end, verify, judge, and keep the outcome.

Loaded only by the process of the dynamic provider, with the first resource that needs it.
"""

from collections.abc import Mapping
from typing import Any

from components.provider import engine_log
from components.provider import process as provider_process
from components.provider.inputs import (
    connection_of,
    journal_of,
    limits_of,
    request_of,
    started_urn,
    text_of,
    title_of,
    waiter_of,
)
from components.provider.withheld import WITHHELD, is_secret, say_of, text_of_error
from operations.google.bigquery_tables import read_table
from operations.google.clock import InterruptedWaitError
from operations.google.connection import Connection
from operations.google.errors import OperationsError
from operations.google.metrics import read_store_metrics
from operations.model.invalid import InputError
from operations.model.outcome import Outcome, State
from operations.model.requests import ExportToBigQuery, Import, Request
from operations.run.checks import facts_from_json
from operations.run.follow import follow
from operations.run.record import record_of
from operations.run.remains import is_store_gone, what_is_lost
from operations.run.report import conclude, failure_report, problem_of, result_json, rows_in_table, success_report
from operations.run.wait import OperationGoneError, WaitTimeoutError

# In the state, and so in every output of the stack; `allFailures` shows the rest.
_ERRORS_KEPT = 3
_COUNTS = ("success", "failure", "pending")
_PUT_OUT = ("operation", "state", *_COUNTS, "startTime", "endTime", "destination", "rows", "logsUrl", "errors")


def await_operation(props: Mapping[str, Any]) -> dict[str, Any]:
    """Wait for an operation, and verify what it did.

    Args:
        props: inputs of the awaited operation.

    Returns:
        Its outputs.

    Raises:
        Failure: the operation failed, its result doesn't match, or its end wasn't seen.
    """
    if props.get("skipped"):
        return _skipped(props)
    connection, clock, operation = connection_of(props), provider_process.clock, str(props["operation"])
    urn, title, agent = str(props["urn"]), title_of(props), text_of(props, "serviceAgent")
    facts, allowed = facts_from_json(props["facts"]), int(props["allowedFailures"])
    journal = journal_of(props, instead_of=operation)
    secret = is_secret(props)
    journal.seen([operation])  # the engine saves the start before it asks for the wait

    def restarted(name: str) -> None:
        nonlocal operation
        operation = name
        engine_log.info(urn, f"started anew, as permissions may have taken effect: {name}")

    try:
        request = request_of(props, text_of(props, "filterUri"))
        with engine_log.ProgressLine(urn, "waiting for the operation") as show:
            followed = follow(
                connection,
                request,
                operation,
                waiter=waiter_of(props),
                started_at=str(props["startedAt"]),
                facts=facts,
                limits=limits_of(props),
                service_agent=agent,
                timeout=float(props["timeout"]),
                on_progress=lambda progress: show(str(progress)),
                say=say_of(show, secret=secret),
                on_restart=restarted,
                clock=clock,
                journal=journal,
            )
            show("checking the result")
            outcome = conclude(connection, followed.outcome, request, followed.facts, clock)
    except InterruptedWaitError as error:
        raise engine_log.Failure(
            f"{title}: interrupted; operation {operation} is still running\n  fix     run `pulumi up` to resume waiting"
        ) from error
    except WaitTimeoutError as error:
        raise engine_log.Failure(
            f"{title}: {error}\n  fix     run `pulumi up` to resume waiting for the same operation; "
            "`timeout` bounds the wait of one run"
        ) from error
    except OperationGoneError as error:
        raise engine_log.Failure(f"{title}: {error}\n  fix     run `pulumi up` to start a new one") from error
    except (OperationsError, InputError) as error:
        raise engine_log.Failure(f"{title}: {text_of_error(error, secret=secret)}") from error
    listing = _listing(props, outcome)
    if problem_of(outcome, allowed):
        again = f"`pulumi up --replace '{started_urn(props)}'`"
        label = str(props["label"])
        raise engine_log.Failure(
            failure_report(
                label,
                request,
                outcome,
                allowed_failures=allowed,
                service_agent=agent,
                again=again,
                listing=listing,
                withheld=WITHHELD if secret else "",
            )
        )
    engine_log.info(urn, success_report(None, outcome, listing=listing, counts_only=secret))
    return {
        **props,
        "outcome": _outcome_to_json(request, outcome, listing),
        "left": _left_behind(connection, request, outcome),
    }


def _skipped(props: Mapping[str, Any]) -> dict[str, Any]:
    """Return the outputs of a run that had nothing to do."""
    request = request_of(props, None)
    outcome = _outcome_to_json(request, Outcome("", State.SKIPPED), "")
    return {**props, "outcome": {**outcome, "reason": str(props["skipped"])}, "left": {}}


def look_again(props: dict[str, Any]) -> dict[str, Any]:
    """See whether what a run left behind is still there.

    Args:
        props: outputs of the awaited operation.

    Returns:
        Its outputs; where something is gone the outcome's state is `lost`, and `lost` says what.
    """
    record = record_of(props)
    if not record.operation or record.lost:
        return props
    try:
        connection, request = connection_of(props), request_of(props, text_of(props, "filterUri"))
        lost = is_store_gone(connection, request.store) or what_is_lost(connection, request, record)
    except (OperationsError, InputError) as error:
        said = text_of_error(error, secret=is_secret(props))
        engine_log.warning(str(props["urn"]), f"can't see whether the result is still there: {said}")
        return props
    if lost is None:
        return props
    engine_log.info(str(props["urn"]), f"the next `pulumi up` runs it again: {lost}")
    outcome = {**props["outcome"], "state": State.LOST.value, "lost": lost}
    if "rows" in outcome:
        outcome["rows"] = 0
    return {**props, "outcome": outcome}


def _listing(props: Mapping[str, Any], outcome: Outcome) -> str:
    """Return the command that lists all failures of an operation; empty if there are none."""
    if not outcome.failure and not outcome.item_errors:
        return ""
    endpoint, account = text_of(props, "endpoint"), text_of(props, "impersonate")
    words = ["python -m operations failures", outcome.operation, *(["--endpoint", endpoint] if endpoint else [])]
    if account and not is_secret(props):
        words += ["--impersonate-service-account", account]
    return " ".join(words)


def _outcome_to_json(request: Request, outcome: Outcome, listing: str) -> dict[str, Any]:
    """Return what the stack puts out of an outcome."""
    result = {key: value for key, value in result_json(request, outcome).items() if key in _PUT_OUT}
    more = {"allFailures": listing} if listing else {}
    return {**result, "errors": result["errors"][:_ERRORS_KEPT], **more}


def _left_behind(connection: Connection, request: Request, outcome: Outcome) -> dict[str, Any]:
    """Return what the next run is compared with; nothing where the caller can't see it."""
    try:
        if isinstance(request, Import):
            return {"metrics": read_store_metrics(connection, request.store).to_json()}
        if isinstance(request, ExportToBigQuery):
            return {"created": read_table(connection, request.table).created, "rows": rows_in_table(request, outcome)}
    except OperationsError:
        return {}
    return {}
