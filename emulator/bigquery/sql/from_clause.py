"""The FROM clause of a SELECT: tables, subqueries, UNNEST, joins."""

# ruff: noqa: S608 - names are quoted and values escaped by functions made for it

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlglot import exp

from ..types import BOOL, INT64, Field, array, quoted, text
from . import values
from .equality import equal
from .pivot import grouped
from .scopes import Column, Scope, Source
from .values import Expr

if TYPE_CHECKING:
    from .compiler import QueryCompiler


class From:
    """The FROM clause of a SELECT: fills the scope's sources and makes the DuckDB text."""

    def __init__(self, compiler: QueryCompiler, scope: Scope) -> None:
        self.compiler = compiler
        self.scope = scope

    def compile(self, node: Any) -> str:
        """The clause of a SELECT; empty without one.

        Raises:
            ApiError: something in it is wrong, missing, not permitted or not served.
        """
        clause = node.args.get("from_")
        if clause is None:
            if node.args.get("joins"):
                raise self.compiler.error("Syntax error: JOIN without FROM", node)
            return ""
        sql = self._item(clause.this)
        for join in node.args.get("joins") or []:
            sql = self._join(sql, join)
        self._check_aliases(node)
        return f" FROM {sql}"

    def _check_aliases(self, node: Any) -> None:
        seen: set[str] = set()
        for source in self.scope.sources:
            if source.alias is None:
                continue
            if source.alias.lower() in seen:
                raise self.compiler.error(f"Duplicate table alias {source.alias} in the same FROM clause", node)
            seen.add(source.alias.lower())

    def _item(self, node: Any) -> str:
        joins = node.args.get("joins") or []
        sampled = node.args.get("sample")
        if node.args.get("pivots"):
            node = grouped(self.compiler, node)
        if isinstance(node, exp.Table):
            sql = self._table(node)
        elif isinstance(node, exp.Subquery):
            sql = self._subquery(node)
        elif isinstance(node, exp.Unnest):
            sql, sources = self._unnest(node)
            self.scope.sources += sources
        elif isinstance(node, exp.Paren):
            sql = f"({self._item(node.this)})"
        else:
            raise self.compiler.unsupported(f"{type(node).__name__.upper()} in FROM", node)
        if sampled:
            raise self.compiler.unsupported("TABLESAMPLE", node)
        for join in joins:
            sql = self._join(sql, join)
        return sql

    def _table(self, node: exp.Table) -> str:
        compiler = self.compiler
        if isinstance(node.this, exp.Func):
            raise compiler.unsupported(f"the table function {node.this.name}", node)
        for key in ("when", "version", "changes", "system_time"):
            if node.args.get(key):
                raise compiler.unsupported("FOR SYSTEM_TIME AS OF", node)
        parts = [part.name for part in node.parts]
        alias = node.alias or parts[-1].rpartition(".")[2]
        if node.args.get("alias") is not None and node.args["alias"].columns:
            raise compiler.unsupported("column aliases of a table", node)
        if len(parts) == 1 and parts[0].lower() in compiler.ctes:
            internal, fields = compiler.ctes[parts[0].lower()]
            name = compiler.fresh("r")
            columns = [Column(one.name, one.type, f"{name}.c{index}") for index, one in enumerate(fields)]
            self.scope.sources.append(self._shown(alias, columns, fields))
            return f"{internal} AS {name}"
        implied = self._implied_unnest(node, parts)
        if implied is not None:
            sql, sources = implied
            self.scope.sources += sources
            return sql
        relation = compiler.environment.relation(parts, node)
        name = compiler.fresh("r")
        columns = [Column(shown, kind, f"{name}.{quoted(inner)}") for shown, kind, inner in relation.columns]
        hidden = [Column(shown, kind, f"{name}.{quoted(inner)}") for shown, kind, inner in relation.hidden]
        self.scope.sources.append(Source(alias, columns, hidden=hidden))
        return f"{relation.sql} AS {name}"

    def _implied_unnest(self, node: exp.Table, parts: list[str]) -> tuple[str, list[Source]] | None:
        """``FROM t, t.items AS item``, where sqlglot took the path for a table."""
        if len(parts) < 2 or not any((source.alias or "").lower() == parts[0].lower() for source in self.scope.sources):
            return None
        value = self.compiler.resolve(parts, node)
        return self._elements(value, node, node.alias or parts[-1], None)

    @staticmethod
    def _shown(alias: str | None, columns: list[Column], fields: list[Field]) -> Source:
        if len(fields) == 1 and fields[0].anonymous and fields[0].type.kind == "STRUCT" and fields[0].name == "f0_":
            # SELECT AS STRUCT: the rows are the values themselves.
            value = Expr(columns[0].sql, fields[0].type)
            inner = [
                Column(one.name, one.type, f"struct_extract({value.sql}, {text(one.name)})")
                for one in fields[0].type.fields
            ]
            return Source(alias, inner, value)
        return Source(alias, columns)

    def _subquery(self, node: exp.Subquery) -> str:
        compiler = self.compiler
        if isinstance(node.this, (exp.Table, exp.Unnest)) or (
            isinstance(node.this, exp.Subquery) and node.this.args.get("joins") and not node.alias
        ):
            return f"({self._item(node.this)})"
        outer, compiler.scope = compiler.scope, self._outside()
        try:
            made = compiler.query(node if node.args.get("with_") or compiler.has_tail(node) else node.this)
        finally:
            compiler.scope = outer
        name = compiler.fresh("r")
        columns = [Column(one.name, one.type, f"{name}.c{index}") for index, one in enumerate(made.fields)]
        source = self._shown(node.alias or None, columns, made.fields)
        self.scope.sources.append(source)
        return f"({made.sql}) AS {name}"

    def _outside(self) -> Scope:
        """A subquery in FROM sees what is around the whole SELECT, not its neighbours."""
        return self.scope.parent or Scope()

    def _unnest(self, node: exp.Unnest) -> tuple[str, list[Source]]:
        compiler = self.compiler
        if len(node.expressions) != 1:
            raise compiler.unsupported("UNNEST of several arrays", node)
        alias = node.args.get("alias")
        name = None
        if alias is not None:
            name = alias.columns[0].name if alias.columns else alias.name
        elif "offset" not in node.args and isinstance(node.expressions[0], exp.Column):
            # The path of `FROM t, t.items`, which the parser has made an UNNEST: its last part is its name.
            name = node.expressions[0].name
        offset = node.args.get("offset")
        offset_name = offset.name if isinstance(offset, exp.Identifier) else ("offset" if offset else None)
        value = compiler.compile(node.expressions[0])
        return self._elements(value, node, name or None, offset_name)

    def _elements(self, value: Expr, node: Any, alias: str | None, offset: str | None) -> tuple[str, list[Source]]:
        compiler = self.compiler
        if value.type.kind == "NULL":
            value = values.null(array(INT64))
        if value.type.kind != "ARRAY":
            raise compiler.error(
                f"Values referenced in UNNEST must be arrays. UNNEST contains expression of type {value.type}", node
            )
        element = value.type.element or INT64
        name = compiler.fresh("u")
        item = Expr(f"{name}.v", element)
        if element.kind == "STRUCT":
            columns = [
                Column(one.name, one.type, f"struct_extract({item.sql}, {text(one.name)})")
                for one in element.fields
                if not one.anonymous
            ]
        else:
            columns = [Column(alias or "f0_", element, item.sql)] if alias else [Column("f0_", element, item.sql)]
        source = Source(alias, columns, item)
        if offset is None:
            return f"unnest({value.sql}) AS {name}(v)", [source]
        at = Expr(f"({name}.o - 1)", INT64)
        sources = [source, Source(offset, [Column(offset, INT64, at.sql)], at)]
        return f"unnest({value.sql}) WITH ORDINALITY AS {name}(v, o)", sources

    def _join(self, left: str, join: Any) -> str:
        compiler = self.compiler
        side, kind = str(join.side or "").upper(), str(join.kind or "").upper()
        if join.args.get("method") or kind in ("SEMI", "ANTI", "STRAIGHT"):
            raise compiler.unsupported(f"{join.method} {kind} JOIN".strip(), join)
        before = list(self.scope.sources)
        right = self._item(join.this)
        added = self.scope.sources[len(before) :]
        unnested = isinstance(join.this, exp.Unnest) or right.startswith("unnest(")
        on, using = join.args.get("on"), join.args.get("using")
        if using:
            condition = self._using(using, before, added, side, join)
        elif on is not None:
            condition = compiler.compiled(on, BOOL, "JOIN ON clause").sql
        else:
            condition = None
        if not side and (kind == "CROSS" or condition is None):
            if kind != "CROSS" and kind == "INNER" and condition is None and not unnested:
                raise compiler.error("INNER JOIN must have an immediately following ON or USING clause", join)
            return f"{left} CROSS JOIN {right}" if condition is None else f"{left} JOIN {right} ON {condition}"
        if condition is None:
            if not unnested:
                raise compiler.error(f"{side} JOIN must have an immediately following ON or USING clause", join)
            condition = "true"
        if unnested and side == "LEFT" and condition != "true":
            # DuckDB's lateral joins take no condition: the elements are filtered before they are joined.
            right = self._filtered(right, condition)
            condition = "true"
        if unnested and side in ("RIGHT", "FULL"):
            raise compiler.error("Array scan is not allowed with RIGHT or FULL JOIN", join)
        words = f"{side} JOIN" if side else "JOIN"
        return f"{left} {words} {right} ON {condition}"

    @staticmethod
    def _filtered(right: str, condition: str) -> str:
        body, _, names = right.rpartition(" AS ")
        name, _, columns = names.partition("(")
        listed = columns.rstrip(")")
        return f"(SELECT {listed} FROM {body} AS {name}({listed}) WHERE {condition}) AS {name}({listed})"

    def _using(self, using: Any, before: list[Source], added: list[Source], side: str, join: Any) -> str:
        compiler = self.compiler
        parts = []
        for item in using:
            name = item.name
            left = self._find(before, name) or self.scope.merged.get(name.lower())
            if name.lower() in self.scope.merged:
                left = self.scope.merged[name.lower()]
            right = self._find(added, name)
            if left is None or right is None:
                raise compiler.error(f"Column {name} in USING clause not found on both sides of the join", join)
            a, b = compiler.comparable(Expr(left.sql, left.type), Expr(right.sql, right.type), "=", join)
            parts.append(equal(a, b))
            merged = {"RIGHT": b.sql, "FULL": f"coalesce({a.sql}, {b.sql})"}.get(side, a.sql)
            self.scope.merged[name.lower()] = Column(left.name, a.type, merged)
        return " AND ".join(parts)

    @staticmethod
    def _find(sources: list[Source], name: str) -> Column | None:
        for source in sources:
            for column in source.columns:
                if column.name.lower() == name.lower():
                    return column
        return None
