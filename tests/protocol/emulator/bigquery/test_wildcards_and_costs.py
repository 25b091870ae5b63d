"""Wildcard tables, PIVOT, what queries cost, and results that are answered again."""

# ruff: noqa: S608 - queries of our own

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, Forbidden, GoogleAPICallError, NotFound
from google.cloud import bigquery

from emulator.server.server import LocalEmulator

from .warehouse import NEVER, PROJECT, client_of, rows

MB = 1024 * 1024


@pytest.fixture
def client(emulator: LocalEmulator) -> Iterator[bigquery.Client]:
    made = client_of(emulator)
    made.create_dataset("d")
    for name, query in (
        ("events_1", "SELECT 1 AS x"),
        ("events_2", "SELECT 2 AS x, 'b' AS y, [1] AS l"),
        ("other", "SELECT 'q' AS z"),
    ):
        rows(made, f"CREATE TABLE d.{name} AS {query}")
    yield made
    made.close()  # type: ignore[no-untyped-call]


# --- https://cloud.google.com/bigquery/docs/querying-wildcard-tables

WRONG: list[tuple[str, type[Exception], str]] = [
    ("SELECT * FROM `d.nothing*`", BadRequest, r"research-analytics:d.nothing\* does not match any table"),
    ("SELECT * FROM `nowhere.*`", NotFound, "Not found: Dataset research-analytics:nowhere"),
    ("SELECT * FROM `d.v*`", BadRequest, "Views cannot be queried through prefix. First view research-analytics:d.v1"),
    ("SELECT * FROM `d.ev*`", BadRequest, "Cannot read field 'x' of type INT64 as STRING"),
    ("SELECT _TABLE_SUFFIX FROM d.other", BadRequest, "Unrecognized name: _TABLE_SUFFIX"),
]


@pytest.mark.parametrize(("sql", "kind", "text"), WRONG, ids=[case[0] for case in WRONG])
def test_a_wildcard_that_means_nothing_is_refused(
    client: bigquery.Client, sql: str, kind: type[Exception], text: str
) -> None:
    rows(client, "CREATE VIEW d.v1 AS SELECT 1 AS a")
    rows(client, "CREATE TABLE d.evil AS SELECT 'q' AS x")
    with pytest.raises(kind, match=text):
        rows(client, sql)


@pytest.mark.usefixtures("client")
def test_a_wildcard_needs_permission_for_every_table(emulator: LocalEmulator) -> None:
    policy = {"bindings": [{"role": "roles/bigquery.jobUser", "members": ["user:alice@example.org"]}]}
    emulator.emulator.iam.set(f"projects/{PROJECT}", policy)
    viewer = {"bindings": [{"role": "roles/bigquery.dataViewer", "members": ["user:alice@example.org"]}]}
    emulator.emulator.iam.set(f"bigquery/{PROJECT}/d/events_1", viewer)
    alice = client_of(emulator, "user:alice@example.org")
    with pytest.raises(Forbidden, match="events_2"):
        rows(alice, "SELECT x FROM `d.events_*`")
    emulator.emulator.iam.set(f"bigquery/{PROJECT}/d/events_2", viewer)
    assert len(rows(alice, "SELECT x FROM `d.events_*`")) == 2
    alice.close()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(("sql", "found"), [
    # The columns are those of the table that was created last; what another table lacks is NULL.
    ("SELECT *, _TABLE_SUFFIX AS s FROM `d.events_*` ORDER BY x",
     [{"x": 1, "y": None, "l": [], "s": "1"}, {"x": 2, "y": "b", "l": [1], "s": "2"}]),
    ("SELECT x FROM `research-analytics.d.events_*` WHERE _TABLE_SUFFIX = '2'", [{"x": 2}]),
    ("SELECT COUNT(*) AS n FROM `d.events_*` AS e WHERE e._TABLE_SUFFIX BETWEEN '0' AND '1'", [{"n": 1}]),
    ("SELECT _TABLE_SUFFIX AS s FROM `d.*` ORDER BY s", [{"s": "events_1"}, {"s": "events_2"}, {"s": "other"}]),
])  # fmt: skip
def test_a_wildcard_stands_for_all_tables_with_the_prefix(
    client: bigquery.Client, sql: str, found: list[dict[str, Any]]
) -> None:
    if "`d.*`" in sql:
        client.delete_table("d.events_1")
        client.delete_table("d.events_2")
        found = found[2:]
    assert rows(client, sql) == found


# --- https://cloud.google.com/bigquery/docs/reference/standard-sql/query-syntax#pivot_operator: Google's own example

PRODUCE = """(
  SELECT 'Kale' AS product, 51 AS sales, 'Q1' AS quarter, 2020 AS year UNION ALL
  SELECT 'Kale', 23, 'Q2', 2020 UNION ALL
  SELECT 'Kale', 45, 'Q3', 2020 UNION ALL
  SELECT 'Kale', 3, 'Q4', 2020 UNION ALL
  SELECT 'Kale', 70, 'Q1', 2021 UNION ALL
  SELECT 'Kale', 85, 'Q2', 2021 UNION ALL
  SELECT 'Apple', 77, 'Q1', 2020 UNION ALL
  SELECT 'Apple', 0, 'Q2', 2020 UNION ALL
  SELECT 'Apple', 1, 'Q1', 2021)"""
Q1 = "(SELECT product, sales, quarter FROM Produce)"


@pytest.mark.parametrize(("select", "found"), [
    ("SELECT * FROM Produce PIVOT(SUM(sales) FOR quarter IN ('Q1', 'Q2', 'Q3', 'Q4')) ORDER BY product, year",
     [("Apple", 2020, 77, 0, None, None), ("Apple", 2021, 1, None, None, None),
      ("Kale", 2020, 51, 23, 45, 3), ("Kale", 2021, 70, 85, None, None)]),
    (f"SELECT * FROM {Q1} PIVOT(SUM(sales) FOR quarter IN ('Q1', 'Q2', 'Q3')) ORDER BY product",
     [("Apple", 78, 0, None), ("Kale", 121, 108, 45)]),
    (f"SELECT * FROM {Q1} PIVOT(SUM(sales) AS total, COUNT(*) AS n FOR quarter IN ('Q1', 'Q2')) ORDER BY product",
     [("Apple", 78, 2, 0, 1), ("Kale", 121, 2, 108, 2)]),
    ("SELECT * FROM (SELECT sales, quarter FROM Produce) PIVOT(SUM(sales) FOR quarter IN ('Q1' AS a, NULL AS b)) AS p",
     [(199, None)]),
])  # fmt: skip
def test_pivot_makes_columns_of_values(client: bigquery.Client, select: str, found: list[tuple[Any, ...]]) -> None:
    job = client.query(f"WITH Produce AS {PRODUCE} {select}", retry=NEVER, job_retry=None)
    assert [tuple(row.values()) for row in job.result()] == found


def test_pivot_names_its_columns(client: bigquery.Client) -> None:
    sql = f"""WITH Produce AS {PRODUCE}
      SELECT * FROM Produce PIVOT(SUM(sales) AS total, COUNT(*) AS n FOR quarter IN ('Q1', 'Q2' AS second))"""
    names = [field.name for field in client.query(sql).result().schema]
    assert names == ["product", "year", "total_Q1", "n_Q1", "total_second", "n_second"]


# --- costs


def test_a_query_that_costs_more_than_allowed_is_not_run(client: bigquery.Client) -> None:
    # Ten megabytes at least for each table: https://cloud.google.com/bigquery/pricing#on_demand_pricing
    with pytest.raises(GoogleAPICallError, match=f"bytes billed: 1. {10 * MB} or higher required") as caught:
        rows(client, "SELECT * FROM d.events_1", maximum_bytes_billed=1)
    assert caught.value.errors[0]["reason"] == "bytesBilledLimitExceeded"
    with pytest.raises(GoogleAPICallError, match=f"{20 * MB} or higher required"):
        rows(client, "SELECT x FROM `d.events_*`", maximum_bytes_billed=10 * MB)
    with pytest.raises(GoogleAPICallError, match="or higher required"):
        rows(client, "CREATE TABLE d.copy AS SELECT * FROM d.events_1", maximum_bytes_billed=1)
    assert "copy" not in {table.table_id for table in client.list_tables("d")}
    assert rows(client, "SELECT x FROM d.events_1", maximum_bytes_billed=10 * MB) == [{"x": 1}]
    assert rows(client, "SELECT 1 AS one", maximum_bytes_billed=1) == [{"one": 1}]


def test_a_dry_run_says_how_much_would_be_read(client: bigquery.Client) -> None:
    config = bigquery.QueryJobConfig(dry_run=True, use_query_cache=False)
    job = client.query("SELECT x FROM `d.events_*`", job_config=config)
    # https://cloud.google.com/bigquery/docs/estimate-costs: INT64 8 bytes, STRING 2 + its bytes, of ARRAY the elements'
    assert job.total_bytes_processed == 8 + (8 + 3 + 8)
    assert job.total_bytes_billed == 0
    assert job.cache_hit is False


# --- https://cloud.google.com/bigquery/docs/cached-results


def again(client: bigquery.Client, sql: str, **options: Any) -> bool:
    """Whether the second of two runs is answered from the cache; both have the same rows."""
    jobs = [client.query(sql, job_config=bigquery.QueryJobConfig(**options)) for _ in range(2)]
    first, second = [[dict(row) for row in job.result()] for job in jobs]
    assert jobs[0].cache_hit is False
    if jobs[1].cache_hit:
        assert first == second
        assert jobs[1].total_bytes_processed == jobs[1].total_bytes_billed == 0
    return bool(jobs[1].cache_hit)


@pytest.mark.parametrize("sql", ["SELECT * FROM d.events_1", "SELECT 1 AS one", "SELECT a FROM d.v"])
def test_the_same_query_is_answered_from_the_cache(client: bigquery.Client, sql: str) -> None:
    rows(client, "CREATE VIEW d.v AS SELECT x AS a FROM d.events_1")
    assert again(client, sql) is True


@pytest.mark.parametrize(("sql", "options"), [
    ("SELECT x, RAND() AS r FROM d.events_1", {}),
    ("SELECT CURRENT_TIMESTAMP() AS t", {}),
    ("SELECT x FROM `d.events_*`", {}),
    ("SELECT a FROM d.v", {}),
    ("SELECT table_name FROM d.INFORMATION_SCHEMA.TABLES", {}),
    ("SELECT x FROM d.events_1", {"use_query_cache": False}),
    ("SELECT x FROM d.events_1", {"destination": f"{PROJECT}.d.found", "write_disposition": "WRITE_TRUNCATE"}),
])  # fmt: skip
def test_what_may_have_another_result_is_run_again(client: bigquery.Client, sql: str, options: dict[str, Any]) -> None:
    rows(client, "CREATE VIEW d.v AS SELECT CURRENT_DATE() AS a")
    assert again(client, sql, **options) is False


def test_a_changed_table_parameter_or_person_is_another_query(emulator: LocalEmulator, client: bigquery.Client) -> None:
    sql = "SELECT x + @more AS y FROM d.events_1"

    def asked(client: bigquery.Client, more: int) -> tuple[list[int], bool]:
        parameters = [bigquery.ScalarQueryParameter("more", "INT64", more)]
        job = client.query(sql, job_config=bigquery.QueryJobConfig(query_parameters=parameters))
        return [row["y"] for row in job.result()], bool(job.cache_hit)

    assert asked(client, 1) == ([2], False)
    assert asked(client, 1) == ([2], True)
    assert asked(client, 2) == ([3], False)
    rows(client, "INSERT INTO d.events_1 VALUES (5)")
    assert asked(client, 1) == ([2, 6], False)
    policy = {"bindings": [{"role": "roles/bigquery.admin", "members": ["user:alice@example.org"]}]}
    emulator.emulator.iam.set(f"projects/{PROJECT}", policy)
    alice = client_of(emulator, "user:alice@example.org")
    assert asked(alice, 1) == ([2, 6], False)
    emulator.emulator.iam.set(f"projects/{PROJECT}", {"bindings": []})
    with pytest.raises(Forbidden):
        asked(alice, 1)
    alice.close()  # type: ignore[no-untyped-call]


# --- small things that clients ask


def test_a_variable_names_its_column(client: bigquery.Client) -> None:
    assert rows(client, "DECLARE found INT64 DEFAULT 5; SET found = found + 1; SELECT found") == [{"found": 6}]


def test_a_dataset_has_no_models_and_routines(client: bigquery.Client) -> None:
    assert list(client.list_models("d")) == list(client.list_routines("d")) == []
    with pytest.raises(NotFound):
        list(client.list_models("nowhere"))
