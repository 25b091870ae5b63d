"""BigQuery v2: datasets, tables, rows, jobs and queries, with GoogleSQL on DuckDB."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..http.routing import Routes


def routes() -> list[Routes]:
    """The handlers of this API."""
    from . import datasets, jobs, tabledata, tables

    return [datasets.routes, tables.routes, tabledata.routes, jobs.routes]
