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
    if len(pivots) > 1 or len(pivot.args.get("fields") or []) != 1:
        raise compiler.unsupported("several PIVOTs of one table", item)
    if pivot.args.get("unpivot"):
        return _unpivoted(compiler, item, pivot)
    (choice,) = pivot.args["fields"]
    if not isinstance(choice, exp.In) or not choice.expressions:
        raise compiler.unsupported("this PIVOT", item)
    plain = item.copy()
    plain.set("pivots", None)
    aggregates = [(one.this, one.alias) if isinstance(one, exp.Alias) else (one, "") for one in pivot.expressions]
    if len(aggregates) > 1 and not all(alias for _, alias in aggregates):
        raise compiler.error("Multiple PIVOT aggregate functions require an alias each", item)
    used = {name.lower() for call, _ in aggregates for name in _columns_of(call)}
    used |= {name.lower() for name in _columns_of(choice.this)}
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


def _columns_of(node: Any) -> list[str]:
    """The columns that an expression reads; those of a subquery's own tables are looked up in the subquery."""
    if isinstance(node, exp.Column):
        return [node.parts[0].name]
    if isinstance(node, exp.Query) and node.find(exp.From) is not None:
        return []
    return [name for child in node.iter_expressions() for name in _columns_of(child)]


def _unpivoted(compiler: QueryCompiler, item: Any, pivot: Any) -> exp.Subquery:
    """UNPIVOT: a row for each of the columns, with its values and its name.

    https://cloud.google.com/bigquery/docs/reference/standard-sql/query-syntax#unpivot_operator
    """
    (choice,) = pivot.args["fields"]
    (shown,) = pivot.expressions
    names = [one.name for one in (shown.expressions if isinstance(shown, exp.Tuple) else [shown])]
    plain = item.copy()
    plain.set("pivots", None)
    used: set[str] = set()
    rows = []
    for value in choice.expressions:
        group, label = (value.this, value.args["alias"]) if isinstance(value, exp.PivotAlias) else (value, None)
        columns = group.expressions if isinstance(group, exp.Tuple) else [group.unnest()]
        if len(columns) != len(names) or not all(isinstance(one, exp.Column) for one in columns):
            raise compiler.error("The columns of UNPIVOT do not match its value columns", item)
        used |= {one.name.lower() for one in columns}
        word = exp.Literal.string("_".join(one.name for one in columns)) if label is None else label.copy()
        pairs = [*zip(names, columns, strict=True), (choice.this.name, word)]
        rows.append(
            exp.Struct(expressions=[exp.PropertyEQ(this=_name(key), expression=one.copy()) for key, one in pairs])
        )
    kept = [one.name for one in compiler.query(exp.select("*").from_(plain.copy())).fields]
    alias = exp.TableAlias(columns=[_name(_ELEMENT)])
    unnest = exp.Unnest(expressions=[exp.Array(expressions=rows)], alias=alias, offset=False)
    element = [exp.column(_name(name), table=_name(_ELEMENT)) for name in [*names, choice.this.name]]
    select = exp.select(*[exp.column(_name(one)) for one in kept if one.lower() not in used], *element).from_(plain)
    select.append("joins", exp.Join(this=unnest, kind="CROSS"))
    if not pivot.args.get("include_nulls"):
        tests = [exp.Not(this=exp.Is(this=one.copy(), expression=exp.Null())) for one in element[:-1]]
        select = select.where(exp.or_(*tests))
    outer = pivot.args.get("alias")
    return exp.Subquery(this=select, alias=None if outer is None else outer.copy())


#: The element of the array that stands for the columns; no column of BigQuery can have this name.
_ELEMENT = "unpivoted!"


def _name(name: str) -> exp.Identifier:
    return exp.to_identifier(name, quoted=True)


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
