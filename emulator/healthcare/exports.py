"""``dicomStores.export``: metadata to BigQuery, instances to Cloud Storage."""

from __future__ import annotations

from typing import Any

from ..core.errors import invalid
from ..http.call import Call
from ..http.routing import Routes
from .access import find_store
from .bigquery_uri import parse_table_uri
from .gcs_uri import parse_prefix
from .operations import Operations
from .selection import Selection, filter_uri

routes = Routes("healthcare")


@routes.method(
    "projects.locations.datasets.dicomStores.export",
    blocking=True,
    note="v1beta1: change data capture fails where rows are appended; BigQuery here does not have it",
)
def export_dicom(call: Call) -> dict[str, Any]:
    """Start an export."""
    name, store = find_store(call, "healthcare.dicomStores.export")
    given = [key for key in ("bigqueryDestination", "gcsDestination") if call.body.get(key) is not None]
    if len(given) != 1:
        raise invalid(
            "exactly one destination is required: bigquery_destination or gcs_destination"
            + (", not both" if given else "")
        )
    selection = Selection(call.emulator, name, store["number"], filter_uri(call))
    if given == ["bigqueryDestination"]:
        return _to_bigquery(call, selection, call.body["bigqueryDestination"])
    return _to_cloud_storage(call, selection, call.body["gcsDestination"])


def _to_bigquery(call: Call, selection: Selection, destination: dict[str, Any]) -> dict[str, Any]:
    from .export_bigquery import BigQueryExport, Layout

    table = parse_table_uri(destination.get("tableUri", ""))
    layouts = [key for key in ("schemaFlattened", "schemaJson") if destination.get(key) is not None]
    if len(layouts) > 1:
        raise invalid("bigquery_destination: only one of schema_flattened and schema_json can be set")
    changes = destination.get("changeDataCaptureConfig") is not None
    if changes and layouts != ["schemaJson"]:
        raise invalid("bigquery_destination: change_data_capture_config needs schema_json")
    layout = Layout(
        json=layouts == ["schemaJson"],
        source=str(selection.store) if destination.get("includeSourceStore") in (True, "true") else "",
        latest=changes,
    )
    disposition = destination.get("writeDisposition", "WRITE_DISPOSITION_UNSPECIFIED")
    if disposition == "WRITE_DISPOSITION_UNSPECIFIED":
        disposition = "WRITE_TRUNCATE" if destination.get("force") in (True, "true") else ""
    work = BigQueryExport(selection, table, disposition, layout)
    return call.emulator.service(Operations).start(
        call, selection.store.parent, "dicom.DicomService.ExportDicomData_bq", prepare=work.prepare, run=work.run
    )


def _to_cloud_storage(call: Call, selection: Selection, destination: dict[str, Any]) -> dict[str, Any]:
    from .export_storage import StorageExport, parse_format

    prefix = destination.get("uriPrefix")
    if not prefix:
        raise invalid("gcs_destination.uri_prefix is required: gs://BUCKET/DIRECTORY")
    bucket, directory = parse_prefix(prefix)
    work = StorageExport(selection, bucket, directory, parse_format(destination.get("mimeType") or ""))
    return call.emulator.service(Operations).start(
        call,
        selection.store.parent,
        "dicom.DicomService.ExportDicomData_gcs",
        prepare=work.prepare,
        run=work.run,
        response="~.dicom.ExportDicomDataResponse",
    )
