"""Runs this project's program with the real CLI, in a project folder and a backend of its own."""

import copy
import importlib
import json
import os
import re
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import engine
from emulator.server.server import LocalEmulator

ROOT = Path(__file__).resolve().parents[2]
# What the program consists of; the rest of the repository stays out of its folder.
PROGRAM = ("__main__.py", "Pulumi.yaml", "components", "operations", "queries", ".venv")


class StackFailedError(AssertionError):
    """The CLI ended with an error; the text is what it said."""


class Stack:
    """One stack of the program.

    Attributes:
        config: the stack's configuration, by key; change it between calls.
        project: the folder that the CLI runs in.
    """

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any],
        name: str = "test",
        program: Path | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.config = config
        self._name = name
        # A program elsewhere in the repository keeps its depth: it refers to what is beside it.
        inside = program.relative_to(ROOT) if program else Path()
        root = folder / "project"
        self.project = root / inside
        self.project.mkdir(parents=True)
        for each in PROGRAM:
            if not program or each not in ("__main__.py", "Pulumi.yaml"):
                (root / each).symlink_to(ROOT / each)
        if program:
            for file in program.iterdir():
                (self.project / file.name).symlink_to(file)
        backend = folder / "backend"
        backend.mkdir()
        engine.ensure()
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("PULUMI_", "GOOGLE_"))},
            **engine.environment(),
            "PULUMI_BACKEND_URL": f"file://{backend}",
            "PULUMI_CONFIG_PASSPHRASE": "test",
            "PYTHONPATH": str(root),
            "IMAGING_JOURNAL": str(folder / "journal"),
            **(environment or {}),
        }
        self._run("stack", "init", name)
        self._file = self.project / f"Pulumi.{name}.yaml"
        self._salt = re.findall(r"encryptionsalt: (\S+)", self._file.read_text(encoding="utf-8"))[0]

    def as_somebody_else(self, environment: dict[str, str]) -> "Stack":
        """Return the same stack, run with other environment variables."""
        other = copy.copy(self)
        other._environment = self._environment | environment
        return other

    def set_secret(self, path: str, value: str, *, whole: bool = False) -> None:
        """Encrypt one text into the configuration, as `pulumi config set --secret --path` does.

        Args:
            path: where it goes.
            value: the text.
            whole: the path is a key, and the text all that it holds.
        """
        self._run("config", "set", "--secret", *([] if whole else ["--path"]), path, value)
        written = self._file.read_text(encoding="utf-8")
        self.config = importlib.import_module("yaml").safe_load(written)["config"]

    def set_environment(self, more: dict[str, str]) -> None:
        """Set variables for the commands to come."""
        self._environment |= more

    def up(self, *options: str) -> str:
        """Deploy. Returns what the CLI said; raises if it failed."""
        return self._run("up", "--yes", "--skip-preview", *options)

    def up_fails(self, *options: str) -> str:
        """Deploy, which must fail. Returns what the CLI said."""
        try:
            said = self.up(*options)
        except StackFailedError as failed:
            return str(failed)
        raise AssertionError(f"`pulumi up` was expected to fail:\n{said}")

    def preview(self) -> dict[str, str]:
        """Return what an `up` would do: the step of each resource by `type name`, without those that stay the same."""
        steps = json.loads(self._run("preview", "--json"))["steps"]
        return {
            f"{step['urn'].split('::')[2].split('$')[-1]} {step['urn'].split('::', 3)[3]}": step["op"]
            for step in steps
            if step["op"] != "same"
        }

    def preview_fails(self) -> str:
        """Preview, which must fail. Returns what the CLI said."""
        try:
            said = self._run("preview")
        except StackFailedError as failed:
            return str(failed)
        raise AssertionError(f"`pulumi preview` was expected to fail:\n{said}")

    def refresh(self) -> str:
        """Read everything again into the state."""
        return self._run("refresh", "--yes", "--skip-preview")

    def destroy(self) -> str:
        """Delete everything."""
        return self._run("destroy", "--yes", "--skip-preview")

    def run(self, *arguments: str) -> str:
        """Run another command of the CLI on this stack."""
        return self._run(*arguments)

    def outputs(self) -> dict[str, Any]:
        """Return the stack's outputs."""
        found: dict[str, Any] = json.loads(self._run("stack", "output", "--json"))
        return found

    def resources(self) -> dict[str, dict[str, Any]]:
        """Return the state's resources by `type name`."""
        state = json.loads(self._run("stack", "export"))
        return {
            f"{each['type']} {each['urn'].split('::', 3)[3]}": each for each in state["deployment"].get("resources", [])
        }

    def _run(self, *arguments: str) -> str:
        if hasattr(self, "_file"):
            # JSON is YAML too.
            content = {"config": self.config, "encryptionsalt": self._salt}
            self._file.write_text(json.dumps(content, indent=2), encoding="utf-8")
        named = [] if arguments[:2] == ("stack", "init") else ["--stack", self._name]
        done = subprocess.run(
            ["pulumi", *arguments, *named, "--non-interactive", "--color", "never"],
            cwd=self.project,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if "--json" not in arguments and "export" not in arguments else subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
        )
        if done.returncode:
            raise StackFailedError(f"pulumi {' '.join(arguments)}:\n{done.stdout}\n{done.stderr or ''}")
        return done.stdout


def rest(
    emulator: LocalEmulator,
    method: str,
    path: str,
    body: dict[str, Any] | bytes | None = None,
    content_type: str = "application/json",
) -> dict[str, Any]:
    """Call the emulator as its owner: what people do beside the stack."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"{emulator.url}/{path}",
        data=data,
        method=method,
        headers={"Content-Type": content_type, "Accept": "application/json, application/dicom+json"},
    )
    with urllib.request.urlopen(request) as answer:
        found: dict[str, Any] = json.loads(answer.read() or b"{}")
    return found
