"""What DDL statements say of tables: columns, partitions, options.

https://cloud.google.com/bigquery/docs/reference/standard-sql/data-definition-language
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlglot import exp

from ..names import TableName
from ..sql.queries import Compiler
from ..sql.values import coerced
from ..types import TIMESTAMP, Field, schema_field
from .outcomes import Outcome


def ddl_outcome(
    kind: str, operation: str, name: TableName | None = None, dataset: dict[str, str] | None = None
) -> Outcome:
    """What a DDL statement did: its kind, ``CREATE``, ``SKIP``, ``REPLACE``…, and to which table or dataset."""
    ddl: dict[str, Any] = {"ddlOperationPerformed": operation}
    if name is not None:
        ddl["ddlTargetTable"] = name.reference
    if dataset is not None:
        ddl["ddlTargetDataset"] = dataset
    return Outcome(kind, ddl=ddl)


def column_of(compiler: Compiler, node: Any) -> dict[str, Any]:
    """A TableFieldSchema from a column definition."""
    if not isinstance(node, exp.ColumnDef):
        raise compiler.unsupported(f"{type(node).__name__} in a table definition", node)
    if node.args.get("kind") is None:
        raise compiler.error(f"Column {node.name} has no type", node)
    made = schema_of(compiler, node.name, node.args["kind"])
    for constraint in node.args.get("constraints") or []:
        kind = constraint.args.get("kind")
        if isinstance(kind, exp.NotNullColumnConstraint):
            made["mode"] = "REQUIRED"
        elif isinstance(kind, exp.Properties):
            for one in kind.expressions:
                if one.this.name.lower() == "description":
                    made["description"] = one.args["value"].name
        elif isinstance(kind, exp.PrimaryKeyColumnConstraint):
            continue
        else:
            raise compiler.unsupported(f"{type(kind).__name__} of a column", node)
    return made


def schema_of(compiler: Compiler, name: str, kind: Any) -> dict[str, Any]:
    """A column of a type that is written out, as a TableFieldSchema object."""
    return schema_field(Field(name, compiler.type_of(kind)))


def partitioning(compiler: Compiler, node: Any) -> dict[str, Any]:
    """What PARTITION BY stands for in a Table resource.

    Raises:
        ApiError: 501 for an expression that is not served.
    """
    if isinstance(node, (exp.Column, exp.Identifier)):
        return {"timePartitioning": {"type": "DAY", "field": node.name}}
    if isinstance(node, exp.Anonymous):
        name = str(node.name).upper()
        first = node.expressions[0] if node.expressions else None
        if name == "DATE" and isinstance(first, exp.Column):
            return {"timePartitioning": {"type": "DAY", "field": first.name}}
        if name in ("DATE_TRUNC", "TIMESTAMP_TRUNC", "DATETIME_TRUNC") and isinstance(first, exp.Column):
            return {"timePartitioning": {"type": node.expressions[1].name.upper(), "field": first.name}}
        if name == "RANGE_BUCKET" and isinstance(first, exp.Column):
            bounds = [one.name for one in node.expressions[1].expressions]
            start, end, step = [*bounds, "0", "0", "1"][:3]
            return {"rangePartitioning": {"field": first.name, "range": {"start": start, "end": end, "interval": step}}}
    raise compiler.unsupported("this PARTITION BY", node)


_OPTION_FIELDS = {
    "description": "description",
    "friendly_name": "friendlyName",
    "labels": "labels",
    "require_partition_filter": "requirePartitionFilter",
    "default_table_expiration_days": "defaultTableExpirationMs",
    "location": "location",
    "expiration_timestamp": "expirationTime",
    "kms_key_name": "encryptionConfiguration",
    "default_kms_key_name": "defaultEncryptionConfiguration",
}


def option(compiler: Compiler, name: str, node: Any) -> dict[str, Any]:
    """A field of the REST resource from an entry of OPTIONS()."""
    key = _OPTION_FIELDS.get(name)
    if key is None:
        raise compiler.unsupported(f"the option {name}", node)
    if isinstance(node, exp.Null):
        return {key: None}
    if key == "labels":
        pairs = [one.expressions for one in node.expressions]
        return {key: {pair[0].name: pair[1].name for pair in pairs}}
    value = compiler.compile(node)
    if key == "expirationTime":
        made = coerced(value, TIMESTAMP)
        if made is None or made.literal is None:
            raise compiler.unsupported("an expiration_timestamp that is not a literal", node)
        epoch = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - UTC by definition
        return {key: str(int((made.literal - epoch).total_seconds() * 1000))}
    if key == "defaultTableExpirationMs":
        return {key: str(int(float(value.literal) * 86_400_000))}
    if not value.constant:
        raise compiler.unsupported(f"the option {name} with anything but a literal", node)
    if name in ("kms_key_name", "default_kms_key_name"):
        return {key: {"kmsKeyName": value.literal}}
    return {key: value.literal}
