"""Property values between the engine's wire form and plain Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf import struct_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

Properties = dict[str, Any]

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What the engine sends for a value that a preview can't know."""

SIGNATURE = "4dabf18193072939515e22adb298388d"
"""The key that marks a special object; its value says which kind."""

SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a marker

ASSET = "c44067f5952c0a294b673a41bacd8c17"

DEFAULTS = "__defaults"
"""The key under which inputs list which of them were filled in by the plugin."""


def from_struct(struct: struct_pb2.Struct) -> Properties:
    """Plain Python for a message; whole numbers become int, as Google's APIs want them."""
    return {name: _from_value(value) for name, value in struct.fields.items()}


def to_struct(properties: Mapping[str, Any]) -> struct_pb2.Struct:
    """The message for plain Python values."""
    struct = struct_pb2.Struct()
    struct.update(dict(properties))
    return struct


def has_unknown(value: object) -> bool:
    """Whether a preview doesn't know all of a value."""
    if isinstance(value, dict):
        return any(has_unknown(each) for each in value.values())
    if isinstance(value, list):
        return any(has_unknown(each) for each in value)
    return value == UNKNOWN


def without_defaults(value: Any) -> Any:
    """A value without the engine-side lists of defaulted properties."""
    if isinstance(value, dict):
        return {name: without_defaults(each) for name, each in value.items() if name != DEFAULTS}
    if isinstance(value, list):
        return [without_defaults(each) for each in value]
    return value


def _from_value(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    if kind == "bool_value":
        return value.bool_value
    if kind == "struct_value":
        return from_struct(value.struct_value)
    if kind == "list_value":
        return [_from_value(each) for each in value.list_value.values]
    return None
