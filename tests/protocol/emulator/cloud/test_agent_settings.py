"""Settings about the Cloud Healthcare service agent: which role and which project its work is held to."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom.data
import pytest

from emulator.core.errors import RPC_CODES
from emulator.core.projects import project_number
from emulator.server.server import LocalEmulator
from emulator.storage import service as storage

Rest = Callable[..., Any]

SOURCE, DESTINATION = "hospital-imaging", "research-analytics"
AGENT = f"service-{project_number(SOURCE)}@gcp-sa-healthcare.iam.gserviceaccount.com"
MEMBER = f"serviceAccount:{AGENT}"
ROLE = "roles/healthcare.serviceAgent"
DATASET = f"/v1/projects/{SOURCE}/locations/eu/datasets/radiology"
STORE = f"{DATASET}/dicomStores/pacs"
TOPIC = f"projects/{SOURCE}/topics/dicom"
FILE = (Path(pydicom.data.__file__).parent / "test_files" / "CT_small.dcm").read_bytes()

IMPORT = ("import", {"gcsSource": {"uri": "gs://inbox/*"}})
TO_BIGQUERY = ("export", {"bigqueryDestination": {"tableUri": f"bq://{DESTINATION}.dicom.t", "force": True}})
TO_STORAGE = ("export", {"gcsDestination": {"uriPrefix": "gs://inbox/out"}})


def grant(emulator: LocalEmulator, resource: str, *roles: str) -> None:
    emulator.emulator.iam.set(resource, {"bindings": [{"role": role, "members": [MEMBER]} for role in roles]})


def run(rest: Rest, verb: str, body: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = rest("POST", f"{STORE}:{verb}", body).json
    if "error" in operation:
        # Refused at once: as the operation's error would be.
        return {"error": {**operation["error"], "code": RPC_CODES[operation["error"]["status"]]}}
    deadline = time.monotonic() + 30
    while not operation.get("done"):
        assert time.monotonic() < deadline
        operation = rest("GET", f"/v1/{operation['name']}").json
    return operation


@pytest.fixture
def ready(emulator: LocalEmulator, rest: Rest) -> Rest:
    """A store, a file to import, a table's dataset in another project, a topic, and everything granted."""
    assert rest("POST", f"{DATASET.rpartition('/')[0]}?datasetId=radiology", {}).status == 200
    assert rest("POST", f"{DATASET}/dicomStores?dicomStoreId=pacs", {}).status == 200
    assert rest("POST", f"/storage/v1/b?project={SOURCE}", {"name": "inbox"}).status == 200
    storage.put_object(emulator.emulator, "inbox", "a.dcm", FILE)
    reference = {"datasetReference": {"datasetId": "dicom"}}
    assert rest("POST", f"/bigquery/v2/projects/{DESTINATION}/datasets", reference).status == 200
    assert rest("PUT", f"/v1/{TOPIC}", {}).status == 200
    grant(emulator, "b/inbox", "roles/storage.objectAdmin")
    grant(emulator, f"projects/{DESTINATION}", "roles/bigquery.dataEditor", "roles/bigquery.jobUser")
    grant(emulator, TOPIC, "roles/pubsub.publisher")
    return rest


@pytest.mark.parametrize("operation", [IMPORT, TO_BIGQUERY, TO_STORAGE], ids=["import", "to BigQuery", "to storage"])
def test_an_agent_without_its_role_does_nothing_where_the_role_is_required(
    emulator: LocalEmulator, ready: Rest, operation: tuple[str, dict[str, Any]]
) -> None:
    grant(emulator, f"projects/{SOURCE}")
    assert "error" not in run(ready, *IMPORT)
    emulator.control("PATCH", "settings", {"requireAgentRole": True})
    error = run(ready, *operation)["error"]
    assert error["code"] == 7
    for part in (AGENT, ROLE, f"its own project {SOURCE}"):
        assert part in error["message"]
    grant(emulator, f"projects/{SOURCE}", ROLE)
    assert "error" not in run(ready, *operation)


def test_without_its_role_the_agent_neither_streams_nor_notifies(emulator: LocalEmulator, ready: Rest) -> None:
    streams = {"streamConfigs": [{"bigqueryDestination": {"tableUri": f"bq://{DESTINATION}.dicom.stream"}}]}
    grant(emulator, f"projects/{SOURCE}")
    emulator.control("PATCH", "settings", {"requireAgentRole": True})
    refused = ready("PATCH", f"{STORE}?updateMask=streamConfigs", streams)
    assert refused.status == 403
    assert ROLE in refused.message
    grant(emulator, f"projects/{SOURCE}", ROLE)
    listeners = {**streams, "notificationConfigs": [{"pubsubTopic": TOPIC}]}
    assert ready("PATCH", f"{STORE}?updateMask=streamConfigs,notificationConfigs", listeners).status == 200
    grant(emulator, f"projects/{SOURCE}")
    headers = {"Content-Type": "application/dicom"}
    assert ready("POST", f"{STORE}/dicomWeb/studies", FILE, headers=headers).status == 200
    asked = {"resourceNames": [f"projects/{SOURCE}"], "filter": 'severity="ERROR"'}
    entries = ready("POST", "/v2/entries:list", asked).json["entries"]
    assert len(entries) == 2
    assert all(ROLE in entry["jsonPayload"]["error"]["message"] for entry in entries)


def test_the_agent_that_comes_with_the_first_dataset_has_its_role(emulator: LocalEmulator, ready: Rest) -> None:
    emulator.control("PATCH", "settings", {"requireAgentRole": True})
    assert "error" not in run(ready, *IMPORT)


@pytest.mark.parametrize(("setting", "needed", "other"), [
    ("destination", DESTINATION, SOURCE),
    ("source", SOURCE, DESTINATION),
])  # fmt: skip
def test_load_jobs_need_job_user_in_the_project_that_the_setting_names(
    emulator: LocalEmulator, ready: Rest, setting: str, needed: str, other: str
) -> None:
    emulator.control("PATCH", "settings", {"bigqueryJobsProject": setting})
    grant(emulator, "bigquery/research-analytics/dicom", "roles/bigquery.dataEditor")
    grant(emulator, f"projects/{needed}")
    grant(emulator, f"projects/{other}", "roles/bigquery.jobUser")
    error = run(ready, *TO_BIGQUERY)["error"]
    assert error["code"] == 7
    assert f"bigquery.jobs.create permission in project {needed}." in error["message"]
    grant(emulator, f"projects/{other}")
    grant(emulator, f"projects/{needed}", "roles/bigquery.jobUser")
    assert "error" not in run(ready, *TO_BIGQUERY)
