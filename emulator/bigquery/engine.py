"""The SQL engine that holds the rows: one DuckDB database, a cursor for every piece of work.

Rows live in tables with made-up names (``t_…``); which of them is a BigQuery table's is written in the catalogue.
So a table is replaced by filling a new one and switching the name, and readers never see half of anything.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from . import natives

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from ..core.runtime import Emulator

Result = TypeVar("Result")

#: Memory for queries, in bytes: half of the machine's at most; what does not fit goes to a temporary directory.
_MEMORY = 4 * 1024**3
#: What DuckDB calls the file, and how many rows it writes together: so few that all cores compress them while they are
#: loaded, instead of one when they are committed, which keeps every other writer waiting.
_ON_DISK = "kept"
_ROW_GROUP = 32_768
#: How often work is repeated when another transaction changed the same table meanwhile.
_TRIES = 8


class Engine:
    """The database of one emulator; opened at its first use.

    Args:
        emulator: whose data directory holds the file; without one everything is in memory.
    """

    def __init__(self, emulator: Emulator) -> None:
        data = emulator.state.data
        self._file: Path | None = None if data is None else data / "bigquery.duckdb"
        self._state = emulator.state
        self._lock = threading.RLock()
        self._locks: dict[str, threading.RLock] = {}
        self._readers: set[object] = set()
        # Tables of rows that are to be dropped, and whom they still wait for.
        self._dropped: dict[str, set[object]] = {}
        self._connection: DuckDBPyConnection | None = None
        self._active: dict[int, list[DuckDBPyConnection]] = {}
        self._underway = emulator.underway
        emulator.on_stop(self._interrupt_background)
        emulator.on_reset(self.clear)
        emulator.on_close(self.close)

    @staticmethod
    def new_name() -> str:
        """A name for a new table of rows."""
        return "t_" + secrets.token_hex(8)

    @contextlib.contextmanager
    def cursor(self) -> Iterator[DuckDBPyConnection]:
        """A connection of its own, closed at the end."""
        cursor = self._database().cursor()
        if self._file is not None:
            cursor.execute(f"USE {_ON_DISK}")
        active = self._active.setdefault(threading.get_ident(), [])
        active.append(cursor)
        try:
            yield cursor
        finally:
            active.remove(cursor)
            cursor.close()

    def interrupt(self, thread: int | None) -> None:
        """End what a thread has the database do at present; it gets an error for it."""
        for cursor in list(self._active.get(thread or 0, ())):
            cursor.interrupt()

    def _interrupt_background(self) -> None:
        for thread in self._underway.background_threads:
            self.interrupt(thread)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self.cursor() as cursor:
            return cursor.execute(sql).fetchall()

    def write(self, work: Callable[[DuckDBPyConnection], Result]) -> Result:
        """Run ``work`` in a transaction; once more if another transaction came first.

        Args:
            work: gets a cursor inside an open transaction. It may be called several times.
        """
        import duckdb

        for attempt in range(_TRIES):
            with self.cursor() as cursor:
                cursor.begin()
                try:
                    result = work(cursor)
                    cursor.commit()
                    return result
                except duckdb.TransactionException:
                    if attempt == _TRIES - 1:
                        raise
                except BaseException:
                    with contextlib.suppress(duckdb.Error):
                        cursor.rollback()
                    raise
        raise AssertionError("unreachable")

    @contextlib.contextmanager
    def locked(self, *keys: str) -> Iterator[None]:
        """Keep other writers away from these BigQuery tables. Readers are never kept waiting."""
        with contextlib.ExitStack() as stack:
            # Always in the same order, so that two writers never wait for each other.
            for key in sorted(set(keys)):
                with self._lock:
                    lock = self._locks.setdefault(key, threading.RLock())
                stack.enter_context(lock)
            yield

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Whatever was read of the catalogue in this block can be read of the database until its end."""
        reader = object()
        with self._lock:
            self._readers.add(reader)
        try:
            yield
        finally:
            free = []
            with self._lock:
                self._readers.discard(reader)
                for physical, waits_for in list(self._dropped.items()):
                    waits_for.discard(reader)
                    if not waits_for:
                        del self._dropped[physical]
                        free.append(physical)
            for physical in free:
                self._drop_now(physical)

    def drop(self, physical: str | None) -> None:
        """Forget a table of rows once those who read now are done; nothing happens if there is none."""
        if not physical:
            return
        with self._lock:
            if self._readers:
                self._dropped[physical] = set(self._readers)
                return
        self._drop_now(physical)

    def _drop_now(self, physical: str) -> None:
        if self._connection is not None:
            with self.cursor() as cursor:
                cursor.execute(f'DROP TABLE IF EXISTS "{physical}"')

    def keep_only(self, wanted: set[str]) -> None:
        """Drop every table of rows that no BigQuery table points to: what a killed process left half-done."""
        for (name,) in self.rows("SELECT table_name FROM duckdb_tables() WHERE NOT temporary"):
            if name not in wanted:
                self.drop(name)

    @property
    def exists(self) -> bool:
        """Whether there is anything in it: opened already, or on disk."""
        return self._connection is not None or (self._file is not None and self._file.exists())

    def clear(self) -> None:
        """Forget all rows."""
        with self._lock:
            self._dropped.clear()
            if self._file is None:
                # Cursors that are still at work keep the old database alive until they end.
                self._connection = None
            elif self.exists:
                self.keep_only(set())

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _database(self) -> DuckDBPyConnection:
        with self._lock:
            if self._connection is None:
                import duckdb

                memory = min(_MEMORY, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)
                self._connection = duckdb.connect(
                    ":memory:",
                    config={
                        "memory_limit": f"{memory // 1024**2}MiB",
                        "temp_directory": str(self._state.temporary / "bigquery"),
                        "autoinstall_known_extensions": "false",
                        "autoload_known_extensions": "false",
                    },
                )
                self._connection.execute("SET GLOBAL TimeZone = 'UTC'")
                natives.register(self._connection)
                if self._file is not None:
                    file = str(self._file).replace("'", "''")
                    self._connection.execute(f"ATTACH '{file}' AS {_ON_DISK} (ROW_GROUP_SIZE {_ROW_GROUP})")
            return self._connection
