"""Datasets, DICOM stores, studies and operations of Cloud Healthcare."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from ..core.errors import RPC_CODES
from .html import Html, el, join
from .layout import Page, missing
from .parts import (
    code,
    crumbs,
    details,
    figure,
    figures,
    filter_box,
    lasted,
    lines,
    link,
    pager,
    pill,
    pretty,
    progress,
    section,
    size,
    table,
    when,
)

if TYPE_CHECKING:
    from ..http.exchange import ServedApis
    from .layout import Parameters

_STUDIES_ON_A_PAGE = 100


async def healthcare_page(apis: ServedApis, _: Parameters) -> Page:
    """Datasets with their DICOM stores."""
    from ..healthcare import service as healthcare

    emulator = apis.emulator
    stores = await asyncio.to_thread(healthcare.list_stores, emulator)
    parts = []
    for dataset in healthcare.list_datasets(emulator):
        name = dataset["name"]
        _, project, _, location, _, short = name.split("/")
        rows = []
        for one in stores:
            if not one.name.startswith(f"{name}/"):
                continue
            counts = one.counts
            rows.append(
                [
                    link(one.name.rpartition("/")[2], f"/console/healthcare/store?{urlencode({'name': one.name})}"),
                    f"{counts.studies:,}",
                    f"{counts.series:,}",
                    f"{counts.instances:,}",
                    size(counts.blob_bytes),
                    lines(_store_settings(one.resource)),
                ]
            )
        note = f"{project} · {location}" + (f" · {dataset['timeZone']}" if dataset.get("timeZone") else "")
        if dataset.get("encryptionSpec"):
            note += " · own encryption key"
        columns = ["DICOM store", "Studies", "Series", "Instances", "Size", "Settings"]
        stores_table = table(
            columns, rows, empty="No DICOM store in this dataset.", numbers=(1, 2, 3, 4), caption=f"Stores of {short}"
        )
        parts.append(section(short, stores_table, note=note))
    empty = el("section", el("p", "No dataset yet.", class_="empty"))
    return Page("Healthcare", join(parts) if parts else empty, "/console/healthcare", live=True)


def _store_settings(resource: dict[str, Any]) -> list[Any]:
    found = [code(f"{key}={value}") for key, value in sorted(resource.get("labels", {}).items())]
    configs = resource.get("notificationConfigs") or [resource.get("notificationConfig") or {}]
    found += [join(["notifies ", code(one["pubsubTopic"])]) for one in configs if one.get("pubsubTopic")]
    for stream in resource.get("streamConfigs", ()):
        uri = stream.get("bigqueryDestination", {}).get("tableUri", "")
        found.append(join(["streams to ", code(uri)]))
    return found


#: Names of google.rpc.Code by number.
_CODES = {number: name for name, number in RPC_CODES.items()}


async def store_page(apis: ServedApis, query: Parameters) -> Page:
    """The studies of one DICOM store."""
    from ..healthcare import service as healthcare

    name = query.get("name", "")
    emulator = apis.emulator
    stores = await asyncio.to_thread(healthcare.list_stores, emulator, name.rpartition("/dicomStores/")[0])
    found = next((one for one in stores if one.name == name), None)
    if found is None:
        return missing(f"DICOM store {name}", "/console/healthcare")
    offset = _number(query, "offset")
    studies = await asyncio.to_thread(healthcare.list_studies, emulator, name, _STUDIES_ON_A_PAGE + 1, offset)
    rows = [
        [
            one["patientName"],
            code(one["patientId"] or ""),
            one["studyDate"],
            one["series"],
            one["instances"],
            el("code", one["uid"], class_="long"),
        ]
        for one in studies[:_STUDIES_ON_A_PAGE]
    ]
    columns = ["Patient", "Patient ID", "Date", "Series", "Instances", "Study Instance UID"]
    more = len(studies) > _STUDIES_ON_A_PAGE
    here = f"/console/healthcare/store?{urlencode({'name': name})}"
    counts = found.counts
    body = join(
        [
            crumbs(("Healthcare", "/console/healthcare"), (name, "")),
            figures(
                [
                    figure(f"{counts.studies:,}", "studies"),
                    figure(f"{counts.series:,}", "series"),
                    figure(f"{counts.instances:,}", "instances"),
                    figure(size(counts.blob_bytes), "stored"),
                ]
            ),
            filter_box("studies"),
            section(
                "Studies",
                table(columns, rows, empty="No study in this store.", numbers=(3, 4), caption="Studies"),
                pager(here, offset, _STUDIES_ON_A_PAGE, more=more),
            ),
            section("Resource", el("pre", pretty(found.resource))),
        ]
    )
    return Page(name.rpartition("/")[2], body, "/console/healthcare")


async def operations_page(apis: ServedApis, _: Parameters) -> Page:
    """Operations with their progress, errors and counters."""
    from ..healthcare import service as healthcare

    operations = await asyncio.to_thread(healthcare.list_operations, apis.emulator)
    body = section("Long-running operations", operations_table(operations[:300]), note=f"{len(operations)} in all")
    return Page("Operations", body, "/console/operations", live=True)


def operations_table(operations: list[dict[str, Any]]) -> Html:
    """Operations as the API shows them, a row each."""
    rows = [_operation_row(one) for one in operations]
    columns = ["Operation", "State", "Progress", "Started", "Took", "Outcome"]
    return table(columns, rows, empty="No operation was started yet.", numbers=(4,), caption="Operations")


def _operation_row(operation: dict[str, Any]) -> list[Any]:
    metadata = operation.get("metadata", {})
    counter = {key: int(value) for key, value in metadata.get("counter", {}).items()}
    success, failure, pending = (counter.get(key, 0) for key in ("success", "failure", "pending"))
    total = success + failure + pending
    method = metadata.get("apiMethodName", "").rpartition(".")[2]
    dataset, _, id_ = operation["name"].partition("/operations/")
    if "error" in operation:
        state = pill("cancelled" if operation["error"].get("code") == 1 else "failed", "bad")
    elif not operation.get("done"):
        state = pill("running", "busy")
    else:
        state = pill("done, some failed", "warn") if failure else pill("done", "good")
    label = f"{success + failure:,} of {total:,}" + (f", {failure:,} failed" if failure else "")
    error = operation.get("error")
    outcome: Html | None = None
    if error:
        number = error.get("code", RPC_CODES["UNKNOWN"])
        named = f"{_CODES.get(number, 'UNKNOWN')} ({number})"
        outcome = lines([el("strong", named), el("span", error.get("message", ""), class_="error")])
    elif operation.get("done"):
        outcome = details("response", el("pre", pretty(operation.get("response", {}))))
    name = lines([el("strong", method), el("span", f"{dataset.rpartition('/')[2]} · {id_}", class_="note")])
    return [
        name,
        state,
        progress(success + failure, total, label, partly=failure > 0) if total or not operation.get("done") else None,
        when(metadata.get("createTime")),
        lasted(metadata.get("createTime"), metadata.get("endTime")),
        outcome,
    ]


def _number(query: Parameters, name: str) -> int:
    text = query.get(name, "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
