"""``bigquery.tables``: tables and views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.errors import ApiError, invalid
from ..core.projects import project_number
from ..http.paging import page
from ..http.routing import Routes
from .catalog import Catalog, check_etag, reads
from .encryption import settled
from .names import TableName, already_exists, check_table_id, no_table, table_policy
from .rows import reshape_table
from .types import SchemaMismatchError, checked_schema, columns, union_schema
from .writing import WRITABLE, writable

if TYPE_CHECKING:
    from ..http.call import Call

routes = Routes("bigquery")


_NOTE = (
    "materialized views, external tables, snapshots and clones are refused with 501, and so are collations, required "
    "partition filters, and default values, lengths and precisions of columns; partitioning and clustering are "
    "kept and checked, and change nothing"
)


def shown(call: Call, catalog: Catalog, name: TableName, document: dict[str, Any], view: str = "") -> dict[str, Any]:
    """The REST resource of a table or view.

    Args:
        call: whose address is written into ``selfLink``.
        catalog: where the table is.
        name: which.
        document: its document.
        view: ``BASIC`` leaves the counts out.
    """
    resource = {key: value for key, value in document["resource"].items() if key != "owner"}
    dataset = catalog.find_dataset(name.project, name.dataset) or {}
    is_view = "view" in resource
    made: dict[str, Any] = {
        "kind": "bigquery#table",
        "id": name.text,
        "selfLink": f"{call.base_url}/bigquery/v2/projects/{name.project}/datasets/{name.dataset}/tables/{name.table}",
        "type": "VIEW" if is_view else "TABLE",
        "location": dataset.get("location", "US"),
        **resource,
    }
    partitioning = resource.get("timePartitioning") or resource.get("rangePartitioning") or {}
    if partitioning.get("field"):
        made["partitionDefinition"] = {"partitionedColumn": [{"field": partitioning["field"]}]}
    if view == "BASIC":
        return made
    rows, size = (0, 0) if is_view else (catalog.count(document), catalog.size(document))
    made.update(numRows=str(rows), numBytes=str(size), numLongTermBytes="0", numTotalLogicalBytes=str(size))
    made.update(numActiveLogicalBytes=str(size), numLongTermLogicalBytes="0")
    return made


@routes.method("tables.insert", blocking=True, note=_NOTE)
@reads
def insert(call: Call) -> dict[str, Any]:
    """Create a table or view."""
    catalog, project, dataset = _dataset(call)
    reference = call.body.get("tableReference") or {}
    table = reference.get("tableId")
    if not table:
        raise invalid("Required parameter is missing: tableReference.tableId", reason="required")
    for key, own in (("projectId", (project, project_number(project))), ("datasetId", (dataset,))):
        if reference.get(key) not in (None, "", *own):
            raise invalid(f"tableReference.{key} is {reference[key]}, the request is about {own[0]}")
    name = TableName(project, dataset, check_table_id(table))
    catalog.require_dataset(call.principal, "bigquery.tables.create", project, dataset)
    catalog.dataset(project, dataset)
    made = shown(call, catalog, name, create(catalog, call.principal, name, call.body))
    # A table without a schema says so here, and has none when it is read.
    return {"schema": {}, **made}


def create(
    catalog: Catalog, principal: str, name: TableName, body: dict[str, Any], *, replace: bool = False
) -> dict[str, Any]:
    """Create a table or view from a Table resource, in place of an old view if ``replace``; returns its document.

    Raises:
        ApiError: 400 for a bad schema, setting or view query; 409 if it exists.
    """
    view = body.get("view")
    if view:
        resource = view_resource(catalog, principal, name, view, body.get("schema"))
        resource = {**writable(body, resource["schema"]["fields"]), **resource}
    else:
        fields = checked_schema(body.get("schema", {}).get("fields", []))
        resource = writable(body, fields)
        if fields or "schema" in body:
            resource["schema"] = {"fields": fields}
    with catalog.engine.locked(name.key):
        if not replace and catalog.find_table(name) is not None:
            raise already_exists("Table", name.text)
        resource = settled(catalog, name, resource)
        physical = None
        if not view:
            physical = catalog.engine.write(lambda cursor: catalog.create_rows(cursor, columns(fields)))
        return catalog.keep_table(name, resource, physical)


def view_resource(
    catalog: Catalog, principal: str, name: TableName, view: dict[str, Any], schema: dict[str, Any] | None
) -> dict[str, Any]:
    """``view`` and ``schema`` of a view, whose query is checked by the SQL engine.

    Raises:
        ApiError: 400 if the query is not valid, or legacy SQL; 403 if the caller may not read what it reads.
    """
    if view.get("useLegacySql", True) in (True, "true"):
        raise invalid(
            "The emulator serves views in GoogleSQL only. useLegacySql is true unless a request sets it: send "
            '"useLegacySql": false.'
        )
    if view.get("userDefinedFunctionResources"):
        raise ApiError(501, "The emulator does not serve user-defined functions in views.")
    text = view.get("query") or ""
    if not text.strip():
        raise invalid("Required parameter is missing: view.query", reason="required")
    from .views import view_schema  # not at the top, as in jobs

    fields, _ = view_schema(catalog, principal, name.project, text)
    given = (schema or {}).get("fields") or []
    if given and len(given) != len(fields):
        raise invalid(f"The view's schema has {len(given)} columns, its query has {len(fields)}")
    for own, other in zip(fields, given, strict=False):
        own["name"] = other.get("name", own["name"])
        if other.get("description"):
            own["description"] = other["description"]
    return {"view": {"query": text, "useLegacySql": False}, "schema": {"fields": checked_schema(fields)}}


@routes.method("tables.get", blocking=True)
@reads
def get(call: Call) -> dict[str, Any]:
    """Read a table or view."""
    catalog, name = _table(call)
    catalog.require_table(call.principal, "bigquery.tables.get", name)
    made = shown(call, catalog, name, catalog.table(name), call.query.get("view", ""))
    selected = call.query.get("selectedFields")
    if selected and "schema" in made:
        wanted = {part.strip().lower() for part in selected.split(",")}
        fields = [field for field in made["schema"].get("fields", ()) if field["name"].lower() in wanted]
        made["schema"] = {"fields": fields} if fields else {}
    return made


@routes.method("tables.list")
def list_(call: Call) -> dict[str, Any]:
    """The tables and views of a dataset."""
    catalog, project, dataset = _dataset(call)
    catalog.require_dataset(call.principal, "bigquery.tables.list", project, dataset)
    catalog.dataset(project, dataset)
    found = {name.table: name for name in catalog.table_names(project, dataset)}
    names, token = page(sorted(found), call.page_size("maxResults", 50, 10_000), call.query.get("pageToken"))
    listed = []
    for table in names:
        resource = catalog.tables[found[table].key]["resource"]
        entry: dict[str, Any] = {
            "kind": "bigquery#table",
            "id": found[table].text,
            "tableReference": found[table].reference,
            "type": "VIEW" if "view" in resource else "TABLE",
            "creationTime": resource["creationTime"],
        }
        keep = ("labels", "friendlyName", "timePartitioning", "rangePartitioning", "clustering", "expirationTime")
        entry.update({key: resource[key] for key in keep if key in resource})
        if "view" in resource:
            entry["view"] = {"useLegacySql": False}
        listed.append(entry)
    answer: dict[str, Any] = {"kind": "bigquery#tableList", "etag": "list", "totalItems": len(found)}
    if listed:
        answer["tables"] = listed
    if token:
        answer["nextPageToken"] = token
    return answer


@routes.method("tables.patch", blocking=True)
@reads
def patch(call: Call) -> dict[str, Any]:
    """Change the fields that the request names; null removes one."""
    return _change(call, whole=False)


@routes.method("tables.update", blocking=True)
@reads
def update(call: Call) -> dict[str, Any]:
    """Replace what can be set."""
    return _change(call, whole=True)


def _change(call: Call, *, whole: bool) -> dict[str, Any]:
    catalog, name = _table(call)
    body = call.body
    catalog.require_table(call.principal, "bigquery.tables.update", name)
    with catalog.engine.locked(name.key):
        document = catalog.table(name)
        old = document["resource"]
        check_etag(call.headers.get("if-match"), old)
        new = {key: value for key, value in old.items() if not whole or key not in WRITABLE}
        for field in WRITABLE:
            if field in body and body[field] in (None, ""):
                new.pop(field, None)
        physical = document["physical"]
        if body.get("view"):
            if "view" not in old:
                raise invalid(f"Cannot change partitioning/clustering spec or type: {name.text} is a table, not a view")
            new.update(view_resource(catalog, call.principal, name, body["view"], body.get("schema")))
        elif body.get("schema") is not None and "fields" in body["schema"]:
            fields = checked_schema(body["schema"]["fields"])
            if "view" in old:
                new["schema"] = {"fields": fields}
            else:
                physical, new["schema"] = change_schema(catalog, name, document, fields)
        given = writable(body, new.get("schema", {}).get("fields", []))
        if not whole and body.get("labels") is not None:
            labels = {**old.get("labels", {}), **body["labels"]}
            given["labels"] = {key: value for key, value in labels.items() if value is not None}
        new.update(given)
        if given.get("encryptionConfiguration") not in (None, old.get("encryptionConfiguration")):
            new = settled(catalog, name, new)
        # A change that changes nothing leaves the etag and the time of the last change.
        same = new == old and physical == document["physical"]
        kept = document if same else catalog.keep_table(name, new, physical)
        if physical != document["physical"]:
            catalog.engine.drop(document["physical"])
        return shown(call, catalog, name, kept)


def change_schema(
    catalog: Catalog, name: TableName, document: dict[str, Any], fields: list[dict[str, Any]]
) -> tuple[str | None, dict[str, Any]]:
    """Give a table another schema: more columns, or REQUIRED ones that may be NULL from now on.

    Returns:
        The table of rows with these columns (a new one if it had to be copied), and the schema.

    Raises:
        ApiError: 400 if a column is missing in the new schema or has another type.
    """
    old = document["resource"].get("schema", {}).get("fields", [])
    try:
        _refuse_missing(old, fields)
        united, _ = union_schema(old, fields, relax=True)
    except SchemaMismatchError as error:
        raise invalid(f"Provided Schema does not match Table {name.text}. {error}") from None
    by_name = {field["name"].lower(): field for field in fields}
    described = [{**field, **_prose(by_name[field["name"].lower()])} for field in united]
    schema = {"fields": described}
    before, after = columns(old), columns(united)
    physical = document["physical"]
    if before == after:
        return physical, schema
    if physical is None:
        return catalog.engine.write(lambda cursor: catalog.create_rows(cursor, after)), schema
    return catalog.engine.write(lambda cursor: reshape_table(catalog, cursor, physical, before, after)), schema


def _prose(field: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in field.items() if key not in ("name", "type", "mode", "fields")}


def _refuse_missing(old: list[dict[str, Any]], new: list[dict[str, Any]], path: str = "") -> None:
    by_name = {field["name"].lower(): field for field in new}
    for field in old:
        other = by_name.get(field["name"].lower())
        if other is None:
            raise SchemaMismatchError(f"Field {path}{field['name']} is missing in new schema")
        if field["type"] == "RECORD" == other["type"]:
            _refuse_missing(field["fields"], other["fields"], f"{path}{field['name']}.")


@routes.method("tables.delete", blocking=True)
def delete(call: Call) -> None:
    """Delete a table or view."""
    catalog, name = _table(call)
    catalog.require_table(call.principal, "bigquery.tables.delete", name)
    with catalog.engine.locked(name.key):
        catalog.table(name)
        catalog.delete_table(name)


# --- policies of tables ---


@routes.method("tables.getIamPolicy")
def get_policy(call: Call) -> dict[str, Any]:
    """The allow policy of a table (not that of its dataset)."""
    catalog, name = _table_of_resource(call)
    catalog.require_table(call.principal, "bigquery.tables.getIamPolicy", name)
    _exists(catalog, name)
    return call.emulator.iam.get(table_policy(name)[0])


@routes.method("tables.setIamPolicy")
def set_policy(call: Call) -> dict[str, Any]:
    """Replace the allow policy of a table."""
    catalog, name = _table_of_resource(call)
    catalog.require_table(call.principal, "bigquery.tables.setIamPolicy", name)
    _exists(catalog, name)
    return call.emulator.iam.set(table_policy(name)[0], call.body.get("policy") or {})


@routes.method("tables.testIamPermissions")
def test_permissions(call: Call) -> dict[str, Any]:
    """Which of the named permissions the caller holds on a table."""
    catalog, name = _table_of_resource(call)
    _exists(catalog, name)
    held = [
        permission
        for permission in call.body.get("permissions", [])
        if catalog.allowed(call.principal, permission, name.project, name.dataset, name.table)
    ]
    return {"permissions": held} if held else {}


def _exists(catalog: Catalog, name: TableName) -> None:
    if catalog.find_table(name) is None:
        raise no_table(name)


def _dataset(call: Call) -> tuple[Catalog, str, str]:
    catalog = call.emulator.service(Catalog)
    return catalog, catalog.project(call.path["projectId"]), call.path["datasetId"]


def _table(call: Call) -> tuple[Catalog, TableName]:
    catalog, project, dataset = _dataset(call)
    return catalog, TableName(project, dataset, call.path["tableId"])


def _table_of_resource(call: Call) -> tuple[Catalog, TableName]:
    catalog = call.emulator.service(Catalog)
    project = catalog.project(call.path["projectsId"])
    return catalog, TableName(project, call.path["datasetsId"], call.path["tablesId"])
