"""``bigquery.tabledata``: reading a table page by page, and streaming inserts."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from ..core.errors import invalid
from ..http.routing import Routes
from .catalog import Catalog, reads
from .encryption import require_key
from .names import TableName, check_table_id
from .pages import read_page
from .rows import BadRowError, RowReader, append_rows
from .tables import create

if TYPE_CHECKING:
    from ..http.call import Call

routes = Routes("bigquery")

_MOST_ROWS_PER_INSERT = 50_000
#: What a table that insertAll makes takes from its template, beside the schema.
_FROM_TEMPLATE = ("clustering", "description", "encryptionConfiguration", "labels", "timePartitioning")
#: How long an insertId is remembered, in seconds, and how many are remembered.
_INSERT_ID_SECONDS = 60.0
_MOST_INSERT_IDS = 100_000


@routes.method("tabledata.list", blocking=True)
@reads
def list_(call: Call) -> dict[str, Any]:
    """Rows of a table."""
    catalog = call.emulator.service(Catalog)
    name = TableName(catalog.project(call.path["projectId"]), call.path["datasetId"], call.path["tableId"])
    catalog.require_table(call.principal, "bigquery.tables.getData", name)
    document = catalog.table(name)
    if "view" in document["resource"]:
        raise invalid(f"Cannot list a table of type VIEW: {name.text}")
    require_key(catalog, name, document["resource"])
    answer = read_page(catalog, document, call.query, call.query.get("selectedFields"))
    return {"kind": "bigquery#tableDataList", "etag": document["resource"]["etag"], **answer}


class InsertIds:
    """The insertIds of the last minute, by table: a row sent again is not inserted again."""

    def __init__(self, emulator: Any) -> None:
        self._seen: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()
        emulator.on_reset(self._seen.clear)

    def fresh(self, table: str, insert_id: str) -> bool:
        """Whether this id is new; it is remembered from now on."""
        moment = time.monotonic()
        key = (table, insert_id)
        with self._lock:
            if len(self._seen) >= _MOST_INSERT_IDS:
                self._seen = {known: at for known, at in self._seen.items() if moment - at < _INSERT_ID_SECONDS}
            before = self._seen.get(key)
            self._seen[key] = moment
            return before is None or moment - before >= _INSERT_ID_SECONDS


@routes.method("tabledata.insertAll", blocking=True)
def insert_all(call: Call) -> dict[str, Any]:
    """Streaming insert: every row is in the table once this is answered."""
    catalog = call.emulator.service(Catalog)
    name = TableName(catalog.project(call.path["projectId"]), call.path["datasetId"], call.path["tableId"])
    catalog.require_table(call.principal, "bigquery.tables.updateData", name)
    document = catalog.table(name)
    if "view" in document["resource"]:
        raise invalid(f"Cannot add rows to a table of type VIEW: {name.text}")
    if suffix := call.body.get("templateSuffix"):
        name, document = _from_template(catalog, call.principal, name, document, suffix)
    schema = document["resource"].get("schema", {}).get("fields", [])
    if not schema:
        raise invalid("The destination table has no schema.")
    rows = call.body.get("rows") or []
    if not rows:
        raise invalid("No rows present in the request.")
    if len(rows) > _MOST_ROWS_PER_INSERT:
        raise invalid(f"too many rows present in the request, limit: {_MOST_ROWS_PER_INSERT} row count: {len(rows)}.")
    reader = RowReader(schema, ignore_unknown=call.body.get("ignoreUnknownValues") is True)
    good: list[tuple[int, dict[str, Any]]] = []
    errors: list[dict[str, Any]] = []
    for index, row in enumerate(rows):
        try:
            good.append((index, reader.row(row.get("json") or {})))
        except BadRowError as error:
            errors.append(_insert_error(index, error.reason, str(error), error.location))
    if errors and call.body.get("skipInvalidRows") is not True:
        bad = {entry["index"] for entry in errors}
        errors += [_insert_error(index, "stopped", "", "") for index in range(len(rows)) if index not in bad]
        good = []
    ids = call.emulator.service(InsertIds)
    wanted = []
    for index, row in good:
        insert_id = rows[index].get("insertId")
        if not insert_id or ids.fresh(name.key, insert_id):
            wanted.append(row)
    if wanted:
        append_rows(catalog, name, schema, wanted)
    answer: dict[str, Any] = {"kind": "bigquery#tableDataInsertAllResponse"}
    if errors:
        answer["insertErrors"] = sorted(errors, key=lambda entry: entry["index"])
    return answer


def _from_template(
    catalog: Catalog, principal: str, template: TableName, document: dict[str, Any], suffix: str
) -> tuple[TableName, dict[str, Any]]:
    """The table that is named like the template with a suffix; made like the template if it does not exist.

    https://cloud.google.com/bigquery/docs/streaming-data-into-bigquery#template-tables

    Raises:
        ApiError: 400 if the suffix makes no name, 403 if the caller may not create tables there.
    """
    name = TableName(template.project, template.dataset, check_table_id(template.table + suffix))
    with catalog.engine.locked(name.key):
        if catalog.find_table(name) is None:
            own = {key: value for key, value in document["resource"].items() if key in ("schema", *_FROM_TEMPLATE)}
            catalog.require_dataset(principal, "bigquery.tables.create", name.project, name.dataset)
            create(catalog, principal, name, own)
    return name, catalog.table(name)


def _insert_error(index: int, reason: str, message: str, location: str) -> dict[str, Any]:
    error = {"reason": reason, "location": location, "debugInfo": "", "message": message}
    return {"index": index, "errors": [error]}
