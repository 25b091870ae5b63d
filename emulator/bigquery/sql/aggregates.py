"""Aggregate functions, and window functions with OVER.

https://cloud.google.com/bigquery/docs/reference/standard-sql/aggregate_functions
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from ..types import BOOL, FLOAT64, INT64, NUMERIC, STRING, Field, Type, array, duckdb_type, struct
from .equality import may_be_nan
from .registry import Handler, no_signature
from .values import Expr, coerced, floating, numeric_quotient

if TYPE_CHECKING:
    from .names import ExpressionBase


_NAN = floating(math.nan).sql


@dataclass(slots=True)
class Aggregate:
    """An aggregate call before OVER is put behind it: ``call``, then what is done with its result, and the type.

    ``divisor`` is a second call, by which the result of the first is divided as NUMERIC. ``test`` is a call too: where
    its result is true, the whole is ``otherwise`` (a NaN, an error).
    """

    call: str
    type: Type
    wrap: Callable[[str], str] = field(default=lambda sql: sql)
    filter: str = ""
    divisor: str = ""
    test: str = ""
    otherwise: str = ""

    def finished(self, over: str = "") -> Expr:
        """The whole expression; ``over`` stands behind each call."""
        behind = (f" FILTER (WHERE {self.filter})" if self.filter else "") + over
        made = self.call + behind
        if self.divisor:
            made = numeric_quotient(made, f"nullif({self.divisor}{behind}, 0)")
        made = self.wrap(made)
        if self.test:
            made = f"CASE WHEN {self.test.replace('{0}', behind)} THEN {self.otherwise} ELSE {made} END"
        return Expr(made, self.type)


@dataclass(slots=True)
class _Arguments:
    """The arguments of an aggregate function with what may be written among them."""

    nodes: list[Any]
    distinct: bool = False
    nulls: str = ""
    order: Any = None
    order_sql: str = ""
    limit: int | None = None
    having: Any = None


def _read(c: ExpressionBase, nodes: list[Any], node: Any) -> _Arguments:
    made = _Arguments([])
    for one in nodes:
        item = one
        while isinstance(item, (exp.Limit, exp.Order, exp.IgnoreNulls, exp.RespectNulls, exp.HavingMax, exp.Distinct)):
            if isinstance(item, exp.Limit):
                limit = c.compile(item.expression)
                if limit.type != INT64 or not limit.constant:
                    raise c.error("LIMIT expects an integer literal or parameter", node)
                made.limit = int(limit.literal)
            elif isinstance(item, exp.Order):
                made.order = item
            elif isinstance(item, exp.IgnoreNulls):
                made.nulls = "IGNORE NULLS"
            elif isinstance(item, exp.RespectNulls):
                made.nulls = "RESPECT NULLS"
            elif isinstance(item, exp.HavingMax):
                made.having = item
            elif isinstance(item, exp.Distinct):
                made.distinct = True
                # In DISTINCT f(x) IGNORE NULLS the parser takes the last two words for a part of the argument.
                inner = _read(c, item.expressions, node)
                made.nodes += inner.nodes
                made.nulls = made.nulls or inner.nulls
                item = None
                break
            item = item.this
        if item is not None:
            made.nodes.append(item)
    return made


def aggregate(c: ExpressionBase, name: str, nodes: list[Any], node: Any, *, nulls: str = "") -> Aggregate:
    """The aggregate call."""
    given = _read(c, nodes, node)
    given.nulls = given.nulls or nulls
    with c.aggregating():
        if given.order is not None:
            parts = [c.ordered(item, c.compile(item.this)) for item in given.order.expressions]
            given.order_sql = " ORDER BY " + ", ".join(parts)
        if given.distinct and name in _NO_DISTINCT:
            raise c.error(f"DISTINCT is not supported by aggregate function {name}", node)
        if given.having is not None and name != "ANY_VALUE":
            raise c.unsupported(f"HAVING MAX or MIN in {name}", node)
        return _MAKERS[name](c, name, given, node)


def _call(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    if name in _WINDOW_ONLY:
        raise c.error(f"Analytic function {name} cannot be called without an OVER clause", node)
    return aggregate(c, name, nodes, node).finished()


def _one(c: ExpressionBase, name: str, given: _Arguments, node: Any) -> Expr:
    if len(given.nodes) != 1:
        raise c.error(f"No matching signature for aggregate function {name} with {len(given.nodes)} arguments", node)
    return c.compile(given.nodes[0])


def _distinct(given: _Arguments) -> str:
    return "DISTINCT " if given.distinct else ""


def _count(c: ExpressionBase, name: str, given: _Arguments, node: Any) -> Aggregate:
    if len(given.nodes) == 1 and isinstance(given.nodes[0], exp.Star):
        return Aggregate("count(*)", INT64)
    value = _one(c, name, given, node)
    if given.distinct and value.type.kind in ("ARRAY", "JSON"):
        raise c.error(
            f"Aggregate functions with DISTINCT cannot be used with arguments of type {value.type.kind}", node
        )
    return Aggregate(f"count({_distinct(given)}{value.sql})", INT64)


def _countif(c: ExpressionBase, name: str, given: _Arguments, node: Any) -> Aggregate:
    value = _one(c, name, given, node)
    if coerced(value, BOOL) is None:
        raise no_signature(c, name, [value], node)
    return Aggregate(f"count({_distinct(given)}CASE WHEN {value.sql} THEN 1 END)", INT64)


def _numeric(c: ExpressionBase, name: str, given: _Arguments, node: Any) -> Aggregate:
    value = _one(c, name, given, node)
    kind = value.type.kind
    if kind not in ("INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC", "NULL"):
        raise no_signature(c, name, [value], node)
    if name == "SUM":
        result = INT64 if kind == "NULL" else value.type
        into = duckdb_type(result)
        call = f"sum({_distinct(given)}{value.sql})"
        if result == FLOAT64:
            # Infinite where no number is: the sum is too large.
            overflow = c.fail("double overflow")
            return Aggregate(
                call,
                result,
                lambda sql: f"CAST({sql} AS DOUBLE)",
                test=f"bool_and(isfinite({value.sql})){{0}} AND NOT isfinite({call}{{0}})",
                otherwise=f"CAST({overflow} AS DOUBLE)",
            )
        if result == NUMERIC:
            return Aggregate(call, result, lambda sql: _within_numeric(c, sql))
        return Aggregate(call, result, lambda sql: f"CAST({sql} AS {into})")
    if kind == "BIGNUMERIC":
        raise c.unsupported("AVG of BIGNUMERIC, which DuckDB has not: cast to NUMERIC or FLOAT64", node)
    if kind == "NUMERIC":
        distinct = _distinct(given)
        return Aggregate(f"sum({distinct}{value.sql})", value.type, divisor=f"count({distinct}{value.sql})")
    return Aggregate(f"avg({_distinct(given)}{value.sql})", FLOAT64, lambda sql: f"CAST({sql} AS DOUBLE)")


def _within_numeric(c: ExpressionBase, sql: str) -> str:
    """A sum as NUMERIC: DuckDB's decimals hold a little more than the 38 digits that they have by name."""
    decimal = duckdb_type(NUMERIC)
    return (
        f"CASE WHEN abs({sql}) > CAST('{_MOST_NUMERIC}' AS {decimal}) "
        f"THEN CAST({c.fail('numeric overflow')} AS {decimal}) ELSE CAST({sql} AS {decimal}) END"
    )


_MOST_NUMERIC = "99999999999999999999999999999.999999999"


def _statistic(c: ExpressionBase, name: str, given: _Arguments, node: Any) -> Aggregate:
    value = _one(c, name, given, node)
    made = coerced(value, FLOAT64)
    if made is None:
        raise no_signature(c, name, [value], node)
    function = {"STDDEV": "stddev_samp", "VARIANCE": "var_samp"}.get(name, name.lower())
    if value.type.kind in ("NUMERIC", "BIGNUMERIC"):
        # As differences from the first value, or the digits that tell them apart are lost in a double.
        return Aggregate(
            f"list({_distinct(given)}{value.sql})",
            FLOAT64,
            lambda sql: (
                f"list_aggregate(list_transform({sql}, lambda v: CAST(v - ({sql})[1] AS DOUBLE)), '{function}')"
            ),
            filter=f"{value.sql} IS NOT NULL",
        )
    if not may_be_nan(made):
        return Aggregate(f"{function}({_distinct(given)}{made.sql})", FLOAT64)
    finite = f"CASE WHEN isfinite({made.sql}) THEN {made.sql} WHEN {made.sql} IS NOT NULL THEN CAST(0 AS DOUBLE) END"
    return Aggregate(
        f"{function}({_distinct(given)}{finite})",
        FLOAT64,
        lambda sql: sql,
        test=f"bool_or(NOT isfinite({made.sql})){{0}}"
        + (f" AND count({made.sql}){{0}} > 1" if function.endswith("samp") else ""),
        otherwise=_NAN,
    )


def _pair(c: ExpressionBase, name: str, given: _Arguments, node: Any) -> Aggregate:
    if len(given.nodes) != 2:
        raise c.error(f"No matching signature for aggregate function {name}", node)
    a, b = (c.compiled(one, FLOAT64, name) for one in given.nodes)
    return Aggregate(f"{name.lower()}({a.sql}, {b.sql})", FLOAT64)


def _extreme(c: ExpressionBase, name: str, given: _Arguments, node: Any) -> Aggregate:
    value = _one(c, name, given, node)
    if value.type.kind in ("ARRAY", "STRUCT", "JSON"):
        raise c.error(f"{name} is not defined for arguments of type {value.type.kind}", node)
    made = Aggregate(f"{name.lower()}({value.sql})", value.type)
    if name == "MIN" and may_be_nan(value):
        made.test, made.otherwise = f"bool_or(isnan({value.sql})){{0}}", _NAN
    return made


def _any_value(c: ExpressionBase, name: str, given: _Arguments, node: Any) -> Aggregate:
    value = _one(c, name, given, node)
    if given.having is not None:
        key = c.compile(given.having.expression)
        function = "arg_max_null" if given.having.args.get("max") else "arg_min_null"
        return Aggregate(f"{function}({value.sql}, {key.sql})", value.type)
    return Aggregate(f"any_value({value.sql})", value.type)


def _by(c: ExpressionBase, name: str, given: _Arguments, node: Any) -> Aggregate:
    if len(given.nodes) != 2:
        raise c.error(f"No matching signature for aggregate function {name}", node)
    value, key = (c.compile(one) for one in given.nodes)
    function = "arg_max_null" if name == "MAX_BY" else "arg_min_null"
    return Aggregate(f"{function}({value.sql}, {key.sql})", value.type)


def _array_agg(c: ExpressionBase, name: str, given: _Arguments, node: Any) -> Aggregate:
    value = _one(c, name, given, node)
    if value.type.kind == "ARRAY":
        raise c.error("The argument to ARRAY_AGG must not be an array type but was " + str(value.type), node)
    wanted = f"{value.sql} IS NOT NULL" if given.nulls == "IGNORE NULLS" else ""
    limit = given.limit
    call = f"list({_distinct(given)}{value.sql}{given.order_sql})"
    return Aggregate(call, array(value.type), lambda sql: sql if limit is None else f"({sql})[1:{limit}]", wanted)


def _array_concat_agg(c: ExpressionBase, name: str, given: _Arguments, node: Any) -> Aggregate:
    value = _one(c, name, given, node)
    if value.type.kind != "ARRAY":
        raise no_signature(c, name, [value], node)
    limit = "" if given.limit is None else f"[1:{given.limit}]"
    return Aggregate(
        f"list({value.sql}{given.order_sql})",
        value.type,
        lambda sql: f"flatten(({sql}){limit})",
        f"{value.sql} IS NOT NULL",
    )


def _string_agg(c: ExpressionBase, name: str, given: _Arguments, node: Any) -> Aggregate:
    if not 1 <= len(given.nodes) <= 2:
        raise c.error(f"No matching signature for aggregate function {name}", node)
    value = c.compile(given.nodes[0])
    separator = "','"
    if len(given.nodes) == 2:
        between = c.compiled(given.nodes[1], STRING, name)
        if not between.constant or between.literal is None:
            raise c.error(f"The second argument of {name} must be a literal or query parameter that is not NULL", node)
        separator = between.sql
    if coerced(value, STRING) is None:
        raise no_signature(c, name, [value], node)
    limit = "" if given.limit is None else f"[1:{given.limit}]"
    return Aggregate(
        f"list({_distinct(given)}{value.sql}{given.order_sql})",
        STRING,
        lambda sql: f"CASE WHEN len(({sql}){limit}) > 0 THEN array_to_string(({sql}){limit}, {separator}) END",
        f"{value.sql} IS NOT NULL",
    )


def _logical(c: ExpressionBase, name: str, given: _Arguments, node: Any) -> Aggregate:
    value = _one(c, name, given, node)
    if coerced(value, BOOL) is None:
        raise no_signature(c, name, [value], node)
    return Aggregate(f"{'bool_and' if name == 'LOGICAL_AND' else 'bool_or'}({value.sql})", BOOL)


def _bits(c: ExpressionBase, name: str, given: _Arguments, node: Any) -> Aggregate:
    value = _one(c, name, given, node)
    if coerced(value, INT64) is None:
        raise no_signature(c, name, [value], node)
    return Aggregate(f"{name.lower()}({_distinct(given)}{value.sql})", INT64)


def _approx_count(c: ExpressionBase, name: str, given: _Arguments, node: Any) -> Aggregate:
    # The exact number is a good approximation.
    return Aggregate(f"count(DISTINCT {_one(c, name, given, node).sql})", INT64)


def _approx_quantiles(c: ExpressionBase, name: str, given: _Arguments, node: Any) -> Aggregate:
    if len(given.nodes) != 2:
        raise c.error(f"No matching signature for aggregate function {name}", node)
    value, number = (c.compile(one) for one in given.nodes)
    if not number.constant or number.type != INT64 or not 1 <= number.literal <= 10_000:
        raise c.error("The second argument of APPROX_QUANTILES is an integer literal or parameter from 1", node)
    points = ", ".join(repr(index / number.literal) for index in range(number.literal + 1))
    if given.nulls == "RESPECT NULLS":
        # As quantile_disc does it, with NULL as the least value.
        places = ", ".join(
            f"greatest(1, CAST(ceil({index / number.literal!r} * len(l)) AS BIGINT))"
            for index in range(number.literal + 1)
        )
        return Aggregate(
            f"list({_distinct(given)}{value.sql})",
            array(value.type),
            lambda sql: (
                f"list_transform([list_sort({sql}, 'ASC', 'NULLS FIRST')], "
                f"lambda l: list_transform([{places}], lambda i: l[i]))[1]"
            ),
        )
    wanted = f"{value.sql} IS NOT NULL"
    return Aggregate(f"quantile_disc({_distinct(given)}{value.sql}, [{points}])", array(value.type), filter=wanted)


def _approx_top(c: ExpressionBase, name: str, given: _Arguments, node: Any) -> Aggregate:
    summed = name == "APPROX_TOP_SUM"
    if len(given.nodes) != (3 if summed else 2):
        raise c.error(f"No matching signature for aggregate function {name}", node)
    value, *weights, number = (c.compile(one) for one in given.nodes)
    if not number.constant or number.type != INT64:
        raise c.error(f"The last argument of {name} is an integer literal or parameter", node)
    if summed:
        return _top_sum(c, name, value, weights[0], int(number.literal), node)
    element = struct((Field("value", value.type), Field("count", INT64)))
    # NULLs are not in a histogram; records of them are.
    entries = f"map_entries(histogram(struct_pack(v := {value.sql})))"
    return Aggregate(
        entries,
        array(element),
        lambda sql: (
            f'list_transform(list_sort(list_transform({sql}, lambda "e!": struct_pack('
            f'n := -CAST("e!".value AS BIGINT), v := "e!".key.v)))[1:{number.literal}], '
            f'lambda "e!": struct_pack(value := "e!".v, count := -"e!".n))'
        ),
    )


def _top_sum(c: ExpressionBase, name: str, value: Expr, weight: Expr, number: int, node: Any) -> Aggregate:
    kind = weight.type
    if kind.kind not in ("INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC"):
        raise no_signature(c, name, [value, weight], node)
    into = duckdb_type(kind)
    wrong = c.fail("APPROX_TOP_SUM: a weight cannot be negative or NaN")
    bad = f"{weight.sql} < 0" + (f" OR isnan({weight.sql})" if kind == FLOAT64 else "")
    weighed = f"CASE WHEN {bad} THEN CAST({wrong} AS {into}) ELSE {weight.sql} END"
    keys = 'list_distinct(list_transform("l!", lambda "e!": struct_pack(v := "e!".v)))'
    own = 'list_transform(list_filter("l!", lambda "e!": "e!".v IS NOT DISTINCT FROM "k!".v), lambda "e!": "e!".w)'
    rows = f'list_transform({keys}, lambda "k!": struct_pack(n := -CAST(list_sum({own}) AS {into}), v := "k!".v))'
    best = f"list_sort({rows}, 'ASC', 'NULLS LAST')[1:{number}]"
    made = f'list_transform({best}, lambda "r!": struct_pack(value := "r!".v, sum := -"r!".n))'
    return Aggregate(
        f"list(struct_pack(v := {value.sql}, w := {weighed}))",
        array(struct((Field("value", value.type), Field("sum", kind)))),
        lambda sql: f'list_transform([{sql}], lambda "l!": {made})[1]',
    )


def _grouping(c: ExpressionBase, name: str, given: _Arguments, node: Any) -> Aggregate:
    return Aggregate(f"grouping({_one(c, name, given, node).sql})", INT64, lambda sql: f"CAST({sql} AS BIGINT)")


# --- functions that need OVER ---


def _ranking(c: ExpressionBase, name: str, given: _Arguments, node: Any) -> Aggregate:
    if name == "NTILE":
        number = _one(c, name, given, node)
        return Aggregate(f"ntile({c.needed(number, INT64, node).sql})", INT64)
    if given.nodes:
        raise c.error(f"No matching signature for analytic function {name} with arguments", node)
    return Aggregate(f"{name.lower()}()", FLOAT64 if name in ("PERCENT_RANK", "CUME_DIST") else INT64)


def _navigation(c: ExpressionBase, name: str, given: _Arguments, node: Any) -> Aggregate:
    most = {"LAG": 3, "LEAD": 3, "NTH_VALUE": 2}.get(name, 1)
    if not 1 <= len(given.nodes) <= most:
        raise c.error(f"No matching signature for analytic function {name}", node)
    value, *rest = (c.compile(one) for one in given.nodes)
    parts = [value.sql]
    if rest:
        parts.append(f"CAST({c.needed(rest[0], INT64, node).sql} AS INTEGER)")
    if len(rest) == 2:
        parts.append(c.needed(rest[1], value.type, node).sql)
    nulls = f" {given.nulls}" if given.nulls == "IGNORE NULLS" else ""
    return Aggregate(f"{name.lower()}({', '.join(parts)}{nulls})", value.type)


def _percentile(c: ExpressionBase, name: str, given: _Arguments, node: Any) -> Aggregate:
    if len(given.nodes) != 2:
        raise c.error(f"No matching signature for analytic function {name}", node)
    value, at = c.compile(given.nodes[0]), c.compile(given.nodes[1])
    if at.type.kind not in ("FLOAT64", "INT64") or not at.constant:
        raise c.error(f"The second argument of {name} is a literal or parameter from 0 to 1", node)
    if given.nulls == "RESPECT NULLS":
        raise c.unsupported(f"{name} with RESPECT NULLS", node)
    if name == "PERCENTILE_CONT":
        made = c.needed(value, FLOAT64, node)
        return Aggregate(f"quantile_cont({made.sql}, {float(at.literal)!r})", FLOAT64)
    return Aggregate(f"quantile_disc({value.sql}, {float(at.literal)!r})", value.type)


def window(c: ExpressionBase, node: exp.Window) -> Expr:
    """A function call with OVER."""
    inner = node.this
    nulls = ""
    if isinstance(inner, (exp.IgnoreNulls, exp.RespectNulls)):
        nulls = "IGNORE NULLS" if isinstance(inner, exp.IgnoreNulls) else "RESPECT NULLS"
        inner = inner.this
    if not isinstance(inner, exp.Anonymous):
        raise c.unsupported("OVER behind this expression", node)
    name = str(inner.name).upper()
    if name not in _MAKERS:
        raise c.error(f"Function {inner.name} is not an analytic function", node)
    if name in ("APPROX_TOP_COUNT", "APPROX_TOP_SUM", "GROUPING"):
        raise c.unsupported(f"{name} with OVER", node)
    before, c.in_aggregate = c.in_aggregate, c.in_aggregate
    try:
        made = _windowed(c, name, inner, node, nulls)
    finally:
        c.in_aggregate = before
    return made.finished(f" OVER ({_over(c, node)})")


def _windowed(c: ExpressionBase, name: str, inner: Any, node: Any, nulls: str) -> Aggregate:
    given = _read(c, inner.expressions, node)
    given.nulls = given.nulls or nulls
    if given.order is not None:
        raise c.error(f"Analytic function {name} does not support ORDER BY in arguments", node)
    return _MAKERS[name](c, name, given, node)


def _over(c: ExpressionBase, node: Any, depth: int = 0) -> str:
    parts = []
    named = node.args.get("alias")
    base = None
    if named is not None and depth < 20:
        base = c.scope.windows.get(named.name.lower())
        if base is None:
            raise c.error(f"Unrecognized window alias {named.name}", node)
    partition = node.args.get("partition_by") or (base.args.get("partition_by") if base is not None else None)
    order = node.args.get("order") or (base.args.get("order") if base is not None else None)
    spec = node.args.get("spec") or (base.args.get("spec") if base is not None else None)
    if partition:
        keys = []
        for item in partition:
            value = c.compile(item)
            if value.type.kind in ("ARRAY", "JSON", "STRUCT"):
                raise c.error(f"Partitioning by expressions of type {value.type.kind} is not allowed", item)
            keys.append(value.sql)
        parts.append("PARTITION BY " + ", ".join(keys))
    if order is not None:
        # A frame of a distance has one key.
        one_key = spec is not None and _has_distance(spec)
        keys = [c.ordered(item, c.compile(item.this), one_key=one_key) for item in order.expressions]
        parts.append("ORDER BY " + ", ".join(keys))
    if spec is not None:
        parts.append(_frame(c, spec))
    return " ".join(parts)


def _has_distance(spec: exp.WindowSpec) -> bool:
    """Whether a frame is said by a distance from the value of the row: ``RANGE BETWEEN 1 PRECEDING AND …``."""
    sides = (spec.args.get("start"), spec.args.get("end"))
    return str(spec.args.get("kind") or "").upper() == "RANGE" and any(isinstance(one, exp.Expression) for one in sides)


def _frame(c: ExpressionBase, spec: exp.WindowSpec) -> str:
    if _is_empty(c, spec):
        return f"ROWS BETWEEN {_BEYOND} FOLLOWING AND {_BEYOND} FOLLOWING"

    def side(value: Any, direction: Any) -> str:
        if isinstance(value, exp.Expression):
            return f"{c.compile(value).sql} {direction}"
        return f"{value} {direction or ''}".strip()

    start = side(spec.args.get("start"), spec.args.get("start_side"))
    end = spec.args.get("end")
    finish = "CURRENT ROW" if end is None else side(end, spec.args.get("end_side"))
    return f"{spec.args.get('kind') or 'RANGE'} BETWEEN {start} AND {finish}"


#: More rows than any partition has: a frame that far away is empty.
_BEYOND = 2**62


def _is_empty(c: ExpressionBase, spec: exp.WindowSpec) -> bool:
    """Whether a frame ends before it starts, on every row: DuckDB counts -1 rows in some of those."""
    places = []
    for side in ("start", "end"):
        value = spec.args.get(side)
        if not isinstance(value, exp.Expression):
            return False
        distance = c.compile(value)
        if not distance.constant or distance.literal is None:
            return False
        backwards = str(spec.args.get(f"{side}_side")).upper() == "PRECEDING"
        places.append(-distance.literal if backwards else distance.literal)
    return bool(places[0] > places[1])


#: Aggregate functions that take no DISTINCT.
_NO_DISTINCT = frozenset(
    [
        "ANY_VALUE",
        "APPROX_COUNT_DISTINCT",
        "APPROX_TOP_COUNT",
        "APPROX_TOP_SUM",
        "ARRAY_CONCAT_AGG",
        "CORR",
        "COVAR_POP",
        "COVAR_SAMP",
        "GROUPING",
        "MAX_BY",
        "MIN_BY",
    ]
)
_WINDOW_ONLY = frozenset(
    [
        "ROW_NUMBER",
        "RANK",
        "DENSE_RANK",
        "PERCENT_RANK",
        "CUME_DIST",
        "NTILE",
        "LAG",
        "LEAD",
        "FIRST_VALUE",
        "LAST_VALUE",
        "NTH_VALUE",
        "PERCENTILE_CONT",
        "PERCENTILE_DISC",
    ]
)

_Maker = Callable[["ExpressionBase", str, _Arguments, Any], Aggregate]

_MAKERS: dict[str, _Maker] = {
    "COUNT": _count,
    "COUNTIF": _countif,
    "SUM": _numeric,
    "AVG": _numeric,
    **dict.fromkeys(("STDDEV", "STDDEV_POP", "STDDEV_SAMP", "VARIANCE", "VAR_POP", "VAR_SAMP"), _statistic),
    **dict.fromkeys(("CORR", "COVAR_POP", "COVAR_SAMP"), _pair),
    "MIN": _extreme,
    "MAX": _extreme,
    "ANY_VALUE": _any_value,
    "MAX_BY": _by,
    "MIN_BY": _by,
    "ARRAY_AGG": _array_agg,
    "ARRAY_CONCAT_AGG": _array_concat_agg,
    "STRING_AGG": _string_agg,
    "LOGICAL_AND": _logical,
    "LOGICAL_OR": _logical,
    **dict.fromkeys(("BIT_AND", "BIT_OR", "BIT_XOR"), _bits),
    "APPROX_COUNT_DISTINCT": _approx_count,
    "APPROX_QUANTILES": _approx_quantiles,
    "APPROX_TOP_COUNT": _approx_top,
    "APPROX_TOP_SUM": _approx_top,
    "GROUPING": _grouping,
    **dict.fromkeys(("ROW_NUMBER", "RANK", "DENSE_RANK", "PERCENT_RANK", "CUME_DIST", "NTILE"), _ranking),
    **dict.fromkeys(("LAG", "LEAD", "FIRST_VALUE", "LAST_VALUE", "NTH_VALUE"), _navigation),
    **dict.fromkeys(("PERCENTILE_CONT", "PERCENTILE_DISC"), _percentile),
}

HANDLERS: dict[str, Handler] = dict.fromkeys(_MAKERS, _call)


def is_aggregated(node: Any) -> bool:
    """Whether an expression has an aggregate or analytic function, those of its subqueries aside."""
    if isinstance(node, (exp.Query, exp.Unnest)):
        return False
    if isinstance(node, exp.Window) or (isinstance(node, exp.Anonymous) and str(node.name).upper() in _MAKERS):
        return True
    return any(is_aggregated(child) for child in node.iter_expressions())
