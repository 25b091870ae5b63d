"""Loads, extracts and copies through real clients; uploads in parts and in pieces."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, Conflict, MethodNotImplemented, NotFound
from google.cloud import bigquery

from emulator.server.server import LocalEmulator
from emulator.storage import service as storage
from tests.protocol.emulator.bigquery.warehouse import NEVER, PROJECT, client_of, rows


@pytest.fixture
def client(emulator: LocalEmulator) -> Iterator[bigquery.Client]:
    made = client_of(emulator)
    made.create_dataset("d")
    body = json.dumps({"name": "research-files", "location": "US"}).encode()
    request = urllib.request.Request(f"{emulator.url}/storage/v1/b?project={PROJECT}", body, method="POST")
    with urllib.request.urlopen(request):
        pass
    yield made
    made.close()  # type: ignore[no-untyped-call]


def put(emulator: LocalEmulator, name: str, data: bytes) -> None:
    storage.put_object(emulator.emulator, "research-files", name, data)


def text(emulator: LocalEmulator, name: str) -> str:
    data = storage.read_object(emulator.emulator, "research-files", name)
    assert data is not None
    return data.decode()


NDJSON = bigquery.SourceFormat.NEWLINE_DELIMITED_JSON


def load(client: bigquery.Client, uri: str, table: str, **options: Any) -> bigquery.LoadJob:
    job = client.load_table_from_uri(uri, table, job_config=bigquery.LoadJobConfig(**options), retry=NEVER)
    job.result(retry=NEVER)
    return job


REFUSED: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("gs://research-files/nothing.json", {"source_format": NDJSON, "autodetect": True}, NotFound, "Not found: URI"),
    ("gs://nowhere/x.json", {"source_format": NDJSON, "autodetect": True}, NotFound, "Not found: Bucket nowhere"),
    ("http://x/y", {"autodetect": True}, BadRequest, "must be a Google Cloud Storage location"),
    ("gs://research-files/rows.json", {"source_format": NDJSON}, BadRequest, "No schema specified on job or table"),
    ("gs://research-files/rows.json", {"source_format": "AVRO"}, MethodNotImplemented, "not AVRO"),
    (
        "gs://research-files/bad.json",
        {"source_format": NDJSON, "schema": [bigquery.SchemaField("a", "INTEGER")]},
        BadRequest,
        "Cannot convert value to integer",
    ),
    (
        "gs://research-files/rows.json",
        {"source_format": NDJSON, "schema": [bigquery.SchemaField("a", "INTEGER")]},
        BadRequest,
        "no such field: b",
    ),
    (
        "gs://research-files/rows.csv",
        {"schema": [bigquery.SchemaField("a", "INTEGER")], "skip_leading_rows": 1},
        BadRequest,
        "Too many values in row",
    ),
]


@pytest.mark.parametrize(("uri", "options", "kind", "message"), REFUSED)
def test_a_load_that_can_not_be_says_why(
    emulator: LocalEmulator,
    client: bigquery.Client,
    uri: str,
    options: dict[str, Any],
    kind: type[Exception],
    message: str,
) -> None:
    put(emulator, "rows.json", b'{"a": 1, "b": "x"}\n')
    put(emulator, "bad.json", b'{"a": "one"}\n')
    put(emulator, "rows.csv", b"a,b\n1,2\n")
    with pytest.raises(kind, match=message):
        load(client, uri, "d.t", **options)
    with pytest.raises(NotFound):
        client.get_table("d.t")


def test_json_lines_are_loaded_from_several_objects(emulator: LocalEmulator, client: bigquery.Client) -> None:
    put(emulator, "in/a.json", b'{"a": 1, "r": {"x": [1.5]}, "day": "2024-01-01"}\n\n{"a": 2}\n')
    put(emulator, "in/b.json", gzip.compress(b'{"a": 3, "when": "2024-01-01T00:00:00Z"}\n'))
    put(emulator, "other.json", b'{"a": 4}\n')
    job = load(client, "gs://research-files/in/*.json", "d.t", source_format=NDJSON, autodetect=True)
    assert (job.output_rows, job.input_files) == (3, 2)
    schema = {field.name: (field.field_type, field.mode) for field in client.get_table("d.t").schema}
    assert schema == {
        "a": ("INTEGER", "NULLABLE"),
        "r": ("RECORD", "NULLABLE"),
        "day": ("DATE", "NULLABLE"),
        "when": ("TIMESTAMP", "NULLABLE"),
    }
    assert rows(client, "SELECT SUM(a) AS s, COUNT(r.x[SAFE_OFFSET(0)]) AS n FROM d.t") == [{"s": 6, "n": 1}]


def test_dispositions_of_a_load_are_kept(emulator: LocalEmulator, client: bigquery.Client) -> None:
    put(emulator, "rows.json", b'{"a": 1}\n')
    put(emulator, "more.json", b'{"a": 1, "b": "x"}\n')
    uri, options = "gs://research-files/rows.json", {"source_format": NDJSON, "autodetect": True}
    load(client, uri, "d.t", **options)
    load(client, uri, "d.t", **options)
    assert client.get_table("d.t").num_rows == 2
    with pytest.raises(Conflict, match=r"Already Exists: Table research-analytics:d\.t"):
        load(client, uri, "d.t", write_disposition="WRITE_EMPTY", **options)
    with pytest.raises(BadRequest, match="Cannot add fields"):
        load(client, "gs://research-files/more.json", "d.t", **options)
    load(client, "gs://research-files/more.json", "d.t", schema_update_options=["ALLOW_FIELD_ADDITION"], **options)
    assert rows(client, "SELECT COUNT(*) AS n, COUNT(b) AS b FROM d.t") == [{"n": 3, "b": 1}]
    load(client, uri, "d.t", write_disposition="WRITE_TRUNCATE", **options)
    assert [field.name for field in client.get_table("d.t").schema] == ["a"]
    with pytest.raises(NotFound):
        load(client, uri, "d.u", create_disposition="CREATE_NEVER", **options)


def test_csv_is_read_with_header_quotes_and_markers(emulator: LocalEmulator, client: bigquery.Client) -> None:
    put(emulator, "rows.csv", b'name;size;day\n"a;b";1;2024-01-01\nNA;NA;NA\n"two\nlines";3;\n')
    load(
        client,
        "gs://research-files/rows.csv",
        "d.t",
        autodetect=True,
        field_delimiter=";",
        null_marker="NA",
        skip_leading_rows=1,
        allow_quoted_newlines=True,
    )
    assert rows(client, "SELECT name, size, CAST(day AS STRING) AS day FROM d.t ORDER BY size") == [
        {"name": None, "size": None, "day": None},
        {"name": "a;b", "size": 1, "day": "2024-01-01"},
        {"name": "two\nlines", "size": 3, "day": None},
    ]


def test_bad_records_up_to_the_bound_are_left_out(emulator: LocalEmulator, client: bigquery.Client) -> None:
    put(emulator, "rows.json", b'{"a": 1}\nno json\n{"a": "x"}\n')
    schema = [bigquery.SchemaField("a", "INTEGER")]
    with pytest.raises(BadRequest):
        load(client, "gs://research-files/rows.json", "d.t", source_format=NDJSON, schema=schema, max_bad_records=1)
    job = load(client, "gs://research-files/rows.json", "d.t", source_format=NDJSON, schema=schema, max_bad_records=2)
    assert job.output_rows == 1
    assert len(job.errors or []) == 2


def test_uploads_come_in_parts_and_in_pieces(client: bigquery.Client) -> None:
    client.load_table_from_json([{"a": 1, "tags": ["x"]}], "d.t").result(retry=NEVER)
    # A file of unknown length goes as a resumable upload, in chunks.
    lines = b"".join(b'{"a": %d, "pad": "%s"}\n' % (number, b"x" * 1000) for number in range(3000))
    config = bigquery.LoadJobConfig(source_format=NDJSON, autodetect=True)
    job = client.load_table_from_file(io.BytesIO(lines), "d.u", job_config=config, num_retries=0)
    job.result(retry=NEVER)
    assert job.output_rows == 3000
    assert rows(client, "SELECT SUM(a) AS s FROM d.u") == [{"s": 2999 * 1500}]


@pytest.fixture
def parquet(tmp_path: Path) -> bytes:
    """A file with a column of every kind."""
    import duckdb

    columns = """1 AS a, 'é' AS b, [1, 2] AS l, {'q': 1.5::DOUBLE, 'w': [{'z': 'y'}]} AS s, 'ab'::BLOB AS y,
        TIMESTAMPTZ '2024-01-01 02:00:00.5+02' AS t, TIMESTAMP '2024-01-02 03:04:05' AS n,
        1.25::DECIMAL(10,2) AS d, DATE '2024-01-01' AS da, TIME '01:02:03' AS ti, true AS bo"""
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT {columns}) TO '{tmp_path}/x.parquet' (FORMAT parquet)")
    return (tmp_path / "x.parquet").read_bytes()


def test_what_is_no_parquet_file_is_refused(client: bigquery.Client) -> None:
    config = bigquery.LoadJobConfig(source_format="PARQUET")
    for data in (b"no parquet", b"PAR1" + bytes(100) + b"PAR1", b""):
        with pytest.raises(BadRequest, match="Parquet") as caught:
            client.load_table_from_file(io.BytesIO(data), "d.t", job_config=config).result(retry=NEVER)
        assert "/tmp" not in str(caught.value)


def test_parquet_files_bring_their_schema(emulator: LocalEmulator, client: bigquery.Client, parquet: bytes) -> None:
    put(emulator, "x.parquet", parquet)
    job = load(client, "gs://research-files/*.parquet", "d.t", source_format="PARQUET")
    assert job.output_rows == 1
    kinds = {field.name: (field.field_type, field.mode) for field in client.get_table("d.t").schema}
    assert kinds == {
        "a": ("INTEGER", "NULLABLE"),
        "b": ("STRING", "NULLABLE"),
        "l": ("INTEGER", "REPEATED"),
        "s": ("RECORD", "NULLABLE"),
        "y": ("BYTES", "NULLABLE"),
        "t": ("TIMESTAMP", "NULLABLE"),
        "n": ("TIMESTAMP", "NULLABLE"),
        "d": ("NUMERIC", "NULLABLE"),
        "da": ("DATE", "NULLABLE"),
        "ti": ("TIME", "NULLABLE"),
        "bo": ("BOOLEAN", "NULLABLE"),
    }
    assert rows(client, "SELECT * FROM d.t") == [
        {
            "a": 1,
            "b": "é",
            "l": [1, 2],
            "s": {"q": 1.5, "w": [{"z": "y"}]},
            "y": b"ab",
            "t": dt.datetime(2024, 1, 1, 0, 0, 0, 500000, dt.UTC),
            "n": dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
            "d": Decimal("1.25"),
            "da": dt.date(2024, 1, 1),
            "ti": dt.time(1, 2, 3),
            "bo": True,
        }
    ]


def test_a_job_may_say_which_columns_a_parquet_file_becomes(client: bigquery.Client, parquet: bytes) -> None:
    schema = [bigquery.SchemaField("n", "DATETIME"), bigquery.SchemaField("d", "FLOAT")]
    config = bigquery.LoadJobConfig(source_format="PARQUET", schema=schema, ignore_unknown_values=True)
    client.load_table_from_file(io.BytesIO(parquet), "d.t", job_config=config).result(retry=NEVER)
    assert rows(client, "SELECT * FROM d.t") == [{"n": dt.datetime(2024, 1, 2, 3, 4, 5), "d": 1.25}]  # noqa: DTZ001


def test_a_table_is_extracted_as_csv_and_json(emulator: LocalEmulator, client: bigquery.Client) -> None:
    rows(
        client,
        "CREATE TABLE d.t AS SELECT 1 AS id, 'a,\"b\"' AS name, DATE '2024-01-01' AS day, "
        "TIMESTAMP '2024-01-01 00:00:00.5+00' AS `at`, TRUE AS good "
        "UNION ALL SELECT 2, NULL, NULL, NULL, FALSE ORDER BY id",
    )
    job = client.extract_table("d.t", "gs://research-files/out.csv")
    job.result(retry=NEVER)
    assert job.destination_uri_file_counts == [1]
    assert text(emulator, "out.csv") == (
        'id,name,day,at,good\n1,"a,""b""",2024-01-01,2024-01-01 00:00:00.500000 UTC,true\n2,,,,false\n'
    )
    config = bigquery.ExtractJobConfig(destination_format=NDJSON, compression="GZIP")  # type: ignore[no-untyped-call]
    client.extract_table("d.t", "gs://research-files/out-*.json.gz", job_config=config).result(retry=NEVER)
    data = storage.read_object(emulator.emulator, "research-files", "out-000000000000.json.gz")
    assert data is not None
    lines = [json.loads(line) for line in gzip.decompress(data).splitlines()]
    # INT64 is text in extracted JSON, and NULL is left out.
    assert lines == [
        {"id": "1", "name": 'a,"b"', "day": "2024-01-01", "at": "2024-01-01 00:00:00.500000 UTC", "good": True},
        {"id": "2", "good": False},
    ]


def test_nested_tables_are_not_extracted_as_csv(emulator: LocalEmulator, client: bigquery.Client) -> None:
    rows(client, "CREATE TABLE d.t AS SELECT [STRUCT(1 AS a)] AS r, 5 AS n")
    with pytest.raises(BadRequest, match="Operation cannot be performed on a repeated field"):
        client.extract_table("d.t", "gs://research-files/out.csv").result(retry=NEVER)
    config = bigquery.ExtractJobConfig(destination_format=NDJSON)  # type: ignore[no-untyped-call]
    client.extract_table("d.t", "gs://research-files/out.json", job_config=config).result(retry=NEVER)
    assert text(emulator, "out.json") == '{"r":[{"a":"1"}],"n":"5"}\n'
    with pytest.raises(NotFound, match="Not found: Bucket nowhere"):
        client.extract_table("d.t", "gs://nowhere/x.json", job_config=config).result(retry=NEVER)


def test_what_was_extracted_can_be_loaded_again(client: bigquery.Client) -> None:
    rows(
        client,
        "CREATE TABLE d.t AS SELECT b'\\xff' AS y, NUMERIC '1.5' AS n, TIME '01:02:03' AS t, 1e300 AS f, "
        "[STRUCT(['a'] AS s, JSON '{\"k\": [1]}' AS j)] AS r, CAST('inf' AS FLOAT64) AS i",
    )
    config = bigquery.ExtractJobConfig(destination_format=NDJSON)  # type: ignore[no-untyped-call]
    client.extract_table("d.t", "gs://research-files/out.json", job_config=config).result(retry=NEVER)
    schema = client.get_table("d.t").schema
    load(client, "gs://research-files/out.json", "d.u", source_format=NDJSON, schema=schema)
    assert rows(client, "SELECT * FROM d.u") == rows(client, "SELECT * FROM d.t")


def test_tables_are_copied_together(client: bigquery.Client) -> None:
    rows(client, "CREATE TABLE d.a AS SELECT 1 AS n, ['x'] AS t; CREATE TABLE d.b AS SELECT 2 AS n, ['y'] AS t")
    rows(client, "CREATE TABLE d.c AS SELECT 'x' AS n")
    client.copy_table(["d.a", "d.b"], "d.all").result(retry=NEVER)
    assert client.get_table("d.all").num_rows == 2
    with pytest.raises(Conflict, match="Already Exists"):
        client.copy_table("d.a", "d.all").result(retry=NEVER)
    append = bigquery.CopyJobConfig(write_disposition="WRITE_APPEND")
    client.copy_table("d.a", "d.all", job_config=append).result(retry=NEVER)
    assert client.get_table("d.all").num_rows == 3
    with pytest.raises(BadRequest, match="changed type"):
        client.copy_table("d.c", "d.all", job_config=append).result(retry=NEVER)
