"""The component package: its schema, and components of it in programs that don't import them."""

import json
import os
import subprocess
import sys
import sysconfig
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import components
import engine
from components.package import runs
from emulator.server.server import LocalEmulator
from operations.google.connection import EMULATOR_TOKEN
from tests.protocol.operations.hospital import INBOX, STORE, TABLE, Hospital

pytestmark = pytest.mark.engine
ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "components" / "package"

PROGRAM = """
import pulumi

class Topic(pulumi.ComponentResource):
    topic_id: pulumi.Output[str]

    def __init__(self):
        inputs = {"name": "dicom", "project": "hospital-imaging", "topicId": None}
        super().__init__("imaging:index:Topic", "dicom", inputs, None, remote=True)

pulumi.export("topic", Topic().topicId)
"""

RUNS = """
import pulumi

class Run(pulumi.ComponentResource):
    outcome: pulumi.Output[dict]

    def __init__(self, kind, name, inputs, after=()):
        inputs = {{**inputs, "outcome": None, "operation": None}}
        options = pulumi.ResourceOptions(depends_on=list(after))
        super().__init__(f"imaging:index:{{kind}}", name, inputs, options, remote=True)

common = {{"store": "{store}", "endpoint": "{endpoint}"}}
archive = Run("DicomImport", "archive", {{**common, "uri": "{inbox}"}})
export = {{**common, "destination": "{table}", "writeDisposition": "WRITE_TRUNCATE"}}
metadata = Run("DicomExport", "metadata", export, [archive])
pulumi.export("imported", archive.outcome)
pulumi.export("exported", metadata.outcome)
"""


def pulumi(folder: Path, *arguments: str, **more: str) -> str:
    engine.ensure()
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("PULUMI_")},
        **engine.environment(),
        "PULUMI_BACKEND_URL": f"file://{folder}",
        "PULUMI_CONFIG_PASSPHRASE": "test",
        **more,
    }
    done = subprocess.run(
        ["pulumi", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The package as other languages see it."""
    found: dict[str, Any] = json.loads(pulumi(tmp_path_factory.mktemp("schema"), "package", "get-schema", str(PACKAGE)))
    return found


def test_the_schema_has_every_component_with_what_each_argument_and_output_means(schema: dict[str, Any]) -> None:
    names = {name.removesuffix("Args") for name in components.__all__ if name.endswith("Args")}
    assert set(schema["resources"]) == {f"imaging:index:{name}" for name in names}
    store = schema["resources"]["imaging:index:DicomStore"]
    assert store["requiredInputs"] == ["dataset", "name"]
    for name, component in schema["resources"].items():
        assert all(each.get("description") for each in component["inputProperties"].values()), name
        assert all(each.get("description") for each in component.get("properties", {}).values()), name


def test_imports_and_exports_have_the_arguments_that_they_have_in_python() -> None:
    for package, python in (
        (runs.DicomImportArgs, components.DicomImportArgs),
        (runs.DicomExportArgs, components.DicomExportArgs),
    ):
        assert {each.name for each in fields(package)} == {each.name for each in fields(python)}


def test_the_package_has_the_version_of_the_project(schema: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert schema["version"] == project["version"]


def elsewhere(folder: Path, program: str) -> None:
    """A project that knows the package, and nothing else of this repository."""
    project = {
        "name": "elsewhere",
        "runtime": {"name": "python"},
        "plugins": {"providers": [{"name": "imaging", "path": str(PACKAGE)}]},
    }
    (folder / "Pulumi.yaml").write_text(json.dumps(project), encoding="utf-8")
    (folder / "__main__.py").write_text(program, encoding="utf-8")
    pulumi(folder, "stack", "init", "test", "--non-interactive")


def up(folder: Path, **more: str) -> dict[str, Any]:
    pulumi(folder, "up", "--yes", "--skip-preview", "--non-interactive", "--stack", "test", **more)
    outputs: dict[str, Any] = json.loads(pulumi(folder, "stack", "output", "--json", "--stack", "test"))
    return outputs


def test_a_component_is_used_by_its_type_alone(tmp_path: Path, emulator: LocalEmulator) -> None:
    elsewhere(tmp_path, PROGRAM)
    variables = {
        "GOOGLE_OAUTH_ACCESS_TOKEN": EMULATOR_TOKEN,
        "GOOGLE_PUBSUB_CUSTOM_ENDPOINT": f"{emulator.url}/v1/",
    }
    assert up(tmp_path, **variables) == {"topic": "projects/hospital-imaging/topics/dicom"}


def test_an_export_is_run_where_the_project_is_installed_for_dynamic_resources(
    tmp_path: Path, emulator: LocalEmulator
) -> None:
    # The Python that Pulumi takes for dynamic resources; this project is in it by its folder, as `pip install -e` does.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    (packages,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (packages / "here.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT}\n", encoding="utf-8")
    python = {"PULUMI_PYTHON_CMD": str(tmp_path / "venv" / "bin" / "python")}
    hospital = Hospital(emulator)
    hospital.put_instances(2)
    try:
        elsewhere(
            tmp_path,
            RUNS.format(store=STORE, inbox=f"gs://{INBOX}/2024/**.dcm", table=TABLE, endpoint=emulator.url),
        )
        outputs = up(tmp_path, **python)
        assert outputs["imported"]["success"] == 2
        assert outputs["exported"]["rows"] == 2
        assert "unchanged" in pulumi(tmp_path, "preview", "--expect-no-changes", "--stack", "test", **python)
    finally:
        hospital.close()
