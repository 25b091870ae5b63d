"""Literals, parameters, arrays and structs."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from sqlglot import exp

from ..types import JSON, array
from . import values
from .dates import interval
from .names import ExpressionBase
from .values import Expr, supertype


class Literals(ExpressionBase):
    """Values that are written out."""

    def visit_literal(self, node: exp.Literal) -> Expr:
        if node.is_string:
            return values.string(node.this)
        shown = str(node.this)
        if re.fullmatch(r"\d+", shown):
            return values.integer(int(shown))
        try:
            return values.floating(float(shown))
        except ValueError:
            raise self.error(f"Syntax error: Invalid number {shown}", node) from None

    def visit_rawstring(self, node: exp.RawString) -> Expr:
        return values.string(node.this)

    def visit_hexstring(self, node: exp.HexString) -> Expr:
        return values.integer(int(node.this, 16))

    def visit_bytestring(self, node: exp.ByteString) -> Expr:
        return values.blob(_bytes_literal(str(node.this), self.environment.sql))

    def visit_boolean(self, node: exp.Boolean) -> Expr:
        return values.boolean(value=bool(node.this))

    def visit_null(self, _: exp.Null) -> Expr:
        return values.null()

    def visit_parsejson(self, node: exp.ParseJSON) -> Expr:
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

    def visit_paren(self, node: exp.Paren) -> Expr:
        value = self.compile(node.this)
        inner = node.unnest()
        return replace(
            value, sql=f"({value.sql})", name=value.name if isinstance(inner, (exp.Column, exp.Dot)) else None
        )

    def visit_alias(self, node: exp.Alias) -> Expr:
        return replace(self.compile(node.this), name=node.alias)

    def visit_parameter(self, node: exp.Parameter) -> Expr:
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

    def visit_sessionparameter(self, node: exp.SessionParameter) -> Expr:
        value = self.environment.system_variable(node.name)
        if value is None:
            raise self.unsupported(f"the system variable @@{node.name}", node)
        return value

    def visit_placeholder(self, node: exp.Placeholder) -> Expr:
        value = self.environment.positional_parameter()
        if value is None:
            raise self.error("Query parameter number exceeds the number of positional parameters", node)
        return value

    def visit_array(self, node: exp.Array) -> Expr:
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

    def visit_struct(self, node: exp.Struct) -> Expr:
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

    def visit_tuple(self, node: exp.Tuple) -> Expr:
        items = [(f"_field_{index}", True, self.compile(item)) for index, item in enumerate(node.expressions, 1)]
        return values.struct_of(items)

    def visit_interval(self, node: exp.Interval) -> Expr:
        return interval(self, node)


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
