"""Plain HTTP against the emulator, and Google's Python API client pointed at it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from emulator.server.server import LocalEmulator


@dataclass(frozen=True)
class Answer:
    """Status, headers in lower case, and body of an answer."""

    status: int
    headers: dict[str, str]
    body: bytes
    json: dict[str, Any] = field(default_factory=dict)

    @property
    def message(self) -> str:
        return str(self.json.get("error", {}).get("message", ""))

    @property
    def reason(self) -> str:
        return str(self.json.get("error", {}).get("errors", [{}])[0].get("reason", ""))


class _AsItIs(urllib.request.HTTPRedirectHandler):
    """308 is no redirection here: it says how much of an upload has arrived."""

    def http_error_308(self, *_: Any) -> None:
        return None


Rest = Callable[..., Answer]


@pytest.fixture
def rest(emulator: LocalEmulator) -> Rest:
    """``rest("GET", "/v1/projects/p")``: one request; ``who`` is the IAM member that calls."""
    opener = urllib.request.build_opener(_AsItIs)

    def call(
        http_method: str,
        path: str,
        body: Any = None,
        *,
        who: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        sent = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            sent.setdefault("Content-Type", "application/json")
        if who is not None:
            sent["Authorization"] = f"Bearer principal:{who}"
        url = path if path.startswith("http") else emulator.url + path
        request = urllib.request.Request(url, data, sent, method=http_method)
        try:
            with opener.open(request) as answer:
                status, got, raw = answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                status, got, raw = error.code, error.headers, error.read()
        parsed = json.loads(raw) if got.get("Content-Type", "").startswith("application/json") and raw else {}
        return Answer(status, {key.lower(): value for key, value in got.items()}, raw, parsed)

    return call


@pytest.fixture
def google_api(emulator: LocalEmulator) -> Iterator[Callable[[str, str], Any]]:
    """``google_api("storage", "v1")``: google-api-python-client with the document that the emulator gives."""
    from googleapiclient.discovery import build
    from googleapiclient.http import build_http

    made: list[Any] = []

    def service(api: str, version: str) -> Any:
        # Only a document that names the emulator as its root sends uploads there too.
        client = build(
            api,
            version,
            http=build_http(),  # type: ignore[no-untyped-call]
            static_discovery=False,
            cache_discovery=False,
            discoveryServiceUrl=emulator.url + "/discovery/v1/apis/{api}/{apiVersion}/rest",
        )
        made.append(client)
        return client

    yield service
    for client in made:
        client.close()
