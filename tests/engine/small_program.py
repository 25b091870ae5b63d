"""A small Pulumi program whose resources are data, run by the real CLI with the stand-in plugins."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import engine

PROGRAM = """
import json
import pulumi
import pulumi_gcp as gcp

made = {}
secret = pulumi.Config().get_secret("secret") or pulumi.Output.secret("unset")


def value(text):
    if isinstance(text, dict):
        return {name: value(each) for name, each in text.items()}
    if isinstance(text, list):
        return [value(each) for each in text]
    if text == "@secret":
        return secret
    if isinstance(text, str) and text.startswith("@"):
        name, attribute = text[1:].split(".")
        return getattr(made[name], attribute)
    return text


for name, each in json.load(open("resources.json")).items():
    kind = gcp
    for part in each["kind"].split("."):
        kind = getattr(kind, part)
    given = each.get("options", {})
    options = {key: made[text[1:]] if str(text).startswith("@") else text for key, text in given.items()}
    made[name] = kind(name, **value(each["args"]), opts=pulumi.ResourceOptions(**options))
    if not isinstance(made[name], gcp.Provider):
        pulumi.export(name, made[name].id)
"""

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


class CommandFailedError(AssertionError):
    """The CLI ended with an error; the text is what it said."""


class SmallProgram:
    """One stack in a folder of its own.

    Args:
        folder: where project and state go.
        url: the address of the emulator, or "" for a program without Google's services.
        program: the text of `__main__.py`.
    """

    def __init__(self, folder: Path, url: str = "", program: str = PROGRAM) -> None:
        self.folder = folder / "project"
        self.folder.mkdir(parents=True)
        (folder / "backend").mkdir()
        (self.folder / "Pulumi.yaml").write_text("name: small\nruntime: python\n")
        (self.folder / "__main__.py").write_text(program)
        engine.ensure()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PULUMI_", "GOOGLE_"))},
            **engine.environment(),
            "PULUMI_BACKEND_URL": f"file://{folder / 'backend'}",
            "PULUMI_CONFIG_PASSPHRASE": "test",
        }
        self.pulumi("stack", "init", "test")
        if url:
            settings = {"project": "hospital", "accessToken": "owner"}
            settings |= {name: url + path for name, path in ENDPOINTS.items()}
            pairs = [f"gcp:{name}={value}" for name, value in settings.items()]
            self.pulumi("config", "set-all", *(part for pair in pairs for part in ("--plaintext", pair)))

    def declare(self, resources: dict[str, dict[str, Any]]) -> None:
        """Writes what the program declares: by name, `kind`, `args` and `options`; `@name.attribute` refers."""
        (self.folder / "resources.json").write_text(json.dumps(resources))

    def pulumi(self, *arguments: str, fails: bool = False) -> str:
        """Runs the CLI.

        Returns:
            What it said.

        Raises:
            CommandFailedError: it failed, or did not although it should.
        """
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive", "--color", "never"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if "--json" in arguments or "export" in arguments else subprocess.STDOUT,
            text=True,
            check=False,
        )
        if bool(done.returncode) != fails:
            raise CommandFailedError(
                f"pulumi {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr or ''}"
            )
        return done.stdout

    def up(self, *options: str, fails: bool = False) -> str:
        """Deploys."""
        return self.pulumi("up", "--yes", "--skip-preview", *options, fails=fails)

    def planned(self, *options: str) -> dict[str, str]:
        """What an update would do to each resource, by name, without those that stay the same."""
        steps = json.loads(self.pulumi("preview", "--json", *options))["steps"]
        return {_name(step["urn"]): step["op"] for step in steps if step["op"] != "same"}

    def changed(self) -> dict[str, set[str]]:
        """Which properties an update would change, by name of the resource."""
        steps = json.loads(self.pulumi("preview", "--json"))["steps"]
        return {_name(step["urn"]): set(step.get("detailedDiff") or {}) for step in steps if step["op"] != "same"}

    def state(self) -> dict[str, dict[str, Any]]:
        """The resources in the state, by name, without the stack and the providers; secrets in clear."""
        exported = json.loads(self.pulumi("stack", "export", "--show-secrets"))
        found = exported["deployment"].get("resources", [])
        return {_name(each["urn"]): each for each in found if not each["type"].startswith("pulumi:")}


def _name(urn: str) -> str:
    return urn.rsplit("::", 1)[1]
