"""Requests are held to Google's discovery documents: paths, query parameters, bodies."""

from __future__ import annotations

from typing import Any

import pytest

from emulator import discovery
from emulator.errors import ApiError
from emulator.routing import Router, Routes

STORE = "/v1/projects/p/locations/l/datasets/d/dicomStores/s"

PATHS = [
    ("GET", "/v1/projects/p/locations/l/datasets/d", "healthcare.projects.locations.datasets.get"),
    ("POST", f"{STORE}:export", "healthcare.projects.locations.datasets.dicomStores.export"),
    (
        "GET",
        f"{STORE}/dicomWeb/studies/1/series/2/instances/3/frames/1,2",
        "healthcare.projects.locations.datasets.dicomStores.studies.series.instances.frames.retrieveFrames",
    ),
    (
        "GET",
        f"{STORE}/dicomWeb/studies/1:getStudyMetrics",
        "healthcare.projects.locations.datasets.dicomStores.dicomWeb.studies.getStudyMetrics",
    ),
    ("POST", "/v1/projects/p:getIamPolicy", "cloudresourcemanager.projects.getIamPolicy"),
    ("GET", "/v1/projects/p/services", "serviceusage.services.list"),
    ("POST", "/v1/projects/p/services:batchEnable", "serviceusage.services.batchEnable"),
    ("POST", "/v1beta1/projects/p/services/s:generateServiceIdentity", "serviceusage.services.generateServiceIdentity"),
    ("GET", "/v1/projects/p/billingInfo", "cloudbilling.projects.getBillingInfo"),
    ("PUT", "/v1/projects/p/topics/t", "pubsub.projects.topics.create"),
    ("POST", "/v1/projects/p/topics/t:publish", "pubsub.projects.topics.publish"),
    (
        "GET",
        "/v1/projects/p/locations/l/keyRings/r/cryptoKeys/k",
        "cloudkms.projects.locations.keyRings.cryptoKeys.get",
    ),
    ("POST", "/v2/entries:list", "logging.entries.list"),
    ("GET", "/bigquery/v2/projects/p/datasets/d", "bigquery.datasets.get"),
    ("POST", "/upload/storage/v1/b/bucket/o", "storage.objects.insert"),
    ("GET", "/storage/v1/b/bucket/o", "storage.objects.list"),
]


@pytest.fixture(scope="module")
def router() -> Router:
    return Router([])


@pytest.mark.parametrize(("http_method", "path", "method"), PATHS)
def test_a_path_leads_to_its_method(router: Router, http_method: str, path: str, method: str) -> None:
    found = router.find(http_method, path)
    assert found is not None
    assert found[0].method.id == method


def test_an_encoded_slash_belongs_to_the_name(router: Router) -> None:
    found = router.find("GET", "/storage/v1/b/bucket/o/2024%2Fa%20b.dcm")
    assert found is not None
    assert found[1] == {"bucket": "bucket", "object": "2024/a b.dcm"}


def test_joined_variables_are_the_resource_names(router: Router) -> None:
    found = router.find("GET", f"{STORE}/dicomWeb/studies/1.2/series")
    assert found is not None
    assert found[1]["parent"] == STORE.removeprefix("/v1/")
    assert found[1]["dicomWebPath"] == "studies/1.2/series"


def test_a_handler_for_a_method_that_no_document_has_is_refused() -> None:
    routes = Routes("healthcare")
    routes.method("projects.locations.datasets.explode")(lambda _: None)
    with pytest.raises(ValueError, match="explode"):
        Router([routes])


def method(name: str, api: str = "healthcare", version: str = "v1") -> discovery.Method:
    return next(m for m in discovery.methods(api, version) if m.id == f"{api}.{name}")


EXPORT = "projects.locations.datasets.dicomStores.export"

#: body, version, and what Google's front end says of it (standard wording for JSON that does not fit the message).
BODIES: list[tuple[Any, str, str]] = [
    (
        {"writeDisposition": "WRITE_TRUNCATE", "bigqueryDestination": {"tableUri": "bq://p.d.t"}},
        "v1",
        'Invalid JSON payload received. Unknown name "writeDisposition": Cannot find field.',
    ),
    (
        {"bigqueryDestination": {"tableUri": "bq://p.d.t", "changeDataCaptureConfig": {}}},
        "v1",
        "Invalid JSON payload received. Unknown name \"changeDataCaptureConfig\" at 'bigquery_destination'",
    ),
    ({"bigqueryDestination": {"tableUri": 7}}, "v1", "Invalid value at 'bigquery_destination.table_uri'"),
    ({"bigqueryDestination": {"writeDisposition": "TRUNCATE"}}, "v1", "Invalid value at"),
    ({"bigqueryDestination": {"force": "yes"}}, "v1", "Invalid value at"),
    ({"gcsDestination": []}, "v1", "Invalid value at"),
]


@pytest.mark.parametrize(("body", "version", "text"), BODIES)
def test_a_body_that_does_not_fit_is_refused_in_googles_words(body: Any, version: str, text: str) -> None:
    with pytest.raises(ApiError) as caught:
        discovery.check_body(method(EXPORT, version=version), body)
    assert caught.value.status == 400
    assert caught.value.message.startswith(text)
    assert caught.value.details is not None
    assert caught.value.details[0]["@type"] == "type.googleapis.com/google.rpc.BadRequest"


def test_the_field_of_v1beta1_is_accepted_there() -> None:
    body = {"bigqueryDestination": {"tableUri": "bq://p.d.t", "schemaJson": {}, "changeDataCaptureConfig": {}}}
    discovery.check_body(method(EXPORT, version="v1beta1"), body)


def test_numbers_of_64_bits_are_taken_as_text_and_as_numbers() -> None:
    insert = method("tables.insert", "bigquery", "v2")
    discovery.check_body(insert, {"expirationTime": "1700000000000"})
    discovery.check_body(insert, {"expirationTime": 1700000000000})
    with pytest.raises(ApiError):
        discovery.check_body(insert, {"expirationTime": "soon"})


def test_an_unknown_query_parameter_is_refused_by_name() -> None:
    get = method("projects.locations.datasets.get")
    discovery.check_query(get, {"alt", "prettyPrint", "$alt"})
    with pytest.raises(ApiError, match='Unknown name "verbose"'):
        discovery.check_query(get, {"verbose"})
