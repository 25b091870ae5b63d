"""gcloud's commands for projects, services, topics, keys, logs and roles against the emulator."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from emulator.core.environment import environment
from emulator.core.projects import project_number
from emulator.server.server import LocalEmulator

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed"),
]

PROJECT = "hospital-imaging"
Gcloud = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once: gcloud takes a second longer in an empty one."""
    return tmp_path_factory.mktemp("gcloud")


@pytest.fixture
def gcloud(emulator: LocalEmulator, configuration: Path) -> Gcloud:
    settings = {
        **os.environ,
        **environment(emulator.url),
        "CLOUDSDK_CONFIG": str(configuration),
        "CLOUDSDK_CORE_PROJECT": PROJECT,
    }

    def run(line: str) -> subprocess.CompletedProcess[str]:
        command = ["gcloud", *line.split(), "--format=json"]
        return subprocess.run(command, env=settings, capture_output=True, text=True, timeout=120, check=False)

    return run


def well(answer: subprocess.CompletedProcess[str]) -> str:
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_projects_and_their_policies(gcloud: Gcloud) -> None:
    project = json.loads(well(gcloud(f"projects describe {PROJECT}")))
    assert project["projectNumber"] == project_number(PROJECT)
    binding = "--member=user:alice@example.org --role=roles/healthcare.dicomViewer"
    policy = json.loads(well(gcloud(f"projects add-iam-policy-binding {PROJECT} {binding}")))
    assert policy["bindings"] == [{"role": "roles/healthcare.dicomViewer", "members": ["user:alice@example.org"]}]
    assert [one["projectId"] for one in json.loads(well(gcloud("projects list")))] == [PROJECT]


def test_services_are_enabled_and_have_their_agents(gcloud: Gcloud) -> None:
    refused = gcloud("services enable nonsense")
    assert refused.returncode == 1
    assert "Not found or permission denied for service(s): nonsense" in refused.stderr
    well(gcloud("services enable healthcare.googleapis.com pubsub.googleapis.com"))
    names = [one["config"]["name"] for one in json.loads(well(gcloud("services list")))]
    assert {"healthcare.googleapis.com", "pubsub.googleapis.com"} <= set(names)
    created = gcloud("beta services identity create --service=healthcare.googleapis.com")
    well(created)
    assert f"service-{project_number(PROJECT)}@gcp-sa-healthcare.iam.gserviceaccount.com" in created.stderr


def test_topics_keys_and_logs(gcloud: Gcloud) -> None:
    well(gcloud("pubsub topics create dicom"))
    well(gcloud("pubsub subscriptions create watcher --topic=dicom"))
    well(gcloud("pubsub topics publish dicom --message=stored --attribute=action=CreateInstance"))
    pulled = json.loads(well(gcloud("pubsub subscriptions pull watcher --auto-ack")))
    assert pulled[0]["message"]["attributes"] == {"action": "CreateInstance"}
    well(gcloud("kms keyrings create ring --location=europe-west4"))
    well(gcloud("kms keys create key --keyring=ring --location=europe-west4 --purpose=encryption"))
    keys = json.loads(well(gcloud("kms keys list --keyring=ring --location=europe-west4")))
    assert keys[0]["primary"]["state"] == "ENABLED"
    well(gcloud("logging write test-log broken --severity=ERROR"))
    assert [one["textPayload"] for one in json.loads(well(gcloud("logging read severity>=ERROR")))] == ["broken"]
    assert json.loads(well(gcloud("logging read severity>ERROR"))) == []


def test_custom_roles_and_service_accounts(gcloud: Gcloud) -> None:
    well(gcloud(f"iam roles create lister --project={PROJECT} --permissions=storage.objects.list --title=Lister"))
    roles = json.loads(well(gcloud(f"iam roles list --project={PROJECT}")))
    assert [one["name"] for one in roles] == [f"projects/{PROJECT}/roles/lister"]
    well(gcloud("iam service-accounts create deployer"))
    accounts = json.loads(well(gcloud("iam service-accounts list")))
    assert [one["email"] for one in accounts] == [f"deployer@{PROJECT}.iam.gserviceaccount.com"]
