"""APIs that are not enabled in a project, where the setting ``enforceServices`` asks for that."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from googleapiclient.errors import HttpError

from emulator.core.projects import project_number
from emulator.server.server import LocalEmulator

Rest = Callable[..., Any]

PROJECT, OTHER = "hospital-imaging", "research-analytics"
DATASETS = f"/v1/projects/{PROJECT}/locations/eu/datasets"


def service(project: str, name: str) -> str:
    return f"/v1/projects/{project}/services/{name}.googleapis.com"


@pytest.fixture
def enforced(emulator: LocalEmulator, rest: Rest) -> Rest:
    emulator.control("PATCH", "settings", {"enforceServices": True})
    return rest


# Not enabled in new projects (https://cloud.google.com/service-usage/docs/enabled-service#default).
CALLS: list[tuple[str, str, str, Any]] = [
    ("healthcare", "GET", DATASETS, None),
    ("healthcare", "POST", f"{DATASETS}?datasetId=radiology", {}),
    ("pubsub", "PUT", f"/v1/projects/{PROJECT}/topics/dicom", {}),
    ("cloudkms", "GET", f"/v1/projects/{PROJECT}/locations/eu/keyRings", None),
    ("iam", "GET", f"/v1/projects/{PROJECT}/serviceAccounts", None),
    ("cloudbilling", "GET", f"/v1/projects/{PROJECT}/billingInfo", None),
]


@pytest.mark.parametrize(("api", "http_method", "path", "body"), CALLS)
def test_an_api_that_is_not_enabled_can_not_be_called(
    enforced: Rest, api: str, http_method: str, path: str, body: Any
) -> None:
    refused = enforced(http_method, path, body)
    assert refused.status == 403
    assert f"has not been used in project {PROJECT} before or it is disabled" in refused.message
    assert refused.json["error"]["status"] == "PERMISSION_DENIED"
    assert refused.reason == "accessNotConfigured"
    info = refused.json["error"]["details"][0]
    assert info["reason"] == "SERVICE_DISABLED"
    assert info["metadata"]["service"] == f"{api}.googleapis.com"
    assert info["metadata"]["consumer"] == f"projects/{PROJECT}"
    assert enforced("POST", f"{service(PROJECT, api)}:enable", {}).status == 200
    assert enforced(http_method, path, body).status == 200
    assert enforced("POST", f"{service(PROJECT, api)}:disable", {}).status == 200
    assert enforced(http_method, path, body).status == 403


ENABLED_FIRST: list[tuple[str, str, str, Any]] = [
    ("bigquery", "GET", f"/bigquery/v2/projects/{PROJECT}/datasets", None),
    ("storage", "GET", f"/storage/v1/b?project={PROJECT}", None),
    ("storage", "GET", "/storage/v1/b/inbox/o", None),
    ("logging", "POST", "/v2/entries:list", {"resourceNames": [f"projects/{PROJECT}"]}),
]


@pytest.mark.parametrize(("api", "http_method", "path", "body"), ENABLED_FIRST)
def test_an_api_that_every_project_has_can_be_called_until_it_is_disabled(
    enforced: Rest, api: str, http_method: str, path: str, body: Any
) -> None:
    assert enforced("POST", f"/storage/v1/b?project={PROJECT}", {"name": "inbox"}).status == 200
    assert enforced(http_method, path, body).status == 200
    assert enforced("POST", f"{service(PROJECT, api)}:disable", {}).status == 200
    assert enforced(http_method, path, body).reason == "accessNotConfigured"


def test_projects_and_services_can_always_be_asked_about(enforced: Rest) -> None:
    for path in (f"/v1/projects/{PROJECT}", f"/v3/projects/{PROJECT}", f"/v1/projects/{PROJECT}/services"):
        assert enforced("GET", path).status == 200
    assert enforced("POST", f"/v1/projects/{PROJECT}:getIamPolicy", {}).status == 200


def test_resource_manager_is_needed_in_the_project_that_the_call_is_counted_for(enforced: Rest) -> None:
    # https://cloud.google.com/docs/quotas/quota-project
    path, counted = f"/v1/projects/{OTHER}", {"X-Goog-User-Project": PROJECT}
    refused = enforced("GET", path, headers=counted)
    assert refused.status == 403
    assert f"Cloud Resource Manager API has not been used in project {PROJECT} before" in refused.message
    assert enforced("POST", f"{service(PROJECT, 'cloudresourcemanager')}:enable", {}).status == 200
    assert enforced("GET", path, headers=counted).status == 200


def test_an_api_is_not_enabled_before_its_operation_is_done(emulator: LocalEmulator, enforced: Rest) -> None:
    emulator.control("PATCH", "settings", {"operationSeconds": 3600})
    enforced("POST", f"{service(PROJECT, 'healthcare')}:enable", {})
    assert enforced("GET", DATASETS).reason == "accessNotConfigured"


def test_an_export_fails_where_the_destinations_project_lacks_bigquery(enforced: Rest) -> None:
    assert enforced("POST", f"{service(PROJECT, 'healthcare')}:enable", {}).status == 200
    assert enforced("POST", f"/bigquery/v2/projects/{OTHER}/datasets", {"datasetReference": {"datasetId": "d"}}).status
    enforced("POST", f"{DATASETS}?datasetId=radiology", {})
    enforced("POST", f"{DATASETS}/radiology/dicomStores?dicomStoreId=pacs", {})
    assert enforced("POST", f"{service(OTHER, 'bigquery')}:disable", {}).status == 200
    body = {"bigqueryDestination": {"tableUri": f"bq://{OTHER}.d.t", "force": True}}
    operation = enforced("POST", f"{DATASETS}/radiology/dicomStores/pacs:export", body).json
    deadline = time.monotonic() + 30
    while not operation.get("done"):
        assert time.monotonic() < deadline
        operation = enforced("GET", f"/v1/{operation['name']}").json
    assert operation["error"]["code"] == 7
    assert f"BigQuery API has not been used in project {OTHER}" in operation["error"]["message"]


def test_googles_client_reads_the_reason(enforced: Rest, google_api: Callable[[str, str], Any]) -> None:
    number = project_number(PROJECT)
    enforced("GET", f"/v1/projects/{PROJECT}")
    with pytest.raises(HttpError) as caught:
        google_api("pubsub", "v1").projects().topics().list(project=f"projects/{number}").execute()
    assert caught.value.status_code == 403
    assert "Cloud Pub/Sub API has not been used in project" in caught.value.reason
    assert "SERVICE_DISABLED" in str(caught.value.error_details)
