"""Deleting studies and series (long-running operations) and instances (at once)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...http.routing import Routes
from ..access import stores
from ..arrivals import tell
from ..instances import Instances
from ..operations import Operation, Operations
from .common import DELETE, found_instances, store_and_path

if TYPE_CHECKING:
    from ...http.call import Call

routes = Routes("healthcare")
_STUDIES = "projects.locations.datasets.dicomStores.studies"


@routes.method(f"{_STUDIES}.delete", f"{_STUDIES}.series.delete", blocking=True)
def delete_many(call: Call) -> dict[str, Any]:
    """Delete a study or a series. Nothing can be put into it until that is done."""
    store, number, path = store_and_path(call, DELETE)
    count = len(found_instances(call, store, number, path))
    over = call.emulator.service(Instances).announce_deletion(number, path)

    def run(operation: Operation) -> None:
        if str(store) in stores(call.emulator):
            gone = call.emulator.service(Instances).delete(number, path)
            operation.success = len(gone)
            over()
            tell(call.emulator, store, "DeleteInstances", gone)

    kind = "DeleteSeries" if path.series else "DeleteStudy"
    return call.emulator.service(Operations).start(
        call, store.parent, f"dicom.DicomService.{kind}", prepare=lambda _: count, run=run, undo=over
    )


@routes.method(f"{_STUDIES}.series.instances.delete", blocking=True)
def delete_one(call: Call) -> None:
    """Delete an instance."""
    store, number, path = store_and_path(call, DELETE)
    found_instances(call, store, number, path)
    gone = call.emulator.service(Instances).delete(number, path)
    tell(call.emulator, store, "DeleteInstances", gone)
