"""What Cloud Logging says about an operation: which file failed, and why.

Entries have `resource.type = healthcare_dicom_store`, `jsonPayload {source, error {code, message}}` and
`operation.id` (https://cloud.google.com/healthcare-api/docs/how-tos/logging). Only a sample is logged when errors are
many, so the entries are no list to retry from.
"""

from collections.abc import Mapping
from typing import Any, cast

from operations.google.clock import SYSTEM_CLOCK, Clock
from operations.google.connection import Connection
from operations.google.errors import OperationsError
from operations.google.retrying import Patience, call
from operations.model.outcome import ItemError
from operations.model.resource_names import parse_operation_name

#: As many as an outcome keeps, so that a person sees which files failed without another query.
_FEW = 50
# Entries appear a moment after the operation has ended.
_PAUSES = (0.0, 2.0, 4.0)
_PATIENCE = Patience(20)


def read_log_entries(
    connection: Connection,
    operation: str,
    start_time: str = "",
    *,
    limit: int = _FEW,
    expected: bool = True,
    clock: Clock = SYSTEM_CLOCK,
) -> tuple[ItemError, ...]:
    """Read the newest log entries of an operation.

    Args:
        connection: the APIs.
        operation: its full name.
        start_time: when it began (RFC 3339), which keeps the search short.
        limit: how many entries at most.
        expected: whether there should be some: then they are waited for a little.
        clock: real or simulated time.

    Raises:
        OperationsError: the log can't be read, for instance because the caller may not.
    """
    name = parse_operation_name(operation)
    terms = ['resource.type="healthcare_dicom_store"', f'operation.id:"{name.operation}"']
    if start_time:
        terms.append(f'timestamp>="{start_time}"')
    body: Any = {
        "resourceNames": [f"projects/{name.project}"],
        "filter": " AND ".join(terms),
        "orderBy": "timestamp desc",
        "pageSize": limit,
    }
    found: tuple[ItemError, ...] = ()
    for pause in _PAUSES if expected else _PAUSES[:1]:
        if pause:
            clock.sleep(pause)
        answer = call(connection, lambda: connection.logging.entries().list(body=body), clock=clock, patience=_PATIENCE)
        found = tuple(filter(None, map(_item_error, cast("Any", answer).get("entries", ()))))
        if found:
            break
    return tuple(dict.fromkeys(found))[:limit]


def try_log_entries(
    connection: Connection, operation: str, start_time: str = "", *, expected: bool = True, clock: Clock = SYSTEM_CLOCK
) -> tuple[tuple[ItemError, ...], str]:
    """Like `read_log_entries`, for reports: a log that can't be read is a note, not an error.

    Returns:
        The entries, and a note that is empty when they could be read.
    """
    try:
        return read_log_entries(connection, operation, start_time, expected=expected, clock=clock), ""
    except OperationsError as error:
        return (), f"the log entries couldn't be read: {error}"


def _item_error(entry: Mapping[str, Any]) -> ItemError | None:
    payload: Mapping[str, Any] = entry.get("jsonPayload") or {}
    error: Mapping[str, Any] = payload.get("error") or {}
    source, message = str(payload.get("source") or payload.get("resource") or ""), str(error.get("message") or "")
    if not source and not message:
        return None
    return ItemError(source, message, int(error.get("code", 0)))
