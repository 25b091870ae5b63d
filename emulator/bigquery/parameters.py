"""Query parameters: from the request's JSON to typed literals.

https://cloud.google.com/bigquery/docs/parameterized-queries
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ..core.errors import invalid
from .rows import READERS, boolean, integer, timestamp
from .types import INT64, Field, Type, array, struct

if TYPE_CHECKING:
    from .sql.values import Expr


def parameter(given: dict[str, Any]) -> Expr:
    """The typed literal of a QueryParameter.

    Raises:
        ApiError: 400 if the type is unknown, or the value is none of the type.
    """
    kind = _type(given.get("parameterType") or {})
    return _value(kind, given.get("parameterValue") or {}, given.get("name") or "?")


def _type(given: dict[str, Any]) -> Type:
    from .sql.values import named_type

    name = str(given.get("type", "")).upper()
    if name == "ARRAY":
        return array(_type(given.get("arrayType") or {}))
    if name in ("STRUCT", "RECORD"):
        fields = []
        for index, one in enumerate(given.get("structTypes") or [], 1):
            shown = one.get("name")
            fields.append(Field(shown or f"_field_{index}", _type(one.get("type") or {}), anonymous=not shown))
        return struct(tuple(fields))
    made = named_type(name)
    if made is None:
        raise invalid(f"Invalid value for parameterType.type: {given.get('type')!r} is not a type of GoogleSQL")
    return made


def _value(kind: Type, given: dict[str, Any], name: str) -> Expr:
    from .sql import values

    if kind.kind == "ARRAY":
        element = kind.element or INT64
        items = [_value(element, one, name) for one in given.get("arrayValues") or []]
        return values.array_of(items, element)
    if kind.kind == "STRUCT":
        entries = given.get("structValues") or {}
        return values.struct_of(
            [(one.name, one.anonymous, _value(one.type, entries.get(one.name) or {}, name)) for one in kind.fields]
        )
    value = given.get("value")
    if value is None:
        return values.null(kind)
    try:
        return literal(python_value(kind, value), kind)
    except (ValueError, ArithmeticError, binascii.Error):
        raise invalid(f"Invalid value for query parameter {name}: {value!r} is no {kind}") from None


def python_value(kind: Type, value: Any) -> Any:
    """The Python value of a scalar from a parameter's text.

    Raises:
        ValueError: the text is no value of the type.
    """
    match kind.kind:
        case "INT64":
            return integer(value)
        case "FLOAT64":
            return float(value)
        case "BOOL":
            return boolean(value)
        case "NUMERIC" | "BIGNUMERIC":
            return Decimal(READERS[kind.kind](value))
        case "DATE":
            return dt.date.fromisoformat(READERS["DATE"](value))
        case "TIME":
            return dt.time.fromisoformat(READERS["TIME"](value))
        case "DATETIME":
            return dt.datetime.fromisoformat(READERS["DATETIME"](value))
        case "TIMESTAMP":
            return timestamp(value)
        case "BYTES":
            return base64.b64decode(str(value), validate=True)
    return value if isinstance(value, str) else str(value)


def literal(value: Any, kind: Type) -> Expr:
    """The typed literal of a Python value as DuckDB returns it."""
    from .sql import values

    if value is None:
        return values.null(kind)
    match kind.kind:
        case "ARRAY":
            element = kind.element or INT64
            return values.array_of([literal(item, element) for item in value], element)
        case "STRUCT":
            return values.struct_of(
                [(one.name, one.anonymous, literal(value[one.name], one.type)) for one in kind.fields]
            )
        case "INT64":
            return values.integer(int(value))
        case "FLOAT64":
            return values.floating(float(value))
        case "BOOL":
            return values.boolean(value=bool(value))
        case "NUMERIC" | "BIGNUMERIC":
            return values.numeric(Decimal(value), kind)
        case "DATE":
            return values.date(value)
        case "TIME":
            return values.time(value)
        case "DATETIME" | "TIMESTAMP":
            return values.moment(value, kind)
        case "BYTES":
            return values.blob(bytes(value))
        case "JSON":
            return values.from_text(str(value), kind)
    return values.string(str(value))
