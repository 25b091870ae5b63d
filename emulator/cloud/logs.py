"""Log entries: what the other parts of the emulator write, and how they are found again."""

from __future__ import annotations

import itertools
from collections import deque
from typing import TYPE_CHECKING, Any

from ..core.clock import now, rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..core.runtime import Emulator

#: Entries that are kept for each project; the oldest go first.
MOST_ENTRIES = 50_000


class Logs:
    """The log entries of all projects, in the order in which they were written.

    Args:
        emulator: whose logs these are.
    """

    def __init__(self, emulator: Emulator) -> None:
        self._lock = emulator.state.lock
        self._kept = emulator.state.collection("logging.entries")
        self._keys: dict[str, deque[str]] = {}
        self._numbers = itertools.count(1)
        self._load()
        emulator.on_reset(self._keys.clear)

    def _load(self) -> None:
        last = 0
        for key in sorted(self._kept):
            project, _, number = key.partition("/")
            self._keys.setdefault(project, deque()).append(key)
            last = max(last, int(number))
        self._numbers = itertools.count(last + 1)

    def write(self, project: str, entry: dict[str, Any]) -> dict[str, Any]:
        """Keep an entry, completed with what Cloud Logging adds."""
        with self._lock:
            number = next(self._numbers)
            moment = rfc3339(now())
            full = {
                "insertId": f"emulator{number:012d}",
                "logName": f"projects/{project}/logs/emulator",
                "resource": {"type": "global", "labels": {"project_id": project}},
                "timestamp": moment,
                **entry,
                "receiveTimestamp": moment,
            }
            keys = self._keys.setdefault(project, deque())
            key = f"{project}/{number:012d}"
            self._kept[key] = full
            keys.append(key)
            while len(keys) > MOST_ENTRIES:
                self._kept.pop(keys.popleft(), None)
            return full

    def of(self, project: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Keys and entries of a project, oldest written first."""
        with self._lock:
            keys = list(self._keys.get(project, ()))
        for key in keys:
            entry = self._kept.get(key)
            if entry is not None:
                yield key, entry

    def delete(self, project: str, log_name: str) -> int:
        """Remove all entries of a log; returns how many there were."""
        with self._lock:
            gone = [key for key, entry in self.of(project) if entry["logName"] == log_name]
            for key in gone:
                del self._kept[key]
                self._keys[project].remove(key)
            return len(gone)


def write_entry(emulator: Emulator, project: str, entry: dict[str, Any]) -> dict[str, Any]:
    """Write a log entry.

    Args:
        emulator: where.
        project: id of the project whose log it is.
        entry: a LogEntry as JSON; ``logName``, ``timestamp``, ``insertId`` and ``resource`` are added if absent.

    Returns:
        The entry as kept.
    """
    return emulator.service(Logs).write(project, entry)
