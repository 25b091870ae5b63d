"""Properties as data: what each is called, where it sits in the API's JSON, and how both forms turn into each other."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from engine.plugins.gcp.values import DEFAULTS, UNKNOWN, Properties

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class Kind(Enum):
    """What a property holds."""

    TEXT = auto()
    INTEGER = auto()
    FLAG = auto()
    TEXTS = auto()
    MAP = auto()
    BLOCK = auto()
    BLOCKS = auto()
    JSON = auto()  # a document as text, for example a table's schema
    ASSET = auto()


ZERO: dict[Kind, Any] = {
    Kind.TEXT: "",
    Kind.INTEGER: 0,
    Kind.FLAG: False,
    Kind.TEXTS: [],
    Kind.MAP: None,
    Kind.BLOCK: None,
    Kind.BLOCKS: [],
    Kind.JSON: "",
    Kind.ASSET: None,
}
"""What the official plugin's state holds for a property that the API does not return."""


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True, kw_only=True)
class Field:
    """One property of a resource type or of a nested block.

    Args:
        name: Pulumi's name for it.
        kind: what it holds.
        wire: the dotted path in the API's JSON; None keeps it off the wire (part of the URL, or the plugin's own).
        required: must be given.
        output: comes from the API and can't be given.
        keeps: may be left to the API; leaving it out later is no change.
        replaces: a change makes a new resource.
        default: filled in when not given, and listed in the inputs' `__defaults`.
        fields: the properties of a block.
        as_text: a whole number that the API writes as text (int64).
        read_back: off the wire by itself, but its type reads it back in a way of its own.
        unordered: a list whose order means nothing.
        own: the plugin's own: carried over from what was given; `encode` of what is around it sees it and removes it.
        sends_empty: sent in an update even when it is empty.
        wire_fixed: sent when creating, never when updating.
        normal: applied to both sides before they are compared.
        decode: applied to what the API returns.
        encode: applied to what is sent.
    """

    name: str
    kind: Kind = Kind.TEXT
    wire: str | None = ""
    required: bool = False
    output: bool = False
    keeps: bool = False
    replaces: bool = False
    default: Any = None
    fields: tuple[Field, ...] = ()
    as_text: bool = False
    read_back: bool = False
    unordered: bool = False
    own: bool = False
    sends_empty: bool = False
    wire_fixed: bool = False
    normal: Callable[[Any], Any] = _same
    decode: Callable[[Any], Any] = _same
    encode: Callable[[Any], Any] = _same

    @property
    def path(self) -> tuple[str, ...] | None:
        """The path in the API's JSON, or None for a property that is not in it."""
        return None if self.wire is None else tuple((self.wire or self.name).split("."))


def text(name: str, **options: Any) -> Field:
    """A text property."""
    return Field(name=name, **options)


def integer(name: str, **options: Any) -> Field:
    """A whole number."""
    return Field(name=name, kind=Kind.INTEGER, **options)


def flag(name: str, **options: Any) -> Field:
    """A yes or no."""
    return Field(name=name, kind=Kind.FLAG, **options)


def texts(name: str, **options: Any) -> Field:
    """A list of texts."""
    return Field(name=name, kind=Kind.TEXTS, **options)


def mapping(name: str, **options: Any) -> Field:
    """Text by text."""
    return Field(name=name, kind=Kind.MAP, **options)


def block(name: str, *fields: Field, **options: Any) -> Field:
    """One nested object."""
    return Field(name=name, kind=Kind.BLOCK, fields=fields, **options)


def blocks(name: str, *fields: Field, **options: Any) -> Field:
    """A list of nested objects."""
    return Field(name=name, kind=Kind.BLOCKS, fields=fields, **options)


def to_wire(fields: Sequence[Field], values: Mapping[str, Any]) -> dict[str, Any]:
    """The API's JSON for properties; those not given are left out."""
    body: dict[str, Any] = {}
    for field in fields:
        value = values.get(field.name)
        if field.path is None or field.output or value is None:
            continue
        put(body, field.path, value_to_wire(field, value))
    return body


def without_empty(value: Any) -> Any:
    """A body without empty values: texts, lists, zeros and false at any depth, and objects that are then empty.

    Labels are left as they are: an empty one has a meaning.
    """
    if isinstance(value, dict):
        kept = {name: each if name == "labels" else without_empty(each) for name, each in value.items()}
        return {name: each for name, each in kept.items() if each not in (None, "", 0, False, [], {})}
    if isinstance(value, list):
        return [without_empty(each) for each in value]
    return value


def value_to_wire(field: Field, value: Any) -> Any:
    """The API's form of one property's value."""
    if field.kind is Kind.BLOCK:
        converted: Any = to_wire(field.fields, value)
    elif field.kind is Kind.BLOCKS:
        converted = [to_wire(field.fields, each) for each in value]
    elif field.kind is Kind.MAP:
        converted = {name: each for name, each in value.items() if name != DEFAULTS}
    elif field.kind is Kind.JSON:
        converted = json.loads(value)
    elif field.as_text:
        converted = str(value)
    else:
        converted = value
    return field.encode(converted)


def from_wire(fields: Sequence[Field], answer: Mapping[str, Any], given: Mapping[str, Any]) -> Properties:
    """Properties from the API's JSON; those off the wire are carried over from what was given."""
    return {field.name: _value_from_wire(field, answer, given) for field in fields}


def _value_from_wire(field: Field, answer: Mapping[str, Any], given: Mapping[str, Any]) -> Any:
    if field.path is None or field.own:
        kept = given.get(field.name)
        return ZERO[field.kind] if kept is None else kept
    value = get(answer, field.path)
    if value is not None:
        value = field.decode(value)
    if value is None:
        return ZERO[field.kind]
    if field.kind is Kind.BLOCK:
        inner = given.get(field.name)
        return from_wire(field.fields, value, inner if isinstance(inner, dict) else {})
    if field.kind is Kind.BLOCKS:
        before = given.get(field.name)
        each_before = before if isinstance(before, list) and len(before) == len(value) else [{}] * len(value)
        return [from_wire(field.fields, each, old or {}) for each, old in zip(value, each_before, strict=True)]
    if field.kind is Kind.INTEGER:
        return int(value)
    if field.kind is Kind.JSON:
        return json.dumps(value, separators=(",", ":"))
    return value


def get(body: Mapping[str, Any], path: Sequence[str]) -> Any:
    """The value at a path, or None."""
    value: Any = body
    for part in path:
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value


def put(body: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """Sets the value at a path, making the objects on the way."""
    for part in path[:-1]:
        body = body.setdefault(part, {})
    body[path[-1]] = value


def is_zero(field: Field, value: object) -> bool:
    """Whether a value says no more than its absence: empty, or a block of such values."""
    if value in (None, {}) or value == ZERO[field.kind]:
        return True
    if field.kind is Kind.BLOCK and isinstance(value, dict):
        return all(is_zero(each, value.get(each.name)) for each in field.fields)
    return False


def same(field: Field, given: Any, actual: Any) -> bool:
    """Whether what was asked for is what there is, up to what the API fills in and how it writes it."""
    if given == UNKNOWN or actual == UNKNOWN:
        return False
    if field.kind is Kind.BLOCK:
        if is_zero(field, given) or is_zero(field, actual):
            return is_zero(field, given) and is_zero(field, actual)
        return all(
            same(each, given.get(each.name), actual.get(each.name))
            for each in field.fields
            if not ((each.keeps or each.output) and given.get(each.name) is None)
        )
    if field.kind is Kind.BLOCKS:
        given, actual = given or [], actual or []
        whole = Field(name=field.name, kind=Kind.BLOCK, fields=field.fields)
        if field.unordered:
            return len(given) == len(actual) and all(any(same(whole, a, b) for b in actual) for a in given)
        return len(given) == len(actual) and all(same(whole, a, b) for a, b in zip(given, actual, strict=True))
    if field.kind is Kind.MAP:
        return _plain(given) == _plain(actual)
    if is_zero(field, given) and is_zero(field, actual):
        return True
    if field.kind is Kind.JSON and given and actual:
        return bool(field.normal(json.loads(given)) == field.normal(json.loads(actual)))
    if given is None or actual is None:
        return given is actual
    if field.kind is Kind.TEXTS and field.unordered:
        return sorted(given) == sorted(actual)
    return bool(field.normal(given) == field.normal(actual))


def _plain(value: Any) -> dict[str, Any]:
    return {name: each for name, each in (value or {}).items() if name != DEFAULTS}
