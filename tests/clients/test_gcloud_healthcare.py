"""``gcloud healthcare`` against the emulator: texts, exit codes, and what arrives."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pydicom
import pydicom.data
import pytest

from emulator.core.environment import environment
from emulator.server.server import LocalEmulator
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
    # An import with failures among successes ends with an error of code 3, as the documents have it.
    assert imported.returncode == 1
    assert '"code": 3' in imported.stderr
    assert "importing one or more instances failed" in imported.stderr
    assert "Request issued for: [pacs]" in imported.stderr
    again = ready("dicom-stores", "import", "gcs", "pacs", *OF, "--gcs-uri=gs://inbox/a.dcm", "--format=json")
    assert json.loads(well(again))["name"] == STORE
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
    # Google names the permission, not the role.
    assert "User does not have bigquery.jobs.create permission in project hospital-imaging" in denied.stderr
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


def test_policies_of_datasets_and_stores_are_read_and_changed(ready: Gcloud, tmp_path: Path) -> None:
    policy = tmp_path / "policy.json"
    track: tuple[str, ...]
    for track, kind, name, place in (((), "datasets", "radiology", IN), (("beta",), "dicom-stores", "pacs", OF)):

        def run(verb: str, *more: str, group: tuple[str, ...] = (*track, kind), where: tuple[str, ...] = place) -> Any:
            arguments = (group[0], *group[1:], verb, *more[:1], *where, *more[1:])
            return json.loads(well(ready(*arguments, "--format=json")))

        member = ("--member=user:alice@example.org", "--role=roles/healthcare.dicomViewer")
        binding = [{"role": "roles/healthcare.dicomViewer", "members": ["user:alice@example.org"]}]
        assert run("add-iam-policy-binding", name, *member)["bindings"] == binding
        found = run("get-iam-policy", name)
        assert found["bindings"] == binding
        assert "bindings" not in run("remove-iam-policy-binding", name, *member)
        policy.write_text(json.dumps({"bindings": binding}))
        assert run("set-iam-policy", name, str(policy))["bindings"] == binding
        # The tag of an older state is no longer good (https://cloud.google.com/iam/docs/policies#etag).
        policy.write_text(json.dumps({"bindings": [], "etag": found["etag"]}))
        stale = ready(*track, kind, "set-iam-policy", name, str(policy), *place)
        assert stale.returncode == 1
        assert "ABORTED" in stale.stderr


def test_what_is_not_served_is_refused_with_a_reason(ready: Gcloud) -> None:
    commands = [
        ("datasets", "deidentify", "radiology", *IN, f"--destination-dataset={PLACE}/datasets/other"),
        ("dicom-stores", "deidentify", "pacs", *OF, f"--destination-store={STORE}-2"),
        ("fhir-stores", "list", *OF),
    ]
    # At once, because gcloud tries for half a minute to get another answer than 501.
    with ThreadPoolExecutor() as pool:
        for refused in pool.map(lambda arguments: ready(*arguments), commands):
            assert refused.returncode == 1
            assert "UNIMPLEMENTED" in refused.stderr
            assert "The emulator does not" in refused.stderr


def test_what_does_not_exist_is_not_found(ready: Gcloud) -> None:
    for arguments, status in (
        (("dicom-stores", "describe", "none", *OF), "NOT_FOUND"),
        (("dicom-stores", "delete", "none", *OF, "--quiet"), "NOT_FOUND"),
        (("operations", "describe", "1", *OF), "NOT_FOUND"),
        (("dicom-stores", "create", "pacs", *OF), "ALREADY_EXISTS"),
        (("dicom-stores", "create", "a/b", *OF), "INVALID_ARGUMENT"),
    ):
        refused = ready(*arguments)
        assert refused.returncode == 1, arguments
        assert status in refused.stderr


def test_one_part_of_the_notifications_changes_alone(ready: Gcloud) -> None:
    topic = "projects/hospital-imaging/topics/dicom"
    well(ready("dicom-stores", "create", "other", *OF, f"--pubsub-topic={topic}", "--send-for-bulk-import"))
    described = json.loads(well(ready("beta", "dicom-stores", "describe", "other", *OF, "--format=json")))
    assert described["notificationConfig"] == {"pubsubTopic": topic, "sendForBulkImport": True}
    # gcloud sends updateMask=notificationConfig.pubsubTopic: the rest stays.
    changed = ready("beta", "dicom-stores", "update", "other", *OF, f"--pubsub-topic={topic}-2", "--format=json")
    assert json.loads(well(changed))["notificationConfig"] == {"pubsubTopic": f"{topic}-2", "sendForBulkImport": True}
    names = well(ready("beta", "dicom-stores", "list", *OF, "--format=value(name)", "--filter=name:other"))
    assert names.strip().endswith("other")
    assert len(well(ready("beta", "dicom-stores", "list", *OF, "--format=value(name)", "--page-size=1")).split()) == 2


def test_beta_filters_exports_to_cloud_storage_and_lists_operations(emulator: LocalEmulator, ready: Gcloud) -> None:
    dataset = pydicom.dcmread(io.BytesIO(FILE), stop_before_pixels=True)
    lines = f"/studies/{dataset.StudyInstanceUID}\r\n".encode()
    bucket(
        emulator, "inbox", "roles/storage.objectAdmin", {"a.dcm": FILE, "all.txt": lines, "none.txt": b"/studies/1\n"}
    )
    well(ready("beta", "dicom-stores", "import", "gcs", "pacs", *OF, "--gcs-uri=gs://inbox/**.dcm"))
    export = ("beta", "dicom-stores", "export", "gcs", "pacs", *OF, "--mime-type=image/png")
    well(ready(*export, "--gcs-uri-prefix=gs://inbox/none", "--filter-config-gcs-uri=gs://inbox/none.txt"))
    well(ready(*export, "--gcs-uri-prefix=gs://inbox/out", "--filter-config-gcs-uri=gs://inbox/all.txt"))
    names = [one.name for one in storage.list_objects(emulator.emulator, "inbox") if one.name.endswith(".png")]
    path = f"{dataset.StudyInstanceUID}/{dataset.SeriesInstanceUID}/{dataset.SOPInstanceUID}"
    assert names == [f"out/{path}.png"]
    listed = json.loads(well(ready("beta", "operations", "list", *OF, "--format=json")))
    done = [one["metadata"]["apiMethodName"].rpartition(".")[2] for one in listed]
    assert done == ["CreateDataset", "ImportDicomData", "ExportDicomData_gcs", "ExportDicomData_gcs"]
    number = listed[-1]["name"].rpartition("/")[2]
    described = json.loads(well(ready("beta", "operations", "describe", number, *OF, "--format=json")))
    assert described["metadata"]["counter"] == {"success": "1"}


def test_every_command_that_concerns_dicom_is_run_here() -> None:
    root = Path(str(shutil.which("gcloud"))).resolve().parents[1] / "lib" / "surface" / "healthcare"
    if not root.is_dir():
        pytest.skip("gcloud's commands are not where they are expected")
    source = Path(__file__).read_text(encoding="utf-8")
    commands = [
        tuple(part.replace("_", "-") for part in path.relative_to(root).with_suffix("").parts)
        for group in ("datasets", "dicom_stores", "operations")
        for path in sorted((root / group).rglob("*.yaml"))
    ]
    assert len(commands) > 20
    for group, *verbs in commands:
        quoted = ", ".join(f'"{verb}"' for verb in verbs)
        assert f'"{group}", {quoted}' in source or f"run({quoted}" in source or f"kind, {quoted}" in source, (
            group,
            verbs,
        )
