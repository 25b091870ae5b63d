"""How much a DICOM store holds, by `getDICOMStoreMetrics`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from operations.google.clock import SYSTEM_CLOCK, Clock
from operations.google.connection import Connection
from operations.google.retrying import PATIENCE, Patience, call
from operations.model.resource_names import DicomStoreName

# What is compared, in the order in which a difference is said, with the words for it.
_COMPARED = (
    ("instances", "instances"),
    ("series", "series"),
    ("studies", "studies"),
    ("blob_bytes", "bytes of bulk data"),
    ("structured_bytes", "bytes of metadata"),
)


@dataclass(frozen=True)
class StoreMetrics:
    """Counts of a store, and the bytes that its instances take.

    Attributes:
        studies, series, instances: how many there are.
        blob_bytes, structured_bytes: size of bulk data and of metadata; None in a record from before they were kept.
    """

    studies: int
    series: int
    instances: int
    blob_bytes: int | None = None
    structured_bytes: int | None = None

    def change_to(self, later: "StoreMetrics") -> str | None:
        """Describe how the contents differ from a later reading; None when counts and sizes are the same.

        An instance that was replaced by another one leaves the counts as they are and shows in a size. One of exactly
        the same size goes unnoticed.
        """
        for kind, words in _COMPARED:
            before, after = getattr(self, kind), getattr(later, kind)
            if None not in (before, after) and before != after:
                return f"{before:,} → {after:,} {words}"
        return None

    def to_json(self) -> dict[str, Any]:
        """Return the counts for a file or a state."""
        return asdict(self)


def metrics_from_json(value: Mapping[str, Any]) -> StoreMetrics:
    """Read what `to_json` wrote, now or before; numbers may have become floating-point in between."""
    return StoreMetrics(**{kind: int(value[kind]) for kind, _ in _COMPARED if value.get(kind) is not None})


def read_store_metrics(
    connection: Connection, store: DicomStoreName, clock: Clock = SYSTEM_CLOCK, patience: Patience = PATIENCE
) -> StoreMetrics:
    """Read how much a store holds.

    Raises:
        OperationsError: the store can't be read; 404 means that it doesn't exist, 403 that the caller may not read it
            or that the dataset doesn't exist.
    """
    answer = call(
        connection,
        lambda: (
            connection.healthcare.projects().locations().datasets().dicomStores().getDICOMStoreMetrics(name=str(store))
        ),
        clock=clock,
        patience=patience,
    )
    # Zero counts are left out of the answer.
    return StoreMetrics(
        studies=int(answer.get("studyCount", 0)),
        series=int(answer.get("seriesCount", 0)),
        instances=int(answer.get("instanceCount", 0)),
        blob_bytes=int(answer.get("blobStorageSizeBytes", 0)),
        structured_bytes=int(answer.get("structuredStorageSizeBytes", 0)),
    )
