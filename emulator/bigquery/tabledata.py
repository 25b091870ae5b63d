"""``bigquery.tabledata``: reading a table page by page, and streaming inserts."""

# ruff: noqa: S608 - names are quoted and values escaped by functions made for it

from __future__ import annotations

import base64
import binascii
import json
import threading
import time
from typing import TYPE_CHECKING, Any

from ..core.errors import invalid
from ..http.routing import Routes
from .catalog import Catalog, reads
from .encode import TimestampFormat, row_encoder
from .encryption import require_key
from .names import TableName, check_table_id
from .rows import BadRowError, RowReader, append_rows
from .tables import create
from .types import Field, Type, columns, member, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..http.call import Call

routes = Routes("bigquery")

#: Rows in a page where the request names no number; a page has at most about 10 MB as well.
_PAGE = 10_000
_PAGE_BYTES = 10 * 1024 * 1024
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


def read_page(
    catalog: Catalog, document: dict[str, Any], query: Mapping[str, str], selected: str | None = None
) -> dict[str, Any]:
    """``totalRows``, ``rows`` and ``pageToken`` for the page that the query parameters ask for.

    Args:
        catalog: where the table is.
        document: of the table.
        query: ``maxResults``, ``startIndex``, ``pageToken`` and ``formatOptions.…``.
        selected: comma list of columns; ``a.b`` selects a field of a RECORD.

    Raises:
        ApiError: 400 for a parameter that is no number, a bad token or an unknown column.
    """
    fields = columns(document["resource"].get("schema", {}).get("fields", []))
    start, most = (
        _offset(query.get("pageToken"), query.get("startIndex")),
        number(query.get("maxResults"), "maxResults"),
    )
    total = catalog.count(document)
    expressions = [(quoted(field.name), field) for field in fields]
    if selected:
        expressions = _selected(fields, selected)
    size = _PAGE if most is None else min(most, 100_000)
    rows: list[tuple[Any, ...]] = []
    if document["physical"] is not None and size and start < total and expressions:
        shown = ", ".join(fetched(expression, field.type) for expression, field in expressions)
        rows = catalog.engine.rows(f'SELECT {shown} FROM "{document["physical"]}" LIMIT {size} OFFSET {start}')
    encode = row_encoder([field for _, field in expressions], timestamp_format(query))
    made = []
    room = _PAGE_BYTES
    for row in rows:
        made.append(encode(row))
        if len(rows) > 1000 and len(made) % 100 == 0:
            room -= len(json.dumps(made[-100:]))
            if room < 0:
                break
    answer: dict[str, Any] = {"totalRows": str(total)}
    if made:
        answer["rows"] = made
    if start + len(made) < total and made:
        answer["pageToken"] = _token(start + len(made))
    return answer


def fetched(expression: str, kind: Type) -> str:
    """What is asked of DuckDB for a value, so that Python gets it whole: intervals in BigQuery's spelling."""
    if kind.kind != "INTERVAL":
        return expression
    years, months, days = (f"datepart('{part}', {expression})" for part in ("year", "month", "day"))
    sign = f"CASE WHEN {years} < 0 OR {months} < 0 THEN '-' ELSE '' END"
    # Hours, minutes and seconds come from DuckDB's text of what is left, without leading zeros.
    clock = f"({expression} - to_years({years}::INTEGER) - to_months({months}::INTEGER) - to_days({days}::INTEGER))"
    clock = f"regexp_replace(CAST({clock} AS VARCHAR), '^(-?)0(\\d)', '\\1\\2')"
    clock = f"regexp_replace({clock}, ':0(\\d)', ':\\1', 'g')"
    shown = f"concat({sign}, abs({years}), '-', abs({months}), ' ', {days}, ' ', {clock})"
    return f"CASE WHEN {expression} IS NOT NULL THEN {shown} END"


def timestamp_format(query: Mapping[str, str]) -> TimestampFormat:
    """How the request wants TIMESTAMP values."""
    form = query.get("formatOptions.timestampOutputFormat")
    if form in ("INT64", "FLOAT64", "ISO8601_STRING"):
        return form  # type: ignore[return-value]
    return "INT64" if query.get("formatOptions.useInt64Timestamp", "").lower() == "true" else "FLOAT64"


def number(text: str | None, name: str) -> int | None:
    """A count from the query; None if there is none.

    Raises:
        ApiError: 400 if it is not a whole number, or negative.
    """
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 4000):
        raise invalid(f"Invalid value for {name}: {text!r} is not a number of 0 or more")
    return min(int(text), 2**62)


def _offset(token: str | None, start: str | None) -> int:
    if token:
        try:
            word, _, text = base64.urlsafe_b64decode(token.encode()).decode().partition(":")
            if word == "rows":
                return int(text)
        except (binascii.Error, UnicodeDecodeError, ValueError):
            pass
        raise invalid(f"Invalid pageToken {token!r}")
    return number(start, "startIndex") or 0


def _token(offset: int) -> str:
    return base64.urlsafe_b64encode(f"rows:{offset}".encode()).decode()


def _selected(fields: tuple[Field, ...], selected: str) -> list[tuple[str, Field]]:
    """Expressions and columns for ``selectedFields``; fields of one RECORD are gathered in one column."""
    tree: dict[str, Any] = {}
    for path in selected.split(","):
        node = tree
        for part in path.strip().lower().split("."):
            node = node.setdefault(part, {})
    return _choose(fields, tree, "")


def _choose(fields: tuple[Field, ...], tree: dict[str, Any], path: str) -> list[tuple[str, Field]]:
    by_name = {field.name.lower(): field for field in fields}
    for name in tree:
        if name not in by_name:
            raise invalid(f"Field {path}{name} was not found in the table's schema (selectedFields)")
    made = []
    for field in fields:
        inner = tree.get(field.name.lower())
        if inner is None:
            continue
        made.append(_narrowed(quoted(field.name), field, inner, f"{path}{field.name}."))
    return made


def _narrowed(expression: str, field: Field, tree: dict[str, Any], path: str, depth: int = 0) -> tuple[str, Field]:
    if not tree:
        return expression, field
    kind = field.type
    if kind.kind == "ARRAY" and kind.element is not None:
        name = f"x{depth}"
        value, inner = _narrowed(name, Field(field.name, kind.element), tree, path, depth + 1)
        return f"list_transform({expression}, lambda {name}: {value})", Field(
            field.name, Type("ARRAY", element=inner.type)
        )
    chosen = []
    for kept in kind.fields:
        deeper = tree.get(kept.name.lower())
        if deeper is not None:
            chosen.append(_narrowed(member(expression, kept.name), kept, deeper, f"{path}{kept.name}.", depth))
    if len(chosen) < len(tree):
        raise invalid(f"A field below {path[:-1]} was not found in the table's schema (selectedFields)")
    parts = ", ".join(f"{quoted(inner.name)} := {value}" for value, inner in chosen)
    made = Field(field.name, Type("STRUCT", fields=tuple(inner for _, inner in chosen)))
    return f"CASE WHEN {expression} IS NOT NULL THEN struct_pack({parts}) END", made


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
