"""Compiled statements, what they do, and how their rows are stored."""

# ruff: noqa: S608 - names are quoted and values escaped by functions made for it

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..catalog import Catalog
from ..names import TableName
from ..session import Session
from ..sql.errors import runtime_error
from ..sql.relations import Query
from ..types import Field, lifted, quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(slots=True)
class Outcome:
    """What a statement did, for the job's statistics.

    Attributes:
        kind: BigQuery's statementType.
        fields: columns of the result; None if there is no result.
        table: where the result is.
        dml: ``insertedRowCount``, ``updatedRowCount``, ``deletedRowCount``.
        ddl: ``ddlOperationPerformed`` and the target.
    """

    kind: str
    fields: list[Field] | None = None
    table: TableName | None = None
    dml: dict[str, int] | None = None
    ddl: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Plan:
    """A compiled statement: what is known before it runs, and how it is run."""

    kind: str
    run: Callable[[], Outcome]
    fields: list[Field] | None = None
    target: TableName | None = None


#: Puts a finished query's rows where they belong and says where that is.
Sink = Callable[[Session, Query, list[Field]], TableName]


def select_sql(query: Query, fields: list[Field]) -> str:
    """The query with its columns under their own names, ready to be stored."""
    parts = ", ".join(f"{lifted(f'q.c{index}', one.type)} AS {quoted(one.name)}" for index, one in enumerate(fields))
    return f"SELECT {parts} FROM ({query.sql}) AS q"


def store(catalog: Catalog, cursor: DuckDBPyConnection, query: Query, fields: list[Field]) -> str:
    """Run a query into a new table of rows; returns its name.

    Raises:
        ApiError: the query fails while it runs, or an array of the result has a NULL.
    """
    import duckdb

    physical = catalog.engine.new_name()
    try:
        cursor.execute(f'CREATE TABLE "{physical}" AS {select_sql(query, fields)}')
        for one in fields:
            if one.type.kind == "ARRAY":
                sql = (
                    f'SELECT count(*) FROM "{physical}" WHERE list_count({quoted(one.name)}) < len({quoted(one.name)})'
                )
                ((bad,),) = cursor.execute(sql).fetchall()
                if bad:
                    from ..sql.errors import SqlError

                    raise SqlError(f"Array cannot have a null element; error in writing field {one.name}")
    except duckdb.TransactionException:
        raise
    except duckdb.Error as error:
        raise runtime_error(error) from None
    return physical


class StatementCompiler:
    """What the compilers of all kinds of statements share.

    Args:
        session: what they are compiled in.
        sink: takes the rows of a query.
        checking: have DuckDB plan queries, because they will not be run.
    """

    def __init__(self, session: Session, sink: Sink, *, checking: bool = False) -> None:
        self.session = session
        self.catalog = session.catalog
        self.sink = sink
        self.checking = checking
