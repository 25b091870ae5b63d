"""Copy jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.errors import ApiError, invalid
from .encryption import require_key, settled
from .names import TableName, already_exists, check_table_id, no_dataset, no_table
from .types import SchemaMismatchError, columns, quoted, union_schema

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from .work import Work


def table_of(reference: dict[str, Any], project: str, what: str) -> TableName:
    """The table of a TableReference.

    Raises:
        ApiError: 400 if its dataset or table is missing.
    """
    if not reference.get("datasetId") or not reference.get("tableId"):
        raise invalid(f"Required parameter is missing: {what} has datasetId and tableId", reason="required")
    return TableName(reference.get("projectId") or project, reference["datasetId"], reference["tableId"])


def run_copy(work: Work) -> None:
    """Run a copy job.

    Raises:
        ApiError: a table is missing, not permitted, or does not fit the others.
    """
    catalog, options = work.catalog, work.configuration["copy"]
    if options.get("operationType") not in (None, "", "COPY", "OPERATION_TYPE_UNSPECIFIED"):
        raise ApiError(501, f"The emulator does not serve copy jobs with operationType {options['operationType']}.")
    given = options.get("sourceTables") or ([options["sourceTable"]] if options.get("sourceTable") else [])
    if not given:
        raise invalid("Required parameter is missing: sourceTable", reason="required")
    sources = [table_of(one, work.project, "sourceTable") for one in given]
    target = table_of(options.get("destinationTable") or {}, work.project, "destinationTable")
    check_table_id(target.table)
    documents = []
    for source in sources:
        catalog.require_table(work.principal, "bigquery.tables.getData", source)
        document = catalog.table(source, work.location or "US")
        if "view" in document["resource"]:
            raise invalid(f"{source.text} is not a table; views can't be copied")
        require_key(catalog, source, document["resource"])
        documents.append(document)
    old = catalog.find_table(target)
    if old is None:
        catalog.require_dataset(work.principal, "bigquery.tables.create", target.project, target.dataset)
    else:
        catalog.require_table(work.principal, "bigquery.tables.updateData", target)
    dataset = catalog.find_dataset(target.project, target.dataset)
    if dataset is None:
        raise no_dataset(target.project, target.dataset, work.location or "US")
    work.location = dataset["location"]
    schema = documents[0]["resource"].get("schema", {}).get("fields", [])
    try:
        for document in documents[1:]:
            other = document["resource"].get("schema", {}).get("fields", [])
            _, grown = union_schema(schema, other)
            if grown or len(other) != len(schema):
                raise SchemaMismatchError("the tables have different columns")
    except SchemaMismatchError as error:
        raise invalid(f"Incompatible table schemas: {error}") from None
    with catalog.engine.locked(target.key):
        _write(work, options, target, documents, schema)


def _write(
    work: Work,
    options: dict[str, Any],
    target: TableName,
    documents: list[dict[str, Any]],
    schema: list[dict[str, Any]],
) -> None:
    catalog = work.catalog
    old = catalog.find_table(target)
    disposition = options.get("writeDisposition") or "WRITE_EMPTY"
    if old is None and options.get("createDisposition") == "CREATE_NEVER":
        raise no_table(target, work.location)
    if old is not None and disposition == "WRITE_EMPTY" and catalog.count(old):
        raise already_exists("Table", target.text)
    append = old is not None and disposition == "WRITE_APPEND" and old["physical"] is not None
    if append and old is not None:
        try:
            _, grown = union_schema(old["resource"]["schema"]["fields"], schema)
        except SchemaMismatchError as error:
            raise invalid(f"Provided Schema does not match Table {target.text}. {error}") from None
        if grown:
            raise invalid(f"Provided Schema does not match Table {target.text}. Cannot add fields")

    keep = ("timePartitioning", "rangePartitioning", "clustering", "description", "labels")
    resource = dict(old["resource"]) if old is not None else {}
    if not append:
        own = documents[0]["resource"]
        resource = {**resource, **{key: own[key] for key in keep if key in own}, "schema": {"fields": schema}}
    if options.get("destinationExpirationTime"):
        resource["expirationTime"] = str(options["destinationExpirationTime"])
    resource = settled(catalog, target, resource, options.get("destinationEncryptionConfiguration"), append=append)

    def work_(cursor: DuckDBPyConnection) -> tuple[str | None, int]:
        physical = old["physical"] if append and old is not None else catalog.create_rows(cursor, columns(schema))
        names = ", ".join(quoted(field["name"]) for field in schema)
        rows = 0
        for document in documents:
            if physical and document["physical"]:
                sql = f'INSERT INTO "{physical}" ({names}) SELECT {names} FROM "{document["physical"]}"'  # noqa: S608
                row = cursor.execute(sql).fetchone()
                rows += int(row[0]) if row else 0
        return physical, rows

    physical, rows = catalog.engine.write(work_)
    kept = catalog.keep_table(target, resource, physical)
    if old is not None and old["physical"] != physical:
        catalog.engine.drop(old["physical"])
    work.statistics["copy"] = {"copiedRows": str(rows), "copiedLogicalBytes": str(catalog.size(kept))}
