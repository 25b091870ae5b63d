"""PIVOT, as the grouped query that it stands for.

https://cloud.google.com/bigquery/docs/reference/standard-sql/query-syntax#pivot_operator
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlglot import exp

if TYPE_CHECKING:
    from .compiler import QueryCompiler


def grouped(compiler: QueryCompiler, item: Any) -> exp.Subquery:
    """What a FROM item with PIVOT means: a subquery that groups its rows, with a column for every value and aggregate.

    Args:
        compiler: compiles the item's rows, to know their columns.
        item: a table or subquery with ``pivots``.

    Raises:
        ApiError: for UNPIVOT and what else is not served; 400 for a column that has no name.
    """
    pivots = item.args["pivots"]
    pivot = pivots[0]
    if len(pivots) > 1 or pivot.args.get("unpivot") or len(pivot.args.get("fields") or []) != 1:
        raise compiler.unsupported("UNPIVOT, and several PIVOTs of one table", item)
    (choice,) = pivot.args["fields"]
    if not isinstance(choice, exp.In) or not choice.expressions:
        raise compiler.unsupported("this PIVOT", item)
    plain = item.copy()
    plain.set("pivots", None)
    aggregates = [(one.this, one.alias) if isinstance(one, exp.Alias) else (one, "") for one in pivot.expressions]
    if len(aggregates) > 1 and not all(alias for _, alias in aggregates):
        raise compiler.error("Multiple PIVOT aggregate functions require an alias each", item)
    used = {column.name.lower() for call, _ in aggregates for column in call.find_all(exp.Column)}
    used |= {column.name.lower() for column in choice.this.find_all(exp.Column)}
    rows = compiler.query(exp.select("*").from_(plain.copy()))
    keys = [exp.column(exp.to_identifier(one.name, quoted=True)) for one in rows.fields if one.name.lower() not in used]
    made = []
    for value in choice.expressions:
        wanted, name = (value.this, value.alias) if isinstance(value, exp.PivotAlias) else (value, "")
        name = name or _default_name(compiler, wanted)
        test = (
            exp.Is(this=choice.this.copy(), expression=exp.Null())
            if isinstance(wanted, exp.Null)
            else exp.EQ(this=choice.this.copy(), expression=wanted.copy())
        )
        for call, alias in aggregates:
            label = exp.to_identifier(f"{alias}_{name}" if alias else name, quoted=True)
            made.append(exp.Alias(this=_restricted(compiler, call, test), alias=label))
    select = exp.select(*[key.copy() for key in keys], *made).from_(plain)
    if keys:
        select = select.group_by(*[key.copy() for key in keys])
    alias = pivot.args.get("alias")
    return exp.Subquery(this=select, alias=None if alias is None else alias.copy())


def _restricted(compiler: QueryCompiler, call: Any, test: Any) -> Any:
    """An aggregate over the rows for which the test holds."""
    name = str(call.this).upper() if isinstance(call, exp.Anonymous) else ""
    if name == "COUNT" and isinstance(call.expressions[0], exp.Star):
        return exp.Anonymous(this="COUNTIF", expressions=[test.copy()])
    if not name or not call.expressions or isinstance(call.expressions[0], exp.Distinct):
        raise compiler.unsupported("this aggregate in PIVOT", call)
    first, *rest = call.expressions
    value = exp.If(this=test.copy(), true=first.copy(), false=exp.Null())
    return exp.Anonymous(this=name, expressions=[value, *(one.copy() for one in rest)])


def _default_name(compiler: QueryCompiler, value: Any) -> str:
    """The name of a value's column, where the query gives none."""
    if isinstance(value, exp.Null):
        return "NULL"
    if isinstance(value, exp.Boolean):
        return "TRUE" if value.this else "FALSE"
    if isinstance(value, exp.Literal):
        text = str(value.this)
        if value.is_string:
            return text
        if text.isdigit():
            return f"_{text}"
    raise compiler.unsupported("a PIVOT column without an alias for anything but a string, an integer or a BOOL", value)
