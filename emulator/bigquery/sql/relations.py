"""Compiled queries and tables, as the compiler passes them on."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..types import Field, Type
from .values import Expr


@dataclass(slots=True)
class Query:
    """A compiled query. Its DuckDB columns are ``c0``, ``c1``…; ``fields`` has their GoogleSQL names and types.

    ``anonymous`` marks columns that were not named in the query; ``value`` is set for ``SELECT AS STRUCT/VALUE``.
    """

    sql: str
    fields: list[Field]
    value: bool = False
    #: Columns that are written out in the query, by their index: they convert as literals do.
    literals: dict[int, Expr] = field(default_factory=dict)


@dataclass(slots=True)
class Relation:
    """A table as the compiler sees it: DuckDB text for FROM, and its columns by DuckDB name."""

    sql: str
    columns: list[tuple[str, Type, str]]
    hidden: list[tuple[str, Type, str]] = field(default_factory=list)
