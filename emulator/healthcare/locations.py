"""``projects.locations``: where datasets can be.

Google's list: https://cloud.google.com/healthcare-api/docs/regions (2026). The emulator accepts any well-formed
location when a dataset is created.
"""

from __future__ import annotations

from typing import Any

from ..core.errors import not_found
from ..http import paging
from ..http.call import Call
from ..http.routing import Routes
from .filters import compile_filter

routes = Routes("healthcare")

LOCATIONS: tuple[str, ...] = (
    "asia-east1",
    "asia-east2",
    "asia-northeast1",
    "asia-northeast2",
    "asia-northeast3",
    "asia-south1",
    "asia-southeast1",
    "asia-southeast2",
    "australia-southeast1",
    "eu",
    "europe-central2",
    "europe-north1",
    "europe-southwest1",
    "europe-west1",
    "europe-west2",
    "europe-west3",
    "europe-west4",
    "europe-west6",
    "europe-west8",
    "europe-west9",
    "me-central1",
    "me-central2",
    "me-west1",
    "northamerica-northeast1",
    "northamerica-northeast2",
    "southamerica-east1",
    "southamerica-west1",
    "us",
    "us-central1",
    "us-east1",
    "us-east4",
    "us-east5",
    "us-south1",
    "us-west1",
    "us-west2",
    "us-west3",
    "us-west4",
)


def _location(project: str, location: str) -> dict[str, Any]:
    return {"name": f"projects/{project}/locations/{location}", "locationId": location}


@routes.method("projects.locations.get")
def get(call: Call) -> dict[str, Any]:
    """One location."""
    project = call.emulator.projects.use(call.path["projectsId"])
    call.require("healthcare.locations.get", f"projects/{project}")
    if call.path["locationsId"] not in LOCATIONS:
        raise not_found(f"location {call.path['locationsId']} not found")
    return _location(project, call.path["locationsId"])


@routes.method("projects.locations.list")
def list_locations(call: Call) -> dict[str, Any]:
    """All locations, perhaps those that a filter selects only."""
    project = call.emulator.projects.use(call.path["projectsId"])
    call.require("healthcare.locations.list", f"projects/{project}")
    wanted = compile_filter(call.query.get("filter", ""), ("locationId", "name", "displayName", "labels"))
    names = [name for name in LOCATIONS if wanted(_location(project, name))]
    shown, token = paging.page(names, call.page_size("pageSize", 500, 500), call.query.get("pageToken"))
    answer: dict[str, Any] = {}
    if shown:
        answer["locations"] = [_location(project, name) for name in shown]
    if token:
        answer["nextPageToken"] = token
    return answer
