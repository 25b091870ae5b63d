"""Errors of queries, in BigQuery's words where they are known, with the place in the text."""

from __future__ import annotations

import re
from typing import Any

from ...core.errors import ApiError


class SqlError(ApiError):
    """400 ``invalidQuery``.

    Args:
        message: without the place.
        at: line and column, both from 1.
    """

    def __init__(self, message: str, at: tuple[int, int] | None = None) -> None:
        place = f" at [{at[0]}:{at[1]}]" if at else ""
        super().__init__(400, message + place, reason="invalidQuery")


class UnsupportedError(ApiError):
    """501: valid GoogleSQL, perhaps, that this emulator does not translate."""

    def __init__(self, what: str, at: tuple[int, int] | None = None) -> None:
        place = f" at [{at[0]}:{at[1]}]" if at else ""
        super().__init__(501, f"The emulator does not translate {what}{place}", reason="notImplemented")


TOO_DEEP = "Resources exceeded during query execution: the query is nested too deeply"
_UNGROUPED = "SELECT list expression references column {} which is neither grouped nor aggregated"

#: What DuckDB says while a query runs → what BigQuery says. The first group is put in for ``{}``.
_RUNTIME: tuple[tuple[str, str], ...] = (
    (r"More than one row returned by a subquery", "Scalar subquery produced more than one element"),
    (r"Overflow in (?:addition|subtraction|multiplication|negation|abs)[^(]*\((.*)\)", "int64 overflow: {}"),
    (r'column "([^"]+)" must appear in the GROUP BY', _UNGROUPED),
    (r'Column "?([^"\s]+)"? must appear in the GROUP BY', _UNGROUPED),
    (r"Type (?:HUGEINT|INT128) with value (\S+) can't be cast", "int64 overflow: {}"),
    (r"Could not parse string \"(.*)\" according to format", 'Failed to parse input string "{}"'),
    (
        r"(?:missing \)|invalid perl operator|no argument for repetition)[^:]*: ?(.*)",
        "Cannot parse regular expression: {}",
    ),
    (r"(?i)expression depth", TOO_DEEP),
    (r"aggregate function calls cannot be nested", "Aggregations of aggregations are not allowed"),
    (r"WHERE clause cannot contain aggregates", "Aggregate function is not allowed in WHERE clause"),
    (r"WHERE clause cannot contain window functions", "Analytic function is not allowed in WHERE clause"),
    (r"(?:date|timestamp|time) field value out of range: (.*)", "Invalid value: {}"),
    (r"Could not cast value .* to DECIMAL", "numeric overflow"),
    (r"Python exception occurred while executing the UDF: \\w+: (.*)", "{}"),
    (
        r"Out of Memory",
        "Resources exceeded during query execution: the query needs more memory than the emulator may use",
    ),
)


def runtime_error(error: Exception) -> ApiError:
    """What DuckDB raised while it planned or ran a query, as BigQuery would say it.

    Raises nothing: an error that is not known is shown in DuckDB's first line, without internal names.
    """
    import duckdb

    text = str(error)
    if isinstance(error, duckdb.InterruptException):
        return ApiError(499, "Job execution was cancelled: User requested cancellation", reason="stopped")
    for pattern, message in _RUNTIME:
        found = re.search(pattern, text)
        if found:
            return SqlError(message.format(*found.groups()))
    kind, _, rest = text.partition(": ")
    line = (rest or kind).splitlines()[0] if text else "the query failed"
    line = re.sub(r'"?\b[ruw]\d+\b"?\.', "", line)
    if isinstance(
        error, (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException, duckdb.InternalException)
    ):
        # The compiler let something through that DuckDB can't plan: that is a gap of the emulator, not of the query.
        return UnsupportedError(f"this query: {line}")
    if isinstance(error, duckdb.NotImplementedException):
        return UnsupportedError(f"this query: {line}")
    return SqlError(line)


def position(node: Any, sql: str) -> tuple[int, int] | None:
    """Line and column of the first token of a node, if the parser kept it."""
    best: int | None = None
    for part in node.walk():
        start = part.meta.get("start") if part._meta else None  # noqa: SLF001 - meta would create the dictionary
        if start is not None and (best is None or start < best):
            best = start
    if best is None:
        return None
    return place(best, sql)


def place(offset: int, sql: str) -> tuple[int, int]:
    """Line and column of an offset."""
    before = sql[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1
