"""Projects, their policies, services and service agents, custom roles, billing."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

from emulator.core.projects import project_number
from emulator.server.server import LocalEmulator

PROJECT = "hospital-imaging"
NUMBER = project_number(PROJECT)
ALICE = "user:alice@example.org"
AGENT = f"service-{NUMBER}@gcp-sa-healthcare.iam.gserviceaccount.com"
SERVICES = f"/v1/projects/{PROJECT}/services"

Rest = Callable[..., Any]


def grant(rest: Rest, role: str, member: str = ALICE) -> None:
    policy = rest("POST", f"/v1/projects/{PROJECT}:getIamPolicy", {}).json
    policy.setdefault("bindings", []).append({"role": role, "members": [member]})
    assert rest("POST", f"/v1/projects/{PROJECT}:setIamPolicy", {"policy": policy}).status == 200


# (method, path, body, status, part of the message)
REFUSED: list[tuple[str, str, Any, int, str]] = [
    ("GET", "/v1/projects/No-Project", None, 400, "No-Project"),
    ("GET", "/v1/projects/123456789012", None, 400, "123456789012"),
    ("GET", "/v1/projects?filter=colour:red", None, 400, "filter"),
    ("GET", "/v3/projects?parent=nowhere", None, 400, "parent"),
    ("GET", "/v1/projects?pageToken=%21", None, 400, "page token"),
    ("GET", "/v1/projects?pageSize=-1", None, 400, "negative"),
    ("GET", "/v1/projects?pageSize=many", None, 400, "pageSize"),
    ("POST", f"/v1/projects/{PROJECT}:setIamPolicy", {}, 400, "policy is missing"),
    ("POST", f"/v1/projects/{PROJECT}:setIamPolicy", {"policy": {"bindngs": []}}, 400, "bindngs"),
    ("POST", f"/v1/projects/{PROJECT}:setIamPolicy", {"policy": {"etag": "AAAA"}}, 409, "concurrent policy changes"),
    (
        "POST",
        f"/v1/projects/{PROJECT}:setIamPolicy",
        {"policy": {"bindings": [{"role": "roles/viewer", "members": [f"serviceAccount:{AGENT}"]}]}},
        400,
        f"Service account {AGENT} does not exist",
    ),
    ("POST", f"/v1/projects/{PROJECT}:testIamPermissions", {"permissions": ["storage.*"]}, 400, "wildcards"),
    ("POST", "/v1/projects", {"projectId": "new-project"}, 501, "projects.create"),
    ("DELETE", f"/v1/projects/{PROJECT}", None, 501, "projects.delete"),
    ("GET", f"{SERVICES}?filter=name:x", None, 400, "state:ENABLED"),
    ("GET", f"{SERVICES}:batchGet", None, 400, "1 to 30"),
    ("POST", f"{SERVICES}/nonsense:enable", {}, 403, "Not found or permission denied for service(s): nonsense"),
    ("POST", f"{SERVICES}:batchEnable", {"serviceIds": []}, 400, "1 to 20"),
    ("POST", f"{SERVICES}:batchEnable", {"serviceIds": ["pubsub.googleapis.com"] * 21}, 400, "1 to 20"),
    ("POST", f"{SERVICES}/pubsub.googleapis.com:disable", {}, 400, "not enabled"),
    ("GET", "/v1/operations/acat.p2-1-1", None, 404, "Operation not found"),
    ("POST", f"/v1/projects/{PROJECT}/roles", {"roleId": "a"}, 400, "role id"),
    (
        "POST",
        f"/v1/projects/{PROJECT}/roles",
        {"roleId": "lister", "role": {"includedPermissions": ["storage"]}},
        400,
        "Permission storage is not valid",
    ),
    ("GET", f"/v1/projects/{PROJECT}/roles/none", None, 404, "was not found"),
    ("GET", "/v1/roles/none", None, 404, "was not found"),
    ("POST", f"/v1/projects/{PROJECT}/serviceAccounts", {"accountId": "Bad"}, 400, "accountId"),
    ("GET", f"/v1/projects/{PROJECT}/serviceAccounts/none@x.org", None, 404, "Unknown service account"),
]


@pytest.mark.parametrize(("http_method", "path", "body", "status", "text"), REFUSED)
def test_what_can_not_be_is_refused(rest: Rest, http_method: str, path: str, body: Any, status: int, text: str) -> None:
    answer = rest(http_method, path, body)
    assert answer.status == status
    assert text in answer.message


# What each call needs; without it the call is refused, with the role it is not.
NEEDS: list[tuple[str, str, Any, str]] = [
    ("GET", f"/v1/projects/{PROJECT}", None, "roles/browser"),
    ("GET", f"/v3/projects/{PROJECT}", None, "roles/browser"),
    ("GET", f"/v1/projects/{PROJECT}/billingInfo", None, "roles/browser"),
    ("POST", f"/v1/projects/{PROJECT}:getIamPolicy", {}, "roles/viewer"),
    ("POST", f"/v1/projects/{PROJECT}:setIamPolicy", {"policy": {}}, "roles/resourcemanager.projectIamAdmin"),
    ("GET", SERVICES, None, "roles/serviceusage.serviceUsageConsumer"),
    ("POST", f"{SERVICES}/pubsub.googleapis.com:enable", {}, "roles/serviceusage.serviceUsageAdmin"),
    ("POST", f"{SERVICES}:batchEnable", {"serviceIds": ["pubsub.googleapis.com"]}, "roles/editor"),
    ("POST", f"/v1beta1{SERVICES[3:]}/healthcare.googleapis.com:generateServiceIdentity", None, "roles/editor"),
    ("GET", f"/v1/projects/{PROJECT}/roles", None, "roles/iam.roleAdmin"),
    ("GET", f"/v1/projects/{PROJECT}/serviceAccounts", None, "roles/iam.serviceAccountAdmin"),
    ("PUT", f"/v1/projects/{PROJECT}/topics/dicom", {}, "roles/pubsub.editor"),
    ("GET", f"/v1/projects/{PROJECT}/topics", None, "roles/pubsub.viewer"),
    ("POST", f"/v1/projects/{PROJECT}/locations/eu/keyRings?keyRingId=r", {}, "roles/cloudkms.admin"),
    ("GET", f"/v1/projects/{PROJECT}/locations/eu/keyRings", None, "roles/cloudkms.viewer"),
    ("POST", "/v2/entries:list", {"resourceNames": [f"projects/{PROJECT}"]}, "roles/logging.viewer"),
    (
        "POST",
        "/v2/entries:write",
        {"logName": f"projects/{PROJECT}/logs/x", "resource": {"type": "global"}, "entries": [{"textPayload": "x"}]},
        "roles/logging.logWriter",
    ),
]


@pytest.mark.parametrize(("http_method", "path", "body", "role"), NEEDS)
def test_a_caller_needs_the_permission(rest: Rest, http_method: str, path: str, body: Any, role: str) -> None:
    refused = rest(http_method, path, body, who=ALICE)
    assert (refused.status, refused.json["error"]["status"]) == (403, "PERMISSION_DENIED")
    grant(rest, role)
    assert rest(http_method, path, body, who=ALICE).status == 200


def test_only_visible_projects_are_listed(rest: Rest) -> None:
    for project in (PROJECT, "research-analytics"):
        rest("GET", f"/v1/projects/{project}")
    grant(rest, "roles/browser")
    assert [one["projectId"] for one in rest("GET", "/v1/projects", who=ALICE).json["projects"]] == [PROJECT]
    assert len(rest("GET", "/v3/projects:search").json["projects"]) == 2
    found = rest("GET", f"/v1/projects?filter=projectNumber%3D{NUMBER}%20AND%20lifecycleState:ACTIVE").json
    assert [one["projectId"] for one in found["projects"]] == [PROJECT]


def test_the_number_names_the_project_too(rest: Rest) -> None:
    rest("GET", f"/v1/projects/{PROJECT}")
    assert rest("GET", f"/v1/projects/{NUMBER}").json["projectId"] == PROJECT
    assert rest("GET", f"/v3/projects/{NUMBER}").json["name"] == f"projects/{NUMBER}"


def test_the_service_agent_comes_with_the_service_and_can_then_be_granted_to(rest: Rest) -> None:
    other = "/v1/projects/research-analytics:setIamPolicy"
    body = {"policy": {"bindings": [{"role": "roles/bigquery.jobUser", "members": [f"serviceAccount:{AGENT}"]}]}}
    assert rest("POST", other, body).status == 400
    assert rest("POST", f"{SERVICES}/healthcare.googleapis.com:enable", {}).json["done"] is True
    assert rest("POST", other, body).status == 200
    own = rest("POST", f"/v1/projects/{PROJECT}:getIamPolicy", {}).json
    assert {"role": "roles/healthcare.serviceAgent", "members": [f"serviceAccount:{AGENT}"]} in own["bindings"]


def test_an_identity_is_generated_at_once_and_stays_the_same(rest: Rest) -> None:
    path = f"/v1beta1/projects/{PROJECT}/services/healthcare.googleapis.com:generateServiceIdentity"
    first, second = rest("POST", path).json, rest("POST", path).json
    assert first == second
    assert first["done"] is True
    assert first["response"]["email"] == AGENT
    assert first["response"]["uniqueId"].isdecimal()


def test_an_agent_that_was_asked_for_is_granted_nothing(rest: Rest) -> None:
    rest("POST", f"/v1beta1/projects/{PROJECT}/services/healthcare.googleapis.com:generateServiceIdentity")
    assert rest("POST", f"{SERVICES}/healthcare.googleapis.com:enable", {}).status == 200
    assert "bindings" not in rest("POST", f"/v1/projects/{PROJECT}:getIamPolicy", {}).json


def test_an_agent_that_comes_with_the_first_dataset_holds_its_role(rest: Rest) -> None:
    rest("POST", f"/v1/projects/{PROJECT}/locations/eu/datasets?datasetId=radiology", {})
    own = rest("POST", f"/v1/projects/{PROJECT}:getIamPolicy", {}).json
    assert own["bindings"] == [{"role": "roles/healthcare.serviceAgent", "members": [f"serviceAccount:{AGENT}"]}]


def test_enabling_takes_the_time_that_is_set(emulator: LocalEmulator, rest: Rest) -> None:
    emulator.control("PATCH", "settings", {"operationSeconds": 3600})
    operation = rest("POST", f"{SERVICES}/pubsub.googleapis.com:enable", {}).json
    assert "done" not in operation
    assert rest("GET", f"/v1/{operation['name']}").json == operation
    assert rest("GET", f"/v1beta1/{operation['name']}").json == operation
    assert rest("GET", f"{SERVICES}/pubsub.googleapis.com").json["state"] == "DISABLED"


def test_a_planned_failure_enables_nothing(emulator: LocalEmulator, rest: Rest) -> None:
    effect = {"operation": {"error": {"code": 9, "message": "billing must be enabled"}}}
    emulator.control("POST", "faults", {"method": "serviceusage.services.enable", "effect": effect})
    operation = rest("POST", f"{SERVICES}/pubsub.googleapis.com:enable", {}).json
    assert operation["error"] == {"code": 9, "message": "billing must be enabled"}
    assert "response" not in operation
    assert rest("GET", f"{SERVICES}/pubsub.googleapis.com").json["state"] == "DISABLED"
    again = rest("POST", f"{SERVICES}/pubsub.googleapis.com:enable", {}).json
    assert again["response"]["service"]["state"] == "ENABLED"


def test_enabled_services_are_listed_in_part_and_in_pages(rest: Rest) -> None:
    query = "filter=state:ENABLED&fields=services/name,nextPageToken&pageSize=4"
    names: list[str] = []
    page = rest("GET", f"{SERVICES}?{query}").json
    while True:
        assert all(set(one) == {"name"} for one in page["services"])
        names += [one["name"] for one in page["services"]]
        if "nextPageToken" not in page:
            break
        page = rest("GET", f"{SERVICES}?{query}&pageToken={page['nextPageToken']}").json
    assert f"projects/{NUMBER}/services/bigquery.googleapis.com" in names
    assert f"projects/{NUMBER}/services/healthcare.googleapis.com" not in names
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "fields", ["nothing", "services/nothing", "services(name", "services(name))", ",", "services..x"]
)
def test_a_selection_that_is_no_part_of_the_answer_is_refused(rest: Rest, fields: str) -> None:
    answer = rest("GET", f"{SERVICES}?fields={fields}")
    assert answer.status == 400
    assert "Invalid field selection" in answer.message


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("projectId", {"projectId": PROJECT}),
        ("projectId,projectNumber", {"projectId": PROJECT, "projectNumber": NUMBER}),
        ("labels/team", {}),
    ],
)
def test_only_the_selected_fields_are_answered(rest: Rest, fields: str, expected: dict[str, str]) -> None:
    assert rest("GET", f"/v1/projects/{PROJECT}?fields={fields}").json == expected
    assert rest("GET", f"/v1/projects/{PROJECT}?$fields={fields}&alt=json&prettyPrint=true").json == expected


def test_a_compressed_request_body_is_read(rest: Rest) -> None:
    body = json.dumps({"permissions": ["resourcemanager.projects.get"]}).encode()
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    path = f"/v1/projects/{PROJECT}:testIamPermissions"
    assert rest("POST", path, gzip.compress(body), headers=headers).json["permissions"] == [
        "resourcemanager.projects.get"
    ]
    for damaged in (body, gzip.compress(body)[:20]):
        answer = rest("POST", path, damaged, headers=headers)
        assert answer.status == 400


def test_audit_configs_are_kept_unless_the_mask_names_them(rest: Rest) -> None:
    audit = [{"service": "healthcare.googleapis.com", "auditLogConfigs": [{"logType": "DATA_READ"}]}]
    address = f"/v1/projects/{PROJECT}:setIamPolicy"
    kept = rest("POST", address, {"policy": {"auditConfigs": audit}, "updateMask": "bindings, etag,auditConfigs"}).json
    assert kept["auditConfigs"] == audit
    bindings = [{"role": "roles/viewer", "members": [ALICE]}]
    assert rest("POST", address, {"policy": {"bindings": bindings}}).json["auditConfigs"] == audit
    read = rest("POST", f"/v1/projects/{PROJECT}:getIamPolicy", {}).json
    assert (read["auditConfigs"], read["bindings"]) == (audit, bindings)
    assert "auditConfigs" not in rest("POST", address, {"policy": {}, "updateMask": "auditConfigs"}).json


def test_predefined_roles_list_permissions_by_their_names(rest: Rest) -> None:
    held = rest("GET", "/v1/roles/healthcare.datasetAdmin").json["includedPermissions"]
    # https://cloud.google.com/healthcare-api/docs/access-control
    assert {"healthcare.datasets.setIamPolicy", "healthcare.operations.cancel"} <= set(held)
    assert not [name for name in held if "*" in name or name.startswith("healthcare.dicomStores")]
    owner = rest("GET", "/v1/roles/owner").json["includedPermissions"]
    asked = {"fullResourceName": f"//cloudresourcemanager.googleapis.com/projects/{PROJECT}", "pageSize": 1000}
    testable = rest("POST", "/v1/permissions:queryTestablePermissions", asked).json["permissions"]
    assert owner == [one["name"] for one in testable]


def test_a_changed_role_needs_its_etag(rest: Rest) -> None:
    roles = f"/v1/projects/{PROJECT}/roles"
    role = {"title": "Lister", "includedPermissions": ["storage.objects.list"]}
    created = rest("POST", roles, {"roleId": "lister", "role": role}).json
    assert rest("POST", roles, {"roleId": "lister", "role": role}).status == 409
    assert rest("PATCH", f"{roles}/lister", {"title": "Other", "etag": created["etag"]}).status == 200
    assert rest("PATCH", f"{roles}/lister", {"title": "Third", "etag": created["etag"]}).status == 409
    assert rest("DELETE", f"{roles}/lister").json["deleted"] is True
    assert "roles" not in rest("GET", roles).json
    binding = {"role": f"projects/{PROJECT}/roles/lister", "members": [ALICE]}
    refused = rest("POST", f"/v1/projects/{PROJECT}:setIamPolicy", {"policy": {"bindings": [binding]}})
    assert refused.status == 400
    assert "does not exist" in refused.message


def test_a_condition_that_can_not_be_evaluated_is_refused(rest: Rest) -> None:
    condition = {"title": "narrow", "expression": 'resource.name.startsWith("projects/_/buckets/b")'}
    binding = {"role": "roles/viewer", "members": [ALICE], "condition": condition}
    answer = rest("POST", f"/v1/projects/{PROJECT}:setIamPolicy", {"policy": {"bindings": [binding], "version": 3}})
    assert answer.status == 501
    assert "request.time" in answer.message
