"""Dates, times and intervals.

https://cloud.google.com/bigquery/docs/reference/standard-sql/date_functions and its sisters for datetime, time and
timestamp. DuckDB's weeks begin on Monday and its parts have other names; TIMESTAMP is held in UTC without a zone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from ..types import DATE, DATETIME, INT64, INTERVAL, SCALARS, STRING, TIME, TIMESTAMP, Type, array, text
from . import values
from .errors import SqlError
from .registry import Handler, no_signature
from .values import Expr, coerced

if TYPE_CHECKING:
    from .names import ExpressionBase

_DAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
_CLOCK_PARTS = ("MICROSECOND", "MILLISECOND", "SECOND", "MINUTE", "HOUR")
_DATE_PARTS = ("DAY", "WEEK", "ISOWEEK", "MONTH", "QUARTER", "YEAR", "ISOYEAR")
_MICROS = {
    "MICROSECOND": 1,
    "MILLISECOND": 1000,
    "SECOND": 10**6,
    "MINUTE": 60 * 10**6,
    "HOUR": 3600 * 10**6,
    "DAY": 86400 * 10**6,
}


def part_of(c: ExpressionBase, node: Any) -> str:
    """The name of a date part: ``DAY``, ``WEEK``, ``WEEK(MONDAY)``…"""
    if isinstance(node, exp.WeekStart):
        return f"WEEK({node.name.upper()})"
    if isinstance(node, exp.Anonymous) and str(node.name).upper() == "WEEK" and len(node.expressions) == 1:
        day = node.expressions[0].name.upper()
        if day not in _DAYS:
            raise c.error(f"A valid date part argument is WEEK and a day, not WEEK({day})", node)
        return f"WEEK({day})"
    if isinstance(node, (exp.Column, exp.Var, exp.Identifier)):
        return str(node.name).upper()
    raise c.error("A valid date part name is required", node)


def _shift(part: str) -> int:
    """How many days after Monday a week begins."""
    if part == "ISOWEEK":
        return 0
    return _DAYS.index(part[5:-1]) if part.startswith("WEEK(") else 6


def _is_week(part: str) -> bool:
    return part in ("WEEK", "ISOWEEK") or part.startswith("WEEK(")


def _zoned(c: ExpressionBase, value: str, zone: Any) -> str:
    """A TIMESTAMP as the clock of a time zone shows it."""
    if zone is None:
        return value
    name = c.compiled(zone, STRING, "Time zone")
    return f"(({value} AT TIME ZONE 'UTC') AT TIME ZONE {name.sql})"


def _utc(c: ExpressionBase, value: str, zone: Any) -> str:
    """The TIMESTAMP at which the clock of a time zone shows this."""
    if zone is None:
        return value
    name = c.compiled(zone, STRING, "Time zone")
    return f"(({value} AT TIME ZONE {name.sql}) AT TIME ZONE 'UTC')"


# --- intervals and arithmetic ---


def interval(c: ExpressionBase, node: exp.Interval) -> Expr:
    """``INTERVAL 3 DAY``."""
    unit = node.args.get("unit")
    if unit is None or isinstance(unit, exp.IntervalSpan):
        raise c.unsupported("an INTERVAL over several parts", node)
    part = part_of(c, unit)
    return Expr(_interval_sql(part, _count(c, node)), INTERVAL)


def _count(c: ExpressionBase, node: exp.Interval) -> Expr:
    value = node.this
    if isinstance(value, exp.Literal) and re.fullmatch(r"[+-]?\d+", str(value.this)):
        return values.integer(int(str(value.this)))
    made: Expr = c.compiled(value, INT64, "INTERVAL")
    return made


def _interval_sql(part: str, count: Expr) -> str:
    number = count.sql
    match part:
        case "MICROSECOND" | "MILLISECOND" | "SECOND" | "MINUTE" | "HOUR":
            return f"to_microseconds({number} * {_MICROS[part]})"
        case "DAY":
            return f"to_days(CAST({number} AS INTEGER))"
        case "WEEK":
            return f"to_days(CAST({number} * 7 AS INTEGER))"
        case "MONTH":
            return f"to_months(CAST({number} AS INTEGER))"
        case "QUARTER":
            return f"to_months(CAST({number} * 3 AS INTEGER))"
        case "YEAR":
            return f"to_months(CAST({number} * 12 AS INTEGER))"
    raise SqlError(f"A valid date part for INTERVAL is required, not {part}")


def date_arithmetic(left: Expr, right: Expr, operator: str) -> Expr | None:
    """``date + 1``, ``date - date``, ``timestamp + INTERVAL …``; None if these are numbers."""
    kinds = (left.type.kind, right.type.kind)
    if operator == "*" or not {"DATE", "DATETIME", "TIMESTAMP", "TIME", "INTERVAL"} & set(kinds):
        return None
    if kinds == ("DATE", "INT64"):
        return Expr(f"({left.sql} {operator} CAST({right.sql} AS INTEGER))", DATE)
    if kinds == ("INT64", "DATE") and operator == "+":
        return Expr(f"({right.sql} + CAST({left.sql} AS INTEGER))", DATE)
    if operator == "-" and left.type == right.type and left.type.kind in ("DATE", "DATETIME", "TIMESTAMP", "TIME"):
        if left.type == DATE:
            return Expr(f"to_days(CAST({left.sql} - {right.sql} AS INTEGER))", INTERVAL)
        if left.type == TIME:
            return Expr(f"(DATE '2000-01-01' + {left.sql} - (DATE '2000-01-01' + {right.sql}))", INTERVAL)
        return Expr(f"to_microseconds(epoch_us({left.sql}) - epoch_us({right.sql}))", INTERVAL)
    if right.type == INTERVAL and left.type.kind in ("DATE", "DATETIME", "TIMESTAMP"):
        kind = DATETIME if left.type == DATE else left.type
        return Expr(f"CAST({left.sql} {operator} {right.sql} AS TIMESTAMP)", kind)
    if left.type == INTERVAL and right.type.kind in ("DATE", "DATETIME", "TIMESTAMP") and operator == "+":
        kind = DATETIME if right.type == DATE else right.type
        return Expr(f"CAST({right.sql} + {left.sql} AS TIMESTAMP)", kind)
    if left.type == right.type == INTERVAL:
        return Expr(f"({left.sql} {operator} {right.sql})", INTERVAL)
    return None


def _own_type(c: ExpressionBase, name: str, value: Expr, node: Any) -> tuple[Expr, Type]:
    """The argument of ``DATE_…``, ``DATETIME_…``, ``TIME_…`` or ``TIMESTAMP_…`` as the type that the name says."""
    kind = {"DATE": DATE, "DATETIME": DATETIME, "TIME": TIME, "TIMESTAMP": TIMESTAMP}[name.split("_", maxsplit=1)[0]]
    if kind == DATE and value.type.kind in ("DATETIME", "TIMESTAMP"):
        # The DATE_ functions take them too, and answer in kind.
        return value, value.type
    made = coerced(value, kind)
    if made is None:
        raise no_signature(c, name, [value], node)
    return made, kind


def _add(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    if len(nodes) != 2 or not isinstance(nodes[1], exp.Interval):
        raise c.error(f"No matching signature for function {name}: the second argument is INTERVAL n PART", node)
    value, kind = _own_type(c, name, c.compile(nodes[0]), nodes[0])
    part = part_of(c, nodes[1].args["unit"])
    allowed = {"DATE": _DATE_PARTS, "TIME": _CLOCK_PARTS, "TIMESTAMP": (*_CLOCK_PARTS, "DAY")}.get(
        kind.kind, (*_CLOCK_PARTS, *_DATE_PARTS)
    )
    if part not in allowed or part.startswith("ISO"):
        raise c.error(f"{name} does not support the {part} date part when the argument is {kind} type", node)
    step = _interval_sql(part, _count(c, nodes[1]))
    operator = "+" if name.endswith("_ADD") else "-"
    if kind == TIME:
        return Expr(f"CAST((DATE '2000-01-01' + {value.sql}) {operator} {step} AS TIME)", TIME)
    into = "DATE" if kind == DATE else "TIMESTAMP"
    sql = f"CAST({value.sql} {operator} {step} AS {into})"
    return Expr(f"TRY({sql})" if c.safe else sql, kind)


def _diff(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    if len(nodes) != 3:
        raise c.error(f"No matching signature for function {name} with {len(nodes)} arguments", node)
    a, kind = _own_type(c, name, c.compile(nodes[0]), nodes[0])
    b, other = _own_type(c, name, c.compile(nodes[1]), nodes[1])
    if kind != other:
        raise no_signature(c, name, [a, b], node)
    part = part_of(c, nodes[2])
    if kind in (TIMESTAMP, TIME) or (kind == TIMESTAMP and name.startswith("DATE_")):
        if part not in _MICROS or (kind == TIME and part == "DAY"):
            raise c.error(f"{name} does not support the {part} date part", node)
        left, right = (
            (f"epoch_us(DATE '2000-01-01' + {one.sql})" if kind == TIME else f"epoch_us({one.sql})") for one in (a, b)
        )
        if kind == TIME:
            # TIME_DIFF counts boundaries, TIMESTAMP_DIFF whole intervals.
            unit = _MICROS[part]
            return Expr(f"({left} // {unit} - {right} // {unit})", INT64)
        return Expr(f"(({left} - {right}) // {_MICROS[part]})", INT64)
    return Expr(_boundaries(c, a.sql, b.sql, part, kind, name, node), INT64)


def _boundaries(c: ExpressionBase, a: str, b: str, part: str, kind: Type, name: str, node: Any) -> str:
    if _is_week(part):
        return f"((CAST({_truncated(a, part)} AS DATE) - CAST({_truncated(b, part)} AS DATE)) // 7)"
    if part == "ISOYEAR":
        return f"(CAST(datepart('isoyear', {a}) AS BIGINT) - CAST(datepart('isoyear', {b}) AS BIGINT))"
    if part in ("DAY", "MONTH", "QUARTER", "YEAR") or (kind != DATE and part in _CLOCK_PARTS):
        return f"date_diff('{part.lower()}', {b}, {a})"
    raise c.error(f"{name} does not support the {part} date part when the argument is {kind} type", node)


def _truncated(value: str, part: str) -> str:
    """A DATE or DATETIME at the start of its part, as a DuckDB TIMESTAMP or DATE."""
    if _is_week(part):
        days = _shift(part)
        if days == 0:
            return f"date_trunc('week', {value})"
        return f"(date_trunc('week', {value} - to_days({days})) + to_days({days}))"
    if part == "ISOYEAR":
        return f"date_trunc('week', make_date(CAST(datepart('isoyear', {value}) AS BIGINT), 1, 4))"
    return f"date_trunc('{part.lower()}', {value})"


def _trunc(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    if not 2 <= len(nodes) <= 3:
        raise c.error(f"No matching signature for function {name} with {len(nodes)} arguments", node)
    value, kind = _own_type(c, name, c.compile(nodes[0]), nodes[0])
    part = part_of(c, nodes[1])
    zone = nodes[2] if len(nodes) == 3 else None
    if zone is not None and kind != TIMESTAMP:
        raise c.error(f"No matching signature for function {name} with a time zone", node)
    dated = part in _DATE_PARTS or _is_week(part)
    if not ((dated and kind != TIME) or (part in _CLOCK_PARTS and kind != DATE)):
        raise c.error(f"{name} does not support the {part} date part when the argument is {kind} type", node)
    if kind == TIME:
        return Expr(f"CAST(date_trunc('{part.lower()}', DATE '2000-01-01' + {value.sql}) AS TIME)", TIME)
    if kind == DATE:
        return Expr(f"CAST({_truncated(value.sql, part)} AS DATE)", DATE)
    local = _zoned(c, value.sql, zone)
    return Expr(_utc(c, f"CAST({_truncated(local, part)} AS TIMESTAMP)", zone), kind)


def _last_day(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    value = c.compile(nodes[0]) if nodes else values.null()
    made = value if value.type == DATETIME else coerced(value, DATE)
    if made is None or not 1 <= len(nodes) <= 2:
        raise no_signature(c, name, [value], node)
    part = part_of(c, nodes[1]) if len(nodes) == 2 else "MONTH"
    start = f"CAST({_truncated(made.sql, part)} AS DATE)"
    if _is_week(part):
        return Expr(f"({start} + 6)", DATE)
    step = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}.get(part)
    if step is None:
        raise c.unsupported(f"LAST_DAY with {part}", node)
    return Expr(f"(CAST({start} + to_months({step}) AS DATE) - 1)", DATE)


# --- EXTRACT ---


def extract(c: ExpressionBase, node: exp.Extract) -> Expr:
    """``EXTRACT(part FROM value [AT TIME ZONE zone])``."""
    part = part_of(c, node.this)
    source, zone = node.expression, None
    if isinstance(source, exp.AtTimeZone):
        source, zone = source.this, source.args["zone"]
    value: Expr = c.compile(source)
    kind = value.type
    if kind.kind not in ("DATE", "DATETIME", "TIME", "TIMESTAMP"):
        if kind.kind == "INTERVAL":
            raise c.unsupported("EXTRACT from INTERVAL", node)
        raise c.error(f"EXTRACT from {kind} is not supported", node)
    if zone is not None and kind != TIMESTAMP:
        raise c.error("EXTRACT ... AT TIME ZONE is only supported for TIMESTAMP", node)
    sql = _zoned(c, value.sql, zone)
    if kind == TIME:
        sql = f"(DATE '2000-01-01' + {sql})"
    if part in ("DATE", "TIME", "DATETIME") and kind.kind in ("DATETIME", "TIMESTAMP"):
        into = {"DATE": "DATE", "TIME": "TIME", "DATETIME": "TIMESTAMP"}[part]
        return Expr(f"CAST({sql} AS {into})", SCALARS[part])
    clock = part in _CLOCK_PARTS
    if (clock and kind == DATE) or (not clock and kind == TIME):
        raise c.error(f"EXTRACT from {kind} does not support the {part} date part", node)
    made = _extracted(sql, part)
    if made is None:
        raise c.error(f"A valid date part name is required but found {part}", node)
    return Expr(f"CAST({made} AS BIGINT)", INT64)


def _extracted(sql: str, part: str) -> str | None:
    match part:
        case "MICROSECOND":
            return f"datepart('microsecond', {sql}) % 1000000"
        case "MILLISECOND":
            return f"datepart('millisecond', {sql}) % 1000"
        case "DAYOFWEEK":
            return f"datepart('dow', {sql}) + 1"
        case "DAYOFYEAR":
            return f"datepart('doy', {sql})"
        case "ISOWEEK":
            return f"datepart('week', {sql})"
        case "ISOYEAR" | "YEAR" | "QUARTER" | "MONTH" | "DAY" | "HOUR" | "MINUTE" | "SECOND":
            return f"datepart('{part.lower()}', {sql})"
    if _is_week(part):
        # Days before the year's first such weekday are in week 0.
        weekday = f"((datepart('isodow', {sql}) - 1 - {_shift(part)} + 7) % 7)"
        return f"(datepart('doy', {sql}) - 1 + 7 - {weekday}) // 7"
    return None


# --- making them ---


def _current(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    kind = SCALARS[name.removeprefix("CURRENT_")]
    if len(nodes) > 1 or (nodes and kind == TIMESTAMP):
        raise c.error(f"No matching signature for function {name}", node)
    local = _zoned(c, "CAST(now() AS TIMESTAMP)", nodes[0] if nodes else None)
    into = {"DATE": "DATE", "TIME": "TIME"}.get(kind.kind, "TIMESTAMP")
    return Expr(f"CAST({local} AS {into})", kind)


def _date(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    given = [c.compile(one) for one in nodes[:1]]
    if len(nodes) == 3:
        parts = ", ".join(c.compiled(one, INT64, "DATE").sql for one in nodes)
        return Expr(f"TRY(make_date({parts}))" if c.safe else f"make_date({parts})", DATE)
    if len(nodes) == 1 and given[0].type.kind in ("DATE", "DATETIME", "TIMESTAMP"):
        return values.cast(given[0], DATE)
    if len(nodes) == 1 and given[0].type.kind in ("STRING", "NULL"):
        return values.cast(given[0], DATE, safe=c.safe)
    if len(nodes) == 2:
        value = coerced(given[0], TIMESTAMP)
        if value is not None:
            return Expr(f"CAST({_zoned(c, value.sql, nodes[1])} AS DATE)", DATE)
    raise no_signature(c, name, given, node)


def _time(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    if len(nodes) == 3:
        hour, minute, second = (c.compiled(one, INT64, "TIME").sql for one in nodes)
        return Expr(f"make_time({hour}, {minute}, CAST({second} AS DOUBLE))", TIME)
    given = [c.compile(one) for one in nodes[:1]]
    if len(nodes) in (1, 2) and given[0].type.kind in ("DATETIME", "TIMESTAMP"):
        return Expr(f"CAST({_zoned(c, given[0].sql, nodes[1] if len(nodes) == 2 else None)} AS TIME)", TIME)
    raise no_signature(c, name, given, node)


def _datetime(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    if len(nodes) == 6:
        y, mo, d, h, mi, s = (c.compiled(one, INT64, "DATETIME").sql for one in nodes)
        return Expr(f"make_timestamp({y}, {mo}, {d}, {h}, {mi}, CAST({s} AS DOUBLE))", DATETIME)
    given = [c.compile(one) for one in nodes[:2]]
    if len(nodes) == 1:
        return values.cast(given[0], DATETIME, safe=c.safe)
    if len(nodes) == 2 and given[0].type == DATE and given[1].type == TIME:
        return Expr(f"({given[0].sql} + {given[1].sql})", DATETIME)
    if len(nodes) == 2 and given[0].type == TIMESTAMP:
        return Expr(_zoned(c, given[0].sql, nodes[1]), DATETIME)
    raise no_signature(c, name, given, node)


def _timestamp(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    given = [c.compile(one) for one in nodes[:2]]
    if not 1 <= len(nodes) <= 2:
        raise no_signature(c, name, given, node)
    if given[0].type.kind not in ("STRING", "DATE", "DATETIME", "TIMESTAMP", "NULL"):
        raise no_signature(c, name, given, node)
    if len(nodes) == 1:
        return values.cast(given[0], TIMESTAMP, safe=c.safe)
    local = values.cast(given[0], DATETIME, safe=c.safe)
    return Expr(_utc(c, local.sql, nodes[1]), TIMESTAMP)


def _generate(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    kind = DATE if "DATE" in name else TIMESTAMP
    if len(nodes) < 2 or len(nodes) > 3 or (len(nodes) == 2 and kind == TIMESTAMP):
        raise c.error(f"No matching signature for function {name}", node)
    start, end = (c.compiled(one, kind, name).sql for one in nodes[:2])
    step = "to_days(1)"
    if len(nodes) == 3:
        if not isinstance(nodes[2], exp.Interval):
            raise c.error(f"No matching signature for function {name}: the third argument is INTERVAL n PART", node)
        step = _interval_sql(part_of(c, nodes[2].args["unit"]), _count(c, nodes[2]))
    made = f"generate_series(CAST({start} AS TIMESTAMP), CAST({end} AS TIMESTAMP), {step})"
    if len(nodes) == 3:
        problem = c.fail("Sequence step cannot be 0.")
        made = f"CASE WHEN {step} = INTERVAL 0 DAYS THEN {problem} ELSE {made} END"
    if kind == DATE:
        made = f"list_transform({made}, lambda x: CAST(x AS DATE))"
    return Expr(made, array(kind))


# --- FORMAT_ and PARSE_ ---

#: BigQuery's format element → DuckDB's, where it is not the same letter.
_LONG = {"F": "%Y-%m-%d", "T": "%H:%M:%S", "R": "%H:%M", "D": "%m/%d/%y", "X": "%H:%M:%S", "x": "%m/%d/%y", "h": "%b"}
_SAME = frozenset("AaBbdGHIjMmpSUuVWwYy%")
_ELEMENT = re.compile(r"%(E4Y|E\*S|E\d+S|Ez|[A-Za-z%])")


def _format_of(c: ExpressionBase, name: str, node: Any) -> str:
    value = c.compile(node)
    if not value.constant or not isinstance(value.literal, str):
        raise c.unsupported(f"{name} with a format that is not a literal or parameter", node)
    shown: str = value.literal
    return shown


def _formatted(c: ExpressionBase, sql: str, shown: str, kind: Type, node: Any) -> str:
    pieces: list[str] = []
    plain = ""
    at = 0
    for found in _ELEMENT.finditer(shown):
        plain += shown[at : found.start()].replace("%", "%%")
        at = found.end()
        element = found[1]
        if element in _SAME:
            plain += "%" + element
            continue
        if element in _LONG:
            plain += _LONG[element]
            continue
        if element == "E4Y":
            plain += "%Y"
            continue
        special = _special(sql, element)
        if special is None or (element in ("Z", "z", "Ez") and kind != TIMESTAMP):
            raise c.unsupported(f"the format element %{element}", node)
        if plain:
            pieces.append(f"strftime({sql}, {text(plain)})")
            plain = ""
        pieces.append(special)
    plain += shown[at:].replace("%", "%%")
    if plain or not pieces:
        pieces.append(f"strftime({sql}, {text(plain)})")
    return "(" + " || ".join(pieces) + ")"


def _special(sql: str, element: str) -> str | None:
    micros = f"lpad(CAST(datepart('microsecond', {sql}) % 1000000 AS VARCHAR), 6, '0')"
    match element:
        case "e":
            return f"lpad(CAST(datepart('day', {sql}) AS VARCHAR), 2, ' ')"
        case "k":
            return f"lpad(CAST(datepart('hour', {sql}) AS VARCHAR), 2, ' ')"
        case "l":
            return f"lpad(CAST((datepart('hour', {sql}) + 11) % 12 + 1 AS VARCHAR), 2, ' ')"
        case "P":
            return f"lower(strftime({sql}, '%p'))"
        case "Q":
            return f"CAST(datepart('quarter', {sql}) AS VARCHAR)"
        case "s":
            return f"CAST(epoch_us({sql}) // 1000000 AS VARCHAR)"
        case "C":
            return f"CAST(datepart('year', {sql}) // 100 AS VARCHAR)"
        case "g":
            return f"lpad(CAST(datepart('isoyear', {sql}) % 100 AS VARCHAR), 2, '0')"
        case "c":
            day = f"lpad(CAST(datepart('day', {sql}) AS VARCHAR), 2, ' ')"
            return f"(strftime({sql}, '%a %b ') || {day} || strftime({sql}, ' %H:%M:%S %Y'))"
        case "n":
            return "chr(10)"
        case "t":
            return "chr(9)"
        case "Z":
            return "'UTC'"
        case "z":
            return "'+0000'"
        case "Ez":
            return "'+00:00'"
        case "E*S":
            trimmed = f"rtrim({micros}, '0')"
            return f"(strftime({sql}, '%S') || CASE WHEN {trimmed} = '' THEN '' ELSE '.' || {trimmed} END)"
    if re.fullmatch(r"E[1-6]S", element):
        return f"(strftime({sql}, '%S') || '.' || left({micros}, {element[1]}))"
    return None


def _format(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    if not 2 <= len(nodes) <= 3:
        raise c.error(f"No matching signature for function {name} with {len(nodes)} arguments", node)
    shown = _format_of(c, name, nodes[0])
    value = c.compile(nodes[1])
    own = SCALARS[name.removeprefix("FORMAT_")]
    made = coerced(value, own) if not (own == DATE and value.type.kind in ("DATETIME", "TIMESTAMP")) else value
    if made is None or (len(nodes) == 3 and own != TIMESTAMP):
        raise no_signature(c, name, [values.string(shown), value], node)
    sql = made.sql if own != TIME else f"(DATE '1970-01-01' + {made.sql})"
    if len(nodes) == 3:
        if re.search(r"%(Ez|z|Z)", shown):
            raise c.unsupported("time zone elements with a time zone", node)
        sql = _zoned(c, sql, nodes[2])
    return Expr(_formatted(c, sql, shown, own, node), STRING)


def _parse(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    if not 2 <= len(nodes) <= 3:
        raise c.error(f"No matching signature for function {name} with {len(nodes)} arguments", node)
    kind = SCALARS[name.removeprefix("PARSE_")]
    shown = _format_of(c, name, nodes[0])
    made, at = "", 0
    for found in _ELEMENT.finditer(shown):
        made += shown[at : found.start()]
        at = found.end()
        element = found[1]
        if element == "c":
            made += "%a %b %-d %H:%M:%S %Y"
        elif element in _LONG:
            made += _LONG[element]
        elif element in ("E4Y", "E*S", "e", "k", "l", "Ez", "n", "t"):
            made += {"E4Y": "%Y", "E*S": "%S.%f", "e": "%-d", "k": "%-H", "l": "%-I", "Ez": "%z", "n": "\n", "t": "\t"}[
                element
            ]
        elif element in "AaBbdHIjMmpSYyz%":
            made += "%" + element
        else:
            raise c.unsupported(f"the format element %{element} in {name}", node)
    made += shown[at:]
    value = c.compiled(nodes[1], STRING, name)
    forms = text(made)
    if "%S.%f" in made:
        # The fraction may be missing.
        forms = f"[{text(made)}, {text(made.replace('%S.%f', '%S'))}]"
    parsed = f"try_strptime({value.sql}, {forms})"
    if "%z" in made:
        parsed = f"(TRY_CAST({parsed} AS TIMESTAMPTZ) AT TIME ZONE 'UTC')"
    # Parts that the format lacks are those of 1970-01-01 00:00:00; DuckDB takes 1900.
    if not re.search(r"%[Yy]", made):
        parsed = f"({parsed} + to_years(70))"
    if len(nodes) == 3:
        if kind != TIMESTAMP:
            raise c.error(f"No matching signature for function {name} with three arguments", node)
        if "%z" not in made:
            parsed = _utc(c, parsed, nodes[2])
    into = {"DATE": "DATE", "TIME": "TIME"}.get(kind.kind, "TIMESTAMP")
    problem = c.fail("Failed to parse input string ", f"'\"' || {value.sql} || '\"'")
    return Expr(f"coalesce(CAST({parsed} AS {into}), CASE WHEN {value.sql} IS NOT NULL THEN {problem} END)", kind)


HANDLERS: dict[str, Handler] = {
    **{f"{kind}_{end}": _add for kind in ("DATE", "DATETIME", "TIME", "TIMESTAMP") for end in ("ADD", "SUB")},
    **{f"{kind}_DIFF": _diff for kind in ("DATE", "DATETIME", "TIME", "TIMESTAMP")},
    **{f"{kind}_TRUNC": _trunc for kind in ("DATE", "DATETIME", "TIME", "TIMESTAMP")},
    **{f"FORMAT_{kind}": _format for kind in ("DATE", "DATETIME", "TIME", "TIMESTAMP")},
    **{f"PARSE_{kind}": _parse for kind in ("DATE", "DATETIME", "TIME", "TIMESTAMP")},
    **{f"CURRENT_{kind}": _current for kind in ("DATE", "DATETIME", "TIME", "TIMESTAMP")},
    "LAST_DAY": _last_day,
    "DATE": _date,
    "TIME": _time,
    "DATETIME": _datetime,
    "TIMESTAMP": _timestamp,
    "GENERATE_DATE_ARRAY": _generate,
    "GENERATE_TIMESTAMP_ARRAY": _generate,
}
