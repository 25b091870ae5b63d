"""IAM: custom roles of projects, predefined roles, service accounts.

https://cloud.google.com/iam/docs/reference/rest. Policies hold custom roles by their names; whether such a role has a
permission is looked up when it is asked for, so that a change of the role changes what its members may do.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from ..core.errors import ApiError, invalid, not_found
from ..http.masks import patched, top_fields
from ..http.paging import page
from ..http.routing import Routes
from ..iam import same_etag
from ..iam.roles import PERMISSIONS, ROLES, permissions_of
from .policies import serve_policies
from .service_usage import unique_id

if TYPE_CHECKING:
    from ..core.runtime import Emulator
    from ..core.state import Collection, Document
    from ..http.call import Call

routes = Routes("iam")

#: https://cloud.google.com/iam/docs/creating-custom-roles
_ROLE_ID = re.compile(r"[a-zA-Z0-9_.]{3,64}")
_PERMISSION = re.compile(r"[a-z][a-zA-Z0-9-]*(\.[a-zA-Z0-9]+){2,3}")
_ROLE_FIELDS = ("title", "description", "includedPermissions", "stage")
#: https://cloud.google.com/iam/docs/service-accounts-create
_ACCOUNT_ID = re.compile(r"[a-z](?:[-a-z0-9]{4,28}[a-z0-9])")


@routes.method("projects.roles.create")
def create_role(call: Call) -> dict[str, Any]:
    """Create a custom role."""
    project = _project(call, "iam.roles.create")
    role_id = call.body.get("roleId") or ""
    if not _ROLE_ID.fullmatch(role_id):
        raise invalid(f"The role id {role_id!r} is malformed: 3 to 64 letters, digits, _ and . are expected.")
    name = f"projects/{project}/roles/{role_id}"
    kept = _roles(call.emulator)
    if name in kept:
        what = "You can't create a role with a role_id that was deleted recently" if kept[name].get("deleted") else None
        raise ApiError(409, what or f"A role named {role_id} in projects/{project} already exists.")
    sent = {key: value for key, value in (call.body.get("role") or {}).items() if value}
    role = _launched({"name": name, **{key: sent[key] for key in _ROLE_FIELDS if key in sent}})
    _check_permissions(role)
    kept[name] = _with_etag(role)
    return kept[name]


@routes.method("projects.roles.get")
def get_role(call: Call) -> dict[str, Any]:
    """A custom role."""
    return _role(call, "iam.roles.get")


@routes.method("projects.roles.list")
def list_roles(call: Call) -> dict[str, Any]:
    """The custom roles of a project."""
    project = _project(call, "iam.roles.list")
    kept = _roles(call.emulator)
    names = kept.keys_under(f"projects/{project}/roles/")
    if call.query.get("showDeleted") != "true":
        names = [name for name in names if not kept[name].get("deleted")]
    return _role_page(call, names, [kept[name] for name in names])


@routes.method("projects.roles.patch")
def patch_role(call: Call) -> dict[str, Any]:
    """Change a custom role: the fields of the mask, or those that are sent."""
    role = _role(call, "iam.roles.update")
    body = call.body
    if body.get("etag") and not same_etag(body["etag"], role["etag"]):
        raise ApiError(
            409,
            "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff.",
            name="ABORTED",
        )
    names = top_fields(call.query.get("updateMask")) or [name for name in _ROLE_FIELDS if name in body]
    if wrong := [name for name in names if name not in _ROLE_FIELDS]:
        raise invalid(f"updateMask: {', '.join(wrong)} can't be changed")
    changed = _launched(patched(role, body, names))
    _check_permissions(changed)
    _roles(call.emulator)[role["name"]] = _with_etag(changed)
    return _roles(call.emulator)[role["name"]]


@routes.method("projects.roles.delete")
def delete_role(call: Call) -> dict[str, Any]:
    """Delete a custom role: it stays as deleted, and gives nobody anything."""
    role = _role(call, "iam.roles.delete")
    if role.get("deleted"):
        raise ApiError(400, f"The role {role['name']} is deleted already.", name="FAILED_PRECONDITION")
    _roles(call.emulator)[role["name"]] = _with_etag({**role, "deleted": True})
    return _roles(call.emulator)[role["name"]]


@routes.method("projects.roles.undelete")
def undelete_role(call: Call) -> dict[str, Any]:
    """Take a deleted custom role back."""
    role = _role(call, "iam.roles.undelete")
    if not role.get("deleted"):
        raise ApiError(400, f"The role {role['name']} is not deleted.", name="FAILED_PRECONDITION")
    restored = {key: value for key, value in role.items() if key != "deleted"}
    _roles(call.emulator)[role["name"]] = _with_etag(restored)
    return _roles(call.emulator)[role["name"]]


@routes.method("roles.get", note="of a role's permissions those that the emulator checks")
def get_predefined_role(call: Call) -> dict[str, Any]:
    """A predefined role."""
    name = f"roles/{call.path['rolesId']}"
    if name not in ROLES:
        raise not_found(f"The role named {name} was not found.")
    return _predefined(name)


@routes.method("roles.list", note="the predefined roles that the emulator knows")
def list_predefined_roles(call: Call) -> dict[str, Any]:
    """The predefined roles."""
    names = sorted(ROLES)
    return _role_page(call, names, [_predefined(name) for name in names])


@routes.method("permissions.queryTestablePermissions", note="the permissions that the emulator checks")
def query_testable_permissions(call: Call) -> dict[str, Any]:
    """Permissions that a custom role can include; ``gcloud iam roles create`` asks."""
    if not call.body.get("fullResourceName"):
        raise invalid("fullResourceName is missing: //cloudresourcemanager.googleapis.com/projects/PROJECT is expected")
    names = sorted(PERMISSIONS)
    size = min(int(call.body.get("pageSize") or 100), 1000)
    shown, token = page(names, size, call.body.get("pageToken"))
    answer: dict[str, Any] = {"permissions": [{"name": name, "stage": "GA"} for name in shown]}
    if token:
        answer["nextPageToken"] = token
    return answer


@routes.method("projects.serviceAccounts.create")
def create_account(call: Call) -> dict[str, Any]:
    """Create a service account."""
    project = _project(call, "iam.serviceAccounts.create")
    account_id = call.body.get("accountId") or ""
    if not _ACCOUNT_ID.fullmatch(account_id):
        raise invalid(f"accountId {account_id!r}: 6 to 30 lower-case letters, digits and hyphens are expected.")
    email = f"{account_id}@{project}.iam.gserviceaccount.com"
    kept = _accounts(call.emulator)
    if email in kept:
        raise ApiError(
            409,
            f"Service account {account_id} already exists within project projects/{project}.",
            reason="alreadyExists",
        )
    sent = call.body.get("serviceAccount") or {}
    account: Document = {
        "name": f"projects/{project}/serviceAccounts/{email}",
        "projectId": project,
        "uniqueId": unique_id(email),
        "email": email,
        "oauth2ClientId": unique_id(email),
    }
    account.update({key: sent[key] for key in ("displayName", "description") if sent.get(key)})
    kept[email] = _with_etag(account)
    return kept[email]


@routes.method("projects.serviceAccounts.get")
def get_account(call: Call) -> dict[str, Any]:
    """A service account."""
    return _account(call, "iam.serviceAccounts.get")


@routes.method("projects.serviceAccounts.list")
def list_accounts(call: Call) -> dict[str, Any]:
    """The service accounts of a project."""
    project = _project(call, "iam.serviceAccounts.list")
    kept = _accounts(call.emulator)
    emails = sorted(email for email, account in kept.items() if account["projectId"] == project)
    shown, token = page(emails, call.page_size("pageSize", 20, 100), call.query.get("pageToken"))
    answer: dict[str, Any] = {"accounts": [kept[email] for email in shown]} if shown else {}
    if token:
        answer["nextPageToken"] = token
    return answer


@routes.method("projects.serviceAccounts.patch")
def patch_account(call: Call) -> dict[str, Any]:
    """Change the name or the description of a service account."""
    account = _account(call, "iam.serviceAccounts.update")
    sent = call.body.get("serviceAccount") or {}
    names = top_fields(call.body.get("updateMask"))
    if not names or any(name not in ("displayName", "description") for name in names):
        raise invalid("updateMask: display_name and description can be changed")
    changed = _with_etag(patched(account, sent, names))
    _accounts(call.emulator)[account["email"]] = changed
    return {key: changed[key] for key in ("name", *names) if key in changed}


@routes.method("projects.serviceAccounts.disable", note="kept and answered: who calls as the account is not refused")
def disable_account(call: Call) -> None:
    """Disable a service account."""
    account = _account(call, "iam.serviceAccounts.disable")
    _accounts(call.emulator)[account["email"]] = _with_etag({**account, "disabled": True})


@routes.method("projects.serviceAccounts.enable")
def enable_account(call: Call) -> None:
    """Enable a service account that is disabled."""
    account = _account(call, "iam.serviceAccounts.enable")
    enabled = {key: value for key, value in account.items() if key != "disabled"}
    _accounts(call.emulator)[account["email"]] = _with_etag(enabled)


@routes.method("projects.serviceAccounts.delete")
def delete_account(call: Call) -> None:
    """Delete a service account."""
    account = _account(call, "iam.serviceAccounts.delete")
    del _accounts(call.emulator)[account["email"]]
    call.emulator.iam.forget(account["name"])


def _roles(emulator: Emulator) -> Collection:
    return emulator.state.collection("iam.roles")


def _accounts(emulator: Emulator) -> Collection:
    return emulator.state.collection("iam.serviceAccounts")


def _project(call: Call, permission: str) -> str:
    project = call.emulator.projects.use(call.path["projectsId"])
    if not call.emulator.iam.allowed(call.principal, permission, f"projects/{project}"):
        raise ApiError(403, f"Permission '{permission}' denied on resource (or it may not exist).")
    return project


def _role(call: Call, permission: str) -> Document:
    name = f"projects/{_project(call, permission)}/roles/{call.path['rolesId']}"
    role = _roles(call.emulator).get(name)
    if role is None:
        raise not_found(f"The role named {name} was not found.")
    return role


def _account(call: Call, permission: str) -> Document:
    wanted = call.path["serviceAccountsId"]
    kept = _accounts(call.emulator)
    found = kept.get(wanted) or next((one for one in kept.values() if one["uniqueId"] == wanted), None)
    # "-" stands for the project of the account.
    project = call.path["projectsId"] if found is None or call.path["projectsId"] != "-" else found["projectId"]
    project = call.emulator.projects.use(project) if project != "-" else project
    keys = (f"projects/{project}/serviceAccounts/{wanted}", f"projects/{project}")
    if not call.emulator.iam.allowed(call.principal, permission, *keys):
        raise ApiError(403, f"Permission '{permission}' denied on resource (or it may not exist).")
    if found is None or found["projectId"] != project:
        raise not_found("Unknown service account", reason="notFound")
    return found


def _account_keys(call: Call) -> tuple[str, ...]:
    account = _account(call, "iam.serviceAccounts.getIamPolicy")
    return account["name"], f"projects/{account['projectId']}"


def _role_page(call: Call, names: list[str], roles: list[Document]) -> dict[str, Any]:
    by_name = dict(zip(names, roles, strict=True))
    shown, token = page(names, call.page_size("pageSize", 300, 1000), call.query.get("pageToken"))
    full = call.query.get("view") == "FULL"
    listed = [
        {key: value for key, value in by_name[name].items() if full or key != "includedPermissions"} for name in shown
    ]
    answer: dict[str, Any] = {"roles": listed} if listed else {}
    if token:
        answer["nextPageToken"] = token
    return answer


def _predefined(name: str) -> Document:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.removeprefix("roles/").replace(".", " "))
    return {
        "name": name,
        "title": words[:1].upper() + words[1:],
        "includedPermissions": permissions_of(name),
        "stage": "GA",
        "etag": "AA==",
    }


def _launched(role: Document) -> Document:
    """A role without a stage that is the first of the enum: such values are left out of answers."""
    return {key: value for key, value in role.items() if key != "stage" or value != "ALPHA"}


def _check_permissions(role: Document) -> None:
    for permission in role.get("includedPermissions", ()):
        if not _PERMISSION.fullmatch(permission):
            raise invalid(f"Permission {permission} is not valid.")


def _with_etag(document: Document) -> Document:
    plain = {key: value for key, value in document.items() if key != "etag"}
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).digest()
    return {**plain, "etag": base64.b64encode(b"\x07" + digest[:7]).decode()}


serve_policies(routes, "projects.serviceAccounts", "iam.serviceAccounts", _account_keys)
