"""What is kept of an instance, and how much there is: the tables and their rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ..core.state import BlobInfo

if TYPE_CHECKING:
    from .dicom.reader import Record

TABLES = """
CREATE TABLE IF NOT EXISTS shapes (key TEXT PRIMARY KEY, columns TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS studies (
  id INTEGER PRIMARY KEY, store INTEGER NOT NULL, uid TEXT NOT NULL,
  patient_name TEXT, patient_id TEXT, accession TEXT, referring TEXT, study_date TEXT, json TEXT,
  UNIQUE (store, uid));
CREATE INDEX IF NOT EXISTS studies_patient ON studies (store, patient_id);
CREATE INDEX IF NOT EXISTS studies_name ON studies (store, patient_name);
CREATE INDEX IF NOT EXISTS studies_accession ON studies (store, accession);
CREATE INDEX IF NOT EXISTS studies_date ON studies (store, study_date);
CREATE INDEX IF NOT EXISTS studies_referring ON studies (store, referring);
CREATE TABLE IF NOT EXISTS series (
  id INTEGER PRIMARY KEY, store INTEGER NOT NULL, study INTEGER NOT NULL, uid TEXT NOT NULL, modality TEXT, json TEXT,
  UNIQUE (study, uid));
CREATE INDEX IF NOT EXISTS series_uid ON series (store, uid);
CREATE INDEX IF NOT EXISTS series_modality ON series (store, modality);
CREATE TABLE IF NOT EXISTS instances (
  id INTEGER PRIMARY KEY, store INTEGER NOT NULL, series INTEGER NOT NULL, uid TEXT NOT NULL, sop_class TEXT,
  transfer_syntax TEXT, frames INTEGER, json TEXT, blob TEXT NOT NULL, size INTEGER NOT NULL, class TEXT NOT NULL,
  class_time TEXT NOT NULL, updated TEXT NOT NULL, crc32c TEXT, md5 TEXT,
  metadata_size INTEGER NOT NULL, shape TEXT, row BLOB, metadata BLOB,
  UNIQUE (series, uid));
CREATE INDEX IF NOT EXISTS instances_store ON instances (store);
CREATE INDEX IF NOT EXISTS instances_uid ON instances (store, uid);
CREATE TABLE IF NOT EXISTS own (
  id INTEGER PRIMARY KEY, store INTEGER NOT NULL, patient_name TEXT, patient_id TEXT, accession TEXT, referring TEXT,
  study_date TEXT, modality TEXT, study_json TEXT, series_json TEXT);
CREATE INDEX IF NOT EXISTS own_store ON own (store);
CREATE TRIGGER IF NOT EXISTS own_goes AFTER DELETE ON instances BEGIN DELETE FROM own WHERE id = old.id; END;
"""
#: Studies and series have the attributes of an instance that is there. An instance that has others, which none should,
#: keeps them in the table ``own``; all without a row there agree with their series and study.


#: Storage classes of instances ("DICOM storage classes" page).
STORAGE_CLASSES = ("STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE")


class Instance(NamedTuple):
    """An instance that is stored.

    Attributes:
        id: key within the emulator; later instances have larger ones.
        study, series, uid: its UIDs.
        blob: id of the blob that holds its bytes.
        size: bytes.
        storage_class: ``STANDARD``, ``NEARLINE``, ``COLDLINE`` or ``ARCHIVE``.
    """

    id: int
    study: str
    series: str
    uid: str
    sop_class: str
    transfer_syntax: str
    frames: int
    blob: str
    size: int
    storage_class: str
    class_time: str
    updated: str
    metadata_size: int
    modality: str
    crc32c: str
    md5: str

    @property
    def blob_info(self) -> BlobInfo:
        """Its bytes, for sharing them with an object of Cloud Storage."""
        return BlobInfo(self.blob, self.size, self.crc32c, self.md5)

    @property
    def path(self) -> str:
        """``studies/…/series/…/instances/…``."""
        return f"studies/{self.study}/series/{self.series}/instances/{self.uid}"


#: The columns that make an :class:`Instance`, and the tables that have them.
FIELDS = (
    "i.id, t.uid, s.uid, i.uid, i.sop_class, i.transfer_syntax, i.frames, i.blob, i.size, i.class, i.class_time,"
    " i.updated, i.metadata_size, s.modality, i.crc32c, i.md5"
)
JOIN = "instances i JOIN series s ON s.id = i.series JOIN studies t ON t.id = s.study"


@dataclass(frozen=True, slots=True)
class Counts:
    """How much there is."""

    studies: int
    series: int
    instances: int
    blob_bytes: int
    structured_bytes: int

    def to_json(self, *, studies: bool = False, series: bool = False) -> dict[str, str]:
        """As the metrics of stores, studies and series show it."""
        found = {"studyCount": str(self.studies)} if studies else {}
        if series:
            found["seriesCount"] = str(self.series)
        return found | {
            "instanceCount": str(self.instances),
            "blobStorageSizeBytes": str(self.blob_bytes),
            "structuredStorageSizeBytes": str(self.structured_bytes),
        }


class Path(NamedTuple):
    """A part of a store: all of it, a study, a series or an instance."""

    study: str = ""
    series: str = ""
    instance: str = ""

    def where(self, store: int) -> tuple[str, list[Any]]:
        """An SQL condition on the joined tables, and its arguments."""
        condition, arguments = "i.store = ?", [store]
        for column, value in (("t.uid", self.study), ("s.uid", self.series), ("i.uid", self.instance)):
            if value:
                condition += f" AND {column} = ?"
                arguments.append(value)  # type: ignore[arg-type]
        if self.study:
            condition += " AND t.store = ?"
            arguments.append(store)
        return condition, arguments


class New(NamedTuple):
    """An instance to be stored: what was read of it, and where its bytes are."""

    record: Record
    blob: BlobInfo
    storage_class: str = "STANDARD"
