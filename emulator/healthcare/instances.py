"""The instances of all DICOM stores, with what searches, exports and metrics need of them.

Kept in SQLite: in memory, or in a file of the data directory (write-ahead log: what was acknowledged survives a killed
process). The bytes themselves are blobs, shared with the Cloud Storage objects they were imported from.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

from ..core.clock import now, now_after, rfc3339
from .person_names import name_matches
from .stored import FIELDS, JOIN, TABLES, Counts, Instance, New, Path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ..core.runtime import Emulator
    from .dicom.reader import Record


class Instances:
    """All instances.

    Args:
        emulator: where they belong.
    """

    def __init__(self, emulator: Emulator) -> None:
        from .operations import Operations

        emulator.service(Operations)  # so that operations are told to stop before this is closed
        self._emulator = emulator
        data = emulator.state.data
        self.lock = threading.RLock()
        self._database = sqlite3.connect(
            ":memory:" if data is None else data / "instances.sqlite",
            check_same_thread=False,
            isolation_level=None,
            cached_statements=512,
        )
        # Rows of 10 KB and more are the rule: small pages would scatter them.
        self._database.execute("PRAGMA page_size=32768")
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.executescript(TABLES)
        self._database.create_function("name_matches", 2, name_matches, deterministic=True)
        self._shapes = {key for (key,) in self._database.execute("SELECT key FROM shapes")}
        # Ids of studies and series that were used lately: (store, UID) and (study, UID).
        self._studies: dict[tuple[int, str], int] = {}
        self._series: dict[tuple[int, str], int] = {}
        # Parts of stores that operations delete: nothing may be put into them.
        self._leaving: dict[object, tuple[int, Path]] = {}
        emulator.on_reset(self._clear)
        emulator.on_close(self._close)

    # -- writing --

    def add(self, store: int, new: Iterable[New], *, replace: bool = False) -> list[int]:
        """Store instances; all are on disk when this returns.

        Args:
            store: number of the DICOM store.
            new: the instances.
            replace: put them in place of those that have their UIDs.

        Returns:
            The id of each; 0: it was not stored, because the store has an instance with these UIDs already.
        """
        moment = rfc3339(now())
        added: list[int] = []
        released: list[str] = []
        with self.lock:
            execute = self._database.execute
            execute("BEGIN IMMEDIATE")
            try:
                for record, blob, storage_class in new:
                    if record.shape not in self._shapes:
                        execute("INSERT OR IGNORE INTO shapes VALUES (?, ?)", (record.shape, record.columns))
                        self._shapes.add(record.shape)
                    series = self._series_id(store, record)
                    if replace and (old := self._take_place(store, series, record)) is not None:
                        released.append(old)
                    done = execute(
                        "INSERT OR IGNORE INTO instances (store, series, uid, sop_class, transfer_syntax, frames, json,"
                        " blob, size, class, class_time, updated, crc32c, md5, metadata, metadata_size, row, shape)"
                        " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                        (
                            *(store, series, record.instance, record.sop_class, record.transfer_syntax, record.frames),
                            *(
                                record.instance_json,
                                blob.id,
                                blob.size,
                                storage_class,
                                moment,
                                moment,
                                blob.crc32c,
                                blob.md5,
                            ),
                            *(record.metadata, record.metadata_size, record.row, record.shape),
                        ),
                    )
                    added.append(int(done.lastrowid or 0) if done.rowcount == 1 else 0)
            except BaseException:
                execute("ROLLBACK")
                self._forget_ids()
                self._shapes = {key for (key,) in execute("SELECT key FROM shapes")}
                raise
            execute("COMMIT")
        self._release(released)
        return added

    def _take_place(self, store: int, series: int, record: Record) -> str | None:
        """Make way for an instance with new contents; returns the blob of the old ones."""
        execute = self._database.execute
        found = execute("SELECT blob FROM instances WHERE series = ? AND uid = ?", (series, record.instance)).fetchone()
        if found is None:
            return None
        execute("DELETE FROM instances WHERE series = ? AND uid = ?", (series, record.instance))
        execute("UPDATE series SET modality = ?, json = ? WHERE id = ?", (record.modality, record.series_json, series))
        execute(
            "UPDATE studies SET patient_name = ?, patient_id = ?, accession = ?, referring = ?, study_date = ?,"
            " json = ? WHERE store = ? AND uid = ?",
            (
                *(record.patient_name, record.patient_id, record.accession, record.referring, record.study_date),
                *(record.study_json, store, record.study),
            ),
        )
        return str(found[0])

    def _series_id(self, store: int, record: Record) -> int:
        study = self._studies.get((store, record.study))
        if study is None:
            study = self._id_of(
                "SELECT id FROM studies WHERE store = ? AND uid = ?",
                (store, record.study),
                "INSERT INTO studies (store, uid, patient_name, patient_id, accession, referring, study_date, json)"
                " VALUES (?,?,?,?,?,?,?,?)",
                (
                    *(store, record.study, record.patient_name, record.patient_id, record.accession, record.referring),
                    *(record.study_date, record.study_json),
                ),
            )
            self._studies[store, record.study] = study
        series = self._series.get((study, record.series))
        if series is None:
            series = self._id_of(
                "SELECT id FROM series WHERE study = ? AND uid = ?",
                (study, record.series),
                "INSERT INTO series (store, study, uid, modality, json) VALUES (?,?,?,?,?)",
                (store, study, record.series, record.modality, record.series_json),
            )
            self._series[study, record.series] = series
        if len(self._series) > 10_000:
            self._forget_ids()
        return series

    def _id_of(self, select: str, key: tuple[Any, ...], insert: str, values: tuple[Any, ...]) -> int:
        found = self._database.execute(select, key).fetchone()
        if found is not None:
            return int(found[0])
        return int(self._database.execute(insert, values).lastrowid or 0)

    def delete(self, store: int, path: Path) -> list[Instance]:
        """Delete a part of a store; returns what was there, ``updated`` being the moment of the deletion."""
        condition, arguments = path.where(store)
        with self.lock:
            gone = [
                Instance(*row)
                for row in self._database.execute(f"SELECT {FIELDS} FROM {JOIN} WHERE {condition}", arguments)  # noqa: S608 - constants only
            ]
            execute = self._database.execute
            execute("BEGIN IMMEDIATE")
            self._database.executemany("DELETE FROM instances WHERE id = ?", [(one.id,) for one in gone])
            for study, series in {(one.study, one.series) for one in gone}:
                execute(
                    "DELETE FROM series WHERE store = ? AND uid = ? AND study = (SELECT id FROM studies WHERE store = ?"
                    " AND uid = ?) AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.series = series.id)",
                    (store, series, store, study),
                )
            for study in {one.study for one in gone}:
                execute(
                    "DELETE FROM studies WHERE store = ? AND uid = ?"
                    " AND NOT EXISTS (SELECT 1 FROM series s WHERE s.study = studies.id)",
                    (store, study),
                )
            execute("COMMIT")
            self._forget_ids()
        self._release([one.blob for one in gone])
        # Whoever takes the row with the latest LastUpdated of a streamed table has to find the deletion.
        moment = now_after(max((one.updated for one in gone), default=""))
        return [one._replace(updated=moment) for one in gone]

    def announce_deletion(self, store: int, path: Path) -> Callable[[], object]:
        """Let nothing be put into a part of a store that is being deleted.

        Returns:
            To be called when the deletion is over; it may be called again.
        """
        key = object()
        self._leaving[key] = store, path
        return lambda: self._leaving.pop(key, None)

    def is_being_deleted(self, store: int, record: Record) -> bool:
        """Whether an instance would come into a study or series that is being deleted."""
        return any(
            number == store and path.study == record.study and path.series in ("", record.series)
            for number, path in list(self._leaving.values())
        )

    def delete_store(self, store: int) -> None:
        """Delete everything in a store."""
        with self.lock:
            blobs = [blob for (blob,) in self._database.execute("SELECT blob FROM instances WHERE store = ?", (store,))]
            self._database.execute("BEGIN IMMEDIATE")
            for table in ("instances", "series", "studies"):
                self._database.execute(f"DELETE FROM {table} WHERE store = ?", (store,))  # noqa: S608 - constants only
            self._database.execute("COMMIT")
            self._forget_ids()
        self._release(blobs)

    def set_class(self, ids: Iterable[int], storage_class: str) -> None:
        """Move instances to a storage class."""
        moment = rfc3339(now())
        with self.lock:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany(
                "UPDATE instances SET class = ?, class_time = ?, updated = ? WHERE id = ?",
                [(storage_class, moment, moment, number) for number in ids],
            )
            self._database.execute("COMMIT")

    def _release(self, blobs: list[str]) -> None:
        from ..storage.service import release_blob

        for blob in blobs:
            release_blob(self._emulator, blob)

    def _forget_ids(self) -> None:
        self._studies.clear()
        self._series.clear()

    def _clear(self) -> None:
        with self.lock:
            for table in ("instances", "series", "studies", "shapes"):
                self._database.execute(f"DELETE FROM {table}")  # noqa: S608 - constants only
            self._shapes.clear()
            self._leaving.clear()
            self._forget_ids()

    def _close(self) -> None:
        with self.lock:
            self._database.close()

    # -- reading --

    def query(self, sql: str, arguments: Iterable[Any] = ()) -> list[Any]:
        """All rows of a query."""
        with self.lock:
            return self._database.execute(sql, tuple(arguments)).fetchall()

    def counts(self, store: int, path: Path = Path()) -> Counts:  # noqa: B008 - immutable
        """How much there is in a part of a store."""
        if not path.study:
            (totals,) = self.query(
                "SELECT COUNT(*), COALESCE(SUM(size), 0), COALESCE(SUM(metadata_size), 0)"
                " FROM instances WHERE store = ?",
                (store,),
            )
            (studies,) = self.query("SELECT COUNT(*) FROM studies WHERE store = ?", (store,))
            (series,) = self.query("SELECT COUNT(*) FROM series WHERE store = ?", (store,))
            return Counts(studies[0], series[0], *totals)
        condition, arguments = path.where(store)
        (found,) = self.query(
            "SELECT COUNT(DISTINCT t.id), COUNT(DISTINCT s.id), COUNT(*), COALESCE(SUM(i.size), 0),"  # noqa: S608 - constants only
            f" COALESCE(SUM(i.metadata_size), 0) FROM {JOIN} WHERE {condition}",
            arguments,
        )
        return Counts(*found)

    def find(self, store: int, path: Path, limit: int = -1, offset: int = 0) -> list[Instance]:
        """The instances of a part of a store, in the order in which they were stored."""
        condition, arguments = path.where(store)
        rows = self.query(
            f"SELECT {FIELDS} FROM {JOIN} WHERE {condition} ORDER BY i.id LIMIT ? OFFSET ?",  # noqa: S608 - constants only
            (*arguments, limit, offset),
        )
        return [Instance(*row) for row in rows]

    def ids(self, store: int, path: Path) -> list[int]:
        """The ids of the instances in a part of a store."""
        condition, arguments = path.where(store)
        rows = self.query(f"SELECT i.id FROM {JOIN} WHERE {condition} ORDER BY i.id", arguments)  # noqa: S608 - constants only
        return [number for (number,) in rows]

    def by_ids(self, ids: list[int]) -> list[Instance]:
        """The instances with these ids."""
        found: list[Instance] = []
        for at in range(0, len(ids), 500):
            part = ids[at : at + 500]
            marks = ",".join("?" * len(part))
            rows = self.query(f"SELECT {FIELDS} FROM {JOIN} WHERE i.id IN ({marks}) ORDER BY i.id", part)  # noqa: S608 - constants and marks only
            found += [Instance(*row) for row in rows]
        return found

    def metadata(self, ids: list[int]) -> dict[int, bytes]:
        """The compressed DICOM JSON of instances by id."""
        found: dict[int, bytes] = {}
        for at in range(0, len(ids), 500):
            part = ids[at : at + 500]
            marks = ",".join("?" * len(part))
            found.update(self.query(f"SELECT id, metadata FROM instances WHERE id IN ({marks})", part))  # noqa: S608 - marks only
        return found

    def rows(self, ids: list[int]) -> dict[int, tuple[str, bytes, bytes]]:
        """Shape, members of the BigQuery row and compressed DICOM JSON of instances by id."""
        found: dict[int, tuple[str, bytes, bytes]] = {}
        for at in range(0, len(ids), 500):
            part = ids[at : at + 500]
            marks = ",".join("?" * len(part))
            rows = self.query(f"SELECT id, shape, row, metadata FROM instances WHERE id IN ({marks})", part)  # noqa: S608 - marks only
            found.update({number: (shape, row, metadata) for number, shape, row, metadata in rows})
        return found

    def shapes(self, keys: Iterable[str]) -> dict[str, list[list[Any]]]:
        """The columns of rows by the key of their shape."""
        known = dict(self.query("SELECT key, columns FROM shapes"))
        return {key: json.loads(known[key]) for key in keys}

    def pages(self, sql: str, store: int, size: int = 2000) -> Iterator[list[Any]]:
        """All rows of a store in portions, without holding others up in between.

        Args:
            sql: a query with ``?`` for the store and ``?`` for the id after which it goes on, its first column the id,
                ordered by it, and a ``?`` for the number of rows.
            store: number of the DICOM store.
            size: rows per portion.
        """
        last = 0
        while True:
            rows = self.query(sql, (store, last, size))
            if not rows:
                return
            yield rows
            last = rows[-1][0]
