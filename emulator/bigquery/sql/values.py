"""Typed expressions: literals, coercions and casts.

https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_rules
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from ..encode import fetched, float_text
from ..rows import READERS, timestamp
from ..types import (
    ALIASES,
    BOOL,
    BYTES,
    DATE,
    DATETIME,
    FLOAT64,
    INT64,
    JSON,
    NULL,
    NUMERIC,
    SCALARS,
    STRING,
    TIME,
    TIMESTAMP,
    Field,
    Type,
    array,
    duckdb_type,
    member,
    quoted,
    struct,
    text,
)
from .errors import SqlError, UnsupportedError


@dataclass(frozen=True, slots=True)
class Expr:
    """A DuckDB expression with its GoogleSQL type.

    Attributes:
        sql: a DuckDB expression of exactly the DuckDB type of ``type``, safe to put anywhere an operand may stand.
        type: its GoogleSQL type.
        literal: the Python value, if it is written out in the query (or is a parameter): those convert more freely.
        constant: whether ``literal`` means anything.
        name: the column name that a SELECT list item with this expression gets.
        parts: elements of an array or struct that is written out.
        raw: a FLOAT64 made by arithmetic, without the check for overflow that ``sql`` has.
        operands: what of ``raw`` may be infinite or NaN itself.
        finite: whether a FLOAT64 is known to be neither NaN nor infinite, because it was made from another number.
    """

    sql: str
    type: Type
    literal: Any = None
    constant: bool = False
    name: str | None = None
    parts: tuple[Expr, ...] | None = None
    finite: bool = False
    raw: str | None = None
    operands: tuple[str, ...] = ()


def null(kind: Type = NULL) -> Expr:
    """NULL of a type."""
    return Expr(f"CAST(NULL AS {duckdb_type(kind)})", kind, None, constant=True)


def integer(value: int) -> Expr:
    """An INT64 literal."""
    if not -(2**63) <= value < 2**63:
        raise SqlError(f"Invalid integer literal: {value}")
    return Expr(f"CAST({value} AS BIGINT)", INT64, value, constant=True)


def floating(value: float) -> Expr:
    """A FLOAT64 literal."""
    return Expr(f"CAST({text(float_text(value))} AS DOUBLE)", FLOAT64, value, constant=True)


def string(value: str) -> Expr:
    """A STRING literal."""
    return Expr(f"CAST({text(value)} AS VARCHAR)", STRING, value, constant=True)


def boolean(*, value: bool) -> Expr:
    """A BOOL literal."""
    return Expr("true" if value else "false", BOOL, value, constant=True)


def blob(value: bytes) -> Expr:
    """A BYTES literal."""
    return Expr(f"unhex('{value.hex()}')", BYTES, value, constant=True)


def date(value: dt.date) -> Expr:
    """A DATE literal."""
    return Expr(f"DATE '{value.isoformat()}'", DATE, value, constant=True)


def time(value: dt.time) -> Expr:
    """A TIME literal."""
    return Expr(f"TIME '{value.isoformat()}'", TIME, value, constant=True)


def moment(value: dt.datetime, kind: Type) -> Expr:
    """A DATETIME or TIMESTAMP literal."""
    return Expr(f"TIMESTAMP '{value.isoformat(' ')}'", kind, value, constant=True)


def numeric(value: Decimal, kind: Type = NUMERIC) -> Expr:
    """A NUMERIC or BIGNUMERIC literal."""
    return Expr(f"CAST('{value:f}' AS {duckdb_type(kind)})", kind, value, constant=True)


def array_of(items: list[Expr], element: Type | None) -> Expr:
    """An array that is written out; its elements have the type already."""
    body = ", ".join(item.sql for item in items)
    kind = array(element)
    return Expr(f"CAST([{body}] AS {duckdb_type(kind)})", kind, parts=tuple(items))


def struct_of(items: list[tuple[str, bool, Expr]]) -> Expr:
    """A struct: (field name, whether the name is made up, value)."""
    fields = tuple(Field(name, item.type, anonymous) for name, anonymous, item in items)
    seen = {field.name.lower() for field in fields}
    if len(seen) < len(fields):
        raise UnsupportedError("a STRUCT with two fields of one name")
    body = ", ".join(f"{quoted(name)} := {item.sql}" for name, _, item in items)
    return Expr(f"struct_pack({body})", struct(fields), parts=tuple(item for _, _, item in items))


def numeric_quotient(a: str, b: str) -> str:
    """DuckDB's text for the quotient of two NUMERICs, the second not 0: nine digits, halves away from zero.

    DuckDB divides decimals as doubles. So they are divided as integers, in billionths: the whole part first, then what
    is left. DuckDB has no integers for a divisor of twenty digits or more before the point: that fails, by name.
    """
    decimal = duckdb_type(NUMERIC)
    x, y = f"CAST({a} AS {decimal})", f"CAST({b} AS {decimal})"
    # A decimal is shown with all nine digits behind the point; without the point, these are billionths.
    billionths = "CAST(replace(CAST({} AS VARCHAR), '.', '') AS HUGEINT)"
    left = '(2 * (abs("p!".x) % abs("p!".y)) * 1000000000 + abs("p!".y)) // (2 * abs("p!".y))'
    # A list of one record stands for names of what is used several times; no column can have a name with "!".
    exact = (
        f'list_transform([{{w: abs("p!".x) // abs("p!".y), l: {left}, s: CASE WHEN '
        f'("p!".x < 0) <> ("p!".y < 0) THEN -1 ELSE 1 END}}], '
        f'lambda "r!": CAST("r!".s * (CAST("r!".w + "r!".l // 1000000000 AS {decimal}) + '
        f"CAST(\"r!\".l % 1000000000 AS DECIMAL(18,0)) * CAST('0.000000001' AS DECIMAL(10,9))) AS {decimal}))[1]"
    )
    integers = f"[{{x: {billionths.format(x)}, y: {billionths.format(y)}}}]"
    refused = failure("the emulator does not divide a NUMERIC by one of twenty digits before the point: ", y)
    return (
        f"CASE WHEN abs({y}) >= 50000000000000000000 THEN CAST({refused} AS {decimal}) "
        f'ELSE list_transform({integers}, lambda "p!": {exact})[1] END'
    )


# --- coercion --------------------------------------------------------------------------------------------------

#: Implicit conversions between types of values that are not literals, from → to, the nearest first.
WIDER: dict[str, tuple[str, ...]] = {
    "INT64": ("NUMERIC", "BIGNUMERIC", "FLOAT64"),
    "NUMERIC": ("BIGNUMERIC", "FLOAT64"),
    "BIGNUMERIC": ("FLOAT64",),
    "DATE": ("DATETIME", "TIMESTAMP"),
    "DATETIME": ("TIMESTAMP",),
}
_FROM_TEXT = ("DATE", "TIME", "DATETIME", "TIMESTAMP")


def coerced(value: Expr, target: Type) -> Expr | None:
    """The value as the target type if it converts by itself; None if it does not.

    Raises:
        SqlError: a literal that would convert is not a value of the type (``'2024-13-01'`` as a DATE).
    """
    kind = value.type
    if kind == target:
        return value
    if kind.kind == "NULL":
        # What is not written out is evaluated: it may be an ERROR.
        whole = f"CAST(CAST({value.sql} AS VARCHAR) AS {duckdb_type(target)})"
        return null(target) if value.constant else Expr(whole, target, name=value.name)
    if kind.kind == target.kind == "ARRAY":
        return _coerced_array(value, target)
    if kind.kind == target.kind == "STRUCT":
        return _coerced_struct(value, target)
    if target.kind in WIDER.get(kind.kind, ()):
        widened = f"CAST({value.sql} AS {duckdb_type(target)})"
        return Expr(widened, target, name=value.name, finite=target.kind == "FLOAT64")
    if value.constant and value.literal is not None:
        if kind.kind == "STRING" and target.kind in _FROM_TEXT:
            return from_text(value.literal, target)
        if kind.kind == "FLOAT64" and target.kind in ("NUMERIC", "BIGNUMERIC"):
            return Expr(f"CAST({value.sql} AS {duckdb_type(target)})", target)
    return None


def _coerced_array(value: Expr, target: Type) -> Expr | None:
    if value.type.element is None or value.parts == ():
        return array_of([], target.element)
    if value.parts is not None and target.element is not None:
        items = [coerced(part, target.element) for part in value.parts]
        good = [item for item in items if item is not None]
        return array_of(good, target.element) if len(good) == len(items) else None
    if value.type.element and target.element and same_shape(value.type, target):
        return Expr(f"CAST({value.sql} AS {duckdb_type(target)})", target)
    return None


def _coerced_struct(value: Expr, target: Type) -> Expr | None:
    if len(value.type.fields) != len(target.fields):
        return None
    items = []
    for index, (have, want) in enumerate(zip(value.type.fields, target.fields, strict=True)):
        part = value.parts[index] if value.parts else Expr(member(value.sql, have.name), have.type)
        item = coerced(part, want.type)
        if item is None:
            return None
        items.append((want.name, want.anonymous, item))
    made = struct_of(items)
    if value.parts is None:
        return Expr(f"CASE WHEN {value.sql} IS NOT NULL THEN {made.sql} END", target)
    return replace(made, type=target)


def same_shape(one: Type, other: Type) -> bool:
    """Whether two types are the same but for the names of fields."""
    if one.kind != other.kind:
        return False
    if one.kind == "ARRAY":
        return one.element is None or other.element is None or same_shape(one.element, other.element)
    return len(one.fields) == len(other.fields) and all(
        same_shape(a.type, b.type) for a, b in zip(one.fields, other.fields, strict=True)
    )


def supertype(values: list[Expr]) -> Type | None:
    """The type that all the values convert to by themselves; None if there is none."""
    kinds = [value.type for value in values if value.type.kind != "NULL"]
    if not kinds:
        return INT64 if values else None
    # Types of values that are not literals decide first: a literal follows them. NULL of a type is no literal.
    firm = [
        value.type
        for value in values
        if not (value.constant and value.literal is not None) and value.type.kind != "NULL"
    ]
    for candidates in (firm, kinds):
        for candidate in candidates:
            if candidate.kind == "ARRAY" and candidate.element is None:
                continue
            if all(_converts(value, candidate) for value in values):
                return candidate
    names = {kind.kind for kind in kinds}
    for wide in ("NUMERIC", "BIGNUMERIC", "FLOAT64", "DATETIME", "TIMESTAMP"):
        if names & set(WIDER) and all(_converts(value, SCALARS[wide]) for value in values):
            return SCALARS[wide]
    return kinds[0] if len(names) == 1 and kinds[0].kind == "ARRAY" and all(k == kinds[0] for k in kinds) else None


def _converts(value: Expr, target: Type) -> bool:
    try:
        return coerced(value, target) is not None
    except SqlError:
        return False


# --- text to values --------------------------------------------------------------------------------------------


def from_text(value: str, target: Type) -> Expr:
    """The literal of a type whose text this is.

    Raises:
        SqlError: it is not.
    """
    shown = value.strip()
    try:
        match target.kind:
            case "DATE":
                return date(dt.date.fromisoformat(READERS["DATE"](shown)))
            case "TIME":
                return time(dt.time.fromisoformat(READERS["TIME"](shown)))
            case "DATETIME":
                return moment(dt.datetime.fromisoformat(READERS["DATETIME"](shown)), DATETIME)
            case "TIMESTAMP":
                if re.fullmatch(r"[+-]?\d+(\.\d+)?", shown):
                    raise ValueError(shown)
                return moment(timestamp(shown), TIMESTAMP)
            case "NUMERIC" | "BIGNUMERIC":
                return numeric(Decimal(READERS[target.kind](shown)), target)
            case "INT64":
                return integer(int(shown, 0))
            case "FLOAT64":
                return floating(float(shown))
            case "BOOL":
                return boolean(value={"true": True, "false": False}[shown.lower()])
            case "STRING":
                return string(value)
            case "BYTES":
                return blob(value.encode())
            case "JSON":
                import json

                json.loads(value)
                return Expr(f"CAST({text(value)} AS JSON)", JSON, value, constant=True)
    except (ValueError, KeyError, ArithmeticError, OverflowError):
        raise SqlError(f'Could not cast literal "{value}" to type {target}') from None
    raise SqlError(f'Could not cast literal "{value}" to type {target}')


def named_type(name: str) -> Type | None:
    """The scalar type with this name."""
    upper = name.upper()
    return SCALARS.get(ALIASES.get(upper, upper))


# --- casts -----------------------------------------------------------------------------------------------------

_DATE_TEXT = r"\s*\d{1,4}-\d{1,2}-\d{1,2}\s*"
_CLOCK_TEXT = r"\d{1,2}:\d{1,2}(:\d{1,2}(\.\d{1,9})?)?"
_SHAPES: dict[str, str] = {
    "INT64": r"\s*[+-]?(\d+|0[xX][0-9a-fA-F]+)\s*",
    "FLOAT64": r"(?i)\s*[+-]?(\d+\.?\d*(e[+-]?\d+)?|\.\d+(e[+-]?\d+)?|inf|infinity|nan)\s*",
    "NUMERIC": r"(?i)\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*",
    "BIGNUMERIC": r"(?i)\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*",
    "BOOL": r"(?i)\s*(true|false)\s*",
    "DATE": _DATE_TEXT,
    "TIME": rf"\s*{_CLOCK_TEXT}\s*",
    "DATETIME": rf"\s*\d{{1,4}}-\d{{1,2}}-\d{{1,2}}([T ]{_CLOCK_TEXT})?\s*",
    "TIMESTAMP": rf"\s*\d{{1,4}}-\d{{1,2}}-\d{{1,2}}([T ]{_CLOCK_TEXT})?\s*"
    r"(Z|z|[+-]\d{1,2}(:?\d{2})?|UTC|[A-Za-z]+/[A-Za-z_/]+)?\s*",
}
_BAD: dict[str, str] = {
    "INT64": "Bad int64 value: ",
    "FLOAT64": "Bad double value: ",
    "NUMERIC": "Invalid NUMERIC value: ",
    "BIGNUMERIC": "Invalid BIGNUMERIC value: ",
    "BOOL": "Bad bool value: ",
    "DATE": "Invalid date: ",
    "TIME": "Invalid time string: ",
    "DATETIME": "Invalid datetime string: ",
    "TIMESTAMP": "Invalid timestamp: ",
}
_NUMBERS = ("INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC")


def cast(value: Expr, target: Type, *, safe: bool = False) -> Expr:
    """``CAST(value AS target)``; with ``safe``, NULL where that fails.

    Raises:
        SqlError: no value of the one type converts to the other.
    """
    kind = value.type
    if kind == target:
        return replace(value, name=None)
    if kind.kind == "NULL":
        return coerced(value, target) or null(target)
    if kind.kind == "ARRAY" and target.kind == "ARRAY":
        made = coerced(value, target)
        if made is not None:
            return made
    elif kind.kind == "STRUCT" and target.kind == "STRUCT" and len(kind.fields) == len(target.fields):
        return _cast_struct(value, target, safe=safe)
    elif kind.kind not in ("ARRAY", "STRUCT") and target.kind not in ("ARRAY", "STRUCT"):
        sql = _scalar_cast(value, target.kind, safe=safe)
        if sql is not None:
            return Expr(sql, target)
    raise SqlError(f"Invalid cast from {kind} to {target}")


def _cast_struct(value: Expr, target: Type, *, safe: bool) -> Expr:
    items = []
    for index, (have, want) in enumerate(zip(value.type.fields, target.fields, strict=True)):
        part = value.parts[index] if value.parts else Expr(member(value.sql, have.name), have.type)
        items.append((want.name, want.anonymous, cast(part, want.type, safe=safe)))
    made = struct_of(items)
    if value.parts is None:
        made = Expr(f"CASE WHEN {value.sql} IS NOT NULL THEN {made.sql} END", target)
    return replace(made, type=target)


def failure(message: str, shown: str, *, safe: bool = False) -> str:
    """An expression that ends the query with a message and the value that is shown behind it; NULL if ``safe``."""
    return "NULL" if safe else f"error({text(message)} || {shown})"


def _scalar_cast(value: Expr, target: str, *, safe: bool) -> str | None:
    kind, sql = value.type.kind, value.sql
    into = duckdb_type(Type(target))
    plain = f"{'TRY_CAST' if safe else 'CAST'}({sql} AS {into})"
    if kind == "STRING":
        return _cast_text(sql, target, safe=safe)
    if target == "STRING":
        return text_of(value)
    if kind in _NUMBERS and target in _NUMBERS:
        if target == "INT64":
            # BigQuery rounds halves away from zero.
            return f"{'TRY_CAST' if safe else 'CAST'}(round({sql}) AS BIGINT)"
        if kind == "FLOAT64":
            return f"{'TRY_CAST' if safe else 'CAST'}({sql} AS {into})"
        return plain
    if (kind, target) in (("BOOL", "INT64"), ("INT64", "BOOL")):
        return plain
    if (kind, target) in (
        ("DATE", "DATETIME"),
        ("DATE", "TIMESTAMP"),
        ("DATETIME", "TIMESTAMP"),
        ("TIMESTAMP", "DATETIME"),
        ("DATETIME", "DATE"),
        ("TIMESTAMP", "DATE"),
        ("DATETIME", "TIME"),
        ("TIMESTAMP", "TIME"),
    ):
        return plain
    return None


def _cast_text(sql: str, target: str, *, safe: bool) -> str | None:
    if target == "BYTES":
        return f"encode({sql})"
    shape = _SHAPES.get(target)
    if shape is None:
        return None
    into = duckdb_type(Type(target))
    if target == "TIMESTAMP":
        # A zone in the text is honoured; without one it is UTC.
        converted = f"(TRY_CAST(trim({sql}) AS TIMESTAMPTZ) AT TIME ZONE 'UTC')"
    elif target == "INT64":
        # DuckDB reads 0x1F, but not with a sign.
        bare = f"ltrim(trim({sql}), '+-')"
        signed = f"CASE WHEN trim({sql}) LIKE '-%' THEN -TRY_CAST({bare} AS BIGINT) ELSE TRY_CAST({bare} AS BIGINT) END"
        converted = (
            f"CASE WHEN {sql} LIKE '%x%' OR {sql} LIKE '%X%' THEN {signed} ELSE TRY_CAST(trim({sql}) AS BIGINT) END"
        )
    else:
        converted = f"TRY_CAST(trim({sql}) AS {into})"
    tried = f"CASE WHEN regexp_full_match({sql}, {text(shape)}) THEN {converted} END"
    if safe:
        return f"({tried})"
    shown = sql if target not in ("DATE", "TIMESTAMP") else f"('''' || {sql} || '''')"
    return f"coalesce({tried}, CASE WHEN {sql} IS NOT NULL THEN {failure(_BAD[target], shown)} END)"


def float_as_text(sql: str) -> str:
    """A FLOAT64 as CAST(… AS STRING) writes it: the shortest of 15 or 17 digits that reads back as the same number."""
    short, long = f"printf('%.15g', {sql})", f"printf('%.17g', {sql})"
    finite = f"CASE WHEN TRY_CAST({short} AS DOUBLE) = {sql} THEN {short} ELSE {long} END"
    return (
        f"CASE WHEN isnan({sql}) THEN 'nan' WHEN isinf({sql}) THEN CASE WHEN {sql} > 0 THEN 'inf' ELSE '-inf' END "
        f"WHEN {sql} = 0 THEN '0' ELSE {finite} END"
    )


def fraction(sql: str) -> str:
    """The fraction of a second, with its point, in 0, 3 or 6 digits."""
    micros = f"(datepart('microsecond', {sql}) % 1000000)"
    return (
        f"CASE WHEN {micros} = 0 THEN '' "
        f"WHEN {micros} % 1000 = 0 THEN '.' || lpad(CAST({micros} // 1000 AS VARCHAR), 3, '0') "
        f"ELSE '.' || lpad(CAST({micros} AS VARCHAR), 6, '0') END"
    )


def text_of(value: Expr) -> str | None:
    """A value as CAST(… AS STRING) writes it; None for types that have no such text."""
    sql = value.sql
    match value.type.kind:
        case "STRING":
            return sql
        case "BOOL" | "INT64":
            return f"CAST({sql} AS VARCHAR)"
        case "DATE":
            return f"strftime({sql}, '%Y-%m-%d')"
        case "FLOAT64":
            return f"({float_as_text(sql)})"
        case "NUMERIC" | "BIGNUMERIC":
            shown = f"CAST({sql} AS VARCHAR)"
            return f"regexp_replace(regexp_replace({shown}, '(\\.\\d*?)0+$', '\\1'), '\\.$', '')"
        case "BYTES":
            return f"decode({sql})"
        case "TIME":
            return f"(strftime(DATE '2000-01-01' + {sql}, '%H:%M:%S') || {fraction(sql)})"
        case "DATETIME":
            return f"(strftime({sql}, '%Y-%m-%d %H:%M:%S') || {fraction(sql)})"
        case "TIMESTAMP":
            return f"(strftime({sql}, '%Y-%m-%d %H:%M:%S') || {fraction(sql)} || '+00')"
        case "INTERVAL":
            return fetched(sql, value.type)
    return None
