"""Markup from values: everything that is not markup already is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


#: Elements without content.
_VOID = frozenset({"input", "meta", "link", "br", "hr", "wbr"})


def el(element: str, /, *children: Any, **attributes: Any) -> Html:
    """An element.

    Args:
        element: its name.
        children: text is escaped, ``Html`` is not; lists are taken item by item, None is left out.
        attributes: a trailing underscore is dropped (``class_``), others become hyphens (``aria_label``); True gives
            an attribute without a value, None and False none.
    """
    head = f"<{element}{''.join(_attribute(key, value) for key, value in attributes.items())}>"
    return Html(head if element in _VOID else f"{head}{join(children)}</{element}>")


def join(children: Iterable[Any]) -> Html:
    """Children one after another."""
    return Html("".join(_child(child) for child in children))


def _child(child: Any) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    if isinstance(child, (list, tuple)):
        return join(child)
    return escape(str(child))


def _attribute(key: str, value: Any) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value), quote=True)}"'
