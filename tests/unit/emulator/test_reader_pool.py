"""Reading with processes that don't come back."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from emulator.healthcare import pool
from emulator.server.recovery import open_emulator


def test_a_process_that_does_not_come_back_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = open_emulator(None, ())
    go_on = threading.Event()
    first = threading.Lock()

    def ask(_: pool.Worker, __: str, sources: list[Any], **___: Any) -> list[Any]:
        if not first.acquire(blocking=False):
            go_on.wait(60)
        return [("no DICOM", 3) for _ in sources]

    monkeypatch.setattr(pool, "_MANY", 1)
    monkeypatch.setattr(pool, "_CHUNK_FILES", 1)
    monkeypatch.setattr(pool, "_JOIN_SECONDS", 0.2)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr(pool.Worker, "ask", ask)
    try:
        blobs = [(emulator.state.blobs.put(b"x").id, 1) for _ in range(8)]
        reading = pool.ReaderPool(emulator).read(blobs, lambda: None)
        assert next(reading)[1] == [("no DICOM", 3)]
        begun = time.monotonic()
        reading.close()  # type: ignore[attr-defined]  # what is returned is a generator
        assert time.monotonic() - begun < 10
    finally:
        go_on.set()
        emulator.close()
