"""What a value is by a discovery document, read without the emulator's own checks."""

from __future__ import annotations

import base64
import json
import re
from datetime import datetime
from typing import Any

from emulator.http.discovery import document_path


class Schemas:
    """What a value is by a discovery document, read without the emulator's own checks."""

    def __init__(self, api: str, version: str) -> None:
        self._document = json.loads(document_path(api, version).read_text("utf-8"))
        self._schemas = self._document["schemas"]

    def method(self, name: str) -> dict[str, Any]:
        node = self._document
        *resources, last = name.split(".")
        for resource in resources:
            node = node["resources"][resource]
        found: dict[str, Any] = node["methods"][last]
        return found

    def problems(self, name: str, answer: Any) -> list[str]:
        response = self.method(name).get("response")
        if response is None:
            return [] if answer in ("", b"") else [f"{name}: nothing is to be answered, not {answer!r}"]
        return list(self._problems(response, answer, name))

    def _problems(self, spec: dict[str, Any], value: Any, at: str) -> list[str]:
        if "$ref" in spec:
            spec = self._schemas[spec["$ref"]]
        match spec.get("type"):
            case "object":
                return self._object(spec, value, at)
            case "array":
                if not isinstance(value, list) or not value:
                    return [f"{at}: a list that is not empty is expected, not {value!r}"]
                return [
                    p for index, one in enumerate(value) for p in self._problems(spec["items"], one, f"{at}[{index}]")
                ]
            case "string":
                return [] if _is_string(spec, value) else [f"{at}: {spec.get('format', 'string')}, not {value!r}"]
            case "integer":
                return [] if type(value) is int else [f"{at}: integer, not {value!r}"]
            case "number":
                return [] if type(value) in (int, float) else [f"{at}: number, not {value!r}"]
            case "boolean":
                return [] if type(value) is bool else [f"{at}: boolean, not {value!r}"]
        return []

    def _object(self, spec: dict[str, Any], value: Any, at: str) -> list[str]:
        if not isinstance(value, dict):
            return [f"{at}: object, not {value!r}"]
        properties, rest = spec.get("properties", {}), spec.get("additionalProperties")
        found = []
        for name, item in value.items():
            inner = properties.get(name, rest)
            if inner is None:
                found.append(f"{at}.{name}: there is no such field")
            else:
                found += self._problems(inner, item, f"{at}.{name}")
        return found


def _is_string(spec: dict[str, Any], value: Any) -> bool:
    if not isinstance(value, str):
        return False
    if "enum" in spec and value not in spec["enum"]:
        return False
    match spec.get("format"):
        case "int64" | "uint64":
            return re.fullmatch(r"-?\d+", value) is not None
        case "date-time" | "google-datetime":
            return datetime.fromisoformat(value).tzinfo is not None
        case "google-duration":
            return re.fullmatch(r"\d+(\.\d+)?s", value) is not None
        case "byte":
            return base64.b64encode(base64.b64decode(value, validate=True)).decode() == value
    return True
