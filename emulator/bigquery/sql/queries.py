"""The compiler of queries: WITH, set operations, ORDER BY and LIMIT; one SELECT is in :mod:`.select`."""

# ruff: noqa: S608 - names are quoted and values escaped by functions made for it

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlglot import exp

from ..types import Type
from . import values
from .compiler import QueryCompiler
from .relations import Query
from .scopes import Scope
from .select import Select
from .values import Expr, coerced, supertype


class Compiler(QueryCompiler):
    """Compiles queries; see :class:`.compiler.QueryCompiler`."""

    def query(self, node: Any) -> Query:
        """Compile a query; names of the scope around it may be used."""
        before = dict(self.ctes)
        in_aggregate, self.in_aggregate = self.in_aggregate, False
        try:
            return self._query(node)
        finally:
            self.ctes = before
            self.in_aggregate = in_aggregate

    def _query(self, node: Any) -> Query:
        prefix = self._with(node)
        if isinstance(node, exp.Subquery):
            made = self._bracketed(node)
        elif isinstance(node, exp.SetOperation):
            made = self._set_operation(node)
        elif isinstance(node, exp.Select):
            made = Select(self, node).compile()
        elif isinstance(node, exp.Values):
            raise self.unsupported("VALUES as a query", node)
        elif isinstance(node, exp.Table):
            made = Select(self, exp.select("*").from_(node.copy())).compile()
        else:
            raise self.unsupported(f"a query of the kind {type(node).__name__}", node)
        made.sql = prefix + made.sql
        return made

    def _bracketed(self, node: exp.Subquery) -> Query:
        inner = self.query(node.this)
        tail = self._tail(node, inner)
        return Query(f"SELECT * FROM ({inner.sql}) AS {self.fresh('s')}{tail}", inner.fields, inner.value)

    # --- WITH ---

    def _with(self, node: Any) -> str:
        clause = node.args.get("with_")
        if clause is None:
            return ""
        parts = []
        for cte in clause.expressions:
            name = cte.alias
            internal = self.fresh("w")
            if clause.args.get("recursive") and self._refers(cte.this, name):
                parts.append(self._recursive(cte, name, internal))
                continue
            outer, self.scope = self.scope, Scope()
            try:
                made = self.query(cte.this)
            finally:
                self.scope = outer
            self.ctes[name.lower()] = (internal, made.fields)
            parts.append(f"{internal} AS ({made.sql})")
        word = "WITH RECURSIVE " if clause.args.get("recursive") else "WITH "
        return word + ", ".join(parts) + " "

    @staticmethod
    def _refers(node: Any, name: str) -> bool:
        return any(table.name.lower() == name.lower() and not table.db for table in node.find_all(exp.Table))

    def _recursive(self, cte: Any, name: str, internal: str) -> str:
        union = cte.this
        if isinstance(union, exp.Subquery):
            union = union.this
        if not isinstance(union, exp.Union) or union.args.get("distinct"):
            raise self.error(f"Recursive query {name} must be a UNION ALL of a base term and a recursive term", cte)
        base = self.query(union.this)
        self.ctes[name.lower()] = (internal, base.fields)
        step = self.query(union.expression)
        if len(step.fields) != len(base.fields):
            raise self.error("Queries in UNION ALL have mismatched column count", union)
        cast = self._as_types(step, [one.type for one in base.fields], union)
        columns = ", ".join(f"c{index}" for index in range(len(base.fields)))
        return f"{internal}({columns}) AS ({base.sql} UNION ALL {cast})"

    # --- set operations ---

    def _set_operation(self, node: Any) -> Query:
        branches: list[Any] = []
        kind, distinct = type(node), bool(node.args.get("distinct"))
        left: Any = node
        # Long chains of one operation nest to the left; they are compiled flat.
        while (
            isinstance(left, kind)
            and bool(left.args.get("distinct")) == distinct
            and (left is node or not self.has_tail(left))
        ):
            branches.insert(0, left.expression)
            left = left.this
            if not isinstance(left, (exp.Union, exp.Intersect, exp.Except)):
                break
        branches.insert(0, left)
        name = f"{kind.__name__.upper()} {'DISTINCT' if distinct else 'ALL'}"
        if node.args.get("by_name") or node.args.get("side") or node.args.get("kind"):
            raise self.unsupported("set operations BY NAME or with OUTER", node)
        if not distinct and kind is not exp.Union:
            raise self.error(f"{name} is not supported, use {kind.__name__.upper()} DISTINCT", node)
        compiled = [self.query(branch) for branch in branches]
        width = len(compiled[0].fields)
        for query in compiled:
            if len(query.fields) != width:
                counts = ", ".join(str(len(one.fields)) for one in compiled)
                raise self.error(f"Queries in {name} have mismatched column count; query counts are {counts}", node)
        types = []
        for index in range(width):
            items = [self._probe(query, index) for query in compiled]
            common = supertype(items)
            if common is None or (distinct and common.kind in ("ARRAY", "JSON")):
                shown = ", ".join(str(item.type) for item in items)
                raise self.error(f"Column {index + 1} in {name} has incompatible types: {shown}", node)
            types.append(common)
        word = kind.__name__.upper() + ("" if distinct else " ALL")
        body = f" {word} ".join(f"({self._as_types(query, types, node)})" for query in compiled)
        fields = [replace(one, type=common) for one, common in zip(compiled[0].fields, types, strict=True)]
        made = Query(body, fields, all(query.value for query in compiled))
        tail = self._tail(node, made)
        if tail:
            made.sql = f"SELECT * FROM ({body}) AS {self.fresh('s')}{tail}"
        return made

    @staticmethod
    def _probe(query: Query, index: int) -> Expr:
        kind = query.fields[index].type
        return values.null() if kind.kind == "NULL" else query.literals.get(index, Expr("x", kind))

    def _as_types(self, query: Query, types: list[Type], node: Any) -> str:
        if [one.type for one in query.fields] == types:
            return query.sql
        alias = self.fresh("s")
        parts = []
        for index, (have, want) in enumerate(zip(query.fields, types, strict=True)):
            value = replace(query.literals.get(index, Expr("", have.type)), sql=f"{alias}.c{index}")
            made = coerced(value, want)
            if made is None:
                raise self.error(f"Column {index + 1} has type {have.type}, not {want}", node)
            parts.append(f"{made.sql} AS c{index}")
        return f"SELECT {', '.join(parts)} FROM ({query.sql}) AS {alias}"

    # --- ORDER BY and LIMIT of anything but a SELECT ---

    def _tail(self, node: Any, made: Query) -> str:
        tail = ""
        order = node.args.get("order")
        if order is not None:
            aliases = {one.name.lower(): Expr(f"c{index}", one.type) for index, one in enumerate(made.fields)}
            with self.within(Scope(parent=self.scope, aliases=aliases)):
                parts = []
                for item in order.expressions:
                    key = item.this
                    if isinstance(key, exp.Literal) and not key.is_string:
                        index = int(str(key.this)) if str(key.this).isdigit() else 0
                        if not 1 <= index <= len(made.fields):
                            raise self.error(f"ORDER BY column number {index} is out of range", key)
                        value = Expr(f"c{index - 1}", made.fields[index - 1].type)
                    else:
                        value = self.compile(key)
                    parts.append(self.ordered(item, value))
            tail += " ORDER BY " + ", ".join(parts)
        return tail + self.limits(node)
