"""What Cloud Logging says about an operation: which file failed, and why.

Entries have `resource.type = healthcare_dicom_store`, `operation {id, producer}` and a payload: of an import
`ImportDicomLogEntry {source, error}`, of an export `ExportDicomLogEntry {resourceName, error}`
(https://cloud.google.com/healthcare-api/docs/how-tos/logging, googleapis/google/cloud/healthcare/logging/dicom.proto).
Only a sample is logged when errors are many, so the entries are no list to retry from.

Google's pages disagree on whether an entry has the operation's own id: samples show it, the page of best practices for
long-running operations says that it doesn't, and to look by producer, resource and time. So both is done.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast

from operations.google.clock import SYSTEM_CLOCK, Clock
from operations.google.connection import Connection
from operations.google.errors import OperationsError
from operations.google.retrying import Patience, call
from operations.model.outcome import ItemError, Outcome, seconds_of
from operations.model.resource_names import DicomStoreName, parse_operation_name

#: As many as an outcome keeps, so that a person sees which files failed without another query.
_FEW = 50
#: The most that one answer holds.
_PAGE = 1000
# Entries appear a moment after the operation has ended.
_PAUSES = (0.0, 2.0, 4.0)
_PATIENCE = Patience(20)
# Entries may be a little later than the end that the operation gives.
_LATE = 60.0
# By the beginning of `apiMethodName`'s last part: what entries call the producer, and the type of their payload.
_KINDS = {
    "ImportDicomData": ("import_dicom", "ImportDicomLogEntry"),
    "ExportDicomData": ("export_dicom", "ExportDicomLogEntry"),
}


@dataclass(frozen=True)
class LogEntries:
    """What was found.

    Attributes:
        items: the files or instances that failed, newest first.
        note: what a person has to know about them; may be empty.
    """

    items: tuple[ItemError, ...] = ()
    note: str = ""


def read_log_entries(
    connection: Connection,
    outcome: Outcome,
    store: DicomStoreName | None = None,
    *,
    limit: int = _FEW,
    expected: bool = True,
    clock: Clock = SYSTEM_CLOCK,
) -> LogEntries:
    """Read the newest log entries of an operation: by its id, else by producer, store and time.

    Args:
        connection: the APIs.
        outcome: what the operation has come to.
        store: the DICOM store that it worked on, where it is known; else the dataset has to do.
        limit: how many entries at most.
        expected: whether there should be some: then they are waited for a little.
        clock: real or simulated time.

    Raises:
        OperationsError: the log can't be read, for instance because the caller has no permission to.
    """
    by_id = _by_id(outcome)
    by_place = _by_place(outcome, store) if expected else ""
    for pause in _PAUSES if expected else _PAUSES[:1]:
        if pause:
            clock.sleep(pause)
        if found := _entries(connection, outcome, by_id, limit, clock):
            return LogEntries(found)
    if by_place and (found := _entries(connection, outcome, by_place, limit, clock)):
        note = "the log entries were found by store and time: those of another run at the same time may be among them"
        return LogEntries(found, note)
    return LogEntries()


def every_log_entry(connection: Connection, outcome: Outcome, *, clock: Clock = SYSTEM_CLOCK) -> Iterator[ItemError]:
    """Yield all log entries of an operation, oldest first, each text once: by its id, else by producer and time.

    Args:
        connection: the APIs.
        outcome: what the operation has come to.
        clock: real or simulated time.

    Raises:
        OperationsError: the log can't be read.
    """
    seen: set[ItemError] = set()
    for wanted in (_by_id(outcome), _by_place(outcome, None) if outcome.failure else ""):
        body: Any = {**_query(outcome, wanted, _PAGE), "orderBy": "timestamp asc"}
        while wanted and body:
            request = partial(connection.logging.entries().list, body=body)
            answer: Any = call(connection, request, clock=clock, patience=_PATIENCE)
            for item in filter(None, map(_item_error, answer.get("entries", ()))):
                if item not in seen:
                    seen.add(item)
                    yield item
            body = {**body, "pageToken": answer["nextPageToken"]} if answer.get("nextPageToken") else {}
        if seen:
            return


def try_log_entries(
    connection: Connection,
    outcome: Outcome,
    store: DicomStoreName | None = None,
    *,
    expected: bool = True,
    clock: Clock = SYSTEM_CLOCK,
) -> LogEntries:
    """Like `read_log_entries`, for reports: a log that can't be read is a note, not an error."""
    try:
        return read_log_entries(connection, outcome, store, expected=expected, clock=clock)
    except OperationsError as error:
        return LogEntries(note=f"the log entries couldn't be read: {error}")


def _by_id(outcome: Outcome) -> str:
    terms = [_TYPE, f'operation.id:"{parse_operation_name(outcome.operation).operation}"']
    if outcome.start_time:
        terms.append(f'timestamp>="{outcome.start_time}"')
    return " AND ".join(terms)


def _by_place(outcome: Outcome, store: DicomStoreName | None) -> str:
    """A filter for what an operation of this kind wrote there and then; empty where that isn't known."""
    kind = next((kind for start, kind in _KINDS.items() if outcome.api_method.startswith(start)), None)
    if kind is None or not outcome.start_time:
        return ""
    name = parse_operation_name(outcome.operation)
    labels = {"location": name.location, "dataset_id": name.dataset}
    if store is not None:
        labels["dicom_store_id"] = store.store
    producer, payload = kind
    terms = [
        _TYPE,
        *(f'resource.labels.{label}="{value}"' for label, value in labels.items()),
        f'(operation.producer:"{producer}" OR jsonPayload."@type":"{payload}")',
        f'timestamp>="{outcome.start_time}"',
    ]
    if outcome.end_time:
        last = datetime.fromtimestamp(seconds_of(outcome.end_time) + _LATE, UTC).isoformat()
        terms.append(f'timestamp<="{last}"')
    return " AND ".join(terms)


_TYPE = 'resource.type="healthcare_dicom_store"'


def _entries(connection: Connection, outcome: Outcome, wanted: str, limit: int, clock: Clock) -> tuple[ItemError, ...]:
    body = _query(outcome, wanted, limit)
    answer = call(connection, lambda: connection.logging.entries().list(body=body), clock=clock, patience=_PATIENCE)
    found = filter(None, map(_item_error, cast("Any", answer).get("entries", ())))
    return tuple(dict.fromkeys(found))[:limit]


def _query(outcome: Outcome, wanted: str, limit: int) -> Any:
    """https://cloud.google.com/logging/docs/reference/v2/rest/v2/entries/list; the newest come first."""
    return {
        "resourceNames": [f"projects/{parse_operation_name(outcome.operation).project}"],
        "filter": wanted,
        "orderBy": "timestamp desc",
        "pageSize": limit,
    }


def _item_error(entry: Mapping[str, Any]) -> ItemError | None:
    payload: Mapping[str, Any] = entry.get("jsonPayload") or {}
    error: Mapping[str, Any] = payload.get("error") or {}
    source = next((str(payload[key]) for key in ("source", "resourceName", "resource") if payload.get(key)), "")
    message = str(error.get("message") or "")
    if not source and not message:
        return None
    return ItemError(source, message, int(error.get("code", 0)))
