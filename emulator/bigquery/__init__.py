"""Placeholder until the handlers land."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..routing import Routes


def routes() -> list[Routes]:
    """The handlers of this API."""
    return []
