"""IAM: allow policies of resources, and whether a principal holds a permission.

A policy belongs to a resource and is inherited by everything below it. Resources are named by *policy keys*:

========================  =====================================================================
project                   ``projects/P``
Healthcare dataset        ``projects/P/locations/L/datasets/D``
DICOM store               ``projects/P/locations/L/datasets/D/dicomStores/S``
BigQuery dataset          ``bigquery/P/D`` (kept in step with the dataset's ``access`` list)
bucket                    ``b/BUCKET``
topic, key ring, key      their resource names
========================  =====================================================================
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from typing import TYPE_CHECKING, Any

from ..core.errors import ApiError, invalid
from . import conditions
from .roles import ROLES, holds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..core.projects import Projects
    from ..core.settings import Settings
    from ..core.state import Collection, State

#: Who calls with a token that names nobody: the person who runs the emulator. May do everything.
OWNER = "owner"

_MEMBER_KINDS = (
    "user",
    "serviceAccount",
    "group",
    "domain",
    "principal",
    "principalSet",
    "deleted",
    "projectOwner",
    "projectEditor",
    "projectViewer",
)
#: Kinds of members that stand for those with a basic role on a project.
_CONVENIENCE = {"projectOwner": "roles/owner", "projectEditor": "roles/editor", "projectViewer": "roles/viewer"}
_URL_SAFE = str.maketrans("+/", "-_")
_PUBLIC = ("allUsers", "allAuthenticatedUsers")
_HEALTHCARE_AGENT = "@gcp-sa-healthcare.iam.gserviceaccount.com"


def concurrent_change(sent: str, current: str) -> str:
    """What is said when a policy changed since it was read (pulumi/pulumi-google-native issue 862)."""
    return (
        "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff. "
        f"The request's ETag '{sent}' did not match the current policy's ETag '{current}'."
    )


class Iam:
    """All allow policies."""

    def __init__(self, state: State, settings: Settings, projects: Projects) -> None:
        self._policies: Collection = state.collection("iam.policies")
        self._roles: Collection = state.collection("iam.roles")
        self._settings = settings
        self._projects = projects
        self._lock = state.lock

    def allowed(self, principal: str, permission: str, *resources: str) -> bool:
        """Whether the principal holds the permission on any of the resources.

        Args:
            principal: an IAM member (``user:alice@example.org``) or ``owner``.
            permission: for instance ``healthcare.datasets.get``.
            resources: policy keys, from the resource itself up to its project.
        """
        return self._granted(principal, resources, lambda role: self._role_holds(role, permission))

    def has_role(self, principal: str, role: str, resource: str) -> bool:
        """Whether the principal was granted this very role on this very resource.

        Args:
            principal: an IAM member or ``owner``.
            role: name of a role.
            resource: policy key.
        """
        return self._granted(principal, (resource,), lambda granted: granted == role)

    def _granted(self, principal: str, resources: Iterable[str], fits: Callable[[str], bool]) -> bool:
        """Whether the principal was granted a fitting role on any of the resources, and that is in effect."""
        if principal == OWNER or not self._settings.enforce_iam:
            return True
        moment = time.time()
        effective = moment - self._settings.iam_propagation_seconds
        for resource in resources:
            policy = self._policies.get(resource)
            if policy is None:
                continue
            since = policy.get("since", {})
            for binding in policy.get("bindings", ()):
                role = binding["role"]
                if not fits(role):
                    continue
                if "condition" in binding and not conditions.parse(binding["condition"]["expression"])(moment):
                    continue
                for member in binding["members"]:
                    if self._is(principal, member) and since.get(f"{role} {member}", 0.0) <= effective:
                        return True
        return False

    def require(self, principal: str, permission: str, *resources: str) -> None:
        """Refuse a principal without the permission.

        Raises:
            ApiError: 403; the text is the one of Google's newer APIs.
        """
        if not self.allowed(principal, permission, *resources):
            raise ApiError(
                403,
                f"Permission {permission} denied on resource {resources[0]} (or it may be malformed or not exist)",
            )

    def get(self, resource: str) -> dict[str, Any]:
        """The policy of one resource (not those above it), as ``getIamPolicy`` answers it."""
        policy = self._policies.get(resource)
        if policy is None:
            return {"etag": "ACAB"}  # a policy that was never set has no version
        # An empty list is left out, as JSON answers of Google's APIs leave out every field with its default.
        return {key: value for key, value in policy.items() if key != "since" and value != []}

    def resources(self) -> list[str]:
        """The policy keys of all resources that have a policy, sorted."""
        return sorted(self._policies)

    def set(self, resource: str, policy: dict[str, Any]) -> dict[str, Any]:
        """Replace the policy of a resource.

        Args:
            resource: policy key.
            policy: ``bindings`` with ``role``, ``members`` and perhaps a ``condition``, ``auditConfigs``; with an
                ``etag`` the policy is only replaced if it is still the one that was read.

        Returns:
            The policy as kept, with its new etag.

        Raises:
            ApiError: 409 if the policy changed meanwhile; 400 for malformed members, unknown roles and members that
                do not exist.
        """
        with self._lock:
            old = self._policies.get(resource, {})
            etag = policy.get("etag")
            if etag and not same_etag(etag, self.get(resource)["etag"]):
                raise ApiError(
                    409,
                    concurrent_change(etag, self.get(resource)["etag"]),
                    name="ABORTED",
                )
            bindings = [self._checked(binding) for binding in policy.get("bindings") or ()]
            bindings = [binding for binding in _merged(bindings) if binding["members"]]
            before = old.get("since", {})
            moment = time.time()
            since = {}
            for binding in bindings:
                for member in binding["members"]:
                    key = f"{binding['role']} {member}"
                    since[key] = before.get(key, moment)
            version = 3 if any("condition" in binding for binding in bindings) else 1
            kept: dict[str, Any] = {"version": version, "bindings": bindings}
            if policy.get("auditConfigs"):
                kept["auditConfigs"] = policy["auditConfigs"]
            digest = hashlib.sha256(json.dumps([kept, moment]).encode()).digest()
            # Eight bytes in base64, so that clients that decode it send the same text back.
            kept["etag"] = base64.b64encode(b"\x07" + digest[:7]).decode()
            kept["since"] = since
            self._policies[resource] = kept
            return self.get(resource)

    def forget(self, resource: str) -> None:
        """Drop the policies of a deleted resource and of everything below it."""
        with self._lock:
            for key in [resource, *self._policies.keys_under(resource + "/")]:
                self._policies.pop(key, None)

    def _role_holds(self, role: str, permission: str) -> bool:
        if not role.startswith("projects/"):
            return holds(role, permission)
        custom = self._roles.get(role, {})
        return not custom.get("deleted") and permission in custom.get("includedPermissions", ())

    def _is(self, principal: str, member: str) -> bool:
        kind, _, rest = member.partition(":")
        basic = _CONVENIENCE.get(kind)
        if basic is None:
            return _is(principal, member)
        # Everybody who has a basic role on the project: a convenience of buckets and BigQuery datasets.
        bindings = self._policies.get(f"projects/{rest}", {}).get("bindings", ())
        members = [one for binding in bindings if binding["role"] == basic for one in binding["members"]]
        return any(_is(principal, one) for one in members)

    def _checked(self, binding: dict[str, Any]) -> dict[str, Any]:
        role = binding.get("role") or ""
        custom = role.startswith(("projects/", "organizations/"))
        if role not in ROLES and not custom and not role.startswith("roles/"):
            raise invalid(f"Role {role} is not supported for this resource.")
        if role.startswith("projects/") and self._roles.get(role, {"deleted": True}).get("deleted"):
            raise invalid(f"Role ({role}) does not exist in the resource's hierarchy.")
        members = []
        for member in binding.get("members") or ():
            kind, colon, rest = member.partition(":")
            if member not in _PUBLIC and (kind not in _MEMBER_KINDS or not colon or not rest):
                raise invalid(
                    f"Invalid value for member: {member}. "
                    "A member is written as user:, serviceAccount:, group: or domain: and a name."
                )
            if kind == "serviceAccount" and rest.endswith(_HEALTHCARE_AGENT):
                self._projects.require_service_agent(rest)
            members.append(
                member if kind in ("principal", "principalSet") or rest.startswith("principal") else _lowered(member)
            )
        checked: dict[str, Any] = {"role": role, "members": sorted(set(members))}
        if binding.get("condition"):
            conditions.parse(binding["condition"].get("expression") or "")
            checked["condition"] = binding["condition"]
        return checked


def same_etag(one: str, other: str) -> bool:
    """Whether two etags are the same bytes: clients that decode them send them back in either alphabet of base64."""
    return one.translate(_URL_SAFE) == other.translate(_URL_SAFE)


def _lowered(member: str) -> str:
    """A member with its address in small letters, as Google keeps it. The kinds keep their spelling."""
    kind, colon, rest = member.partition(":")
    if kind == "deleted":
        return f"{kind}{colon}{_lowered(rest)}"
    return f"{kind}{colon}{rest.lower()}"


def _merged(bindings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    by_role: dict[str, dict[str, Any]] = {}
    for binding in bindings:
        key = binding["role"] + json.dumps(binding.get("condition"), sort_keys=True)
        known = by_role.setdefault(key, {**binding, "members": []})
        known["members"] = sorted({*known["members"], *binding["members"]})
    return list(by_role.values())


def _is(principal: str, member: str) -> bool:
    if member == "allUsers" or member == "allAuthenticatedUsers":
        return True
    if member.startswith("domain:"):
        domain = member.removeprefix("domain:").lower()
        return principal.startswith("user:") and principal.lower().endswith(f"@{domain}")
    if member.startswith("principal"):
        return member == principal
    return member.lower() == principal.lower()
