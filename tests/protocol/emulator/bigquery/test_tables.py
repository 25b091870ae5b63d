"""Datasets, tables and rows through google-cloud-bigquery and google-api-python-client."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import BadRequest, Conflict, Forbidden, NotFound, PreconditionFailed
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from emulator.server.server import LocalEmulator

PROJECT = "research-analytics"


def client_for(emulator: LocalEmulator, project: str = PROJECT) -> bigquery.Client:
    return bigquery.Client(
        project=project,
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options=ClientOptions(api_endpoint=emulator.url),
    )


@pytest.fixture
def client(emulator: LocalEmulator) -> Iterator[bigquery.Client]:
    made = client_for(emulator)
    yield made
    made.close()  # type: ignore[no-untyped-call]


SCHEMA = [
    bigquery.SchemaField("name", "STRING", mode="REQUIRED"),
    bigquery.SchemaField("size", "INTEGER"),
    bigquery.SchemaField("tags", "STRING", mode="REPEATED"),
    bigquery.SchemaField(
        "person",
        "RECORD",
        fields=[
            bigquery.SchemaField("family", "STRING"),
            bigquery.SchemaField("given", "STRING", mode="REPEATED"),
        ],
    ),
    bigquery.SchemaField("day", "DATE"),
    bigquery.SchemaField("moment", "TIMESTAMP"),
    bigquery.SchemaField("raw", "BYTES"),
    bigquery.SchemaField("share", "NUMERIC"),
]


def test_rows_with_a_template_suffix_go_to_a_table_like_the_template(client: bigquery.Client) -> None:
    client.create_dataset("dicom")
    template = bigquery.Table(f"{PROJECT}.dicom.events", [bigquery.SchemaField("x", "INTEGER")])
    template.clustering_fields = ["x"]
    client.create_table(template)
    for x in (1, 2):
        assert client.insert_rows_json(template, [{"x": x}], template_suffix="_2024") == []
    made = client.get_table(f"{PROJECT}.dicom.events_2024")
    assert (made.num_rows, made.schema, made.clustering_fields) == (2, template.schema, ["x"])
    assert client.get_table(template).num_rows == 0
    with pytest.raises(BadRequest, match="Invalid table ID"):
        client.insert_rows_json(template, [{"x": 3}], template_suffix="/")


def test_a_dataset_that_exists_is_not_made_again(client: bigquery.Client) -> None:
    client.create_dataset("dicom")
    with pytest.raises(Conflict, match="Already Exists: Dataset research-analytics:dicom") as caught:
        client.create_dataset("dicom")
    assert caught.value.errors[0]["reason"] == "duplicate"


def test_a_missing_dataset_is_said_in_bigquerys_words(client: bigquery.Client) -> None:
    with pytest.raises(NotFound, match="Not found: Dataset research-analytics:nothing"):
        client.get_dataset("nothing")


@pytest.mark.parametrize("name", ["with-hyphen", "a.b", "", "ä"])
def test_a_dataset_id_has_only_letters_digits_and_underscores(emulator: LocalEmulator, name: str) -> None:
    from googleapiclient.discovery import build
    from googleapiclient.errors import HttpError

    service: Any = build(
        "bigquery",
        "v2",
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": f"{emulator.url}/bigquery/v2/"},
        static_discovery=True,
    )
    with service, pytest.raises(HttpError) as caught:
        service.datasets().insert(projectId=PROJECT, body={"datasetReference": {"datasetId": name}}).execute()
    assert caught.value.status_code == 400


def test_a_dataset_comes_back_as_it_was_declared(client: bigquery.Client) -> None:
    made = bigquery.Dataset(f"{PROJECT}.dicom")
    made.location = "europe-west4"
    made.labels = {"team": "radiology"}
    made.description = "DICOM metadata"
    made.default_table_expiration_ms = 7_200_000
    client.create_dataset(made)
    read = client.get_dataset("dicom")
    assert (read.location, read.labels, read.description) == ("europe-west4", {"team": "radiology"}, "DICOM metadata")
    assert read.default_table_expiration_ms == 7_200_000
    assert {(entry.role, entry.entity_type, entry.entity_id) for entry in read.access_entries} == {
        ("WRITER", "specialGroup", "projectWriters"),
        ("OWNER", "specialGroup", "projectOwners"),
        ("OWNER", "userByEmail", "owner@example.com"),
        ("READER", "specialGroup", "projectReaders"),
    }
    table = client.create_table(bigquery.Table(f"{PROJECT}.dicom.t", schema=SCHEMA))
    assert table.expires is not None
    assert round((table.expires - table.created).total_seconds()) == 7200
    view = bigquery.Table(f"{PROJECT}.dicom.v")
    view.view_query = "SELECT 1 AS one"
    view = client.create_table(view)
    assert view.expires is not None
    assert round((view.expires - view.created).total_seconds()) == 7200


def test_a_view_expires_like_a_table_and_lives_on_with_a_time_of_its_own(client: bigquery.Client) -> None:
    made = bigquery.Dataset(f"{PROJECT}.dicom")
    made.default_table_expiration_ms = 3_600_000
    client.create_dataset(made)
    lasting = bigquery.Table(f"{PROJECT}.dicom.lasting")
    lasting.view_query = "SELECT 1 AS one"
    lasting.expires = datetime(3000, 1, 1, tzinfo=UTC)
    assert client.create_table(lasting).expires == datetime(3000, 1, 1, tzinfo=UTC)
    gone = bigquery.Table(f"{PROJECT}.dicom.gone")
    gone.view_query = "SELECT 1 AS one"
    gone = client.create_table(gone)
    gone.expires = datetime.now(UTC) - timedelta(seconds=1)
    client.update_table(gone, ["expires"])
    assert [each.table_id for each in client.list_tables("dicom")] == ["lasting"]


def test_a_changed_dataset_refuses_a_stale_etag(client: bigquery.Client) -> None:
    client.create_dataset("dicom")
    first, second = client.get_dataset("dicom"), client.get_dataset("dicom")
    first.friendly_name = "one"
    client.update_dataset(first, ["friendly_name"])
    second.friendly_name = "two"
    with pytest.raises(PreconditionFailed):
        client.update_dataset(second, ["friendly_name"])


def test_a_dataset_with_tables_is_only_deleted_with_its_contents(client: bigquery.Client) -> None:
    client.create_dataset("dicom")
    client.create_table(bigquery.Table(f"{PROJECT}.dicom.t", schema=SCHEMA))
    with pytest.raises(BadRequest, match="Dataset research-analytics:dicom is still in use"):
        client.delete_dataset("dicom")
    client.delete_dataset("dicom", delete_contents=True)
    assert list(client.list_datasets()) == []


def test_iam_roles_come_back_as_legacy_roles_and_grant(emulator: LocalEmulator, client: bigquery.Client) -> None:
    client.create_dataset("dicom")
    dataset = client.get_dataset("dicom")
    dataset.access_entries = [
        bigquery.AccessEntry("roles/bigquery.dataEditor", "userByEmail", "alice@example.org"),
        bigquery.AccessEntry("roles/bigquery.dataViewer", "groupByEmail", "all@example.org"),
        bigquery.AccessEntry("roles/bigquery.metadataViewer", "userByEmail", "x@y.iam.gserviceaccount.com"),
    ]
    read = client.update_dataset(dataset, ["access_entries"])
    assert [entry.role for entry in read.access_entries] == ["WRITER", "READER", "roles/bigquery.metadataViewer"]
    from emulator.bigquery import service

    def allowed(member: str, permission: str) -> bool:
        return service.allowed(emulator.emulator, member, permission, PROJECT, "dicom")

    assert allowed("user:alice@example.org", "bigquery.tables.updateData")
    assert not allowed("user:bob@example.org", "bigquery.tables.getData")
    assert allowed("group:all@example.org", "bigquery.tables.getData")
    assert not allowed("group:all@example.org", "bigquery.tables.updateData")
    assert allowed("serviceAccount:x@y.iam.gserviceaccount.com", "bigquery.tables.get")


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ({"name": "a b!", "type": "STRING"}, "Invalid field name"),
        ({"name": "r", "type": "RECORD"}, "has no schema"),
        ({"name": "x", "type": "STRINGS"}, "STRINGS"),
        ({"name": "NAME", "type": "STRING"}, "already exists in schema"),
        ({"name": "x", "type": "STRING", "mode": "MANY"}, "mode"),
    ],
)
def test_a_schema_that_can_not_be_is_refused_by_field(
    client: bigquery.Client, field: dict[str, Any], text: str
) -> None:
    client.create_dataset("dicom")
    body = {
        "tableReference": {"projectId": PROJECT, "datasetId": "dicom", "tableId": "t"},
        "schema": {"fields": [{"name": "name", "type": "STRING"}, field]},
    }
    with pytest.raises(BadRequest, match=text):
        client.create_table(bigquery.Table.from_api_repr(body))


def test_a_table_in_no_dataset_is_not_found(client: bigquery.Client) -> None:
    with pytest.raises(NotFound, match="Not found: Dataset research-analytics:nothing"):
        client.create_table(bigquery.Table(f"{PROJECT}.nothing.t", schema=SCHEMA))


def test_streamed_rows_are_listed_with_their_types(client: bigquery.Client) -> None:
    client.create_dataset("dicom")
    table = client.create_table(bigquery.Table(f"{PROJECT}.dicom.t", schema=SCHEMA))
    rows: list[dict[str, Any]] = [
        {
            "name": "a",
            "size": 3,
            "tags": ["x", "y"],
            "person": {"family": "Doe", "given": ["Jane"]},
            "day": "2024-02-29",
            "moment": "2024-02-29T12:00:00.5+02:00",
            "raw": "AP8=",
            "share": "0.125",
        },
        {"name": "b", "person": {}},
        {"name": "c"},
    ]
    assert client.insert_rows_json(table, rows) == []
    first, second, third = [dict(row) for row in client.list_rows(table)]
    assert first["size"] == 3
    assert first["tags"] == ["x", "y"]
    assert first["person"] == {"family": "Doe", "given": ["Jane"]}
    assert first["day"].isoformat() == "2024-02-29"
    assert first["moment"].isoformat() == "2024-02-29T10:00:00.500000+00:00"
    assert first["raw"] == b"\x00\xff"
    assert str(first["share"]) == "0.125"
    # An array is never NULL, at no level; a record may be.
    assert (second["tags"], second["person"]) == ([], {"family": None, "given": []})
    assert third["person"] is None
    assert client.get_table(table).num_rows == 3


def test_a_row_that_does_not_fit_stops_the_others(client: bigquery.Client) -> None:
    client.create_dataset("dicom")
    table = client.create_table(bigquery.Table(f"{PROJECT}.dicom.t", schema=SCHEMA))
    rows: list[dict[str, Any]] = [{"name": "a"}, {"name": "b", "size": "big"}, {"size": 1}, {"name": "d", "x": 1}]
    errors = client.insert_rows_json(table, rows)
    assert [(entry["index"], entry["errors"][0]["reason"]) for entry in errors] == [
        (0, "stopped"),
        (1, "invalid"),
        (2, "invalid"),
        (3, "invalid"),
    ]
    assert "no such field: x" in errors[3]["errors"][0]["message"]
    assert list(client.list_rows(table)) == []
    assert client.insert_rows_json(
        table, [{"name": "a"}, {"size": 1}], skip_invalid_rows=True, ignore_unknown_values=True
    )
    assert [row["name"] for row in client.list_rows(table)] == ["a"]


def test_a_row_sent_again_with_its_insert_id_is_there_once(client: bigquery.Client) -> None:
    client.create_dataset("dicom")
    table = client.create_table(bigquery.Table(f"{PROJECT}.dicom.t", schema=SCHEMA))
    for _ in range(2):
        assert client.insert_rows_json(table, [{"name": "a"}], row_ids=["one"]) == []
    assert len(list(client.list_rows(table))) == 1


def test_pages_and_selected_fields(client: bigquery.Client) -> None:
    client.create_dataset("dicom")
    table = client.create_table(bigquery.Table(f"{PROJECT}.dicom.t", schema=SCHEMA))
    client.insert_rows_json(table, [{"name": f"n{index}", "size": index} for index in range(25)])
    pages = list(client.list_rows(table, page_size=10, selected_fields=[SCHEMA[1]]).pages)
    assert [page.num_items for page in pages] == [10, 10, 5]
    assert [row["size"] for row in client.list_rows(table, start_index=20, max_results=3)] == [20, 21, 22]


def test_columns_are_added_and_never_taken_away(client: bigquery.Client) -> None:
    client.create_dataset("dicom")
    table = client.create_table(bigquery.Table(f"{PROJECT}.dicom.t", schema=SCHEMA))
    client.insert_rows_json(table, [{"name": "a", "person": {"family": "Doe"}}])
    table = client.get_table(table)
    table.schema = SCHEMA[1:]
    with pytest.raises(BadRequest, match="Field name is missing in new schema"):
        client.update_table(table, ["schema"])
    person = bigquery.SchemaField(
        "person", "RECORD", fields=[*SCHEMA[3].fields, bigquery.SchemaField("suffixes", "STRING", mode="REPEATED")]
    )
    table.schema = [*SCHEMA[:3], person, *SCHEMA[4:], bigquery.SchemaField("more", "INTEGER", mode="REPEATED")]
    client.update_table(table, ["schema"])
    (row,) = client.list_rows(client.get_table(table))
    assert row["person"] == {"family": "Doe", "given": [], "suffixes": []}
    assert row["more"] == []


def test_who_may_not_look_is_refused_as_bigquery_does(emulator: LocalEmulator, client: bigquery.Client) -> None:
    client.create_dataset("dicom")
    client.create_table(bigquery.Table(f"{PROJECT}.dicom.t", schema=SCHEMA))
    from google.oauth2.credentials import Credentials

    alice = bigquery.Client(
        project=PROJECT,
        credentials=Credentials(token="principal:user:alice@example.org"),  # type: ignore[no-untyped-call]
        client_options=ClientOptions(api_endpoint=emulator.url),
    )
    with pytest.raises(Forbidden, match=r"Access Denied: Table research-analytics:dicom\.t") as caught:
        list(alice.list_rows(f"{PROJECT}.dicom.t", selected_fields=SCHEMA))
    assert caught.value.errors[0]["reason"] == "accessDenied"
    with pytest.raises(Forbidden, match="Access Denied: Dataset research-analytics:dicom"):
        alice.get_dataset("dicom")
    assert list(alice.list_datasets()) == []
    alice.close()  # type: ignore[no-untyped-call]
