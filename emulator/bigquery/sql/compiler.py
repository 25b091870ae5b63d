"""What the parts of a query (its FROM clause, its SELECT list) need of the compiler of queries."""

from __future__ import annotations

from typing import Any, Protocol

from sqlglot import exp

from ..types import INT64, Field
from .expressions import ExpressionCompiler
from .relations import Query, Relation
from .scopes import Environment


class Tables(Environment, Protocol):
    """An environment that has tables as well."""

    def relation(self, parts: list[str], node: Any) -> Relation:
        """The table or view with this name, which the caller may read."""


class QueryCompiler(ExpressionCompiler):
    """The base of the compiler of queries.

    Args:
        environment: what the statement is compiled in.
    """

    environment: Tables

    def __init__(self, environment: Tables) -> None:
        super().__init__(environment)
        #: WITH queries by lower-case name: their name for DuckDB, and their columns.
        self.ctes: dict[str, tuple[str, list[Field]]] = {}

    def query(self, node: Any) -> Query:
        """Compile a query; names of the scope around it may be used."""
        raise NotImplementedError

    @staticmethod
    def has_tail(node: Any) -> bool:
        """Whether a query has ORDER BY, LIMIT or WITH of its own."""
        return any(node.args.get(key) for key in ("order", "limit", "offset", "with_"))

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
