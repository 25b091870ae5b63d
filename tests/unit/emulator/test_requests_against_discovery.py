"""Requests are held to Google's discovery documents: paths, query parameters, bodies."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.core.errors import ApiError
from emulator.http import discovery
from emulator.http.call import parse_json
from emulator.http.routing import Router, Routes

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


@pytest.mark.parametrize("value", ["9" * 20, str(2**63), -(2**63) - 1, 1.5, True, "1_0", "٣"])
def test_what_is_no_number_of_64_bits_is_refused(value: Any) -> None:
    with pytest.raises(ApiError, match="TYPE_INT64"):
        discovery.check_body(method("tables.insert", "bigquery", "v2"), {"expirationTime": value})


FORMS = [
    ("2026-02-30", "nextRotationTime", "Timestamp"),
    ("2026-01-01T00:00:00", "nextRotationTime", "Timestamp"),
    ("2026-13-01T00:00:00Z", "nextRotationTime", "Timestamp"),
    ("1", "rotationPeriod", "Duration"),
    ("1.0000000001s", "rotationPeriod", "Duration"),
    ("", "rotationPeriod", "Duration"),
]


@pytest.mark.parametrize(("text", "name", "kind"), FORMS)
def test_a_time_that_is_none_is_refused(text: str, name: str, kind: str) -> None:
    create = method("projects.locations.keyRings.cryptoKeys.create", "cloudkms", "v1")
    with pytest.raises(ApiError, match=rf"type.googleapis.com/google.protobuf.{kind}\), \"{text}\""):
        discovery.check_body(create, {name: text})
    discovery.check_body(create, {"nextRotationTime": "2026-02-28T23:59:60.5+01:00", "rotationPeriod": "86400.5s"})


def test_bytes_that_are_no_base64_are_refused() -> None:
    publish = method("projects.topics.publish", "pubsub", "v1")
    discovery.check_body(publish, {"messages": [{"data": "_-8="}]})
    with pytest.raises(ApiError, match=r"\(TYPE_BYTES\), Base64 decoding failed"):
        discovery.check_body(publish, {"messages": [{"data": "a b"}]})


def test_null_in_a_list_is_refused() -> None:
    test = method("projects.testIamPermissions", "cloudresourcemanager", "v3")
    with pytest.raises(ApiError, match=r"Invalid value at 'permissions\[1\]', null"):
        discovery.check_body(test, {"permissions": ["a", None]})


#: Ways to write a body that Google's front end takes, and what handlers see of them.
WAYS: list[tuple[str, str, str, Any, Any]] = [
    (
        EXPORT,
        "healthcare",
        "v1",
        {"gcs_destination": {"uri_prefix": "gs://a"}},
        {"gcsDestination": {"uriPrefix": "gs://a"}},
    ),
    (EXPORT, "healthcare", "v1", {"bigqueryDestination": None}, {}),
    (EXPORT, "healthcare", "v1", {"bigqueryDestination": {"force": "true"}}, {"bigqueryDestination": {"force": True}}),
    ("tables.insert", "bigquery", "v2", {"expirationTime": 17, "etag": None}, {"expirationTime": "17"}),
    (
        "tables.insert",
        "bigquery",
        "v2",
        {"schema": {"fields": [{"name": "a", "fields": []}]}, "resourceTags": None},
        {"schema": {"fields": [{"name": "a"}]}},
    ),
    ("tables.patch", "bigquery", "v2", {"description": None, "labels": {"a": None}}, None),
    (
        "projects.setIamPolicy",
        "cloudresourcemanager",
        "v3",
        {"policy": {"version": "3", "bindings": {"role": "roles/viewer", "members": "allUsers"}}},
        {"policy": {"version": 3, "bindings": [{"role": "roles/viewer", "members": ["allUsers"]}]}},
    ),
]


@pytest.mark.parametrize(("name", "api", "version", "sent", "seen"), WAYS)
def test_handlers_see_one_form_of_a_body(name: str, api: str, version: str, sent: Any, seen: Any) -> None:
    found = method(name, api, version)
    discovery.check_body(found, sent)
    assert discovery.as_declared(found, sent) == (sent if seen is None else seen)


NO_JSON = [b"{", b"[1]", b"NaN", b'{"a": NaN}', b'{"a": -Infinity}', b'"a"', b'{"a": "\xff"}', b'{"a": "\xed\xa0\x80"}']
NO_JSON += [b'{"a": "\\ud800"}', b'{"\\uDFFF": 1}', b"[" * 100_000, '{"a": 1}'.encode("utf-16"), b"9" * 5000]


@pytest.mark.parametrize("data", NO_JSON)
def test_what_is_no_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(ApiError, match="Invalid JSON payload received") as caught:
        parse_json(data)
    assert caught.value.status == 400


def test_a_whole_surrogate_pair_is_text() -> None:
    assert parse_json(b'{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}


def test_an_unknown_query_parameter_is_refused_by_name() -> None:
    get = method("projects.locations.datasets.get")
    discovery.check_query(get, {"alt", "prettyPrint", "$alt"})
    with pytest.raises(ApiError, match='Unknown name "verbose"'):
        discovery.check_query(get, {"verbose"})
