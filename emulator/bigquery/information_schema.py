"""INFORMATION_SCHEMA: SCHEMATA, TABLES, VIEWS, COLUMNS, COLUMN_FIELD_PATHS and TABLE_OPTIONS.

https://cloud.google.com/bigquery/docs/information-schema-intro
"""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import TYPE_CHECKING, Any, Protocol

from .names import denied_dataset, denied_project, no_dataset
from .sql.errors import SqlError, UnsupportedError, position
from .sql.relations import Relation
from .types import INT64, STRING, TIMESTAMP, Type, columns, duckdb_type, quoted, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlglot import exp

    from .catalog import Catalog

_SCHEMATA = (
    ("catalog_name", STRING),
    ("schema_name", STRING),
    ("schema_owner", STRING),
    ("creation_time", TIMESTAMP),
    ("last_modified_time", TIMESTAMP),
    ("location", STRING),
    ("ddl", STRING),
    ("default_collation_name", STRING),
)
_TABLES = (
    ("table_catalog", STRING),
    ("table_schema", STRING),
    ("table_name", STRING),
    ("table_type", STRING),
    ("is_insertable_into", STRING),
    ("is_typed", STRING),
    ("creation_time", TIMESTAMP),
    ("ddl", STRING),
)
_VIEWS = (
    ("table_catalog", STRING),
    ("table_schema", STRING),
    ("table_name", STRING),
    ("view_definition", STRING),
    ("check_option", STRING),
    ("use_standard_sql", STRING),
)
_COLUMNS = (
    ("table_catalog", STRING),
    ("table_schema", STRING),
    ("table_name", STRING),
    ("column_name", STRING),
    ("ordinal_position", INT64),
    ("is_nullable", STRING),
    ("data_type", STRING),
    ("is_generated", STRING),
    ("generation_expression", STRING),
    ("is_stored", STRING),
    ("is_hidden", STRING),
    ("is_updatable", STRING),
    ("is_system_defined", STRING),
    ("is_partitioning_column", STRING),
    ("clustering_ordinal_position", INT64),
    ("collation_name", STRING),
    ("column_default", STRING),
    ("rounding_mode", STRING),
)
_FIELD_PATHS = (
    ("table_catalog", STRING),
    ("table_schema", STRING),
    ("table_name", STRING),
    ("column_name", STRING),
    ("field_path", STRING),
    ("data_type", STRING),
    ("description", STRING),
    ("collation_name", STRING),
    ("rounding_mode", STRING),
)
_OPTIONS = (
    ("table_catalog", STRING),
    ("table_schema", STRING),
    ("table_name", STRING),
    ("option_name", STRING),
    ("option_type", STRING),
    ("option_value", STRING),
)
_VIEWS_OF: dict[str, tuple[tuple[str, Type], ...]] = {
    "SCHEMATA": _SCHEMATA,
    "TABLES": _TABLES,
    "VIEWS": _VIEWS,
    "COLUMNS": _COLUMNS,
    "COLUMN_FIELD_PATHS": _FIELD_PATHS,
    "TABLE_OPTIONS": _OPTIONS,
}


class Asker(Protocol):
    """Who asks: the session of a query."""

    catalog: Catalog
    principal: str
    project: str
    location: str | None
    sql: str


def relation(asker: Asker, prefix: str | None, view: str, node: exp.Expression) -> Relation:
    """The rows of one view, as the caller may see them.

    Args:
        asker: who asks.
        prefix: what stands in front: ``dataset``, ``project.dataset``, ``region-eu``, ``project.region-eu`` or nothing.
        view: the view's name.
        node: where it stands.
    """
    shape = _VIEWS_OF.get(view)
    if shape is None:
        raise UnsupportedError(
            f"INFORMATION_SCHEMA.{view} (there are {', '.join(_VIEWS_OF)})", position(node, asker.sql)
        )
    project, scope = asker.project, None
    words = (prefix or "").split(".") if prefix else []
    if words and words[-1].lower().startswith("region-"):
        region = words.pop()[len("region-") :]
        project = words[0] if words else project
        rows = list(_rows(asker, view, _in_region(asker.catalog, project, region), project))
    elif view == "SCHEMATA" and len(words) <= 1:
        project = words[0] if words else project
        rows = list(_rows(asker, view, _in_region(asker.catalog, project, asker.location), project))
    elif words:
        scope = words[-1]
        project = words[0] if len(words) > 1 else project
        if not asker.catalog.allowed(asker.principal, "bigquery.tables.list", project, scope):
            raise denied_dataset("bigquery.tables.list", project, scope)
        if asker.catalog.find_dataset(project, scope) is None:
            raise no_dataset(project, scope, asker.location or "US")
        rows = list(_rows(asker, view, [scope], project))
    else:
        raise SqlError(
            f"INFORMATION_SCHEMA.{view} must be qualified with a dataset or region", position(node, asker.sql)
        )
    return Relation(_values(shape, rows), [(name, kind, name) for name, kind in shape])


_META = (
    ("project_id", STRING),
    ("dataset_id", STRING),
    ("table_id", STRING),
    ("creation_time", INT64),
    ("last_modified_time", INT64),
    ("row_count", INT64),
    ("size_bytes", INT64),
    ("type", INT64),
)


def tables(asker: Asker, project: str, dataset: str) -> Relation:
    """``dataset.__TABLES__``: tables and views with their sizes; times in milliseconds, type 1 is a table, 2 a view.

    Raises:
        ApiError: 403 or 404.
    """
    catalog = asker.catalog
    if not catalog.allowed(asker.principal, "bigquery.tables.list", project, dataset):
        raise denied_dataset("bigquery.tables.list", project, dataset)
    if catalog.find_dataset(project, dataset) is None:
        raise no_dataset(project, dataset, asker.location or "US")
    rows = []
    for name in catalog.table_names(project, dataset):
        document = catalog.find_table(name)
        if document is None:
            continue
        resource = document["resource"]
        is_view = "view" in resource
        times = (int(resource["creationTime"]), int(resource.get("lastModifiedTime", resource["creationTime"])))
        sizes = (0, 0) if is_view else (catalog.count(document), catalog.size(document))
        rows.append((project, dataset, name.table, *times, *sizes, 2 if is_view else 1))
    return Relation(_values(_META, rows), [(name, kind, name) for name, kind in _META])


def _in_region(catalog: Catalog, project: str, region: str | None) -> list[str]:
    return [
        key.partition("/")[2]
        for key in catalog.datasets.keys_under(f"{project}/")
        if region is None or catalog.datasets[key]["location"].lower() == region.lower()
    ]


def _rows(asker: Asker, view: str, datasets: list[str], project: str) -> Iterator[tuple[Any, ...]]:
    catalog = asker.catalog
    if (
        view == "SCHEMATA"
        and not datasets
        and not catalog.emulator.iam.allowed(asker.principal, "bigquery.datasets.get", f"projects/{project}")
    ):
        raise denied_project("bigquery.datasets.get", project)
    for dataset in datasets:
        if not catalog.allowed(asker.principal, "bigquery.tables.list", project, dataset):
            continue
        if view == "SCHEMATA":
            resource = catalog.datasets[f"{project}/{dataset}"]
            times = (_moment(resource["creationTime"]), _moment(resource["lastModifiedTime"]))
            yield (project, dataset, None, *times, resource["location"], None, "NULL")
            continue
        for name in catalog.table_names(project, dataset):
            document = catalog.find_table(name)
            if document is None or not catalog.allowed(
                asker.principal, "bigquery.tables.get", project, dataset, name.table
            ):
                continue
            yield from _of_table(view, (project, dataset, name.table), document["resource"])


def _of_table(view: str, name: tuple[str, str, str], resource: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    is_view = "view" in resource
    fields = resource.get("schema", {}).get("fields", [])
    match view:
        case "TABLES":
            kind = "VIEW" if is_view else "BASE TABLE"
            yield (
                *name,
                kind,
                "NO" if is_view else "YES",
                "NO",
                _moment(resource["creationTime"]),
                _ddl(name, resource),
            )
        case "VIEWS" if is_view:
            yield (*name, resource["view"]["query"], None, "YES")
        case "COLUMNS":
            partition = str(resource.get("timePartitioning", {}).get("field", "")).lower()
            clustering = [field.lower() for field in resource.get("clustering", {}).get("fields", [])]
            for position, (field, column) in enumerate(zip(fields, columns(fields), strict=True), 1):
                lowered = column.name.lower()
                nullable = "NO" if field.get("mode") == "REQUIRED" else "YES"
                cluster = clustering.index(lowered) + 1 if lowered in clustering else None
                flags = ("NEVER", None, None, "NO", None, "NO", "YES" if lowered == partition else "NO")
                yield (*name, column.name, position, nullable, str(column.type), *flags, cluster, "NULL", "NULL", None)
        case "COLUMN_FIELD_PATHS":
            for field, column in zip(fields, columns(fields), strict=True):
                for path, shown, description in _paths(field, column.name, column.type):
                    yield (*name, column.name, path, str(shown), description, "NULL", None)
        case "TABLE_OPTIONS":
            for key, option, type_name in (
                ("description", "description", "STRING"),
                ("friendlyName", "friendly_name", "STRING"),
            ):
                if key in resource:
                    yield (*name, option, type_name, json.dumps(resource[key]))


def _ddl(name: tuple[str, str, str], resource: dict[str, Any]) -> str:
    """The statement that makes a table or view."""
    shown = ".".join(name)
    if "view" in resource:
        return f"CREATE VIEW `{shown}`\nAS {resource['view']['query']};"
    fields = resource.get("schema", {}).get("fields", [])
    from .sql.parser import RESERVED

    lines = []
    for field, column in zip(fields, columns(fields), strict=True):
        needed = " NOT NULL" if field.get("mode") == "REQUIRED" else ""
        described = f" OPTIONS(description={json.dumps(field['description'])})" if field.get("description") else ""
        bare = re.fullmatch(r"[A-Za-z_]\w*", column.name) is not None and column.name.upper() not in RESERVED
        shown_name = column.name if bare else f"`{column.name}`"
        lines.append(f"  {shown_name} {column.type}{needed}{described}")
    text_ = f"CREATE TABLE `{shown}`\n(\n" + ",\n".join(lines) + "\n)"
    parts, ranges = resource.get("timePartitioning"), resource.get("rangePartitioning")
    if parts and parts.get("field"):
        kinds = {column.name.lower(): column.type.kind for column in columns(fields)}
        kind, unit = kinds.get(parts["field"].lower(), "DATE"), parts.get("type", "DAY")
        plain = parts["field"] if kind == "DATE" else f"DATE({parts['field']})"
        truncated = f"{kind}_TRUNC({parts['field']}, {unit})"
        text_ += f"\nPARTITION BY {plain if unit == 'DAY' else truncated}"
    if ranges:
        bounds = ranges["range"]
        series = f"GENERATE_ARRAY({bounds['start']}, {bounds['end']}, {bounds['interval']})"
        text_ += f"\nPARTITION BY RANGE_BUCKET({ranges['field']}, {series})"
    if resource.get("clustering"):
        text_ += f"\nCLUSTER BY {', '.join(resource['clustering']['fields'])}"
    return text_ + ";"


def _paths(field: dict[str, Any], path: str, kind: Type) -> Iterator[tuple[str, Type, str | None]]:
    yield path, kind, field.get("description")
    inner = kind.element if kind.kind == "ARRAY" and kind.element else kind
    for deeper, one in zip(field.get("fields", []), inner.fields, strict=True):
        yield from _paths(deeper, f"{path}.{one.name}", one.type)


def _moment(millis: str) -> dt.datetime:
    return dt.datetime(1970, 1, 1) + dt.timedelta(milliseconds=int(millis))  # noqa: DTZ001 - UTC by definition


def _values(shape: tuple[tuple[str, Type], ...], rows: list[tuple[Any, ...]]) -> str:
    names = ", ".join(quoted(name) for name, _ in shape)
    if not rows:
        nulls = ", ".join(f"CAST(NULL AS {duckdb_type(kind)}) AS {quoted(name)}" for name, kind in shape)
        return f"(SELECT {nulls} WHERE false)"
    lines = ", ".join("(" + ", ".join(_literal(value) for value in row) + ")" for row in rows)
    cast = ", ".join(f"CAST({quoted(name)} AS {duckdb_type(kind)}) AS {quoted(name)}" for name, kind in shape)
    return f"(SELECT {cast} FROM (VALUES {lines}) AS v({names}))"  # noqa: S608 - quoted by functions made for it


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dt.datetime):
        return f"TIMESTAMP '{value.isoformat(' ')}'"
    return text(str(value))
