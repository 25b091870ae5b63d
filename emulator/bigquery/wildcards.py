"""Wildcard tables: all tables of a dataset whose names begin alike, as one.

https://cloud.google.com/bigquery/docs/querying-wildcard-tables: the columns are those of the table that was created
last; ``_TABLE_SUFFIX`` is what the wildcard stands for in each.
"""

# ruff: noqa: S608 - names are quoted and values escaped by functions made for it

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from .names import TableName
from .sql.errors import SqlError, position
from .sql.relations import Relation
from .types import STRING, Field, Type, absent, columns, quoted, reshaped, text

if TYPE_CHECKING:
    from sqlglot import exp

    from .catalog import Catalog

_SUFFIX = "_TABLE_SUFFIX"


class Reader(Protocol):
    """The session of a query, which reads tables."""

    catalog: Catalog
    location: str | None
    sql: str

    def readable(self, name: TableName) -> dict[str, Any]:
        """The document of a table that the caller may read."""

    def noted(self, name: TableName, *, rows: bool = True) -> None:
        """Remember that the query reads a table."""


def relation(reader: Reader, prefix: TableName, node: exp.Expression) -> Relation:
    """The rows of all tables with a prefix, which the caller may read.

    Args:
        reader: the session of the query.
        prefix: the name before the asterisk; its table may be empty.
        node: the name in the query.

    Raises:
        ApiError: 403 for a table that the caller may not read, 404 for a missing dataset; 400 if there is no such
            table, a view among them, or a column of another type.
    """
    at = position(node, reader.sql)
    names = [
        TableName(*key.split("/", 2))
        for key in reader.catalog.tables.keys_under(f"{prefix.project}/{prefix.dataset}/{prefix.table}")
    ]
    found = [(name, reader.readable(name)) for name in names if reader.catalog.find_table(name) is not None]
    if not found:
        reader.catalog.dataset(prefix.project, prefix.dataset, reader.location or "US")
        raise SqlError(f"{prefix.text}* does not match any table.", at)
    if views := [name.text for name, document in found if "view" in document["resource"]]:
        raise SqlError(f"Views cannot be queried through prefix. First view {views[0]}.", at)
    newest = max(found, key=lambda one: (int(one[1]["resource"]["creationTime"]), one[0].table))
    fields = columns(newest[1]["resource"].get("schema", {}).get("fields", []))
    parts = []
    for name, document in found:
        reader.noted(name)
        if document["physical"] is None:
            continue
        own = {field.name.lower(): field for field in columns(document["resource"]["schema"]["fields"])}
        values = [f"{_value(field, own.get(field.name.lower()), at)} AS {quoted(field.name)}" for field in fields]
        suffix = f"CAST({text(name.table.removeprefix(prefix.table))} AS VARCHAR) AS {quoted(_SUFFIX)}"
        parts.append(f"SELECT {', '.join([*values, suffix])} FROM {quoted(document['physical'])}")
    if not parts:
        raise SqlError(f"{prefix.text}* does not match any table with a schema.", at)
    shown = [(field.name, field.type, field.name) for field in fields]
    return Relation(f"({' UNION ALL '.join(parts)})", shown, [(_SUFFIX, STRING, _SUFFIX)])


def _value(field: Field, own: Field | None, at: tuple[int, int] | None) -> str:
    """A column of the newest table as another table has it."""
    if own is None:
        return absent(field.type)
    if not _fits(own.type, field.type):
        raise SqlError(f"Cannot read field '{field.name}' of type {own.type} as {field.type}", at)
    return reshaped(quoted(own.name), own.type, field.type)


def _fits(own: Type, wanted: Type) -> bool:
    """Whether values of one type can be read as another: the same, or records whose common fields do."""
    if own.kind != wanted.kind:
        return False
    if own.element is not None and wanted.element is not None:
        return _fits(own.element, wanted.element)
    common = ((one, wanted.field(one.name)) for one in own.fields)
    return all(other is None or _fits(one.type, other.type) for one, other in common)
