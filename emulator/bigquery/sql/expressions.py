"""The compiler of expressions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlglot import exp

from ..types import INT64, JSON, NUMERIC, STRING, Field, Type, array, duckdb_type, member, quoted, struct
from . import values
from .aggregates import window
from .dates import extract
from .errors import SqlError
from .functions import call
from .predicates import Predicates
from .scopes import Column, Function, Scope, Source
from .values import Expr

#: How deep temporary functions may call each other.
_DEEPEST_CALL = 50


class ExpressionCompiler(Predicates):
    """The compiler of expressions; see :class:`.names.ExpressionBase`."""

    def visit_bracket(self, node: exp.Bracket) -> Expr:
        value = self.compile(node.this)
        if len(node.expressions) != 1:
            raise self.unsupported("this subscript", node)
        index = self.compile(node.expressions[0])
        offset = node.args.get("offset")
        if value.type.kind == "JSON":
            return self._json_element(value, index, node)
        if value.type.kind != "ARRAY":
            raise self.error(f"Element access using [] is not supported on values of type {value.type}", node)
        offset = 0 if offset is None else offset
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
        if index.type.kind == "NULL" or (index.constant and index.literal is None):
            return values.null(JSON)
        if index.type == STRING and index.constant:
            return self.field(value, index.literal, node)
        if index.type == STRING:
            quoted = f"""replace(replace({index.sql}, '\\', '\\\\'), '"', '\\"')"""
            return Expr(f"""json_extract({value.sql}, '$."' || {quoted} || '"')""", JSON)
        if index.type == INT64:
            # Behind the ends there is nothing; DuckDB would count a negative index from the end.
            taken = f"json_extract({value.sql}, '$[' || CAST({index.sql} AS VARCHAR) || ']')"
            return Expr(f"CASE WHEN {index.sql} >= 0 THEN {taken} END", JSON)
        raise self.error(f"JSON element access takes an INT64 or STRING, not {index.type}", node)

    def visit_cast(self, node: exp.Cast) -> Expr:
        return self._any_cast(node, safe=self.safe)

    def visit_trycast(self, node: exp.TryCast) -> Expr:
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
            return self._limited(values.array_of(items, target.element), node.args["to"], safe=safe)
        value = self.compile(inner)
        if value.constant and value.type == STRING and isinstance(inner, exp.Literal) and target.kind != "BYTES":
            made = self._typed_literal(str(value.literal), target, safe=safe)
            if made is not None:
                return made
        return self._limited(self._cast_checked(value, target, node, safe=safe), node.args["to"], safe=safe)

    def _limited(self, value: Expr, kind: Any, *, safe: bool) -> Expr:
        """A value of a type with parameters, ``STRING(5)``, ``NUMERIC(5, 2)``: an error where it does not fit.

        https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#parameterized_data_types
        """
        if not isinstance(kind, exp.DataType) or kind.find(exp.DataTypeParam) is None:
            return value
        type_, sql = value.type, value.sql
        if type_.kind == "ARRAY":
            name = self.fresh("x")
            item = self._limited(Expr(name, type_.element or INT64), kind.expressions[0], safe=safe)
            return Expr(f"list_transform({sql}, lambda {name}: {item.sql})", type_)
        if type_.kind == "STRUCT":
            parts = []
            for one, part in zip(type_.fields, kind.expressions, strict=True):
                inner = part.args["kind"] if isinstance(part, exp.ColumnDef) else part
                made = self._limited(Expr(member(sql, one.name), one.type), inner, safe=safe)
                parts.append(f"{quoted(one.name)} := {made.sql}")
            return Expr(f"CASE WHEN {sql} IS NOT NULL THEN struct_pack({', '.join(parts)}) END", type_)
        shown_limits = [one.name for one in kind.expressions if isinstance(one, exp.DataTypeParam)]
        if not shown_limits or not all(one.isascii() and one.isdigit() and len(one) < 10 for one in shown_limits):
            raise self.error(f"Type parameters of {type_.kind} must be integer literals", kind)
        limits = [int(one) for one in shown_limits]
        if type_.kind in ("STRING", "BYTES"):
            length = f"length({sql})" if type_.kind == "STRING" else f"octet_length({sql})"
            shown = f"{type_.kind}({limits[0]}) has maximum length {limits[0]} but got a value with length "
            problem = values.failure(shown, f"CAST({length} AS VARCHAR)", safe=safe)
            return Expr(f"CASE WHEN {length} > {limits[0]} THEN {problem} ELSE {sql} END", type_)
        if type_.kind in ("NUMERIC", "BIGNUMERIC"):
            precision, scale = limits[0], limits[1] if len(limits) > 1 else 0
            into = duckdb_type(type_)
            rounded = f"CAST(round({sql}, {scale}) AS {into})"
            named = f"{type_.kind}({precision}, {scale})"
            shown = f"{named} has precision {precision} and scale {scale} but got a value that is out of range: "
            problem = values.failure(shown, f"CAST({sql} AS VARCHAR)", safe=safe)
            bound = f"CAST('{10 ** (precision - scale)}' AS {into})"
            if precision - scale > (28 if type_ == NUMERIC else 19):
                return Expr(rounded, type_)
            return Expr(f"CASE WHEN abs({rounded}) >= {bound} THEN CAST({problem} AS {into}) ELSE {rounded} END", type_)
        return value

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
        if node.args.get("collate"):
            raise self.unsupported("COLLATE", node)
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

    def visit_anonymous(self, node: exp.Anonymous) -> Expr:
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

    def visit_safefunc(self, node: exp.SafeFunc) -> Expr:
        before, self.safe = self.safe, True
        try:
            made = self.compile(node.this)
        finally:
            self.safe = before
        return replace(made, sql=f"TRY({made.sql})", raw=None)

    def visit_extract(self, node: exp.Extract) -> Expr:
        return extract(self, node)

    def visit_window(self, node: exp.Window) -> Expr:
        return window(self, node)

    def visit_currentdate(self, node: exp.CurrentDate) -> Expr:
        return call(self, "CURRENT_DATE", [node.this] if node.this else [], node)

    def visit_currenttimestamp(self, node: exp.CurrentTimestamp) -> Expr:
        return call(self, "CURRENT_TIMESTAMP", [], node)

    def visit_currentdatetime(self, node: exp.CurrentDatetime) -> Expr:
        return call(self, "CURRENT_DATETIME", [node.this] if node.this else [], node)

    def visit_currenttime(self, node: exp.CurrentTime) -> Expr:
        return call(self, "CURRENT_TIME", [node.this] if node.this else [], node)

    def visit_star(self, node: exp.Star) -> Expr:
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
