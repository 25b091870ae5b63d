"""Mutilated queries are refused in BigQuery's way: never an accident inside, never a text that DuckDB can't read."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any

import pytest

from emulator.bigquery import service
from emulator.bigquery.catalog import Catalog
from emulator.bigquery.encode import row_encoder
from emulator.bigquery.names import TableName
from emulator.bigquery.session import Session
from emulator.core.errors import ApiError
from emulator.core.runtime import Emulator
from tests.unit.emulator.googlesql_cases import CASES

EXPRESSIONS = [expression for cases in CASES.values() for expression, _ in cases]
WORDS = re.compile(r"'(?:[^'\\]|\\.)*'|\"[^\"]*\"|\w+|[^\w\s]|\s+")
COLUMNS = ["a", "s", "d", "arr", "r", "p", "p.f", "t", "r[SAFE_OFFSET(0)].x", "NULL", "1", "'x'", "*"]
STATEMENTS = [
    "SELECT {} FROM d.t WHERE {}",
    "SELECT {0}, COUNT(*) FROM d.t GROUP BY {0}",
    "SELECT {} FROM d.t, UNNEST(r) u ORDER BY {}",
    "WITH q AS (SELECT {} AS v FROM d.t) SELECT * FROM q",
    "SELECT {} UNION ALL SELECT {}",
    "SELECT MAX({}), ARRAY_AGG({}) FROM d.t",
    "SELECT * FROM d.t x JOIN d.t y ON {}",
    "SELECT {} OVER (ORDER BY {}) FROM d.t",
    "UPDATE d.t SET a = {} WHERE {} AND FALSE",
    "INSERT d.t (s) SELECT {} FROM d.t WHERE FALSE",
]
SCHEMA: list[dict[str, Any]] = [
    {"name": "a", "type": "INTEGER"},
    {"name": "s", "type": "STRING"},
    {"name": "d", "type": "DATE"},
    {"name": "arr", "type": "STRING", "mode": "REPEATED"},
    {"name": "r", "type": "RECORD", "mode": "REPEATED", "fields": [{"name": "x", "type": "STRING"}]},
    {"name": "p", "type": "RECORD", "fields": [{"name": "f", "type": "FLOAT"}]},
]


@pytest.fixture(scope="module")
def catalog() -> Iterator[Catalog]:
    emulator = Emulator()
    made = emulator.service(Catalog)
    made.keep_dataset("research-analytics", "d", {"location": "US"})
    rows: list[dict[str, Any]] = [{"a": 1, "s": "x", "d": "2024-01-01", "arr": ["q"], "r": [{"x": "z"}]}, {}]
    service.append_rows(emulator, "research-analytics", "d", "t", SCHEMA, rows)
    yield made
    emulator.close()


def mutilated(source: random.Random) -> str:
    words = WORDS.findall(source.choice(EXPRESSIONS))
    for _ in range(source.randrange(4)):
        at = source.randrange(len(words)) if words else 0
        other = source.choice([*COLUMNS, *WORDS.findall(source.choice(EXPRESSIONS))])
        match source.randrange(3):
            case 0 if words:
                del words[at]
            case 1 if words:
                words[at] = other
            case _:
                words.insert(at, other)
    return "".join(words)


def run(catalog: Catalog, sql: str) -> None:
    from emulator.bigquery.sql.parser import parse
    from emulator.bigquery.statements.outcomes import store
    from emulator.bigquery.statements.statements import Statements

    def sink(_: Session, query: Any, fields: Any) -> TableName:
        physical = catalog.engine.write(lambda cursor: store(catalog, cursor, query, fields))
        encode = row_encoder(fields)
        for row in catalog.engine.rows(f'SELECT * FROM "{physical}"'):  # noqa: S608 - a name of our own
            encode(row)
        catalog.engine.drop(physical)
        return TableName("p", "d", "t")

    statements = Statements(Session(catalog, "owner", "research-analytics", sql), sink)
    for node in parse(sql):
        statements.plan(node).run()


@pytest.mark.parametrize("seed", range(4))
def test_mutilated_queries_are_answered_or_refused(catalog: Catalog, seed: int) -> None:
    source = random.Random(seed)  # noqa: S311 - no secret
    for _ in range(60):
        sql = source.choice(STATEMENTS).format(mutilated(source), mutilated(source))
        try:
            run(catalog, sql)
        except ApiError as error:
            assert error.status in (400, 403, 404, 501), sql
            assert "this query" not in error.message, sql
