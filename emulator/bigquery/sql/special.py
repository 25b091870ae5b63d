"""Functions whose arguments are read in their own way: conditions, strings, arrays, JSON, FORMAT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlglot import exp

from ..types import FLOAT64, INT64, NUMERIC, STRING, Type, duckdb_type
from . import arrays, format_function, json_functions, strings, values
from .arguments import arguments, typed
from .equality import equal
from .registry import Handler, no_signature
from .values import Expr, supertype

if TYPE_CHECKING:
    from .names import ExpressionBase


def _coalesce(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    given = arguments(c, name, nodes, node, 1, 1000)
    if name == "IFNULL" and len(given) != 2:
        raise no_signature(c, name, given, node)
    kind = c.common(given, name, node)
    return Expr(f"coalesce({', '.join(c.needed(value, kind, node).sql for value in given)})", kind)


def _nullif(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    a, b = arguments(c, name, nodes, node, 2, 2)
    left, right = c.comparable(a, b, "=", node)
    return Expr(f"CASE WHEN {equal(left, right)} THEN NULL ELSE {left.sql} END", left.type)


def _extreme(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    given = arguments(c, name, nodes, node, 1, 1000)
    kind = c.common(given, name, node)
    if kind.kind in ("ARRAY", "STRUCT", "JSON"):
        raise no_signature(c, name, given, node)
    parts = [c.needed(value, kind, node).sql for value in given]
    nulls = " OR ".join(f"{part} IS NULL" for part in parts)
    nan = ""
    if kind == FLOAT64 and name == "LEAST":
        # For DuckDB NaN is the greatest number.
        nan = f"WHEN {' OR '.join(f'isnan({part})' for part in parts)} THEN {values.floating(float('nan')).sql} "
    return Expr(f"CASE WHEN {nulls} THEN NULL {nan}ELSE {name.lower()}({', '.join(parts)}) END", kind)


def _error(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    (value,) = typed(c, name, nodes, node, [STRING])
    return Expr("NULL" if c.safe else f"CAST(error({value.sql}) AS BIGINT)", Type("NULL"))


def _if(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    if len(nodes) != 3:
        raise c.error(f"No matching signature for function {name} with {len(nodes)} argument(s)", node)
    return c.compile(exp.If(this=nodes[0], true=nodes[1], false=nodes[2]))


def _round(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    given = arguments(c, name, nodes, node, 1, 2)
    kind = NUMERIC if given[0].type.kind in ("NUMERIC", "BIGNUMERIC") else FLOAT64
    value = c.needed(given[0], kind, node) if values.coerced(given[0], kind) else None
    if value is None:
        raise no_signature(c, name, given, node)
    if len(given) == 1:
        return Expr(f"CAST({name.lower()}({value.sql}) AS {duckdb_type(kind)})", kind)
    digits = c.needed(given[1], INT64, node)
    if name == "TRUNC":
        factor = f"power(10::DOUBLE, {digits.sql})"
        return Expr(f"CAST(trunc({value.sql} * {factor}) / {factor} AS {duckdb_type(kind)})", kind)
    return Expr(f"CAST(round({value.sql}, CAST({digits.sql} AS INTEGER)) AS {duckdb_type(kind)})", kind)


def _mod(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    a, b = arguments(c, name, nodes, node, 2, 2)
    kind = supertype([a, b])
    if kind is None or kind.kind not in ("INT64", "NUMERIC"):
        raise no_signature(c, name, [a, b], node)
    left, right = c.needed(a, kind, node).sql, c.needed(b, kind, node).sql
    guard = c.fail(
        "division by zero: ", f"'{name}(' || CAST({left} AS VARCHAR) || ', ' || CAST({right} AS VARCHAR) || ')'"
    )
    if kind == INT64:
        made = f"({left} {'%' if name == 'MOD' else '//'} {right})"
    elif name == "MOD":
        made = f"({left} % {right})"
    else:
        # What is left out first is no more than the rounding of the quotient could make good again.
        quotient = values.numeric_quotient(f"({left} - {left} % {right})", right)
        made = f"CAST(trunc({quotient}) AS {duckdb_type(kind)})"
    return Expr(f"CASE WHEN {right} = 0 THEN CAST({guard} AS {duckdb_type(kind)}) ELSE {made} END", kind)


def _divide(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    a, b = arguments(c, name, nodes, node, 2, 2)
    left, right = values.coerced(a, FLOAT64), values.coerced(b, FLOAT64)
    if left is None or right is None:
        raise no_signature(c, name, [a, b], node)
    if name == "IEEE_DIVIDE":
        return Expr(f"({left.sql} / {right.sql})", FLOAT64)
    before, c.safe = c.safe, True
    try:
        return c.divided(left, right, FLOAT64, node, zero="NULL")
    finally:
        c.safe = before


def _session_user(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    made = c.environment.system_variable("session_user")
    del name, nodes, node
    return made or values.string("owner@example.com")


#: Functions by name, those of strings, arrays and JSON among them.
HANDLERS: dict[str, Handler] = {
    "COALESCE": _coalesce,
    "IFNULL": _coalesce,
    "NULLIF": _nullif,
    "GREATEST": _extreme,
    "LEAST": _extreme,
    "ERROR": _error,
    "IF": _if,
    "ROUND": _round,
    "TRUNC": _round,
    "MOD": _mod,
    "DIV": _mod,
    "SAFE_DIVIDE": _divide,
    "IEEE_DIVIDE": _divide,
    "SESSION_USER": _session_user,
    **strings.HANDLERS,
    **arrays.HANDLERS,
    **json_functions.HANDLERS,
    **format_function.HANDLERS,
}
