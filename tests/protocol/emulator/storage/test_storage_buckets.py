"""Buckets and their policies: https://cloud.google.com/storage/docs/json_api/v1/buckets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from emulator.core.projects import project_number

PROJECT = "hospital-imaging"
ALICE = "user:alice@example.org"

REFUSED = [
    ("", {"name": "b-1"}, 400, "project", "required"),
    ("?project=hospital-imaging", {}, 400, "name", "required"),
    ("?project=hospital-imaging", {"name": "Upper"}, 400, "Invalid bucket name: 'Upper'", "invalid"),
    ("?project=hospital-imaging", {"name": "ab"}, 400, "Invalid bucket name", "invalid"),
    ("?project=hospital-imaging", {"name": "x" * 64}, 400, "Invalid bucket name", "invalid"),
    ("?project=hospital-imaging", {"name": "192.168.5.4"}, 400, "Invalid bucket name", "invalid"),
    ("?project=hospital-imaging", {"name": "google-images"}, 400, "Invalid bucket name", "invalid"),
    ("?project=hospital-imaging", {"name": "good-1", "storageClass": "FAST"}, 400, "storage class", "invalid"),
    ("?project=hospital-imaging", {"name": "good-1", "labels": {"Team": "x"}}, 400, "label", "invalid"),
    ("?project=hospital-imaging", {"name": "good-1", "labels": "x"}, 400, "labels", "invalid"),
    ("?project=No", {"name": "good-1"}, 400, "project", "invalid"),
]


@pytest.mark.parametrize(("query", "body", "status", "text", "reason"), REFUSED)
def test_a_bucket_that_can_not_be_is_refused(
    rest: Callable[..., Any], query: str, body: dict[str, Any], status: int, text: str, reason: str
) -> None:
    answer = rest("POST", f"/storage/v1/b{query}", body)
    assert (answer.status, answer.reason) == (status, reason)
    assert text in answer.message


def test_a_name_is_taken_once(rest: Callable[..., Any], bucket: str) -> None:
    mine = rest("POST", f"/storage/v1/b?project={PROJECT}", {"name": bucket})
    assert (mine.status, mine.reason) == (409, "conflict")
    assert "you already own it" in mine.message
    others = rest("POST", "/storage/v1/b?project=research-analytics", {"name": bucket})
    assert (others.status, others.reason) == (409, "conflict")
    assert "not available" in others.message


def test_a_new_bucket_has_googles_defaults(rest: Callable[..., Any]) -> None:
    created = rest("POST", f"/storage/v1/b?project={project_number(PROJECT)}", {"name": "b-1"})
    assert created.status == 400, "a number of a project that was never used means nothing"
    created = rest("POST", f"/storage/v1/b?project={PROJECT}", {"name": "b-1", "unknown": 1}).json
    assert created == rest("GET", "/storage/v1/b/b-1").json
    assert created["location"] == "US"
    assert created["locationType"] == "multi-region"
    assert created["storageClass"] == "STANDARD"
    assert created["projectNumber"] == project_number(PROJECT)
    assert created["metageneration"] == "1"
    assert created["etag"] == "CAE="
    assert created["iamConfiguration"]["uniformBucketLevelAccess"] == {"enabled": False}
    assert created["iamConfiguration"]["publicAccessPrevention"] == "inherited"
    assert created["softDeletePolicy"]["retentionDurationSeconds"] == "604800"
    assert "unknown" not in created


@pytest.mark.parametrize(
    ("location", "kind"), [("eu", "multi-region"), ("europe-west4", "region"), ("eur4", "dual-region")]
)
def test_a_location_is_answered_in_capitals(rest: Callable[..., Any], location: str, kind: str) -> None:
    created = rest("POST", f"/storage/v1/b?project={PROJECT}", {"name": "b-1", "location": location}).json
    assert (created["location"], created["locationType"]) == (location.upper(), kind)


def test_a_patch_merges_and_null_removes(rest: Callable[..., Any], bucket: str) -> None:
    path = f"/storage/v1/b/{bucket}"
    rest("PATCH", path, {"labels": {"team": "radiology", "site": "a"}, "versioning": {"enabled": False}})
    rest("PATCH", path, {"iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}}})
    changed = rest("PATCH", path, {"labels": {"site": None}, "location": "US"}).json
    assert changed["labels"] == {"team": "radiology"}
    assert changed["metageneration"] == "4"
    assert changed["etag"] == "CAQ="
    assert changed["location"] == "EU", "where a bucket is never changes"
    access = changed["iamConfiguration"]
    assert access["uniformBucketLevelAccess"]["enabled"] is True
    assert access["bucketPolicyOnly"] == access["uniformBucketLevelAccess"]
    assert access["publicAccessPrevention"] == "inherited"


def test_an_update_replaces_what_is_not_sent(rest: Callable[..., Any], bucket: str) -> None:
    path = f"/storage/v1/b/{bucket}"
    rest("PATCH", path, {"labels": {"team": "radiology"}})
    rule = {"action": {"type": "Delete"}, "condition": {"age": 30}}
    changed = rest("PUT", path, {"lifecycle": {"rule": [rule]}}).json
    assert "labels" not in changed
    assert changed["lifecycle"] == {"rule": [rule]}


def test_a_change_with_an_old_metageneration_is_refused(rest: Callable[..., Any], bucket: str) -> None:
    path = f"/storage/v1/b/{bucket}"
    answer = rest("PATCH", f"{path}?ifMetagenerationMatch=2", {"labels": {"a": "b"}})
    assert (answer.status, answer.reason) == (412, "conditionNotMet")
    assert rest("DELETE", f"{path}?ifMetagenerationNotMatch=1").status == 412


def test_only_an_empty_bucket_is_deleted(rest: Callable[..., Any], bucket: str) -> None:
    rest("POST", f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name=x", b"data")
    answer = rest("DELETE", f"/storage/v1/b/{bucket}")
    assert (answer.status, answer.reason) == (409, "conflict")
    assert answer.message == "The bucket you tried to delete is not empty."
    rest("DELETE", f"/storage/v1/b/{bucket}/o/x")
    assert rest("DELETE", f"/storage/v1/b/{bucket}").status == 204
    gone = rest("GET", f"/storage/v1/b/{bucket}")
    assert (gone.status, gone.message) == (404, "The specified bucket does not exist.")


def test_buckets_are_listed_by_project_and_prefix_in_pages(rest: Callable[..., Any]) -> None:
    for name, project in (("a-1", PROJECT), ("a-2", PROJECT), ("a-3", "research-analytics"), ("b-1", PROJECT)):
        rest("POST", f"/storage/v1/b?project={project}", {"name": name})
    assert rest("GET", "/storage/v1/b").status == 400
    first = rest("GET", f"/storage/v1/b?project={PROJECT}&maxResults=2").json
    second = rest("GET", f"/storage/v1/b?project={PROJECT}&maxResults=2&pageToken={first['nextPageToken']}").json
    assert [item["name"] for item in first["items"] + second["items"]] == ["a-1", "a-2", "b-1"]
    assert "nextPageToken" not in second
    assert [one["name"] for one in rest("GET", f"/storage/v1/b?project={PROJECT}&prefix=b").json["items"]] == ["b-1"]


def test_a_policy_that_changed_meanwhile_is_not_replaced(rest: Callable[..., Any], bucket: str) -> None:
    path = f"/storage/v1/b/{bucket}/iam"
    read = rest("GET", f"{path}?optionsRequestedPolicyVersion=3").json
    assert read["kind"] == "storage#policy"
    assert read["resourceId"] == f"projects/_/buckets/{bucket}"
    binding = {"role": "roles/storage.objectViewer", "members": [ALICE]}
    written = rest("PUT", path, {**read, "bindings": [*read["bindings"], binding]})
    assert written.status == 200
    assert binding in written.json["bindings"]
    late = rest("PUT", path, {**read, "bindings": []})
    assert (late.status, late.reason) == (412, "conditionNotMet")


@pytest.mark.parametrize(
    ("binding", "text"),
    [
        ({"role": "roles/storage.admin", "members": ["alice@example.org"]}, "alice@example.org"),
        ({"role": "storage.admin", "members": [ALICE]}, "storage.admin"),
        ({"role": "projects/hospital-imaging/roles/none", "members": [ALICE]}, "projects/hospital-imaging/roles/none"),
        (
            {
                "role": "roles/storage.admin",
                "members": ["serviceAccount:service-123456789012@gcp-sa-healthcare.iam.gserviceaccount.com"],
            },
            "does not exist",
        ),
    ],
)
def test_a_binding_that_can_not_be_is_refused(
    rest: Callable[..., Any], bucket: str, binding: dict[str, Any], text: str
) -> None:
    answer = rest("PUT", f"/storage/v1/b/{bucket}/iam", {"bindings": [binding]})
    assert answer.status == 400
    assert text in answer.message


def grant(rest: Callable[..., Any], bucket: str, role: str, member: str) -> None:
    path = f"/storage/v1/b/{bucket}/iam"
    policy = rest("GET", path).json
    policy["bindings"].append({"role": role, "members": [member]})
    assert rest("PUT", path, policy).status == 200


def test_a_condition_on_time_decides_when_it_is_asked(rest: Callable[..., Any], bucket: str) -> None:
    path = f"/storage/v1/b/{bucket}/iam"
    for moment, held in (("2001-01-01T00:00:00Z", False), ("2999-01-01T00:00:00Z", True)):
        condition = {"title": "until", "expression": f'request.time < timestamp("{moment}")'}
        binding = {"role": "roles/storage.objectViewer", "members": [ALICE], "condition": condition}
        assert rest("PUT", path, {"bindings": [binding], "version": 3}).status == 200
        answer = rest("GET", f"/storage/v1/b/{bucket}/o", who=ALICE)
        assert answer.status == (200 if held else 403)
    assert "bindings" in rest("GET", f"{path}?optionsRequestedPolicyVersion=3").json
    assert "bindings" not in rest("GET", path).json


# What each call needs, by Google's page "IAM permissions for JSON methods".
NEEDS = [
    ("POST", "/storage/v1/b?project=hospital-imaging", {"name": "b-2"}, "storage.buckets.create", "project"),
    ("GET", "/storage/v1/b?project=hospital-imaging", None, "storage.buckets.list", "project"),
    ("GET", "/storage/v1/b/BUCKET", None, "storage.buckets.get", "bucket"),
    ("PATCH", "/storage/v1/b/BUCKET", {}, "storage.buckets.update", "bucket"),
    ("PUT", "/storage/v1/b/BUCKET", {}, "storage.buckets.update", "bucket"),
    ("DELETE", "/storage/v1/b/BUCKET", None, "storage.buckets.delete", "bucket"),
    ("GET", "/storage/v1/b/BUCKET/iam", None, "storage.buckets.getIamPolicy", "bucket"),
    ("PUT", "/storage/v1/b/BUCKET/iam", {}, "storage.buckets.setIamPolicy", "bucket"),
    ("GET", "/storage/v1/b/BUCKET/o", None, "storage.objects.list", "bucket"),
    ("GET", "/storage/v1/b/BUCKET/o/x", None, "storage.objects.get", "object"),
    ("GET", "/storage/v1/b/BUCKET/o/x?alt=media", None, "storage.objects.get", "object"),
    ("PATCH", "/storage/v1/b/BUCKET/o/x", {}, "storage.objects.update", "object"),
    ("DELETE", "/storage/v1/b/BUCKET/o/x", None, "storage.objects.delete", "object"),
    ("POST", "/storage/v1/b/BUCKET/o/x/copyTo/b/BUCKET/o/y", {}, "storage.objects.get", "object"),
    (
        "POST",
        "/storage/v1/b/BUCKET/o/y/compose",
        {"sourceObjects": [{"name": "x"}]},
        "storage.objects.create",
        "object",
    ),
    ("POST", "/upload/storage/v1/b/BUCKET/o?uploadType=media&name=y", b"", "storage.objects.create", "object"),
    ("POST", "/upload/storage/v1/b/BUCKET/o?uploadType=resumable&name=y", {}, "storage.objects.create", "object"),
]


@pytest.mark.parametrize(("http_method", "path", "body", "permission", "kind"), NEEDS)
def test_the_refusal_names_the_caller_and_the_permission(
    rest: Callable[..., Any], bucket: str, http_method: str, path: str, body: Any, permission: str, kind: str
) -> None:
    rest("POST", f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name=x", b"data")
    answer = rest(http_method, path.replace("BUCKET", bucket), body, who=ALICE)
    assert (answer.status, answer.reason) == (403, "forbidden")
    what = "Google Cloud project" if kind == "project" else f"Google Cloud Storage {kind}"
    assert answer.message == (
        f"alice@example.org does not have {permission} access to the {what}. "
        f"Permission '{permission}' denied on resource (or it may not exist)."
    )


def test_who_may_not_list_does_not_learn_what_is_missing(rest: Callable[..., Any], bucket: str) -> None:
    grant(rest, bucket, "roles/storage.legacyObjectReader", ALICE)
    answer = rest("GET", f"/storage/v1/b/{bucket}/o/missing", who=ALICE)
    assert answer.status == 403
    assert "storage.objects.list" in answer.message
    grant(rest, bucket, "roles/storage.objectViewer", ALICE)
    assert rest("GET", f"/storage/v1/b/{bucket}/o/missing", who=ALICE).status == 404


def test_creating_is_not_enough_to_overwrite(rest: Callable[..., Any], bucket: str) -> None:
    grant(rest, bucket, "roles/storage.objectCreator", ALICE)
    path = f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name=x"
    assert rest("POST", path, b"1", who=ALICE).status == 200
    answer = rest("POST", path, b"2", who=ALICE)
    assert answer.status == 403
    assert "storage.objects.delete" in answer.message
    grant(rest, bucket, "roles/storage.objectAdmin", ALICE)
    assert rest("POST", path, b"2", who=ALICE).status == 200


def test_a_role_on_the_project_counts_for_its_buckets(rest: Callable[..., Any], bucket: str) -> None:
    policy = {"bindings": [{"role": "roles/storage.objectViewer", "members": [ALICE]}]}
    rest("POST", "/v1/projects/research-analytics:setIamPolicy", {"policy": policy})
    assert rest("GET", f"/storage/v1/b/{bucket}/o", who=ALICE).status == 403
    rest("POST", f"/v1/projects/{PROJECT}:setIamPolicy", {"policy": policy})
    assert rest("GET", f"/storage/v1/b/{bucket}/o", who=ALICE).status == 200
    asked = (
        f"/storage/v1/b/{bucket}/iam/testPermissions?permissions=storage.objects.get&permissions=storage.objects.delete"
    )
    assert rest("GET", asked, who=ALICE).json["permissions"] == ["storage.objects.get"]


@pytest.mark.parametrize(
    ("role", "readable", "writable"),
    [("roles/viewer", True, False), ("roles/editor", True, True), ("roles/owner", True, True)],
)
def test_basic_roles_of_the_project_reach_into_its_buckets(
    rest: Callable[..., Any], bucket: str, role: str, readable: bool, writable: bool
) -> None:
    rest("POST", f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name=x", b"data")
    rest("POST", f"/v1/projects/{PROJECT}:setIamPolicy", {"policy": {"bindings": [{"role": role, "members": [ALICE]}]}})
    assert (rest("GET", f"/storage/v1/b/{bucket}/o/x?alt=media", who=ALICE).status == 200) is readable
    upload = rest("POST", f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name=y", b"data", who=ALICE)
    assert (upload.status == 200) is writable


def test_a_custom_role_gives_what_it_includes_until_it_is_deleted(rest: Callable[..., Any], bucket: str) -> None:
    roles = f"/v1/projects/{PROJECT}/roles"
    rest(
        "POST",
        roles,
        {"roleId": "lister", "role": {"title": "Lister", "includedPermissions": ["storage.objects.list"]}},
    )
    grant(rest, bucket, f"projects/{PROJECT}/roles/lister", ALICE)
    assert rest("GET", f"/storage/v1/b/{bucket}/o", who=ALICE).status == 200
    assert rest("GET", f"/storage/v1/b/{bucket}/o/x", who=ALICE).status == 403
    changed = {"includedPermissions": ["storage.objects.list", "storage.objects.get"]}
    rest("PATCH", f"{roles}/lister?updateMask=includedPermissions", changed)
    assert rest("GET", f"/storage/v1/b/{bucket}/o/x", who=ALICE).status == 404
    rest("DELETE", f"{roles}/lister")
    assert rest("GET", f"/storage/v1/b/{bucket}/o", who=ALICE).status == 403


def test_the_storage_service_agent_and_the_caches_are_answered(rest: Callable[..., Any], bucket: str) -> None:
    agent = rest("GET", f"/storage/v1/projects/{PROJECT}/serviceAccount").json
    assert agent["email_address"] == f"service-{project_number(PROJECT)}@gs-project-accounts.iam.gserviceaccount.com"
    assert rest("GET", f"/storage/v1/b/{bucket}/anywhereCaches").status == 200
    assert rest("GET", f"/storage/v1/b/{bucket}/storageLayout").json["hierarchicalNamespace"] == {"enabled": False}
