"""What else there is to see: policies, log entries, received calls."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

from ..cloud.logs import Logs
from ..cloud.logs_filter import parse
from ..core.errors import ApiError
from .html import Html, el, join
from .layout import Page
from .parts import anchor, code, details, filter_box, lines, pill, pretty, section, table, when

if TYPE_CHECKING:
    from ..http.exchange import ServedApis
    from .layout import Parameters

_ENTRIES = 200
_CALLS = 300


async def iam_page(apis: ServedApis, _: Parameters) -> Page:
    """All allow policies and custom roles."""
    emulator = apis.emulator
    parts = []
    for key in emulator.iam.resources():
        rows = []
        granted = emulator.iam.get(key).get("bindings", [])
        conditional = any("condition" in one for one in granted)
        columns = ["Role", "Members", *(["Condition"] if conditional else [])]
        for binding in granted:
            condition = binding.get("condition", {}).get("expression")
            cells = [code(binding["role"]), lines(binding["members"]), code(condition) if condition else ""]
            rows.append(cells[: len(columns)])
        bindings = table(columns, rows, empty="Nobody holds anything here.", caption=key)
        parts.append(section(_resource(key), bindings, id_=anchor(key)))
    roles = emulator.state.collection("iam.roles")
    custom = [[code(name), lines(roles[name].get("includedPermissions", ()))] for name in roles.keys_under("")]
    if custom:
        parts.append(section("Custom roles", table(["Role", "Permissions"], custom, empty="", caption="Custom roles")))
    enforced = emulator.settings.enforce_iam
    note = "Permissions are checked." if enforced else "Permissions are not checked: enforceIam is off."
    head = el("p", pill("enforced" if enforced else "off", "good" if enforced else "warn"), " ", note, class_="note")
    empty = el("section", el("p", "No policy was set yet.", class_="empty"))
    return Page("IAM policies", join([head, filter_box("bindings"), *(parts or [empty])]), "/console/iam")


def _resource(key: str) -> str:
    """What a policy belongs to, as people say it."""
    kind, _, rest = key.partition("/")
    if kind == "b":
        return f"Bucket {rest}"
    if kind == "bigquery":
        project, _, name = rest.partition("/")
        return f"BigQuery {'table' if '/' in name else 'dataset'} {project}.{name.replace('/', '.')}"
    return f"Project {rest}" if "/" not in rest else key


async def logs_page(apis: ServedApis, query: Parameters) -> Page:
    """The newest log entries, with the query language of Cloud Logging."""
    text = query.get("filter", "")
    form = el(
        "form",
        el("label", "Filter", for_="filter", class_="hidden"),
        el("input", id="filter", name="filter", value=text, size="60", placeholder="severity>=ERROR"),
        " ",
        el("button", "Show", type="submit"),
        action="/console/logs",
    )
    try:
        matches = parse(text)
    except ApiError as error:
        return Page(
            "Logs", section("Filter", form, el("p", error.message, class_="error")), "/console/logs", status=400
        )
    emulator = apis.emulator

    def newest() -> list[tuple[str, dict[str, Any]]]:
        logs = emulator.service(Logs)
        found = [(key, one) for project in emulator.projects.all() for key, one in logs.of(project) if matches(one)]
        return sorted(found, key=lambda item: (item[1]["timestamp"], item[0]), reverse=True)[:_ENTRIES]

    rows = []
    for key, one in await asyncio.to_thread(newest):
        severity = one.get("severity", "DEFAULT")
        kind = {"ERROR": "bad", "CRITICAL": "bad", "WARNING": "warn"}.get(severity, "plain")
        operation = one.get("operation", {}).get("id", "").rpartition("/")[2]
        rows.append(
            [when(one["timestamp"]), pill(severity.lower(), kind), key.partition("/")[0], operation, _payload(one)]
        )
    columns = ["Time", "Severity", "Project", "Operation", "Payload"]
    entries = table(columns, rows, empty="No entry.", caption="Log entries")
    return Page("Logs", join([section("Filter", form), section("Entries", entries)]), "/console/logs")


def _payload(entry: dict[str, Any]) -> Html:
    """What an entry says: its text, or the error and the source of an operation, and the rest to be opened."""
    if entry.get("textPayload"):
        return el("pre", entry["textPayload"])
    payload = entry.get("jsonPayload") or entry.get("protoPayload") or {}
    error = payload.get("error")
    if not isinstance(error, dict) or not error.get("message"):
        return el("pre", pretty(payload))
    source = el("code", payload["source"], class_="long") if payload.get("source") else None
    return lines([el("span", error["message"], class_="error"), source, details("entry", el("pre", pretty(payload)))])


async def requests_page(apis: ServedApis, _: Parameters) -> Page:
    """The latest calls, newest first."""
    calls = apis.emulator.requests.latest(_CALLS)
    rows = []
    for one in calls:
        status = one["status"]
        kind = "good" if 200 <= status < 400 else "warn" if status and status < 500 else "bad"
        rows.append(
            [
                one["sequence"],
                when(one["time"]),
                pill(str(status or "closed"), kind),
                lines(
                    [
                        el("strong", [[part, el("wbr")] for part in re.findall(r"[^.]*\.?", one["method"])]),
                        el("code", f"{one['httpMethod']} {one['path']}", class_="long"),
                    ]
                ),
                one["principal"],
            ]
        )
    columns = ["#", "Time", "Status", "Method", "Caller"]
    listed = table(columns, rows, empty="No call yet.", numbers=(0,), caption="Calls")
    body = section("Received calls", listed, note=f"the latest {len(calls)}")
    return Page("Requests", join([body]), "/console/requests", live=True)
