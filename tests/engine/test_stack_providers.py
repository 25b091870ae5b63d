"""A stack that is moved: to an emulator's endpoint, to another account, to another token. Nothing is made again."""

import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from components.base.providers import custom_endpoints
from emulator.server.server import LocalEmulator
from operations.google.connection import EMULATOR_TOKEN
from tests.engine.small_program import SmallProgram
from tests.engine.stack_runner import Stack, StackFailedError, rest
from tests.engine.test_stack_infrastructure import config

pytestmark = pytest.mark.engine

ACCOUNT = "deployer@research-analytics.iam.gserviceaccount.com"
PROJECTS = ("hospital-imaging", "research-analytics")
TOKEN = {"GOOGLE_OAUTH_ACCESS_TOKEN": EMULATOR_TOKEN}


def configured(emulator: LocalEmulator, **more: Any) -> dict[str, Any]:
    """A stack that reaches the emulator as one reaches Google: by the provider's own configuration."""
    of_the_provider = {
        "gcp:" + re.sub("_([a-z])", lambda match: match[1].upper(), name): url
        for name, url in custom_endpoints(emulator.url).items()
    }
    found = {**config(emulator, **more), **of_the_provider}
    del found["imaging:endpoint"]
    return found


def moved(steps: dict[str, str]) -> dict[str, str]:
    """What is planned for anything but the providers themselves, which may be updated."""
    return {
        name: step for name, step in steps.items() if not name.startswith("pulumi:providers:gcp") or step != "update"
    }


@pytest.fixture
def tokens() -> Iterator[str]:
    """A service that makes tokens for accounts, as Google's IAM Credentials API does, at its address.

    The tokens are those by which the emulator knows who calls.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            account = self.path.split("/serviceAccounts/")[1].removesuffix(":generateAccessToken")
            until = datetime.now(UTC) + timedelta(hours=1)
            answer = {
                "accessToken": f"principal:serviceAccount:{account}",
                "expireTime": until.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            data = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_stack_moves_to_an_endpoint_and_back(tmp_path: Path, emulator: LocalEmulator) -> None:
    stack = Stack(tmp_path, configured(emulator), environment=TOKEN)
    stack.up()
    # A token in the environment is in no state, and another one is no change.
    assert EMULATOR_TOKEN not in stack.run("stack", "export", "--show-secrets")
    stack.set_environment({"GOOGLE_OAUTH_ACCESS_TOKEN": "another"})
    assert stack.preview() == {}

    of_the_provider, stack.config = stack.config, config(emulator)
    assert moved(stack.preview()) == {}
    stack.up()
    stack.config = of_the_provider
    assert moved(stack.preview()) == {}


def test_a_stack_moves_to_another_account_and_acts_as_it(tmp_path: Path, emulator: LocalEmulator, tokens: str) -> None:
    stack = Stack(tmp_path, configured(emulator), environment=TOKEN)
    stack.up()
    owner = {"policy": {"bindings": [{"role": "roles/owner", "members": [f"serviceAccount:{ACCOUNT}"]}]}}
    rest(emulator, "POST", "v1/projects/research-analytics:setIamPolicy", owner)
    stack.config |= {
        "gcp:iamCredentialsCustomEndpoint": tokens,
        "imaging:projects": [{"name": "research-analytics", "impersonate": ACCOUNT}],
    }
    assert moved(stack.preview()) == {}

    stack.config["imaging:bigquery"][0]["description"] = "metadata"
    before = rest(emulator, "GET", "emulator/v1/requests")["requests"][-1]["sequence"]
    stack.up()
    asked = rest(emulator, "GET", f"emulator/v1/requests?since={before}")["requests"]
    (change,) = [each for each in asked if each["method"] == "bigquery.datasets.update"]
    assert change["principal"] == f"serviceAccount:{ACCOUNT}"
    others = {each["principal"] for each in asked if "/hospital-imaging/" in each["path"]}
    assert f"serviceAccount:{ACCOUNT}" not in others
    assert stack.preview() == {}


def test_a_resource_of_the_default_provider_keeps_its_place_under_an_explicit_one(
    tmp_path: Path, emulator: LocalEmulator
) -> None:
    # As the stacks of earlier versions, which had explicit providers only for emulators and other accounts.
    program = SmallProgram(tmp_path, emulator.url)
    bucket: dict[str, Any] = {"kind": "storage.Bucket", "args": {"name": "hospital-inbox", "location": "EU"}}
    program.declare({"bucket": bucket})
    program.up()
    arguments = {"project": "hospital", "access_token": EMULATOR_TOKEN, **custom_endpoints(emulator.url)}
    program.declare(
        {
            "google-hospital": {"kind": "Provider", "args": arguments},
            "bucket": {**bucket, "options": {"provider": "@google-hospital"}},
        }
    )
    assert program.planned().get("bucket") in {None, "update"}
    program.up()
    assert {name: step for name, step in program.planned().items() if name == "bucket"} == {}


@pytest.mark.parametrize(
    ("setting", "value"), [("billingProject", "elsewhere"), ("userProjectOverride", True), ("requestReason", "audit")]
)
def test_a_setting_that_the_stand_in_does_not_honour_is_refused(
    tmp_path: Path, emulator: LocalEmulator, setting: str, value: Any
) -> None:
    stack = Stack(tmp_path, {**configured(emulator), f"gcp:{setting}": value}, environment=TOKEN)
    with pytest.raises(StackFailedError) as refused:
        stack.run("preview")
    assert f"does not honour gcp:{setting}" in str(refused.value)
    assert "Traceback" not in str(refused.value)
