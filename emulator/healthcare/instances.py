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
        # Ids and attributes of studies and series that were used lately, by (store, UID) and (study, UID).
        self._studies: dict[tuple[int, str], tuple[int, str]] = {}
        self._series: dict[tuple[int, str], tuple[int, str]] = {}
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
                    series, agrees = self._place(store, record)
                    old = self._take_place(series, record) if replace else None
                    if old is not None:
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
                    if added[-1] and not agrees:
                        self._keep_own(added[-1], store, record)
                    if old is not None:
                        self._settle(store, record.study, record.series)
            except BaseException:
                execute("ROLLBACK")
                self._forget_ids()
                self._shapes = {key for (key,) in execute("SELECT key FROM shapes")}
                raise
            execute("COMMIT")
        self._release(released)
        return added

    def _take_place(self, series: int, record: Record) -> str | None:
        """Make way for an instance with new contents; returns the blob of the old ones."""
        execute = self._database.execute
        found = execute("SELECT blob FROM instances WHERE series = ? AND uid = ?", (series, record.instance)).fetchone()
        if found is None:
            return None
        execute("DELETE FROM instances WHERE series = ? AND uid = ?", (series, record.instance))
        return str(found[0])

    def _keep_own(self, number: int, store: int, record: Record) -> None:
        """Keep the attributes in which an instance contradicts its series or study."""
        self._database.execute(
            "INSERT OR REPLACE INTO own VALUES (?,?,?,?,?,?,?,?,?,?)",
            (
                *(number, store, record.patient_name, record.patient_id, record.accession, record.referring),
                *(record.study_date, record.modality, record.study_json, record.series_json),
            ),
        )

    def _settle(self, store: int, study: str, series: str) -> None:
        """Give a study and a series attributes of an instance that is there, if the one that had them has gone."""
        execute = self._database.execute
        inside = "FROM instances i JOIN series s ON s.id = i.series LEFT JOIN own o ON o.id = i.id WHERE"
        known = execute(
            "SELECT s.study, s.id FROM studies t JOIN series s ON s.study = t.id AND s.uid = ?"
            " WHERE t.store = ? AND t.uid = ? UNION ALL SELECT id, NULL FROM studies WHERE store = ? AND uid = ?",
            (series, store, study, store, study),
        ).fetchall()
        for study_id, series_id in known:
            where, number = ("s.study = ?", study_id) if series_id is None else ("s.id = ?", series_id)
            if execute(f"SELECT 1 {inside} {where} AND o.id IS NULL LIMIT 1", (number,)).fetchone():
                continue
            columns = "o.patient_name, o.patient_id, o.accession, o.referring, o.study_date, o.study_json"
            if series_id is not None:
                columns = "o.modality, o.series_json"
            found = execute(f"SELECT {columns} {inside} {where} ORDER BY i.id LIMIT 1", (number,)).fetchone()
            if found is None:
                continue
            self._forget_ids()
            if series_id is not None:
                execute("UPDATE series SET modality = ?, json = ? WHERE id = ?", (*found, number))
                continue
            execute(
                "UPDATE studies SET patient_name = ?, patient_id = ?, accession = ?, referring = ?, study_date = ?,"
                " json = ? WHERE id = ?",
                (*found, number),
            )

    def _place(self, store: int, record: Record) -> tuple[int, bool]:
        """The id of an instance's series, and whether its attributes are those of its series and study."""
        study = self._studies.get((store, record.study))
        if study is None:
            study = self._id_of(
                "SELECT id, json FROM studies WHERE store = ? AND uid = ?",
                (store, record.study),
                "INSERT INTO studies (store, uid, patient_name, patient_id, accession, referring, study_date, json)"
                " VALUES (?,?,?,?,?,?,?,?)",
                (
                    *(store, record.study, record.patient_name, record.patient_id, record.accession, record.referring),
                    *(record.study_date, record.study_json),
                ),
            )
            self._studies[store, record.study] = study
        series = self._series.get((study[0], record.series))
        if series is None:
            series = self._id_of(
                "SELECT id, json FROM series WHERE study = ? AND uid = ?",
                (study[0], record.series),
                "INSERT INTO series (store, study, uid, modality, json) VALUES (?,?,?,?,?)",
                (store, study[0], record.series, record.modality, record.series_json),
            )
            self._series[study[0], record.series] = series
        if len(self._series) > 10_000:
            self._forget_ids()
        return series[0], study[1] == record.study_json and series[1] == record.series_json

    def _id_of(self, select: str, key: tuple[Any, ...], insert: str, values: tuple[Any, ...]) -> tuple[int, str]:
        """Id and JSON of a study or series, which is made if there is none; its JSON is the last of ``values``."""
        found = self._database.execute(select, key).fetchone()
        if found is not None:
            return int(found[0]), str(found[1])
        return int(self._database.execute(insert, values).lastrowid or 0), str(values[-1])

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
            try:
                self._remove(store, gone)
            except BaseException:
                execute("ROLLBACK")
                raise
            finally:
                self._forget_ids()
            execute("COMMIT")
        self._release([one.blob for one in gone])
        # Whoever takes the row with the latest LastUpdated of a streamed table has to find the deletion.
        moment = now_after(max((one.updated for one in gone), default=""))
        return [one._replace(updated=moment) for one in gone]

    def _remove(self, store: int, gone: list[Instance]) -> None:
        """Delete instances, and the series and studies that are empty then."""
        execute = self._database.execute
        self._database.executemany("DELETE FROM instances WHERE id = ?", [(one.id,) for one in gone])
        places = {(one.study, one.series) for one in gone}
        for study, series in places:
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
        for study, series in places:
            self._settle(store, study, series)

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

    def contradicting(self, store: int) -> bool:
        """Whether a store has instances that contradict their series or study."""
        return bool(self.query("SELECT 1 FROM own WHERE store = ? LIMIT 1", (store,)))

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
