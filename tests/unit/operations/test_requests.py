"""Requests: everything that is wrong at once, bodies as the API documents them."""

import pytest

from operations.model.requests import (
    ExportToBigQuery,
    ExportToCloudStorage,
    Import,
    RequestError,
    make_export,
    make_import,
    request_from_body,
)
from tests.unit.operations.service import STORE

TABLE = "bq://research-analytics.dicom.instances"


def problems(**settings: object) -> dict[str, str]:
    with pytest.raises(RequestError) as caught:
        make_export(**{"store": STORE, "destination": TABLE, "write_disposition": "WRITE_EMPTY", **settings})  # type: ignore[arg-type]
    return dict(caught.value.problems)


def test_a_missing_write_disposition_is_refused_with_the_choices() -> None:
    assert problems(write_disposition=None) == {
        "write_disposition": "is missing; choose WRITE_EMPTY, WRITE_TRUNCATE or WRITE_APPEND"
    }


@pytest.mark.parametrize("value", ["WRITE_OVER", "write_empty", "WRITE_DISPOSITION_UNSPECIFIED", ""])
def test_an_unknown_write_disposition_is_refused_with_the_choices(value: str) -> None:
    text = problems(write_disposition=value)["write_disposition"]
    assert text == f'"{value}" is unknown; choose WRITE_EMPTY, WRITE_TRUNCATE or WRITE_APPEND'


def test_all_problems_are_told_at_once() -> None:
    found = problems(
        store="pacs",
        destination="bq://research.dicom",
        write_disposition=None,
        schema="wide",
        mime_type="image/png",
        filter_uri="gs://bucket",
    )
    assert set(found) == {"store", "destination", "write_disposition", "schema", "mime_type", "filter"}


def test_a_destination_of_neither_kind_is_refused_with_both() -> None:
    assert (
        "bq://PROJECT.DATASET.TABLE for metadata or gs://BUCKET/PREFIX" in problems(destination="s3://x")["destination"]
    )


def test_settings_of_the_other_destination_are_refused() -> None:
    with pytest.raises(RequestError) as caught:
        make_export(
            STORE,
            "gs://hospital-out/x",
            write_disposition="WRITE_EMPTY",
            schema="json",
            include_source_store=True,
            mime_type="image/jpg",
        )
    assert set(dict(caught.value.problems)) == {"write_disposition", "schema", "include_source_store", "mime_type"}


def test_a_wrong_import_is_refused_with_all_problems() -> None:
    with pytest.raises(RequestError) as caught:
        make_import("pacs", "gs://inbox", storage_class="COLD")
    assert set(dict(caught.value.problems)) == {"store", "uri", "storage_class"}
    assert "choose STANDARD, NEARLINE, COLDLINE or ARCHIVE" in str(caught.value)


def test_the_write_disposition_stands_inside_the_destination() -> None:
    assert make_export(STORE, TABLE, write_disposition="WRITE_APPEND").body() == {
        "bigqueryDestination": {"tableUri": TABLE, "writeDisposition": "WRITE_APPEND", "schemaFlattened": {}}
    }


def test_every_option_of_an_export_to_bigquery_is_sent() -> None:
    request = make_export(
        STORE,
        TABLE,
        write_disposition="WRITE_TRUNCATE",
        schema="json",
        include_source_store=True,
        filter_uri="gs://filters/a.txt",
    )
    assert request.body() == {
        "bigqueryDestination": {
            "tableUri": TABLE,
            "writeDisposition": "WRITE_TRUNCATE",
            "schemaJson": {},
            "includeSourceStore": True,
        },
        "filterConfig": {"resourcePathsGcsUri": "gs://filters/a.txt"},
    }


def test_every_option_of_an_export_to_cloud_storage_is_sent() -> None:
    request = make_export(STORE, "gs://hospital-out/jpeg", mime_type="jpeg", filter_uri="gs://filters/a.txt")
    assert request.body() == {
        "gcsDestination": {
            "uriPrefix": "gs://hospital-out/jpeg/",
            "mimeType": "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50",
        },
        "filterConfig": {"resourcePathsGcsUri": "gs://filters/a.txt"},
    }


def test_every_option_of_an_import_is_sent() -> None:
    assert make_import(STORE, "gs://inbox/2024/**.dcm", storage_class="ARCHIVE").body() == {
        "gcsSource": {"uri": "gs://inbox/2024/**.dcm"},
        "blobStorageSettings": {"blobStorageClass": "ARCHIVE"},
    }


@pytest.mark.parametrize("force", [True, False])
def test_the_legacy_force_stands_for_no_write_disposition(force: bool) -> None:
    """`force: false` refuses an empty table too, which WRITE_EMPTY doesn't: neither may stand for the other."""
    with pytest.raises(RequestError, match="write_disposition: is missing"):
        request_from_body(STORE, "export", {"bigqueryDestination": {"tableUri": TABLE, "force": force}})


@pytest.mark.parametrize(
    "body", [{}, {"bigqueryDestination": {"tableUri": TABLE}, "gcsDestination": {"uriPrefix": "gs://bucket"}}]
)
def test_a_body_with_none_or_both_destinations_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(RequestError, match="exactly one"):
        request_from_body(STORE, "export", body)


@pytest.mark.parametrize(
    "request_",
    [
        make_export(STORE, TABLE, write_disposition="WRITE_EMPTY", schema="json", filter_uri="gs://filters/a"),
        make_export(STORE, "gs://hospital-out", mime_type="png"),
        make_import(STORE, "gs://inbox/*", storage_class="STANDARD"),
    ],
    ids=lambda request: type(request).__name__,
)
def test_a_body_reads_back_as_the_request_that_made_it(
    request_: ExportToBigQuery | ExportToCloudStorage | Import,
) -> None:
    assert request_from_body(STORE, request_.method, request_.body()) == request_
