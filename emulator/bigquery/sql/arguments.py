"""Arguments of functions: how many, and of which types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlglot import exp

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


def named_arguments(
    c: ExpressionBase, name: str, nodes: list[Any], node: Any, kinds: dict[str, Type]
) -> tuple[list[Any], dict[str, Expr]]:
    """The arguments without a name, and those with one (``mode => 'lax'``), compiled.

    Raises:
        SqlError: there is an argument of another name or type.
    """
    plain: list[Any] = []
    named: dict[str, Expr] = {}
    for one in nodes:
        if not isinstance(one, (exp.Kwarg, exp.PropertyEQ)):
            plain.append(one)
            continue
        key = one.this.name.lower()
        if key not in kinds:
            raise c.error(f"Named argument {key} not found in signature for call to function {name}", node)
        named[key] = c.compiled(one.expression, kinds[key], f"Argument {key} of {name}")
    return plain, named
