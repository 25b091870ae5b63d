"""What the provider of started operations does: decide about a start, start, cancel.

Loaded only by the process of the dynamic provider, with the first resource that needs it.
"""

from collections.abc import Mapping
from typing import Any

import pulumi

from components.provider import engine_log
from components.provider import process as provider_process
from components.provider.inputs import connection_of, journal_of, limits_of, request_of, text_of, title_of
from components.provider.withheld import WITHHELD, is_secret, say_of, text_of_error
from operations.google.clock import InterruptedWaitError
from operations.google.connection import Connection
from operations.google.errors import OperationsError
from operations.google.reading import cancel_running
from operations.google.retrying import Patience
from operations.model.invalid import InputError
from operations.model.requests import (
    SOME_STORE,
    Import,
    Request,
    Rerun,
    WhenEmpty,
    WriteDisposition,
)
from operations.run.ahead import STORE, problems_ahead, rows_appended_to
from operations.run.checks import Facts, NothingToDoError, check_start, nothing_to_do
from operations.run.filter_objects import prepare_filter, query_sources
from operations.run.journal import Journal
from operations.run.record import recorded
from operations.run.remains import what_is_lost
from operations.run.rerun import RUN_INPUTS, only_the_filter_may_have_changed, reason_to_run, replaced_by
from operations.run.start import resume, start

# Who cancels or deletes wants to know soon when it can't be done.
_PATIENCE = Patience(5)
_CANCEL_SECONDS = 60.0
_NOTHING_STARTED = {
    "operation": "",
    "facts": Facts().to_json(),
    "startedAt": "",
    "filterUri": "",
    "filterDigest": "",
    "filterSources": {},
    "storeSince": "",
}


def why_to_start(olds: Mapping[str, Any], news: Mapping[str, Any]) -> str | None:
    """Say why a new operation has to be started; None when the last one holds, or can't be looked at in a preview.

    Args:
        olds: outputs of the started operation, as the state has them.
        news: its inputs as they are wanted now.

    Raises:
        Failure: it can't be seen, and this is no preview.
    """
    if not olds.get("operation") and not olds.get("skipped"):
        return "it never started"
    if pulumi.contains_unknowns({key: news.get(key) for key in RUN_INPUTS}):
        return "its inputs are known only after other resources have changed"
    try:
        return reason_to_run(connection_of(news), olds, news) or _announced_before(olds, news)
    except (OperationsError, InputError) as error:
        unseen = "can't see whether a new run is needed"
        said = text_of_error(error, secret=is_secret(olds, news))
        # In a preview this input isn't known.
        if news.get("inPreview") is False:
            raise engine_log.Failure(f"{title_of(news)}: {unseen}: {said}") from error
        engine_log.warning(text_of(news, "urn") or "", f"{unseen}, so none is planned: {said}")
        return None


def _announced_before(olds: Mapping[str, Any], news: Mapping[str, Any]) -> str | None:
    """In a preview, say which run before an export may make it run; None when none is planned.

    What it looks at, store and table, is still as it was before that run. The update decides when they are as they will
    be: a plan that was saved with an update lets it change nothing, but one without does not let it update.
    """
    writers = news.get("writers")
    if not olds.get("skipped") and pulumi.contains_unknowns(writers):
        each = sorted(writers.items()) if isinstance(writers, Mapping) else []
        return replaced_by(next((name for name, since in each if pulumi.contains_unknowns(since)), None))
    depends_on_store = olds.get("skipped") or news.get("rerun") == Rerun.WHEN_STORE_CHANGES
    if depends_on_store and pulumi.contains_unknowns(news.get("imports")):
        return "an import before it runs"
    return None


def say_what_is_ahead(props: Mapping[str, Any]) -> str:
    """In a preview, say what a new run would meet: how many rows it appends to, and what is in its way.

    Args:
        props: inputs of the started operation; what isn't known yet can't be looked at.

    Returns:
        What is in its way, all of it; empty when there is nothing, and in an update, which finds out by itself.
    """
    if props.get("inPreview", False) is False or pulumi.contains_unknowns(
        {key: props.get(key) for key in ("body", "endpoint", "impersonate")}
    ):
        return ""
    existing = [str(each) for each in props.get("existing") or ()]
    store = props.get("store")
    if pulumi.contains_unknowns(store):
        store, existing = SOME_STORE, [each for each in existing if each != STORE]
    try:
        request = request_of({**props, "store": store}, None)
        connection = connection_of(props)
        problems = problems_ahead(connection, request, existing)
        rows = rows_appended_to(connection, request)
    except (OperationsError, InputError) as error:
        said = text_of_error(error, secret=is_secret(props))
        engine_log.warning(text_of(props, "urn") or "", f"can't see whether the destination is right: {said}")
        return ""
    if rows:
        engine_log.info(text_of(props, "urn") or "", f"appends to a table that has {rows:,} rows")
    if problems and is_secret(props):
        return f"{title_of(props)} can't run as it stands ({len(problems)} problems); {WITHHELD}"
    lines = "".join(f"\n  {problem}" for problem in problems)
    return f"{title_of(props)} can't run as it stands:{lines}" if problems else ""


def keep_if_same_result(props: Mapping[str, Any], olds: Mapping[str, Any]) -> dict[str, Any] | None:
    """Run the filter query where a table that it reads has changed; its result may still be the same.

    Args:
        props: inputs of the started operation.
        olds: its outputs, as the state has them.

    Returns:
        The outputs with the operation there is; None where a new one is needed, or for another reason.

    Raises:
        Failure: it can't be seen.
    """
    connection, clock, chosen = connection_of(props), provider_process.clock, props.get("filter")
    try:
        if not only_the_filter_may_have_changed(connection, olds, props, clock):
            return None
        with engine_log.ProgressLine(str(props["urn"]), "running the filter query"):
            # Before the query, so that what changes meanwhile is seen next time.
            sources = query_sources(connection, chosen or {}, clock)
            prepared = prepare_filter(connection, str(props["label"]), chosen or {}, clock)
    except NothingToDoError:
        return None
    except InterruptedWaitError as error:
        raise engine_log.Failure(f"{title_of(props)}: interrupted before it was started") from error
    except (OperationsError, InputError) as error:
        raise engine_log.Failure(
            f"{title_of(props)}: can't see whether a new run is needed: {text_of_error(error, secret=is_secret(props))}"
        ) from error
    if prepared.digest != olds.get("filterDigest"):
        return None
    engine_log.info(str(props["urn"]), "the filter query still selects the same; nothing is started")
    kept = ("operation", "facts", "startedAt", "filterUri", "filterDigest", "storeSince", "tableSince", "skipped")
    return {**props, **{key: olds.get(key) for key in kept}, "filterSources": sources}


def start_operation(props: Mapping[str, Any], olds: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Start an operation, or find the one that an interrupted start began.

    Args:
        props: inputs of the started operation.
        olds: its outputs, when it was there before.

    Returns:
        Its outputs.

    Raises:
        Failure: nothing was started, or it can't be told.
    """
    connection, clock, journal = connection_of(props), provider_process.clock, journal_of(props)
    urn, chosen, allowed = str(props["urn"]), props.get("filter"), int(props["allowedFailures"])
    secret = is_secret(props)
    skips = props.get("whenEmpty") == WhenEmpty.SKIP
    _tell_journal(journal, olds or {}, props)
    sources: dict[str, str] = {}

    def note(text: str) -> None:
        engine_log.info(urn, text)

    try:
        with engine_log.ProgressLine(urn, "preparing the start") as line:
            show = say_of(line, secret=secret)
            if skips and journal.open_entry is None:
                # Before a filter is made: its query may read a table that an earlier export would have written.
                nothing = nothing_to_do(connection, request_of(props, None), clock)
                if nothing:
                    raise NothingToDoError(nothing)
            sources = query_sources(connection, chosen, clock) if chosen else {}
            prepared = prepare_filter(connection, str(props["label"]), chosen, clock) if chosen else None
            request = request_of(props, prepared.uri if prepared else None)
            since = _store_since(connection, request, olds or {}, props)
            started = resume(connection, request, journal, allowed_failures=allowed, say=show, note=note, clock=clock)
            if started is None:
                summary = prepared.summary if prepared else None
                started = start(
                    connection,
                    request,
                    facts=check_start(connection, request, clock, filter_summary=summary),
                    limits=limits_of(props),
                    service_agent=text_of(props, "serviceAgent"),
                    say=show,
                    clock=clock,
                    journal=journal,
                )
    except NothingToDoError as error:
        if not skips:
            raise engine_log.Failure(
                f"{title_of(props)} could not be started: {text_of_error(error, secret=secret)}; with "
                "`whenEmpty: skip` it is skipped until there is something"
            ) from error
        why = f"there is nothing to do; {WITHHELD}" if secret else str(error)
        note(f"skipped: {why}")
        kept = {"filterSources": sources, "tableSince": table_since(olds or {}, props, None)}
        return {**props, **_NOTHING_STARTED, **kept, "skipped": why}
    except InterruptedWaitError as error:
        raise engine_log.Failure(f"{title_of(props)}: interrupted before it was started") from error
    except (OperationsError, InputError) as error:
        raise engine_log.Failure(
            f"{title_of(props)} could not be started: {text_of_error(error, secret=secret)}"
        ) from error
    return {
        **props,
        "operation": started.operation,
        "facts": started.facts.to_json(),
        "startedAt": started.time,
        "filterUri": prepared.uri if prepared else "",
        "filterDigest": prepared.digest if prepared else "",
        "filterSources": sources,
        "storeSince": since or started.time,
        "tableSince": table_since(olds or {}, props, started.time),
        "skipped": "",
    }


def cancel(props: Mapping[str, Any], *, wait: bool) -> None:
    """Cancel the operation of a started resource if it is still running.

    Raises:
        Failure: it can't be cancelled.
    """
    operation = props.get("operation")
    if operation and recorded(props).operation != operation:  # else its end is on record
        _cancel_operation(props, str(operation), _CANCEL_SECONDS if wait else 0.0)


def forget(props: Mapping[str, Any]) -> None:
    """Settle what the journal has of a deleted resource, unless it is about the replacement.

    Raises:
        Failure: an operation that was started anew in its place can't be cancelled.
    """
    journal, operation = journal_of(props), props.get("operation")
    entry = journal.open_entry
    if entry is None or operation not in (entry.operation, entry.instead_of):
        return
    if entry.operation and entry.operation != operation:
        _cancel_operation(props, entry.operation, 0.0)
    journal.settle()


def _store_since(
    connection: Connection, request: Request, olds: Mapping[str, Any], news: Mapping[str, Any]
) -> str | None:
    """Return since when an import has filled the store; None where it is made again, and is filled from now on.

    An export can't see by itself that its store was made again: by the time it is asked, the import before it has
    filled the new store, which has the very contents of the old one.
    """
    record = recorded(news)
    if isinstance(request, Import) and (record.lost or what_is_lost(connection, request, record)):
        return None
    return text_of(olds, "storeSince")


def table_since(olds: Mapping[str, Any], news: Mapping[str, Any], started: str | None) -> str:
    """Return when an export last left nothing in its table but its own rows; empty when it never did.

    Args:
        olds: outputs of the started operation before.
        news: its inputs.
        started: when it was started now; None when it was skipped.
    """
    # `WRITE_EMPTY` starts from a table without rows.
    adds = _destination(news).get("writeDisposition") == WriteDisposition.WRITE_APPEND
    if started and _destination(news) and not adds:
        return started
    same = _destination(olds).get("tableUri") == _destination(news).get("tableUri")
    return text_of(olds, "tableSince") or "" if same else ""


def _destination(props: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the table of an export and how it is written; empty for other runs."""
    body = props.get("body")
    return (body.get("bigqueryDestination") if isinstance(body, Mapping) else None) or {}


def _tell_journal(journal: Journal, olds: Mapping[str, Any], news: Mapping[str, Any]) -> None:
    """Tell the journal which operations the state has."""
    record = recorded(news)
    known = (olds.get("operation"), record.operation, record.ended)
    journal.seen([str(each) for each in known if each], text_of(olds, "startedAt") or "")


def _cancel_operation(props: Mapping[str, Any], operation: str, wait: float) -> None:
    def say(text: str) -> None:
        engine_log.info(str(props["urn"]), text)

    try:
        cancel_running(connection_of(props), operation, wait=wait, say=say, patience=_PATIENCE)
    except OperationsError as error:
        raise engine_log.Failure(f"operation {operation} could not be cancelled: {error}") from error
