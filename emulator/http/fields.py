"""Partial responses: ``fields=items(name,size),nextPageToken``.

https://cloud.google.com/storage/docs/json_api#partial-response; the other APIs take the same syntax, and dots for
slashes.
"""

from __future__ import annotations

from typing import Any

from ..core.errors import invalid
from . import discovery

#: What is wanted: field → what is wanted of its value; an empty one wants everything.
Selection = dict[str, Any]


def selection_of(text: str, method: discovery.Method) -> Selection:
    """The parsed ``fields`` parameter, checked against the method's response.

    Raises:
        ApiError: 400 if the syntax is wrong, or names a field that the response does not have.
    """
    selection = _Parser(text).parse()
    if method.response is not None:
        schemas = discovery.document(method.api, method.version)["schemas"]
        _check(schemas, {"$ref": method.response}, selection, "")
    return selection


def select(value: Any, selection: Selection) -> Any:
    """The part of a value that is wanted; lists are taken item by item."""
    if not selection:
        return value
    if isinstance(value, list):
        return [select(item, selection) for item in value]
    if not isinstance(value, dict):
        return value
    rest = selection.get("*")
    chosen = {}
    for name, item in value.items():
        wanted = selection.get(name, rest)
        if wanted is None:
            continue
        part = select(item, wanted)
        if part not in ({}, []) or item in ({}, []):
            chosen[name] = part
    return chosen


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def parse(self) -> Selection:
        selection = self._list()
        if self._at < len(self._text):
            raise self._wrong()
        return selection

    def _list(self) -> Selection:
        selection: Selection = {}
        while True:
            node = selection
            path = [self._name()]
            while self._peek() in ("/", "."):
                self._at += 1
                path.append(self._name())
            for name in path:
                node = node.setdefault(name, {})
            if self._peek() == "(":
                self._at += 1
                node.update(self._list())
                if self._peek() != ")":
                    raise self._wrong()
                self._at += 1
            if self._peek() != ",":
                return selection
            self._at += 1

    def _name(self) -> str:
        start = self._at
        while self._at < len(self._text) and self._text[self._at] not in ",/.()":
            self._at += 1
        name = self._text[start : self._at].strip()
        if not name:
            raise self._wrong()
        return name

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _wrong(self) -> Exception:
        return invalid(f"Invalid field selection {self._text[:200]}")


def _check(schemas: dict[str, Any], spec: dict[str, Any], selection: Selection, at: str) -> None:
    spec = schemas[spec["$ref"]] if "$ref" in spec else spec
    if spec.get("type") == "array":
        _check(schemas, spec["items"], selection, at)
        return
    properties, rest = spec.get("properties"), spec.get("additionalProperties")
    if properties is None and rest is None and spec.get("type") in ("any", "object"):
        return
    for name, inner in selection.items():
        if name == "*":
            continue
        found = (properties or {}).get(name, rest)
        if found is None:
            raise invalid(f"Invalid field selection {at}{name}")
        if inner:
            _check(schemas, found, inner, f"{at}{name}/")
