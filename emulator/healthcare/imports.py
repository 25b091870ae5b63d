"""``dicomStores.import``: DICOM files from Cloud Storage.

A source that the service agent can't list, and one without a matching object, are refused before an operation begins
(ImagingDataCommons/tcia_download, dicom_datastore/load_collections: the call itself raises "resolves to zero GCS
objects"). A file that is in the store already counts as a success if it is the same, and fails if it differs
(GoogleCloudPlatform/nodejs-docs-samples issue 3502).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.errors import RPC_CODES, invalid, not_found
from ..http.call import Call
from ..http.routing import Routes
from .access import find_store, stores
from .agent_checks import require_source
from .arrivals import somebody_listens, tell
from .failures import Failures
from .gcs_uri import Source, parse_source
from .instances import Instances
from .names import StoreName
from .operations import Operation, Operations
from .stored import New, Path

if TYPE_CHECKING:
    from ..core.runtime import Emulator
    from ..storage.service import StoredObject

routes = Routes("healthcare")

_DIFFERS = (
    "An instance already exists in this DICOM Store with the same Study/Series/SOPInstance UID, but the DICOM files "
    "differ (checksum mismatch)."
)


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
    objects = _matching(call.emulator, name.project, parse_source(uri), uri)
    work = _Import(call.emulator, name, store["number"], objects, storage_class)
    return call.emulator.service(Operations).start(
        call,
        name.parent,
        "dicom.DicomService.ImportDicomData",
        prepare=lambda _: len(objects),
        run=work.run,
        response="~.dicom.ImportDicomDataResponse",
    )


def _matching(emulator: Emulator, project: str, source: Source, uri: str) -> list[StoredObject]:
    """The objects to import.

    Raises:
        ApiError: the agent can't read the bucket, there is none of that name, or no object matches.
    """
    from ..storage.service import list_objects

    require_source(emulator, project, source.bucket)
    listed = list_objects(emulator, source.bucket, source.prefix)
    found = [one for one in listed if source.pattern.fullmatch(one.name) and not one.name.endswith("/")]
    if not found:
        raise invalid(f"the import pattern '{uri}' resolves to zero GCS objects")
    return found


class _Import:
    def __init__(
        self, emulator: Emulator, store: StoreName, number: int, objects: list[StoredObject], storage_class: str
    ) -> None:
        self._emulator = emulator
        self._store = store
        self._number = number
        self._objects = objects
        self._class = storage_class

    def run(self, operation: Operation) -> None:
        """Read and store the files."""
        from ..storage.service import unreadable
        from .pool import ReaderPool

        failures = Failures(self._emulator, self._store, operation, "import")
        instances, number = self._emulator.service(Instances), self._number
        blobs = [(found.blob_id, found.size) for found in self._objects]
        for portion, answers in self._emulator.service(ReaderPool).read(blobs, operation.check):
            new: list[tuple[str, New]] = []
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
                    new.append((uri, New(answer, found.blob, self._class)))
            differing = self._keep([one for _, one in new])
            operation.success += len(new) - len(differing)
            for index in differing:
                failures.add(new[index][0], RPC_CODES["ALREADY_EXISTS"], _DIFFERS)
        failures.raise_if_partial()

    def _keep(self, new: list[New]) -> list[int]:
        """Store instances; returns the places of those that are in the store already with other contents."""
        from ..storage.service import release_blob, retain_blob

        document = stores(self._emulator).get(str(self._store))
        if document is None or document["number"] != self._number:
            raise not_found(f"DICOM store {self._store} was deleted while the import ran")
        if not new:
            return []
        state = self._emulator.state
        with state.transaction():
            for one in new:
                retain_blob(self._emulator, one.blob.id)
        instances = self._emulator.service(Instances)
        ids = instances.add(self._number, new)
        differing = [
            index
            for index, (one, number) in enumerate(zip(new, ids, strict=True))
            if not number and self._differs(instances, one)
        ]
        with state.transaction():
            for one, number in zip(new, ids, strict=True):
                if not number:
                    release_blob(self._emulator, one.blob.id)
        if somebody_listens(self._emulator, self._store):
            tell(self._emulator, self._store, "ImportDicomData", instances.by_ids([n for n in ids if n]))
        return differing

    def _differs(self, instances: Instances, new: New) -> bool:
        record, blob = new.record, new.blob
        path = Path(record.study, record.series, record.instance)
        return any((one.size, one.crc32c) != (blob.size, blob.crc32c) for one in instances.find(self._number, path))
