"""The columns of a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .sql.errors import SqlError

if TYPE_CHECKING:
    from .types import Field


def output_fields(fields: list[Field]) -> list[Field]:
    """The columns of a result.

    Raises:
        SqlError: two have one name.
    """
    seen: set[str] = set()
    for field in fields:
        if field.name.lower() in seen:
            raise SqlError(f"Duplicate column names in the result are not supported. Found duplicate(s): {field.name}")
        seen.add(field.name.lower())
    return fields
