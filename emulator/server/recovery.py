"""What a killed process left behind: put right at the next start, beside the first requests.

Documents, instances and the bytes of both are kept in three places, which are changed one after another. The order is
always such that a process killed in between leaves too much, never too little: bytes that nobody refers to, references
counted that nobody holds, instances of a store that is gone. All of it is invisible; here it is removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import sqlite3
from collections import Counter
from typing import TYPE_CHECKING, TextIO

from ..core.runtime import Emulator
from ..healthcare.instances import Instances
from ..healthcare.operations import Operations
from ..storage.service import release_blob, retain_blob

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_log = logging.getLogger("emulator")


def open_emulator(data: Path | None = None, projects: Iterable[str] = ()) -> Emulator:
    """An emulator; what a killed process left in its data directory is removed in the background.

    Args:
        data: directory that keeps everything, taken for this process; None keeps it in memory.
        projects: ids of projects that exist from the start.

    Raises:
        OSError: another process has the directory, or it can't be written to.
    """
    if data is None:
        return Emulator(None, projects)
    held = _lock(data)
    emulator = Emulator(data, projects)
    emulator.on_closed(held.close)
    Recovery(emulator, data)
    return emulator


def _lock(data: Path) -> TextIO:
    """Take a data directory for this process; it is free again when the file is closed or the process ends.

    Raises:
        OSError: another process has it, or it can't be written to.
    """
    data.mkdir(parents=True, exist_ok=True)
    file = (data / "lock").open("a", encoding="ascii")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise OSError(error.errno, "another emulator uses it") from None
    return file


class Recovery:
    """Finds what is left over in a data directory as it is now, and removes it in the background.

    Only what an earlier process made is touched.

    Args:
        emulator: with a data directory, just opened.
        data: that directory.
    """

    def __init__(self, emulator: Emulator, data: Path) -> None:
        self._emulator = emulator
        self._data = data
        self._ended = False
        if not (data / "instances.sqlite").exists() and not any((data / "blobs").iterdir()):
            return
        emulator.service(Operations)  # says of operations that ran then that they were interrupted
        # Both databases as they are now, whatever is written meanwhile.
        self._documents = _snapshot(data / "documents.sqlite")
        instances = data / "instances.sqlite"
        self._instances = _snapshot(instances) if instances.exists() else None
        emulator.on_stop(self._end)
        emulator.on_close(self._end)
        emulator.background(self._run)

    def _end(self) -> None:
        self._ended = True

    def _run(self) -> None:
        try:
            self._drop_instances_of_no_store()
            self._count_references()
        except Exception:  # noqa: BLE001 - nothing visible depends on it
            if not self._ended:
                _log.exception("what an earlier process left in %s could not be removed", self._data)
        finally:
            self._documents.close()
            if self._instances is not None:
                self._instances.close()

    def _drop_instances_of_no_store(self) -> None:
        if self._instances is None:
            return
        sql = "SELECT json_extract(document, '$.number') FROM documents WHERE collection = 'healthcare.dicomStores'"
        known = {number for (number,) in self._documents.execute(sql)}
        for (store,) in self._instances.execute("SELECT DISTINCT store FROM instances"):
            if store not in known and not self._ended:
                self._emulator.service(Instances).delete_store(store)

    def _count_references(self) -> None:
        """Bring the counts of references to what is referred to, and delete the bytes that nobody refers to."""
        sql = (
            "SELECT json_extract(document, '$.blob') FROM documents WHERE"
            " (collection >= 'storage.objects/' AND collection < 'storage.objects0') OR"
            " (collection = 'storage.uploads' AND json_extract(document, '$.generation') IS NULL)"
        )
        held: Counter[str] = Counter(blob for (blob,) in self._documents.execute(sql))
        if self._instances is not None:
            for (blob,) in self._instances.execute("SELECT blob FROM instances"):
                held[blob] += 1
        sql = "SELECT key, json_extract(document, '$.count') FROM documents WHERE collection = 'blobs.references'"
        counted: dict[str, int] = dict(self._documents.execute(sql).fetchall())
        for blob in counted.keys() | held.keys():
            # Without a count it is one. Differences are applied, for the count itself may have changed meanwhile.
            for _ in range(max(0, counted.get(blob, 1) - held[blob])):
                release_blob(self._emulator, blob)
            for _ in range(max(0, held[blob] - counted.get(blob, 1))):
                retain_blob(self._emulator, blob)
            if self._ended:
                return
        blobs = self._emulator.state.blobs
        for path in (self._data / "blobs").glob("??/*"):
            if path.name not in held and not blobs.is_new(path.name):
                path.unlink(missing_ok=True)
            if self._ended:
                return


def _snapshot(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    with contextlib.suppress(sqlite3.OperationalError):
        connection.execute("BEGIN")
        connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    return connection
