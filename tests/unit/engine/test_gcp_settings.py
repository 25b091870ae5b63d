"""The stand-in's own settings: what it does not honour is refused, who it calls as is who was asked for."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from pulumi.runtime.proto import provider_pb2

from engine.plugins.gcp.credentials import Tokens
from engine.plugins.gcp.provider import HONOURED, VARIABLES, WITHOUT_EFFECT, decode_settings, not_honoured
from engine.plugins.gcp.values import to_struct

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCOUNT = "deployer@research.iam.gserviceaccount.com"


def as_the_engine_sends(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: each if isinstance(each, str) else json.dumps(each) for name, each in settings.items()}


@pytest.mark.parametrize(
    "settings",
    [
        {"billingProject": "elsewhere"},
        {"userProjectOverride": True},
        {"requestReason": "audit"},
        {"universeDomain": "example.org"},
        {"scopes": ["https://www.googleapis.com/auth/devstorage.read_only"]},
        {"externalCredentials": {"audience": "a", "serviceAccountEmail": ACCOUNT, "identityToken": "t"}},
        {"batching": {"enableBatching": True}},
        {"requestTimeout": "30s"},
        {"deletionPolicy": "PREVENT"},
        {"aSettingToCome": "x"},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_a_setting_that_is_not_honoured_is_refused_by_name(plugin: Any, settings: dict[str, Any]) -> None:
    given = to_struct({"project": "hospital", **as_the_engine_sends(settings)})
    answer = plugin.stub.CheckConfig(provider_pb2.CheckRequest(urn="urn", news=given))
    (name,) = settings
    assert [each.property for each in answer.failures] == [name]
    assert f"does not honour gcp:{name}" in answer.failures[0].reason
    assert "official plugin" in answer.failures[0].reason


def test_what_is_honoured_or_makes_no_difference_is_taken(plugin: Any) -> None:
    settings = {
        "project": "hospital",
        "accessToken": "t",
        "impersonateServiceAccount": ACCOUNT,
        "impersonateServiceAccountDelegates": [ACCOUNT],
        "defaultLabels": {"env": "test"},
        "region": "europe-west4",
        "computeCustomEndpoint": "https://compute.example.org/v1/",
        "userProjectOverride": False,
        "scopes": [],
        "version": "9.35.0",
    }
    answer = plugin.stub.CheckConfig(
        provider_pb2.CheckRequest(urn="urn", news=to_struct(as_the_engine_sends(settings)))
    )
    assert list(answer.failures) == []


@pytest.mark.parametrize("variable", VARIABLES)
def test_the_environment_is_held_to_the_same(variable: str) -> None:
    ((name, reason),) = not_honoured({}, {variable: "true"})
    assert name == VARIABLES[variable]
    assert variable in reason
    assert not_honoured({}, {variable: ""}) == []


def test_every_argument_of_the_official_provider_is_honoured_or_refused() -> None:
    import pulumi_gcp

    from components.base.providers import _configuration_key

    names = {_configuration_key(each) for each in vars(pulumi_gcp.ProviderArgs) if not each.startswith("_")}
    assert names >= HONOURED
    refused = {name for name, _ in not_honoured(decode_settings(dict.fromkeys(names, "x")), {})}
    taken = {each for each in names if each.endswith("CustomEndpoint")} | HONOURED | WITHOUT_EFFECT
    assert refused == names - taken


@pytest.fixture
def iam() -> Iterator[Any]:
    """Google's IAM Credentials API, as far as it makes tokens for accounts."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.seen.append((self.path, self.headers["Authorization"], body))
            data = json.dumps({"accessToken": "theirs", "expireTime": "2100-01-01T00:00:00Z"}).encode()
            refused = "nobody" in self.path
            self.send_response(403 if refused else 200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.seen = []
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    server.address = f"http://127.0.0.1:{server.server_address[1]}/v1/"
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_account_is_acted_as_with_the_configured_credentials(iam: Any) -> None:
    settings = {
        "accessToken": "mine",
        "impersonateServiceAccount": ACCOUNT,
        "impersonateServiceAccountDelegates": ["between@p.iam.gserviceaccount.com"],
        "iamCredentialsCustomEndpoint": iam.address,
    }
    tokens = Tokens(settings, {})
    assert (tokens.get(), tokens.get()) == ("theirs", "theirs")
    ((path, authorization, body),) = iam.seen
    assert path == f"/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken"
    assert authorization == "Bearer mine"
    assert body["delegates"] == ["between@p.iam.gserviceaccount.com"]
    variables = {"GOOGLE_IMPERSONATE_SERVICE_ACCOUNT": ACCOUNT, "GOOGLE_OAUTH_ACCESS_TOKEN": "mine"}
    assert Tokens({"iamCredentialsCustomEndpoint": iam.address}, variables).get() == "theirs"


def test_an_account_that_may_not_be_acted_as_is_an_error_that_names_it(iam: Any) -> None:
    settings = {
        "accessToken": "mine",
        "impersonateServiceAccount": "nobody@p.iam.gserviceaccount.com",
        "iamCredentialsCustomEndpoint": iam.address,
    }
    with pytest.raises(ValueError, match="acting as nobody@p") as refused:
        Tokens(settings, {}).get()
    assert "mine" not in str(refused.value)
