"""Reading and cancelling operations, one by its name or all of a dataset; the locations there are."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from operations.google.clock import SYSTEM_CLOCK, Clock
from operations.google.connection import Connection
from operations.google.errors import ApiError
from operations.google.retrying import PATIENCE, Patience, call
from operations.model.outcome import Outcome, outcome_of
from operations.model.resource_names import DatasetName

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


def list_locations(
    connection: Connection, project: str, clock: Clock = SYSTEM_CLOCK, patience: Patience = PATIENCE
) -> Iterator[str]:
    """Read the ids of the locations in which a project may have datasets, page by page.

    Raises:
        ApiError: the caller may not list them.
        UnreachableError: no answer within `patience`.
    """
    pages = _pages(
        connection, lambda: connection.healthcare.projects().locations(), clock, patience, name=f"projects/{project}"
    )
    for page in pages:
        yield from (str(each["locationId"]) for each in page.get("locations", ()))


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
    pages = _pages(
        connection,
        lambda: connection.healthcare.projects().locations().datasets().operations(),
        clock,
        patience,
        name=str(dataset),
    )
    for page in pages:
        yield [outcome_of(operation) for operation in page.get("operations", ())]


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


def cancel_running(
    connection: Connection,
    name: str,
    *,
    wait: float = 0.0,
    say: Callable[[str], None] = lambda _text: None,
    clock: Clock = SYSTEM_CLOCK,
    patience: Patience = PATIENCE,
) -> None:
    """Cancel an operation that still runs; one that has ended, or that nobody knows any more, is fine.

    Args:
        connection: the APIs.
        name: of the operation.
        wait: seconds to wait for its end at most.
        say: told when it is cancelled.
        clock: real or simulated time.
        patience: with the first look at it.

    Raises:
        OperationsError: it can't be seen whether it runs, or the service refuses.
    """
    try:
        if read_operation(connection, name, clock, patience).done:
            return
        say(f"cancelling {name}")
        cancel_operation(connection, name, clock)
        until = clock.monotonic() + wait
        while clock.monotonic() < until and not read_operation(connection, name, clock).done:
            clock.sleep(1.0)
    except ApiError as error:
        if error.status not in (403, 404):  # the record is gone, or its dataset is
            raise


def _pages(
    connection: Connection, collection: Callable[[], Any], clock: Clock, patience: Patience, **arguments: Any
) -> Iterator[Mapping[str, Any]]:
    """Read a list page by page. `collection` is asked for before every page, because a broken transport is dropped."""
    arguments["pageSize"] = _PAGE_SIZE
    while True:
        page = cast(
            "Mapping[str, Any]",
            call(connection, lambda: collection().list(**arguments), clock=clock, patience=patience),
        )
        yield page
        arguments["pageToken"] = page.get("nextPageToken")
        if not arguments["pageToken"]:
            return
