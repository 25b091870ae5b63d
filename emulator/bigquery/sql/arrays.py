"""Functions of arrays that need more than a template.

https://cloud.google.com/bigquery/docs/reference/standard-sql/array_functions
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..types import BOOL, INT64, STRING, Type, array, duckdb_type
from . import values
from .arguments import arguments
from .equality import may_be_nan
from .registry import Handler, no_signature
from .values import Expr, coerced, supertype

if TYPE_CHECKING:
    from .names import ExpressionBase


def _array_argument(c: ExpressionBase, name: str, value: Expr, node: Any) -> tuple[str, Type]:
    """An array, and its element type. Stored arrays are never NULL, at the lowest level either."""
    if value.type.kind == "NULL":
        return values.null(array(INT64)).sql, INT64
    if value.type.kind != "ARRAY":
        raise no_signature(c, name, [value], node)
    return value.sql, value.type.element or INT64


def _array_length(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    (value,) = arguments(c, name, nodes, node, 1, 1)
    sql, _ = _array_argument(c, name, value, node)
    return Expr(f"len({sql})", INT64)


def _array_reverse(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    (value,) = arguments(c, name, nodes, node, 1, 1)
    sql, element = _array_argument(c, name, value, node)
    return Expr(f"list_reverse({sql})", array(element))


def _array_concat(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    return c.concatenated(arguments(c, name, nodes, node, 1, 1000), node, name)


def _array_to_string(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    given = arguments(c, name, nodes, node, 2, 3)
    sql, element = _array_argument(c, name, given[0], node)
    if element.kind != "STRING":
        raise no_signature(c, name, given, node)
    separator = c.needed(given[1], STRING, node).sql
    if len(given) == 3:
        shown = c.needed(given[2], STRING, node).sql
        sql = f"list_transform({sql}, lambda x: coalesce(x, {shown}))"
    else:
        sql = f"list_filter({sql}, lambda x: x IS NOT NULL)"
    return Expr(
        f"CASE WHEN {given[0].sql} IS NOT NULL THEN coalesce(array_to_string({sql}, {separator}), '') END", STRING
    )


def _array_end(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    (value,) = arguments(c, name, nodes, node, 1, 1)
    sql, element = _array_argument(c, name, value, node)
    problem = c.fail(f"{name} cannot get the {'first' if name == 'ARRAY_FIRST' else 'last'} element of an empty array")
    return Expr(
        f"CASE WHEN len({sql}) = 0 THEN {problem} ELSE {sql}[{1 if name == 'ARRAY_FIRST' else -1}] END", element
    )


def _array_slice(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    given = arguments(c, name, nodes, node, 3, 3)
    sql, element = _array_argument(c, name, given[0], node)
    start, end = (c.needed(one, INT64, node).sql for one in given[1:])
    from_ = f"CASE WHEN {start} < 0 THEN greatest(len({sql}) + {start}, 0) ELSE {start} END"
    to = f"CASE WHEN {end} < 0 THEN len({sql}) + {end} ELSE {end} END"
    return Expr(
        f"CASE WHEN ({to}) < ({from_}) THEN CAST([] AS {duckdb_type(array(element))}) "
        f"ELSE {sql}[({from_}) + 1:({to}) + 1] END",
        array(element),
    )


def _array_includes(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    given = arguments(c, name, nodes, node, 2, 2)
    return c.in_array(given[1], given[0], "", node)


def _array_distinct(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    (value,) = arguments(c, name, nodes, node, 1, 1)
    sql, _ = _array_argument(c, name, value, node)
    return Expr(
        f"(len(list_distinct({sql})) + CASE WHEN list_count({sql}) < len({sql}) THEN 1 ELSE 0 END = len({sql}))", BOOL
    )


def _range_bucket(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    point, bounds = arguments(c, name, nodes, node, 2, 2)
    sql, element = _array_argument(c, name, bounds, node)
    kind = supertype([point, *(bounds.parts or (Expr("x", element),))])
    array_ = coerced(bounds, array(kind)) if kind is not None else None
    if kind is None or array_ is None or kind.kind in ("ARRAY", "STRUCT", "JSON"):
        raise no_signature(c, name, [point, bounds], node)
    value, sql = c.needed(point, kind, node), array_.sql
    unsorted = c.fail("Elements in input array to RANGE_BUCKET must be in ascending order")
    nulls = c.fail("Elements in input array to RANGE_BUCKET cannot be null")
    missing = f"{value.sql} IS NULL" + (f" OR isnan({value.sql})" if may_be_nan(value) else "")
    low = c.fresh("x")
    return Expr(
        f"CASE WHEN {missing} OR {sql} IS NULL THEN NULL WHEN list_count({sql}) < len({sql}) THEN {nulls} "
        f"WHEN list_sort({sql}) <> {sql} THEN {unsorted} "
        f"ELSE len(list_filter({sql}, lambda {low}: {low} <= {value.sql})) END",
        INT64,
    )


def _generate_array(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    given = arguments(c, name, nodes, node, 2, 3)
    kind = supertype(given)
    if kind is None or kind.kind not in ("INT64", "FLOAT64"):
        raise c.unsupported(f"{name} of {kind}", node) if kind else no_signature(c, name, given, node)
    start, end, *rest = (c.needed(one, kind, node).sql for one in given)
    step = rest[0] if rest else ("CAST(1 AS BIGINT)" if kind == INT64 else "CAST(1 AS DOUBLE)")
    problem = c.fail("Sequence step cannot be 0.")
    many = c.fail(f"{name} makes more than {_MOST_GENERATED} elements")
    too_many = f"abs(CAST({end} AS DOUBLE) - {start}) / abs({step}) > {_MOST_GENERATED}"
    if kind == INT64:
        made = f"generate_series({start}, {end}, {step})"
        body = f"CASE WHEN {step} = 0 THEN {problem} WHEN {too_many} THEN {many} ELSE {made} END"
    else:
        count = f"CAST(floor(({end} - {start}) / {step} + 1e-9) AS BIGINT)"
        made = f"list_transform(generate_series(CAST(0 AS BIGINT), {count}), lambda x: {start} + x * {step})"
        nothing = "CAST([] AS DOUBLE[])"
        body = f"CASE WHEN {step} = 0 THEN {problem} WHEN {too_many} THEN {many} ELSE {made} END"
        body = f"CASE WHEN {step} <> 0 AND {count} < 0 THEN {nothing} ELSE {body} END"
    nulls = " OR ".join(f"{one} IS NULL" for one in (start, end, step))
    return Expr(f"CASE WHEN {nulls} THEN NULL ELSE {body} END", array(kind))


#: Elements of a generated array; more would take the memory of the whole emulator.
_MOST_GENERATED = 10_000_000


#: Functions by name.
HANDLERS: dict[str, Handler] = {
    "ARRAY_LENGTH": _array_length,
    "ARRAY_REVERSE": _array_reverse,
    "ARRAY_CONCAT": _array_concat,
    "ARRAY_TO_STRING": _array_to_string,
    "ARRAY_FIRST": _array_end,
    "ARRAY_LAST": _array_end,
    "ARRAY_SLICE": _array_slice,
    "ARRAY_INCLUDES": _array_includes,
    "ARRAY_IS_DISTINCT": _array_distinct,
    "GENERATE_ARRAY": _generate_array,
    "RANGE_BUCKET": _range_bucket,
}
