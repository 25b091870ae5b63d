"""Enums as numbers, and fields that the path names already, as Google's own REST clients send them."""

from __future__ import annotations

import pytest

from emulator.http import discovery
from emulator.http.enums import as_numbers, name_of

from ..conftest import Rest

_RING = "/v1/projects/hospital-imaging/locations/europe-west3/keyRings"
_INT = "%24alt=json%3Benum-encoding%3Dint"


@pytest.fixture
def version(rest: Rest) -> str:
    """The path of a key's first version."""
    assert rest("POST", f"{_RING}?keyRingId=ring", {}).status == 200
    made = rest("POST", f"{_RING}/ring/cryptoKeys?cryptoKeyId=key", {"purpose": 1})
    assert (made.status, made.json["purpose"]) == (200, "ENCRYPT_DECRYPT")
    return f"{_RING}/ring/cryptoKeys/key/cryptoKeyVersions/1"


def test_answers_have_numbers_only_when_they_are_asked_for(rest: Rest, version: str) -> None:
    assert rest("GET", version).json["state"] == "ENABLED"
    assert rest("GET", f"{version}?{_INT}").json["state"] == 1


def test_a_number_that_the_enum_does_not_have_is_refused(rest: Rest, version: str) -> None:
    key = version.rpartition("/cryptoKeyVersions")[0]
    wrong = rest("POST", f"{key.rpartition('/')[0]}?cryptoKeyId=other", {"purpose": 99})
    assert wrong.status == 400
    assert "purpose" in wrong.message
    assert rest("POST", f"{key.rpartition('/')[0]}?cryptoKeyId=other", {"purpose": True}).status == 400


def test_the_body_may_repeat_what_the_path_names_and_nothing_else(rest: Rest, version: str) -> None:
    refused = rest("POST", f"{version}:destroy", {"naem": "x"})
    assert (refused.status, "naem" in refused.message) == (400, True)
    assert rest("POST", f"{version}:destroy", {"name": version.removeprefix("/v1/")}).status == 200


@pytest.mark.parametrize(
    ("api", "schema", "field", "name", "number"),
    # google/cloud/kms/v1/resources.proto, google/pubsub/v1/pubsub.proto, google/api/serviceusage/v1/resources.proto,
    # google/cloud/resourcemanager/v3/projects.proto
    [
        (("cloudkms", "v1"), "CryptoKey", "purpose", "MAC", 9),
        (("cloudkms", "v1"), "CryptoKeyVersion", "state", "DESTROY_SCHEDULED", 4),
        (("cloudkms", "v1"), "CryptoKeyVersion", "protectionLevel", "HSM", 2),
        (("pubsub", "v1"), "Topic", "state", "INGESTION_RESOURCE_ERROR", 2),
        (("pubsub", "v1"), "Subscription", "state", "ACTIVE", 1),
        (("serviceusage", "v1"), "GoogleApiServiceusageV1Service", "state", "ENABLED", 2),
        (("cloudresourcemanager", "v3"), "Project", "state", "DELETE_REQUESTED", 2),
    ],
)
def test_numbers_of_the_enums(api: tuple[str, str], schema: str, field: str, name: str, number: int) -> None:
    schemas = discovery.document(*api)["schemas"]
    assert as_numbers(schemas, {"$ref": schema}, {field: name}) == {field: number}
    assert name_of(schemas[schema]["properties"][field]["enum"], number) == name
