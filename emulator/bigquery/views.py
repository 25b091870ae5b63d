"""The columns of views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.errors import ApiError
from .output import output_fields
from .plans import check_plan
from .session import Session
from .sql.parser import parse
from .sql.queries import Compiler
from .types import schema_field

if TYPE_CHECKING:
    from .catalog import Catalog


def view_schema(catalog: Catalog, principal: str, project: str, text: str) -> tuple[list[dict[str, Any]], Session]:
    """The columns of a view's query, which is checked by this.

    Raises:
        ApiError: the query is wrong, or reads what the caller may not.
    """
    session = Session(catalog, principal, project, text)
    nodes = parse(text)
    if len(nodes) != 1:
        raise ApiError(400, "A view has one query", reason="invalidQuery")
    query = Compiler(session).query(nodes[0])
    check_plan(catalog, query)
    fields = output_fields(query.fields)
    for index, field in enumerate(fields, 1):
        if field.anonymous:
            raise ApiError(
                400, f"CREATE VIEW columns must be named, but column {index} has no name", reason="invalidQuery"
            )
    return [schema_field(field) for field in fields], session
