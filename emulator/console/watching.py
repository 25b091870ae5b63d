"""What else there is to see: policies, log entries, received calls."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ..cloud.logs import Logs
from ..cloud.logs_filter import parse
from ..errors import ApiError
from .html import el, join
from .layout import Page
from .parts import (
    anchor,
    code,
    filter_box,
    lines,
    pill,
    pretty,
    section,
    table,
    when,
)

if TYPE_CHECKING:
    from ..app import Application
    from .layout import Parameters

_ENTRIES = 200
_CALLS = 300


async def iam_page(application: Application, _: Parameters) -> Page:
    """All allow policies and custom roles."""
    emulator = application.emulator
    parts = []
    for key in emulator.iam.resources():
        rows = []
        for binding in emulator.iam.get(key).get("bindings", ()):
            condition = binding.get("condition", {})
            rows.append(
                [code(binding["role"]), lines(binding["members"]), code(condition["expression"]) if condition else ""]
            )
        bindings = table(["Role", "Members", "Condition"], rows, empty="Nobody holds anything here.", caption=key)
        parts.append(section(key, bindings, id_=anchor(key)))
    roles = emulator.state.collection("iam.roles")
    custom = [[code(name), lines(roles[name].get("includedPermissions", ()))] for name in roles.keys_under("")]
    if custom:
        parts.append(section("Custom roles", table(["Role", "Permissions"], custom, empty="", caption="Custom roles")))
    enforced = emulator.settings.enforce_iam
    note = "Permissions are checked." if enforced else "Permissions are not checked: enforceIam is off."
    head = el("p", pill("enforced" if enforced else "off", "good" if enforced else "warn"), " ", note, class_="note")
    empty = el("section", el("p", "No policy was set yet.", class_="empty"))
    return Page("IAM policies", join([head, filter_box("bindings"), *(parts or [empty])]), "/console/iam")


async def logs_page(application: Application, query: Parameters) -> Page:
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
    emulator = application.emulator

    def newest() -> list[tuple[str, dict[str, Any]]]:
        logs = emulator.service(Logs)
        found = [(key, one) for project in emulator.projects.all() for key, one in logs.of(project) if matches(one)]
        return sorted(found, key=lambda item: (item[1]["timestamp"], item[0]), reverse=True)[:_ENTRIES]

    rows = []
    for key, one in await asyncio.to_thread(newest):
        severity = one.get("severity", "DEFAULT")
        kind = {"ERROR": "bad", "CRITICAL": "bad", "WARNING": "warn"}.get(severity, "plain")
        payload = one.get("textPayload") or pretty(one.get("jsonPayload") or one.get("protoPayload") or {})
        operation = one.get("operation", {}).get("id", "").rpartition("/")[2]
        rows.append(
            [when(one["timestamp"]), pill(severity.lower(), kind), key.partition("/")[0], operation, el("pre", payload)]
        )
    columns = ["Time", "Severity", "Project", "Operation", "Payload"]
    entries = table(columns, rows, empty="No entry.", caption="Log entries")
    return Page("Logs", join([section("Filter", form), section("Entries", entries)]), "/console/logs")


async def requests_page(application: Application, _: Parameters) -> Page:
    """The latest calls, newest first."""
    calls = application.emulator.requests.latest(_CALLS)
    rows = []
    for one in calls:
        status = one["status"]
        kind = "good" if 200 <= status < 400 else "warn" if status and status < 500 else "bad"
        rows.append(
            [
                one["sequence"],
                when(one["time"]),
                pill(str(status or "closed"), kind),
                lines([el("strong", one["method"]), code(f"{one['httpMethod']} {one['path']}")]),
                one["principal"],
            ]
        )
    columns = ["#", "Time", "Status", "Method", "Caller"]
    listed = table(columns, rows, empty="No call yet.", numbers=(0,), caption="Calls")
    body = section("Received calls", listed, note=f"the latest {len(calls)}")
    return Page("Requests", join([body]), "/console/requests", live=True)
