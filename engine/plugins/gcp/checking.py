"""Checking inputs: unknown names, missing and mistyped values are refused; names and defaults are filled in."""

from __future__ import annotations

import difflib
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.plugins.gcp.fields import Field, Kind
from engine.plugins.gcp.values import ASSET, DEFAULTS, SIGNATURE, UNKNOWN, Properties, without_defaults

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WANTED = {
    Kind.TEXT: "text",
    Kind.INTEGER: "a whole number",
    Kind.FLAG: "true or false",
    Kind.TEXTS: "a list of texts",
    Kind.MAP: "a map of texts",
    Kind.BLOCK: "an object",
    Kind.BLOCKS: "a list of objects",
    Kind.JSON: "a JSON document as text",
    Kind.ASSET: "an asset",
}


@dataclass(frozen=True)
class Failure:
    """One thing wrong with the inputs.

    Args:
        path: the property, for example `streamConfigs[0].bigqueryDestination`.
        reason: what is wrong and what to do.
    """

    path: str
    reason: str


def check(
    type_name: str, fields: Sequence[Field], news: Mapping[str, Any], also_official: frozenset[str] = frozenset()
) -> tuple[Properties, list[Failure]]:
    """Fills in defaults and collects everything that is wrong.

    Args:
        type_name: the type's token, for messages.
        fields: its properties.
        news: the inputs as the program gave them.
        also_official: properties that the official plugin has and this one does not.

    Returns:
        The checked inputs, and what is wrong with them.
    """
    failures: list[Failure] = []
    # Where changes are ignored, the engine puts back what was checked before, with its lists of defaults.
    news = without_defaults(dict(news))
    return _check_object(type_name, fields, news, "", failures, also_official), failures


def fill_name(inputs: Properties, olds: Mapping[str, Any], urn_name: str, seed: bytes) -> None:
    """Names a resource that has no name: as in Pulumi, with seven hexadecimal digits, the same at every update."""
    if inputs.get("name") is not None:
        return
    if "name" in (olds.get(DEFAULTS) or []) and olds.get("name"):
        inputs["name"] = olds["name"]
    else:
        inputs["name"] = f"{urn_name}-{hashlib.sha256(seed or urn_name.encode()).hexdigest()[:7]}"
    inputs[DEFAULTS] = sorted({*inputs[DEFAULTS], "name"})


def _check_object(
    type_name: str,
    fields: Sequence[Field],
    news: Mapping[str, Any],
    prefix: str,
    failures: list[Failure],
    also_official: frozenset[str] = frozenset(),
) -> Properties:
    known = {field.name: field for field in fields}
    checked: Properties = {DEFAULTS: []}
    for name, value in news.items():
        if name == DEFAULTS or value is None:
            continue
        path = f"{prefix}{name}"
        field = known.get(name)
        if field is None or field.output:
            failures.append(Failure(path, _unknown(type_name, name, known, also_official)))
        elif value == UNKNOWN:
            checked[name] = value
        else:
            checked[name] = _check_value(type_name, field, value, path, failures)
    for field in fields:
        if field.name in checked or field.output:
            continue
        if field.required:
            failures.append(Failure(f"{prefix}{field.name}", f"{type_name} needs {prefix}{field.name}; it is missing"))
        elif field.default is not None:
            checked[field.name] = field.default
            checked[DEFAULTS].append(field.name)
    checked[DEFAULTS].sort()
    return checked


def _check_value(type_name: str, field: Field, value: Any, path: str, failures: list[Failure]) -> Any:
    if field.kind is Kind.BLOCK and isinstance(value, dict):
        return _check_object(type_name, field.fields, value, f"{path}.", failures)
    if field.kind is Kind.BLOCKS and isinstance(value, list):
        return [
            _check_object(type_name, field.fields, each, f"{path}[{n}].", failures) if isinstance(each, dict) else each
            for n, each in enumerate(value)
        ]
    if field.kind is Kind.INTEGER and isinstance(value, str) and value.lstrip("-").isdigit():
        return int(value)
    if field.kind is Kind.MAP and isinstance(value, dict) and all(isinstance(each, str) for each in value.values()):
        return {DEFAULTS: [], **value}
    if not _fits(field.kind, value):
        failures.append(Failure(path, f"{path} must be {WANTED[field.kind]}, not {json.dumps(value)[:60]}"))
    return value


def _fits(kind: Kind, value: object) -> bool:
    if kind is Kind.TEXT:
        return isinstance(value, str)
    if kind is Kind.INTEGER:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is Kind.FLAG:
        return isinstance(value, bool)
    if kind is Kind.TEXTS:
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    if kind is Kind.JSON:
        return isinstance(value, str) and _parses(value)
    if kind is Kind.ASSET:
        return isinstance(value, dict) and value.get(SIGNATURE) == ASSET
    return False


def _parses(document: str) -> bool:
    try:
        json.loads(document)
    except ValueError:
        return False
    return True


def _unknown(type_name: str, name: str, known: Mapping[str, Field], also_official: frozenset[str]) -> str:
    if name in also_official:
        return f"the stand-in for the gcp plugin does not handle {name} of {type_name}; the official plugin does"
    field = known.get(name)
    if field is not None:
        return f"{name} of {type_name} is an output; it can't be given"
    close = difflib.get_close_matches(name, [each for each, field in known.items() if not field.output], n=1)
    return f"{type_name} has no property {name}" + (f"; did you mean {close[0]}?" if close else "")
