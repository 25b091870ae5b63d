"""Values as BigQuery's JSON has them: everything is text, rows are ``{"f": [{"v": …}]}``.

https://cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/list
"""

from __future__ import annotations

import base64
import datetime as dt
import math
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Literal

from .types import INT64, Field, Type, member, quoted

TimestampFormat = Literal["FLOAT64", "INT64", "ISO8601_STRING"]
Encoder = Callable[[Any], Any]

_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - stored timestamps have no zone: they are UTC
_MICROSECOND = dt.timedelta(microseconds=1)


def row_encoder(fields: Iterable[Field], timestamps: TimestampFormat = "FLOAT64") -> Callable[[Iterable[Any]], Any]:
    """What turns a row from DuckDB into BigQuery's JSON.

    Args:
        fields: the columns, in the row's order.
        timestamps: how TIMESTAMP values are written.
    """
    encoders = [encoder(field.type, timestamps) for field in fields]

    def encode(row: Iterable[Any]) -> dict[str, Any]:
        return {"f": [{"v": one(value)} for one, value in zip(encoders, row, strict=True)]}

    return encode


def encoder(kind: Type, timestamps: TimestampFormat) -> Encoder:
    """What turns one value from DuckDB into BigQuery's JSON."""
    if kind.kind == "ARRAY":
        inner = encoder(kind.element or INT64, timestamps)
        return lambda value: [] if value is None else [{"v": inner(item)} for item in value]
    if kind.kind == "STRUCT":
        pairs = [(field.name, encoder(field.type, timestamps)) for field in kind.fields]
        return lambda value: None if value is None else {"f": [{"v": one(value[name])} for name, one in pairs]}
    one = _timestamp(timestamps) if kind.kind == "TIMESTAMP" else _SCALARS[kind.kind]
    return lambda value: None if value is None else one(value)


def _timestamp(form: TimestampFormat) -> Encoder:
    if form == "INT64":
        return lambda value: str((value - _EPOCH) // _MICROSECOND)
    if form == "ISO8601_STRING":
        return lambda value: value.isoformat(timespec="microseconds" if value.microsecond else "seconds") + "Z"

    def seconds(value: dt.datetime) -> str:
        micros = (value - _EPOCH) // _MICROSECOND
        whole, rest = divmod(abs(micros), 1_000_000)
        fraction = f"{rest:06d}".rstrip("0") or "0"
        return f"{'-' if micros < 0 else ''}{whole}.{fraction}"

    return seconds


def float_text(value: float) -> str:
    """A FLOAT64, with the names that JSON has no numbers for."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(float(value))


def decimal_text(value: Decimal) -> str:
    """A NUMERIC without trailing zeros."""
    shown = format(value, "f")
    return (shown.rstrip("0").rstrip(".") or "0") if "." in shown else shown


_SCALARS: dict[str, Encoder] = {
    "INT64": str,
    "NULL": str,
    "FLOAT64": float_text,
    "NUMERIC": decimal_text,
    "BIGNUMERIC": decimal_text,
    "BOOL": lambda value: "true" if value else "false",
    "STRING": str,
    "BYTES": lambda value: base64.b64encode(value).decode(),
    "DATE": lambda value: value.isoformat(),
    "TIME": lambda value: value.isoformat(),
    "DATETIME": lambda value: value.isoformat(),
    "INTERVAL": str,
    "JSON": str,
}


def fetched(expression: str, kind: Type, depth: int = 0) -> str:
    """What is asked of DuckDB for a value, so that Python gets it whole: intervals in BigQuery's spelling."""
    if kind.kind == "ARRAY" and kind.element is not None and _has_intervals(kind):
        name = f"f{depth}"
        return f"list_transform({expression}, lambda {name}: {fetched(name, kind.element, depth + 1)})"
    if kind.kind == "STRUCT" and _has_intervals(kind):
        parts = ", ".join(
            f"{quoted(one.name)} := {fetched(member(expression, one.name), one.type, depth)}" for one in kind.fields
        )
        return f"CASE WHEN {expression} IS NOT NULL THEN struct_pack({parts}) END"
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


def _has_intervals(kind: Type) -> bool:
    if kind.kind == "ARRAY":
        return kind.element is not None and _has_intervals(kind.element)
    return kind.kind == "INTERVAL" or any(_has_intervals(one.type) for one in kind.fields)
