"""Access control lists of a bucket, as they follow from its policy; changing them by calls of their own is not served.

https://cloud.google.com/storage/docs/access-control/iam#acls: the legacy roles of a bucket's policy are its list. New
objects have the list ``projectPrivate``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.projects import project_number
from .resources import etag

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..core.state import Document

_ROLES = {
    "roles/storage.legacyBucketOwner": "OWNER",
    "roles/storage.legacyBucketWriter": "WRITER",
    "roles/storage.legacyBucketReader": "READER",
}
#: Members that are the people of a project: the team, and its role on new objects.
_TEAMS = {"projectOwner": "owners", "projectEditor": "editors", "projectViewer": "viewers"}
_PROJECT_PRIVATE = (("owners", "OWNER"), ("editors", "OWNER"), ("viewers", "READER"))
#: Calls that answer everything unless they ask for less (``projection`` of the discovery document).
_FULL_UNLESS_ASKED = frozenset({"patch", "update"})


def wanted(method_id: str, query: Mapping[str, str]) -> bool:
    """Whether a call wants access control lists in its answer."""
    default = "full" if method_id.rpartition(".")[2] in _FULL_UNLESS_ASKED else "noAcl"
    return query.get("projection", default) == "full"


def shown(name: str, bucket: Document, policy: dict[str, Any], base_url: str) -> dict[str, Any]:
    """``acl``, ``defaultObjectAcl`` and ``owner`` of a bucket; none with uniform bucket-level access.

    Args:
        name: its name.
        bucket: as kept.
        policy: its policy, as kept.
        base_url: root of the emulator, for the links.
    """
    if bucket["fields"]["iamConfiguration"]["uniformBucketLevelAccess"]["enabled"]:
        return {}
    number = project_number(bucket["project"])
    version = etag(bucket["metageneration"])
    bucket_entries = [
        {
            "kind": "storage#bucketAccessControl",
            "id": f"{name}/{entry['entity']}",
            "selfLink": f"{base_url}/storage/v1/b/{name}/acl/{entry['entity']}",
            "bucket": name,
            **entry,
            "etag": version,
        }
        for entry in _entries(policy)
    ]
    object_entries = [
        {"kind": "storage#objectAccessControl", **_team(number, team), "role": role, "etag": version}
        for team, role in _PROJECT_PRIVATE
    ]
    return {
        **({"acl": bucket_entries} if bucket_entries else {}),
        "defaultObjectAcl": object_entries,
        "owner": {"entity": f"project-owners-{number}"},
    }


def _entries(policy: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for binding in policy.get("bindings", ()):
        role = _ROLES.get(binding["role"])
        if role is None or "condition" in binding:
            continue
        for member in binding["members"]:
            kind, _, rest = member.partition(":")
            if kind in _TEAMS:
                yield {**_team(project_number(rest), _TEAMS[kind]), "role": role}
            elif not rest:
                yield {"entity": kind, "role": role}  # allUsers, allAuthenticatedUsers
            elif kind == "domain":
                yield {"entity": f"domain-{rest}", "domain": rest, "role": role}
            else:
                yield {"entity": f"{'group' if kind == 'group' else 'user'}-{rest}", "email": rest, "role": role}


def _team(number: str, team: str) -> dict[str, Any]:
    return {"entity": f"project-{team}-{number}", "projectTeam": {"projectNumber": number, "team": team}}
