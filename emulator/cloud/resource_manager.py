"""Resource Manager: projects and their policies, in version 1 and the basics of version 3.

Every project exists as soon as somebody names it, so none can be created or deleted here.
https://cloud.google.com/resource-manager/reference/rest
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..core.errors import ApiError, invalid
from ..core.patterns import wildcard
from ..core.projects import project_number
from ..http.paging import page
from ..http.routing import Routes
from .policies import held_permissions, policy_of, requested_version, shown

if TYPE_CHECKING:
    from ..http.call import Call

routes = Routes("cloudresourcemanager")

#: ``key:value`` or ``key=value`` of a list filter; a project matches if all of them do.
_TERM = re.compile(r'\s*(?:AND\s+)?([\w.]+)\s*[:=]\s*("[^"]*"|\S+)', re.IGNORECASE)
_TERM_KEYS = ("id", "projectid", "name", "displayname", "lifecyclestate", "state", "projectnumber")


def _denied(message: str = "The caller does not have permission") -> ApiError:
    return ApiError(403, message, reason="forbidden")


def _project(call: Call) -> str:
    for name in ("projectId", "projectsId", "resource"):
        if name in call.path:
            return call.emulator.projects.use(call.path[name].removeprefix("projects/"))
    raise KeyError("no project in the path")


def _resource(call: Call, project: str) -> dict[str, Any]:
    created = call.emulator.projects.created(project)
    number = project_number(project)
    if call.version == "v1":
        return {
            "projectNumber": number,
            "projectId": project,
            "lifecycleState": "ACTIVE",
            "name": project,
            "createTime": created,
        }
    return {
        "name": f"projects/{number}",
        "projectId": project,
        "state": "ACTIVE",
        "displayName": project,
        "createTime": created,
        "updateTime": created,
        "etag": f'W/"{number[:8]}"',
    }


@routes.method("projects.get")
def get(call: Call) -> dict[str, Any]:
    """A project."""
    project = _project(call)
    if not call.emulator.iam.allowed(call.principal, "resourcemanager.projects.get", f"projects/{project}"):
        raise _denied()
    return _resource(call, project)


@routes.method("projects.list", "projects.search")
def list_projects(call: Call) -> dict[str, Any]:
    """The projects that the caller may see."""
    wanted = _terms(call.query.get("filter") or call.query.get("query") or "")
    emulator = call.emulator
    ids = [
        project
        for project in emulator.projects.all()
        if _matches(project, wanted)
        and emulator.iam.allowed(call.principal, "resourcemanager.projects.get", f"projects/{project}")
    ]
    parent = call.query.get("parent", "")
    if parent and not re.fullmatch(r"(organizations|folders)/\d+", parent):
        raise invalid(f"parent: organizations/NUMBER or folders/NUMBER is expected, not {parent!r}")
    shown_ids, token = page([] if parent else ids, call.page_size("pageSize", 300, 1000), call.query.get("pageToken"))
    answer: dict[str, Any] = {}
    if shown_ids:
        answer["projects"] = [_resource(call, project) for project in shown_ids]
    if token:
        answer["nextPageToken"] = token
    return answer


@routes.method("projects.getAncestry")
def get_ancestry(call: Call) -> dict[str, Any]:
    """The project itself: there are no folders and organizations here."""
    project = _project(call)
    if not call.emulator.iam.allowed(call.principal, "resourcemanager.projects.get", f"projects/{project}"):
        raise _denied()
    return {"ancestor": [{"resourceId": {"type": "project", "id": project}}]}


@routes.method("projects.getIamPolicy")
def get_iam_policy(call: Call) -> dict[str, Any]:
    """The project's allow policy."""
    key = f"projects/{_project(call)}"
    if not call.emulator.iam.allowed(call.principal, "resourcemanager.projects.getIamPolicy", key):
        raise _denied()
    return shown(call.emulator.iam.get(key), requested_version(call))


@routes.method("projects.setIamPolicy")
def set_iam_policy(call: Call) -> dict[str, Any]:
    """Replace the project's allow policy; its auditConfigs only if the mask names them. They change nothing here."""
    key = f"projects/{_project(call)}"
    if not call.emulator.iam.allowed(call.principal, "resourcemanager.projects.setIamPolicy", key):
        raise _denied("Policy update access denied.")
    policy = policy_of(call)
    if "auditConfigs" not in re.split(r"\s*,\s*", call.body.get("updateMask") or ""):
        # Without a mask it is "bindings, etag" (discovery document, SetIamPolicyRequest).
        policy["auditConfigs"] = call.emulator.iam.get(key).get("auditConfigs")
    return call.emulator.iam.set(key, policy)


@routes.method("projects.testIamPermissions")
def test_iam_permissions(call: Call) -> dict[str, Any]:
    """Which of the given permissions the caller holds on the project."""
    return held_permissions(call, (f"projects/{_project(call)}",))


def _terms(text: str) -> list[tuple[str, str]]:
    terms = []
    at = 0
    text = text.strip()
    while at < len(text):
        found = _TERM.match(text, at)
        if found is None or found[1].lower() not in _TERM_KEYS:
            raise invalid(f"filter: KEY:VALUE with one of {', '.join(_TERM_KEYS)} is served, not {text!r}")
        terms.append((found[1].lower(), found[2].strip('"')))
        at = found.end()
    return terms


def _matches(project: str, terms: list[tuple[str, str]]) -> bool:
    for key, value in terms:
        if key in ("lifecyclestate", "state"):
            good = value.upper() == "ACTIVE"
        elif key == "projectnumber":
            good = value == project_number(project)
        else:
            good = wildcard(value.lower()).fullmatch(project) is not None
        if not good:
            return False
    return True
