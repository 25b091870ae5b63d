"""Calls to Google's REST APIs: addresses, credentials, retries, errors.

Addresses, headers and what is retried follow the Terraform provider that the official plugin is built on
(`google/transport` in hashicorp/terraform-provider-google).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import re
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from engine.plugins.gcp.credentials import Tokens

RETRIED = frozenset({429, 500, 502, 503})
RETRY_SECONDS = 90.0
CALL_SECONDS = 120.0
PENDING_SECONDS = 1200.0


GOOGLES_CLIENT = {"prettyPrint": "false"}
"""What Google's own client for Go adds to every query; the official plugin makes a part of its calls with it."""


@dataclass(frozen=True)
class Api:
    """One of Google's APIs.

    Args:
        default: its address at Google, with the version the provider uses.
        setting: the name in the provider's configuration that replaces the address.
        variable: the environment variable that does.
    """

    default: str
    setting: str
    variable: str


APIS = {
    "healthcare": Api(
        "https://healthcare.googleapis.com/v1beta1/", "healthcareCustomEndpoint", "GOOGLE_HEALTHCARE_CUSTOM_ENDPOINT"
    ),
    "bigquery": Api(
        "https://bigquery.googleapis.com/bigquery/v2/", "bigQueryCustomEndpoint", "GOOGLE_BIG_QUERY_CUSTOM_ENDPOINT"
    ),
    "storage": Api(
        "https://storage.googleapis.com/storage/v1/", "storageCustomEndpoint", "GOOGLE_STORAGE_CUSTOM_ENDPOINT"
    ),
    "resourcemanager": Api(
        "https://cloudresourcemanager.googleapis.com/v1/",
        "resourceManagerCustomEndpoint",
        "GOOGLE_RESOURCE_MANAGER_CUSTOM_ENDPOINT",
    ),
    "serviceusage": Api(
        "https://serviceusage.googleapis.com/v1beta1/",
        "serviceUsageCustomEndpoint",
        "GOOGLE_SERVICE_USAGE_CUSTOM_ENDPOINT",
    ),
    "cloudbilling": Api(
        "https://cloudbilling.googleapis.com/v1/", "cloudBillingCustomEndpoint", "GOOGLE_CLOUD_BILLING_CUSTOM_ENDPOINT"
    ),
    "pubsub": Api("https://pubsub.googleapis.com/v1/", "pubsubCustomEndpoint", "GOOGLE_PUBSUB_CUSTOM_ENDPOINT"),
    "kms": Api("https://cloudkms.googleapis.com/v1/", "kmsCustomEndpoint", "GOOGLE_KMS_CUSTOM_ENDPOINT"),
}


class ApiError(Exception):
    """A call that Google's API refused, or that never reached it.

    Args:
        method: the HTTP method.
        path: the URL's path, without host and query.
        status: the HTTP status, 0 when there was no answer.
        message: Google's message.
        body: the answer's JSON, where it is JSON.
    """

    def __init__(
        self, method: str, path: str, status: int, message: str, body: Mapping[str, Any] | None = None
    ) -> None:
        self.method = method
        self.path = path
        self.status = status
        self.message = message
        self.body = body or {}
        name = f"{status} {http.client.responses.get(status, '')}".strip() if status else "no answer"
        super().__init__(f"{method} {path}: {name}: {message}")


@dataclass
class Client:
    """Calls on behalf of one provider instance. Safe to use from many threads; connections are kept and reused.

    Args:
        settings: the provider's configuration, by Pulumi's names.
        environ: the environment, where settings are looked for that the configuration lacks.
    """

    settings: Mapping[str, Any]
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    _idle: dict[str, list[http.client.HTTPConnection]] = field(default_factory=dict, init=False, repr=False)
    _tokens: Tokens | None = field(default=None, init=False, repr=False)
    _guard: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def address(self, api: str) -> str:
        """The API's address, ending in a slash.

        Raises:
            ValueError: a custom endpoint without a final slash, which the official plugin refuses too.
        """
        known = APIS[api]
        custom = self.settings.get(known.setting) or self.environ.get(known.variable)
        if not custom:
            return known.default
        if not re.fullmatch(r"https?://.*[^/]/", custom):
            message = f"gcp:{known.setting} is {custom!r}; it must be a URL that ends in one slash"
            raise ValueError(message)
        return str(custom)

    def unversioned(self, api: str) -> str:
        """The address without its last segment, to which hand-written clients append their own version."""
        return re.sub(r"(https?://.*)(/[^/]+?/)$", r"\1/", self.address(api))

    def host(self, api: str) -> str:
        """The address's root, where Cloud Storage takes uploads."""
        parts = urlsplit(self.address(api))
        return f"{parts.scheme}://{parts.netloc}/"

    def call(
        self,
        method: str,
        url: str,
        body: object = None,
        *,
        query: Mapping[str, str] | None = None,
        content: bytes | None = None,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        pending: str = "",
    ) -> dict[str, Any]:
        """Makes a call and returns the answer's JSON, retrying what may pass.

        Args:
            method: the HTTP method.
            url: the whole address, without query.
            body: what is sent as JSON.
            query: query parameters; `alt=json` is added.
            content: raw bytes to send instead of `body`.
            content_type: of `content`.
            headers: further headers, for example `If-Match`.
            pending: the words of a 404 that says the resource is still being made; the call is repeated.

        Raises:
            ApiError: the API refused, or it could not be reached.
        """
        payload = content if content is not None else (None if body is None else json.dumps(body).encode())
        target = f"{url}?{urlencode({**(query or {}), 'alt': 'json'})}"
        deadline = time.monotonic() + RETRY_SECONDS
        wait = 0.5
        while True:
            try:
                status, raw = self._exchange(method, target, payload, {**(headers or {}), "Content-Type": content_type})
            except ConnectionRefusedError as error:
                path = urlsplit(url).path
                raise ApiError(method, path, 0, f"nothing listens on {urlsplit(url).netloc}{_hint(url)}") from error
            except (OSError, http.client.HTTPException) as error:
                if time.monotonic() > deadline:
                    raise ApiError(method, urlsplit(url).path, 0, f"{urlsplit(url).netloc}: {error}") from error
            else:
                if status < 300:
                    return _json(raw)
                refusal = _refusal(method, url, status, raw)
                if status == 404 and pending and pending in refusal.message:
                    if time.monotonic() > deadline + PENDING_SECONDS:
                        raise refusal
                elif status not in RETRIED or time.monotonic() > deadline:
                    raise refusal
            time.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries, guards nothing
            wait = min(wait * 2, 10.0)

    def _exchange(self, method: str, target: str, payload: bytes | None, more: Mapping[str, str]) -> tuple[int, bytes]:
        parts = urlsplit(target)
        headers = {
            "User-Agent": "pulumi-resource-gcp stand-in",
            "Authorization": f"Bearer {self._token()}",
            **{name: each for name, each in more.items() if payload is not None or name != "Content-Type"},
        }
        path = f"{parts.path}?{parts.query}"
        reused = self._take(parts.netloc)
        if reused is not None:
            # A server may close a connection that was idle; only a fresh one's failure means anything.
            with contextlib.suppress(ConnectionError, http.client.BadStatusLine, http.client.CannotSendRequest):
                return self._send(reused, parts.netloc, method, path, payload, headers)
        connection = self._open(parts.scheme, parts.netloc)
        return self._send(connection, parts.netloc, method, path, payload, headers)

    def close(self) -> None:
        """Closes the connections that are kept."""
        with self._guard:
            idle, self._idle = self._idle, {}
        for connection in (each for connections in idle.values() for each in connections):
            connection.close()

    def _take(self, netloc: str) -> http.client.HTTPConnection | None:
        with self._guard:
            connections = self._idle.get(netloc)
            return connections.pop() if connections else None

    def _send(
        self,
        connection: http.client.HTTPConnection,
        netloc: str,
        method: str,
        path: str,
        payload: bytes | None,
        headers: dict[str, str],
    ) -> tuple[int, bytes]:
        try:
            connection.request(method, path, body=payload, headers=headers)
            response = connection.getresponse()
            answer = response.status, response.read()
        except BaseException:
            connection.close()
            raise
        with self._guard:
            self._idle.setdefault(netloc, []).append(connection)
        return answer

    @staticmethod
    def _open(scheme: str, netloc: str) -> http.client.HTTPConnection:
        if scheme == "https":
            return http.client.HTTPSConnection(netloc, timeout=CALL_SECONDS, context=ssl.create_default_context())
        return http.client.HTTPConnection(netloc, timeout=CALL_SECONDS)

    def _token(self) -> str:
        with self._guard:
            if self._tokens is None:
                self._tokens = Tokens(self.settings, self.environ)
            return self._tokens.get()


def expand(template: str, values: Mapping[str, Any]) -> str:
    """Fills a URL template: `{name}` is quoted whole, `{+name}` keeps its slashes, as in RFC 6570."""

    def value(found: re.Match[str]) -> str:
        return quote(str(values[found[2]]), safe="/:@" if found[1] else "")

    return re.sub(r"\{(\+?)(\w+)\}", value, template)


def plain(template: str, values: Mapping[str, Any]) -> str:
    """Fills a template with values as they are, for ids."""
    return re.sub(r"\{\+?(\w+)\}", lambda found: str(values[found[1]]), template)


def _json(raw: bytes) -> dict[str, Any]:
    if not raw.strip():
        return {}
    answer = json.loads(raw)
    return answer if isinstance(answer, dict) else {}


def _refusal(method: str, url: str, status: int, raw: bytes) -> ApiError:
    body: dict[str, Any] = {}
    with contextlib.suppress(ValueError):
        body = _json(raw)
    error = body.get("error")
    if isinstance(error, Mapping):
        message = str(error.get("message") or error.get("status") or "no message")
    else:
        message = raw.decode(errors="replace").strip()[:300] or "no message"
    return ApiError(method, urlsplit(url).path, status, message, body)


def _hint(url: str) -> str:
    name = urlsplit(url).hostname or ""
    if name in {"localhost", "127.0.0.1", "::1"}:
        return f"; if that should be the emulator, start it: python -m emulator serve --port {urlsplit(url).port}"
    return ""
