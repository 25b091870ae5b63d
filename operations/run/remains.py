"""Whether what a run left behind is still there: a table, objects, instances in a store.

A run is looked at as a whole. Rows, objects or instances that were deleted one by one are how data is kept up, and say
nothing; a destination that is gone, that was made again, or in which nothing is left, does not hold the run's result.
"""

from operations.google.bigquery_tables import read_table
from operations.google.clock import SYSTEM_CLOCK, Clock
from operations.google.cloud_storage import has_objects
from operations.google.connection import Connection
from operations.google.errors import ApiError
from operations.google.metrics import read_store_metrics
from operations.google.retrying import Patience
from operations.model.requests import ExportToBigQuery, Import, Request
from operations.model.resource_names import DicomStoreName
from operations.model.uris import BigQueryTable, CloudStoragePath
from operations.run.record import Record

# A preview asks the service, but not for long.
_PATIENCE = Patience(5)


def what_is_lost(connection: Connection, request: Request, record: Record, clock: Clock = SYSTEM_CLOCK) -> str | None:
    """Say what of a run's result is gone; None when something of it is there, or the caller can't see it.

    The words name nothing: a destination may be a secret, and a message stands on the run's own row.

    Args:
        connection: the APIs.
        request: what was asked for.
        record: of its success.
        clock: real or simulated time.

    Raises:
        OperationsError: the service doesn't answer.
    """
    if not record.success:
        return None  # where nothing went through, nothing was left behind
    try:
        if isinstance(request, Import):
            return _store_lost(connection, request.store, clock)
        if isinstance(request, ExportToBigQuery):
            return _table_lost(connection, request.table, record, clock)
        return _objects_lost(connection, request.prefix, clock)
    except ApiError as error:
        if error.status == 403:
            return None
        raise


def is_store_gone(connection: Connection, store: DicomStoreName, clock: Clock = SYSTEM_CLOCK) -> str | None:
    """Say that a store is gone; None when it is there, or the caller can't see it.

    Raises:
        OperationsError: the service doesn't answer.
    """
    try:
        read_store_metrics(connection, store, clock, _PATIENCE)
    except ApiError as error:
        if error.status == 404:
            return "its DICOM store is gone"
        if error.status != 403:
            raise
    return None


def _store_lost(connection: Connection, store: DicomStoreName, clock: Clock) -> str | None:
    try:
        metrics = read_store_metrics(connection, store, clock, _PATIENCE)
    except ApiError as error:
        if error.status == 404:
            return "its DICOM store is gone"
        raise
    if metrics.instances:
        return None
    return "its DICOM store is empty: it was made again, or all its instances were deleted"


def _table_lost(connection: Connection, table: BigQueryTable, record: Record, clock: Clock) -> str | None:
    try:
        found = read_table(connection, table, clock, _PATIENCE)
    except ApiError as error:
        if error.status == 404:
            return "its table is gone"
        raise
    if not found.rows:
        return "its table has no rows any more"
    # A table that was made again from itself, to cluster it for instance, still has the rows.
    if record.created and found.created != record.created and found.rows != record.rows:
        return "its table was made again by somebody else"
    return None


def _objects_lost(connection: Connection, prefix: CloudStoragePath, clock: Clock) -> str | None:
    try:
        there = has_objects(connection, prefix.bucket, prefix.path, clock, _PATIENCE)
    except ApiError as error:
        if error.status == 404:
            return "its bucket is gone"
        raise
    return None if there else "no object is left under its prefix"
