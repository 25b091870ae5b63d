"""What is in the way of a run that a preview plans, so that it is said before anything is created.

Only what exists and may be read is looked at: a destination that the same update creates is not there yet, and the
Healthcare service agent does the work, so the caller needs no permissions there.
"""

from collections.abc import Callable, Collection

from operations.google import cloud_storage
from operations.google.bigquery_tables import TableFacts, dataset_exists, read_table
from operations.google.clock import SYSTEM_CLOCK, Clock
from operations.google.connection import Connection
from operations.google.errors import ApiError, OperationsError
from operations.google.metrics import read_store_metrics
from operations.google.retrying import Patience
from operations.model.requests import ExportToBigQuery, ExportToCloudStorage, Request, WriteDisposition

STORE = "store"
DESTINATION = "destination"

# A preview asks the service, but not for long.
_PATIENCE = Patience(5)


def table_problem(request: ExportToBigQuery, table: TableFacts) -> str | None:
    """Say why an export can't write to a table that exists; None when it can."""
    name = f"{request.table.project}.{request.table.dataset}.{request.table.table}"
    if not table.is_plain:
        article = "an" if table.kind[0] in "aeiou" else "a"
        return f"{name} is {article} {table.kind}, and an export writes to tables only; choose another name"
    if table.rows and request.write_disposition is WriteDisposition.WRITE_EMPTY:
        return (
            f"table {name} has {table.rows:,} rows and the write disposition is WRITE_EMPTY; "
            "choose WRITE_TRUNCATE to replace them, WRITE_APPEND to add to them, or another table"
        )
    return None


def problems_ahead(
    connection: Connection, request: Request, existing: Collection[str] = (), clock: Clock = SYSTEM_CLOCK
) -> list[str]:
    """Name everything that is in the way of a run.

    Args:
        connection: the APIs.
        request: what would be started.
        existing: what isn't created by the same program and has to be there: `STORE`, `DESTINATION` (of an import: the
            bucket that it reads).
        clock: real or simulated time.

    Returns:
        The problems, each with what to do; what can't be looked at is none.
    """
    problems = []
    if STORE in existing and _is_missing(lambda: read_store_metrics(connection, request.store, clock, _PATIENCE)):
        problems.append(f"DICOM store {request.store} doesn't exist; correct its name or create it")
    if isinstance(request, ExportToBigQuery):
        table = _table(connection, request, clock)
        problem = table_problem(request, table) if table else None
        if problem:
            problems.append(problem)
        where = request.table
        if DESTINATION in existing and not table and not _has_dataset(connection, request, clock):
            problems.append(
                f"BigQuery dataset {where.project}.{where.dataset} doesn't exist, and the stack doesn't declare it; "
                "declare it under imaging:bigquery, or correct the destination"
            )
        return problems
    bucket = request.prefix.bucket if isinstance(request, ExportToCloudStorage) else request.source.bucket
    if DESTINATION in existing and _is_missing(lambda: cloud_storage.read_bucket(connection, bucket, clock, _PATIENCE)):
        problems.append(
            f"bucket {bucket} doesn't exist, and the stack doesn't declare it; declare it under imaging:buckets, or "
            "correct the URI"
        )
    return problems


def rows_appended_to(connection: Connection, request: Request, clock: Clock = SYSTEM_CLOCK) -> int:
    """Return how many rows a table has that an export would append to; 0 for other runs, or when it isn't known."""
    if not isinstance(request, ExportToBigQuery) or request.write_disposition is not WriteDisposition.WRITE_APPEND:
        return 0
    table = _table(connection, request, clock)
    return table.rows if table else 0


def _table(connection: Connection, request: ExportToBigQuery, clock: Clock) -> TableFacts | None:
    try:
        return read_table(connection, request.table, clock, _PATIENCE)
    except OperationsError:
        return None


def _has_dataset(connection: Connection, request: ExportToBigQuery, clock: Clock) -> bool:
    try:
        found = dataset_exists(connection, request.table.project, request.table.dataset, clock, _PATIENCE)
    except OperationsError:
        return True
    return found is not False


def _is_missing(read: Callable[[], object]) -> bool:
    try:
        read()
    except ApiError as error:
        return error.status == 404
    except OperationsError:
        return False
    return False
