"""``projects.locations.datasets``: the containers of DICOM stores."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..cloud.service_usage import provision_healthcare_agent
from ..core.errors import ApiError, invalid, unimplemented
from ..http import paging
from ..http.call import Call
from ..http.routing import Routes
from .access import datasets, denied, find_dataset, public, stores
from .encryption import check_key_name, require_key
from .field_masks import merged
from .names import DatasetName, checked_id, dataset_of, location_of
from .operations import Operation, Operations

routes = Routes("healthcare")
_PREFIX = "projects.locations.datasets"
_DEIDENTIFY = (
    "The emulator does not de-identify: which values would have to be removed depends on Google's own detectors. "
    "De-identify test data before importing it."
)


@routes.method(f"{_PREFIX}.create", blocking=True)
def create(call: Call) -> dict[str, Any]:
    """Create a dataset; a long-running operation."""
    project, location = location_of(call)
    call.require("healthcare.datasets.create", f"projects/{project}")
    name = DatasetName(project, location, checked_id(call, "datasetId"))
    document = {"name": str(name), **_settings(name, call.body)}
    known = datasets(call.emulator)
    provision_healthcare_agent(call.emulator, project)
    with call.emulator.state.lock:
        if "deleted" not in known.get(str(name), {"deleted": True}):
            raise ApiError(409, f"dataset {name} already exists")
        known[str(name)] = {**document, "creating": True}

    def prepare(_: Operation) -> int:
        if key := document.get("encryptionSpec", {}).get("kmsKeyName"):
            require_key(call.emulator, name, key)
        return 0

    def run(_: Operation) -> None:
        if str(name) in known:
            known[str(name)] = document

    shown = {key: value for key, value in document.items() if value}
    operations = call.emulator.service(Operations)
    return operations.start(
        call,
        name,
        "dataset.DatasetService.CreateDataset",
        prepare=prepare,
        run=run,
        response="~.dataset.Dataset",
        value=shown,
        at_once=True,
        undo=lambda: known.update({str(name): {"deleted": True, "failed": True}}),
    )


def _settings(name: DatasetName, body: dict[str, Any]) -> dict[str, Any]:
    """The fields of a new dataset that the caller decides, checked."""
    found: dict[str, Any] = {}
    if zone := body.get("timeZone"):
        _check_time_zone(zone)
        found["timeZone"] = zone
    key = (body.get("encryptionSpec") or {}).get("kmsKeyName")
    if key:
        check_key_name(name, key)
        found["encryptionSpec"] = {"kmsKeyName": key}
    return found


def _check_time_zone(zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise invalid(f"invalid time zone {zone!r}: an IANA name such as Europe/Berlin is expected") from None


@routes.method(f"{_PREFIX}.get")
def get(call: Call) -> dict[str, Any]:
    """One dataset."""
    return public(find_dataset(call, "healthcare.datasets.get", own=True)[1])


@routes.method(f"{_PREFIX}.list")
def list_datasets(call: Call) -> dict[str, Any]:
    """The datasets of a location (``-``: of all locations)."""
    project, location = call.emulator.projects.use(call.path["projectsId"]), call.path["locationsId"]
    call.require("healthcare.datasets.list", f"projects/{project}")
    known = datasets(call.emulator)
    under = f"projects/{project}/locations/" + ("" if location == "-" else f"{location}/datasets/")
    names = [name for name in known.keys_under(under) if not {"deleted", "creating"} & known[name].keys()]
    shown, token = paging.page(names, call.page_size("pageSize", 100, 1000), call.query.get("pageToken"))
    answer: dict[str, Any] = {}
    if shown:
        answer["datasets"] = [public(known[name]) for name in shown]
    if token:
        answer["nextPageToken"] = token
    return answer


@routes.method(f"{_PREFIX}.patch", blocking=True)
def patch(call: Call) -> dict[str, Any]:
    """Change the time zone, the only field that can be changed."""
    with call.emulator.state.lock:
        name, document = find_dataset(call, "healthcare.datasets.update", own=True)
        changed = merged(document, call.body, call.query.get("updateMask", ""), ("timeZone",))
        if zone := changed.get("timeZone"):
            _check_time_zone(zone)
        datasets(call.emulator)[str(name)] = changed
    return public(changed)


@routes.method(f"{_PREFIX}.delete", blocking=True)
def delete(call: Call) -> None:
    """Delete a dataset with everything in it."""
    from .instances import Instances

    emulator = call.emulator
    name = dataset_of(call)
    call.require("healthcare.datasets.delete", str(name), name.project_key)
    known, all_stores = datasets(emulator), stores(emulator)
    with emulator.state.transaction():
        if str(name) not in known:
            raise denied("healthcare.datasets.delete", name)
        if "deleted" in known[str(name)]:
            raise ApiError(404, f"dataset {name} not found")
        numbers = []
        for store in all_stores.keys_under(f"{name}/dicomStores/"):
            numbers.append(all_stores[store]["number"])
            del all_stores[store]
        known[str(name)] = {"deleted": True}
        emulator.iam.forget(str(name))
        emulator.service(Operations).forget_dataset(str(name))
    for number in numbers:
        emulator.service(Instances).delete_store(number)


@routes.method(
    f"{_PREFIX}.deidentify", f"{_PREFIX}.dicomStores.deidentify", note="refused with 501: no de-identification"
)
def deidentify(_: Call) -> None:
    """Refused, with the reason."""
    raise unimplemented(_DEIDENTIFY)
