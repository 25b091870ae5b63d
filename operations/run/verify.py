"""Checking that an operation did what it says: rows in the table, objects under the prefix, instances in the store."""

import re

from operations.google import cloud_storage
from operations.google.bigquery_tables import read_table
from operations.google.clock import SYSTEM_CLOCK, Clock
from operations.google.connection import Connection
from operations.google.errors import ApiError, OperationsError
from operations.google.metrics import read_store_metrics
from operations.google.retrying import Patience
from operations.model.outcome import Check, Outcome, seconds_of
from operations.model.requests import ExportToBigQuery, ExportToCloudStorage, Import, Request, WriteDisposition
from operations.run.checks import Facts

# Pages of 1,000 objects that are listed; beyond them the studies are counted and sampled. How many studies a filter
# selects isn't known, so that nothing but the objects themselves can be counted then.
_MAX_PAGES = 20
_MAX_PAGES_OF_FILTERED = 200
_SAMPLE = 10
_PATIENCE = Patience(60)
# Numbers may settle a moment after the operation's end.
_PAUSES = (0.0, 2.0, 5.0)
# Clocks of two services may differ a little.
_CLOCK_TOLERANCE = 60.0
# Without it, objects of an earlier export would count as those of this one.
_NO_START_TIME = "the service doesn't say when the operation started, so older objects can't be told apart"
_INSTANCE = re.compile(r"([0-9.]+)/([0-9.]+)/([0-9.]+?)(?:/[0-9]+)?(?:\.(?:dcm|jpg|png))?")


def verify(
    connection: Connection, request: Request, facts: Facts, outcome: Outcome, clock: Clock = SYSTEM_CLOCK
) -> tuple[Check, ...]:
    """Compare what an operation left behind with its counters.

    What the caller may not read is reported as not checked; it is no failure, because the caller needs no rights on
    the destination.

    Args:
        connection: the APIs.
        request: what was asked for.
        facts: what was found before the start.
        outcome: what the service reports.
        clock: real or simulated time.
    """
    check = _check_rows if isinstance(request, ExportToBigQuery) else _check_objects
    if isinstance(request, Import):
        check = _check_store
    result = None
    for pause in _PAUSES:
        clock.sleep(pause)
        try:
            result = check(connection, request, facts, outcome, clock)
        except OperationsError as error:
            reason = "you may not read it" if isinstance(error, ApiError) and error.status == 403 else str(error)
            return (Check(_WHAT[type(request)], outcome.success, None, passed=True, note=reason),)
        if result.passed:
            break
    return (result,) if result is not None else ()


_WHAT: dict[type, str] = {
    ExportToBigQuery: "rows in the table",
    ExportToCloudStorage: "instances under the prefix",
    Import: "new instances in the store",
}


def _check_rows(connection: Connection, request: Request, facts: Facts, outcome: Outcome, clock: Clock) -> Check:
    assert isinstance(request, ExportToBigQuery)  # noqa: S101 - for the type checker
    what = _WHAT[ExportToBigQuery]
    before = 0
    if request.write_disposition is WriteDisposition.WRITE_APPEND:
        if facts.rows is None:
            return Check(what, outcome.success, None, passed=True, note="how many were there before is unknown")
        before = facts.rows
    try:
        found = read_table(connection, request.table, clock, _PATIENCE).rows
    except ApiError as error:
        # An export of nothing may leave no table behind.
        if error.status != 404 or outcome.success:
            raise
        found = 0
    expected = before + outcome.success
    notes = [f"{before:,} were there before"] if before else []
    appends = request.write_disposition is WriteDisposition.WRITE_APPEND
    if found > expected:
        notes.append(
            f"{found - expected:,} more than this export wrote: others wrote to the table meanwhile"
            if appends
            else "somebody else wrote to the table meanwhile, or instances were written twice"
        )
    # A table that is appended to is often one that others append to as well. Its rows don't become fewer by looking
    # again, so this must not fail the same run at every update.
    passed = found >= expected if appends else found == expected
    return Check(what, expected, found, passed=passed, note="; ".join(notes))


def _check_store(connection: Connection, request: Request, facts: Facts, outcome: Outcome, clock: Clock) -> Check:
    what = _WHAT[Import]
    if facts.metrics is None:
        return Check(what, outcome.success, None, passed=True, note="how many were there before is unknown")
    after = read_store_metrics(connection, request.store, clock, _PATIENCE).instances
    new = after - facts.metrics.instances
    # Instances that were in the store already are left as they are and count as success.
    duplicates = outcome.success - new
    if duplicates >= 0 and new >= 0 and (after or not outcome.success):
        note = f"{duplicates:,} of {outcome.success:,} were there already, or twice in the source" if duplicates else ""
        return Check(what, new, new, passed=True, note=note)
    if new > outcome.success:
        note = f"{new - outcome.success:,} more than this import brought came from elsewhere meanwhile"
        return Check(what, outcome.success, new, passed=True, note=note)
    return Check(what, outcome.success, new, passed=False, note="instances were deleted meanwhile, or weren't stored")


def _check_objects(connection: Connection, request: Request, facts: Facts, outcome: Outcome, clock: Clock) -> Check:
    assert isinstance(request, ExportToCloudStorage)  # noqa: S101 - for the type checker
    what = _WHAT[ExportToCloudStorage]
    if not seconds_of(outcome.start_time):
        return Check(what, outcome.success, None, passed=True, note=_NO_START_TIME)
    prefix = request.prefix
    pages = _MAX_PAGES if request.filter is None else _MAX_PAGES_OF_FILTERED
    objects, complete = cloud_storage.list_objects(
        connection, prefix.bucket, prefix.path, max_pages=pages, clock=clock, patience=_PATIENCE
    )
    since = seconds_of(outcome.start_time) - _CLOCK_TOLERANCE
    instances = {
        match.groups()
        for item in objects
        if (match := _INSTANCE.fullmatch(item.name.removeprefix(prefix.path))) and seconds_of(item.created) >= since
    }
    found = len(instances)
    if complete:
        return Check(what, outcome.success, found, passed=found >= outcome.success)
    return _check_studies(connection, request, facts, outcome, clock)


def _check_studies(
    connection: Connection, request: ExportToCloudStorage, facts: Facts, outcome: Outcome, clock: Clock
) -> Check:
    """Count the studies of a large export, and look into some of them, spread evenly, for objects that it wrote."""
    prefix = request.prefix
    studies = cloud_storage.list_folders(connection, prefix.bucket, prefix.path, clock=clock, patience=_PATIENCE)
    sample = studies[:: -(-len(studies) // _SAMPLE) or 1]
    since = seconds_of(outcome.start_time) - _CLOCK_TOLERANCE
    written = 0
    for study in sample:
        objects, _ = cloud_storage.list_objects(
            connection, prefix.bucket, study, max_pages=1, clock=clock, patience=_PATIENCE
        )
        written += any(seconds_of(item.created) >= since for item in objects)
    what, found = "studies under the prefix", len(studies)
    note = f"of {len(sample)} looked into, {written} have objects of this export"
    if facts.metrics is None or request.filter is not None:
        return Check(what, found, found, passed=written > 0, note=note)
    # A failed instance may have been the only one of its study; what is there beyond the store's studies is older.
    expected = facts.metrics.studies
    others = outcome.failure + max(found - expected, 0)
    passed = found >= expected - outcome.failure and len(sample) - written <= others
    return Check(what, expected, found, passed=passed, note=note)
