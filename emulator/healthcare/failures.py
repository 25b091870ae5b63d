"""Failed units of an operation: counted, sampled in its error, logged.

Log entries: https://cloud.google.com/healthcare-api/docs/how-tos/logging.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.errors import ApiError
from .names import StoreName

if TYPE_CHECKING:
    from ..core.runtime import Emulator
    from .operations import Operation

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
        store, title = self._store, self._kind.capitalize()
        write_entry(
            self._emulator,
            store.project,
            {
                "logName": f"projects/{store.project}/logs/healthcare.googleapis.com%2Fdicom_{self._kind}",
                "severity": "ERROR",
                "resource": store.log_resource,
                "operation": {"id": self._operation.id, "producer": f"{self._kind}_dicom"},
                "jsonPayload": {
                    "@type": f"type.googleapis.com/google.cloud.healthcare.logging.{title}DicomLogEntry",
                    "error": {"code": code, "message": message},
                    "source": resource,
                },
            },
        )

    def raise_if_all_failed(self) -> None:
        """End the operation with an error if nothing succeeded; some failures among successes are no error.

        Raises:
            ApiError: with samples of what failed in its details.
        """
        operation = self._operation
        if operation.success or not operation.failure:
            return
        kind = "files could be imported" if self._kind == "import" else f"instances could be {self._kind.rstrip('e')}ed"
        title = f"{self._kind.capitalize()}DicomDataErrorDetails"
        samples: list[dict[str, Any]] = [
            {"resource": resource, "error": {"code": code, "message": message}}
            for resource, code, message in operation.samples
        ]
        details = {
            "@type": f"type.googleapis.com/google.cloud.healthcare.{operation.version}.dicom.{title}",
            "sampleErrors": samples,
        }
        raise ApiError(400, f"none of {operation.failure} {kind}; see the log entries", details=[details])
