"""Temporary files of an emulator without a data directory.

They are in one directory of the system's temporary folder, which is made when it is first needed and removed at the
end. A process that is killed can't remove its own: so the directory has a lock, which ends with the process, and every
emulator that starts removes the directories whose lock is free.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import TextIO

_PREFIX = "emulator-scratch-"
#: A directory without a lock is one that is just being made, unless it is older than this, in seconds.
_BEING_MADE = 3600.0


class Scratch:
    """The temporary directory of one emulator."""

    def __init__(self) -> None:
        self._directory: Path | None = None
        self._locked: TextIO | None = None
        self._guard = threading.Lock()

    @property
    def directory(self) -> Path:
        """Where it is; made when this is asked for the first time."""
        with self._guard:
            while self._directory is None:
                made = Path(tempfile.mkdtemp(prefix=_PREFIX))
                self._locked = _lock(made)
                if self._locked is not None:
                    self._directory = made
            return self._directory

    def close(self) -> None:
        """Remove the directory, if there is one."""
        with self._guard:
            if self._directory is not None:
                shutil.rmtree(self._directory, ignore_errors=True)
                self._directory = None
            if self._locked is not None:
                self._locked.close()
                self._locked = None


def sweep() -> None:
    """Remove the directories of processes that ended without doing so."""
    with os.scandir(tempfile.gettempdir()) as entries:
        found = [Path(entry.path) for entry in entries if entry.name.startswith(_PREFIX)]
    for directory in found:
        try:
            if not (directory / "lock").exists() and time.time() - directory.stat().st_mtime < _BEING_MADE:
                continue
            locked = _lock(directory)
        except OSError:
            continue  # somebody else's, or gone meanwhile
        if locked is not None:
            with locked:
                shutil.rmtree(directory, ignore_errors=True)


def _lock(directory: Path) -> TextIO | None:
    """Take a directory for this process until the file is closed; None if another process has it."""
    file = (directory / "lock").open("a", encoding="ascii")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file
