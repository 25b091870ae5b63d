"""What is looked at before an import or export starts, so that what can't work is said at once and by name.

The caller needs no rights on destinations and sources (the Healthcare service agent does the work), so whatever the
caller may not see is skipped: the service will find out.
"""

import difflib
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from operations.google import cloud_storage
from operations.google.bigquery_tables import dataset_exists, read_table
from operations.google.clock import SYSTEM_CLOCK, Clock
from operations.google.connection import Connection
from operations.google.errors import STACK_WORDS, ApiError, OperationsError, Wording
from operations.google.metrics import StoreMetrics, metrics_from_json, read_store_metrics
from operations.google.reading import list_locations
from operations.google.retrying import PATIENCE, Patience
from operations.model.filters import FilterSummary, check_filter
from operations.model.invalid import quoted
from operations.model.requests import ExportToBigQuery, ExportToCloudStorage, Import, Request
from operations.model.resource_names import DicomStoreName
from operations.model.uris import CloudStoragePath, ImportSource
from operations.run.ahead import table_problem

# 20 pages of 1,000 objects: enough to count most imports without holding up the start of the biggest.
_MAX_SOURCE_PAGES = 20


class CheckError(OperationsError):
    """The import or export can't work as it stands."""


class NothingToDoError(CheckError):
    """There is nothing to import or export: the store is empty, no object matches, or the filter selects nothing."""


@dataclass(frozen=True)
class Facts:
    """What was found. None stands for what could not be read, or isn't known.

    Attributes:
        metrics: what the store holds before the start.
        total: instances or files that the operation will go through.
        rows: rows that are in the table before the start.
        filter: the checked filter file.
    """

    metrics: StoreMetrics | None = None
    total: int | None = None
    rows: int | None = None
    filter: FilterSummary | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the facts for a file or a state."""
        return {
            "metrics": self.metrics.to_json() if self.metrics else None,
            "total": self.total,
            "rows": self.rows,
            "filter": {"lines": self.filter.lines, "sha256": self.filter.sha256} if self.filter else None,
        }


def facts_from_json(value: Any) -> Facts:
    """Read what `to_json` wrote, without the filter; numbers may have become floating-point in between."""
    if not isinstance(value, Mapping):
        return Facts()
    total, rows = value.get("total"), value.get("rows")
    return Facts(
        metrics=metrics_from_json(value["metrics"]) if value.get("metrics") else None,
        total=None if total is None else int(total),
        rows=None if rows is None else int(rows),
    )


def check_start(
    connection: Connection,
    request: Request,
    clock: Clock = SYSTEM_CLOCK,
    *,
    filter_summary: FilterSummary | None = None,
    wording: Wording = STACK_WORDS,
) -> Facts:
    """Look at store, destination, source and filter.

    Args:
        connection: the APIs.
        request: what is to be started.
        clock: real or simulated time.
        filter_summary: of a filter file that was checked when it was made; else it is read and checked here.
        wording: for a stack or for the command line.

    Raises:
        CheckError: something is missing or in the way; the text names it and says what to do.
        UnreachableError: the service can't be reached.
    """
    metrics = _read_store(connection, request.store, clock)
    if isinstance(request, Import):
        return Facts(metrics=metrics, total=_count_source(connection, request.source, clock))
    if metrics is not None and metrics.instances == 0:
        raise NothingToDoError(_empty_store(request.store))
    if request.filter is not None and filter_summary is None:
        filter_summary = _check_filter_file(connection, request.filter, clock)
    total = metrics.instances if metrics is not None and request.filter is None else None
    if isinstance(request, ExportToCloudStorage):
        _check_bucket(connection, request.prefix.bucket, clock, wording)
        return Facts(metrics=metrics, total=total, filter=filter_summary)
    rows = _check_table(connection, request, clock, wording)
    return Facts(metrics=metrics, total=total, rows=rows, filter=filter_summary)


def nothing_to_do(
    connection: Connection, request: Request, clock: Clock = SYSTEM_CLOCK, patience: Patience = PATIENCE
) -> str | None:
    """Say why there is nothing to import or export; None when there is something, or the caller can't see it.

    Args:
        connection: the APIs.
        request: what would be started; its filter isn't looked at.
        clock: real or simulated time.
        patience: with a service that doesn't answer.

    Raises:
        OperationsError: the service doesn't answer, or the store or the bucket doesn't exist.
    """
    try:
        if not isinstance(request, Import):
            empty = read_store_metrics(connection, request.store, clock, patience).instances == 0
            return _empty_store(request.store) if empty else None
        source = request.source
        objects, complete = cloud_storage.list_objects(
            connection,
            source.bucket,
            source.literal_prefix,
            max_pages=_MAX_SOURCE_PAGES,
            clock=clock,
            patience=patience,
            enough=lambda item: source.matches(item.name),
        )
    except ApiError as error:
        if error.status == 403:
            return None
        raise
    if not complete or any(source.matches(item.name) for item in objects):
        return None
    return f"no object matches {source.uri}"


def _empty_store(store: DicomStoreName) -> str:
    return f"DICOM store {store.store} is empty, so there is nothing to export; import or store instances first"


def count_again(connection: Connection, request: Request, facts: Facts, clock: Clock = SYSTEM_CLOCK) -> Facts:
    """Count again what is in the store and the table, for a start that had to wait.

    Args:
        connection: the APIs.
        request: what is to be started.
        facts: what was found before the wait.
        clock: real or simulated time.

    Raises:
        UnreachableError: the service can't be reached.
    """
    metrics = rows = None
    with suppress(ApiError):  # then it is not known, which is better than an old number
        metrics = read_store_metrics(connection, request.store, clock)
    total = facts.total
    if total is not None and not isinstance(request, Import):
        total = metrics.instances if metrics else None
    if isinstance(request, ExportToBigQuery):
        try:
            rows = read_table(connection, request.table, clock).rows
        except ApiError as error:
            rows = 0 if error.status == 404 else None
    return replace(facts, metrics=metrics, total=total, rows=rows)


def location_problem(location: str, known: Collection[str]) -> str | None:
    """Tell what is wrong with a location, if it is none of those that the service named; nothing if it named none."""
    if not known or location in known:
        return None
    nearest = difflib.get_close_matches(location, known, n=1, cutoff=0)[0]
    return f"Cloud Healthcare has no location {quoted(location)}; did you mean {quoted(nearest)}?"


def _read_store(connection: Connection, store: DicomStoreName, clock: Clock) -> StoreMetrics | None:
    try:
        return read_store_metrics(connection, store, clock)
    except ApiError as error:
        _check_location(connection, store, clock)
        if error.status == 404:
            raise CheckError(f"DICOM store {store} doesn't exist; correct its name or create it") from error
        return None  # the caller may export without being allowed to read the metrics


def _check_location(connection: Connection, store: DicomStoreName, clock: Clock) -> None:
    """Name a location that doesn't exist: the service answers for it as for a dataset that doesn't."""
    try:
        known = list(list_locations(connection, store.project, clock))
    except ApiError:
        return  # the caller may not list them
    problem = location_problem(store.location, known)
    if problem is not None:
        raise CheckError(problem)


def _check_table(connection: Connection, request: ExportToBigQuery, clock: Clock, wording: Wording) -> int | None:
    table = request.table
    try:
        found = read_table(connection, table, clock)
    except ApiError as error:
        if error.status != 404:
            return None
        # Table and dataset are both 404 here, and any word of the text may be part of a name: ask for the dataset.
        if dataset_exists(connection, table.project, table.dataset, clock) is False:
            raise CheckError(
                f"BigQuery dataset {table.project}.{table.dataset} doesn't exist; create it"
                f"{wording.creates.format(setting='imaging:bigquery')} or correct the destination"
            ) from error
        return 0
    problem = table_problem(request, found)
    if problem:
        raise CheckError(problem)
    return found.rows


def _check_bucket(connection: Connection, bucket: str, clock: Clock, wording: Wording) -> None:
    try:
        cloud_storage.read_bucket(connection, bucket, clock)
    except ApiError as error:
        if error.status == 404:
            raise CheckError(
                f"bucket {bucket} doesn't exist; create it{wording.creates.format(setting='imaging:buckets')}"
            ) from error


def _count_source(connection: Connection, source: ImportSource, clock: Clock) -> int | None:
    try:
        objects, complete = cloud_storage.list_objects(
            connection, source.bucket, source.literal_prefix, max_pages=_MAX_SOURCE_PAGES, clock=clock
        )
    except ApiError as error:
        if error.status == 404:
            raise CheckError(f"bucket {source.bucket} doesn't exist; correct {source.uri}") from error
        return None
    count = sum(source.matches(item.name) for item in objects)
    if complete and count == 0:
        raise NothingToDoError(f"no object matches {source.uri}; correct the URI, or upload the files first")
    return count if complete else None


def _check_filter_file(connection: Connection, path: CloudStoragePath, clock: Clock) -> FilterSummary | None:
    try:
        return check_filter(cloud_storage.read_object(connection, path, clock), path.uri)
    except ApiError as error:
        if error.status == 404:
            raise CheckError(f"filter file {path.uri} doesn't exist; correct its name or write it first") from error
        return None
