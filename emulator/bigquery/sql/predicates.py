"""Logic: comparisons, IN, LIKE, CASE, EXISTS.

https://cloud.google.com/bigquery/docs/reference/standard-sql/operators
"""

# ruff: noqa: S608 - what is put together here was compiled: names are quoted, values escaped

from __future__ import annotations

import re
from typing import Any

from sqlglot import exp

from ..types import BOOL, STRING, array, duckdb_type
from . import values
from .equality import compared, equal, may_be_nan, ordered
from .operators import Operators
from .values import Expr, coerced, supertype


class Predicates(Operators):
    """Operators that make or take conditions."""

    def visit_and(self, node: exp.And) -> Expr:
        return self._logical(node, "AND")

    def visit_or(self, node: exp.Or) -> Expr:
        return self._logical(node, "OR")

    def _logical(self, node: Any, word: str) -> Expr:
        # Long chains nest to the left: flattened, they don't exhaust the stack.
        operands: list[Any] = []
        left: Any = node
        while isinstance(left, type(node)):
            operands[:0] = self._chain(left.expression, type(node))
            left = left.this
        operands.insert(0, left)
        parts = [self.compiled(operand, BOOL, f"Operand of {word}").sql for operand in operands]
        return Expr(in_order(parts, word), BOOL)

    @staticmethod
    def _chain(node: Any, kind: type) -> list[Any]:
        """The operands of a chain in brackets, ``(b AND (c AND d))``; the node itself if it is none."""
        found: list[Any] = []
        bare = node.unnest()
        while isinstance(bare, kind) and isinstance(bare, exp.Binary) and not isinstance(bare.this.unnest(), kind):
            found.append(bare.this)
            node = bare.expression
            bare = node.unnest()
        return [*found, node]

    def visit_not(self, node: exp.Not) -> Expr:
        return Expr(f"(NOT {self.compiled(node.this, BOOL, 'Operand of NOT').sql})", BOOL)

    def visit_eq(self, node: exp.EQ) -> Expr:
        return self._compare(node, "=")

    def visit_neq(self, node: exp.NEQ) -> Expr:
        return self._compare(node, "!=")

    def visit_gt(self, node: exp.GT) -> Expr:
        return self._compare(node, ">")

    def visit_gte(self, node: exp.GTE) -> Expr:
        return self._compare(node, ">=")

    def visit_lt(self, node: exp.LT) -> Expr:
        return self._compare(node, "<")

    def visit_lte(self, node: exp.LTE) -> Expr:
        return self._compare(node, "<=")

    def visit_nullsafeeq(self, node: exp.NullSafeEQ) -> Expr:
        return self._compare(node, "IS NOT DISTINCT FROM")

    def visit_nullsafeneq(self, node: exp.NullSafeNEQ) -> Expr:
        return self._compare(node, "IS DISTINCT FROM")

    def _compare(self, node: Any, operator: str) -> Expr:
        left, right = self.compile(node.this), self.compile(node.expression)
        a, b = self.comparable(left, right, operator, node)
        return Expr(compared(a, operator, b), BOOL)

    def comparable(self, left: Expr, right: Expr, operator: str, node: Any) -> tuple[Expr, Expr]:
        """Two values as one type that can be compared with the operator."""
        for value, other in ((left, right), (right, left)):
            # A literal of the wrong form is said as such, not as a missing signature.
            if value.constant and value.type == STRING and other.type.kind in ("DATE", "TIME", "DATETIME", "TIMESTAMP"):
                made = coerced(value, other.type)
                if made is not None:
                    return (made, other) if value is left else (other, made)
        kind = supertype([left, right])
        sorting = operator not in ("=", "!=", "IN", "IS NOT DISTINCT FROM", "IS DISTINCT FROM")
        bad = kind is None or kind.kind in ("ARRAY", "JSON") or (kind.kind == "STRUCT" and sorting)
        if bad or kind is None:
            raise self.error(
                f"No matching signature for operator {operator} for argument types: {left.type}, {right.type}", node
            )
        return self.needed(left, kind, node), self.needed(right, kind, node)

    def visit_is(self, node: exp.Is) -> Expr:
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

    def visit_between(self, node: exp.Between) -> Expr:
        value, low, high = self.compile(node.this), self.compile(node.args["low"]), self.compile(node.args["high"])
        a, b = self.comparable(value, low, "BETWEEN", node)
        c, d = self.comparable(value, high, "BETWEEN", node)
        negate = "NOT " if node.args.get("negate") else ""
        return Expr(f"({negate}({ordered(a, '>=', b)} AND {ordered(c, '<=', d)}))", BOOL)

    def visit_like(self, node: exp.Like) -> Expr:
        if isinstance(node.expression, (exp.Any, exp.All, exp.Tuple)):
            return self._like_some(node)
        return self._like_one(node, self.compile(node.this), self.compile(node.expression))

    def _like_some(self, node: exp.Like) -> Expr:
        """``x LIKE ANY (…)``, ``LIKE SOME``, ``LIKE ALL``, with the logic of three values."""
        quantifier: Any = node.expression
        listed = quantifier.this if isinstance(quantifier, (exp.Any, exp.All)) else None
        if listed is None or node.args.get("negate") or isinstance(listed, exp.Query):
            raise self.unsupported("this quantified LIKE", node)
        patterns = listed.expressions if isinstance(listed, exp.Tuple) else [listed.unnest()]
        value = self.compile(node.this)
        parts = [self._like_one(node, value, self.compile(pattern)).sql for pattern in patterns]
        return Expr(f"({(' OR ' if isinstance(quantifier, exp.Any) else ' AND ').join(parts)})", BOOL)

    def _like_one(self, node: exp.Like, left: Expr, right: Expr) -> Expr:
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

    def visit_in(self, node: exp.In) -> Expr:
        value = self.compile(node.this)
        word = "NOT IN" if node.args.get("negate") else "IN"
        negate = "NOT " if node.args.get("negate") else ""
        unnest, query = node.args.get("unnest"), node.args.get("query")
        if unnest is not None:
            return self.in_array(value, self.compile(unnest.expressions[0]), negate, node)
        if query is not None:
            inner = query.this if isinstance(query, exp.Subquery) else query
            made = self.query(inner)
            if len(made.fields) != 1:
                raise self.error("Subquery of type IN must have only one output column", node)
            a, b = self.comparable(value, Expr("x", made.fields[0].type), "IN", node)
            wide = self.needed(Expr("s.c0", made.fields[0].type), b.type, node)
            if wide.type.kind == "STRUCT":
                test = equal(a, wide)
                found = (
                    f"CASE WHEN coalesce(bool_or({test}), false) THEN true WHEN count(*) > count({test}) THEN NULL "
                    "ELSE false END"
                )
                return Expr(f"({negate}(SELECT {found} FROM ({made.sql}) AS s))", BOOL)
            if may_be_nan(a) and may_be_nan(wide):
                body = f"SELECT {wide.sql} FROM ({made.sql}) AS s WHERE isnan({wide.sql}) IS NOT TRUE"
                return Expr(f"({a.sql} {word} ({body}))", BOOL)
            if b.type != made.fields[0].type:
                return Expr(f"({a.sql} {word} (SELECT {wide.sql} FROM ({made.sql}) AS s))", BOOL)
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
        probe, fitted = self.needed(value, kind, node), [self.needed(item, kind, node) for item in items]
        if kind.kind == "STRUCT" or (may_be_nan(probe) and any(may_be_nan(item) for item in fitted)):
            return Expr(f"({negate}({' OR '.join(equal(probe, item) for item in fitted)}))", BOOL)
        listed = ", ".join(item.sql for item in fitted)
        return Expr(f"({probe.sql} {word} ({listed}))", BOOL)

    def in_array(self, value: Expr, items: Expr, negate: str, node: Any) -> Expr:
        """``value IN UNNEST(items)``; ``negate`` is ``NOT `` or nothing."""
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
        element = items.type.element or element
        if element.kind == "STRUCT" or may_be_nan(probe):
            name = self.fresh("x")
            tests = f"list_transform({items.sql}, lambda {name}: {equal(probe, Expr(name, element))})"
            body = (
                f"CASE WHEN coalesce(len({items.sql}), 0) = 0 THEN false WHEN list_contains({tests}, true) THEN true "
                f"WHEN list_count({tests}) < len({tests}) THEN NULL ELSE false END"
            )
            return Expr(f"({negate}{body})", BOOL)
        body = (
            f"CASE WHEN coalesce(len({items.sql}), 0) = 0 THEN false WHEN {probe.sql} IS NULL THEN NULL "
            f"WHEN list_contains({items.sql}, {probe.sql}) THEN true "
            f"WHEN list_count({items.sql}) < len({items.sql}) THEN NULL ELSE false END"
        )
        return Expr(f"({negate}{body})", BOOL)

    def visit_case(self, node: exp.Case) -> Expr:
        subject = None if node.this is None else self.compile(node.this)
        conditions, results = [], []
        for branch in node.args["ifs"]:
            if subject is None:
                conditions.append(self.compiled(branch.this, BOOL, "CASE condition").sql)
            else:
                a, b = self.comparable(subject, self.compile(branch.this), "=", branch)
                conditions.append(equal(a, b))
            results.append(self.compile(branch.args["true"]))
        default = node.args.get("default")
        results.append(values.null() if default is None else self.compile(default))
        kind = self.common(results, "CASE", node)
        parts = [self.needed(result, kind, node).sql for result in results]
        body = " ".join(f"WHEN {condition} THEN {part}" for condition, part in zip(conditions, parts[:-1], strict=True))
        return Expr(f"CASE {body} ELSE {parts[-1]} END", kind)

    def visit_if(self, node: exp.If) -> Expr:
        condition = self.compiled(node.this, BOOL, "IF condition")
        if node.args.get("false") is None:
            raise self.error("No matching signature for function IF with two arguments", node)
        results = [self.compile(node.args["true"]), self.compile(node.args["false"])]
        kind = self.common(results, "IF", node)
        a, b = (self.needed(result, kind, node).sql for result in results)
        return Expr(f"CASE WHEN {condition.sql} THEN {a} ELSE {b} END", kind)

    def visit_exists(self, node: exp.Exists) -> Expr:
        return Expr(f"EXISTS ({self.query(node.this).sql})", BOOL)

    def visit_subquery(self, node: exp.Subquery) -> Expr:
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


#: What can't fail, and is taken out before looking for what can: written-out values.
_SURE = re.compile(r"'(?:[^']|'')*'|CAST\((?:'(?:[^']|'')*'|-?\d+|NULL|\[\]) AS [^()]*(?:\([^()]*\))?[^()]*\)")
_MAY_FAIL = re.compile(r"error\(|CAST\(|strp?time\(|make_|sql_|[-+*/%] |\bSELECT\b")


def may_fail(sql: str) -> bool:
    """Whether the evaluation of an expression may end the query: a cast, arithmetic, an array access, a subquery."""
    return _MAY_FAIL.search(_SURE.sub("", sql)) is not None


def in_order(parts: list[str], word: str) -> str:
    """Conditions joined by AND or OR, evaluated from left to right as far as one of them may fail.

    DuckDB evaluates both sides, in the order that seems cheapest. Only a CASE keeps what is behind a condition from
    being evaluated where the condition decides.
    """
    risky = [index for index, part in enumerate(parts) if may_fail(part)]
    joined = f" {word} ".join(parts)
    if not risky or risky[-1] == 0 or len(joined) > _LONGEST:
        return f"({joined})"
    sure, guarded, rest = parts[: risky[0]], parts[risky[0] : risky[-1] + 1], parts[risky[-1] + 1 :]
    stop, decided = ("NOT ", "false") if word == "AND" else ("", "true")
    tests = [*([f"({f' {word} '.join(sure)})"] if sure else []), *guarded[:-1]]
    branches = " ".join(f"WHEN {stop}{test} THEN {decided}" for test in tests)
    # What can't fail stays a condition of its own, which joins and scans can use.
    body = f"(CASE {branches} ELSE ({f' {word} '.join(guarded)}) END)"
    return "(" + f" {word} ".join([*sure, body, *rest]) + ")"


#: Longest condition, in characters, whose parts are kept in order: each is written twice for it.
_LONGEST = 50_000
