"""Storage classes and sizes: ``setBlobStorageSettings``, study, series and instance metrics.

https://cloud.google.com/healthcare-api/docs/how-tos/dicom-storage-class, whose sample has the operation's method.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.errors import invalid
from ..http.routing import Routes
from .access import stores
from .arrivals import somebody_listens, tell
from .dicomweb.common import READ, WRITE, found_instances, missing, store_and_path
from .instances import Instances
from .operations import Operation, Operations
from .selection import Selection, filter_uri

if TYPE_CHECKING:
    from ..http.call import Call

routes = Routes("healthcare")
_STORES = "projects.locations.datasets.dicomStores"
_STUDIES = f"{_STORES}.dicomWeb.studies"


@routes.method(f"{_STORES}.setBlobStorageSettings", f"{_STUDIES}.setBlobStorageSettings", blocking=True)
def set_blob_storage_settings(call: Call) -> dict[str, Any]:
    """Move the instances of a store, a study or a filter file to a storage class."""
    name, number, path = store_and_path(call, WRITE)
    wanted = (call.body.get("blobStorageSettings") or {}).get("blobStorageClass", "")
    if wanted in ("", "BLOB_STORAGE_CLASS_UNSPECIFIED"):
        raise invalid("blob_storage_settings.blob_storage_class is required: STANDARD, NEARLINE, COLDLINE or ARCHIVE")
    uri = filter_uri(call)
    if uri is not None and path.study:
        raise invalid("filter_config can only be set if the resource is a DICOM store")
    if path.study:
        found_instances(call, name, number, path)
    emulator = call.emulator
    instances = emulator.service(Instances)
    ids: list[int] = []

    def prepare(_: Operation) -> int:
        ids.extend(instances.ids(number, path) if path.study else Selection(emulator, name, number, uri).ids())
        return len(ids)

    def run(operation: Operation) -> None:
        for at in range(0, len(ids), 500):
            operation.check()
            part = ids[at : at + 500]
            if str(name) not in stores(emulator):
                return
            before = {one.id: one.storage_class for one in instances.by_ids(part)}
            changed = [one for one in part if before.get(one) != wanted]
            instances.set_class(changed, wanted)
            operation.success += len(part)
            if somebody_listens(emulator, name):
                tell(emulator, name, "SetBlobSettings", instances.by_ids(changed), before)

    return emulator.service(Operations).start(
        call,
        name.parent,
        "storageinfo.StorageInfoService.SetBlobStorageSettings",
        prepare=prepare,
        run=run,
    )


@routes.method(f"{_STUDIES}.getStudyMetrics", f"{_STUDIES}.series.getSeriesMetrics", blocking=True)
def part_metrics(call: Call) -> dict[str, Any]:
    """How much is in a study or series."""
    name, number, path = store_and_path(call, READ)
    counts = call.emulator.service(Instances).counts(number, path)
    if not counts.instances:
        raise missing(name, path)
    where = f"{name}/dicomWeb/studies/{path.study}"
    if path.series:
        return {"series": f"{where}/series/{path.series}", **counts.to_json()}
    return {"study": where, **counts.to_json(series=True)}


@routes.method(f"{_STUDIES}.series.instances.getStorageInfo", blocking=True)
def storage_info(call: Call) -> dict[str, Any]:
    """Where and how large an instance is."""
    name, number, path = store_and_path(call, READ)
    (one,) = found_instances(call, name, number, path)
    return {
        "referencedResource": f"{name}/dicomWeb/{one.path}",
        "blobStorageInfo": {
            "sizeBytes": str(one.size),
            "storageClass": one.storage_class,
            "storageClassUpdateTime": one.class_time,
        },
        "structuredStorageInfo": {"sizeBytes": str(one.metadata_size)},
    }
