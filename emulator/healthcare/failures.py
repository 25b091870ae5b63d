"""Failed units of an operation: counted, sampled in its error, logged.

Log entries: https://cloud.google.com/healthcare-api/docs/how-tos/logging; their fields are those of
googleapis/google/cloud/healthcare/logging/dicom.proto.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.errors import ApiError
from .names import StoreName

if TYPE_CHECKING:
    from ..core.runtime import Emulator
    from .operations import Operation

#: Where the entries of a kind of operation have what failed. Updates of metadata have no message of their own there.
_NAMES = {"import": "source", "export": "resourceName", "update": "resourceName"}
_MESSAGES = {"import": "ImportDicomLogEntry", "export": "ExportDicomLogEntry"}
#: Imports of FHIR resources end with these words (synthetichealth/synthea issue 1568).
_PARTIAL = (
    "invalid_argument: importing one or more instances failed. Please use the link in the metadata.logsUrl field of "
    "the operation to see the errors in Cloud Logging"
)
#: Only so many failures of one operation are logged; the counters tell how many there were.
_LOGGED = 1000


class Failures:
    """Takes the failures of one operation.

    Args:
        emulator: where.
        store: the DICOM store.
        operation: counts them.
        kind: ``import``, ``export`` or ``update``.
    """

    def __init__(self, emulator: Emulator, store: StoreName, operation: Operation, kind: str) -> None:
        self._emulator = emulator
        self._store = store
        self._operation = operation
        self._kind = kind
        self._logged = 0

    def add(self, resource: str, code: int, message: str) -> None:
        """Take one.

        Args:
            resource: what failed: a ``gs://`` URI, or the path of an instance.
            code: number of google.rpc.Code.
            message: why.
        """
        from ..cloud.logs import write_entry

        self._operation.failed(resource, code, message)
        self._logged += 1
        if self._logged > _LOGGED:
            return
        store, kind = self._store, self._kind
        payload: dict[str, Any] = {"error": {"code": code, "message": message}, _NAMES[kind]: resource}
        if kind in _MESSAGES:
            payload["@type"] = f"type.googleapis.com/google.cloud.healthcare.logging.{_MESSAGES[kind]}"
        write_entry(
            self._emulator,
            store.project,
            {
                "logName": f"projects/{store.project}/logs/healthcare.googleapis.com%2Fdicom_{kind}",
                "severity": "ERROR",
                "resource": store.log_resource,
                "operation": {"id": self._operation.id, "producer": f"{kind}_dicom"},
                "jsonPayload": payload,
            },
        )

    def raise_if_partial(self) -> None:
        """End an import with an error if a file failed, or, if the settings say so, only if every one did.

        Raises:
            ApiError: with samples of what failed in its details.
        """
        if self._operation.failure and self._emulator.settings.partial_imports == "error":
            raise ApiError(400, _PARTIAL, details=[self._details()])
        self.raise_if_all_failed()

    def raise_if_all_failed(self) -> None:
        """End the operation with an error if nothing succeeded; some failures among successes are no error.

        Raises:
            ApiError: with samples of what failed in its details.
        """
        operation = self._operation
        if operation.success or not operation.failure:
            return
        kind = "files could be imported" if self._kind == "import" else f"instances could be {self._kind.rstrip('e')}ed"
        message = f"none of {operation.failure} {kind}; see the log entries"
        raise ApiError(400, message, details=[self._details()])

    def _details(self) -> dict[str, Any]:
        title = f"{self._kind.capitalize()}DicomDataErrorDetails"
        samples: list[dict[str, Any]] = [
            {"resource": resource, "error": {"code": code, "message": message}}
            for resource, code, message in self._operation.samples
        ]
        return {
            "@type": f"type.googleapis.com/google.cloud.healthcare.{self._operation.version}.dicom.{title}",
            "sampleErrors": samples,
        }
