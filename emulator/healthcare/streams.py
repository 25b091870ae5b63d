"""Streaming configs of DICOM stores: every new instance becomes a row of BigQuery tables at once."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

from ..cloud.enablement import require_enabled
from ..core.errors import ApiError, invalid, unimplemented
from .agent_checks import require_agent_role
from .bigquery_uri import TableName, parse_table_uri
from .export_bigquery import NO_CHANGE_DATA_CAPTURE, Layout, json_row
from .instances import Instances
from .names import StoreName
from .schemas import CREATED, INSERTED, flattened, json_layout, whole_row
from .stored import Instance

if TYPE_CHECKING:
    from ..core.runtime import Emulator

#: BigQuery does not take longer rows from streams.
_LARGEST_ROW = 1_000_000
#: The columns that even the row of a deleted instance has.
_UIDS: list[list[Any]] = [
    [0, 0x00080018, "SOPInstanceUID", "STRING", False, []],
    [0, 0x0020000D, "StudyInstanceUID", "STRING", False, []],
    [0, 0x0020000E, "SeriesInstanceUID", "STRING", False, []],
]


def check_destinations(
    emulator: Emulator, name: StoreName, configs: list[dict[str, Any]], before: list[dict[str, Any]]
) -> None:
    """Refuse destinations that are malformed, named twice, or closed to the service agent.

    Raises:
        ApiError: 400, or 403 in the words of the API.
    """
    named: dict[TableName, bool] = {}
    for index, config in enumerate(configs):
        destination = config.get("bigqueryDestination") or {}
        if destination.get("changeDataCaptureConfig") is not None:
            raise unimplemented(f"stream_configs[{index}]: {NO_CHANGE_DATA_CAPTURE}")
        table = parse_table_uri(destination.get("tableUri", ""))
        if table in named:
            raise invalid(f"stream_configs[{index}]: the destination bq://{table} is named twice")
        named[table] = config not in before
    for table, is_new in named.items():
        if is_new:
            _check_access(emulator, name, table)


def _check_access(emulator: Emulator, name: StoreName, table: TableName) -> None:
    from ..bigquery.service import allowed, dataset_location

    require_enabled(emulator, table.project, "bigquery.googleapis.com")
    agent = require_agent_role(emulator, name.project)
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
    """Append rows about instances to the streaming destinations.

    Nothing that goes wrong there spoils what happened to the instances: it is logged.

    Args:
        emulator: where.
        store: the store.
        configs: its streaming configs.
        action: what happened, as notifications name it.
        instances: to which instances.
    """
    for config in configs:
        destination = config["bigqueryDestination"]
        table = parse_table_uri(destination["tableUri"])
        layout = Layout(
            json=destination.get("schemaJson") is not None,
            source=str(store) if destination.get("includeSourceStore") else "",
        )
        try:
            _append(emulator, store, table, layout, _change(action, layout), instances)
        except ApiError as error:
            _log(emulator, store, str(store), table, error)


def _change(action: str, layout: Layout) -> str:
    """What a row's ``Type`` calls an action. What a changed storage class is called is an assumption."""
    match action:
        case "DeleteInstances":
            return "DELETE"
        case "SetBlobSettings":
            return "UPDATE"
        case _:
            return INSERTED if layout.json else CREATED


def _append(
    emulator: Emulator, store: StoreName, table: TableName, layout: Layout, change: str, instances: list[Instance]
) -> None:
    from ..bigquery.service import append_rows

    _check_access(emulator, store, table)
    rows, shapes = [], []
    kept = emulator.service(Instances).rows([one.id for one in instances])
    for one in instances:
        shape, row, metadata = kept.get(one.id, ("", b"", zlib.compress(b"{}")))
        line = json_row(
            store,
            layout,
            uids=(one.study, one.series, one.uid),
            sizes=(one.metadata_size, one.size),
            storage_class=one.storage_class,
            updated=one.updated,
            row=row,
            metadata=metadata,
            change=change,
        )
        full = json.loads(line)
        if not layout.json:
            tail = {name: full[name] for name in ("LastUpdated", "Type", "SourceDicomStore") if name in full}
            uids = {name: full[name] for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")}
            sizes = {"BlobStorageSize": one.size, "StorageClass": one.storage_class}
            full = {**uids, **whole_row(row), **sizes, **tail}
        if len(line if layout.json else row) > _LARGEST_ROW:
            too_large = ApiError(400, "the row is larger than 1 MB and was not streamed")
            _log(emulator, store, f"{store}/dicomWeb/{one.path}", table, too_large)
            continue
        rows.append(full)
        shapes.append(shape)
    if not rows:
        return
    if layout.json:
        schema = json_layout(source=bool(layout.source), changes=True)
    else:
        known = emulator.service(Instances).shapes({shape for shape in shapes if shape})
        schema = flattened([_UIDS, *known.values()], source=bool(layout.source))
    append_rows(emulator, table.project, table.dataset, table.table, schema, rows)


def _log(emulator: Emulator, store: StoreName, resource: str, table: TableName, error: ApiError) -> None:
    from ..cloud.logs import write_entry

    write_entry(
        emulator,
        store.project,
        {
            "logName": f"projects/{store.project}/logs/healthcare.googleapis.com%2Fdicom_stream",
            "severity": "ERROR",
            "resource": store.log_resource,
            "jsonPayload": {
                "@type": "type.googleapis.com/google.cloud.healthcare.logging.DicomStreamLogEntry",
                "resourceName": resource,
                "destination": f"bq://{table}",
                "error": {"code": error.rpc_code, "message": error.message},
            },
        },
    )
