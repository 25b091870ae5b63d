"""BigQuery's types: as table schemas write them, as GoogleSQL names them, and as DuckDB holds them.

https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types

TIMESTAMP and DATETIME are held alike, as microseconds without a zone; a TIMESTAMP's are always UTC. Which of the two
a column is, is known from the table's schema.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from ..core.errors import invalid

#: Deepest nesting of RECORD columns.
DEEPEST = 15
#: Most columns of a table, nested ones included.
MOST_COLUMNS = 10_000


@dataclass(frozen=True, slots=True)
class Type:
    """A GoogleSQL type.

    Attributes:
        kind: ``INT64``, ``STRING``… or ``STRUCT`` or ``ARRAY``; ``NULL`` is the type of a bare NULL.
        fields: the fields of a STRUCT.
        element: the type of an ARRAY's elements; None for an empty array literal.
    """

    kind: str
    fields: tuple[Field, ...] = ()
    element: Type | None = None

    def __str__(self) -> str:
        if self.kind == "STRUCT":
            return "STRUCT<" + ", ".join(f"{field.shown}{field.type}" for field in self.fields) + ">"
        if self.kind == "ARRAY":
            return f"ARRAY<{self.element or INT64}>"
        return self.kind

    def field(self, name: str) -> Field | None:
        """The field with this name, whatever its case."""
        lowered = name.lower()
        for field in self.fields:
            if field.name.lower() == lowered:
                return field
        return None


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a STRUCT, or a column."""

    name: str
    type: Type
    anonymous: bool = False

    @property
    def shown(self) -> str:
        """The name in front of the type in a message."""
        return "" if self.anonymous else f"{self.name} "


INT64 = Type("INT64")
FLOAT64 = Type("FLOAT64")
NUMERIC = Type("NUMERIC")
BIGNUMERIC = Type("BIGNUMERIC")
BOOL = Type("BOOL")
STRING = Type("STRING")
BYTES = Type("BYTES")
DATE = Type("DATE")
TIME = Type("TIME")
DATETIME = Type("DATETIME")
TIMESTAMP = Type("TIMESTAMP")
INTERVAL = Type("INTERVAL")
JSON = Type("JSON")
NULL = Type("NULL")

SCALARS: dict[str, Type] = {
    kind.kind: kind
    for kind in (
        INT64,
        FLOAT64,
        NUMERIC,
        BIGNUMERIC,
        BOOL,
        STRING,
        BYTES,
        DATE,
        TIME,
        DATETIME,
        TIMESTAMP,
        INTERVAL,
        JSON,
    )
}

#: Names in a table schema, and the other names of types in SQL.
ALIASES: dict[str, str] = {
    "INTEGER": "INT64",
    "INT": "INT64",
    "SMALLINT": "INT64",
    "BIGINT": "INT64",
    "TINYINT": "INT64",
    "BYTEINT": "INT64",
    "FLOAT": "FLOAT64",
    "BOOLEAN": "BOOL",
    "DECIMAL": "NUMERIC",
    "BIGDECIMAL": "BIGNUMERIC",
    "RECORD": "STRUCT",
}

#: What the REST API calls them in a schema.
LEGACY: dict[str, str] = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD"}

DUCKDB: dict[str, str] = {
    "INT64": "BIGINT",
    "FLOAT64": "DOUBLE",
    "NUMERIC": "DECIMAL(38,9)",
    # DuckDB's decimals have 38 digits, BigQuery's BIGNUMERIC has 76: what does not fit is an error, never rounded.
    "BIGNUMERIC": "DECIMAL(38,18)",
    "BOOL": "BOOLEAN",
    "STRING": "VARCHAR",
    "BYTES": "BLOB",
    "DATE": "DATE",
    "TIME": "TIME",
    "DATETIME": "TIMESTAMP",
    "TIMESTAMP": "TIMESTAMP",
    "INTERVAL": "INTERVAL",
    "JSON": "JSON",
    "NULL": "BIGINT",
}


def array(element: Type | None) -> Type:
    """ARRAY of the element type."""
    return Type("ARRAY", element=element)


def struct(fields: tuple[Field, ...]) -> Type:
    """STRUCT of the fields."""
    return Type("STRUCT", fields=fields)


def quoted(name: str) -> str:
    """A DuckDB identifier."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """A DuckDB string literal."""
    if "\0" in value:
        return "(" + " || chr(0) || ".join(text(part) for part in value.split("\0")) + ")"
    return "'" + value.replace("'", "''") + "'"


def duckdb_type(kind: Type) -> str:
    """How DuckDB writes the type."""
    if kind.kind == "STRUCT":
        return "STRUCT(" + ", ".join(f"{quoted(field.name)} {duckdb_type(field.type)}" for field in kind.fields) + ")"
    if kind.kind == "ARRAY":
        return duckdb_type(kind.element or INT64) + "[]"
    return DUCKDB[kind.kind]


# --- table schemas ---------------------------------------------------------------------------------------------


def column_type(field: dict[str, Any]) -> Type:
    """The type of a column of a table schema (a TableFieldSchema that was checked)."""
    kind = field["type"].upper()
    kind = ALIASES.get(kind, kind)
    base = struct(columns(field["fields"])) if kind == "STRUCT" else SCALARS[kind]
    return array(base) if field.get("mode", "NULLABLE").upper() == "REPEATED" else base


def columns(fields: list[dict[str, Any]]) -> tuple[Field, ...]:
    """The columns of a table schema."""
    return tuple(Field(field["name"], column_type(field)) for field in fields)


def schema_field(field: Field) -> dict[str, Any]:
    """A TableFieldSchema for a column."""
    kind, mode = field.type, "NULLABLE"
    if kind.kind == "ARRAY":
        kind, mode = kind.element or INT64, "REPEATED"
    name = "INT64" if kind.kind == "NULL" else kind.kind
    made: dict[str, Any] = {"name": field.name, "type": LEGACY.get(name, name), "mode": mode}
    if kind.kind == "STRUCT":
        made["fields"] = [schema_field(inner) for inner in kind.fields]
    return made


_NAME = re.compile(r"[^\W\d][\w \-&%=+:'<>#|]{0,299}", re.UNICODE)
_RESERVED_PREFIXES = ("_table_", "_file_", "_partition", "_row_timestamp", "__root__", "_colidentifier")


def checked_schema(fields: list[dict[str, Any]], depth: int = 1, path: str = "") -> list[dict[str, Any]]:
    """A table schema with legacy type names and explicit modes.

    Args:
        fields: TableFieldSchema objects as a client sent them.
        depth: nesting of RECORDs so far.
        path: name of the record that holds the fields, for messages.

    Raises:
        ApiError: 400, naming the field that is wrong.
    """
    seen: set[str] = set()
    made = []
    for field in fields:
        name = field.get("name", "")
        shown = f"{path}.{name}" if path else name
        if not _NAME.fullmatch(name) or name.lower().startswith(_RESERVED_PREFIXES):
            raise invalid(
                f'Invalid field name "{shown}". Fields must contain only letters, numbers, and underscores, start with '
                "a letter or underscore, and be at most 300 characters long.",
            )
        if name.lower() in seen:
            raise invalid(f"Field {shown} already exists in schema")
        seen.add(name.lower())
        made.append(_checked_field(field, shown, depth))
    if depth == 1 and _count(made) > MOST_COLUMNS:
        raise invalid(f"Too many total leaf fields: {_count(made)}, a table has at most {MOST_COLUMNS}")
    return made


def _checked_field(field: dict[str, Any], shown: str, depth: int) -> dict[str, Any]:
    given = str(field.get("type", "")).upper()
    kind = ALIASES.get(given, given)
    if kind not in SCALARS and kind != "STRUCT":
        if kind in ("GEOGRAPHY", "RANGE"):
            raise invalid(f"Field {shown}: the emulator does not serve the type {kind}")
        raise invalid(f"Invalid value for type: {field.get('type', '')} is not a valid value (field {shown})")
    mode = str(field.get("mode") or "NULLABLE").upper()
    if mode not in ("NULLABLE", "REQUIRED", "REPEATED"):
        raise invalid(f"Invalid value for mode: {field['mode']} is not a valid value (field {shown})")
    made = {key: value for key, value in field.items() if value is not None and key != "fields"}
    made.update(type=LEGACY.get(kind, kind), mode=mode)
    if not made.get("policyTags", {}).get("names"):
        made.pop("policyTags", None)  # no tags: BigQuery leaves the field out
    if kind == "STRUCT":
        if not field.get("fields"):
            raise invalid(f"Field {shown} is type RECORD but has no schema")
        if depth > DEEPEST:
            raise invalid(f"Field {shown} is nested deeper than {DEEPEST} levels")
        made["fields"] = checked_schema(field["fields"], depth + 1, shown)
    elif field.get("fields"):
        raise invalid(f"Field {shown} is type {made['type']} but has a schema")
    return made


def _count(fields: list[dict[str, Any]]) -> int:
    return sum(1 + _count(field.get("fields", [])) for field in fields)


class SchemaMismatchError(Exception):
    """Two schemas that can't be those of one table; the text names the field."""


def union_schema(
    old: list[dict[str, Any]], new: list[dict[str, Any]], path: str = "", *, relax: bool = False
) -> tuple[list[dict[str, Any]], bool]:
    """What becomes of a table's schema when rows with another schema are appended.

    Args:
        old: the table's schema.
        new: the schema of the rows.
        path: name of the record that holds the fields, for messages.
        relax: a REQUIRED column becomes NULLABLE if it is NULLABLE in ``new``.

    Returns:
        The union (the table's columns first, then the new ones), and whether it has more than ``old``.

    Raises:
        SchemaMismatchError: a column has another type or mode in the new schema, or a new column is REQUIRED.
    """
    by_name = {field["name"].lower(): field for field in new}
    grown = False
    made: list[dict[str, Any]] = []
    for field in old:
        shown = f"{path}.{field['name']}" if path else field["name"]
        other = by_name.pop(field["name"].lower(), None)
        if other is None:
            made.append(field)
            continue
        if field["type"] != other["type"]:
            raise SchemaMismatchError(f"Field {shown} has changed type from {field['type']} to {other['type']}")
        merged = dict(field)
        if field["mode"] != other["mode"]:
            if "REPEATED" in (field["mode"], other["mode"]):
                raise SchemaMismatchError(f"Field {shown} has changed mode from {field['mode']} to {other['mode']}")
            if field["mode"] == "REQUIRED" and relax:
                merged["mode"], grown = "NULLABLE", True
        if field["type"] == "RECORD":
            merged["fields"], more = union_schema(field["fields"], other["fields"], shown, relax=relax)
            grown = grown or more
        made.append(merged)
    for field in new:
        if field["name"].lower() in by_name:
            shown = f"{path}.{field['name']}" if path else field["name"]
            if field["mode"] == "REQUIRED":
                raise SchemaMismatchError(f"Cannot add required fields to an existing schema. (field: {shown})")
            made.append(field)
            grown = True
    return made, grown


# --- expressions over stored values ----------------------------------------------------------------------------


def lifted(expression: str, kind: Type, depth: int = 0) -> str:
    """A DuckDB expression for a value that is to be stored: BigQuery keeps no NULL arrays, at no level.

    Args:
        expression: a DuckDB expression of exactly this type.
        kind: its type.
        depth: nesting so far, for the names of lambda parameters.
    """
    if kind.kind == "ARRAY":
        element = kind.element or INT64
        whole = f"coalesce({expression}, [])"
        if not _has_arrays(element):
            return whole
        name = f"x{depth}"
        return f"list_transform({whole}, lambda {name}: {lifted(name, element, depth + 1)})"
    if kind.kind == "STRUCT" and _has_arrays(kind):
        inner = ", ".join(
            f"{quoted(field.name)} := {lifted(member(expression, field.name), field.type, depth)}"
            for field in kind.fields
        )
        return f"CASE WHEN {expression} IS NOT NULL THEN struct_pack({inner}) END"
    return expression


def _has_arrays(kind: Type) -> bool:
    return kind.kind == "ARRAY" or any(_has_arrays(field.type) for field in kind.fields)


def member(expression: str, name: str) -> str:
    """A field of a STRUCT."""
    return f"struct_extract({expression}, {text(name)})"


def reshaped(expression: str, old: Type, new: Type, depth: int = 0) -> str:
    """A stored value of type ``old`` as one of type ``new``, which has more fields or a wider type.

    Fields are matched by name; those that ``old`` lacks become NULL or an empty array.
    """
    if old == new:
        return expression
    if old.kind == "ARRAY" and new.kind == "ARRAY" and old.element and new.element:
        name = f"x{depth}"
        return f"list_transform({expression}, lambda {name}: {reshaped(name, old.element, new.element, depth + 1)})"
    if old.kind == "STRUCT" and new.kind == "STRUCT":
        parts = []
        for field in new.fields:
            known = old.field(field.name)
            value = (
                absent(field.type)
                if known is None
                else reshaped(member(expression, known.name), known.type, field.type, depth)
            )
            parts.append(f"{quoted(field.name)} := {value}")
        return f"CASE WHEN {expression} IS NOT NULL THEN struct_pack({', '.join(parts)}) END"
    return f"CAST({expression} AS {duckdb_type(new)})"


def absent(kind: Type) -> str:
    """What a row holds for a column that it was not given: NULL, or an empty array."""
    return f"CAST({'[]' if kind.kind == 'ARRAY' else 'NULL'} AS {duckdb_type(kind)})"


def relaxed(field: dict[str, Any]) -> dict[str, Any]:
    """The same column, with fields that may be NULL instead of required."""
    made = dict(field)
    if made.get("mode") == "REQUIRED":
        made["mode"] = "NULLABLE"
    if "fields" in made:
        made["fields"] = [relaxed(inner) for inner in made["fields"]]
    return made


def renamed(field: Field, name: str) -> Field:
    """The same column under another name."""
    return replace(field, name=name)
