"""Every served method of these APIs, called through Google's client; the answers held to the discovery documents.

The calls are data (``conformance.json``): version, method, arguments, and what of the answer later calls use. A method
that is served and not called here fails the suite.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from emulator.discovery import document_path
from emulator.routing import Router
from emulator.server import LocalEmulator
from emulator.services import all_routes

CALLS: dict[str, list[list[Any]]] = json.loads(Path(__file__).with_name("conformance.json").read_text("utf-8"))
#: Served under two ids, of which the client can only build one path.
ONE_PATH = {("logging.logs.delete", "v2")}


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


def test_the_validator_finds_what_is_wrong() -> None:
    schemas = Schemas("storage", "v1")
    wrong = {"size": 5, "name": "x", "nonsense": 1, "timeCreated": "2026-01-01T00:00:00", "componentCount": "2"}
    found = schemas.problems("objects.get", wrong)
    assert sorted(line.partition(":")[0] for line in found) == [
        "objects.get.componentCount",
        "objects.get.nonsense",
        "objects.get.size",
        "objects.get.timeCreated",
    ]


@pytest.mark.parametrize("api", sorted(CALLS))
def test_every_answer_is_what_the_discovery_document_says(
    emulator: LocalEmulator, google_api: Callable[[str, str], Any], api: str
) -> None:
    problems: list[str] = []
    kept: dict[str, str] = {}
    clients: dict[str, Any] = {}
    schemas: dict[str, Schemas] = {}
    for version, name, arguments, *keep in CALLS[api]:
        if version not in clients:
            clients[version], schemas[version] = google_api(api, version), Schemas(api, version)
        answer = _called(clients[version], name, _filled(arguments, kept))
        problems += schemas[version].problems(name, answer)
        for key, path in (keep[0] if keep else {}).items():
            kept[key] = _at(answer, path)
    assert problems == []
    assert {call["status"] for call in emulator.control("GET", "requests")["requests"]} <= {200, 204}


def test_every_served_method_is_called_in_every_version() -> None:
    served = {
        (route.method.id, route.method.version)
        for route in Router(all_routes()).routes
        if route.served is not None and route.method.api in CALLS
    }
    called = {(f"{api}.{call[1]}", call[0]) for api, calls in CALLS.items() for call in calls}
    assert served - called - ONE_PATH == set()


def _called(client: Any, name: str, arguments: dict[str, Any]) -> Any:
    from googleapiclient.http import MediaInMemoryUpload

    *resources, last = name.split(".")
    for resource in resources:
        client = getattr(client, resource)()
    if "media_body" in arguments:
        arguments["media_body"] = MediaInMemoryUpload(arguments["media_body"].encode(), mimetype="text/plain")
    return getattr(client, last)(**arguments).execute()


def _filled(value: Any, kept: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, kept) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, kept) for item in value]
    return kept[value[1:]] if isinstance(value, str) and value.startswith("$") else value


def _at(answer: Any, path: str) -> str:
    for part in path.split("."):
        answer = answer[int(part) if part.isdecimal() else part]
    return str(answer)
