"""``projects.locations.datasets.operations``: get, list, cancel."""

from __future__ import annotations

from typing import Any

from ..core.errors import not_found
from ..http import paging
from ..http.call import Call
from ..http.routing import Routes
from .access import find_dataset
from .filters import compile_filter
from .operations import Operations

routes = Routes("healthcare")
_PREFIX = "projects.locations.datasets.operations"


@routes.method(f"{_PREFIX}.get")
def get(call: Call) -> dict[str, Any]:
    """One operation as it is now."""
    dataset, _ = find_dataset(call, "healthcare.operations.get", uninitialized=True)
    name = f"{dataset}/operations/{call.path['operationsId']}"
    found = call.emulator.service(Operations).get(name)
    if found is None:
        raise not_found(f"operation {name} not found")
    return found


@routes.method(f"{_PREFIX}.list", blocking=True)
def list_operations(call: Call) -> dict[str, Any]:
    """The operations of a dataset, oldest first."""
    dataset, _ = find_dataset(call, "healthcare.operations.list", uninitialized=True)
    operations = call.emulator.service(Operations)
    wanted = compile_filter(call.query.get("filter", ""), ("name", "done", "metadata", "error"))
    found = {name: document for name in operations.names(str(dataset)) if (document := operations.get(name))}
    names = [name for name, document in found.items() if wanted(document)]
    shown, token = paging.page(names, call.page_size("pageSize", 100, 1000), call.query.get("pageToken"))
    answer: dict[str, Any] = {}
    if shown:
        answer["operations"] = [found[name] for name in shown]
    if token:
        answer["nextPageToken"] = token
    return answer


@routes.method(f"{_PREFIX}.cancel", blocking=True)
def cancel(call: Call) -> None:
    """Ask an operation to stop; one that is done stays as it is."""
    dataset, _ = find_dataset(call, "healthcare.operations.cancel", uninitialized=True)
    call.emulator.service(Operations).cancel(f"{dataset}/operations/{call.path['operationsId']}")
