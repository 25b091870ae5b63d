"""Tables are read while others replace them: every reader sees one whole state of a table, before or after."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from emulator.bigquery import service
from emulator.server.server import LocalEmulator
from tests.protocol.emulator.killable import request

PROJECT = "hospital-imaging"
BASE = f"/bigquery/v2/projects/{PROJECT}"
TABLE = f"{BASE}/datasets/dicom/tables/instances"
SCHEMA = [{"name": "n", "type": "INTEGER"}]
ROWS = 500


@pytest.fixture
def replaced(emulator: LocalEmulator, tmp_path: Path) -> Iterator[LocalEmulator]:
    """An emulator with a table that somebody replaces all the time with one of as many rows."""
    reference = {"projectId": PROJECT, "datasetId": "dicom"}
    request(emulator.url, "POST", f"{BASE}/datasets", {"datasetReference": reference})
    lines = tmp_path / "rows.json"
    lines.write_text("".join(f'{{"n": {number}}}\n' for number in range(ROWS)), "ascii")
    ended = threading.Event()

    def load() -> None:
        service.load_rows(emulator.emulator, PROJECT, "dicom", "instances", SCHEMA, [lines], "WRITE_TRUNCATE")

    def go_on() -> None:
        while not ended.is_set():
            load()

    load()
    with ThreadPoolExecutor(1) as workers:
        working = workers.submit(go_on)
        yield emulator
        ended.set()
        working.result(30)


QUERY = {"query": "SELECT COUNT(*), SUM(n) FROM dicom.instances", "useLegacySql": False}
READERS: list[tuple[str, str, Any]] = [
    ("GET", TABLE, None),
    ("GET", f"{TABLE}/data?maxResults=1000", None),
    ("POST", f"{BASE}/queries", QUERY),
    ("POST", f"{BASE}/queries", {**QUERY, "dryRun": True}),
    ("PATCH", TABLE, {"description": "text"}),
]


@pytest.mark.parametrize(("method", "path", "body"), READERS, ids=["get", "list rows", "query", "dry run", "patch"])
def test_a_table_is_read_while_it_is_replaced(replaced: LocalEmulator, method: str, path: str, body: Any) -> None:
    for _ in range(40):
        status, answer = request(replaced.url, method, path, body)
        assert status == 200, answer
        if "totalRows" in answer and not (body or {}).get("dryRun"):
            if method == "GET":
                assert len(answer["rows"]) == int(answer["totalRows"]) == ROWS
            else:
                assert answer["rows"][0]["f"][0]["v"] == str(ROWS)


def test_the_state_of_a_table_is_read_while_it_is_replaced(replaced: LocalEmulator) -> None:
    for _ in range(100):
        state = service.table_state(replaced.emulator, PROJECT, "dicom", "instances")
        assert state is not None
        assert state.rows == ROWS
