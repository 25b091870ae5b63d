"""Cloud Logging: ``entries:list`` and ``entries:write``, and the names of logs.

https://cloud.google.com/logging/docs/reference/v2/rest
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from ..core.errors import ApiError, invalid, not_found
from ..http.paging import page
from ..http.routing import Routes
from .logs import Logs
from .logs_filter import parse

if TYPE_CHECKING:
    from ..http.call import Call

routes = Routes("logging")

_PROJECT = re.compile(r"projects/([^/]+)")
_LOG_NAME = re.compile(r"projects/([^/]+)/logs/([^/]+)")
_ORDERS = ("", "timestamp asc", "timestamp desc", "timestamp")
_MOST_IN_A_PAGE = 1000


@routes.method("entries.list", blocking=True, note="projects only; of functions log_id and SEARCH of one text")
def list_entries(call: Call) -> dict[str, Any]:
    """One page of the entries that match."""
    body = call.body
    names = [*(body.get("resourceNames") or []), *(f"projects/{name}" for name in body.get("projectIds") or [])]
    if not names:
        raise invalid('resourceNames is missing: a list such as ["projects/PROJECT"] is expected')
    projects = [_allowed_project(call, name, "logging.logEntries.list") for name in names]
    order = " ".join((body.get("orderBy") or "").split())
    if order not in _ORDERS:
        raise invalid(f"orderBy: 'timestamp asc' or 'timestamp desc' is expected, not {order!r}")
    matches = parse(body.get("filter") or "")
    logs = call.emulator.service(Logs)
    found = [(entry["timestamp"], key, entry) for name in dict.fromkeys(projects) for key, entry in logs.of(name)]
    found = [item for item in found if matches(item[2])]
    descending = order.endswith("desc")
    found.sort(key=lambda item: item[:2], reverse=descending)
    size = min(int(body.get("pageSize") or 50), _MOST_IN_A_PAGE)
    if size < 0:
        raise invalid("pageSize must not be negative")
    if body.get("pageToken"):
        after = _decoded(body["pageToken"])
        found = [item for item in found if (item[:2] < after if descending else item[:2] > after)]
    answer: dict[str, Any] = {}
    if found:
        answer["entries"] = [entry for _, _, entry in found[:size]]
    if len(found) > size:
        moment, key, _ = found[size - 1]
        answer["nextPageToken"] = base64.urlsafe_b64encode(f"{moment} {key}".encode()).decode()
    return answer


@routes.method("entries.write")
def write_entries(call: Call) -> dict[str, Any]:
    """Write entries: all, or none if one is malformed."""
    body = call.body
    common = {key: body[key] for key in ("logName", "resource") if body.get(key)}
    labels = body.get("labels") or {}
    checked = []
    for entry in body.get("entries") or []:
        full = {**common, **{key: value for key, value in entry.items() if value is not None}}
        if labels or full.get("labels"):
            full["labels"] = {**labels, **(full.get("labels") or {})}
        found = _LOG_NAME.fullmatch(full.get("logName", ""))
        if found is None:
            name = full.get("logName", "")
            raise invalid(f"logName: projects/PROJECT/logs/LOG with a URL-encoded LOG is expected, not {name!r}")
        if "resource" not in full:
            raise invalid("resource is missing, in the request and in an entry")
        checked.append((_allowed_project(call, f"projects/{found[1]}", "logging.logEntries.create"), full))
    if not body.get("dryRun"):
        for project, full in checked:
            call.emulator.service(Logs).write(project, full)
    return {}


@routes.method("projects.logs.list", "logs.list")
def list_logs(call: Call) -> dict[str, Any]:
    """The names of the logs that have entries."""
    project = _allowed_project(call, f"projects/{call.path['projectsId']}", "logging.logs.list")
    names = sorted({entry["logName"] for _, entry in call.emulator.service(Logs).of(project)})
    shown, token = page(names, call.page_size("pageSize", 50, 1000), call.query.get("pageToken"))
    answer: dict[str, Any] = {"logNames": list(shown)} if shown else {}
    if token:
        answer["nextPageToken"] = token
    return answer


@routes.method("projects.logs.delete", "logs.delete")
def delete_log(call: Call) -> None:
    """Delete all entries of a log."""
    project = _allowed_project(call, f"projects/{call.path['projectsId']}", "logging.logs.delete")
    # The name of a log is kept as it is written: URL-encoded.
    name = call.raw_path.rpartition("/logs/")[2]
    logs = call.emulator.service(Logs)
    if not logs.delete(project, f"projects/{project}/logs/{name}"):
        raise not_found(f"Log {unquote(name)} does not exist")


def _allowed_project(call: Call, name: str, permission: str) -> str:
    found = _PROJECT.match(name)
    if found is None:
        raise ApiError(501, f"The emulator serves the logs of projects only, not of {name!r}.")
    project = call.emulator.projects.use(found[1])
    if not call.emulator.iam.allowed(call.principal, permission, f"projects/{project}"):
        raise ApiError(403, f"Permission '{permission}' denied on resource (or it may not exist).")
    return project


def _decoded(token: str) -> tuple[str, str]:
    try:
        moment, _, key = base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode().partition(" ")
    except (binascii.Error, UnicodeError, ValueError):
        raise invalid("page_token is not valid") from None
    return moment, key
