"""A recording HTTP server for the gcp stand-in, and a gRPC connection to it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from engine.plugins.gcp.provider import Provider
from engine.plugins.gcp.server import GcpProvider
from engine.plugins.gcp.values import Properties, from_struct, to_struct

# Query parameters that say nothing of a call; the recordings of the official plugin are compared with them.
CARRIED = {"alt", "prettyPrint"}


@dataclass(frozen=True)
class Request:
    """One call as the server saw it."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]

    @property
    def line(self) -> str:
        """Method, path and query without the parameters that every call carries."""
        query = "&".join(f"{name}={value}" for name, value in self.query.items() if name not in CARRIED)
        return f"{self.method} {self.path}" + (f"?{query}" if query else "")


Answer = Callable[[Request], tuple[int, Any]]


@dataclass
class Recorder:
    """Answers as scripted, the newest matching rule first, and remembers what it was asked."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    rules: list[tuple[str, str, Answer]] = field(default_factory=list)

    def answer(self, method: str, path: str, *answers: Any) -> None:
        """Answers calls of this method whose path matches; of several answers, the last is repeated."""
        remaining = list(answers)

        def reply(request: Request) -> tuple[int, Any]:
            chosen = remaining.pop(0) if len(remaining) > 1 else remaining[0]
            if callable(chosen):
                chosen = chosen(request)
            return chosen if isinstance(chosen, tuple) else (200, chosen)

        self.rules.insert(0, (method, path, reply))

    def lines(self) -> list[str]:
        """What was asked, one line each."""
        return [request.line for request in self.requests]

    def bodies(self, method: str) -> list[Any]:
        """The bodies sent with a method."""
        return [request.body for request in self.requests if request.method == method]


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """A server on a free port of this machine."""
    record = Recorder()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_any(self) -> None:
            parts = urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body: Any = raw
            if raw and self.headers.get_content_type() == "application/json":
                body = json.loads(raw)
            query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
            request = Request(self.command, parts.path, query, body or None, dict(self.headers))
            record.requests.append(request)
            status, answer = 501, {"error": {"code": 501, "message": f"nothing scripted for {request.line}"}}
            for method, path, reply in record.rules:
                if method == self.command and re.fullmatch(path, parts.path):
                    status, answer = reply(request)
                    break
            data = b"" if status == 204 else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            if status != 204:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    record.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield record
    server.shutdown()
    thread.join()
    server.server_close()


ENDPOINTS = {
    "healthcareCustomEndpoint": "/v1beta1/",
    "bigQueryCustomEndpoint": "/bigquery/v2/",
    "storageCustomEndpoint": "/storage/v1/",
    "resourceManagerCustomEndpoint": "/v1/",
    "serviceUsageCustomEndpoint": "/v1beta1/",
    "cloudBillingCustomEndpoint": "/v1/",
    "pubsubCustomEndpoint": "/v1/",
    "kmsCustomEndpoint": "/v1/",
}


@pytest.fixture
def settings(recorder: Recorder) -> dict[str, Any]:
    """A provider's configuration that points every API at the recorder."""
    addresses = {name: recorder.url + path for name, path in ENDPOINTS.items()}
    return {"project": "hospital", "accessToken": "secret-token", "addPulumiAttributionLabel": False, **addresses}


@pytest.fixture
def attributing(settings: dict[str, Any]) -> None:
    """Labels what is created, as the official plugin does unless it is told not to; comes before `plugin`."""
    settings["addPulumiAttributionLabel"] = True


@pytest.fixture
def provider(settings: dict[str, Any]) -> Provider:
    """A provider configured for the recorder, with no environment around it."""
    return Provider(settings, {})


@dataclass
class Plugin:
    """The stand-in as the engine speaks to it."""

    stub: Any

    def check(self, token: str, news: Properties, olds: Properties | None = None) -> tuple[Properties, dict[str, str]]:
        """The checked inputs, and the failures by property."""
        request = provider_pb2.CheckRequest(
            urn=_urn(token), olds=to_struct(olds or {}), news=to_struct(news), randomSeed=b"seed", name="it"
        )
        answer = self.stub.Check(request)
        return from_struct(answer.inputs), {each.property: each.reason for each in answer.failures}

    def create(self, token: str, news: Properties, *, preview: bool = False) -> tuple[str, Properties]:
        """Checks and creates."""
        inputs, failures = self.check(token, news)
        assert failures == {}
        answer = self.stub.Create(
            provider_pb2.CreateRequest(urn=_urn(token), properties=to_struct(inputs), preview=preview)
        )
        return answer.id, from_struct(answer.properties)

    def diff(self, token: str, inputs: Properties, outputs: Properties, news: Properties) -> Any:
        """The whole answer."""
        return self.stub.Diff(
            provider_pb2.DiffRequest(
                urn=_urn(token),
                id="id",
                olds=to_struct(outputs),
                old_inputs=to_struct(self.check(token, inputs)[0]),
                news=to_struct(self.check(token, news)[0]),
            )
        )

    def update(self, token: str, inputs: Properties, outputs: Properties, news: Properties) -> Properties:
        """The new state."""
        answer = self.stub.Update(
            provider_pb2.UpdateRequest(
                urn=_urn(token),
                id=outputs["id"],
                olds=to_struct(outputs),
                old_inputs=to_struct(self.check(token, inputs)[0]),
                news=to_struct(self.check(token, news)[0]),
            )
        )
        return from_struct(answer.properties)

    def read(
        self, token: str, identity: str, outputs: Properties | None = None, inputs: Properties | None = None
    ) -> tuple[str, Properties, Properties]:
        """Id, state and inputs; the id is empty for what is gone."""
        answer = self.stub.Read(
            provider_pb2.ReadRequest(
                urn=_urn(token),
                id=identity,
                properties=to_struct(outputs or {}),
                inputs=to_struct(self.check(token, inputs)[0]) if inputs is not None else None,
            )
        )
        return answer.id, from_struct(answer.properties), from_struct(answer.inputs)

    def delete(self, token: str, outputs: Properties) -> None:
        """Deletes what the state describes."""
        self.stub.Delete(provider_pb2.DeleteRequest(urn=_urn(token), id=outputs["id"], properties=to_struct(outputs)))

    def invoke(self, token: str, arguments: Properties) -> Properties:
        """A function's result."""
        answer = self.stub.Invoke(provider_pb2.InvokeRequest(tok=token, args=to_struct(arguments)))
        return from_struct(getattr(answer, "return"))


def _urn(token: str) -> str:
    return f"urn:pulumi:dev::imaging::imaging:index:Parent${token}::it"


@pytest.fixture
def plugin(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Plugin]:
    """The stand-in's service behind a real gRPC connection, configured for the recorder."""
    for name in ("GOOGLE_PROJECT", "GOOGLE_CLOUD_PROJECT", "GOOGLE_OAUTH_ACCESS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
    service = GcpProvider()
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = provider_pb2_grpc.ResourceProviderStub(channel)
        # The engine passes what is not text as JSON.
        arguments = {name: json.dumps(each) if isinstance(each, bool) else each for name, each in settings.items()}
        answer = stub.Configure(provider_pb2.ConfigureRequest(args=to_struct(arguments)))
        assert answer.supportsPreview
        yield Plugin(stub)
    server.stop(0).wait()
    service.close()
