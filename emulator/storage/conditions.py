"""Preconditions: ``ifGenerationMatch`` and its relatives.

https://cloud.google.com/storage/docs/request-preconditions
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .errors import invalid_argument, precondition_failed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..core.state import Document


def number(query: Mapping[str, str], name: str) -> int | None:
    """A whole number from the query; None if it is absent.

    Raises:
        ApiError: 400 if it is no whole number.
    """
    text = query.get(name)
    if text is None or text == "":
        return None
    if not re.fullmatch("-?[0-9]{1,19}", text):
        raise invalid_argument(f"Invalid value for '{name}': {text[:50]!r} is not a whole number")
    return int(text)


def check(query: Mapping[str, str], resource: Document | None, source: str = "") -> None:
    """Refuse a call whose preconditions do not hold.

    Args:
        query: parameters of the call.
        resource: bucket or object as kept; None if it does not exist.
        source: ``Source`` for the preconditions on the source of a copy.

    Raises:
        ApiError: 412.
    """
    for what in ("generation", "metageneration"):
        present = 0 if resource is None else resource.get(what, 0)
        name = what.capitalize()
        wanted = number(query, f"if{source}{name}Match")
        if wanted is not None and wanted != present:
            raise precondition_failed()
        unwanted = number(query, f"if{source}{name}NotMatch")
        if unwanted is not None and unwanted == present:
            raise precondition_failed()


def not_modified(query: Mapping[str, str], resource: Document) -> bool:
    """Whether a read is to be answered with 304 instead of what it reads.

    Raises:
        ApiError: 412 if an ``if…Match`` does not hold.
    """
    check({name: value for name, value in query.items() if not name.endswith("NotMatch")}, resource)
    return any(
        number(query, f"if{what.capitalize()}NotMatch") == resource[what] for what in ("generation", "metageneration")
    )
