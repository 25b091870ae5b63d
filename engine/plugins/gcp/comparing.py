"""Differences between two sets of inputs, as the engine shows them, and inputs brought up to date after a refresh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.plugins.gcp.fields import ZERO, Field, Kind, is_zero, same
from engine.plugins.gcp.values import DEFAULTS, Properties

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


@dataclass(frozen=True)
class Change:
    """One property that differs.

    Args:
        path: the property path, for example `labels.team`.
        kind: `add`, `delete` or `update`.
        replaces: whether it makes a new resource.
    """

    path: str
    kind: str
    replaces: bool

    @property
    def top(self) -> str:
        """The resource's property that the path starts with."""
        return self.path.split(".", 1)[0].split("[", 1)[0]


def changes(fields: Sequence[Field], olds: Mapping[str, Any], news: Mapping[str, Any]) -> list[Change]:
    """What differs between the old inputs and the new.

    Args:
        fields: the type's properties.
        olds: the inputs of the last update, or of the last refresh.
        news: the checked inputs of this one.
    """
    found: list[Change] = []
    for field in fields:
        if not field.output:
            found += _compare(field, olds.get(field.name), news.get(field.name), field.name, replaces=field.replaces)
    return found


def _compare(field: Field, old: Any, new: Any, path: str, *, replaces: bool) -> Iterator[Change]:
    if (new is None and field.keeps) or same(field, new, old):
        return
    replaces = replaces or field.replaces
    inner: list[Change] = []
    if field.kind is Kind.MAP and isinstance(old, dict) and isinstance(new, dict):
        inner = [
            Change(f"{path}.{key}", _kind(old.get(key), new.get(key)), replaces)
            for key in sorted({*old, *new} - {DEFAULTS})
            if old.get(key) != new.get(key)
        ]
    elif field.kind is Kind.BLOCK and isinstance(old, dict) and isinstance(new, dict):
        for each in field.fields:
            inner += _compare(each, old.get(each.name), new.get(each.name), f"{path}.{each.name}", replaces=replaces)
    elif field.kind is Kind.BLOCKS and isinstance(old, list) and isinstance(new, list):
        whole = Field(name=field.name, kind=Kind.BLOCK, fields=field.fields)
        for n in range(max(len(old), len(new))):
            before = old[n] if n < len(old) else None
            after = new[n] if n < len(new) else None
            inner += _compare(whole, before, after, f"{path}[{n}]", replaces=replaces)
    yield from inner or [Change(path, _kind(old, new), replaces)]


def _kind(old: object, new: object) -> str:
    if old is None:
        return "add"
    return "delete" if new is None else "update"


def refreshed_inputs(
    fields: Sequence[Field], inputs: Mapping[str, Any], before: Mapping[str, Any], now: Mapping[str, Any]
) -> Properties:
    """The inputs that would have led to what there is now, so that the next update repairs what drifted.

    Args:
        fields: the type's properties.
        inputs: the inputs of the last update.
        before: the outputs of the last update or refresh.
        now: the outputs read now.
    """
    fresh: Properties = {DEFAULTS: list(inputs.get(DEFAULTS) or [])}
    for field in fields:
        if field.output:
            continue
        given, actual = inputs.get(field.name), now.get(field.name)
        if (field.path is None and not field.read_back) or (given is not None and same(field, given, actual)):
            if given is not None:
                fresh[field.name] = given
        elif given is not None:
            if not is_zero(field, actual):
                fresh[field.name] = _as_input(field, actual)
        elif not field.keeps and not is_zero(field, actual) and actual != before.get(field.name):
            fresh[field.name] = _as_input(field, actual)
    fresh[DEFAULTS] = [name for name in fresh[DEFAULTS] if name in fresh]
    return fresh


def imported_inputs(fields: Sequence[Field], now: Mapping[str, Any]) -> Properties:
    """The inputs for a resource that no program has described yet: everything that is set."""
    fresh: Properties = {DEFAULTS: []}
    for field in fields:
        actual = now.get(field.name)
        if field.output or is_zero(field, actual):
            continue
        fresh[field.name] = _as_input(field, actual)
    return fresh


def _as_input(field: Field, actual: Any) -> Any:
    if field.kind is Kind.BLOCK and isinstance(actual, dict):
        kept = {
            each.name: _as_input(each, actual[each.name])
            for each in field.fields
            if not each.output and actual.get(each.name) not in (None, ZERO[each.kind])
        }
        return {DEFAULTS: [], **kept}
    if field.kind is Kind.BLOCKS:
        whole = Field(name=field.name, kind=Kind.BLOCK, fields=field.fields)
        return [_as_input(whole, each) for each in actual]
    if field.kind is Kind.MAP:
        return {DEFAULTS: [], **actual}
    return actual
