"""The ``access`` list of a dataset, and the allow policy that says the same.

Legacy roles and IAM roles: https://cloud.google.com/bigquery/docs/access-control-basic-roles
"""

from __future__ import annotations

from typing import Any

from ..core.errors import invalid
from ..iam import OWNER

#: Legacy role of an access entry → IAM role.
ROLES: dict[str, str] = {
    "OWNER": "roles/bigquery.dataOwner",
    "WRITER": "roles/bigquery.dataEditor",
    "READER": "roles/bigquery.dataViewer",
}
_LEGACY = {role: legacy for legacy, role in ROLES.items()}

_SPECIAL: dict[str, str] = {
    "projectOwners": "projectOwner:{project}",
    "projectWriters": "projectEditor:{project}",
    "projectReaders": "projectViewer:{project}",
    "allAuthenticatedUsers": "allAuthenticatedUsers",
}
_GRANTEES = ("userByEmail", "groupByEmail", "domain", "specialGroup", "iamMember")
_RESOURCES = ("view", "routine", "dataset")

#: Who created a dataset when the caller's token names nobody.
_OWNER_EMAIL = "owner@example.com"


def default_access(principal: str) -> list[dict[str, Any]]:
    """What a new dataset's list is when the request has none.

    Args:
        principal: the IAM member that creates the dataset.
    """
    email = _OWNER_EMAIL if principal == OWNER else principal.partition(":")[2]
    return [
        {"role": "WRITER", "specialGroup": "projectWriters"},
        {"role": "OWNER", "specialGroup": "projectOwners"},
        {"role": "OWNER", "userByEmail": email},
        {"role": "READER", "specialGroup": "projectReaders"},
    ]


def checked_access(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """An access list with legacy roles where there is one; equal entries stay, as BigQuery keeps them.

    Raises:
        ApiError: 400 for an entry that names nobody, more than one grantee, or no role.
    """
    made: list[dict[str, Any]] = []
    for entry in entries:
        clean = {key: value for key, value in entry.items() if value not in (None, "")}
        names = [name for name in (*_GRANTEES, *_RESOURCES) if name in clean]
        if len(names) != 1:
            raise invalid(f"An access entry names exactly one of {', '.join((*_GRANTEES, *_RESOURCES))}; got {names}")
        if names[0] in _RESOURCES:
            clean.pop("role", None)
        else:
            clean = _with_role(clean)
        made.append(clean)
    return made


def _with_role(entry: dict[str, Any]) -> dict[str, Any]:
    role = entry.get("role")
    if not role:
        raise invalid(f"The access entry {entry} has no role")
    if role not in ROLES and not role.startswith(("roles/", "projects/", "organizations/")):
        raise invalid(f"Invalid value for role: {role} is not OWNER, WRITER, READER or an IAM role")
    group = entry.get("specialGroup")
    if group is not None and group not in _SPECIAL:
        raise invalid(f"Invalid value for specialGroup: {group} is none of {', '.join(_SPECIAL)}")
    made: dict[str, Any] = {"role": _LEGACY.get(role, role)}
    kind, _, name = str(entry.get("iamMember", "")).partition(":")
    if kind in ("user", "serviceAccount"):
        made["userByEmail"] = name
    elif kind == "group":
        made["groupByEmail"] = name
    elif kind == "domain":
        made["domain"] = name
    elif kind == "allAuthenticatedUsers":
        made["specialGroup"] = kind
    else:
        made.update({key: value for key, value in entry.items() if key in _GRANTEES})
    if entry.get("condition"):
        made["condition"] = entry["condition"]
    return made


def bindings(project: str, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The bindings of the allow policy that grants what the access list grants."""
    made: list[dict[str, Any]] = []
    for entry in entries:
        role = entry.get("role")
        if role is None:
            continue
        binding: dict[str, Any] = {"role": ROLES.get(role, role), "members": [_member(project, entry)]}
        if "condition" in entry:
            binding["condition"] = entry["condition"]
        made.append(binding)
    return made


def _member(project: str, entry: dict[str, Any]) -> str:
    if "userByEmail" in entry:
        email: str = entry["userByEmail"]
        return ("serviceAccount:" if "gserviceaccount" in email else "user:") + email
    if "groupByEmail" in entry:
        return f"group:{entry['groupByEmail']}"
    if "domain" in entry:
        return f"domain:{entry['domain']}"
    if "specialGroup" in entry:
        return _SPECIAL[entry["specialGroup"]].format(project=project)
    return str(entry["iamMember"])


def authorizes(entries: list[dict[str, Any]], project: str, dataset: str, table: str) -> bool:
    """Whether the list lets this view (or all views of its dataset) read the dataset that the list belongs to."""
    for entry in entries:
        view = entry.get("view")
        if view and (view.get("projectId"), view.get("datasetId"), view.get("tableId")) == (project, dataset, table):
            return True
        shared = entry.get("dataset", {}).get("dataset")
        if shared and (shared.get("projectId"), shared.get("datasetId")) == (project, dataset):
            return True
    return False
