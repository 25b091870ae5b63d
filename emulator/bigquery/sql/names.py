"""The base of the compiler of expressions: dispatch, errors, and what a name means."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from ..types import JSON, Type, member, text
from . import values
from .equality import may_be_nan
from .errors import SqlError, UnsupportedError, position
from .scopes import Column, Environment, Function, Scope, Source
from .values import Expr, coerced, supertype

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .relations import Query


class ExpressionBase:
    """Compiles expressions; :class:`.queries.Compiler` adds queries.

    Args:
        environment: what the statement is compiled in.
    """

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.scope = Scope()
        #: SAFE. prefix: failures become NULL.
        self.safe = False
        #: Inside the arguments of an aggregate function names mean columns, not SELECT aliases.
        self.in_aggregate = False
        self._numbers = 0
        self._calls = 0

    def fresh(self, prefix: str) -> str:
        """A name that nothing else in the statement has."""
        self._numbers += 1
        return f"{prefix}{self._numbers}"

    def error(self, message: str, node: Any = None) -> SqlError:
        """An error at the place of a node."""
        return SqlError(message, None if node is None else position(node, self.environment.sql))

    def unsupported(self, what: str, node: Any = None) -> UnsupportedError:
        """A refusal at the place of a node."""
        return UnsupportedError(what, None if node is None else position(node, self.environment.sql))

    @contextlib.contextmanager
    def within(self, scope: Scope) -> Iterator[Scope]:
        """Compile in another scope."""
        before, self.scope = self.scope, scope
        try:
            yield scope
        finally:
            self.scope = before

    @contextlib.contextmanager
    def aggregating(self) -> Iterator[None]:
        """Compile the arguments of an aggregate function."""
        if self.in_aggregate:
            raise SqlError("Aggregations of aggregations are not allowed")
        before, self.in_aggregate = self.in_aggregate, True
        try:
            yield
        finally:
            self.in_aggregate = before

    def fail(self, message: str, shown: str = "''") -> str:
        """An expression that ends the query with a message; NULL under SAFE."""
        return values.failure(message, shown, safe=self.safe)

    def compile(self, node: Any) -> Expr:
        """The typed expression for a node of the tree."""
        method = getattr(self, f"visit_{type(node).__name__.lower()}", None)
        if method is None:
            if isinstance(node, exp.Query):
                return self.scalar_subquery(node)
            raise self.unsupported(f"{type(node).__name__.upper()} expressions", node)
        made: Expr = method(node)
        return made

    def compiled(self, node: Any, kind: Type, what: str) -> Expr:
        """The expression for a node that has to be of a type (or convert to it)."""
        value = self.compile(node)
        made = coerced(value, kind)
        if made is None:
            raise self.error(f"{what} should return type {kind}, but returns {value.type}", node)
        return made

    def query(self, node: Any) -> Query:
        """A query inside an expression."""
        raise NotImplementedError

    def scalar_subquery(self, node: Any) -> Expr:
        """A query as a value."""
        raise NotImplementedError

    def comparable(self, left: Expr, right: Expr, operator: str, node: Any) -> tuple[Expr, Expr]:
        """Two values as values of one type that can be compared."""
        raise NotImplementedError

    def concatenated(self, items: list[Expr], node: Any, name: str) -> Expr:
        """``||`` and CONCAT: NULL if any part is."""
        raise NotImplementedError

    def divided(self, left: Expr, right: Expr, kind: Type, node: Any, *, zero: str | None = None) -> Expr:
        """``left / right``; ``zero`` is what division by zero gives, an error if None."""
        raise NotImplementedError

    def checked(self, raw: str, *operands: Expr) -> Expr:
        """A FLOAT64 that is an error where it is infinite or NaN and none of what it was made from is."""
        raise NotImplementedError

    def in_array(self, value: Expr, items: Expr, negate: str, node: Any) -> Expr:
        """``value IN UNNEST(items)``; ``negate`` is ``NOT`` or nothing."""
        raise NotImplementedError

    def type_of(self, node: Any) -> Type:
        """The type that a tree's type means."""
        raise NotImplementedError

    def call_of(self, function: Function, name: str, arguments: list[Any], node: Any) -> Expr:
        """A call of a temporary function: its body with the arguments put in."""
        raise NotImplementedError

    def visit_column(self, node: exp.Column) -> Expr:
        if isinstance(node.this, exp.Star):
            raise self.error("Star expansion expression references are not allowed here", node)
        parts = [part.name for part in node.parts]
        return self.resolve(parts, node)

    def visit_dot(self, node: exp.Dot) -> Expr:
        names: list[Any] = []
        root: Any = node
        while isinstance(root, exp.Dot):
            names.insert(0, root.expression)
            root = root.this
        if isinstance(root, exp.Identifier):
            # A name in front of a function: net.host(), keys.x(), a persistent function p.d.f().
            raise self.unsupported(f"the function {node.sql('bigquery')[:80]}", node)
        value = self.compile(root)
        for name in names:
            if isinstance(name, exp.Star):
                raise self.error("Dot-star is only supported in a SELECT list", node)
            if not isinstance(name, exp.Identifier):
                raise self.unsupported(f"the function {node.sql('bigquery')[:80]}", node)
            value = self.field(value, name.name, name)
        return value

    def resolve(self, parts: list[str], node: Any) -> Expr:
        """What a path (``a.b.c``) stands for."""
        scope: Scope | None = self.scope
        while scope is not None:
            found = self._in_scope(scope, parts, node)
            if found is not None:
                value, rest = found
                name = parts[-1]
                for part in rest:
                    value = self.field(value, part, node)
                return replace(value, name=name)
            scope = scope.parent
        variable = self.environment.variable(parts[0])
        if variable is not None:
            for part in parts[1:]:
                variable = self.field(variable, part, node)
            return replace(variable, name=parts[-1])
        raise self.error(f"Unrecognized name: {parts[0]}{self._suggestion(parts[0])}", node)

    def _suggestion(self, name: str) -> str:
        import difflib

        known = [column.name for source in self.scope.sources for column in [*source.columns, *source.hidden]] + [
            source.alias for source in self.scope.sources if source.alias
        ]
        close = difflib.get_close_matches(name.lower(), {word.lower() for word in known}, 1, 0.8)
        for word in known:
            if close and word.lower() == close[0]:
                return f"; Did you mean {word}?"
        return ""

    def _in_scope(self, scope: Scope, parts: list[str], node: Any) -> tuple[Expr, list[str]] | None:
        first = parts[0].lower()
        if scope.aliases and first in scope.aliases and not self.in_aggregate:
            return scope.aliases[first], parts[1:]
        # A range variable hides columns of its name: in `FROM t, UNNEST(x) AS x` the name means an element.
        for source in scope.sources:
            if source.alias is not None and source.alias.lower() == first:
                if source.value is not None:
                    return source.value, parts[1:]
                if len(parts) == 1:
                    return self.row_of(source), []
                own = self._column_of(source, parts[1])
                if own is None:
                    raise self.error(f"Name {parts[1]} not found inside {parts[0]}", node)
                return Expr(own.sql, own.type), parts[2:]
        if first in scope.merged:
            column = scope.merged[first]
            return Expr(column.sql, column.type), parts[1:]
        matches = [
            column
            for source in scope.sources
            for column in [*source.columns, *source.hidden]
            if column.name.lower() == first
        ]
        if len(matches) > 1:
            raise self.error(f"Column name {parts[0]} is ambiguous", node)
        if matches:
            return Expr(matches[0].sql, matches[0].type), parts[1:]
        if scope.aliases and first in scope.aliases:
            return scope.aliases[first], parts[1:]
        return None

    @staticmethod
    def _column_of(source: Source, name: str) -> Column | None:
        lowered = name.lower()
        for column in [*source.columns, *source.hidden]:
            if column.name.lower() == lowered:
                return column
        return None

    def row_of(self, source: Source) -> Expr:
        """A whole row of a source, as a STRUCT."""
        return values.struct_of([(column.name, False, Expr(column.sql, column.type)) for column in source.columns])

    def field(self, value: Expr, name: str, node: Any) -> Expr:
        """A field of a STRUCT, or a member of a JSON object."""
        kind = value.type
        if kind.kind == "JSON":
            path = '$."' + name.replace('"', '\\"') + '"'
            return Expr(f"json_extract({value.sql}, {text(path)})", JSON, name=name)
        if kind.kind == "ARRAY":
            raise self.error(f"Cannot access field {name} on a value with type {kind}", node)
        if kind.kind != "STRUCT":
            raise self.error(f"Cannot access field {name} on a value with type {kind}", node)
        found = kind.field(name)
        if found is None:
            raise self.error(f"Field name {name} does not exist in {kind}", node)
        return Expr(member(value.sql, found.name), found.type, name=found.name)

    def ordered(self, item: Any, value: Expr, *, one_key: bool = False) -> str:
        """One ORDER BY item: NULLs come first, or last for DESC, unless said otherwise.

        Args:
            item: the item.
            value: what it orders by, compiled.
            one_key: as one key of DuckDB, which takes NaN for the greatest number.
        """
        if value.type.kind in ("ARRAY", "STRUCT", "JSON"):
            raise self.error(f"ORDER BY does not support expressions of type {value.type.kind}", item)
        desc = bool(item.args.get("desc"))
        nulls_first = item.args.get("nulls_first")
        first = (not desc) if nulls_first is None else bool(nulls_first)
        nulls = f"NULLS {'FIRST' if first else 'LAST'}"
        order = f"{value.sql} {'DESC' if desc else 'ASC'} {nulls}"
        if may_be_nan(value) and not one_key:
            # NaN is less than all numbers; for DuckDB it is the greatest.
            order = f"isnan({value.sql}) {'ASC' if desc else 'DESC'} {nulls}, {order}"
        return order

    def needed(self, value: Expr, kind: Type, node: Any) -> Expr:
        """The value as a type that it is known to convert to."""
        made = coerced(value, kind)
        if made is None:
            raise self.error(f"{value.type} does not convert to {kind}", node)
        return made

    def common(self, items: list[Expr], what: str, node: Any) -> Type:
        """The type that all values convert to."""
        kind = supertype(items)
        if kind is None:
            shown = ", ".join(str(item.type) for item in items)
            raise self.error(f"No matching signature for operator {what} for argument types: {shown}", node)
        return kind
