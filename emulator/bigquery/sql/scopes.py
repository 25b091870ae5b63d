"""What names mean where an expression stands: columns, tables, parameters, functions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlglot import exp

from ..types import Type
from .values import Expr


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
