"""Streaming configs of DICOM stores: every new instance becomes a row of BigQuery tables at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import ApiError, invalid
from .bigquery_uri import TableName, parse_table_uri
from .names import StoreName, agent_of

if TYPE_CHECKING:
    from ..runtime import Emulator
    from .instances import Instance


def check_destinations(
    emulator: Emulator, name: StoreName, configs: list[dict[str, Any]], before: list[dict[str, Any]]
) -> None:
    """Refuse destinations that are malformed, named twice, or closed to the service agent.

    Raises:
        ApiError: 400, or 403 in the words of the API.
    """
    seen: set[TableName] = set()
    for index, config in enumerate(configs):
        destination = config.get("bigqueryDestination") or {}
        table = parse_table_uri(destination.get("tableUri", ""))
        if table in seen:
            raise invalid(f"stream_configs[{index}]: the destination bq://{table} is named twice")
        seen.add(table)
        if config not in before:
            _check_access(emulator, name, table)


def _check_access(emulator: Emulator, name: StoreName, table: TableName) -> None:
    from ..bigquery.service import allowed, dataset_location

    agent = agent_of(emulator, name.project)
    known = dataset_location(emulator, table.project, table.dataset) is not None
    if not known or not allowed(emulator, agent, "bigquery.tables.updateData", table.project, table.dataset):
        raise ApiError(
            403,
            f"failed to verify dataset (projectID:{table.project}, datasetID:{table.dataset}), please add the required "
            "bigquery.dataEditor role to your project's service account",
        )


def stream(
    emulator: Emulator, store: StoreName, configs: list[dict[str, Any]], action: str, instances: list[Instance]
) -> None:
    """Append rows about instances to the streaming destinations; what goes wrong is logged."""
