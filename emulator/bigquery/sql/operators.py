"""Arithmetic, concatenation and bits.

https://cloud.google.com/bigquery/docs/reference/standard-sql/operators
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from sqlglot import exp

from ..types import BYTES, FLOAT64, INT64, STRING, Type, duckdb_type
from . import values
from .dates import date_arithmetic
from .equality import may_be_nan
from .literals import Literals
from .values import Expr, supertype


class Operators(Literals):
    """Operators that make numbers, strings and arrays."""

    def visit_neg(self, node: exp.Neg) -> Expr:
        if isinstance(node.this, exp.Literal) and not node.this.is_string and re.fullmatch(r"\d+", str(node.this.this)):
            return values.integer(-int(node.this.this))
        value = self.compile(node.this)
        if value.type.kind not in ("INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC", "INTERVAL"):
            raise self.error(f"No matching signature for operator - for argument types: {value.type}", node)
        if value.constant and isinstance(value.literal, float):
            return values.floating(-value.literal)
        return Expr(f"(-{value.sql})", value.type)

    def visit_add(self, node: exp.Add) -> Expr:
        return self._arithmetic(node, "+")

    def visit_sub(self, node: exp.Sub) -> Expr:
        return self._arithmetic(node, "-")

    def visit_mul(self, node: exp.Mul) -> Expr:
        return self._arithmetic(node, "*")

    def _arithmetic(self, node: Any, operator: str) -> Expr:
        left, right = self.compile(node.this), self.compile(node.expression)
        made = date_arithmetic(left, right, operator)
        if made is not None:
            return made
        kind = self._number(left, right, operator, node)
        a, b = self.needed(left, kind, node).sql, self.needed(right, kind, node).sql
        if kind.kind in ("NUMERIC", "BIGNUMERIC"):
            return values.Expr(f"CAST(({a} {operator} {b}) AS {duckdb_type(kind)})", kind)
        if kind == FLOAT64:
            x, y = self.needed(left, kind, node), self.needed(right, kind, node)
            return self.checked(f"({x.raw or x.sql} {operator} {y.raw or y.sql})", x, y)
        sql = f"({a} {operator} {b})"
        return Expr(f"TRY({sql})" if self.safe else sql, kind)

    def checked(self, raw: str, *operands: Expr) -> Expr:
        """A FLOAT64 that is an error where it is infinite or NaN and none of what it was made from is.

        A chain of operations is checked once, at its end: what is beyond the range stays there.
        """
        doubtful: list[str] = []
        for one in operands:
            doubtful += one.operands if one.raw else [one.sql] if may_be_nan(one) else []
        doubtful = list(dict.fromkeys(doubtful))
        bad = " AND ".join([f"NOT isfinite({raw})", *(f"isfinite({one})" for one in doubtful)])
        sql = f"CASE WHEN {bad} THEN CAST({self.fail('double overflow')} AS DOUBLE) ELSE {raw} END"
        return Expr(sql, FLOAT64, raw=raw, operands=tuple(doubtful))

    def _number(self, left: Expr, right: Expr, operator: str, node: Any) -> Type:
        kind = supertype([left, right])
        if kind is None or kind.kind not in ("INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC"):
            raise self.error(
                f"No matching signature for operator {operator} for argument types: {left.type}, {right.type}", node
            )
        return kind

    def visit_div(self, node: exp.Div) -> Expr:
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
        x, y = self.needed(left, kind, node), self.needed(right, kind, node)
        quotient = f"CASE WHEN {y.sql} = 0 THEN CAST({zero or guard} AS DOUBLE) ELSE {x.raw or x.sql} / {y.sql} END"
        # The divisor is checked by itself: what is divided by infinity is 0.
        return self.checked(f"({quotient})", x, replace(y, raw=None))

    def visit_dpipe(self, node: exp.DPipe) -> Expr:
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

    def visit_bitwiseand(self, node: exp.BitwiseAnd) -> Expr:
        return self._bitwise(node, "({0} & {1})")

    def visit_bitwiseor(self, node: exp.BitwiseOr) -> Expr:
        return self._bitwise(node, "({0} | {1})")

    def visit_bitwisexor(self, node: exp.BitwiseXor) -> Expr:
        return self._bitwise(node, "xor({0}, {1})")

    def visit_bitwiseleftshift(self, node: exp.BitwiseLeftShift) -> Expr:
        # Bits beyond the 64th are lost; the result is the two's complement of what is left.
        bits = "((CAST({0} AS HUGEINT) & 18446744073709551615) << CAST({1} AS INTEGER) & 18446744073709551615)"
        signed = f"CASE WHEN {bits} > 9223372036854775807 THEN {bits} - 18446744073709551616 ELSE {bits} END"
        return self._bitwise(node, f"CASE WHEN {{1}} > 62 THEN 0 ELSE CAST({signed} AS BIGINT) END")

    def visit_bitwiserightshift(self, node: exp.BitwiseRightShift) -> Expr:
        return self._bitwise(
            node,
            "CASE WHEN {1} > 63 THEN 0 WHEN {0} < 0 THEN "
            + self.fail("bit shift of a negative number is not served by the emulator")
            + " ELSE ({0} >> {1}) END",
        )

    def visit_bitwisenot(self, node: exp.BitwiseNot) -> Expr:
        return Expr(f"(~{self.compiled(node.this, INT64, 'Operand of ~').sql})", INT64)
