"""One SELECT: its list, grouping, order, and what frames them."""

# ruff: noqa: S608 - what is put together here was compiled: names are quoted, values escaped

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from ..types import BOOL, Field
from . import values
from .aggregates import is_aggregated
from .equality import may_be_nan
from .from_clause import From
from .relations import Query
from .scopes import Column, Scope, Source
from .values import Expr

if TYPE_CHECKING:
    from .compiler import QueryCompiler


#: The clauses of a SELECT that are read, as the parser calls them.
_READ = frozenset(
    [
        "connect",
        "distinct",
        "expressions",
        "from_",
        "group",
        "having",
        "joins",
        "kind",
        "laterals",
        "limit",
        "offset",
        "order",
        "pivots",
        "qualify",
        "where",
        "windows",
        "with_",
    ]
)


class Select:
    """One SELECT."""

    def __init__(self, compiler: QueryCompiler, node: exp.Select) -> None:
        self.compiler = compiler
        self.node = node
        self.scope = Scope(parent=compiler.scope)
        self.items: list[tuple[Expr, str | None]] = []
        #: For each item, whether GROUP BY ALL groups by it: it reads a column and aggregates nothing.
        self.keys: list[bool] = []
        self.ordered_outside = False

    def compile(self) -> Query:
        """The compiled query.

        Raises:
            ApiError: something in it is wrong, missing, not permitted or not served.
        """
        node, compiler = self.node, self.compiler
        if unread := [key for key, value in node.args.items() if value and key not in _READ]:
            raise compiler.unsupported(f"{unread[0].strip('_').upper()} of a query", node)
        if node.args.get("pivots") or node.args.get("laterals") or node.args.get("connect"):
            raise compiler.unsupported("PIVOT, UNPIVOT, LATERAL VIEW or CONNECT BY", node)
        with compiler.within(self.scope):
            from_sql = From(compiler, self.scope).compile(node)
            for named in node.args.get("windows") or []:
                self.scope.windows[named.name.lower()] = named
            where = self._clause("where", "WHERE")
            self._select_list()
            kind = str(node.args.get("kind") or "").upper()
            group, group_sql = self._group()
            aliases = {name.lower(): item for item, name in self.items if name}
            self.scope.aliases = aliases
            if group and not self._has_sets():
                self._check_grouped(group_sql)
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
        sql = f"SELECT {distinct}{select}{from_sql}{where}{group_sql}{having}{qualify}"
        sql = (
            f"SELECT * FROM ({sql}) AS {compiler.fresh('s')}{order}{limits}"
            if self.ordered_outside
            else sql + order + limits
        )
        literals = {index: item for index, item in enumerate(items) if item.constant}
        return Query(sql, fields, value, literals)

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
                self._add(value, value.name, item)

    def _add(self, value: Expr, name: str | None, node: Any) -> None:
        """Add an item to the SELECT list; ``node`` is None for a column that ``*`` stands for."""
        self.items.append((value, name))
        self.keys.append(node is None or (node.find(exp.Column) is not None and not is_aggregated(node)))

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
            self._add(value, column.name, replaced[name].this if name in replaced else None)

    @staticmethod
    def _star_name(node: Any) -> str:
        return str(node.name)

    # --- GROUP BY and ORDER BY ---

    def _group(self) -> tuple[bool, str]:
        clause = self.node.args.get("group")
        if clause is None:
            return False, ""
        if clause.args.get("all"):
            keys = [item.sql for (item, _), key in zip(self.items, self.keys, strict=True) if key]
            return True, " GROUP BY " + (", ".join(dict.fromkeys(keys)) or "()")
        return True, " GROUP BY " + ", ".join(self._grouping(item) for item in clause.expressions)

    def _grouping(self, item: Any) -> str:
        """A key, or several with ROLLUP, CUBE or GROUPING SETS."""
        if isinstance(item, (exp.Rollup, exp.Cube, exp.GroupingSets)):
            word = {"Rollup": "ROLLUP", "Cube": "CUBE"}.get(type(item).__name__, "GROUPING SETS")
            return f"{word} ({', '.join(self._grouping(one) for one in item.expressions)})"
        if isinstance(item, exp.Tuple):
            return f"({', '.join(self._grouping(one) for one in item.expressions)})"
        return self._group_item(item)

    def _has_sets(self) -> bool:
        found = self.node.args["group"].expressions
        return any(isinstance(one, (exp.Rollup, exp.Cube, exp.GroupingSets, exp.Tuple)) for one in found)

    def _check_grouped(self, group_sql: str) -> None:
        """Say which column of the SELECT list is neither grouped nor aggregated, by the name that the query has for it.

        Only what is clear is said here: a plain column of the FROM clause. DuckDB finds the rest.
        """
        own = {column.sql for source in self.scope.sources for column in [*source.columns, *source.hidden]}
        for node in self.node.expressions:
            bare = node.unalias()
            if isinstance(bare, exp.Column) and not isinstance(bare.this, exp.Star):
                value = self.compiler.compile(bare)
                if value.sql in own and value.sql not in group_sql:
                    raise self.compiler.error(
                        f"SELECT list expression references column {bare.name} which is neither grouped nor aggregated",
                        bare,
                    )

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
                value = self._output(int(str(key.this)) - 1)
            else:
                index = self._output_index(key)
                value = self.compiler.compile(key) if index is None else self._output(index)
                if index is None and self.node.args.get("distinct"):
                    value = self._distinct_key(value, key)
            parts.append(self.compiler.ordered(item, value))
        return " ORDER BY " + ", ".join(parts)

    def _output(self, index: int) -> Expr:
        """A column of the result, as a key to order by."""
        item = self.items[index][0]
        if may_be_nan(item) and "error(" in item.sql:
            # DuckDB lets no expression of a column stand here that may fail: the column's own is written again, and
            # where rows are DISTINCT they are ordered outside.
            if not self.node.args.get("distinct"):
                return item
            self.ordered_outside = True
        return replace(item, sql=f"c{index}", raw=None)

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
                return self._output(index)
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
