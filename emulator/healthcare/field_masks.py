"""Field masks of patch methods."""

from __future__ import annotations

import copy
from typing import Any

from ..core.errors import invalid
from ..http.masks import camel


def merged(old: dict[str, Any], new: dict[str, Any], mask: str, fields: tuple[str, ...]) -> dict[str, Any]:
    """A document with the masked fields taken from another.

    Args:
        old: what there is; it stays as it is.
        new: the request body.
        mask: comma-separated paths, camel case or snake case, perhaps nested (``notificationConfig.pubsubTopic``);
            ``*`` stands for all fields that can be changed.
        fields: the fields that can be changed.

    Raises:
        ApiError: 400 if the mask is missing or names a field that can't be changed.
    """
    paths = [path.strip() for path in mask.split(",") if path.strip()]
    if not paths:
        raise invalid(f"update_mask is required; the fields that can be updated are {', '.join(fields)}")
    if paths == ["*"]:
        paths = list(fields)
    result = copy.deepcopy(old)
    for path in paths:
        names = path.split(".")
        names[0] = camel(names[0])
        if names[0] not in fields:
            raise invalid(f"invalid update_mask path {path!r}: the fields that can be updated are {', '.join(fields)}")
        # The keys of labels are the user's own; everything else is in camel case.
        names[1:] = [".".join(names[1:])] if names[0] == "labels" and len(names) > 1 else [camel(n) for n in names[1:]]
        _copy(result, new, names)
    return result


def without_defaults(document: dict[str, Any]) -> dict[str, Any]:
    """A document as protocol buffers write it to JSON: fields with their default values are absent.

    Messages that are present stay, even if they have no fields left (``schemaJson: {}``).
    """
    found: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, dict):
            found[key] = without_defaults(value)
        elif isinstance(value, list):
            if value:
                found[key] = [without_defaults(one) if isinstance(one, dict) else one for one in value]
        elif value not in (None, False, ""):
            found[key] = value
    return found


def _copy(target: dict[str, Any], source: Any, names: list[str]) -> None:
    *above, last = names
    for name in above:
        source = source.get(name) if isinstance(source, dict) else None
        inner = target.get(name)
        if not isinstance(inner, dict):
            inner = target[name] = {}
        target = inner
    if isinstance(source, dict) and source.get(last) is not None:
        target[last] = copy.deepcopy(source[last])
    else:
        target.pop(last, None)
