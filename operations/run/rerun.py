"""Whether an import or export that has been started before has to run again, and why.

What is known comes from a stack's state: the outputs of its started operation, and `previous`, the record that the
awaited one left at its last success. An operation without such a record is looked at at the service.
"""

from collections.abc import Mapping
from typing import Any

from operations.google.clock import SYSTEM_CLOCK, Clock
from operations.google.connection import Connection
from operations.google.errors import ApiError
from operations.google.metrics import metrics_from_json, read_store_metrics
from operations.google.reading import read_operation
from operations.google.retrying import Patience
from operations.model.outcome import Outcome, State, seconds_of
from operations.model.requests import Rerun, WhenEmpty, request_from_body
from operations.model.resource_names import parse_dicom_store_name
from operations.run.checks import nothing_to_do
from operations.run.filter_objects import file_digest, query_sources
from operations.run.record import recorded
from operations.run.remains import what_is_lost

# Inputs whose change starts a new run, with the words for it. A changed timeout or schedule starts nothing.
RUN_INPUTS: Mapping[str, str] = {
    "store": "the store changed",
    "method": "the kind of operation changed",
    # Without the write disposition: it only says how the next run writes.
    "body": "the request changed",
    "filter": "the filter changed",
    "trigger": "the trigger changed",
}

# A preview asks the service, but not for long.
_PATIENCE = Patience(5)


def changed_inputs(olds: Mapping[str, Any], news: Mapping[str, Any]) -> str | None:
    """Say which change of the inputs needs a new run; None when there is none. Nothing is sent.

    Args:
        olds: outputs of the started operation, as the state has them.
        news: its inputs as they are wanted now.
    """
    if not olds.get("operation"):
        return "it never started"
    for key, words in RUN_INPUTS.items():
        old, new = _wanted(key, olds.get(key)), _wanted(key, news.get(key))
        if old != new:
            # The values of a run with secret settings are shown neither as they are nor as they were.
            return f"{words}{_difference(old, new, values=not _secret(olds, news))}"
    return _store_made_again(olds.get("imports"), news.get("imports")) or _rows_replaced(olds, news)


def _store_made_again(olds: Any, news: Any) -> str | None:
    """Say that the store of an export was made again; an import that was added or removed says nothing about it.

    Args:
        olds: since when each import has filled the store, by its name, at the last start.
        news: the same as it is now; what isn't known yet, in a preview, is no text.
    """
    if isinstance(olds, Mapping) and isinstance(news, Mapping):
        for name in sorted({*olds} & {*news}):
            # An import that was skipped has filled nothing yet.
            if isinstance(news[name], str) and news[name] and olds[name] and news[name] != olds[name]:
                return f"its DICOM store was made again, and filled by import {name}"
    return None


def _rows_replaced(olds: Mapping[str, Any], news: Mapping[str, Any]) -> str | None:
    """Say that an earlier export to the same table has removed the rows of this one.

    Each earlier one is known by when it last replaced the table's rows, which a new name doesn't change. One that
    wasn't there at the last start, by its name, is compared with the time of that start.
    """
    before, now = olds.get("writers"), news.get("writers")
    before = before if isinstance(before, Mapping) else {}
    known, started = {*before.values()}, str(olds.get("startedAt") or "")
    for name, since in sorted(now.items()) if isinstance(now, Mapping) else ():
        if not isinstance(since, str) or not since or since in known:
            continue  # not known in a preview, it never replaced anything, or that was before the last start
        if name in before or (started and seconds_of(since) > seconds_of(started)):
            return replaced_by(name)
    return None


def replaced_by(export: str | None) -> str:
    """Say why an export runs again after an earlier one to its table.

    Args:
        export: the earlier one; None where its name isn't known yet.
    """
    return f"export {export} replaces the table's rows" if export else "an earlier export replaces the table's rows"


def reason_to_run(
    connection: Connection, olds: Mapping[str, Any], news: Mapping[str, Any], clock: Clock = SYSTEM_CLOCK
) -> str | None:
    """Say why a new run is needed; None when the last one holds, or still runs.

    Args:
        connection: the APIs.
        olds: as for `changed_inputs`.
        news: as for `changed_inputs`.
        clock: real or simulated time.

    Raises:
        OperationsError: it can't be seen.
    """
    if olds.get("skipped"):
        return _skipped_before(connection, olds, news, clock)
    reason = changed_inputs(olds, news)
    if reason:
        return reason
    reason, running = _last(connection, olds, news, clock)
    reason = reason or _lost(connection, olds, news, clock) or _filter_changed(connection, olds, news, clock)
    if reason or running:
        # One that still runs is waited for, or an export that takes longer than the pause between two runs of the
        # program would never come to its end.
        return reason
    if news.get("rerun") == Rerun.WHEN_STORE_CHANGES:
        return _store_changed(connection, olds, news, clock)
    if news.get("rerun") == Rerun.ALWAYS:
        _ask(connection, news, clock)
        return "rerun is always"
    return None


def why_not(outcome: Outcome, allowed_failures: int) -> str | None:
    """Say why an operation doesn't hold; None when it succeeded or still runs."""
    if outcome.state is State.FAILED:
        return f"the last operation failed with {outcome.error_name}"
    if outcome.state is State.CANCELLED:
        return "the last operation was cancelled"
    if outcome.done and outcome.failure > allowed_failures:
        return f"{outcome.failure:,} instances failed, {allowed_failures:,} are allowed"
    return None


def _last(
    connection: Connection, olds: Mapping[str, Any], news: Mapping[str, Any], clock: Clock
) -> tuple[str | None, bool]:
    """Say why the last operation doesn't hold, None when it does, and whether it still runs."""
    operation, record, allowed = str(olds["operation"]), recorded(news), int(news["allowedFailures"])
    if record.operation == operation:
        failed = f"{record.failure:,} instances failed, {allowed:,} are allowed"
        return failed if record.failure > allowed else None, False
    try:
        outcome = read_operation(connection, operation, clock, _PATIENCE)
    except ApiError as error:
        if error.status != 404:
            raise
        # Records are kept for about 30 days. Where the state can't be read, an old success is the likelier story.
        gone = "the service no longer knows the last operation, and its end was never seen"
        return gone if record.read else None, False
    return why_not(outcome, allowed), not outcome.done


def _lost(connection: Connection, olds: Mapping[str, Any], news: Mapping[str, Any], clock: Clock) -> str | None:
    """Say what of the last run's result is gone, where its success is on record."""
    record = recorded(news)
    if record.operation != olds["operation"]:
        return None
    lost = record.lost or None
    if not lost and record.success:
        request = request_from_body(str(news["store"]), str(news["method"]), news["body"])
        lost = what_is_lost(connection, request, record, clock)
    return lost


def _skipped_before(
    connection: Connection, olds: Mapping[str, Any], news: Mapping[str, Any], clock: Clock
) -> str | None:
    """Say why a run that had nothing to do is tried now; None while there is still nothing."""
    if news.get("whenEmpty") != WhenEmpty.SKIP:
        return "it was skipped, and whenEmpty is no longer skip"
    request = request_from_body(str(news["store"]), str(news["method"]), news["body"])
    if nothing_to_do(connection, request, clock, _PATIENCE):
        return None
    chosen = news.get("filter")
    if olds.get("filterSources") and isinstance(chosen, Mapping):
        # It was the query that selected nothing.
        return _filter_changed(connection, olds, news, clock)
    what = "import" if news["method"] == "import" else "export"
    return f"it was skipped, and there is something to {what} now"


def _ask(connection: Connection, news: Mapping[str, Any], clock: Clock) -> None:
    """Find out whether the service answers: where it doesn't, a run would only be announced.

    The store is asked for, which is there as long as it takes, and not the last operation, which is forgotten.

    Raises:
        OperationsError: it doesn't.
    """
    try:
        read_store_metrics(connection, parse_dicom_store_name(str(news["store"])), clock, _PATIENCE)
    except ApiError as error:
        if error.status not in (403, 404):
            raise


def _filter_changed(
    connection: Connection, olds: Mapping[str, Any], news: Mapping[str, Any], clock: Clock
) -> str | None:
    chosen = news.get("filter")
    if not isinstance(chosen, Mapping):
        return None
    if chosen.get("query"):
        # A preview must not cost anything: whether the result changed shows when the update runs the query.
        before, now = olds.get("filterSources") or {}, query_sources(connection, chosen, clock, _PATIENCE)
        changed = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
        if not changed:
            return None
        names = "" if _secret(olds, news) else f" ({', '.join(changed)})"
        return f"what the filter query reads changed{names}; it runs if the result did"
    digest_before, digest = olds.get("filterDigest"), file_digest(connection, chosen, clock)
    return "the filter file changed" if digest_before and digest and digest != digest_before else None


def only_the_filter_may_have_changed(
    connection: Connection, olds: Mapping[str, Any], news: Mapping[str, Any], clock: Clock = SYSTEM_CLOCK
) -> bool:
    """Tell whether nothing but the result of a filter query, which isn't known before it runs, can need a new run.

    Args:
        connection: the APIs.
        olds: as for `changed_inputs`.
        news: as for `changed_inputs`.
        clock: real or simulated time.

    Raises:
        OperationsError: it can't be seen.
    """
    chosen = news.get("filter")
    if not isinstance(chosen, Mapping) or not chosen.get("query") or not olds.get("operation"):
        return False
    return reason_to_run(connection, {**olds, "filterSources": query_sources(connection, chosen)}, news, clock) is None


def _store_changed(
    connection: Connection, olds: Mapping[str, Any], news: Mapping[str, Any], clock: Clock
) -> str | None:
    facts, record = olds.get("facts"), recorded(news)
    # An export compares with the store at its start, so that nothing stored since is missed. An import changes the
    # store itself: there the store after it counts.
    before = facts.get("metrics") if isinstance(facts, Mapping) else None
    if news["method"] == "import":
        before = record.metrics if record.operation == olds["operation"] else None
    if not before:
        return None
    store = parse_dicom_store_name(str(news["store"]))
    change = metrics_from_json(before).change_to(read_store_metrics(connection, store, clock, _PATIENCE))
    return f"store changed since the last run: {change}" if change else None


def _difference(old: Any, new: Any, *, values: bool) -> str:
    """Name what differs; with the values, where these are to be shown and short."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            if old.get(key) != new.get(key):
                return _difference(old.get(key), new.get(key), values=values) or f" ({key})"
    if values and isinstance(old, str) and isinstance(new, str) and len(old) + len(new) < 200:
        return f": {old} → {new}"
    return ""


def _secret(olds: Mapping[str, Any], news: Mapping[str, Any]) -> bool:
    """Return whether the run has, or had, settings that must not be shown."""
    return bool(olds.get("secret") or news.get("secret"))


def _wanted(key: str, value: Any) -> Any:
    """Return what an input asks for.

    In which bucket a filter file is made changes nothing about the filter. A write disposition only says how the next
    run writes: appending after replacing would double the rows that are there.
    """
    plain = _plain(value)
    if key == "filter" and plain:
        return _without(plain, "bucket")
    if key == "body" and plain and "bigqueryDestination" in plain:
        return plain | {"bigqueryDestination": _without(plain["bigqueryDestination"], "writeDisposition")}
    return plain


def _without(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key != name}


def _plain(value: Any) -> Any:
    """Make values comparable that have been through an engine: missing and null are the same, mappings are dicts."""
    if isinstance(value, Mapping):
        return {key: plain for key, item in value.items() if (plain := _plain(item)) is not None}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
