"""The calls of each mapped type, held to those of the Terraform provider that the official plugin is built on.

Expected lines and bodies follow `google/services/*` of hashicorp/terraform-provider-google(-beta), read 2026-08-21.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest

from engine.plugins.gcp.credentials import path_or_contents

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any


def _said(refused: pytest.ExceptionInfo[grpc.RpcError]) -> str:
    call: Any = refused.value
    return str(call.details())


HEALTHCARE_DATASET = "gcp:healthcare/dataset:Dataset"
STORE = "gcp:healthcare/dicomStore:DicomStore"
BQ_DATASET = "gcp:bigquery/dataset:Dataset"
TABLE = "gcp:bigquery/table:Table"
BUCKET = "gcp:storage/bucket:Bucket"
OBJECT = "gcp:storage/bucketObject:BucketObject"
SERVICE = "gcp:projects/service:Service"
IDENTITY = "gcp:projects/serviceIdentity:ServiceIdentity"
TOPIC = "gcp:pubsub/topic:Topic"
RING = "gcp:kms/keyRing:KeyRing"
KEY = "gcp:kms/cryptoKey:CryptoKey"

DATASET_PATH = "/v1beta1/projects/hospital/locations/europe-west4/datasets"
DATASET_NAME = "projects/hospital/locations/europe-west4/datasets/radiology"
NOT_FOUND = (404, {"error": {"code": 404, "message": "not found", "status": "NOT_FOUND"}})


# Failures


def test_a_refusal_names_method_path_status_and_googles_message(plugin: Any, recorder: Any) -> None:
    refusal = {"error": {"code": 409, "message": "already exists", "status": "ALREADY_EXISTS"}}
    recorder.answer("POST", DATASET_PATH, (409, refusal))
    with pytest.raises(grpc.RpcError) as refused:
        plugin.create(HEALTHCARE_DATASET, {"name": "radiology", "location": "europe-west4"})
    assert _said(refused) == f"POST {DATASET_PATH}: 409 Conflict: already exists"
    assert len(recorder.requests) == 1


def test_the_token_is_in_no_message(plugin: Any, recorder: Any) -> None:
    recorder.answer("POST", DATASET_PATH, (401, "not json"))
    with pytest.raises(grpc.RpcError) as refused:
        plugin.create(HEALTHCARE_DATASET, {"name": "radiology", "location": "europe-west4"})
    assert "secret-token" not in str(refused.value)
    assert recorder.requests[0].headers["Authorization"] == "Bearer secret-token"


def test_a_token_that_is_a_path_is_read_as_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As the official plugin does, which failed with "read emulator: is a directory" in a checkout with such a folder.
    (tmp_path / "token").write_text("ya29.from-a-file\n")
    (tmp_path / "emulator").mkdir()
    monkeypatch.chdir(tmp_path)
    assert path_or_contents("token").strip() == "ya29.from-a-file"
    assert path_or_contents("ya29.itself") == "ya29.itself"
    assert path_or_contents("") == ""
    assert path_or_contents('{"type": "service_account"}' + " " * 5000).startswith("{")
    with pytest.raises(IsADirectoryError):
        path_or_contents("emulator")


def test_a_resource_that_exists_but_can_not_be_read_is_kept_as_partly_created(plugin: Any, recorder: Any) -> None:
    from google.rpc import status_pb2  # type: ignore[import-untyped]
    from pulumi.runtime.proto import provider_pb2

    recorder.answer("POST", DATASET_PATH, {"name": "operations/1"})
    recorder.answer("GET", f"{DATASET_PATH}/radiology", (403, {"error": {"message": "denied"}}))
    with pytest.raises(grpc.RpcError) as refused:
        plugin.create(HEALTHCARE_DATASET, {"name": "radiology", "location": "europe-west4"})
    call: Any = refused.value
    details = dict(call.trailing_metadata())["grpc-status-details-bin"]
    partly = provider_pb2.ErrorResourceInitFailed()
    assert status_pb2.Status.FromString(details).details[0].Unpack(partly)
    assert partly.id == DATASET_NAME
    assert "denied" in partly.reasons[0]


def test_a_bucket_with_objects_is_not_deleted_without_force_destroy(plugin: Any, recorder: Any) -> None:
    recorder.answer("GET", "/storage/v1/b/inbox/o", {"items": [{"name": "a.dcm", "generation": "7"}]})
    with pytest.raises(grpc.RpcError) as refused:
        plugin.delete(BUCKET, {"id": "inbox", "name": "inbox", "forceDestroy": False})
    assert "forceDestroy" in _said(refused)
    assert "DELETE" not in {request.method for request in recorder.requests}


def test_a_table_with_deletion_protection_is_not_deleted(plugin: Any, recorder: Any) -> None:
    outputs = {"id": "t", "project": "p", "datasetId": "d", "tableId": "t", "deletionProtection": True}
    with pytest.raises(grpc.RpcError) as refused:
        plugin.delete(TABLE, outputs)
    assert "deletionProtection=false" in _said(refused)
    assert recorder.requests == []


@pytest.mark.parametrize(("policy", "refused"), [("PREVENT", True), ("ABANDON", False)])
def test_a_deletion_policy_other_than_delete_makes_no_call(
    plugin: Any, recorder: Any, policy: str, refused: bool
) -> None:
    outputs = {"id": DATASET_NAME, "project": "hospital", "location": "europe-west4", "name": "radiology"}
    outputs["deletionPolicy"] = policy
    if refused:
        with pytest.raises(grpc.RpcError, match="PREVENT"):
            plugin.delete(HEALTHCARE_DATASET, outputs)
    else:
        plugin.delete(HEALTHCARE_DATASET, outputs)
    assert recorder.requests == []


def test_deleting_what_is_gone_already_is_no_error(plugin: Any, recorder: Any) -> None:
    recorder.answer("DELETE", ".*", NOT_FOUND)
    outputs = {"id": DATASET_NAME, "project": "hospital", "location": "europe-west4", "name": "radiology"}
    plugin.delete(HEALTHCARE_DATASET, outputs)
    assert recorder.lines() == [f"DELETE {DATASET_PATH}/radiology"]


def test_an_import_id_of_the_wrong_form_is_refused_with_the_forms(plugin: Any) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        plugin.read(HEALTHCARE_DATASET, "radiology")
    assert "projects/{project}/locations/{location}/datasets/{name}" in _said(refused)


def test_nothing_listening_says_how_to_start_the_emulator(settings: dict[str, Any]) -> None:
    import socket

    from engine.plugins.gcp.provider import Provider
    from engine.plugins.gcp.rest import ApiError

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    provider = Provider({**settings, "healthcareCustomEndpoint": f"http://127.0.0.1:{port}/v1beta1/"}, {})
    with pytest.raises(ApiError, match="python -m emulator serve"):
        provider.client.call("GET", f"{provider.client.address('healthcare')}x")


# Cloud Healthcare


def test_a_healthcare_dataset_is_posted_with_its_short_name_and_read_back(plugin: Any, recorder: Any) -> None:
    recorder.answer("POST", DATASET_PATH, {"name": f"{DATASET_NAME}/operations/1"})
    recorder.answer("GET", f"{DATASET_PATH}/radiology", {"name": DATASET_NAME, "timeZone": "UTC"})
    identity, outputs = plugin.create(
        HEALTHCARE_DATASET,
        {"name": "radiology", "location": "europe-west4", "timeZone": "UTC", "encryptionSpec": {"kmsKeyName": "k"}},
    )
    assert recorder.lines() == [f"POST {DATASET_PATH}?datasetId=radiology", f"GET {DATASET_PATH}/radiology"]
    assert recorder.bodies("POST") == [{"name": "radiology", "timeZone": "UTC", "encryptionSpec": {"kmsKeyName": "k"}}]
    assert all(request.query["alt"] == "json" for request in recorder.requests)
    assert identity == DATASET_NAME
    assert outputs == {
        "id": DATASET_NAME,
        "name": "radiology",
        "location": "europe-west4",
        "project": "hospital",
        "timeZone": "UTC",
        "encryptionSpec": None,
        "deletionPolicy": "DELETE",
        "selfLink": DATASET_NAME,
    }


def test_a_dataset_that_is_still_being_made_is_asked_for_again(plugin: Any, recorder: Any) -> None:
    recorder.answer("POST", DATASET_PATH, {})
    pending = (404, {"error": {"code": 404, "message": "dataset not initialized"}})
    recorder.answer("GET", f"{DATASET_PATH}/radiology", pending, {"name": DATASET_NAME, "timeZone": "UTC"})
    identity, _ = plugin.create(HEALTHCARE_DATASET, {"name": "radiology", "location": "europe-west4"})
    assert identity == DATASET_NAME
    assert len(recorder.requests) == 3


def test_a_healthcare_datasets_time_zone_is_patched_with_a_mask(plugin: Any, recorder: Any) -> None:
    recorder.answer("PATCH", f"{DATASET_PATH}/radiology", {"name": DATASET_NAME})
    recorder.answer("GET", f"{DATASET_PATH}/radiology", {"name": DATASET_NAME, "timeZone": "Europe/Berlin"})
    inputs = {"name": "radiology", "location": "europe-west4", "timeZone": "UTC"}
    outputs = {**inputs, "id": DATASET_NAME, "project": "hospital"}
    fresh = plugin.update(HEALTHCARE_DATASET, inputs, outputs, {**inputs, "timeZone": "Europe/Berlin"})
    assert recorder.lines()[0] == f"PATCH {DATASET_PATH}/radiology?updateMask=timeZone"
    assert recorder.bodies("PATCH") == [{"timeZone": "Europe/Berlin"}]
    assert fresh["timeZone"] == "Europe/Berlin"


@pytest.mark.parametrize("identity", [DATASET_NAME, "hospital/europe-west4/radiology", "europe-west4/radiology"])
def test_a_healthcare_dataset_is_imported_by_any_form_of_its_id(plugin: Any, recorder: Any, identity: str) -> None:
    recorder.answer("GET", f"{DATASET_PATH}/radiology", {"name": DATASET_NAME, "timeZone": "UTC"})
    found, outputs, inputs = plugin.read(HEALTHCARE_DATASET, identity)
    assert found == DATASET_NAME
    assert outputs["project"] == "hospital"
    assert inputs["name"] == "radiology"
    assert inputs["timeZone"] == "UTC"
    assert "selfLink" not in inputs


def test_a_store_is_posted_with_its_labels_and_streams(plugin: Any, recorder: Any) -> None:
    path = f"/v1beta1/{DATASET_NAME}/dicomStores"
    streams = [{"bigqueryDestination": {"tableUri": "bq://research.stream.pacs"}}]
    answer = {"name": f"{DATASET_NAME}/dicomStores/pacs", "labels": {"team": "r"}, "streamConfigs": streams}
    recorder.answer("POST", path, answer)
    recorder.answer("GET", f"{path}/pacs", answer)
    identity, outputs = plugin.create(
        STORE, {"name": "pacs", "dataset": DATASET_NAME, "labels": {"team": "r"}, "streamConfigs": streams}
    )
    assert recorder.lines() == [f"POST {path}?dicomStoreId=pacs", f"GET {path}/pacs"]
    assert recorder.bodies("POST") == [{"name": "pacs", "labels": {"team": "r"}, "streamConfigs": streams}]
    assert identity == f"{DATASET_NAME}/dicomStores/pacs"
    assert outputs["labels"] == outputs["pulumiLabels"] == outputs["effectiveLabels"] == {"team": "r"}
    assert outputs["streamConfigs"] == streams
    assert outputs["notificationConfig"] is None


def test_a_stores_removed_notification_is_patched_away(plugin: Any, recorder: Any) -> None:
    name = f"{DATASET_NAME}/dicomStores/pacs"
    recorder.answer("PATCH", f"/v1beta1/{name}", {})
    recorder.answer("GET", f"/v1beta1/{name}", {"name": name})
    inputs = {"name": "pacs", "dataset": DATASET_NAME}
    outputs = {**inputs, "id": name, "pulumiLabels": {}, "effectiveLabels": {}}
    before = {**inputs, "notificationConfig": {"pubsubTopic": "projects/p/topics/t"}}
    plugin.update(STORE, before, outputs, {**inputs, "labels": {"team": "r"}})
    assert recorder.lines()[0] == f"PATCH /v1beta1/{name}?updateMask=notificationConfig,labels"
    assert recorder.bodies("PATCH") == [{"labels": {"team": "r"}}]


# BigQuery


def test_a_bigquery_dataset_is_posted_put_and_deleted_as_the_provider_does(plugin: Any, recorder: Any) -> None:
    path = "/bigquery/v2/projects/research/datasets"
    answer = {
        "datasetReference": {"datasetId": "dicom", "projectId": "research"},
        "location": "EU",
        "description": "metadata",
        "access": [{"role": "OWNER", "specialGroup": "projectOwners"}],
        "etag": "e1",
        "creationTime": "1696945418427",
        "lastModifiedTime": "1696945418428",
        "selfLink": "https://bigquery.googleapis.com/bigquery/v2/projects/research/datasets/dicom",
    }
    recorder.answer("POST", path, answer)
    recorder.answer("GET", f"{path}/dicom", answer)
    recorder.answer("PUT", f"{path}/dicom", answer)
    recorder.answer("DELETE", f"{path}/dicom", {})
    given = {"datasetId": "dicom", "project": "research", "location": "EU", "defaultTableExpirationMs": 3600000}
    identity, outputs = plugin.create(BQ_DATASET, given)
    plugin.update(BQ_DATASET, given, outputs, {**given, "description": "metadata"})
    plugin.delete(BQ_DATASET, {**outputs, "deleteContentsOnDestroy": True})

    assert recorder.lines() == [
        f"POST {path}?accessPolicyVersion=3",
        f"GET {path}/dicom?accessPolicyVersion=3",
        f"PUT {path}/dicom?accessPolicyVersion=3",
        f"GET {path}/dicom?accessPolicyVersion=3",
        f"DELETE {path}/dicom?deleteContents=true",
    ]
    reference = {"datasetId": "dicom"}
    assert recorder.bodies("POST") == [
        {"datasetReference": reference, "location": "EU", "defaultTableExpirationMs": 3600000}
    ]
    put = recorder.bodies("PUT")[0]
    assert put == {
        "datasetReference": reference,
        "location": "EU",
        "description": "metadata",
        "defaultTableExpirationMs": 3600000,
        "defaultCollation": "",
        "friendlyName": "",
    }
    assert identity == "projects/research/datasets/dicom"
    # The shape of a recorded state of the official plugin.
    assert outputs["creationTime"] == 1696945418427
    assert outputs["friendlyName"] == ""
    assert outputs["isCaseInsensitive"] is False
    assert outputs["defaultEncryptionConfiguration"] is None
    assert outputs["accesses"][0]["userByEmail"] == ""
    assert outputs["accesses"][0]["view"] is None


def test_a_views_schema_is_put_after_the_view_was_posted_without_it(plugin: Any, recorder: Any) -> None:
    path = "/bigquery/v2/projects/hospital/datasets/d/tables"
    answer = {"tableReference": {"projectId": "hospital", "datasetId": "d", "tableId": "v"}, "type": "VIEW"}
    recorder.answer("POST", path, answer)
    recorder.answer("PUT", f"{path}/v", answer)
    recorder.answer("GET", f"{path}/v", answer)
    schema = '[{"name": "PatientID", "type": "STRING", "description": "who"}]'
    view = {"query": "SELECT PatientID FROM d.t", "useLegacySql": False}
    identity, outputs = plugin.create(TABLE, {"datasetId": "d", "tableId": "v", "schema": schema, "view": view})
    assert recorder.lines() == [f"POST {path}", f"PUT {path}/v", f"GET {path}/v"]
    assert "schema" not in recorder.bodies("POST")[0]
    assert recorder.bodies("POST")[0]["view"] == view
    assert recorder.bodies("PUT")[0]["schema"]["fields"][0]["description"] == "who"
    assert identity == "projects/hospital/datasets/d/tables/v"
    assert outputs["deletionProtection"] is True


# Cloud Storage


def test_a_bucket_is_posted_under_its_project_and_patched_without_a_mask(plugin: Any, recorder: Any) -> None:
    answer = {
        "name": "inbox",
        "location": "EU",
        "storageClass": "STANDARD",
        "projectNumber": "4711",
        "iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}, "publicAccessPrevention": "enforced"},
        "labels": {"team": "r"},
        "lifecycle": {"rule": [{"action": {"type": "Delete"}, "condition": {"age": 30, "isLive": True}}]},
        "selfLink": "https://www.googleapis.com/storage/v1/b/inbox",
    }
    recorder.answer("POST", "/storage/v1/b", answer)
    recorder.answer("GET", "/storage/v1/b/inbox", answer)
    recorder.answer("PATCH", "/storage/v1/b/inbox", answer)
    given = {
        "name": "inbox",
        "location": "eu",
        "uniformBucketLevelAccess": True,
        "publicAccessPrevention": "enforced",
        "labels": {"team": "r"},
        "lifecycleRules": [{"action": {"type": "Delete"}, "condition": {"age": 30, "withState": "LIVE"}}],
    }
    identity, outputs = plugin.create(BUCKET, given)
    changed = {name: value for name, value in given.items() if name != "lifecycleRules"}
    plugin.update(BUCKET, given, outputs, {**changed, "labels": {"site": "b"}, "versioning": {"enabled": True}})

    assert recorder.lines()[:4] == [
        "POST /storage/v1/b?project=hospital",
        "GET /storage/v1/b/inbox",
        "GET /storage/v1/b/inbox",
        "PATCH /storage/v1/b/inbox",
    ]
    assert recorder.bodies("POST") == [
        {
            "name": "inbox",
            "location": "eu",
            "storageClass": "STANDARD",
            "iamConfiguration": {
                "uniformBucketLevelAccess": {"enabled": True},
                "publicAccessPrevention": "enforced",
            },
            "labels": {"team": "r"},
            "lifecycle": {"rule": [{"action": {"type": "Delete"}, "condition": {"age": 30, "isLive": True}}]},
        }
    ]
    assert recorder.bodies("PATCH") == [
        {
            "lifecycle": {"rule": None},
            "versioning": {"enabled": True},
            "labels": {"team": None, "site": "b"},
        }
    ]
    assert identity == "inbox"
    assert outputs["url"] == "gs://inbox"
    assert outputs["projectNumber"] == 4711
    assert outputs["lifecycleRules"][0]["condition"]["withState"] == "LIVE"


def test_a_bucket_is_emptied_of_every_generation_before_it_goes(plugin: Any, recorder: Any) -> None:
    recorder.answer("GET", "/storage/v1/b/inbox/anywhereCaches/", NOT_FOUND)
    recorder.answer(
        "GET",
        "/storage/v1/b/inbox/o",
        {"items": [{"name": "a/1.dcm", "generation": "7"}], "nextPageToken": "next"},
        {"items": [{"name": "b.dcm", "generation": "8"}]},
    )
    recorder.answer("DELETE", ".*", {})
    plugin.delete(BUCKET, {"id": "inbox", "name": "inbox", "forceDestroy": True})
    assert recorder.lines() == [
        "GET /storage/v1/b/inbox/anywhereCaches/",
        "GET /storage/v1/b/inbox/o?versions=true",
        "GET /storage/v1/b/inbox/o?versions=true&pageToken=next",
        "DELETE /storage/v1/b/inbox/o/a%2F1.dcm?generation=7",
        "DELETE /storage/v1/b/inbox/o/b.dcm?generation=8",
        "DELETE /storage/v1/b/inbox",
    ]


def test_an_object_is_uploaded_at_the_hosts_root_in_two_parts(plugin: Any, recorder: Any) -> None:
    md5 = "XUFAKrxLKna5cZ2REBfFkg=="  # of "hello", RFC 1864 form
    answer = {"name": "filters/a.txt", "bucket": "inbox", "md5Hash": md5, "generation": "7", "crc32c": "x"}
    recorder.answer("POST", "/upload/storage/v1/b/inbox/o", answer)
    recorder.answer("GET", "/storage/v1/b/inbox/o/filters%2Fa.txt", answer)
    identity, outputs = plugin.create(OBJECT, {"name": "filters/a.txt", "bucket": "inbox", "content": "hello"})
    upload = recorder.requests[0]
    assert upload.line == "POST /upload/storage/v1/b/inbox/o?uploadType=multipart&name=filters/a.txt"
    assert upload.headers["Content-Type"].startswith("multipart/related; boundary=")
    assert b'"contentType": "text/plain; charset=utf-8"' in upload.body
    assert b"\r\n\r\nhello\r\n--" in upload.body
    assert identity == "inbox-filters/a.txt"
    assert outputs["md5hash"] == md5
    assert outputs["md5hexhash"] == "5d41402abc4b2a76b9719d911017c592"
    assert outputs["content"] == "hello"


def test_an_object_that_someone_else_overwrote_is_to_be_written_again(plugin: Any, recorder: Any) -> None:
    answer = {"name": "a.txt", "bucket": "inbox", "md5Hash": "AAAAAAAAAAAAAAAAAAAAAA==", "generation": "8"}
    recorder.answer("GET", "/storage/v1/b/inbox/o/a.txt", answer)
    given = {"name": "a.txt", "bucket": "inbox", "content": "hello"}
    _, outputs, inputs = plugin.read(OBJECT, "inbox-a.txt", {**given, "id": "inbox-a.txt"}, given)
    assert "content" not in inputs
    assert outputs["content"] == ""


# Projects


def test_a_service_is_enabled_only_when_the_list_lacks_it(plugin: Any, recorder: Any) -> None:
    lists = "/v1/projects/hospital/services"
    healthcare = {"services": [{"name": "projects/4711/services/healthcare.googleapis.com"}]}
    recorder.answer("GET", lists, {}, {}, healthcare)
    recorder.answer("POST", f"{lists}/healthcare.googleapis.com:enable", {"name": "operations/1", "done": False})
    recorder.answer("GET", "/v1beta1/operations/1", {"name": "operations/1", "done": True})
    recorder.answer("GET", "/v1/projects/hospital", {"projectId": "hospital", "lifecycleState": "ACTIVE"})
    given = {"service": "healthcare.googleapis.com"}
    identity, outputs = plugin.create(SERVICE, given)
    plugin.create(SERVICE, given)
    listing = f"GET {lists}?filter=state:ENABLED&fields=services/name,nextPageToken&pageSize=200"
    assert recorder.lines() == [
        listing,
        f"POST {lists}/healthcare.googleapis.com:enable",
        "GET /v1beta1/operations/1",
        listing,
        listing,
        "GET /v1/projects/hospital",
        listing,
        listing,
    ]
    assert recorder.bodies("POST") == [None]
    assert identity == "hospital/healthcare.googleapis.com"
    assert outputs["disableOnDestroy"] is None


def test_a_service_is_left_enabled_on_destroy_unless_told_otherwise(plugin: Any, recorder: Any) -> None:
    recorder.answer("POST", "/v1/projects/hospital/services/x.googleapis.com:disable", {"done": True})
    outputs = {"id": "hospital/x.googleapis.com", "project": "hospital", "service": "x.googleapis.com"}
    plugin.delete(SERVICE, outputs)
    assert recorder.requests == []
    plugin.delete(SERVICE, {**outputs, "disableOnDestroy": True})
    assert recorder.bodies("POST") == [{"disableDependentServices": False}]


def test_a_service_identity_yields_the_agents_address_and_is_never_read_or_deleted(plugin: Any, recorder: Any) -> None:
    email = "service-4711@gcp-sa-healthcare.iam.gserviceaccount.com"
    path = "/v1beta1/projects/hospital/services/healthcare.googleapis.com:generateServiceIdentity"
    recorder.answer("POST", path, {"name": "operations/1", "done": True, "response": {"email": email}})
    identity, outputs = plugin.create(IDENTITY, {"service": "healthcare.googleapis.com"})
    assert outputs["member"] == f"serviceAccount:{email}"
    assert identity == "projects/hospital/services/healthcare.googleapis.com"
    assert plugin.read(IDENTITY, identity, outputs, {"service": "healthcare.googleapis.com"})[0] == identity
    plugin.delete(IDENTITY, outputs)
    assert recorder.lines() == [f"POST {path}"]


def test_a_failed_operation_says_why(plugin: Any, recorder: Any) -> None:
    recorder.answer("POST", ".*", {"name": "operations/9", "done": True, "error": {"code": 7, "message": "billing"}})
    with pytest.raises(grpc.RpcError, match="operations/9 failed: billing"):
        plugin.create(IDENTITY, {"service": "healthcare.googleapis.com"})


# Pub/Sub and Cloud KMS


def test_a_topic_is_put_and_patched_inside_a_topic(plugin: Any, recorder: Any) -> None:
    path = "/v1/projects/hospital/topics/dicom"
    for method in ("PUT", "GET", "PATCH"):
        recorder.answer(method, path, {"name": "projects/hospital/topics/dicom"})
    identity, outputs = plugin.create(TOPIC, {"name": "dicom"})
    plugin.update(TOPIC, {"name": "dicom"}, outputs, {"name": "dicom", "messageRetentionDuration": "600s"})
    assert recorder.lines()[0] == f"PUT {path}"
    assert recorder.lines()[3] == f"PATCH {path}?updateMask=messageRetentionDuration"
    assert recorder.bodies("PATCH") == [{"topic": {"messageRetentionDuration": "600s"}}]
    assert identity == "projects/hospital/topics/dicom"
    assert outputs["name"] == "dicom"


def test_a_key_is_never_deleted_but_its_versions_are_destroyed(plugin: Any, recorder: Any) -> None:
    ring = "projects/hospital/locations/europe-west4/keyRings/r"
    answer = {
        "name": f"{ring}/cryptoKeys/k",
        "purpose": "ENCRYPT_DECRYPT",
        "primary": {"name": "v1", "state": "ENABLED"},
    }
    recorder.answer("POST", f"/v1/{ring}/cryptoKeys", answer)
    recorder.answer("GET", f"/v1/{ring}/cryptoKeys/k", answer)
    versions = [{"name": f"{ring}/cryptoKeys/k/cryptoKeyVersions/1", "state": "ENABLED"}]
    recorder.answer("GET", f"/v1/{ring}/cryptoKeys/k/cryptoKeyVersions", {"cryptoKeyVersions": versions})
    recorder.answer("POST", f"/v1/{ring}/cryptoKeys/k/cryptoKeyVersions/1:destroy", {})
    identity, outputs = plugin.create(KEY, {"name": "k", "keyRing": ring})
    plugin.delete(KEY, outputs)
    assert recorder.lines() == [
        f"POST /v1/{ring}/cryptoKeys?cryptoKeyId=k",
        f"GET /v1/{ring}/cryptoKeys/k",
        f"GET /v1/{ring}/cryptoKeys/k/cryptoKeyVersions",
        f"POST /v1/{ring}/cryptoKeys/k/cryptoKeyVersions/1:destroy",
    ]
    assert identity == f"{ring}/cryptoKeys/k"
    assert outputs["primaries"] == [{"name": "v1", "state": "ENABLED"}]


def test_a_key_ring_is_only_forgotten(plugin: Any, recorder: Any) -> None:
    plugin.delete(RING, {"id": "r", "project": "hospital", "location": "l", "name": "r"})
    assert recorder.requests == []


# Functions


def test_get_project_asks_for_billing_too_and_returns_the_number_as_text(plugin: Any, recorder: Any) -> None:
    project = {"projectId": "hospital", "projectNumber": "4711", "name": "Hospital", "lifecycleState": "ACTIVE"}
    recorder.answer("GET", "/v1/projects/hospital", {**project, "parent": {"type": "folder", "id": "12"}})
    recorder.answer("GET", "/v1/projects/hospital/billingInfo", {"billingAccountName": "billingAccounts/A-B"})
    found = plugin.invoke("gcp:organizations/getProject:getProject", {"projectId": "hospital"})
    assert recorder.lines() == ["GET /v1/projects/hospital", "GET /v1/projects/hospital/billingInfo"]
    assert (found["number"], found["folderId"], found["orgId"], found["billingAccount"]) == ("4711", "12", "", "A-B")


def test_a_disabled_billing_api_does_not_hide_the_project(plugin: Any, recorder: Any) -> None:
    recorder.answer("GET", "/v1/projects/hospital", {"projectId": "hospital", "projectNumber": "4711"})
    disabled = {"error": {"code": 403, "message": "x", "errors": [{"reason": "accessNotConfigured"}]}}
    recorder.answer("GET", "/v1/projects/hospital/billingInfo", (403, disabled))
    assert plugin.invoke("gcp:organizations/getProject:getProject", {})["number"] == "4711"


def test_a_look_up_of_what_is_not_there_says_so(plugin: Any, recorder: Any) -> None:
    recorder.answer("GET", "/storage/v1/b/none", NOT_FOUND)
    with pytest.raises(grpc.RpcError, match="none not found"):
        plugin.invoke("gcp:storage/getBucket:getBucket", {"name": "none"})


def test_blocks_of_a_look_up_are_lists(plugin: Any, recorder: Any) -> None:
    recorder.answer("GET", "/storage/v1/b/inbox", {"name": "inbox", "versioning": {"enabled": True}})
    found = plugin.invoke("gcp:storage/getBucket:getBucket", {"name": "inbox"})
    assert found["versionings"] == [{"enabled": True}]
    assert found["websites"] == []


@pytest.mark.parametrize(
    ("function", "path", "answer", "output"),
    [
        (
            "gcp:storage/getProjectServiceAccount:getProjectServiceAccount",
            "/storage/v1/projects/hospital/serviceAccount",
            {"email_address": "service-4711@gs-project-accounts.iam.gserviceaccount.com"},
            "emailAddress",
        ),
        (
            "gcp:bigquery/getDefaultServiceAccount:getDefaultServiceAccount",
            "/bigquery/v2/projects/hospital/serviceAccount",
            {"email": "bq-4711@bigquery-encryption.iam.gserviceaccount.com"},
            "email",
        ),
    ],
)
def test_an_agent_that_uses_keys_is_made_by_asking_for_its_address(
    plugin: Any, recorder: Any, function: str, path: str, answer: dict[str, str], output: str
) -> None:
    recorder.answer("GET", path, answer)
    found = plugin.invoke(function, {"project": "hospital"})
    assert recorder.lines() == [f"GET {path}"]
    (email,) = answer.values()
    assert found[output] == email
    assert found["member"] == f"serviceAccount:{email}"


def test_the_tables_of_a_dataset_are_listed_page_by_page(plugin: Any, recorder: Any) -> None:
    path = "/bigquery/v2/projects/hospital/datasets/dicom/tables"
    first = {"tables": [{"tableReference": {"tableId": "a"}}], "nextPageToken": "next"}
    recorder.answer("GET", path, first, {"tables": [{"tableReference": {"tableId": "b"}, "labels": {"x": "y"}}]})
    found = plugin.invoke("gcp:bigquery/getTables:getTables", {"datasetId": "dicom"})
    assert recorder.lines() == [f"GET {path}", f"GET {path}?pageToken=next"]
    assert found["tables"] == [{"tableId": "a", "labels": {}}, {"tableId": "b", "labels": {"x": "y"}}]
