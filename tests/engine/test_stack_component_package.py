"""The component package: its schema, and a component of it in a program that doesn't import it."""

import json
import os
import subprocess
from pathlib import Path

import pytest

import engine
from emulator.server import LocalEmulator

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


def test_the_schema_has_the_components_without_dynamic_resources(tmp_path: Path) -> None:
    schema = json.loads(pulumi(tmp_path, "package", "get-schema", str(PACKAGE)))
    assert set(schema["resources"]) == {
        f"imaging:index:{name}"
        for name in (
            "AgentGrants",
            "BigQueryDataset",
            "Bucket",
            "DicomStore",
            "HealthcareDataset",
            "ProjectAccess",
            "ReferenceViews",
            "Topic",
        )
    }
    store = schema["resources"]["imaging:index:DicomStore"]
    assert store["requiredInputs"] == ["dataset", "name"]
    assert all(each.get("description") for each in store["inputProperties"].values())


def test_a_component_is_used_by_its_type_alone(tmp_path: Path, emulator: LocalEmulator) -> None:
    project = {
        "name": "elsewhere",
        "runtime": {"name": "python", "options": {"virtualenv": str(ROOT / ".venv")}},
        "plugins": {"providers": [{"name": "imaging", "path": str(PACKAGE)}]},
    }
    (tmp_path / "Pulumi.yaml").write_text(json.dumps(project), encoding="utf-8")
    (tmp_path / "__main__.py").write_text(PROGRAM, encoding="utf-8")
    variables = {
        "GOOGLE_OAUTH_ACCESS_TOKEN": "emulator",
        "GOOGLE_PUBSUB_CUSTOM_ENDPOINT": f"{emulator.url}/v1/",
    }
    pulumi(tmp_path, "stack", "init", "test", "--non-interactive")
    pulumi(tmp_path, "up", "--yes", "--skip-preview", "--non-interactive", "--stack", "test", **variables)
    outputs = json.loads(pulumi(tmp_path, "stack", "output", "--json", "--stack", "test"))
    assert outputs == {"topic": "projects/hospital-imaging/topics/dicom"}
