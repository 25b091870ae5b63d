"""Queries through google-cloud-bigquery: DICOM metadata, results, parameters, errors, statements, views."""

# ruff: noqa: S608, ISC004 - queries are text, and long ones go over several lines

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, Conflict, MethodNotImplemented, NotFound
from google.cloud import bigquery

from emulator.server.server import LocalEmulator
from tests.protocol.emulator.bigquery.warehouse import NEVER, PROJECT, TABLE, client_of, fill, rows


@pytest.fixture
def client(emulator: LocalEmulator) -> Iterator[bigquery.Client]:
    made = client_of(emulator)
    fill(made)
    yield made
    made.close()  # type: ignore[no-untyped-call]


# --- what is refused ---

WRONG: list[tuple[str, type[Exception], str]] = [
    ("SELEC 1", BadRequest, "Syntax error"),
    ("SELECT", BadRequest, "Syntax error"),
    ("SELECT 'a", BadRequest, "Syntax error: Unclosed string literal"),
    ("SELECT nothing FROM dicom.instances", BadRequest, r"Unrecognized name: nothing at \[1:8\]"),
    ("SELECT PatientId2 FROM dicom.instances", BadRequest, r"Did you mean PatientID\? at \[1:8\]"),
    ("SELECT i.PatientName.Alphabetic.Nick FROM dicom.instances i", BadRequest, "Field name Nick does not exist"),
    (
        "SELECT *\nFROM dicom.instances\nWHERE InstanceNumber = 1",
        BadRequest,
        r"operator = for argument types: STRING, INT64 at \[3:7\]",
    ),
    (
        "SELECT PatientID, COUNT(*) FROM dicom.instances",
        BadRequest,
        "column PatientID which is neither grouped nor aggregated",
    ),
    ("SELECT 1/0", BadRequest, "division by zero: 1 / 0"),
    ("SELECT CAST(PatientID AS INT64) FROM dicom.instances", BadRequest, "Bad int64 value: P"),
    ("SELECT 1 AS a, 2 AS a", BadRequest, r"Found duplicate\(s\): a"),
    (
        "SELECT * FROM dicom.nothing",
        NotFound,
        r"Table research-analytics:dicom\.nothing was not found in location US",
    ),
    ("SELECT * FROM nowhere.t", NotFound, "Not found: Dataset research-analytics:nowhere was not found in location US"),
    ("SELECT * FROM instances", BadRequest, 'Table "instances" must be qualified with a dataset'),
    ("DELETE FROM `dicom.inst*` WHERE TRUE", MethodNotImplemented, "wildcard tables"),
    ("SELECT Rows FROM dicom.instances", BadRequest, r"Unexpected keyword ROWS at \[1:8\]"),
    ("BEGIN TRANSACTION; SELECT 1; COMMIT TRANSACTION", MethodNotImplemented, "TRANSACTION"),
    ("IF TRUE THEN SELECT 1; END IF", MethodNotImplemented, "IF"),
    ("SELECT * FROM read_csv('/etc/passwd')", MethodNotImplemented, "the table function"),
    ("SELECT getenv('HOME')", BadRequest, "Function not found: getenv"),
    ("SELECT duckdb_version()", BadRequest, "Function not found"),
    ("SELECT * FROM duckdb_tables", BadRequest, "must be qualified"),
    ("CALL dicom.procedure()", MethodNotImplemented, "CALL"),
    ("CREATE FUNCTION dicom.f(x INT64) AS (x)", MethodNotImplemented, "CREATE FUNCTION"),
    ("UPDATE dicom.instances SET `Rows` = 1", BadRequest, "UPDATE must have a WHERE clause"),
    ("INSERT dicom.instances (PatientID) VALUES (1)", BadRequest, "cannot be inserted into column PatientID"),
    ("INSERT dicom.instances (PatientID) VALUES ('a', 'b')", BadRequest, "wrong column count; Has 2, expected 1"),
    ("CREATE TABLE dicom.instances (a INT64)", Conflict, r"Already Exists: Table research-analytics:dicom\.instances"),
    ("DROP TABLE dicom.nothing", NotFound, "Not found: Table"),
    ("DROP VIEW dicom.instances", BadRequest, "it is a table"),
    ("CREATE VIEW dicom.v AS SELECT COUNT(*) FROM dicom.instances", BadRequest, "must be named, but column 1"),
    ("CREATE TABLE dicom.u AS SELECT 1", BadRequest, "must be named, but column 1"),
    ("DROP SCHEMA dicom", BadRequest, "Dataset research-analytics:dicom is still in use"),
]


@pytest.mark.parametrize(("sql", "kind", "text"), WRONG, ids=[case[0][:60] for case in WRONG])
def test_a_wrong_query_is_refused_with_what_is_wrong(
    client: bigquery.Client, sql: str, kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text):
        rows(client, sql)


def test_legacy_sql_is_refused_with_the_way_out(client: bigquery.Client) -> None:
    with pytest.raises(BadRequest, match="use_legacy_sql=false"):
        rows(client, "SELECT 1", use_legacy_sql=True)


def test_a_dry_run_says_what_is_wrong_at_once(client: bigquery.Client) -> None:
    with pytest.raises(BadRequest, match="Unrecognized name: nothing"):
        client.query("SELECT nothing", job_config=bigquery.QueryJobConfig(dry_run=True), retry=NEVER)


def test_a_job_elsewhere_does_not_find_the_dataset(client: bigquery.Client) -> None:
    with pytest.raises(NotFound, match="was not found in location europe-west4"):
        client.query(f"SELECT 1 FROM `{TABLE}`", location="europe-west4", retry=NEVER, job_retry=None).result(
            retry=NEVER
        )


def test_a_missing_parameter_is_named(client: bigquery.Client) -> None:
    with pytest.raises(BadRequest, match="Query parameter 'patient' not found"):
        rows(client, "SELECT @patient")


# --- DICOM metadata ---


def test_the_paths_of_a_filter_file_are_made(client: bigquery.Client) -> None:
    sql = f"""
      SELECT CONCAT('/studies/',StudyInstanceUID,'/series/',SeriesInstanceUID,'/instances/',SOPInstanceUID)
      FROM `{TABLE}` WHERE PatientID = 'P2'"""
    assert rows(client, sql) == [{"f0_": "/studies/1.2.2/series/1.2.2.1/instances/1.2.2.1.1"}]


def test_the_studies_are_listed_with_their_first_image(client: bigquery.Client) -> None:
    sql = f"""
      SELECT MIN(CONCAT(StudyDate,' ',StudyTime)), MIN(PatientID), StudyInstanceUID, COUNT(*)
      FROM `{TABLE}` GROUP BY StudyInstanceUID ORDER BY StudyInstanceUID"""
    assert [tuple(row.values()) for row in rows(client, sql)] == [
        ("2024-02-29 10:11:12.500", "P1", "1.2.1", 3),
        (None, "P2", "1.2.2", 1),
    ]


QUESTIONS: list[tuple[str, list[tuple[Any, ...]]]] = [
    (
        "SELECT o.Data[SAFE_OFFSET(0)] FROM dicom.instances, UNNEST(OtherElements) o "
        "WHERE o.Tag = 'Tag_00431039' LIMIT 1",
        [("1000",)],
    ),
    (
        "SELECT SOPInstanceUID, (SELECT o.Data[SAFE_OFFSET(0)] FROM UNNEST(OtherElements) o "
        "WHERE o.Tag = 'Tag_00430010') "
        "FROM dicom.instances WHERE PatientID = 'P2' OR InstanceNumber = '1' ORDER BY 1",
        [("1.2.1.1.1", "GEMS"), ("1.2.2.1.1", None)],
    ),
    (
        "SELECT DISTINCT p.CodeMeaning FROM dicom.instances i, i.ReferencedImageSequence r, "
        "r.PurposeOfReferenceCodeSequence p",
        [("Localizer",)],
    ),
    (
        "SELECT PatientID, image FROM dicom.instances LEFT JOIN UNNEST(ImageType) image WITH OFFSET place "
        "WHERE IFNULL(place, 0) = 0 AND SOPInstanceUID IN ('1.2.1.1.1', '1.2.2.1.1') ORDER BY 1",
        [("P1", "ORIGINAL"), ("P2", None)],
    ),
    (
        "SELECT PatientName.Alphabetic.FamilyName, PatientName.Ideographic FROM dicom.instances "
        "ORDER BY 1 DESC LIMIT 1",
        [("Doe", None)],
    ),
    (
        "SELECT ARRAY_LENGTH(ImageType), ImageType IS NULL, ARRAY_LENGTH(ReferencedImageSequence) "
        "FROM dicom.instances WHERE PatientID = 'P2'",
        [(0, False, 0)],
    ),
    (
        "SELECT InstanceNumber FROM dicom.instances WHERE 'PRIMARY' IN UNNEST(ImageType) "
        "ORDER BY SAFE_CAST(InstanceNumber AS INT64) DESC",
        [("10",), ("2",), ("1",)],
    ),
    (
        "SELECT PatientID, ROW_NUMBER() OVER (PARTITION BY PatientID ORDER BY SOPInstanceUID) AS n "
        "FROM dicom.instances QUALIFY n = 1 ORDER BY 1",
        [("P1", 1), ("P2", 1)],
    ),
    (
        "WITH s AS (SELECT StudyInstanceUID AS uid, COUNT(*) AS n FROM dicom.instances GROUP BY 1) "
        "SELECT uid, n, SUM(n) OVER () FROM s WHERE n > 1",
        [("1.2.1", 3, 3)],
    ),
    (
        "SELECT a.SOPInstanceUID FROM dicom.instances a JOIN dicom.instances b USING (SOPInstanceUID) "
        "WHERE EXISTS(SELECT 1 FROM UNNEST(b.OtherElements) e WHERE STARTS_WITH(e.Tag, 'Tag_0043')) ORDER BY 1 LIMIT 1",
        [("1.2.1.1.1",)],
    ),
    (
        "SELECT EXTRACT(YEAR FROM StudyDate) AS year, COUNTIF(Modality = 'MR') FROM dicom.instances "
        "GROUP BY year ORDER BY year",
        [(None, 0), (2024, 3)],
    ),
    (
        "SELECT COUNT(*) FROM dicom.instances WHERE StudyDate BETWEEN '2024-01-01' AND '2024-12-31' "
        "AND studytime > '10:00:00'",
        [(3,)],
    ),
]


@pytest.mark.parametrize(("sql", "expected"), QUESTIONS, ids=[case[0][:60] for case in QUESTIONS])
def test_typical_questions_about_images_are_answered(
    client: bigquery.Client, sql: str, expected: list[tuple[Any, ...]]
) -> None:
    assert [tuple(row.values()) for row in rows(client, sql)] == expected


# --- results ---


def test_results_have_their_types(client: bigquery.Client) -> None:
    sql = """
      SELECT 1 AS i, 1.5 AS f, TRUE AS b, 'é' AS s, b'\\xff' AS y, NUMERIC '1.25' AS n, DATE '2024-02-29' AS d,
        TIME '01:02:03.5' AS t, DATETIME '2024-02-29T01:02:03' AS dt, TIMESTAMP '2024-02-29 01:02:03.000001+01' AS ts,
        JSON '{"a":[1]}' AS j, [STRUCT(1 AS a, ['x'] AS b)] AS r, CAST(NULL AS STRING) AS nothing,
        CAST(NULL AS ARRAY<INT64>) AS none, CAST('nan' AS FLOAT64) AS nan, CAST('-inf' AS FLOAT64) AS inf"""
    job = client.query(sql)
    (row,) = job.result()
    assert row["i"] == 1
    assert row["f"] == 1.5
    assert row["b"] is True
    assert row["s"] == "é"
    assert row["y"] == b"\xff"
    assert row["n"] == Decimal("1.25")
    assert row["d"] == dt.date(2024, 2, 29)
    assert row["t"] == dt.time(1, 2, 3, 500000)
    assert row["dt"] == dt.datetime(2024, 2, 29, 1, 2, 3)  # noqa: DTZ001 - a DATETIME has no zone
    assert row["ts"] == dt.datetime(2024, 2, 29, 0, 2, 3, 1, tzinfo=dt.UTC)
    assert row["j"] == {"a": [1]}
    assert row["r"] == [{"a": 1, "b": ["x"]}]
    assert row["nothing"] is None
    assert row["none"] == []
    assert row["nan"] != row["nan"]
    assert row["inf"] == float("-inf")
    assert [(field.name, field.field_type, field.mode) for field in job.result().schema][:4] == [
        ("i", "INTEGER", "NULLABLE"),
        ("f", "FLOAT", "NULLABLE"),
        ("b", "BOOLEAN", "NULLABLE"),
        ("s", "STRING", "NULLABLE"),
    ]
    record = next(field for field in job.result().schema if field.name == "r")
    assert (record.field_type, record.mode, record.fields[1].mode) == ("RECORD", "REPEATED", "REPEATED")


def test_pages_of_a_result_follow_each_other_in_order(client: bigquery.Client) -> None:
    job = client.query("SELECT x FROM UNNEST(GENERATE_ARRAY(1, 2500)) AS x ORDER BY x DESC")
    result = job.result(page_size=1000)
    assert [row["x"] for row in result] == list(range(2500, 0, -1))
    assert result.total_rows == 2500
    again = client.get_job(job.job_id)
    assert isinstance(again, bigquery.QueryJob)
    assert [row["x"] for row in again.result(start_index=2490, max_results=3)] == [10, 9, 8]
    assert job.destination is not None
    assert len(list(client.list_rows(job.destination))) == 2500


def test_a_query_without_a_job_config_waits_for_its_result(client: bigquery.Client) -> None:
    assert [row["n"] for row in client.query_and_wait("SELECT 1 AS n UNION ALL SELECT 2 ORDER BY n")] == [1, 2]


def test_a_dry_run_knows_the_schema_and_reads_nothing(client: bigquery.Client) -> None:
    job = client.query(f"SELECT PatientID FROM `{TABLE}`", job_config=bigquery.QueryJobConfig(dry_run=True))
    assert [field.name for field in job.schema or []] == ["PatientID"]
    assert job.total_bytes_processed is not None
    assert job.total_bytes_processed > 0
    assert job.statement_type == "SELECT"
    assert [table.table_id for table in job.referenced_tables] == ["instances"]


def test_parameters_of_every_kind_reach_the_query(client: bigquery.Client) -> None:
    named = [
        bigquery.ScalarQueryParameter("patient", "STRING", "P1'; --"),
        bigquery.ScalarQueryParameter("day", "DATE", dt.date(2024, 2, 29)),
        bigquery.ScalarQueryParameter("moment", "TIMESTAMP", dt.datetime(2024, 2, 29, tzinfo=dt.UTC)),
        bigquery.ScalarQueryParameter("share", "NUMERIC", Decimal("0.1")),
        bigquery.ScalarQueryParameter("nothing", "INT64", None),
        bigquery.ArrayQueryParameter("uids", "STRING", ["1.2.1.1.1", "x"]),
        bigquery.StructQueryParameter("s", bigquery.ScalarQueryParameter("a", "INT64", 5)),
    ]
    sql = "SELECT @patient, @day, @moment, @share, @nothing, @uids, @s.a"
    (row,) = rows(client, sql, query_parameters=named)
    assert list(row.values()) == [
        "P1'; --",
        dt.date(2024, 2, 29),
        dt.datetime(2024, 2, 29, tzinfo=dt.UTC),
        Decimal("0.1"),
        None,
        ["1.2.1.1.1", "x"],
        5,
    ]
    sql = "SELECT COUNT(*) AS n FROM dicom.instances WHERE SOPInstanceUID IN UNNEST(@uids)"
    assert rows(client, sql, query_parameters=named) == [{"n": 1}]
    positional = [bigquery.ScalarQueryParameter(None, "INT64", 2), bigquery.ScalarQueryParameter(None, "FLOAT64", 0.5)]
    assert rows(client, "SELECT ? * ? AS n", query_parameters=positional) == [{"n": 1.0}]
    assert (
        len(
            rows(
                client,
                "SELECT 1 FROM UNNEST([1, 2, 3]) LIMIT @n",
                query_parameters=[bigquery.ScalarQueryParameter("n", "INT64", 2)],
            )
        )
        == 2
    )


def test_a_result_goes_into_the_table_that_was_asked_for(client: bigquery.Client) -> None:
    target = f"{PROJECT}.dicom.patients"
    sql = "SELECT DISTINCT PatientID FROM dicom.instances"
    rows(client, sql, destination=target)
    with pytest.raises(Conflict, match="Already Exists: Table"):
        rows(client, sql, destination=target, write_disposition="WRITE_EMPTY")
    rows(client, sql, destination=target, write_disposition="WRITE_APPEND")
    assert client.get_table(target).num_rows == 4
    with pytest.raises(BadRequest, match="Invalid schema update"):
        rows(client, "SELECT 1 AS PatientID", destination=target, write_disposition="WRITE_APPEND")
    rows(client, "SELECT 1 AS n", destination=target, write_disposition="WRITE_TRUNCATE")
    assert [field.name for field in client.get_table(target).schema] == ["n"]
    with pytest.raises(NotFound):
        rows(client, sql, destination=f"{PROJECT}.dicom.never", create_disposition="CREATE_NEVER")


def test_names_without_a_dataset_belong_to_the_default_one(client: bigquery.Client) -> None:
    assert rows(client, "SELECT COUNT(*) AS n FROM instances", default_dataset=f"{PROJECT}.dicom") == [{"n": 4}]


# --- statements ---


def test_rows_are_changed_by_statements_and_counted(client: bigquery.Client) -> None:
    def affected(sql: str) -> int | None:
        job = client.query(sql)
        job.result()
        return job.num_dml_affected_rows

    rows(client, "CREATE TABLE dicom.t (id INT64 NOT NULL, tags ARRAY<STRING>, p STRUCT<a INT64, b STRING>)")
    assert affected("INSERT INTO dicom.t (id, tags) VALUES (1, ['a']), (2, NULL), (3, DEFAULT)") == 3
    assert affected("INSERT dicom.t SELECT 4, [CAST(1 AS STRING)], (5, 'x')") == 1
    with pytest.raises(BadRequest, match="Required field id cannot be null"):
        rows(client, "INSERT dicom.t (tags) VALUES (['z'])")
    assert affected("UPDATE dicom.t SET p.b = 'y', tags = ARRAY_CONCAT(tags, ['n']) WHERE id IN (1, 4)") == 2
    assert rows(client, "SELECT * FROM dicom.t WHERE id IN (1, 4) ORDER BY id") == [
        {"id": 1, "tags": ["a", "n"], "p": {"a": None, "b": "y"}},
        {"id": 4, "tags": ["1", "n"], "p": {"a": 5, "b": "y"}},
    ]
    assert affected("UPDATE dicom.t t SET id = s.later FROM (SELECT 2 AS id, 20 AS later) s WHERE t.id = s.id") == 1
    with pytest.raises(BadRequest, match="must match at most one source row"):
        rows(client, "UPDATE dicom.t SET id = 9 FROM UNNEST([1, 2]) AS x WHERE id = 1")
    assert affected("DELETE FROM dicom.t WHERE id = 3") == 1
    merge = """
      MERGE dicom.t AS t USING (SELECT 1 AS id UNION ALL SELECT 99) AS s ON t.id = s.id
      WHEN MATCHED THEN UPDATE SET tags = ['merged']
      WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id)
      WHEN NOT MATCHED BY SOURCE AND t.id = 4 THEN DELETE"""
    job = client.query(merge)
    job.result()
    assert job.dml_stats is not None
    assert (job.dml_stats.inserted_row_count, job.dml_stats.updated_row_count, job.dml_stats.deleted_row_count) == (
        1,
        1,
        1,
    )
    assert rows(client, "SELECT id, tags FROM dicom.t ORDER BY id") == [
        {"id": 1, "tags": ["merged"]},
        {"id": 20, "tags": []},
        {"id": 99, "tags": []},
    ]
    assert affected("TRUNCATE TABLE dicom.t") == 3


def test_tables_are_made_changed_and_dropped_by_statements(client: bigquery.Client) -> None:
    rows(
        client,
        "CREATE TABLE dicom.t (day DATE OPTIONS(description='when')) PARTITION BY day "
        "CLUSTER BY day OPTIONS(description='d', labels=[('a', 'b')])",
    )
    table = client.get_table("dicom.t")
    assert table.schema[0].description == "when"
    assert table.time_partitioning is not None
    assert (table.time_partitioning.field, table.clustering_fields, table.labels) == ("day", ["day"], {"a": "b"})
    rows(client, "CREATE TABLE IF NOT EXISTS dicom.t (x INT64)")
    rows(client, "ALTER TABLE dicom.t ADD COLUMN n INT64, ADD COLUMN IF NOT EXISTS day DATE")
    rows(client, "INSERT dicom.t VALUES ('2024-01-01', 5)")
    rows(client, "ALTER TABLE dicom.t ALTER COLUMN n SET DATA TYPE FLOAT64")
    rows(client, "ALTER TABLE dicom.t RENAME COLUMN n TO m")
    assert rows(client, "SELECT m FROM dicom.t") == [{"m": 5.0}]
    rows(client, "ALTER TABLE dicom.t DROP COLUMN m")
    rows(client, "ALTER TABLE dicom.t SET OPTIONS(description='other')")
    rows(client, "ALTER TABLE dicom.t RENAME TO u")
    assert client.get_table("dicom.u").description == "other"
    job = client.query("CREATE OR REPLACE TABLE dicom.u AS SELECT PatientID FROM dicom.instances")
    job.result()
    assert (job.statement_type, job.ddl_operation_performed) == ("CREATE_TABLE_AS_SELECT", "REPLACE")
    rows(client, "CREATE TABLE dicom.c CLONE dicom.u")
    assert client.get_table("dicom.c").num_rows == 4
    rows(client, "CREATE TABLE dicom.l LIKE dicom.u")
    assert client.get_table("dicom.l").num_rows == 0
    rows(client, "DROP TABLE dicom.u; DROP TABLE IF EXISTS dicom.u")
    rows(client, "CREATE SCHEMA other OPTIONS(location='EU')")
    assert client.get_dataset("other").location == "EU"
    rows(client, "DROP SCHEMA other")


def test_a_script_has_variables_and_the_last_result(client: bigquery.Client) -> None:
    sql = """
      DECLARE wanted STRING DEFAULT 'P1';
      DECLARE n INT64;
      SET n = (SELECT COUNT(*) FROM dicom.instances WHERE PatientID = wanted);
      SELECT n * 2 AS doubled;"""
    assert rows(client, sql) == [{"doubled": 6}]


def test_a_script_has_functions_of_its_own(client: bigquery.Client) -> None:
    sql = """
      CREATE TEMP FUNCTION element(elements ANY TYPE, wanted STRING) RETURNS STRING AS (
        (SELECT e.Data[SAFE_OFFSET(0)] FROM UNNEST(elements) e WHERE e.Tag = wanted));
      SELECT element(OtherElements, 'Tag_00430010') AS creator FROM dicom.instances WHERE InstanceNumber = '2'"""
    assert rows(client, sql) == [{"creator": "GEMS"}]
    with pytest.raises(MethodNotImplemented, match="functions in the language js"):
        rows(client, "CREATE TEMP FUNCTION f() RETURNS STRING LANGUAGE js AS 'return 1'; SELECT f()")


# --- views ---


def test_a_view_is_checked_kept_and_follows_its_table(client: bigquery.Client) -> None:
    bad = bigquery.Table(f"{PROJECT}.dicom.bad")
    bad.view_query = "SELECT nothing FROM dicom.instances"
    with pytest.raises(BadRequest, match="Unrecognized name: nothing"):
        client.create_table(bad)
    view = bigquery.Table(f"{PROJECT}.dicom.patients")
    view.view_query = f"SELECT PatientID, COUNT(*) AS Images FROM `{TABLE}` GROUP BY PatientID"
    made = client.create_table(view)
    assert made.table_type == "VIEW"
    assert [(field.name, field.field_type) for field in made.schema] == [("PatientID", "STRING"), ("Images", "INTEGER")]
    assert rows(client, "SELECT * FROM dicom.patients ORDER BY 1")[0] == {"PatientID": "P1", "Images": 3}
    client.insert_rows_json(TABLE, [{"PatientID": "P1"}])
    assert rows(client, "SELECT p.Images FROM dicom.patients p WHERE p.PatientID = 'P1'") == [{"Images": 4}]
    with pytest.raises(BadRequest, match="VIEW"):
        list(client.list_rows("research-analytics.dicom.patients", selected_fields=made.schema))
    rows(client, "CREATE OR REPLACE VIEW dicom.patients AS SELECT DISTINCT PatientID FROM dicom.instances")
    assert len(rows(client, "SELECT * FROM dicom.patients")) == 2
    rows(client, "DROP VIEW dicom.patients")


def test_a_view_of_a_view_that_refers_to_itself_ends(client: bigquery.Client) -> None:
    rows(client, "CREATE VIEW dicom.a AS SELECT 1 AS x")
    rows(client, "CREATE VIEW dicom.b AS SELECT x FROM dicom.a")
    rows(client, "CREATE OR REPLACE VIEW dicom.a AS SELECT x FROM dicom.b")
    with pytest.raises(BadRequest, match="refers to itself"):
        rows(client, "SELECT * FROM dicom.a")


# --- what there is ---


def test_the_statement_that_makes_a_table_is_shown_and_makes_it_again(client: bigquery.Client) -> None:
    rows(
        client,
        "CREATE TABLE dicom.made (a INT64 NOT NULL OPTIONS(description='the first'), ts TIMESTAMP, `Rows` INT64, "
        "s ARRAY<STRUCT<x STRING>>) PARTITION BY DATE(ts) CLUSTER BY a",
    )
    ((ddl,),) = [
        tuple(row.values())
        for row in rows(client, "SELECT ddl FROM dicom.INFORMATION_SCHEMA.TABLES WHERE table_name = 'made'")
    ]
    before = client.get_table("dicom.made")
    rows(client, "DROP TABLE dicom.made")
    rows(client, ddl)
    after = client.get_table("dicom.made")
    assert after.schema == before.schema
    assert after.clustering_fields == ["a"]
    assert after.time_partitioning is not None
    assert after.time_partitioning.field == "ts"


def test_the_table_of_tables_has_their_sizes(client: bigquery.Client) -> None:
    rows(client, "CREATE TABLE dicom.three AS SELECT x FROM UNNEST([1, 2, 3]) AS x")
    rows(client, "CREATE VIEW dicom.v AS SELECT 1 AS x")
    # https://cloud.google.com/bigquery/pricing#data: an INT64 has 8 bytes.
    sql = "SELECT table_id, row_count, size_bytes, type FROM dicom.__TABLES__ WHERE row_count < 4 ORDER BY 1"
    kept = {"three", "v"}
    found = [tuple(row.values()) for row in rows(client, sql) if row["table_id"] in kept]
    assert found == [("three", 3, 24, 1), ("v", 0, 0, 2)]
    with pytest.raises(NotFound):
        rows(client, "SELECT * FROM nowhere.__TABLES__")


def test_a_script_runs_statements_that_it_has_put_together(client: bigquery.Client) -> None:
    script = """
        DECLARE wanted STRING DEFAULT 'put_together';
        DECLARE a, b INT64;
        EXECUTE IMMEDIATE FORMAT('CREATE TABLE dicom.%s AS SELECT 5 AS q', wanted);
        EXECUTE IMMEDIATE 'SELECT q, q * @by FROM dicom.put_together' INTO a, b USING 2 AS by;
        SELECT a + b AS c;
    """
    assert [tuple(row.values()) for row in rows(client, script)] == [(15,)]


def test_the_information_schema_knows_datasets_tables_and_columns(client: bigquery.Client) -> None:
    rows(client, "CREATE VIEW dicom.v AS SELECT 1 AS x")
    sql = "SELECT table_name, table_type FROM dicom.INFORMATION_SCHEMA.TABLES ORDER BY table_name"
    assert [tuple(row.values()) for row in rows(client, sql)] == [("instances", "BASE TABLE"), ("v", "VIEW")]
    sql = (
        "SELECT data_type FROM `research-analytics`.dicom.INFORMATION_SCHEMA.COLUMNS "
        "WHERE column_name = 'OtherElements'"
    )
    assert rows(client, sql) == [{"data_type": "ARRAY<STRUCT<Tag STRING, Data ARRAY<STRING>>>"}]
    sql = (
        "SELECT field_path FROM dicom.INFORMATION_SCHEMA.COLUMN_FIELD_PATHS "
        "WHERE STARTS_WITH(field_path, 'OtherElements.')"
    )
    assert {row["field_path"] for row in rows(client, sql)} == {"OtherElements.Tag", "OtherElements.Data"}
    sql = "SELECT schema_name, location FROM `region-us`.INFORMATION_SCHEMA.SCHEMATA"
    assert rows(client, sql) == [{"schema_name": "dicom", "location": "US"}]
    with pytest.raises(MethodNotImplemented, match=r"INFORMATION_SCHEMA\.PARTITIONS"):
        rows(client, "SELECT * FROM dicom.INFORMATION_SCHEMA.PARTITIONS")


# --- jobs ---


def test_a_job_can_be_asked_for_again(client: bigquery.Client) -> None:
    job = client.query("SELECT 7 AS n", job_id="my-job", job_retry=None)
    job.result()
    again = client.get_job("my-job")
    assert isinstance(again, bigquery.QueryJob)
    assert (again.state, again.error_result, again.location) == ("DONE", None, "US")
    assert [row["n"] for row in again.result()] == [7]
    assert "my-job" in {listed.job_id for listed in client.list_jobs(max_results=10)}
    with pytest.raises(Conflict, match=r"Already Exists: Job research-analytics:US\.my-job"):
        client.query("SELECT 8", job_id="my-job", retry=NEVER, job_retry=None)
    client.delete_job_metadata("my-job", location="US")
    with pytest.raises(NotFound, match="Not found: Job"):
        client.get_job("my-job")


def test_a_job_that_takes_its_time_is_waited_for_or_cancelled(emulator: LocalEmulator, client: bigquery.Client) -> None:
    emulator.control("PATCH", "settings", {"operationSeconds": 60})
    job = client.query("SELECT 1", job_id="slow", job_retry=None)
    assert client.get_job("slow").state == "RUNNING"
    job.cancel()
    emulator.control("PATCH", "settings", {"operationSeconds": 0})
    done = client.get_job("slow")
    assert done.state == "DONE"
    assert done.error_result is not None
    assert done.error_result["reason"] == "stopped"


ENDLESS = (
    "SELECT COUNT(*) FROM UNNEST(GENERATE_ARRAY(1, 100000)) a CROSS JOIN UNNEST(GENERATE_ARRAY(1, 1000000)) b "
    "WHERE CAST(a AS STRING) > CAST(b AS STRING)"
)


def test_a_query_that_runs_is_ended_when_it_is_cancelled(client: bigquery.Client) -> None:
    job = client.query(ENDLESS, job_id="endless", job_retry=None)
    job.cancel()
    done = client.get_job("endless")
    assert done.error_result is not None
    assert "cancelled" in done.error_result["message"]


def test_a_query_ends_at_its_time_limit(client: bigquery.Client) -> None:
    job = client.query(ENDLESS, job_config=bigquery.QueryJobConfig(job_timeout_ms=200), job_retry=None)
    assert "timed out" in str(job.exception())  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("part", ["(", "1 + ", "NOT ", "CASE WHEN TRUE THEN "])
def test_a_query_that_is_nested_too_deeply_is_refused(client: bigquery.Client, part: str) -> None:
    with pytest.raises(BadRequest):
        rows(client, f"SELECT {part * 5000}")
    with pytest.raises(BadRequest, match=r"nested too deeply|nested deeper|Syntax error"):
        rows(client, f"SELECT {part * 5000} 1")
