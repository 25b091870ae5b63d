"""``dicomStores.import``: DICOM files from Cloud Storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.errors import invalid, not_found
from ..http.call import Call
from ..http.routing import Routes
from .access import find_store, stores
from .agent_checks import READ, require_bucket
from .arrivals import somebody_listens, tell
from .failures import Failures
from .gcs_uri import Source, parse_source
from .instances import Instances
from .names import StoreName
from .operations import Operation, Operations
from .stored import New

if TYPE_CHECKING:
    from ..core.runtime import Emulator
    from ..storage.service import StoredObject

routes = Routes("healthcare")


@routes.method("projects.locations.datasets.dicomStores.import", blocking=True)
def import_dicom(call: Call) -> dict[str, Any]:
    """Start an import."""
    name, store = find_store(call, "healthcare.dicomStores.import")
    uri = (call.body.get("gcsSource") or {}).get("uri")
    if not uri:
        raise invalid("gcs_source.uri is required: the Cloud Storage URI of the files to import")
    storage_class = (call.body.get("blobStorageSettings") or {}).get("blobStorageClass", "STANDARD")
    if storage_class == "BLOB_STORAGE_CLASS_UNSPECIFIED":
        storage_class = "STANDARD"
    work = _Import(call.emulator, name, store["number"], parse_source(uri), uri, storage_class)
    return call.emulator.service(Operations).start(
        call,
        name.parent,
        "dicom.DicomService.ImportDicomData",
        prepare=work.prepare,
        run=work.run,
        response="~.dicom.ImportDicomDataResponse",
    )


class _Import:
    def __init__(
        self, emulator: Emulator, store: StoreName, number: int, source: Source, uri: str, storage_class: str
    ) -> None:
        self._emulator = emulator
        self._store = store
        self._number = number
        self._source = source
        self._uri = uri
        self._class = storage_class
        self._objects: list[StoredObject] = []

    def prepare(self, _: Operation) -> int:
        """Check the agent's access and list the files."""
        from ..storage.service import list_objects

        source = self._source
        require_bucket(self._emulator, self._store.project, source.bucket, READ, "roles/storage.objectViewer")
        listed = list_objects(self._emulator, source.bucket, source.prefix)
        self._objects = [
            found for found in listed if source.pattern.fullmatch(found.name) and not found.name.endswith("/")
        ]
        if not self._objects:
            raise invalid(f"no matching objects found for {self._uri}")
        return len(self._objects)

    def run(self, operation: Operation) -> None:
        """Read and store the files."""
        from ..storage.service import unreadable
        from .pool import ReaderPool

        failures = Failures(self._emulator, self._store, operation, "import")
        instances, number = self._emulator.service(Instances), self._number
        blobs = [(found.blob_id, found.size) for found in self._objects]
        for portion, answers in self._emulator.service(ReaderPool).read(blobs, operation.check):
            new: list[New] = []
            for index, answer in zip(portion, answers, strict=True):
                found = self._objects[index]
                uri = f"gs://{found.bucket}/{found.name}"
                if (problem := unreadable(self._emulator, found)) is not None:
                    failures.add(uri, problem.rpc_code, problem.message)
                elif len(answer) == 2:
                    failures.add(uri, answer[1], answer[0])
                elif operation.take_planned_failure():
                    failures.add(uri, 13, "planned fault: this file was to fail")
                elif instances.is_being_deleted(number, answer):
                    failures.add(uri, 9, "the study or series is being deleted")
                else:
                    new.append(New(answer, found.blob, self._class))
            self._keep(new)
            operation.success += len(new)
        failures.raise_if_all_failed()

    def _keep(self, new: list[New]) -> None:
        from ..storage.service import release_blob, retain_blob

        document = stores(self._emulator).get(str(self._store))
        if document is None or document["number"] != self._number:
            raise not_found(f"DICOM store {self._store} was deleted while the import ran")
        if not new:
            return
        state = self._emulator.state
        with state.transaction():
            for one in new:
                retain_blob(self._emulator, one.blob.id)
        instances = self._emulator.service(Instances)
        ids = instances.add(self._number, new)
        with state.transaction():
            for one, number in zip(new, ids, strict=True):
                if not number:
                    release_blob(self._emulator, one.blob.id)
        if somebody_listens(self._emulator, self._store):
            tell(self._emulator, self._store, "ImportDicomData", instances.by_ids([n for n in ids if n]))
