"""Arguments of functions: how many, and of which types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..types import Type
from . import values
from .registry import no_signature
from .values import Expr

if TYPE_CHECKING:
    from .names import ExpressionBase


def arguments(c: ExpressionBase, name: str, nodes: list[Any], node: Any, least: int, most: int) -> list[Expr]:
    """The arguments, compiled.

    Raises:
        SqlError: there are fewer than ``least`` or more than ``most``.
    """
    if not least <= len(nodes) <= most:
        raise c.error(f"No matching signature for function {name} with {len(nodes)} argument(s)", node)
    return [c.compile(one) for one in nodes]


def typed(
    c: ExpressionBase, name: str, nodes: list[Any], node: Any, kinds: list[Type], least: int | None = None
) -> list[Expr]:
    """Arguments of fixed types; those beyond ``least`` may be left out."""
    given = arguments(c, name, nodes, node, len(kinds) if least is None else least, len(kinds))
    made = []
    for value, kind in zip(given, kinds, strict=False):
        fitted = values.coerced(value, kind)
        if fitted is None:
            raise no_signature(c, name, given, node)
        made.append(fitted)
    return made
