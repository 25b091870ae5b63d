"""The first page: what there is, in numbers, and the latest operations."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..core.projects import project_number
from ..core.settings import Settings
from ..storage.store import store
from .bigquery import dataset_ids
from .healthcare import operations_table
from .html import Html, el, join
from .layout import Page
from .parts import anchor, code, figure, figures, link, pill, section, table

if TYPE_CHECKING:
    from ..core.runtime import Emulator
    from ..http.exchange import ServedApis
    from .layout import Parameters


async def overview(apis: ServedApis, _: Parameters) -> Page:
    """What there is, in numbers, and the latest operations."""
    from ..healthcare import service as healthcare

    emulator = apis.emulator
    stores = await asyncio.to_thread(healthcare.list_stores, emulator)
    operations = await asyncio.to_thread(healthcare.list_operations, emulator)
    kept = store(emulator)
    bigquery = await dataset_ids(apis)
    datasets = healthcare.list_datasets(emulator)
    rows = []
    for project in emulator.projects.all():
        prefix = f"projects/{project}/"
        rows.append(
            [
                el("strong", project),
                code(project_number(project)),
                sum(1 for one in datasets if one["name"].startswith(prefix)),
                sum(1 for one in stores if one.name.startswith(prefix)),
                sum(1 for bucket in kept.buckets.values() if bucket["project"] == project),
                len(bigquery.get(project, ())),
                link("policy", f"/console/iam#{anchor(f'projects/{project}')}"),
            ]
        )
    running = sum(1 for one in operations if not one.get("done"))
    numbers = figures(
        [
            figure(len(datasets), "Healthcare datasets", "/console/healthcare"),
            figure(len(stores), "DICOM stores", "/console/healthcare"),
            figure(f"{sum(one.counts.studies for one in stores):,}", "studies", "/console/healthcare"),
            figure(f"{sum(one.counts.instances for one in stores):,}", "instances", "/console/healthcare"),
            figure(running, "running operations", "/console/operations"),
            figure(len(kept.buckets), "buckets", "/console/storage"),
            figure(f"{sum(len(kept.names(name)) for name in kept.buckets):,}", "objects", "/console/storage"),
            figure(sum(len(one) for one in bigquery.values()), "BigQuery datasets", "/console/bigquery"),
        ]
    )
    columns = ["Project", "Number", "Datasets", "DICOM stores", "Buckets", "BigQuery datasets", "IAM"]
    body = join(
        [
            numbers,
            section(
                "Projects",
                table(columns, rows, empty=_NO_PROJECT, numbers=(2, 3, 4, 5), caption="Projects"),
                note="A project exists as soon as a call names it",
            ),
            section("Latest operations", operations_table(operations[:6])),
            section("Settings", el("p", _settings(emulator), class_="pills"), note="PATCH /emulator/v1/settings"),
            section("Clients", el("p", "Point Google's clients at ", code(emulator.url), " with ", code(_ENV))),
        ]
    )
    return Page("Overview", body, "/", live=True)


def _settings(emulator: Emulator) -> list[Html]:
    """How the emulator behaves; what is not as it was at the start stands out."""
    usual = Settings().to_json()
    return [
        pill(f"{name} {_shown(value)}", "plain" if value == usual[name] else "warn")
        for name, value in emulator.settings.to_json().items()
    ]


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


_NO_PROJECT = "No project yet. Create a dataset, a bucket or a table in any project, and it is here."
_ENV = 'eval "$(python -m emulator env)"'
