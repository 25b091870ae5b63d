"""The compiler of queries: SELECT, FROM, WITH and set operations."""

# ruff: noqa: S608 - what is put together here was compiled: names are quoted, values escaped

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from sqlglot import exp

from ..types import BOOL, INT64, Field, Type, array, quoted, text
from . import values
from .expressions import Column, Environment, ExpressionCompiler, Scope, Source
from .pivot import grouped
from .values import Expr, coerced, supertype


@dataclass(slots=True)
class Query:
    """A compiled query. Its DuckDB columns are ``c0``, ``c1``…; ``fields`` has their GoogleSQL names and types.

    ``anonymous`` marks columns that were not named in the query; ``value`` is set for ``SELECT AS STRUCT/VALUE``.
    """

    sql: str
    fields: list[Field]
    value: bool = False


@dataclass(slots=True)
class Relation:
    """A table as the compiler sees it: DuckDB text for FROM, and its columns by DuckDB name."""

    sql: str
    columns: list[tuple[str, Type, str]]
    hidden: list[tuple[str, Type, str]] = field(default_factory=list)


class Tables(Environment, Protocol):
    """An environment that has tables as well."""

    def relation(self, compiler: Compiler, parts: list[str], node: Any) -> Relation:
        """The table or view with this name, which the caller may read."""


class Compiler(ExpressionCompiler):
    """Compiles queries.

    Args:
        environment: what the statement is compiled in.
    """

    environment: Tables

    def __init__(self, environment: Tables) -> None:
        super().__init__(environment)
        self.ctes: dict[str, tuple[str, list[Field]]] = {}

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
            made = _Select(self, node).compile()
        elif isinstance(node, exp.Values):
            raise self.unsupported("VALUES as a query", node)
        elif isinstance(node, exp.Table):
            made = _Select(self, exp.select("*").from_(node.copy())).compile()
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
            and (left is node or not self._has_tail(left))
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
            items = [self._probe(query.fields[index].type) for query in compiled]
            common = supertype(items)
            if common is None or (distinct and common.kind in ("ARRAY", "JSON")):
                shown = ", ".join(str(item.type) for item in items)
                raise self.error(f"Column {index + 1} in {name} has incompatible types: {shown}", node)
            types.append(common)
        word = kind.__name__.upper() + ("" if distinct else " ALL")
        body = f" {word} ".join(f"({self._as_types(query, types, node)})" for query in compiled)
        fields = [replace(one, type=common) for one, common in zip(compiled[0].fields, types, strict=True)]
        made = Query(body, fields)
        tail = self._tail(node, made)
        if tail:
            made.sql = f"SELECT * FROM ({body}) AS {self.fresh('s')}{tail}"
        return made

    @staticmethod
    def _has_tail(node: Any) -> bool:
        return any(node.args.get(key) for key in ("order", "limit", "offset", "with_"))

    @staticmethod
    def _probe(kind: Type) -> Expr:
        return values.null() if kind.kind == "NULL" else Expr("x", kind)

    def _as_types(self, query: Query, types: list[Type], node: Any) -> str:
        if [one.type for one in query.fields] == types:
            return query.sql
        alias = self.fresh("s")
        parts = []
        for index, (have, want) in enumerate(zip(query.fields, types, strict=True)):
            value = Expr(f"{alias}.c{index}", have.type)
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

    def ordered(self, item: Any, value: Expr) -> str:
        """One ORDER BY item: NULLs come first, or last for DESC, unless said otherwise."""
        if value.type.kind in ("ARRAY", "STRUCT", "JSON"):
            raise self.error(f"ORDER BY does not support expressions of type {value.type.kind}", item)
        desc = bool(item.args.get("desc"))
        nulls_first = item.args.get("nulls_first")
        first = (not desc) if nulls_first is None else bool(nulls_first)
        return f"{value.sql} {'DESC' if desc else 'ASC'} NULLS {'FIRST' if first else 'LAST'}"

    def limits(self, node: Any) -> str:
        """LIMIT and OFFSET."""
        made = ""
        for key, word in (("limit", "LIMIT"), ("offset", "OFFSET")):
            clause = node.args.get(key)
            if clause is None:
                continue
            if not isinstance(clause, (exp.Limit, exp.Offset)):
                raise self.unsupported(f"{type(clause).__name__}", clause)
            value = self.compile(clause.expression)
            if value.type != INT64 or not value.constant or value.literal is None or value.literal < 0:
                raise self.error(f"{word} expects an integer literal or parameter of 0 or more", clause)
            made += f" {word} {int(value.literal)}"
        return made


class _Select:
    """One SELECT."""

    def __init__(self, compiler: Compiler, node: exp.Select) -> None:
        self.compiler = compiler
        self.node = node
        self.scope = Scope(parent=compiler.scope)
        self.items: list[tuple[Expr, str | None]] = []

    def compile(self) -> Query:
        node, compiler = self.node, self.compiler
        if node.args.get("pivots") or node.args.get("laterals") or node.args.get("connect"):
            raise compiler.unsupported("PIVOT, UNPIVOT, LATERAL VIEW or CONNECT BY", node)
        with compiler.within(self.scope):
            from_sql = _From(compiler, self.scope).compile(node)
            for named in node.args.get("windows") or []:
                self.scope.windows[named.name.lower()] = named
            where = self._clause("where", "WHERE")
            self._select_list()
            kind = str(node.args.get("kind") or "").upper()
            group, group_sql = self._group()
            aliases = {name.lower(): item for item, name in self.items if name}
            self.scope.aliases = aliases
            having = self._clause("having", "HAVING")
            qualify = self._clause("qualify", "QUALIFY")
            order = self._order()
            self.scope.aliases = {}
            limits = compiler.limits(node)
        if not from_sql and (where or group):
            raise compiler.error("Query without FROM clause cannot have a WHERE or GROUP BY clause", node)
        items, fields, value = self._shaped(kind)
        select = ", ".join(f"{item.sql} AS c{index}" for index, item in enumerate(items))
        distinct = "DISTINCT " if node.args.get("distinct") else ""
        if distinct:
            self._check_distinct(items)
        sql = f"SELECT {distinct}{select}{from_sql}{where}{group_sql}{having}{qualify}{order}{limits}"
        return Query(sql, fields, value)

    def _check_distinct(self, items: list[Expr]) -> None:
        for item in items:
            if item.type.kind in ("ARRAY", "JSON"):
                raise self.compiler.error(f"Column of type {item.type} cannot be used in SELECT DISTINCT", self.node)

    def _clause(self, key: str, word: str) -> str:
        clause = self.node.args.get(key)
        if clause is None:
            return ""
        return f" {word} {self.compiler.compiled(clause.this, BOOL, f'{word} clause').sql}"

    def _shaped(self, kind: str) -> tuple[list[Expr], list[Field], bool]:
        names = _output_names(self.items)
        if kind == "STRUCT":
            parts = [
                (name or f"_field_{index}", name is None, item) for index, (item, name) in enumerate(self.items, 1)
            ]
            made = values.struct_of(parts)
            return [made], [Field("f0_", made.type, anonymous=True)], True
        if kind == "VALUE":
            if len(self.items) != 1:
                raise self.compiler.error("SELECT AS VALUE query must have exactly one column", self.node)
            return [self.items[0][0]], [Field(names[0], self.items[0][0].type, anonymous=True)], True
        fields = [
            Field(name, item.type, anonymous=given is None)
            for name, (item, given) in zip(names, self.items, strict=True)
        ]
        return [item for item, _ in self.items], fields, False

    # --- SELECT list ---

    def _select_list(self) -> None:
        if not self.node.expressions:
            raise self.compiler.error("Syntax error: SELECT list is empty", self.node)
        for item in self.node.expressions:
            if isinstance(item, exp.Star):
                self._star(item, self.scope.sources, whole=True)
            elif isinstance(item, exp.Column) and isinstance(item.this, exp.Star):
                self._dot_star(item)
            elif isinstance(item, exp.Dot) and isinstance(item.expression, exp.Star):
                self._struct_star(self.compiler.compile(item.this), item.expression, item)
            else:
                value = self.compiler.compile(item)
                self.items.append((value, value.name))

    def _dot_star(self, item: exp.Column) -> None:
        parts = [part.name for part in item.parts[:-1]]
        if len(parts) == 1:
            for source in self.scope.sources:
                if source.alias is not None and source.alias.lower() == parts[0].lower() and source.value is None:
                    self._star(item.this, [source], whole=False)
                    return
        self._struct_star(self.compiler.resolve(parts, item), item.this, item)

    def _struct_star(self, value: Expr, star: Any, node: Any) -> None:
        if value.type.kind != "STRUCT":
            raise self.compiler.error(f"Dot-star is not supported for type {value.type}", node)
        columns = [
            Column(one.name, one.type, self.compiler.field(value, one.name, node).sql) for one in value.type.fields
        ]
        self._star(star, [Source(None, columns)], whole=False)

    def _star(self, star: Any, sources: list[Source], *, whole: bool) -> None:
        compiler = self.compiler
        if not sources:
            raise compiler.error("SELECT * must have a FROM clause", star)
        columns: list[Column] = []
        if whole:
            columns += self.scope.merged.values()
        merged = set(self.scope.merged) if whole else set()
        for source in sources:
            columns += [column for column in source.columns if column.name.lower() not in merged]
        dropped = {self._star_name(one).lower(): one for one in star.args.get("except_") or []}
        replaced = {one.alias.lower(): one for one in star.args.get("replace") or []}
        known = {column.name.lower() for column in columns}
        for name, one in {**dropped, **replaced}.items():
            if name not in known:
                word = "EXCEPT" if name in dropped else "REPLACE"
                raise compiler.error(f"Column {name} in SELECT * {word} list does not exist", one)
        if star.args.get("rename"):
            raise compiler.unsupported("SELECT * RENAME", star)
        for column in columns:
            name = column.name.lower()
            if name in dropped:
                continue
            value = compiler.compile(replaced[name].this) if name in replaced else Expr(column.sql, column.type)
            self.items.append((value, column.name))

    @staticmethod
    def _star_name(node: Any) -> str:
        return str(node.name)

    # --- GROUP BY and ORDER BY ---

    def _group(self) -> tuple[bool, str]:
        clause = self.node.args.get("group")
        if clause is None:
            return False, ""
        parts = [self._group_item(item) for item in clause.expressions]
        if clause.args.get("all"):
            parts.append("ALL")
        for key, word in (("rollup", "ROLLUP"), ("cube", "CUBE")):
            for group in clause.args.get(key) or []:
                inner = ", ".join(self._group_item(item) for item in group.expressions)
                parts.append(f"{word} ({inner})")
        for group in clause.args.get("grouping_sets") or []:
            sets = []
            for item in group.expressions:
                members = item.expressions if isinstance(item, exp.Tuple) else [item]
                sets.append("(" + ", ".join(self._group_item(member) for member in members) + ")")
            parts.append(f"GROUPING SETS ({', '.join(sets)})")
        return True, " GROUP BY " + ", ".join(parts)

    def _group_item(self, item: Any) -> str:
        value = self._by_number(item, "GROUP BY")
        if value is None:
            aliases = {name.lower(): one for one, name in self.items if name}
            value = aliases.get(item.name.lower()) if isinstance(item, exp.Column) and len(item.parts) == 1 else None
            value = value or self.compiler.compile(item)
        if value.type.kind in ("ARRAY", "JSON"):
            raise self.compiler.error(f"Grouping by expressions of type {value.type.kind} is not allowed", item)
        return value.sql

    def _by_number(self, item: Any, word: str) -> Expr | None:
        if not isinstance(item, exp.Literal) or item.is_string or not str(item.this).isdigit():
            return None
        index = int(str(item.this))
        if not 1 <= index <= len(self.items):
            raise self.compiler.error(
                f"{word} column number {index} is out of range, the SELECT list has {len(self.items)}", item
            )
        return self.items[index - 1][0]

    def _order(self) -> str:
        clause = self.node.args.get("order")
        if clause is None:
            return ""
        parts = []
        for item in clause.expressions:
            key = item.this
            numbered = self._by_number(key, "ORDER BY")
            if numbered is not None:
                value = Expr(f"c{int(str(key.this)) - 1}", numbered.type)
            else:
                index = self._output_index(key)
                value = self.compiler.compile(key) if index is None else Expr(f"c{index}", self.items[index][0].type)
                if index is None and self.node.args.get("distinct"):
                    value = self._distinct_key(value, key)
            parts.append(self.compiler.ordered(item, value))
        return " ORDER BY " + ", ".join(parts)

    def _output_index(self, key: Any) -> int | None:
        if not isinstance(key, exp.Column) or len(key.parts) != 1:
            return None
        found = [index for index, (_, name) in enumerate(self.items) if name and name.lower() == key.name.lower()]
        if len(found) > 1:
            first = self.items[found[0]][0].sql
            if any(self.items[index][0].sql != first for index in found):
                raise self.compiler.error(f"Column name {key.name} is ambiguous", key)
        return found[0] if found else None

    def _distinct_key(self, value: Expr, key: Any) -> Expr:
        for index, (item, _) in enumerate(self.items):
            if item.sql == value.sql:
                return Expr(f"c{index}", value.type)
        raise self.compiler.error(
            "ORDER BY expression references a column that is not in the SELECT DISTINCT list", key
        )


def _output_names(items: list[tuple[Expr, str | None]]) -> list[str]:
    """The names of columns: those without one are ``f0_``, ``f1_``…"""
    names = []
    unnamed = 0
    for _, name in items:
        if name:
            names.append(name)
        else:
            names.append(f"f{unnamed}_")
            unnamed += 1
    return names


class _From:
    """The FROM clause of a SELECT: fills the scope's sources and makes the DuckDB text."""

    def __init__(self, compiler: Compiler, scope: Scope) -> None:
        self.compiler = compiler
        self.scope = scope

    def compile(self, node: Any) -> str:
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
            sql, source = self._unnest(node)
            self.scope.sources.append(source)
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
            sql, source = implied
            self.scope.sources.append(source)
            return sql
        relation = compiler.environment.relation(compiler, parts, node)
        name = compiler.fresh("r")
        columns = [Column(shown, kind, f"{name}.{quoted(inner)}") for shown, kind, inner in relation.columns]
        hidden = [Column(shown, kind, f"{name}.{quoted(inner)}") for shown, kind, inner in relation.hidden]
        self.scope.sources.append(Source(alias, columns, hidden=hidden))
        return f"{relation.sql} AS {name}"

    def _implied_unnest(self, node: exp.Table, parts: list[str]) -> tuple[str, Source] | None:
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
            made = compiler.query(node if node.args.get("with_") or compiler._has_tail(node) else node.this)  # noqa: SLF001
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

    def _unnest(self, node: exp.Unnest) -> tuple[str, Source]:
        compiler = self.compiler
        if len(node.expressions) != 1:
            raise compiler.unsupported("UNNEST of several arrays", node)
        alias = node.args.get("alias")
        name = None
        if alias is not None:
            name = alias.columns[0].name if alias.columns else alias.name
        offset = node.args.get("offset")
        offset_name = offset.name if isinstance(offset, exp.Identifier) else ("offset" if offset else None)
        value = compiler.compile(node.expressions[0])
        return self._elements(value, node, name or None, offset_name)

    def _elements(self, value: Expr, node: Any, alias: str | None, offset: str | None) -> tuple[str, Source]:
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
            return f"unnest({value.sql}) AS {name}(v)", source
        source.columns = [*columns, Column(offset, INT64, f"({name}.o - 1)")]
        return f"unnest({value.sql}) WITH ORDINALITY AS {name}(v, o)", source

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
            parts.append(f"({a.sql} = {b.sql})")
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
