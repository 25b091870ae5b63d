"""Grants: others' are kept, conflicts start over, and a member that was removed by hand is gone."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
import pytest

if TYPE_CHECKING:
    from typing import Any


def _said(refused: pytest.ExceptionInfo[grpc.RpcError]) -> str:
    call: Any = refused.value
    return str(call.details())


AGENT = "serviceAccount:service-4711@gcp-sa-healthcare.iam.gserviceaccount.com"
PROJECT_MEMBER = "gcp:projects/iAMMember:IAMMember"
BUCKET_MEMBER = "gcp:storage/bucketIAMMember:BucketIAMMember"
DATASET_MEMBER = "gcp:bigquery/datasetIamMember:DatasetIamMember"
HEALTHCARE_MEMBER = "gcp:healthcare/datasetIamMember:DatasetIamMember"
STORE_MEMBER = "gcp:healthcare/dicomStoreIamMember:DicomStoreIamMember"
TOPIC_MEMBER = "gcp:pubsub/topicIAMMember:TopicIAMMember"
KEY_MEMBER = "gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember"

PROJECT = "/v1/projects/hospital"
JOB_USER = {"project": "hospital", "role": "roles/bigquery.jobUser", "member": AGENT}


class Policy:
    """A policy that checks etags, as Google's does, behind a recorder."""

    def __init__(self, recorder: Any, get: tuple[str, str], put: tuple[str, str], bindings: list[Any]) -> None:
        self.bindings = bindings
        self.version = 1
        self.conflicts = 0
        self._guard = threading.Lock()
        recorder.answer(*get, lambda _request: self._read())
        recorder.answer(*put, self._write)

    def _read(self) -> dict[str, Any]:
        with self._guard:
            return {"bindings": self.bindings, "etag": f"e{self.version}", "version": 1}

    def _write(self, request: Any) -> Any:
        policy = request.body.get("policy", request.body)
        with self._guard:
            if policy["etag"] != f"e{self.version}":
                self.conflicts += 1
                return 409, {"error": {"code": 409, "message": "concurrent policy changes", "status": "ABORTED"}}
            self.bindings = policy.get("bindings", [])
            self.version += 1
        return policy


@pytest.fixture
def project_policy(recorder: Any) -> Policy:
    others = [{"role": "roles/bigquery.jobUser", "members": ["user:alice@example.org"]}]
    return Policy(recorder, ("POST", f"{PROJECT}:getIamPolicy"), ("POST", f"{PROJECT}:setIamPolicy"), others)


def test_a_resource_without_a_policy_is_an_error_on_create_and_gone_on_read(plugin: Any, recorder: Any) -> None:
    missing = (404, {"error": {"code": 404, "message": "no such project"}})
    recorder.answer("POST", f"{PROJECT}:getIamPolicy", missing)
    with pytest.raises(grpc.RpcError, match="no such project"):
        plugin.create(PROJECT_MEMBER, JOB_USER)
    state = {**JOB_USER, "id": "x", "condition": None}
    assert plugin.read(PROJECT_MEMBER, "x", state, JOB_USER)[0] == ""
    plugin.delete(PROJECT_MEMBER, state)


def test_a_holder_of_the_wrong_form_is_refused_with_the_forms(plugin: Any) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        plugin.create(HEALTHCARE_MEMBER, {"datasetId": "radiology", "role": "roles/x.y", "member": AGENT})
    assert "{project}/{location}/{dataset}" in _said(refused)


def test_a_conflict_reads_the_policy_again_and_loses_nobodys_grant(
    plugin: Any, recorder: Any, project_policy: Policy
) -> None:
    conflict = (409, {"error": {"code": 409, "message": "concurrent policy changes"}})
    recorder.answer("POST", f"{PROJECT}:setIamPolicy", conflict, project_policy._write)
    plugin.create(PROJECT_MEMBER, JOB_USER)
    assert project_policy.bindings[0]["members"] == [AGENT, "user:alice@example.org"]


def test_many_grants_at_once_on_one_resource_all_arrive(plugin: Any, project_policy: Policy) -> None:
    roles = [f"roles/r{n}" for n in range(12)]
    with ThreadPoolExecutor(max_workers=12) as pool:
        list(pool.map(lambda role: plugin.create(PROJECT_MEMBER, {**JOB_USER, "role": role}), roles))
    granted = {binding["role"] for binding in project_policy.bindings if AGENT in binding["members"]}
    assert granted == set(roles)
    # One process takes turns, so that Google is not asked to refuse its own client.
    assert project_policy.conflicts == 0


def test_a_grant_is_written_with_the_etag_it_was_read_with_and_leaves_others_alone(
    plugin: Any, recorder: Any, project_policy: Policy
) -> None:
    identity, outputs = plugin.create(PROJECT_MEMBER, JOB_USER)
    assert recorder.lines() == [
        f"POST {PROJECT}:getIamPolicy",
        f"POST {PROJECT}:setIamPolicy",
        f"POST {PROJECT}:getIamPolicy",
    ]
    assert recorder.requests[0].body == {"options": {"requestedPolicyVersion": 3}}
    written = recorder.requests[1].body
    assert written["updateMask"] == "bindings,etag,auditConfigs"
    assert written["policy"]["etag"] == "e1"
    assert written["policy"]["version"] == 3
    assert project_policy.bindings == [{"role": "roles/bigquery.jobUser", "members": [AGENT, "user:alice@example.org"]}]
    assert identity == f"hospital/roles/bigquery.jobUser/{AGENT}"
    assert outputs == {**JOB_USER, "id": identity, "condition": None, "etag": "e2"}


def test_a_grant_that_is_there_already_writes_nothing(plugin: Any, recorder: Any, project_policy: Policy) -> None:
    plugin.create(PROJECT_MEMBER, {**JOB_USER, "member": "user:Alice@example.org"})
    assert [line for line in recorder.lines() if "setIamPolicy" in line] == []
    assert project_policy.version == 1


def test_a_removed_grant_leaves_the_other_members_and_an_empty_binding_goes(
    plugin: Any, project_policy: Policy
) -> None:
    state = {**JOB_USER, "id": "x", "condition": None}
    plugin.create(PROJECT_MEMBER, JOB_USER)
    plugin.create(PROJECT_MEMBER, {**JOB_USER, "role": "roles/viewer"})
    plugin.delete(PROJECT_MEMBER, state)
    plugin.delete(PROJECT_MEMBER, {**state, "role": "roles/viewer"})
    assert project_policy.bindings == [{"role": "roles/bigquery.jobUser", "members": ["user:alice@example.org"]}]


def test_a_grant_that_someone_took_away_is_gone_on_refresh(plugin: Any, project_policy: Policy) -> None:
    identity, outputs = plugin.create(PROJECT_MEMBER, JOB_USER)
    project_policy.bindings = [{"role": "roles/bigquery.jobUser", "members": ["user:alice@example.org"]}]
    assert plugin.read(PROJECT_MEMBER, identity, outputs, JOB_USER)[0] == ""


def test_the_same_role_with_a_condition_is_another_binding(plugin: Any, project_policy: Policy) -> None:
    condition = {"title": "until", "expression": "request.time < timestamp('2030-01-01T00:00:00Z')"}
    identity, outputs = plugin.create(PROJECT_MEMBER, {**JOB_USER, "condition": condition})
    assert project_policy.bindings[1] == {
        "role": "roles/bigquery.jobUser",
        "members": [AGENT],
        "condition": condition,
    }
    assert identity == f"hospital/roles/bigquery.jobUser/{AGENT}/until//{condition['expression']}"
    assert outputs["condition"] == {**condition, "description": ""}
    plugin.delete(PROJECT_MEMBER, outputs)
    assert len(project_policy.bindings) == 1


@pytest.mark.usefixtures("project_policy")
@pytest.mark.parametrize("form", ["hospital roles/bigquery.jobUser {}", "hospital/roles/bigquery.jobUser/{}"])
def test_a_grant_is_imported_by_resource_role_and_member(plugin: Any, form: str) -> None:
    plugin.create(PROJECT_MEMBER, JOB_USER)
    identity, outputs, inputs = plugin.read(PROJECT_MEMBER, form.format(AGENT))
    assert identity == f"hospital/roles/bigquery.jobUser/{AGENT}"
    assert inputs == {**JOB_USER, "__defaults": []}
    assert outputs["etag"] == "e2"


def test_every_change_of_a_grant_makes_a_new_one(plugin: Any) -> None:
    answer = plugin.diff(PROJECT_MEMBER, JOB_USER, {**JOB_USER, "id": "x"}, {**JOB_USER, "role": "roles/viewer"})
    assert list(answer.replaces) == ["role"]
    assert not answer.deleteBeforeReplace


# id, then how the policy is read and written, by type
@pytest.mark.parametrize(
    ("token", "given", "get", "put", "identity"),
    [
        (
            BUCKET_MEMBER,
            {"bucket": "inbox"},
            "GET /storage/v1/b/inbox/iam?optionsRequestedPolicyVersion=3",
            "PUT /storage/v1/b/inbox/iam",
            "b/inbox",
        ),
        (
            HEALTHCARE_MEMBER,
            {"datasetId": "hospital/europe-west4/radiology"},
            "GET /v1/projects/hospital/locations/europe-west4/datasets/radiology:getIamPolicy",
            "POST /v1/projects/hospital/locations/europe-west4/datasets/radiology:setIamPolicy",
            "projects/hospital/locations/europe-west4/datasets/radiology",
        ),
        (
            STORE_MEMBER,
            {"dicomStoreId": "projects/hospital/locations/europe-west4/datasets/radiology/dicomStores/pacs"},
            "GET /v1/projects/hospital/locations/europe-west4/datasets/radiology/dicomStores/pacs:getIamPolicy",
            "POST /v1/projects/hospital/locations/europe-west4/datasets/radiology/dicomStores/pacs:setIamPolicy",
            "projects/hospital/locations/europe-west4/datasets/radiology/dicomStores/pacs",
        ),
        (
            TOPIC_MEMBER,
            {"topic": "dicom"},
            "GET /v1/projects/hospital/topics/dicom:getIamPolicy",
            "POST /v1/projects/hospital/topics/dicom:setIamPolicy",
            "projects/hospital/topics/dicom",
        ),
        (
            KEY_MEMBER,
            {"cryptoKeyId": "projects/keys/locations/l/keyRings/r/cryptoKeys/k"},
            "GET /v1/projects/keys/locations/l/keyRings/r/cryptoKeys/k:getIamPolicy?options.requestedPolicyVersion=3",
            "POST /v1/projects/keys/locations/l/keyRings/r/cryptoKeys/k:setIamPolicy",
            "projects/keys/locations/l/keyRings/r/cryptoKeys/k",
        ),
    ],
)
def test_each_kind_of_resource_is_granted_on_in_its_own_way(
    plugin: Any, recorder: Any, token: str, given: dict[str, Any], get: str, put: str, identity: str
) -> None:
    paths = [line.split("?")[0].split(" ") for line in (get, put)]
    policy = Policy(recorder, (paths[0][0], paths[0][1]), (paths[1][0], paths[1][1]), [])
    found, outputs = plugin.create(token, {**given, "role": "roles/a.b", "member": AGENT})
    assert recorder.lines() == [get, put, get]
    assert policy.bindings == [{"role": "roles/a.b", "members": [AGENT]}]
    assert found == f"{identity}/roles/a.b/{AGENT}"
    assert plugin.read(token, f"{identity} roles/a.b {AGENT}")[0] == found
    plugin.delete(token, outputs)
    assert policy.bindings == []


def test_a_bigquery_grant_keeps_entries_without_roles_and_sends_full_role_names(plugin: Any, recorder: Any) -> None:
    path = "/bigquery/v2/projects/research/datasets/dicom"
    view = {"view": {"projectId": "research", "datasetId": "views", "tableId": "v"}}
    dataset: dict[str, Any] = {
        "etag": "e1",
        "access": [
            {"role": "OWNER", "specialGroup": "projectOwners"},
            {"role": "WRITER", "userByEmail": "etl@p.iam.gserviceaccount.com"},
            {"role": "READER", "groupByEmail": "research@example.org"},
            view,
        ],
    }
    recorder.answer("GET", path, lambda _request: dataset)

    def patch(request: Any) -> dict[str, Any]:
        dataset.update(request.body)
        return dataset

    recorder.answer("PATCH", path, patch)
    given = {"datasetId": "dicom", "project": "research", "role": "roles/bigquery.dataEditor", "member": AGENT}
    identity, outputs = plugin.create(DATASET_MEMBER, given)
    policy_get = f"GET {path}?accessPolicyVersion=3"
    assert recorder.lines() == [policy_get, policy_get, f"PATCH {path}?accessPolicyVersion=3", policy_get]
    sent = recorder.bodies("PATCH")[0]["access"]
    assert view in sent
    assert {"role": "roles/bigquery.dataOwner", "specialGroup": "projectOwners"} in sent
    assert {"role": "roles/bigquery.dataEditor", "userByEmail": AGENT.removeprefix("serviceAccount:")} in sent
    assert {"role": "roles/bigquery.dataViewer", "groupByEmail": "research@example.org"} in sent
    assert len(sent) == 5
    assert identity == f"projects/research/datasets/dicom/roles/bigquery.dataEditor/{AGENT}"
    assert outputs["datasetId"] == "dicom"
    plugin.delete(DATASET_MEMBER, outputs)
    assert AGENT.removeprefix("serviceAccount:") not in str(dataset["access"])
    assert len(dataset["access"]) == 4


OTHERS: list[dict[str, Any]] = [
    {"role": "OWNER", "specialGroup": "projectOwners"},
    {"view": {"projectId": "research", "datasetId": "views", "tableId": "v"}},
    {"dataset": {"dataset": {"projectId": "research", "datasetId": "more"}, "targetTypes": ["VIEWS"]}},
    {"routine": {"projectId": "research", "datasetId": "more", "routineId": "f"}},
    {"role": "READER", "iamMember": "deleted:serviceAccount:old@p.iam.gserviceaccount.com?uid=123"},
    {"role": "WRITER", "userByEmail": "deleted:user:gone@example.org?uid=4"},
    {"role": "READER", "ofAKindToCome": "x"},
    {"role": "READER", "userByEmail": "a@example.org", "condition": {"title": "t", "expression": "true"}},
    {"role": "READER", "userByEmail": "a@example.org"},
]


def test_what_others_have_on_a_dataset_survives_a_grant_and_its_removal(plugin: Any, recorder: Any) -> None:
    # Authorised views, datasets and routines, members whose account is gone, entries of kinds that are not known here.
    path = "/bigquery/v2/projects/research/datasets/dicom"
    dataset: dict[str, Any] = {"etag": "e1", "access": OTHERS}
    recorder.answer("GET", path, lambda _request: dict(dataset))

    def patch(request: Any) -> Any:
        assert request.headers["If-Match"] == dataset["etag"]
        dataset.update(request.body, etag="e2")
        return dataset

    recorder.answer("PATCH", path, patch)
    given = {"datasetId": "dicom", "project": "research", "role": "roles/bigquery.dataEditor", "member": AGENT}
    _, outputs = plugin.create(DATASET_MEMBER, given)
    granted = {"role": "roles/bigquery.dataEditor", "userByEmail": AGENT.removeprefix("serviceAccount:")}
    names = {"OWNER": "roles/bigquery.dataOwner", "WRITER": granted["role"], "READER": "roles/bigquery.dataViewer"}
    others = [{**each, "role": names[each["role"]]} if "role" in each else each for each in OTHERS]
    assert dataset["access"] == [*others, granted]
    plugin.delete(DATASET_MEMBER, outputs)
    assert dataset["access"] == others


def test_a_dataset_that_others_changed_meanwhile_is_read_again(plugin: Any, recorder: Any) -> None:
    path = "/bigquery/v2/projects/research/datasets/dicom"
    first = {"etag": "e1", "access": []}
    theirs = {"etag": "e2", "access": [{"role": "READER", "groupByEmail": "theirs@example.org"}]}
    recorder.answer("GET", path, first, theirs)
    refused = (412, {"error": {"code": 412, "message": "Precondition Failed"}})
    recorder.answer("PATCH", path, refused, theirs)
    with pytest.raises(grpc.RpcError, match="is not in its policy"):
        plugin.create(
            DATASET_MEMBER,
            {"datasetId": "dicom", "role": "roles/bigquery.dataEditor", "member": AGENT, "project": "research"},
        )
    sent = recorder.bodies("PATCH")[-1]["access"]
    assert {"role": "roles/bigquery.dataViewer", "groupByEmail": "theirs@example.org"} in sent


def test_members_are_compared_without_case_but_principals_with_it(plugin: Any, recorder: Any) -> None:
    there = ["user:Alice@Example.org", "principal://iam.googleapis.com/p/subject/Anna"]
    policy = Policy(
        recorder,
        ("POST", f"{PROJECT}:getIamPolicy"),
        ("POST", f"{PROJECT}:setIamPolicy"),
        [{"role": "roles/bigquery.jobUser", "members": there}],
    )
    identity, _ = plugin.create(PROJECT_MEMBER, {**JOB_USER, "member": "user:alice@example.ORG"})
    assert policy.version == 1, "it has the role already"
    assert identity.endswith("user:Alice@Example.org")
    plugin.create(PROJECT_MEMBER, {**JOB_USER, "member": "principal://iam.googleapis.com/p/subject/anna"})
    assert policy.version == 2
    old, new = ({**JOB_USER, "member": each} for each in ("user:a@example.org", "user:A@Example.org"))
    assert list(plugin.diff(PROJECT_MEMBER, old, {**old, "id": "x"}, new).replaces) == []
