"""Rows of Parquet files, which google-cloud-bigquery makes of data frames.

https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-parquet. Lists are always read as repeated columns, as
with ``parquetOptions.enableListInference``. Where neither job nor table has a schema, every timestamp becomes a
TIMESTAMP, whether it is adjusted to UTC or not: that is an assumption.
"""

# ruff: noqa: S608 - names are quoted and values escaped by functions made for it

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ..core.errors import ApiError, invalid
from .types import quoted, text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .engine import Engine

_TYPES = {
    "boolean": "BOOLEAN",
    **dict.fromkeys(("tinyint", "smallint", "integer", "bigint", "utinyint", "usmallint", "uinteger"), "INTEGER"),
    **dict.fromkeys(("float", "double"), "FLOAT"),
    "decimal": "NUMERIC",
    "varchar": "STRING",
    "blob": "BYTES",
    "date": "DATE",
    "time": "TIME",
    **dict.fromkeys(
        ("timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns", "timestamp with time zone"), "TIMESTAMP"
    ),
}
_ROWS = 1000


def schema(engine: Engine, file: Path) -> list[dict[str, Any]]:
    """The columns of a file as TableFieldSchema objects.

    Raises:
        ApiError: 400 if it is no Parquet file, 501 for a type that is not served.
    """
    return [_field(name, kind) for name, kind in _columns(engine, file)]


def rows(engine: Engine, file: Path) -> Iterator[tuple[str, Any]]:
    """The rows of a file, as their JSON would be, each with its place.

    Raises:
        ApiError: 400 if the file can't be read.
    """
    import duckdb

    parts = [f"{quoted(name)} := {_readable(quoted(name), kind)}" for name, kind in _columns(engine, file)]
    with engine.cursor() as cursor:
        try:
            cursor.execute(f"SELECT CAST(to_json(struct_pack({', '.join(parts)})) AS VARCHAR) FROM {_source(file)}")
            number = 0
            while portion := cursor.fetchmany(_ROWS):
                for (row,) in portion:
                    number += 1
                    yield f"row {number}", json.loads(row)
        except duckdb.Error as error:
            raise _unreadable(error) from None


def _source(file: Path) -> str:
    return f"read_parquet({text(str(file))})"


def _columns(engine: Engine, file: Path) -> list[tuple[str, Any]]:
    import duckdb

    with engine.cursor() as cursor:
        try:
            found = cursor.execute(f"SELECT * FROM {_source(file)} LIMIT 0").description
        except duckdb.Error as error:
            raise _unreadable(error) from None
    return [(column[0], column[1]) for column in found or ()]


def _unreadable(error: Exception) -> ApiError:
    reason = str(error).splitlines()[0].partition(": ")[2]
    # Where the emulator keeps the file is nobody's business.
    reason = "the file is no Parquet file" if "/" in reason else reason
    return invalid(f"Error while reading data, error message: Failed to read the Parquet file: {reason}")


def _field(name: str, kind: Any) -> dict[str, Any]:
    mode = "NULLABLE"
    if kind.id == "list":
        mode, kind = "REPEATED", kind.child
    if kind.id == "struct":
        return {"name": name, "type": "RECORD", "mode": mode, "fields": [_field(*one) for one in kind.children]}
    if kind.id not in _TYPES:
        raise ApiError(501, f"The emulator does not load Parquet columns of the type {kind} ({name}).")
    return {"name": name, "type": _TYPES[kind.id], "mode": mode}


def _readable(expression: str, kind: Any, depth: int = 0) -> str:
    """A value in the form that JSON rows have."""
    if kind.id == "list":
        name = f"x{depth}"
        return f"list_transform({expression}, lambda {name}: {_readable(name, kind.child, depth + 1)})"
    if kind.id == "struct":
        parts = ", ".join(
            f"{quoted(name)} := {_readable(f'struct_extract({expression}, {text(name)})', inner, depth)}"
            for name, inner in kind.children
        )
        return f"CASE WHEN {expression} IS NOT NULL THEN struct_pack({parts}) END"
    if kind.id == "blob":
        return f"to_base64({expression})"
    if kind.id == "decimal":
        return f"CAST({expression} AS VARCHAR)"
    if kind.id.startswith("timestamp"):
        return f"strftime(CAST({expression} AS TIMESTAMP), '%Y-%m-%d %H:%M:%S.%f')"
    return expression
