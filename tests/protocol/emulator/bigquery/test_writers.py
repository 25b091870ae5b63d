"""Tables change whole or not at all; writers and readers do not disturb each other."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from emulator.bigquery import service
from emulator.bigquery.catalog import Catalog
from emulator.core.errors import ApiError
from emulator.core.runtime import Emulator
from emulator.iam import OWNER

SCHEMA = [{"name": "n", "type": "INTEGER"}, {"name": "tags", "type": "STRING", "mode": "REPEATED"}]


def test_rows_that_no_table_points_to_are_gone_after_a_restart(tmp_path: Path) -> None:
    first = Emulator(tmp_path)
    catalog = first.service(Catalog)
    catalog.keep_dataset("research-analytics", "d", {"location": "US"})
    service.append_rows(first, "research-analytics", "d", "t", SCHEMA, [{"n": 1}])
    catalog.engine.write(lambda cursor: cursor.execute("CREATE TABLE t_abandoned (x BIGINT)"))
    first.close()
    second = Emulator(tmp_path)
    catalog = second.service(Catalog)
    names = [name for (name,) in catalog.engine.rows("SELECT table_name FROM duckdb_tables()")]
    assert len(names) == 1
    assert service.table_state(second, "research-analytics", "d", "t") == service.TableState(
        1,
        [
            {"name": "n", "type": "INTEGER", "mode": "NULLABLE"},
            {"name": "tags", "type": "STRING", "mode": "REPEATED"},
        ],
    )
    second.close()


def test_a_load_that_fails_leaves_the_table_as_it_was(tmp_path: Path) -> None:
    emulator = Emulator()
    emulator.service(Catalog).keep_dataset("research-analytics", "d", {"location": "US"})
    good, bad = tmp_path / "good.ndjson", tmp_path / "bad.ndjson"
    good.write_text('{"n": 1, "tags": ["a"]}\n{"n": 2}\n')
    bad.write_text('{"n": 3}\n{"n": "three"}\n')
    load = service.load_rows
    assert load(emulator, "research-analytics", "d", "t", SCHEMA, [good], "WRITE_EMPTY") == 2
    for disposition in ("WRITE_APPEND", "WRITE_TRUNCATE"):
        with pytest.raises(ApiError, match="three"):
            load(emulator, "research-analytics", "d", "t", SCHEMA, [good, bad], disposition)
    with pytest.raises(ApiError, match=r"Already Exists: Table research-analytics:d\.t"):
        load(emulator, "research-analytics", "d", "t", SCHEMA, [good], "WRITE_EMPTY")
    with pytest.raises(ApiError, match="Field n has changed type from INTEGER to STRING"):
        wrong = [{"name": "n", "type": "STRING"}]
        load(emulator, "research-analytics", "d", "t", wrong, [good], "WRITE_APPEND")
    with pytest.raises(ApiError, match="Not found: Dataset research-analytics:nothing"):
        load(emulator, "research-analytics", "nothing", "t", SCHEMA, [good], "WRITE_APPEND")
    state = service.table_state(emulator, "research-analytics", "d", "t")
    assert state is not None
    assert state.rows == 2
    emulator.close()


def test_appending_adds_the_columns_that_are_missing_at_every_level() -> None:
    emulator = Emulator()
    emulator.service(Catalog).keep_dataset("research-analytics", "d", {"location": "US"})
    inner = {"name": "x", "type": "STRING"}
    more: dict[str, Any] = {"name": "y", "type": "STRING", "mode": "REPEATED"}
    old: list[dict[str, Any]] = [{"name": "Seq", "type": "RECORD", "mode": "REPEATED", "fields": [inner]}]
    new: list[dict[str, Any]] = [
        {"name": "Seq", "type": "RECORD", "mode": "REPEATED", "fields": [more, inner]},
        {"name": "Fresh", "type": "DATE"},
    ]
    service.append_rows(emulator, "research-analytics", "d", "t", old, [{"Seq": [{"x": "a"}]}, {}])
    service.append_rows(emulator, "research-analytics", "d", "t", new, [{"Seq": [{"y": ["b"]}], "Fresh": "2024-01-01"}])
    catalog = emulator.service(Catalog)
    document = catalog.tables["research-analytics/d/t"]
    rows = catalog.engine.rows(f'SELECT * FROM "{document["physical"]}" ORDER BY Fresh NULLS FIRST')  # noqa: S608
    assert [row[0] for row in rows] == [[{"x": "a", "y": []}], [], [{"x": None, "y": ["b"]}]]
    emulator.close()


@pytest.mark.parametrize("durable", [False, True])
def test_loads_queries_and_changes_beside_each_other_neither_fail_nor_lose_rows(
    tmp_path: Path, *, durable: bool
) -> None:
    from emulator.bigquery.jobs import Jobs

    emulator = Emulator(tmp_path / "data" if durable else None)
    emulator.service(Catalog).keep_dataset("research-analytics", "d", {"location": "US"})
    jobs = emulator.service(Jobs)
    file = tmp_path / "rows.ndjson"
    file.write_text("".join(f'{{"n": {number}, "tags": ["a"]}}\n' for number in range(100)))
    service.load_rows(emulator, "research-analytics", "d", "t", SCHEMA, [file], "WRITE_EMPTY")
    problems: list[str] = []

    def query(sql: str) -> None:
        options = {"query": {"query": sql, "useLegacySql": False}}
        job, future = jobs.start(OWNER, "research-analytics", options, {})
        assert future is not None
        future.result(60)
        done = jobs.find("research-analytics", job["jobReference"]["jobId"])
        if "errorResult" in done["status"]:
            problems.append(f"{sql}: {done['status']['errorResult']['message']}")

    def work(number: int) -> None:
        try:
            for turn in range(5):
                match number % 5:
                    case 0:
                        service.load_rows(emulator, "research-analytics", "d", "t", SCHEMA, [file], "WRITE_APPEND")
                    case 1:
                        query("SELECT COUNT(*), SUM(n) FROM d.t")
                    case 2:
                        query(f"UPDATE d.t SET n = n + 1 WHERE n = {turn}")  # noqa: S608 - a number
                    case 3:
                        service.load_rows(emulator, "research-analytics", "d", "u", SCHEMA, [file], "WRITE_TRUNCATE")
                    case _:
                        query("SELECT COUNT(*) FROM d.t CROSS JOIN UNNEST(tags)")
        except ApiError as error:
            problems.append(error.message)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert problems == []
    state = service.table_state(emulator, "research-analytics", "d", "t")
    assert state is not None
    assert state.rows == 100 + 2 * 5 * 100
    emulator.close()
