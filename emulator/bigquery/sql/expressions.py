"""The compiler of expressions."""

# ruff: noqa: S608 - what is put together here was compiled: names are quoted, values escaped

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from sqlglot import exp

from ..types import (
    BOOL,
    BYTES,
    FLOAT64,
    INT64,
    JSON,
    STRING,
    Field,
    Type,
    array,
    duckdb_type,
    member,
    struct,
    text,
)
from . import values
from .errors import SqlError, UnsupportedError, position
from .values import Expr, coerced, supertype

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .queries import Query


#: How deep temporary functions may call each other.
_DEEPEST_CALL = 50


@dataclass(slots=True)
class Column:
    """A column of a source: its name, type, and the DuckDB expression that reads it."""

    name: str
    type: Type
    sql: str


@dataclass(slots=True)
class Source:
    """Something in a FROM clause.

    Attributes:
        alias: its range variable, or None.
        columns: what ``*`` shows.
        value: for an array's elements: the element, which the alias stands for.
        hidden: columns that have names but are not part of ``*``.
    """

    alias: str | None
    columns: list[Column]
    value: Expr | None = None
    hidden: list[Column] = field(default_factory=list)


@dataclass(slots=True)
class Scope:
    """The names that an expression may use, and those of the queries around it."""

    parent: Scope | None = None
    sources: list[Source] = field(default_factory=list)
    #: Columns that USING made one, by lower-case name.
    merged: dict[str, Column] = field(default_factory=dict)
    #: SELECT aliases, where GROUP BY, HAVING, QUALIFY and ORDER BY may use them.
    aliases: dict[str, Expr] = field(default_factory=dict)
    windows: dict[str, exp.Window] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Function:
    """A temporary function: its parameters (None for ANY TYPE), its body, the type of its result if it says one."""

    parameters: tuple[tuple[str, Type | None], ...]
    body: Any
    result: Type | None


class Environment(Protocol):
    """What a statement is compiled in: tables, parameters, who asks."""

    sql: str
    project: str

    def named_parameter(self, name: str) -> Expr | None:
        """The value of ``@name``."""

    def positional_parameter(self) -> Expr | None:
        """The value of the next ``?``."""

    def system_variable(self, name: str) -> Expr | None:
        """The value of ``@@name``."""

    def variable(self, name: str) -> Expr | None:
        """The value of a variable of a script."""

    def function(self, name: str) -> Function | None:
        """A function that the script made."""


class ExpressionCompiler:
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

    # --- helpers ---

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
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
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

    # --- names ---

    def _column(self, node: exp.Column) -> Expr:
        if isinstance(node.this, exp.Star):
            raise self.error("Star expansion expression references are not allowed here", node)
        parts = [part.name for part in node.parts]
        return self.resolve(parts, node)

    def _dot(self, node: exp.Dot) -> Expr:
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
        if first in scope.merged:
            column = scope.merged[first]
            return Expr(column.sql, column.type), parts[1:]
        for source in scope.sources:
            if source.alias is not None and source.alias.lower() == first and len(parts) > 1 and source.value is None:
                own = self._column_of(source, parts[1])
                if own is not None:
                    return Expr(own.sql, own.type), parts[2:]
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
        for source in scope.sources:
            if source.alias is not None and source.alias.lower() == first:
                if source.value is not None:
                    return source.value, parts[1:]
                if len(parts) > 1:
                    raise self.error(f"Name {parts[1]} not found inside {parts[0]}", node)
                return self.row_of(source), []
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

    # --- literals ---

    def _literal(self, node: exp.Literal) -> Expr:
        if node.is_string:
            return values.string(node.this)
        shown = str(node.this)
        if re.fullmatch(r"\d+", shown):
            return values.integer(int(shown))
        try:
            return values.floating(float(shown))
        except ValueError:
            raise self.error(f"Syntax error: Invalid number {shown}", node) from None

    def _rawstring(self, node: exp.RawString) -> Expr:
        return values.string(node.this)

    def _hexstring(self, node: exp.HexString) -> Expr:
        return values.integer(int(node.this, 16))

    def _bytestring(self, node: exp.ByteString) -> Expr:
        return values.blob(_bytes_literal(str(node.this), self.environment.sql))

    def _boolean(self, node: exp.Boolean) -> Expr:
        return values.boolean(value=bool(node.this))

    def _null(self, _: exp.Null) -> Expr:
        return values.null()

    def _parsejson(self, node: exp.ParseJSON) -> Expr:
        if isinstance(node.this, exp.Literal):
            return values.from_text(node.this.name, JSON)
        # JSON '{}'.a.b: sqlglot takes the path for a part of the literal.
        path = node.this.copy()
        inner: Any = path
        while not isinstance(inner, exp.Literal):
            if inner is None or not isinstance(inner, (exp.Dot, exp.Bracket)):
                raise self.unsupported("this JSON literal", node)
            inner = inner.this
        inner.replace(exp.ParseJSON(this=inner.copy()))
        return self.compile(path)

    def _paren(self, node: exp.Paren) -> Expr:
        value = self.compile(node.this)
        return replace(value, sql=f"({value.sql})", name=None)

    def _alias(self, node: exp.Alias) -> Expr:
        return replace(self.compile(node.this), name=node.alias)

    def _parameter(self, node: exp.Parameter) -> Expr:
        if isinstance(node.this, exp.Parameter):
            name = node.this.name
            value = self.environment.system_variable(name)
            if value is None:
                raise self.unsupported(f"the system variable @@{name}", node)
            return value
        value = self.environment.named_parameter(node.name)
        if value is None:
            raise self.error(f"Query parameter '{node.name}' not found", node)
        return value

    def _sessionparameter(self, node: exp.SessionParameter) -> Expr:
        value = self.environment.system_variable(node.name)
        if value is None:
            raise self.unsupported(f"the system variable @@{node.name}", node)
        return value

    def _placeholder(self, node: exp.Placeholder) -> Expr:
        value = self.environment.positional_parameter()
        if value is None:
            raise self.error("Query parameter number exceeds the number of positional parameters", node)
        return value

    def _array(self, node: exp.Array) -> Expr:
        items = node.expressions
        if len(items) == 1 and isinstance(items[0], exp.Query) and not isinstance(items[0], exp.Subquery):
            return self._array_of_query(items[0])
        compiled = [self.compile(item) for item in items]
        if not compiled:
            return values.array_of([], None)
        element = supertype(compiled)
        if element is None:
            shown = ", ".join(dict.fromkeys(str(item.type) for item in compiled))
            raise self.error(f"Array elements of types {{{shown}}} do not have a common supertype", node)
        if element.kind == "ARRAY":
            raise self.error(
                f"Cannot construct array with element type {element} because nested arrays are not supported", node
            )
        made = values.array_of([self.needed(item, element, node) for item in compiled], element)
        return replace(made, parts=tuple(compiled))

    def needed(self, value: Expr, kind: Type, node: Any) -> Expr:
        """The value as a type that it is known to convert to."""
        made = coerced(value, kind)
        if made is None:
            raise self.error(f"{value.type} does not convert to {kind}", node)
        return made

    def _array_of_query(self, node: Any) -> Expr:
        made = self.query(node)
        if len(made.fields) != 1:
            raise self.error(
                "ARRAY subquery cannot have more than one column unless using SELECT AS STRUCT to build STRUCT values",
                node,
            )
        element = made.fields[0].type
        if element.kind == "ARRAY":
            raise self.error(
                f"Cannot use array subquery with column of type {element} because nested arrays are not supported", node
            )
        return Expr(f"ARRAY({made.sql})", array(element))

    def _struct(self, node: exp.Struct) -> Expr:
        items = []
        for index, item in enumerate(node.expressions, 1):
            if isinstance(item, exp.PropertyEQ):
                items.append((item.this.name, False, self.compile(item.expression)))
                continue
            value = self.compile(item)
            name = value.name if isinstance(item, (exp.Column, exp.Dot)) else None
            items.append((name or f"_field_{index}", name is None, value))
        if not items:
            raise self.unsupported("a STRUCT without fields", node)
        return values.struct_of(items)

    def _tuple(self, node: exp.Tuple) -> Expr:
        items = [(f"_field_{index}", True, self.compile(item)) for index, item in enumerate(node.expressions, 1)]
        return values.struct_of(items)

    def _interval(self, node: exp.Interval) -> Expr:
        from .dates import interval

        return interval(self, node)

    # --- operators ---

    def _neg(self, node: exp.Neg) -> Expr:
        if isinstance(node.this, exp.Literal) and not node.this.is_string and re.fullmatch(r"\d+", str(node.this.this)):
            return values.integer(-int(node.this.this))
        value = self.compile(node.this)
        if value.type.kind not in ("INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC", "INTERVAL"):
            raise self.error(f"No matching signature for operator - for argument types: {value.type}", node)
        if value.constant and isinstance(value.literal, float):
            return values.floating(-value.literal)
        return Expr(f"(-{value.sql})", value.type)

    def _add(self, node: exp.Add) -> Expr:
        return self._arithmetic(node, "+")

    def _sub(self, node: exp.Sub) -> Expr:
        return self._arithmetic(node, "-")

    def _mul(self, node: exp.Mul) -> Expr:
        return self._arithmetic(node, "*")

    def _arithmetic(self, node: Any, operator: str) -> Expr:
        left, right = self.compile(node.this), self.compile(node.expression)
        from .dates import date_arithmetic

        made = date_arithmetic(left, right, operator)
        if made is not None:
            return made
        kind = self._number(left, right, operator, node)
        a, b = self.needed(left, kind, node).sql, self.needed(right, kind, node).sql
        if kind.kind in ("NUMERIC", "BIGNUMERIC"):
            return values.Expr(f"CAST(({a} {operator} {b}) AS {duckdb_type(kind)})", kind)
        return self._guarded(f"({a} {operator} {b})", kind)

    def _guarded(self, sql: str, kind: Type) -> Expr:
        return Expr(f"TRY({sql})" if self.safe else sql, kind)

    def _number(self, left: Expr, right: Expr, operator: str, node: Any) -> Type:
        kind = supertype([left, right])
        if kind is None or kind.kind not in ("INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC"):
            raise self.error(
                f"No matching signature for operator {operator} for argument types: {left.type}, {right.type}", node
            )
        return kind

    def _div(self, node: exp.Div) -> Expr:
        left, right = self.compile(node.this), self.compile(node.expression)
        kind = self._number(left, right, "/", node)
        if kind == INT64:
            kind = FLOAT64
        return self.divided(left, right, kind, node)

    def divided(self, left: Expr, right: Expr, kind: Type, node: Any, *, zero: str | None = None) -> Expr:
        """``left / right``; ``zero`` is what division by zero gives, an error if None."""
        a, b = self.needed(left, kind, node).sql, self.needed(right, kind, node).sql
        guard = self.fail("division by zero: ", f"CAST({left.sql} AS VARCHAR) || ' / ' || CAST({right.sql} AS VARCHAR)")
        if kind.kind == "BIGNUMERIC":
            raise self.unsupported("division of BIGNUMERIC, which DuckDB has not: cast to NUMERIC or FLOAT64", node)
        if kind != FLOAT64:
            failed = f"CAST({zero or guard} AS {duckdb_type(kind)})"
            return Expr(f"CASE WHEN {b} = 0 THEN {failed} ELSE {values.numeric_quotient(a, b)} END", kind)
        return Expr(f"CASE WHEN {b} = 0 THEN {zero or guard} ELSE {a} / {b} END", kind)

    def _dpipe(self, node: exp.DPipe) -> Expr:
        left, right = self.compile(node.this), self.compile(node.expression)
        return self.concatenated([left, right], node, "||")

    def concatenated(self, items: list[Expr], node: Any, name: str) -> Expr:
        """``||`` and CONCAT: NULL if any part is."""
        kinds = {item.type.kind for item in items} - {"NULL"}
        if "ARRAY" in kinds:
            kind = supertype(items)
            if kinds != {"ARRAY"} or kind is None:
                raise self.error(f"No matching signature for operator {name}", node)
            parts = [self.needed(item, kind, node).sql for item in items]
            return Expr("(" + " || ".join(parts) + ")", kind)
        if "BYTES" in kinds:
            if kinds != {"BYTES"}:
                raise self.error(f"No matching signature for {name} with STRING and BYTES", node)
            return Expr("(" + " || ".join(self.needed(item, BYTES, node).sql for item in items) + ")", BYTES)
        parts = []
        for item in items:
            shown = values.null(STRING).sql if item.type.kind == "NULL" else values.text_of(item)
            if shown is None or item.type.kind == "INTERVAL":
                raise self.error(f"No matching signature for {name} for argument type {item.type}", node)
            parts.append(shown)
        return Expr("(" + " || ".join(parts) + ")", STRING)

    def _bitwise(self, node: Any, template: str) -> Expr:
        left = self.compiled(node.this, INT64, "Operand of a bitwise operator")
        right = self.compiled(node.expression, INT64, "Operand of a bitwise operator")
        return Expr(template.format(left.sql, right.sql), INT64)

    def _bitwiseand(self, node: exp.BitwiseAnd) -> Expr:
        return self._bitwise(node, "({0} & {1})")

    def _bitwiseor(self, node: exp.BitwiseOr) -> Expr:
        return self._bitwise(node, "({0} | {1})")

    def _bitwisexor(self, node: exp.BitwiseXor) -> Expr:
        return self._bitwise(node, "xor({0}, {1})")

    def _bitwiseleftshift(self, node: exp.BitwiseLeftShift) -> Expr:
        # Bits beyond the 64th are lost; the result is the two's complement of what is left.
        bits = "((CAST({0} AS HUGEINT) & 18446744073709551615) << CAST({1} AS INTEGER) & 18446744073709551615)"
        signed = f"CASE WHEN {bits} > 9223372036854775807 THEN {bits} - 18446744073709551616 ELSE {bits} END"
        return self._bitwise(node, f"CASE WHEN {{1}} > 62 THEN 0 ELSE CAST({signed} AS BIGINT) END")

    def _bitwiserightshift(self, node: exp.BitwiseRightShift) -> Expr:
        return self._bitwise(
            node,
            "CASE WHEN {1} > 63 THEN 0 WHEN {0} < 0 THEN "
            + self.fail("bit shift of a negative number is not served by the emulator")
            + " ELSE ({0} >> {1}) END",
        )

    def _bitwisenot(self, node: exp.BitwiseNot) -> Expr:
        return Expr(f"(~{self.compiled(node.this, INT64, 'Operand of ~').sql})", INT64)

    def _and(self, node: exp.And) -> Expr:
        return self._logical(node, "AND")

    def _or(self, node: exp.Or) -> Expr:
        return self._logical(node, "OR")

    def _logical(self, node: Any, word: str) -> Expr:
        # Long chains nest to the left: flattened, they don't exhaust the stack.
        operands: list[Any] = []
        left: Any = node
        while isinstance(left, type(node)):
            operands.insert(0, left.expression)
            left = left.this
        operands.insert(0, left)
        parts = [self.compiled(operand, BOOL, f"Operand of {word}").sql for operand in operands]
        return Expr("(" + f" {word} ".join(parts) + ")", BOOL)

    def _not(self, node: exp.Not) -> Expr:
        return Expr(f"(NOT {self.compiled(node.this, BOOL, 'Operand of NOT').sql})", BOOL)

    def _eq(self, node: exp.EQ) -> Expr:
        return self._compare(node, "=")

    def _neq(self, node: exp.NEQ) -> Expr:
        return self._compare(node, "!=")

    def _gt(self, node: exp.GT) -> Expr:
        return self._compare(node, ">")

    def _gte(self, node: exp.GTE) -> Expr:
        return self._compare(node, ">=")

    def _lt(self, node: exp.LT) -> Expr:
        return self._compare(node, "<")

    def _lte(self, node: exp.LTE) -> Expr:
        return self._compare(node, "<=")

    def _nullsafeeq(self, node: exp.NullSafeEQ) -> Expr:
        return self._compare(node, "IS NOT DISTINCT FROM")

    def _nullsafeneq(self, node: exp.NullSafeNEQ) -> Expr:
        return self._compare(node, "IS DISTINCT FROM")

    def _compare(self, node: Any, operator: str) -> Expr:
        left, right = self.compile(node.this), self.compile(node.expression)
        a, b = self.comparable(left, right, operator, node)
        return Expr(f"({a.sql} {operator} {b.sql})", BOOL)

    def comparable(self, left: Expr, right: Expr, operator: str, node: Any) -> tuple[Expr, Expr]:
        """Two values as one type that can be compared with the operator."""
        for value, other in ((left, right), (right, left)):
            # A literal of the wrong form is said as such, not as a missing signature.
            if value.constant and value.type == STRING and other.type.kind in ("DATE", "TIME", "DATETIME", "TIMESTAMP"):
                made = coerced(value, other.type)
                if made is not None:
                    return (made, other) if value is left else (other, made)
        kind = supertype([left, right])
        ordered = operator not in ("=", "!=", "IS NOT DISTINCT FROM", "IS DISTINCT FROM")
        bad = kind is None or kind.kind in ("ARRAY", "JSON") or (kind.kind == "STRUCT" and ordered)
        if bad or kind is None:
            raise self.error(
                f"No matching signature for operator {operator} for argument types: {left.type}, {right.type}", node
            )
        return self.needed(left, kind, node), self.needed(right, kind, node)

    def _is(self, node: exp.Is) -> Expr:
        value = self.compile(node.this)
        negate = " NOT" if node.args.get("negate") else ""
        right: Any = node.expression
        if isinstance(right, exp.Not):
            negate, right = " NOT", right.this
        if isinstance(right, exp.Null):
            return Expr(f"({value.sql} IS{negate} NULL)", BOOL)
        if isinstance(right, exp.Boolean):
            word = "TRUE" if right.this else "FALSE"
            truth = self.needed_bool(value, node)
            return Expr(f"(({truth} = {word}) IS{negate} TRUE)", BOOL)
        raise self.unsupported("this IS expression", node)

    def needed_bool(self, value: Expr, node: Any) -> str:
        """A BOOL, or an error."""
        made = coerced(value, BOOL)
        if made is None:
            raise self.error(f"Expected BOOL, got {value.type}", node)
        return made.sql

    def _between(self, node: exp.Between) -> Expr:
        value, low, high = self.compile(node.this), self.compile(node.args["low"]), self.compile(node.args["high"])
        a, b = self.comparable(value, low, "BETWEEN", node)
        c, d = self.comparable(value, high, "BETWEEN", node)
        negate = "NOT " if node.args.get("negate") else ""
        return Expr(f"({negate}({a.sql} >= {b.sql} AND {c.sql} <= {d.sql}))", BOOL)

    def _like(self, node: exp.Like) -> Expr:
        if isinstance(node.expression, (exp.Any, exp.All, exp.Tuple)):
            raise self.unsupported("quantified LIKE", node)
        left, right = self.compile(node.this), self.compile(node.expression)
        kinds = {left.type.kind, right.type.kind} - {"NULL"}
        if kinds and kinds != {"STRING"}:
            if kinds == {"BYTES"}:
                raise self.unsupported("LIKE on BYTES", node)
            raise self.error(
                f"No matching signature for operator LIKE for argument types: {left.type}, {right.type}", node
            )
        word = "NOT LIKE" if node.args.get("negate") else "LIKE"
        a, b = self.needed(left, STRING, node), self.needed(right, STRING, node)
        return Expr(f"({a.sql} {word} {b.sql} ESCAPE '\\')", BOOL)

    def _in(self, node: exp.In) -> Expr:
        value = self.compile(node.this)
        word = "NOT IN" if node.args.get("negate") else "IN"
        negate = "NOT " if node.args.get("negate") else ""
        unnest, query = node.args.get("unnest"), node.args.get("query")
        if unnest is not None:
            return self._in_array(value, self.compile(unnest.expressions[0]), negate, node)
        if query is not None:
            inner = query.this if isinstance(query, exp.Subquery) else query
            made = self.query(inner)
            if len(made.fields) != 1:
                raise self.error("Subquery of type IN must have only one output column", node)
            a, b = self.comparable(value, Expr("x", made.fields[0].type), "IN", node)
            if b.type != made.fields[0].type:
                wide = Expr("s.c0", made.fields[0].type)
                sql = self.needed(wide, b.type, node).sql
                return Expr(f"({a.sql} {word} (SELECT {sql} FROM ({made.sql}) AS s))", BOOL)
            return Expr(f"({a.sql} {word} ({made.sql}))", BOOL)
        if not node.expressions:
            raise self.error("Syntax error: Expected a list, UNNEST or a query after IN", node)
        items = [self.compile(item) for item in node.expressions]
        kind = supertype([value, *items])
        if kind is None or kind.kind in ("ARRAY", "JSON"):
            shown = ", ".join(dict.fromkeys(str(item.type) for item in items))
            raise self.error(
                f"No matching signature for operator IN for argument types {value.type} and {{{shown}}}", node
            )
        listed = ", ".join(self.needed(item, kind, node).sql for item in items)
        return Expr(f"({self.needed(value, kind, node).sql} {word} ({listed}))", BOOL)

    def _in_array(self, value: Expr, items: Expr, negate: str, node: Any) -> Expr:
        if items.type.kind == "NULL":
            return Expr(f"({negate}false)", BOOL)
        if items.type.kind != "ARRAY":
            raise self.error(f"Second argument of IN UNNEST must be an array but was {items.type}", node)
        element = items.type.element or value.type
        probe = coerced(value, element)
        if probe is None and items.parts is not None:
            kind = supertype([value, *items.parts])
            probe = None if kind is None else coerced(value, kind)
            widened = None if kind is None else coerced(items, array(kind))
            if widened is not None:
                items = widened
        elif probe is None and element.kind in ("INT64", "NUMERIC") and value.type.kind in ("FLOAT64", "NUMERIC"):
            probe = value
            items = Expr(f"CAST({items.sql} AS {duckdb_type(array(value.type))})", array(value.type))
        if probe is None:
            raise self.error(
                f"No matching signature for operator IN UNNEST for argument types {value.type} and {items.type}", node
            )
        body = (
            f"CASE WHEN coalesce(len({items.sql}), 0) = 0 THEN false WHEN {probe.sql} IS NULL THEN NULL "
            f"WHEN list_contains({items.sql}, {probe.sql}) THEN true "
            f"WHEN list_count({items.sql}) < len({items.sql}) THEN NULL ELSE false END"
        )
        return Expr(f"({negate}{body})", BOOL)

    def _case(self, node: exp.Case) -> Expr:
        subject = None if node.this is None else self.compile(node.this)
        conditions, results = [], []
        for branch in node.args["ifs"]:
            if subject is None:
                conditions.append(self.compiled(branch.this, BOOL, "CASE condition").sql)
            else:
                a, b = self.comparable(subject, self.compile(branch.this), "=", branch)
                conditions.append(f"({a.sql} = {b.sql})")
            results.append(self.compile(branch.args["true"]))
        default = node.args.get("default")
        results.append(values.null() if default is None else self.compile(default))
        kind = self.common(results, "CASE", node)
        parts = [self.needed(result, kind, node).sql for result in results]
        body = " ".join(f"WHEN {condition} THEN {part}" for condition, part in zip(conditions, parts[:-1], strict=True))
        return Expr(f"CASE {body} ELSE {parts[-1]} END", kind)

    def common(self, items: list[Expr], what: str, node: Any) -> Type:
        """The type that all values convert to."""
        kind = supertype(items)
        if kind is None:
            shown = ", ".join(str(item.type) for item in items)
            raise self.error(f"No matching signature for operator {what} for argument types: {shown}", node)
        return kind

    def _if(self, node: exp.If) -> Expr:
        condition = self.compiled(node.this, BOOL, "IF condition")
        if node.args.get("false") is None:
            raise self.error("No matching signature for function IF with two arguments", node)
        results = [self.compile(node.args["true"]), self.compile(node.args["false"])]
        kind = self.common(results, "IF", node)
        a, b = (self.needed(result, kind, node).sql for result in results)
        return Expr(f"CASE WHEN {condition.sql} THEN {a} ELSE {b} END", kind)

    def _exists(self, node: exp.Exists) -> Expr:
        return Expr(f"EXISTS ({self.query(node.this).sql})", BOOL)

    def _subquery(self, node: exp.Subquery) -> Expr:
        return self.scalar_subquery(node.this)

    def scalar_subquery(self, node: Any) -> Expr:
        """A query in brackets as a value."""
        made = self.query(node)
        if len(made.fields) != 1:
            raise self.error(
                "Scalar subquery cannot have more than one column unless using SELECT AS STRUCT to build STRUCT values",
                node,
            )
        return Expr(f"({made.sql})", made.fields[0].type)

    def _bracket(self, node: exp.Bracket) -> Expr:
        value = self.compile(node.this)
        if len(node.expressions) != 1:
            raise self.unsupported("this subscript", node)
        index = self.compile(node.expressions[0])
        offset = node.args.get("offset")
        if value.type.kind == "JSON":
            return self._json_element(value, index, node)
        if value.type.kind != "ARRAY":
            raise self.error(f"Element access using [] is not supported on values of type {value.type}", node)
        if offset is None:
            raise self.error(
                "Array element access with array[position] is not supported. Use array[OFFSET(zero_based_offset)] or "
                "array[ORDINAL(one_based_ordinal)]",
                node,
            )
        at = self.needed(index, INT64, node)
        element = value.type.element or INT64
        position_sql = at.sql if offset == 1 else f"({at.sql} + 1)"
        if at.constant and isinstance(at.literal, int):
            position_sql = str(at.literal if offset == 1 else at.literal + 1)
        taken = f"{value.sql}[{position_sql}]"
        safe = bool(node.args.get("safe")) or self.safe
        literal = at.constant and isinstance(at.literal, int)
        if safe:
            sure = literal and at.literal >= offset
            return Expr(taken if sure else f"CASE WHEN {position_sql} >= 1 THEN {taken} END", element)
        problem = self.fail("Array index ", f"CAST({at.sql} AS VARCHAR) || ' is out of bounds'")
        return Expr(
            f"CASE WHEN {value.sql} IS NOT NULL AND ({position_sql} < 1 OR {position_sql} > len({value.sql})) "
            f"THEN {problem} ELSE {taken} END",
            element,
        )

    def _json_element(self, value: Expr, index: Expr, node: Any) -> Expr:
        if index.type == STRING and index.constant:
            return self.field(value, index.literal, node)
        if index.type == INT64 and index.constant:
            return Expr(f"json_extract({value.sql}, '$[{int(index.literal)}]')", JSON)
        raise self.unsupported("a JSON subscript that is not a literal", node)

    # --- casts and functions ---

    def _cast(self, node: exp.Cast) -> Expr:
        return self._any_cast(node, safe=self.safe)

    def _trycast(self, node: exp.TryCast) -> Expr:
        return self._any_cast(node, safe=True)

    def _any_cast(self, node: exp.Cast, *, safe: bool) -> Expr:
        if node.args.get("format"):
            raise self.unsupported("CAST with FORMAT", node)
        target = self.type_of(node.args["to"])
        inner = node.this
        if (
            isinstance(inner, exp.Array)
            and target.kind == "ARRAY"
            and not (len(inner.expressions) == 1 and isinstance(inner.expressions[0], exp.Query))
        ):
            # ARRAY<T>[…]
            items = [self.needed(self.compile(item), target.element or INT64, item) for item in inner.expressions]
            return values.array_of(items, target.element)
        value = self.compile(inner)
        if value.constant and value.type == STRING and isinstance(inner, exp.Literal) and target.kind != "BYTES":
            made = self._typed_literal(str(value.literal), target, safe=safe)
            if made is not None:
                return made
        return self._cast_checked(value, target, node, safe=safe)

    def _typed_literal(self, shown: str, target: Type, *, safe: bool) -> Expr | None:
        if target.kind in ("DATE", "TIME", "DATETIME", "TIMESTAMP"):
            try:
                return values.from_text(shown, target)
            except SqlError:
                if safe:
                    return values.null(target)
                raise SqlError(f"Invalid {target.kind.lower()}: '{shown}'") from None
        return None

    def _cast_checked(self, value: Expr, target: Type, node: Any, *, safe: bool) -> Expr:
        try:
            return values.cast(value, target, safe=safe)
        except SqlError as error:
            if error.message.startswith("Invalid cast"):
                raise self.error(error.message, node) from None
            raise

    def type_of(self, node: Any) -> Type:
        """The type that a tree's type means."""
        if not isinstance(node, exp.DataType):
            if isinstance(node, exp.DataTypeParam):
                return self.type_of(node.this)
            raise self.unsupported(f"the type {node}", node if isinstance(node, exp.Expression) else None)
        kind = node.this
        if kind == exp.DType.ARRAY:
            return array(self.type_of(node.expressions[0])) if node.expressions else array(INT64)
        if kind == exp.DType.STRUCT:
            fields = []
            for index, item in enumerate(node.expressions, 1):
                if isinstance(item, exp.ColumnDef):
                    fields.append(Field(item.name, self.type_of(item.args["kind"])))
                else:
                    fields.append(Field(f"_field_{index}", self.type_of(item), anonymous=True))
            return struct(tuple(fields))
        name = _TYPE_NAMES.get(getattr(kind, "name", str(kind)))
        if name is None:
            raise self.unsupported(f"the type {node.sql('bigquery')}", node)
        made = values.named_type(name)
        if made is None:
            raise self.unsupported(f"the type {node.sql('bigquery')}", node)
        return made

    def _anonymous(self, node: exp.Anonymous) -> Expr:
        from .functions import call

        return call(self, str(node.name), node.expressions, node)

    def call_of(self, function: Function, name: str, arguments: list[Any], node: Any) -> Expr:
        """A call of a temporary function: its body with the arguments put in."""
        if len(arguments) != len(function.parameters) or self._calls >= _DEEPEST_CALL:
            raise self.error(f"No matching signature for function {name} with {len(arguments)} argument(s)", node)
        columns = []
        for (parameter, kind), argument in zip(function.parameters, arguments, strict=True):
            value = self.compile(argument)
            if kind is not None:
                value = self.needed(value, kind, argument)
            columns.append(Column(parameter, value.type, value.sql))
        self._calls += 1
        try:
            with self.within(Scope(sources=[Source(None, columns)])):
                made = self.compile(function.body)
        finally:
            self._calls -= 1
        if function.result is not None:
            made = self.needed(made, function.result, node)
        return replace(made, sql=f"({made.sql})", name=None)

    def _safefunc(self, node: exp.SafeFunc) -> Expr:
        before, self.safe = self.safe, True
        try:
            made = self.compile(node.this)
        finally:
            self.safe = before
        return replace(made, sql=f"TRY({made.sql})")

    def _extract(self, node: exp.Extract) -> Expr:
        from .dates import extract

        return extract(self, node)

    def _window(self, node: exp.Window) -> Expr:
        from .aggregates import window

        return window(self, node)

    def _currentdate(self, node: exp.CurrentDate) -> Expr:
        from .functions import call

        return call(self, "CURRENT_DATE", [node.this] if node.this else [], node)

    def _currenttimestamp(self, node: exp.CurrentTimestamp) -> Expr:
        from .functions import call

        return call(self, "CURRENT_TIMESTAMP", [], node)

    def _currentdatetime(self, node: exp.CurrentDatetime) -> Expr:
        from .functions import call

        return call(self, "CURRENT_DATETIME", [node.this] if node.this else [], node)

    def _currenttime(self, node: exp.CurrentTime) -> Expr:
        from .functions import call

        return call(self, "CURRENT_TIME", [node.this] if node.this else [], node)

    def _star(self, node: exp.Star) -> Expr:
        raise self.error("Star expansion expression is not allowed here", node)


_TYPE_NAMES: dict[str, str] = {
    "BIGINT": "INT64",
    "INT": "INT64",
    "SMALLINT": "INT64",
    "TINYINT": "INT64",
    "DOUBLE": "FLOAT64",
    "FLOAT": "FLOAT64",
    "TEXT": "STRING",
    "VARCHAR": "STRING",
    "BOOLEAN": "BOOL",
    "BINARY": "BYTES",
    "VARBINARY": "BYTES",
    "DATE": "DATE",
    "TIME": "TIME",
    "TIMESTAMP": "DATETIME",
    "DATETIME": "DATETIME",
    "TIMESTAMPTZ": "TIMESTAMP",
    "DECIMAL": "NUMERIC",
    "BIGDECIMAL": "BIGNUMERIC",
    "BIGNUM": "BIGNUMERIC",
    "JSON": "JSON",
    "INTERVAL": "INTERVAL",
}

_ESCAPES = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, "'": 39, '"': 34, "`": 96, "?": 63}


def _bytes_literal(body: str, sql: str) -> bytes:
    """The bytes of ``b'…'``; sqlglot has resolved ``\\xff`` to a character, which stands in the text otherwise."""
    made = bytearray()
    at = 0
    while at < len(body):
        character = body[at]
        at += 1
        if character != "\\" or at >= len(body):
            written = character.isascii() or character in sql or ord(character) > 255
            made += character.encode() if written else bytes([ord(character)])
            continue
        escape = body[at]
        at += 1
        if escape in "xX":
            made.append(int(body[at : at + 2], 16))
            at += 2
        elif escape in "01234567":
            made.append(int(body[at - 1 : at + 2], 8) & 0xFF)
            at += 2
        elif escape in _ESCAPES:
            made.append(_ESCAPES[escape])
        else:
            made += b"\\" + escape.encode()
    return bytes(made)
