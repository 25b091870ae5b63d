"""Rows of a table as the REST API gives them: page by page, with chosen columns."""

# ruff: noqa: S608 - names are quoted and values escaped by functions made for it

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

from ..core.errors import invalid
from .encode import TimestampFormat, fetched, row_encoder
from .types import Field, Type, columns, member, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .catalog import Catalog

#: Rows in a page where the request names no number; a page has at most about 10 MB as well.
_PAGE = 10_000
_PAGE_BYTES = 10 * 1024 * 1024


def read_page(
    catalog: Catalog, document: dict[str, Any], query: Mapping[str, str], selected: str | None = None
) -> dict[str, Any]:
    """``totalRows``, ``rows`` and ``pageToken`` for the page that the query parameters ask for.

    Args:
        catalog: where the table is.
        document: of the table.
        query: ``maxResults``, ``startIndex``, ``pageToken`` and ``formatOptions.…``.
        selected: comma list of columns; ``a.b`` selects a field of a RECORD.

    Raises:
        ApiError: 400 for a parameter that is no number, a bad token or an unknown column.
    """
    fields = columns(document["resource"].get("schema", {}).get("fields", []))
    start, most = (
        _offset(query.get("pageToken"), query.get("startIndex")),
        number(query.get("maxResults"), "maxResults"),
    )
    total = catalog.count(document)
    expressions = [(quoted(field.name), field) for field in fields]
    if selected:
        expressions = _selected(fields, selected)
    size = _PAGE if most is None else min(most, 100_000)
    rows: list[tuple[Any, ...]] = []
    if document["physical"] is not None and size and start < total and expressions:
        shown = ", ".join(fetched(expression, field.type) for expression, field in expressions)
        rows = catalog.engine.rows(f'SELECT {shown} FROM "{document["physical"]}" LIMIT {size} OFFSET {start}')
    encode = row_encoder([field for _, field in expressions], timestamp_format(query))
    made = []
    room = _PAGE_BYTES
    for row in rows:
        made.append(encode(row))
        if len(rows) > 1000 and len(made) % 100 == 0:
            room -= len(json.dumps(made[-100:]))
            if room < 0:
                break
    answer: dict[str, Any] = {"totalRows": str(total)}
    if made:
        answer["rows"] = made
    if start + len(made) < total and made:
        answer["pageToken"] = _token(start + len(made))
    return answer


def timestamp_format(query: Mapping[str, str]) -> TimestampFormat:
    """How the request wants TIMESTAMP values."""
    form = query.get("formatOptions.timestampOutputFormat")
    if form in ("INT64", "FLOAT64", "ISO8601_STRING"):
        return form  # type: ignore[return-value]
    return "INT64" if query.get("formatOptions.useInt64Timestamp", "").lower() == "true" else "FLOAT64"


def number(text: str | None, name: str) -> int | None:
    """A count from the query; None if there is none.

    Raises:
        ApiError: 400 if it is not a whole number, or negative.
    """
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 4000):
        raise invalid(f"Invalid value for {name}: {text!r} is not a number of 0 or more")
    return min(int(text), 2**62)


def _offset(token: str | None, start: str | None) -> int:
    if token:
        try:
            word, _, text = base64.urlsafe_b64decode(token.encode()).decode().partition(":")
            if word == "rows":
                return int(text)
        except (binascii.Error, UnicodeDecodeError, ValueError):
            pass
        raise invalid(f"Invalid pageToken {token!r}")
    return number(start, "startIndex") or 0


def _token(offset: int) -> str:
    return base64.urlsafe_b64encode(f"rows:{offset}".encode()).decode()


def _selected(fields: tuple[Field, ...], selected: str) -> list[tuple[str, Field]]:
    """Expressions and columns for ``selectedFields``; fields of one RECORD are gathered in one column."""
    tree: dict[str, Any] = {}
    for path in selected.split(","):
        node = tree
        for part in path.strip().lower().split("."):
            node = node.setdefault(part, {})
    return _choose(fields, tree, "")


def _choose(fields: tuple[Field, ...], tree: dict[str, Any], path: str) -> list[tuple[str, Field]]:
    by_name = {field.name.lower(): field for field in fields}
    for name in tree:
        if name not in by_name:
            raise invalid(f"Field {path}{name} was not found in the table's schema (selectedFields)")
    made = []
    for field in fields:
        inner = tree.get(field.name.lower())
        if inner is None:
            continue
        made.append(_narrowed(quoted(field.name), field, inner, f"{path}{field.name}."))
    return made


def _narrowed(expression: str, field: Field, tree: dict[str, Any], path: str, depth: int = 0) -> tuple[str, Field]:
    if not tree:
        return expression, field
    kind = field.type
    if kind.kind == "ARRAY" and kind.element is not None:
        name = f"x{depth}"
        value, inner = _narrowed(name, Field(field.name, kind.element), tree, path, depth + 1)
        return f"list_transform({expression}, lambda {name}: {value})", Field(
            field.name, Type("ARRAY", element=inner.type)
        )
    chosen = []
    for kept in kind.fields:
        deeper = tree.get(kept.name.lower())
        if deeper is not None:
            chosen.append(_narrowed(member(expression, kept.name), kept, deeper, f"{path}{kept.name}.", depth))
    if len(chosen) < len(tree):
        raise invalid(f"A field below {path[:-1]} was not found in the table's schema (selectedFields)")
    parts = ", ".join(f"{quoted(inner.name)} := {value}" for value, inner in chosen)
    made = Field(field.name, Type("STRUCT", fields=tuple(inner for _, inner in chosen)))
    return f"CASE WHEN {expression} IS NOT NULL THEN struct_pack({parts}) END", made
