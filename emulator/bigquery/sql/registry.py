"""How a function is compiled: the shape of what does it, and what is said of arguments that don't fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .names import ExpressionBase
from .values import Expr

if TYPE_CHECKING:
    from sqlglot import exp

#: Compiles a call: the compiler, the function's name in capitals, its arguments, and where it stands.
Handler = Callable[[ExpressionBase, str, list[Any], Any], Expr]


def no_signature(compiler: ExpressionBase, name: str, arguments: list[Expr], node: exp.Expression) -> Exception:
    """BigQuery's words for arguments that don't fit."""
    shown = ", ".join(str(argument.type) for argument in arguments)
    what = f"argument type{'s' if len(arguments) > 1 else ''}: {shown}" if arguments else "no arguments"
    return compiler.error(f"No matching signature for function {name} for {what}", node)
