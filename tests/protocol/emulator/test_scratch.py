"""Temporary files of emulators without a data directory: none stay behind."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from emulator.core.scratch import sweep
from emulator.server.server import LocalEmulator
from tests.protocol.emulator.killable import Process

PROJECT = "hospital-imaging"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's temporary folder, for this process and those that it starts."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def use_files(ask: Any) -> None:
    """Do what takes temporary files: a large object, and rows of a table."""
    bigquery = f"/bigquery/v2/projects/{PROJECT}"
    ask("POST", f"/storage/v1/b?project={PROJECT}", {"name": "inbox"})
    ask("POST", "/upload/storage/v1/b/inbox/o?uploadType=media&name=large", bytes(3 << 20))
    ask("POST", f"{bigquery}/datasets", {"datasetReference": {"datasetId": "d"}})
    schema = {"fields": [{"name": "x", "type": "INTEGER"}]}
    ask("POST", f"{bigquery}/datasets/d/tables", {"tableReference": {"tableId": "t"}, "schema": schema})
    ask("POST", f"{bigquery}/datasets/d/tables/t/insertAll", {"rows": [{"json": {"x": 1}}]})


def test_what_a_killed_process_left_is_removed_at_the_next_start(place: Path) -> None:
    with Process() as killed:
        use_files(killed.ok)
        killed.kill()
    (left,) = place.iterdir()
    assert any(left.rglob("*-*"))
    with Process() as after:
        assert list(place.iterdir()) == []
        use_files(after.ok)
        assert len(list(place.iterdir())) == 1


def test_nothing_stays_of_a_process_that_ended_by_itself(place: Path) -> None:
    with Process() as ended:
        use_files(ended.ok)
        assert ended.end()[0] == 0
    assert list(place.iterdir()) == []


def test_directories_in_use_and_those_just_being_made_are_left_alone(place: Path) -> None:
    def directories() -> set[str]:
        return {path.name for path in place.iterdir()}

    with LocalEmulator() as local:
        (local.emulator.state.temporary / "rows").touch()
        used = directories()
        made = place / "emulator-scratch-made"
        made.mkdir()
        (place / "emulator-other").mkdir()
        sweep()
        assert directories() == used | {"emulator-scratch-made", "emulator-other"}
        old = time.time() - 7200
        os.utime(made, (old, old))
        sweep()
        assert directories() == used | {"emulator-other"}
    assert directories() == {"emulator-other"}
