"""``gcloud healthcare`` against the emulator: texts, exit codes, and what arrives."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pydicom.data
import pytest

from emulator.environment import environment
from emulator.server import LocalEmulator
from emulator.storage import service as storage

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed"),
]

Gcloud = Callable[..., "subprocess.CompletedProcess[str]"]
PLACE = "projects/hospital-imaging/locations/europe-west4"
STORE = f"{PLACE}/datasets/radiology/dicomStores/pacs"
IN = ("--location=europe-west4",)
OF = (*IN, "--dataset=radiology")
FILE = (Path(pydicom.data.__file__).parent / "test_files" / "CT_small.dcm").read_bytes()


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
        "CLOUDSDK_CORE_PROJECT": "hospital-imaging",
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        track = [arguments[0]] if arguments[0] in ("alpha", "beta") else []
        command = ["gcloud", *track, "healthcare", *arguments[len(track) :]]
        return subprocess.run(command, env=settings, capture_output=True, text=True, timeout=120, check=False)

    return run


def well(answer: subprocess.CompletedProcess[str]) -> str:
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def bucket(emulator: LocalEmulator, name: str, role: str, files: dict[str, bytes]) -> None:
    from emulator.storage.store import store

    inside = emulator.emulator
    agent = "serviceAccount:" + inside.projects.provision_service_agent("hospital-imaging")
    if not storage.bucket_exists(inside, name):
        import urllib.request

        data = json.dumps({"name": name}).encode()
        address = f"{emulator.url}/storage/v1/b?project=hospital-imaging"
        urllib.request.urlopen(urllib.request.Request(address, data)).close()
    assert name in store(inside).buckets
    inside.iam.set(f"b/{name}", {"bindings": [{"role": role, "members": [agent]}]})
    for path, content in files.items():
        storage.put_object(inside, name, path, content)


@pytest.fixture
def ready(emulator: LocalEmulator, gcloud: Gcloud) -> Gcloud:
    """gcloud, with a dataset and a store that it created."""
    created = gcloud("datasets", "create", "radiology", *IN)
    well(created)
    assert "Create request issued for: [radiology]" in created.stderr
    assert "Waiting for operation" in created.stderr
    well(gcloud("dicom-stores", "create", "pacs", *OF))
    assert emulator.emulator.state.collection("healthcare.dicomStores").keys_under(STORE) == [STORE]
    return gcloud


def test_what_is_not_there_fails_with_googles_words(gcloud: Gcloud) -> None:
    missing = gcloud("datasets", "describe", "none", *IN)
    assert missing.returncode == 1
    assert "PERMISSION_DENIED" in missing.stderr
    assert "healthcare.datasets.get" in missing.stderr


def test_datasets_and_stores_from_the_first_to_the_last(ready: Gcloud) -> None:
    again = ready("datasets", "create", "radiology", *IN)
    assert again.returncode == 1
    assert "ALREADY_EXISTS" in again.stderr
    assert json.loads(well(ready("datasets", "describe", "radiology", *IN, "--format=json"))) == {
        "name": f"{PLACE}/datasets/radiology"
    }
    updated = ready("datasets", "update", "radiology", *IN, "--time-zone=Europe/Berlin", "--format=json")
    assert json.loads(well(updated))["timeZone"] == "Europe/Berlin"
    assert "radiology" in well(ready("datasets", "list", *IN))
    topic = "projects/hospital-imaging/topics/dicom"
    updated = ready("dicom-stores", "update", "pacs", *OF, f"--pubsub-topic={topic}", "--format=json")
    assert json.loads(well(updated)) == {"name": STORE, "notificationConfig": {"pubsubTopic": topic}}
    assert "pacs" in well(ready("dicom-stores", "list", *OF))
    member = ("--member=user:alice@example.org", "--role=roles/healthcare.dicomViewer")
    policy = ready("dicom-stores", "add-iam-policy-binding", "pacs", *OF, *member, "--format=json")
    assert json.loads(well(policy))["bindings"] == [
        {"role": "roles/healthcare.dicomViewer", "members": ["user:alice@example.org"]}
    ]
    policy = ready("dicom-stores", "get-iam-policy", "pacs", *OF, "--format=json")
    assert json.loads(well(policy))["bindings"][0]["members"] == ["user:alice@example.org"]
    well(ready("dicom-stores", "delete", "pacs", *OF, "--quiet"))
    well(ready("datasets", "delete", "radiology", *IN, "--quiet"))
    assert well(ready("datasets", "list", *IN, "--format=value(name)")) == ""


def test_imports_and_exports_wait_for_their_operations(emulator: LocalEmulator, ready: Gcloud) -> None:
    bucket(emulator, "inbox", "roles/storage.objectViewer", {"a.dcm": FILE, "b.dcm": b""})
    imported = ready("dicom-stores", "import", "gcs", "pacs", *OF, "--gcs-uri=gs://inbox/*", "--format=json")
    # gcloud does not look at the counters: an import with failures among successes looks well.
    assert json.loads(well(imported))["name"] == STORE
    assert "Request issued for: [pacs]" in imported.stderr
    metrics = json.loads(well(ready("dicom-stores", "metrics", "pacs", *OF, "--format=json")))
    assert metrics["instanceCount"] == "1"
    refused = ready("dicom-stores", "export", "gcs", "pacs", *OF, "--gcs-uri-prefix=gs://nowhere/x")
    assert refused.returncode == 1
    assert '"code": 5' in refused.stderr
    bucket(emulator, "out-1", "roles/storage.objectAdmin", {})
    exported = ("dicom-stores", "export", "gcs", "pacs", *OF, "--gcs-uri-prefix=gs://out-1/x")
    well(ready(*exported, "--mime-type=application/dicom; transfer-syntax=*"))
    dataset = pydicom.dcmread(io.BytesIO(FILE), stop_before_pixels=True)
    name = f"x/{dataset.StudyInstanceUID}/{dataset.SeriesInstanceUID}/{dataset.SOPInstanceUID}.dcm"
    assert [one.name for one in storage.list_objects(emulator.emulator, "out-1")] == [name]


def test_metadata_go_to_bigquery_and_filters_exist_in_beta(emulator: LocalEmulator, ready: Gcloud) -> None:
    import urllib.request

    bucket(emulator, "inbox", "roles/storage.objectViewer", {"a.dcm": FILE, "filter.txt": b"/studies/1.2.3\n"})
    well(ready("dicom-stores", "import", "gcs", "pacs", *OF, "--gcs-uri=gs://inbox/a.dcm"))
    table = "--bq-table=bq://hospital-imaging.dicom.instances"
    export = ("dicom-stores", "export", "bq", "pacs", *OF, table)
    denied = ready(*export, "--write-disposition=write-empty")
    assert denied.returncode == 1
    assert '"code": 7' in denied.stderr
    assert "roles/bigquery.jobUser" in denied.stderr
    inside = emulator.emulator
    agent = "serviceAccount:" + inside.projects.provision_service_agent("hospital-imaging")
    roles = ("roles/bigquery.jobUser", "roles/bigquery.dataEditor")
    inside.iam.set("projects/hospital-imaging", {"bindings": [{"role": role, "members": [agent]} for role in roles]})
    body = {"datasetReference": {"projectId": "hospital-imaging", "datasetId": "dicom"}}
    address = f"{emulator.url}/bigquery/v2/projects/hospital-imaging/datasets"
    urllib.request.urlopen(urllib.request.Request(address, json.dumps(body).encode())).close()
    well(ready(*export, "--write-disposition=write-empty"))
    assert ready(*export, "--write-disposition=write-empty").returncode == 1
    well(ready(*export, "--overwrite-table"))
    well(ready("beta", *export, "--overwrite-table", "--filter-config-gcs-uri=gs://inbox/filter.txt"))
    from emulator.bigquery.service import table_state

    state = table_state(inside, "hospital-imaging", "dicom", "instances")
    assert state is not None
    assert state.rows == 0


def test_operations_are_listed_described_and_cancelled(emulator: LocalEmulator, ready: Gcloud) -> None:
    bucket(emulator, "inbox", "roles/storage.objectViewer", {"a.dcm": FILE})
    emulator.control("PATCH", "settings", {"operationSeconds": 3600})
    started = ready("dicom-stores", "import", "gcs", "pacs", *OF, "--gcs-uri=gs://inbox/*", "--async", "--format=json")
    operation: dict[str, Any] = json.loads(well(started))
    assert set(operation) == {"name"}
    assert f"Check operation [{operation['name']}] for status." in started.stderr
    number = operation["name"].rpartition("/")[2]
    described = json.loads(well(ready("operations", "describe", number, *OF, "--format=json")))
    assert "done" not in described
    listed = json.loads(well(ready("operations", "list", *OF, "--format=json")))
    assert operation["name"] in [one["name"] for one in listed]
    well(ready("alpha", "operations", "cancel", number, *OF, "--quiet"))
    described = json.loads(well(ready("operations", "describe", number, *OF, "--format=json")))
    assert described["error"]["code"] == 1
