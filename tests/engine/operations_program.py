"""A small program with one import or export on a store that exists already, run by the real CLI."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import engine

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import json
import pulumi
from components.runs.dicom_export import DicomExport, DicomExportArgs, ExportFilter
from components.runs.dicom_import import DicomImport, DicomImportArgs

imports = []
for name, settings in json.load(open("runs.json")).items():
    if "filter" in settings:
        settings["filter"] = ExportFilter(**settings["filter"])
    if "destination" in settings:
        # As every program does: an export comes after the imports that stand before it.
        run = DicomExport(name, DicomExportArgs(**settings), pulumi.ResourceOptions(depends_on=imports))
    else:
        run = DicomImport(name, DicomImportArgs(**settings))
        imports = [*imports, run]
    pulumi.export(name, run.outcome)
"""


class Program:
    """One stack of the program.

    Attributes:
        runs: the settings of each import and export, by name; change them between calls.
    """

    def __init__(self, folder: Path, runs: dict[str, dict[str, Any]]) -> None:
        self.runs = runs
        self._folder = folder / "project"
        self._folder.mkdir(parents=True)
        (self._folder / "Pulumi.yaml").write_text("name: imaging\nruntime: python\n", encoding="utf-8")
        (self._folder / "__main__.py").write_text(PROGRAM, encoding="utf-8")
        (folder / "backend").mkdir()
        engine.ensure()
        outside = ("PULUMI_", "GOOGLE_", "IMAGING_", "CI")
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(outside)},
            **engine.environment(),
            "PULUMI_BACKEND_URL": f"file://{folder / 'backend'}",
            "PULUMI_CONFIG_PASSPHRASE": "test",
            "PYTHONPATH": str(ROOT),
            "IMAGING_JOURNAL": str(folder / "journal"),
            "CI": "true",
        }
        self._must("stack", "init", "test")

    def up(self, *options: str) -> str:
        """Deploy; returns what the CLI said."""
        return self._must("up", "--yes", "--skip-preview", *options)

    def up_fails(self) -> str:
        """Deploy, which must fail; returns what the CLI said."""
        code, said = self._run("up", "--yes", "--skip-preview")
        assert code, f"`pulumi up` was expected to fail:\n{said}"
        return said

    def preview(self) -> str:
        """Preview; returns what the CLI said."""
        return self._must("preview")

    def preview_fails(self) -> str:
        """Preview, which must fail; returns what the CLI said."""
        code, said = self._run("preview")
        assert code, f"`pulumi preview` was expected to fail:\n{said}"
        return said

    def command(self, *arguments: str) -> str:
        """Run another command; returns what the CLI said."""
        return self._must(*arguments)

    def outcome(self, name: str) -> dict[str, Any]:
        """Return the outcome of a run, from the stack's outputs."""
        found: dict[str, Any] = json.loads(self._must("stack", "output", "--json"))[name]
        return found

    def state(self) -> dict[str, dict[str, Any]]:
        """Return the state's resources, by `type name`."""
        resources = json.loads(self._must("stack", "export"))["deployment"].get("resources", [])
        return {f"{each['type'].rpartition(':')[2]} {each['urn'].split('::', 3)[3]}": each for each in resources}

    def pending(self) -> list[dict[str, Any]]:
        """Return what the state says was begun and never ended."""
        found = json.loads(self._must("stack", "export"))["deployment"].get("pending_operations", [])
        return [each for each in found if each]

    def up_interrupted(self, number: signal.Signals, when: Callable[[], bool], *, whole_tree: bool = True) -> str:
        """Deploy, and send a signal once `when` holds, to all processes or to the CLI alone."""
        self._write()
        process = subprocess.Popen(
            self._line("up", "--yes", "--skip-preview"),
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        deadline = time.monotonic() + 60
        while not when():
            assert process.poll() is None, f"ended too soon:\n{process.communicate()[0]}"
            assert time.monotonic() < deadline, "what was waited for didn't happen"
            time.sleep(0.02)
        for pid in [process.pid, *(_descendants(process.pid) if whole_tree else [])]:
            with contextlib.suppress(ProcessLookupError):  # it ended with its parent
                os.kill(pid, number)
        said = process.communicate(timeout=60)[0]
        assert process.returncode
        return said

    def _must(self, *arguments: str) -> str:
        code, said = self._run(*arguments)
        assert code == 0, f"pulumi {' '.join(arguments)}:\n{said}"
        return said

    def _run(self, *arguments: str) -> tuple[int, str]:
        self._write()
        quiet = "--json" in arguments or "export" in arguments
        done = subprocess.run(
            self._line(*arguments),
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if quiet else subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    def _write(self) -> None:
        (self._folder / "runs.json").write_text(json.dumps(self.runs), encoding="utf-8")

    def _line(self, *arguments: str) -> list[str]:
        named = [] if arguments[:2] == ("stack", "init") else ["--stack", "test"]
        plain = [] if arguments[0] == "cancel" else ["--non-interactive"]
        return ["pulumi", *arguments, *named, *plain, "--color", "never"]


def _descendants(pid: int) -> list[int]:
    """Return all processes below one; plugins have process groups of their own."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, left = [], [pid]
    while left:
        children = parents.get(left.pop(), [])
        found += children
        left += children
    return found
