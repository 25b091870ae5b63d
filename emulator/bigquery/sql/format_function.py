"""FORMAT.

https://cloud.google.com/bigquery/docs/reference/standard-sql/format-elements
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..types import INT64, STRING, text
from . import values
from .registry import Handler
from .values import Expr

if TYPE_CHECKING:
    from .names import ExpressionBase


_SPEC = re.compile(r"%(?P<flags>[-+ 0#']*)(?P<width>\d+)?(?:\.(?P<precision>\d+))?(?P<kind>[a-zA-Z%])")


def _format(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    if not nodes:
        raise c.error(f"No matching signature for function {name} with no arguments", node)
    pattern, *given = [c.compile(one) for one in nodes]
    if not pattern.constant or not isinstance(pattern.literal, str):
        raise c.unsupported("FORMAT with a pattern that is not a literal or parameter", node)
    shown, parts, at, used = pattern.literal, [], 0, 0
    for found in _SPEC.finditer(shown):
        if found.start() > at:
            parts.append(text(shown[at : found.start()]))
        at = found.end()
        if found["kind"] == "%":
            parts.append("'%'")
            continue
        if used >= len(given):
            raise c.error("Too few arguments to FORMAT for pattern " + repr(shown), node)
        parts.append(_formatted(c, found, given[used], node))
        used += 1
    if used < len(given):
        raise c.error("Too many arguments to FORMAT for pattern " + repr(shown), node)
    if at < len(shown):
        parts.append(text(shown[at:]))
    return Expr("(" + " || ".join(parts or ["''"]) + ")", STRING)


def _formatted(c: ExpressionBase, found: re.Match[str], value: Expr, node: Any) -> str:
    kind, flags, width, precision = found["kind"], found["flags"], found["width"], found["precision"]
    if "'" in flags:
        raise c.unsupported("FORMAT with the flag '", node)
    spec = f"%{flags}{width or ''}"
    if kind in "dixXo" and value.type == INT64:
        return f"printf({text(spec + ('d' if kind == 'i' else kind))}, {value.sql})"
    if kind in "fFeEgG" and value.type.kind in ("FLOAT64", "INT64", "NUMERIC"):
        digits = "" if precision is None else f".{precision}"
        if precision is None and kind in "fFeE":
            digits = ".6"
        return f"printf({text(spec + digits + kind)}, CAST({value.sql} AS DOUBLE))"
    if kind == "s" and value.type == STRING:
        body = value.sql if precision is None else f"left({value.sql}, {precision})"
    elif kind in "tT":
        body = _printed(c, value, node, literal=kind == "T")
    else:
        raise c.error(f"Invalid type for argument in FORMAT; Expected another type for %{kind}, got {value.type}", node)
    if width is None:
        return body
    pad = "rpad" if "-" in flags else "lpad"
    return f"CASE WHEN length({body}) >= {width} THEN {body} ELSE {pad}({body}, {width}, ' ') END"


def _printed(c: ExpressionBase, value: Expr, node: Any, *, literal: bool) -> str:
    if value.type.kind == "NULL":
        return "'NULL'"
    if value.type.kind in ("ARRAY", "STRUCT") or (
        literal and value.type.kind not in ("INT64", "STRING", "BOOL", "DATE")
    ):
        raise c.unsupported(f"%{'T' if literal else 't'} in FORMAT with {value.type}", node)
    body = values.text_of(value)
    if value.type.kind == "JSON":
        body = f"CAST({value.sql} AS VARCHAR)"
    if value.type.kind == "FLOAT64":
        body = f"CASE WHEN regexp_full_match({body}, '-?\\d+') THEN {body} || '.0' ELSE {body} END"
    if literal and value.type.kind == "STRING":
        body = f"CAST(to_json({value.sql}) AS VARCHAR)"
    if literal and value.type.kind == "DATE":
        body = f"'DATE \"' || {body} || '\"'"
    return f"coalesce({body}, 'NULL')"


#: Functions by name.
HANDLERS: dict[str, Handler] = {
    "FORMAT": _format,
}
