"""Queries that DuckDB plans without running them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from .sql.errors import runtime_error

if TYPE_CHECKING:
    from .catalog import Catalog
    from .sql.relations import Query


def check_plan(catalog: Catalog, query: Query) -> None:
    """Have DuckDB plan a query without running it.

    Raises:
        ApiError: it can't be planned (an ungrouped column, for instance).
    """
    try:
        catalog.engine.rows(f"EXPLAIN {query.sql}")
    except duckdb.Error as error:
        raise runtime_error(error) from None
