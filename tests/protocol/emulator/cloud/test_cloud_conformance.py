"""Every served method of these APIs, called through Google's client; the answers held to the discovery documents.

The calls are data (``conformance.json``): version, method, arguments, and what of the answer later calls use. A method
that is served and not called here fails the suite.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emulator.http.routing import Router
from emulator.server.server import LocalEmulator
from emulator.server.services import all_routes
from tests.protocol.emulator.schemas import Schemas

CALLS: dict[str, list[list[Any]]] = json.loads(Path(__file__).with_name("conformance.json").read_text("utf-8"))
#: Served under two ids, of which the client can only build one path.
ONE_PATH = {("logging.logs.delete", "v2")}


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
