"""Update masks: which fields of a resource a request changes.

https://protobuf.dev/reference/protobuf/google.protobuf/#field-mask
"""

from __future__ import annotations

from typing import Any


def camel(name: str) -> str:
    """``snake_case`` as ``camelCase``, the way the JSON of Google's APIs names fields; other names stay."""
    head, *tail = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in tail)


def top_fields(mask: str | None) -> list[str]:
    """The fields that a mask names, by their JSON names; of paths into a field the field."""
    return [camel(name.strip().partition(".")[0]) for name in (mask or "").split(",") if name.strip()]


def patched(old: dict[str, Any], sent: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """A resource with these fields as they were sent; those that were sent empty, or not at all, are gone."""
    kept = {key: value for key, value in old.items() if key not in names}
    return {**kept, **{name: sent[name] for name in names if sent.get(name)}}
