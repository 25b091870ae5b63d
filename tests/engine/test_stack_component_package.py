"""The component package: its schema, and components of it in programs that don't import them."""

import importlib
import json
import os
import re
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
yaml: Any = importlib.import_module("yaml")  # it has no type stubs
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


# No YAML language host runs here, so the example is held to the schema, as that host would.
KINDS: dict[str, Any] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "array": list,
    "object": dict,
}


def yaml_problems(program: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    """What is wrong with a YAML program: https://www.pulumi.com/docs/iac/languages-sdks/yaml/yaml-language-reference/"""
    problems: list[str] = []
    declared = program["resources"]

    def component(name: str) -> dict[str, Any]:
        package, _, kind = declared[name]["type"].partition(":")
        found: dict[str, Any] = schema["resources"].get(f"{package}:index:{kind}", {})
        return found

    def reference(where: str, text: str) -> None:
        for name, _, output in (each.partition(".") for each in re.findall(r"\$\{([^}]+)\}", text)):
            if name not in declared:
                problems.append(f"{where}: there is no resource {name}")
            elif output and output not in component(name).get("properties", {}):
                problems.append(f"{where}: {name} has no output {output}")

    for name, resource in declared.items():
        known = component(name)
        if not known:
            problems.append(f"{name}: no type {resource['type']}")
            continue
        given = resource.get("properties", {})
        problems += [f"{name}: {each} is missing" for each in known.get("requiredInputs", []) if each not in given]
        for key, value in given.items():
            wanted = known["inputProperties"].get(key)
            if wanted is None:
                problems.append(f"{name}: no property {key}")
            elif isinstance(value, str) and "${" in value:
                reference(f"{name}.{key}", value)
            elif "type" in wanted and not isinstance(value, KINDS[wanted["type"]]):
                problems.append(f"{name}.{key}: {value!r} is no {wanted['type']}")
        for each in resource.get("options", {}).get("dependsOn", []):
            reference(f"{name}.dependsOn", each)
    for key, value in program.get("outputs", {}).items():
        reference(f"outputs.{key}", value)
    return problems


def test_the_example_in_yaml_fits_the_schema(schema: dict[str, Any]) -> None:
    text = (ROOT / "examples" / "yaml_program" / "Pulumi.yaml").read_text(encoding="utf-8")
    program = yaml.safe_load(text)
    assert (ROOT / "examples" / "yaml_program" / program["packages"]["imaging"]).resolve() == PACKAGE
    assert yaml_problems(program, schema) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("imaging:DicomStore", "imaging:DicomShop", "store: no type imaging:DicomShop"),
        ("location: europe-west4", "place: europe-west4", "dataset: no property place"),
        ("location: europe-west4", "location: [europe-west4]", "dataset.location: ['europe-west4'] is no string"),
        ("serviceAgent: true", 'serviceAgent: "yes"', "access.serviceAgent: 'yes' is no boolean"),
        ("name: pacs", "labels: {a: b}", "store: name is missing"),
        ("${dataset.datasetId}", "${dataset.id}", "store.dataset: dataset has no output id"),
        ("${access}", "${project}", "dataset.dependsOn: there is no resource project"),
        ("${store.storeId}", "${store.dicomStoreId}", "outputs.store: store has no output dicomStoreId"),
    ],
)
def test_a_mistake_in_the_example_would_be_found(schema: dict[str, Any], old: str, new: str, problem: str) -> None:
    text = (ROOT / "examples" / "yaml_program" / "Pulumi.yaml").read_text(encoding="utf-8")
    assert old in text
    assert problem in yaml_problems(yaml.safe_load(text.replace(old, new)), schema)


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
