"""Buckets: insert, get, list, patch, update, delete, and their policies.

https://cloud.google.com/storage/docs/json_api/v1/buckets
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from ..cloud.policies import shown
from ..core.errors import ApiError
from ..core.projects import service_agent
from ..http.paging import page
from ..http.routing import Routes
from . import acls, conditions
from .access import bucket_for, holds, policy_key, project_for
from .bucket_settings import check_members, completed, refuse_unserved
from .encryption import check_default_key
from .errors import invalid_argument, policy_changed, required
from .resources import BUCKET_FIXED, BUCKET_SETTABLE, bucket_resource, known_fields, location_type
from .store import store, timestamp

if TYPE_CHECKING:
    from ..core.state import Document
    from ..http.call import Call

routes = Routes("storage")

#: https://cloud.google.com/storage/docs/buckets#naming
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_ADDRESS = re.compile(r"\d{1,3}(\.\d{1,3}){3}")

#: What a project's owners, editors and viewers hold on a new bucket (IAM page, "Legacy roles").
_FIRST_POLICY = (
    ("roles/storage.legacyBucketOwner", ("projectEditor", "projectOwner")),
    ("roles/storage.legacyBucketReader", ("projectViewer",)),
    ("roles/storage.legacyObjectOwner", ("projectEditor", "projectOwner")),
    ("roles/storage.legacyObjectReader", ("projectViewer",)),
)


@routes.method(
    "buckets.insert",
    note="lifecycle rules and autoclass change nothing by themselves, access logs are not written; IP filters, access "
    "control lists and retention of single objects are refused with 501",
)
def insert(call: Call) -> dict[str, Any]:
    """Create a bucket."""
    project = call.query.get("project")
    if not project:
        raise required("project")
    body = known_fields("Bucket", call.body)
    refuse_unserved(body)
    if call.query.get("enableObjectRetention") == "true":
        raise ApiError(501, "The emulator does not serve retention of single objects.")
    name = body.get("name", "")
    if not name:
        raise required("name")
    check_name(name)
    project = project_for(call, "storage.buckets.create", project)
    kept = store(call.emulator)
    with kept.lock:
        if (old := kept.buckets.get(name)) is not None:
            raise ApiError(
                409,
                "Your previous request to create the named bucket succeeded and you already own it."
                if old["project"] == project
                else "The requested bucket name is not available. The bucket namespace is shared by all users of the "
                "system. Please select a different name and try again.",
                reason="conflict",
            )
        location = (body.get("location") or "US").upper()
        moment = timestamp()
        fields = {key: body[key] for key in BUCKET_SETTABLE if body.get(key) is not None}
        check_default_key(call.emulator, {"project": project, "location": location}, fields)
        bucket: Document = {
            "project": project,
            "location": location,
            "metageneration": 1,
            "timeCreated": moment,
            "updated": moment,
            "fields": completed(name, fields, location, None),
        }
        with call.emulator.state.transaction():
            kept.buckets[name] = bucket
            call.emulator.iam.set(policy_key(name), {"bindings": _first_bindings(project)})
    return _shown(call, name, bucket)


@routes.method("buckets.get")
def get(call: Call) -> dict[str, Any]:
    """A bucket's metadata."""
    bucket = bucket_for(call, "storage.buckets.get")
    conditions.check(call.query, bucket)
    return _shown(call, call.path["bucket"], bucket)


@routes.method("buckets.list")
def list_buckets(call: Call) -> dict[str, Any]:
    """The buckets of a project."""
    if not call.query.get("project"):
        raise required("project")
    project = project_for(call, "storage.buckets.list", call.query["project"])
    kept = store(call.emulator)
    names = [
        name
        for name in kept.buckets.keys_under(call.query.get("prefix", ""))
        if kept.buckets[name]["project"] == project
    ]
    listed, token = page(names, call.page_size("maxResults", 1000, 1000), call.query.get("pageToken"))
    answer: dict[str, Any] = {"kind": "storage#buckets"}
    if listed:
        answer["items"] = [_shown(call, name, kept.buckets[name]) for name in listed]
    if token:
        answer["nextPageToken"] = token
    return answer


@routes.method("buckets.patch")
def patch(call: Call) -> dict[str, Any]:
    """Change some fields: a nested value is merged, null removes."""
    return _change(call, merge=True)


@routes.method("buckets.update")
def update(call: Call) -> dict[str, Any]:
    """Replace every field that can be changed."""
    return _change(call, merge=False)


@routes.method("buckets.delete")
def delete(call: Call) -> Response:
    """Delete an empty bucket."""
    name = call.path["bucket"]
    bucket = bucket_for(call, "storage.buckets.delete")
    conditions.check(call.query, bucket)
    kept = store(call.emulator)
    with kept.lock:
        if kept.names(name) or len(kept.versions(name)):
            raise ApiError(409, "The bucket you tried to delete is not empty.", reason="conflict")
        with call.emulator.state.transaction():
            del kept.buckets[name]
            call.emulator.iam.forget(policy_key(name))
    return Response(status_code=204)


@routes.method("buckets.lockRetentionPolicy")
def lock_retention_policy(call: Call) -> dict[str, Any]:
    """Lock the bucket's retention policy, for good."""
    name = call.path["bucket"]
    kept = store(call.emulator)
    if not call.query.get("ifMetagenerationMatch"):
        raise required("ifMetagenerationMatch")
    with kept.lock:
        bucket = bucket_for(call, "storage.buckets.update")
        conditions.check(call.query, bucket)
        policy = bucket["fields"].get("retentionPolicy")
        if policy is None:
            raise invalid_argument(f"Bucket '{name}' does not have a Retention Policy.")
        changed = {
            **bucket,
            "metageneration": bucket["metageneration"] + 1,
            "updated": timestamp(),
            "fields": {**bucket["fields"], "retentionPolicy": {**policy, "isLocked": True}},
        }
        kept.buckets[name] = changed
    return bucket_resource(name, changed, call.base_url)


@routes.method("buckets.getIamPolicy")
def get_iam_policy(call: Call) -> dict[str, Any]:
    """The bucket's own allow policy."""
    bucket_for(call, "storage.buckets.getIamPolicy")
    return _policy(call, call.emulator.iam.get(policy_key(call.path["bucket"])))


@routes.method("buckets.setIamPolicy")
def set_iam_policy(call: Call) -> dict[str, Any]:
    """Replace the bucket's allow policy."""
    name = call.path["bucket"]
    bucket = bucket_for(call, "storage.buckets.setIamPolicy")
    body = known_fields("Policy", call.body)
    check_members(bucket, body)
    kept = store(call.emulator)
    try:
        policy = call.emulator.iam.set(policy_key(name), body)
    except ApiError as error:
        if error.status == 409:
            raise policy_changed() from None
        raise
    kept.buckets[name] = {**bucket, "metageneration": bucket["metageneration"] + 1, "updated": timestamp()}
    return _policy(call, policy)


@routes.method("buckets.testIamPermissions")
def test_iam_permissions(call: Call) -> dict[str, Any]:
    """Which of the given permissions the caller holds on the bucket."""
    name = call.path["bucket"]
    bucket = store(call.emulator).bucket(name)
    asked = call.query.getlist("permissions")
    if not asked:
        raise required("permissions")
    answer: dict[str, Any] = {"kind": "storage#testIamPermissionsResponse"}
    if held := [permission for permission in asked if holds(call, permission, name, bucket)]:
        answer["permissions"] = held
    return answer


@routes.method("buckets.getStorageLayout")
def get_storage_layout(call: Call) -> dict[str, Any]:
    """Where a bucket is; ``gcloud storage`` asks whether it has folders."""
    name = call.path["bucket"]
    bucket = bucket_for(call, "storage.objects.list")
    return {
        "kind": "storage#storageLayout",
        "bucket": name,
        "location": bucket["location"],
        "locationType": location_type(bucket["location"], bucket["fields"]),
        "hierarchicalNamespace": {"enabled": False},
    }


@routes.method("anywhereCaches.list")
def list_anywhere_caches(call: Call) -> dict[str, Any]:
    """The caches of a bucket: there are none; the Terraform provider asks before it deletes a bucket."""
    bucket_for(call, "storage.buckets.get")
    return {"kind": "storage#anywhereCaches"}


@routes.method("managedFolders.list", note="managed folders can't be made")
def list_managed_folders(call: Call) -> dict[str, Any]:
    """The managed folders of a bucket: there are none; ``gcloud storage rm -r`` asks before it deletes a bucket."""
    bucket_for(call, "storage.managedFolders.list")
    return {"kind": "storage#managedFolders"}


@routes.method("projects.serviceAccount.get")
def get_service_account(call: Call) -> dict[str, Any]:
    """The e-mail of the project's Cloud Storage service agent."""
    project = project_for(call, "resourcemanager.projects.get", call.path["projectId"])
    return {
        "kind": "storage#serviceAccount",
        "email_address": service_agent("storage", project),
    }


def check_name(name: str) -> None:
    """Refuse what can't be the name of a bucket.

    Raises:
        ApiError: 400.
    """
    parts = name.split(".")
    good = (
        _NAME.fullmatch(name) is not None
        and not _ADDRESS.fullmatch(name)
        and not name.startswith("goog")
        and "google" not in name
        and all(0 < len(part) <= 63 for part in parts)
    )
    if not good:
        raise invalid_argument(f"Invalid bucket name: '{name}'")


def _change(call: Call, *, merge: bool) -> dict[str, Any]:
    name = call.path["bucket"]
    kept = store(call.emulator)
    with kept.lock:
        bucket = bucket_for(call, "storage.buckets.update")
        conditions.check(call.query, bucket)
        body = known_fields("Bucket", call.body, merge=merge)
        refuse_unserved(body)
        sent = {key: value for key, value in body.items() if key in BUCKET_SETTABLE and key not in BUCKET_FIXED}
        fixed = {key: value for key, value in bucket["fields"].items() if key in BUCKET_FIXED}
        fields = merged(bucket["fields"], sent) if merge else {**fixed, **merged({}, sent)}
        check_default_key(call.emulator, bucket, fields)
        changed = {
            **bucket,
            "metageneration": bucket["metageneration"] + 1,
            "updated": timestamp(),
            "fields": completed(name, fields, bucket["location"], bucket["fields"]),
        }
        kept.buckets[name] = changed
    return _shown(call, name, changed)


def _shown(call: Call, name: str, bucket: Document) -> dict[str, Any]:
    """A bucket as this call wants it: with or without access control lists."""
    resource = bucket_resource(name, bucket, call.base_url)
    if acls.wanted(call.method_id, call.query) and holds(call, "storage.buckets.getIamPolicy", name, bucket):
        resource |= acls.shown(name, bucket, call.emulator.iam.get(policy_key(name)), call.base_url)
    return resource


def merged(old: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A JSON merge patch (RFC 7396): objects are merged, null removes, everything else replaces."""
    result = dict(old)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            before = result.get(key)
            result[key] = merged(before if isinstance(before, dict) else {}, value)
        else:
            result[key] = value
    return result


def _first_bindings(project: str) -> list[dict[str, Any]]:
    return [{"role": role, "members": [f"{kind}:{project}" for kind in kinds]} for role, kinds in _FIRST_POLICY]


def _policy(call: Call, policy: dict[str, Any]) -> dict[str, Any]:
    answer = {"kind": "storage#policy", "resourceId": f"projects/_/buckets/{call.path['bucket']}", **policy}
    text = call.query.get("optionsRequestedPolicyVersion") or "1"
    # Below version 3 the bindings that have a condition are not shown.
    return shown(answer, int(text) if text in ("1", "2", "3") else 1)
