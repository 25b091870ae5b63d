"""Comparisons of two compiled values of one type, where DuckDB's differ from GoogleSQL's.

https://cloud.google.com/bigquery/docs/reference/standard-sql/operators#comparison_operators: every comparison with NaN
is false but ``!=``, which is true; structs are compared field by field, with the logic of three values. DuckDB takes
NaN for the largest number, equal to itself, and structs with NULLs inside for values like others.
"""

from __future__ import annotations

from ..types import Type, member
from .values import Expr


def may_be_nan(value: Expr) -> bool:
    """Whether a value may be NaN: a FLOAT64 that is neither written out nor made from an integer."""
    if value.type.kind != "FLOAT64" or value.finite:
        return False
    return not (value.constant and value.literal == value.literal)


def equal(a: Expr, b: Expr) -> str:
    """``a = b``."""
    if a.type.kind == "STRUCT":
        pairs = zip(a.type.fields, b.type.fields, strict=True)
        parts = [
            equal(_part(a, index, one.name, one.type), _part(b, index, other.name, other.type))
            for index, (one, other) in enumerate(pairs)
        ]
        return "(" + " AND ".join(parts) + ")"
    if may_be_nan(a) and may_be_nan(b):
        # NaN = NULL is NULL.
        return f"({a.sql} = {b.sql} AND (NOT isnan({a.sql}) OR {b.sql} IS NULL))"
    return f"({a.sql} = {b.sql})"


def unequal(a: Expr, b: Expr) -> str:
    """``a != b``."""
    if a.type.kind == "STRUCT" or (may_be_nan(a) and may_be_nan(b)):
        return f"(NOT {equal(a, b)})"
    return f"({a.sql} != {b.sql})"


def ordered(a: Expr, operator: str, b: Expr) -> str:
    """``a < b``, ``a <= b``, ``a > b``, ``a >= b``."""
    large, small = (a, b) if operator.startswith(">") else (b, a)
    made = f"({a.sql} {operator} {b.sql})"
    if not may_be_nan(large):
        return made
    if small.constant and small.literal is not None:
        # For DuckDB all numbers are less than NaN; a scan can use this comparison, unlike isnan().
        return f"({made} AND {large.sql} < CAST('nan' AS DOUBLE))"
    return f"({made} AND (NOT isnan({large.sql}) OR {small.sql} IS NULL))"


def compared(a: Expr, operator: str, b: Expr) -> str:
    """A comparison with one of GoogleSQL's operators."""
    if operator == "=":
        return equal(a, b)
    if operator == "!=":
        return unequal(a, b)
    if operator in ("<", "<=", ">", ">="):
        return ordered(a, operator, b)
    return f"({a.sql} {operator} {b.sql})"


def _part(value: Expr, index: int, name: str, kind: Type) -> Expr:
    return value.parts[index] if value.parts else Expr(member(value.sql, name), kind)
