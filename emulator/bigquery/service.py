"""What the other parts of the emulator ask of BigQuery. Call these from worker threads: they run SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .catalog import Catalog
from .names import TableName, check_table_id
from .rows import append_rows as append
from .rows import put_rows

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from ..core.runtime import Emulator


@dataclass(frozen=True, slots=True)
class TableState:
    """A table as it is: number of rows, schema (TableFieldSchema objects), and whether it is a view."""

    rows: int
    schema: list[dict[str, Any]]
    view: bool = False


def dataset_location(emulator: Emulator, project: str, dataset: str) -> str | None:
    """Where a dataset is (``US``, ``europe-west4``); None if there is no such dataset."""
    found = emulator.service(Catalog).find_dataset(project, dataset)
    return None if found is None else str(found["location"])


def allowed(emulator: Emulator, principal: str, permission: str, project: str, dataset: str) -> bool:
    """Whether a principal holds a permission on a dataset, by the dataset's policy or the project's."""
    return emulator.service(Catalog).allowed(principal, permission, project, dataset)


def table_state(emulator: Emulator, project: str, dataset: str, table: str) -> TableState | None:
    """The table as it is; None if there is no such table."""
    catalog = emulator.service(Catalog)
    with catalog.engine.reading():
        found = catalog.find_table(TableName(project, dataset, table))
        if found is None:
            return None
        resource = found["resource"]
        return TableState(catalog.count(found), resource.get("schema", {}).get("fields", []), "view" in resource)


def load_rows(
    emulator: Emulator,
    project: str,
    dataset: str,
    table: str,
    schema: list[dict[str, Any]],
    ndjson_files: Sequence[Path],
    disposition: str,
    columnar: Collection[str] = (),
) -> int:
    """Load files of JSON lines into a table; afterwards all rows are there, or none.

    Args:
        emulator: whose BigQuery.
        project: project of the table.
        dataset: an existing dataset.
        table: made if it does not exist.
        schema: TableFieldSchema objects of the rows.
        ndjson_files: each line an object ``{column: value}``, nested for RECORD, a list for REPEATED; an absent column
            is NULL or an empty array. DATE, TIME and TIMESTAMP are text, BYTES base64.
        disposition: ``WRITE_EMPTY``, ``WRITE_TRUNCATE`` or ``WRITE_APPEND``. Appending adds columns that are missing.
        columnar: REPEATED RECORD columns whose values are written as one object with an array for each field; see
            :func:`.rows.put_rows`.

    Returns:
        Number of rows loaded.

    Raises:
        ApiError: 404 if the dataset does not exist; 409 if the table has rows and the disposition is WRITE_EMPTY; 400
            if the schema or a value does not fit.
    """
    catalog = emulator.service(Catalog)
    catalog.dataset(project, dataset)
    name = TableName(project, dataset, check_table_id(table))
    return put_rows(catalog, name, schema, ndjson_files, disposition, columnar=columnar)


def append_rows(
    emulator: Emulator,
    project: str,
    dataset: str,
    table: str,
    schema: list[dict[str, Any]],
    rows: list[dict[str, Any]],
) -> int:
    """Append a few rows, as streaming does; the table is made if it does not exist. See :func:`load_rows`."""
    catalog = emulator.service(Catalog)
    catalog.dataset(project, dataset)
    return append(catalog, TableName(project, dataset, check_table_id(table)), schema, rows)
