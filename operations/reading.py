"""Reading and cancelling operations: one by its name, or all of a dataset."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from operations.clock import SYSTEM_CLOCK, Clock
from operations.connection import Connection
from operations.outcome import Outcome, outcome_of
from operations.resource_names import DatasetName
from operations.retrying import PATIENCE, Patience, call

_PAGE_SIZE = 1000


def read_operation(
    connection: Connection, name: str, clock: Clock = SYSTEM_CLOCK, patience: Patience = PATIENCE
) -> Outcome:
    """Read one operation.

    Raises:
        ApiError: 404 when the service doesn't know it (records are kept for about 30 days), 403 when the caller may
            not read it.
        UnreachableError: no answer within `patience`.
    """
    operation = call(
        connection,
        lambda: connection.healthcare.projects().locations().datasets().operations().get(name=name),
        clock=clock,
        patience=patience,
    )
    return outcome_of(cast("Mapping[str, Any]", operation))


def list_datasets(
    connection: Connection,
    project: str,
    location: str,
    clock: Clock = SYSTEM_CLOCK,
    patience: Patience = PATIENCE,
) -> Iterator[DatasetName]:
    """Read the datasets of a location, page by page.

    Raises:
        ApiError: the caller may not list them.
        UnreachableError: no answer within `patience`.
    """
    token: str | None = None
    while True:
        arguments: dict[str, Any] = {"parent": f"projects/{project}/locations/{location}", "pageSize": _PAGE_SIZE}
        if token:
            arguments["pageToken"] = token
        answer = cast(
            "dict[str, Any]", call(connection, _datasets_call(connection, arguments), clock=clock, patience=patience)
        )
        # The last part alone: the service may write the project by its number.
        yield from (
            DatasetName(project, location, str(each["name"]).rpartition("/")[2]) for each in answer.get("datasets", ())
        )
        token = answer.get("nextPageToken")
        if not token:
            return


def list_operations(
    connection: Connection,
    dataset: DatasetName,
    clock: Clock = SYSTEM_CLOCK,
    patience: Patience = PATIENCE,
) -> Iterator[Outcome]:
    """Read all operations of a dataset that the service still knows, page by page.

    Raises:
        ApiError: the caller may not list them, or the dataset doesn't exist (both 403).
        UnreachableError: no answer within `patience`.
    """
    for page in list_pages(connection, dataset, clock, patience):
        yield from page


def list_pages(
    connection: Connection,
    dataset: DatasetName,
    clock: Clock = SYSTEM_CLOCK,
    patience: Patience = PATIENCE,
) -> Iterator[list[Outcome]]:
    """Like `list_operations`, but one list per page, so that a caller can count requests."""
    token: str | None = None
    while True:
        arguments: dict[str, Any] = {"name": str(dataset), "pageSize": _PAGE_SIZE}
        if token:
            arguments["pageToken"] = token
        answer = cast(
            "dict[str, Any]", call(connection, _list_call(connection, arguments), clock=clock, patience=patience)
        )
        yield [outcome_of(operation) for operation in answer.get("operations", ())]
        token = answer.get("nextPageToken")
        if not token:
            return


def cancel_operation(connection: Connection, name: str, clock: Clock = SYSTEM_CLOCK) -> None:
    """Ask the service to cancel an operation; it does its best, and what was done already stays.

    Raises:
        ApiError: 404 when the operation isn't known, 403 when the caller may not cancel it.
    """
    call(
        connection,
        lambda: connection.healthcare.projects().locations().datasets().operations().cancel(name=name, body={}),
        clock=clock,
    )


def _datasets_call(connection: Connection, arguments: dict[str, Any]) -> Any:
    return lambda: connection.healthcare.projects().locations().datasets().list(**arguments)


def _list_call(connection: Connection, arguments: dict[str, Any]) -> Any:
    return lambda: connection.healthcare.projects().locations().datasets().operations().list(**arguments)
