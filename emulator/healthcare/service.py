"""What other parts of the emulator, such as the console, show of Cloud Healthcare. Nothing here checks permissions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .access import datasets, public, stores
from .instances import Instances
from .operations import Operations
from .stored import Counts

if TYPE_CHECKING:
    from ..core.runtime import Emulator


@dataclass(frozen=True, slots=True)
class StoreState:
    """A DICOM store: its fields as the API shows them, and how much is in it."""

    name: str
    resource: dict[str, Any]
    counts: Counts


def list_datasets(emulator: Emulator) -> list[dict[str, Any]]:
    """All datasets of all projects, by name, as the API shows them."""
    known = datasets(emulator)
    return [public(known[name]) for name in sorted(known) if not {"deleted", "creating"} & known[name].keys()]


def list_stores(emulator: Emulator, dataset: str = "") -> list[StoreState]:
    """The DICOM stores of a dataset (empty: of all), by name. Counts by SQL: call it from a worker thread."""
    known = stores(emulator)
    instances = emulator.service(Instances)
    names = known.keys_under(f"{dataset}/dicomStores/" if dataset else "")
    return [
        StoreState(name, public(known[name]), instances.counts(known[name]["number"]))
        for name in names
        if name in known
    ]


def list_operations(emulator: Emulator, dataset: str = "") -> list[dict[str, Any]]:
    """The operations of a dataset (empty: of all), newest first, as the API shows them."""
    operations = emulator.service(Operations)
    found = [operations.get(name) for name in operations.all_names() if not dataset or name.startswith(f"{dataset}/")]
    return sorted(
        (document for document in found if document),
        key=lambda document: str(document["metadata"]["createTime"]),
        reverse=True,
    )


def list_studies(emulator: Emulator, store: str, limit: int = 100, offset: int = 0) -> list[dict[str, Any]]:
    """The studies of a DICOM store, newest date first; counts by SQL: call it from a worker thread.

    Returns:
        ``uid, patientName, patientId, studyDate, series, instances`` of each; nothing for a store that is not there.
    """
    document = stores(emulator).get(store)
    if document is None:
        return []
    rows = emulator.service(Instances).query(
        "SELECT uid, patient_name, patient_id, study_date, (SELECT COUNT(*) FROM series s WHERE s.study = t.id),"
        " (SELECT COUNT(*) FROM series s JOIN instances i ON i.series = s.id WHERE s.study = t.id)"
        " FROM studies t WHERE store = ? ORDER BY study_date DESC, id LIMIT ? OFFSET ?",
        (document["number"], limit, offset),
    )
    names = ("uid", "patientName", "patientId", "studyDate", "series", "instances")
    return [dict(zip(names, row, strict=True)) for row in rows]
