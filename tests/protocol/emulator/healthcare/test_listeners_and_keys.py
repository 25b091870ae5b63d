"""Streaming configs, Pub/Sub notifications, customer-managed keys."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pydicom
import pydicom.data
import pytest

Client = Any
FILE = (Path(pydicom.data.__file__).parent / "test_files" / "CT_small.dcm").read_bytes()
DATASET = pydicom.dcmread(io.BytesIO(FILE))
PATH = f"studies/{DATASET.StudyInstanceUID}/series/{DATASET.SeriesInstanceUID}/instances/{DATASET.SOPInstanceUID}"
TOPIC = "projects/hospital-imaging/topics/dicom"
SUBSCRIPTION = "projects/hospital-imaging/subscriptions/all"
KEY = "projects/keys-of-ours/locations/europe-west4/keyRings/ring/cryptoKeys/key"
PLACE = "projects/hospital-imaging/locations/europe-west4"


def stow(call: Client) -> None:
    status, _, answer = call.raw("POST", f"{call.store}/dicomWeb/studies", FILE, {"Content-Type": "application/dicom"})
    assert status == 200, answer


# --- streaming -------------------------------------------------------------------------------------------------------


def stream_config(**more: Any) -> dict[str, Any]:
    destination = {"tableUri": "bq://hospital-imaging.stream.rows", **more}
    return {"streamConfigs": [{"bigqueryDestination": destination}]}


def table(call: Client) -> list[dict[str, Any]]:
    """The streamed rows, by column name."""
    address = "/bigquery/v2/projects/hospital-imaging/datasets/stream/tables/rows"
    fields = call.ok("GET", address)["schema"]["fields"]
    data = call.ok("GET", f"{address}/data").get("rows", [])
    return [{field["name"]: cell["v"] for field, cell in zip(fields, row["f"], strict=True)} for row in data]


@pytest.fixture
def streaming(ready: Client) -> Client:
    reference = {"datasetReference": {"projectId": "hospital-imaging", "datasetId": "stream"}}
    ready.ok("POST", "/bigquery/v2/projects/hospital-imaging/datasets", reference)
    return ready


def test_a_streaming_destination_that_the_agent_may_not_write_to_is_refused(streaming: Client) -> None:
    for method, address in (
        ("PATCH", f"{streaming.store}?updateMask=streamConfigs"),
        ("POST", f"{streaming.dataset}/dicomStores?dicomStoreId=other"),
    ):
        status, name, message = streaming.refused(method, address, stream_config())
        assert (status, name) == (403, "PERMISSION_DENIED")
        assert message == (
            "failed to verify dataset (projectID:hospital-imaging, datasetID:stream), please add the required "
            "bigquery.dataEditor role to your project's service account"
        )
    assert streaming.refused("GET", f"{streaming.dataset}/dicomStores/other")[0] == 404


def test_one_destination_can_not_be_named_twice(streaming: Client) -> None:
    body = stream_config()
    body["streamConfigs"] *= 2
    assert "named twice" in streaming.refused("PATCH", f"{streaming.store}?updateMask=streamConfigs", body)[2]


def test_streams_that_would_have_to_drop_older_rows_are_refused(streaming: Client) -> None:
    streaming.grant("projects/hospital-imaging", "roles/bigquery.dataEditor")
    body = stream_config(schemaJson={}, changeDataCaptureConfig={})
    status, name, message = streaming.in_version("v1beta1").refused(
        "PATCH", f"{streaming.store}?updateMask=streamConfigs", body
    )
    assert (status, name) == (501, "UNIMPLEMENTED")
    assert "change_data_capture_config" in message
    assert "streamConfigs" not in streaming.ok("GET", streaming.store)


@pytest.mark.parametrize("layout", ["schemaFlattened", "schemaJson"])
def test_instances_are_streamed_as_they_come_and_go(streaming: Client, layout: str) -> None:
    streaming.grant("projects/hospital-imaging", "roles/bigquery.dataEditor")
    body = stream_config(**{layout: {}}, includeSourceStore=True)
    streaming.ok("PATCH", f"{streaming.store}?updateMask=streamConfigs", body)
    stow(streaming)
    streaming.ok("DELETE", f"{streaming.store}/dicomWeb/{PATH}")
    streaming.bucket("inbox", {"a.dcm": FILE})
    streaming.grant("b/inbox", "roles/storage.objectViewer")
    streaming.run("import", {"gcsSource": {"uri": "gs://inbox/a.dcm"}})
    found = table(streaming)
    # CREATE is what rows of flattened tables were seen to have, INSERT what the JSON layout's document says.
    new = "CREATE" if layout == "schemaFlattened" else "INSERT"
    assert sorted(row["Type"] for row in found) == sorted(["DELETE", new, new])
    assert {row["SOPInstanceUID"] for row in found} == {str(DATASET.SOPInstanceUID)}
    assert {row["SourceDicomStore"] for row in found} == {streaming.store}
    if layout == "schemaFlattened":
        assert [row["PatientID"] for row in found if row["Type"] == new] == [str(DATASET.PatientID)] * 2


@pytest.mark.parametrize("layout", ["schemaFlattened", "schemaJson"])
@pytest.mark.parametrize("part", ["studies/{study}", "studies/{study}/series/{series}/instances/{instance}"])
def test_the_row_of_a_deletion_is_the_latest_of_its_instance(streaming: Client, layout: str, part: str) -> None:
    """Google's medical-imaging takes each instance's latest row, deletions left out (ilm_lib/dicom_store_lib.py)."""
    streaming.grant("projects/hospital-imaging", "roles/bigquery.dataEditor")
    streaming.ok("PATCH", f"{streaming.store}?updateMask=streamConfigs", stream_config(**{layout: {}}))
    stow(streaming)
    path = part.format(
        study=DATASET.StudyInstanceUID, series=DATASET.SeriesInstanceUID, instance=DATASET.SOPInstanceUID
    )
    answer = streaming.ok("DELETE", f"{streaming.store}/dicomWeb/{path}")
    if answer:
        streaming.wait(answer)
    times = {row["Type"]: row["LastUpdated"] for row in table(streaming)}
    assert len(times) == 2
    assert float(times["DELETE"]) > float(times["CREATE" if layout == "schemaFlattened" else "INSERT"])
    sql = (
        "SELECT SOPInstanceUID FROM (SELECT SOPInstanceUID, Type, ROW_NUMBER() OVER"
        " (PARTITION BY SOPInstanceUID ORDER BY LastUpdated DESC) AS n FROM `hospital-imaging.stream.rows`)"
        ' WHERE n = 1 AND Type != "DELETE"'
    )
    body = {"query": sql, "useLegacySql": False}
    assert streaming.ok("POST", "/bigquery/v2/projects/hospital-imaging/queries", body)["totalRows"] == "0"


def test_instances_are_stored_even_if_their_rows_can_not_be_streamed(streaming: Client) -> None:
    streaming.grant("projects/hospital-imaging", "roles/bigquery.dataEditor")
    streaming.ok("PATCH", f"{streaming.store}?updateMask=streamConfigs", stream_config())
    streaming.grant("projects/hospital-imaging")
    stow(streaming)
    body = {"resourceNames": ["projects/hospital-imaging"], "filter": 'resource.type="healthcare_dicom_store"'}
    (entry,) = streaming.ok("POST", "/v2/entries:list", body)["entries"]
    assert "bigquery.dataEditor" in entry["jsonPayload"]["error"]["message"]


def test_rows_above_a_megabyte_are_not_streamed_but_logged(streaming: Client) -> None:
    # Each value is below the mebibyte above which values are left out; both together are no row of a stream.
    streaming.grant("projects/hospital-imaging", "roles/bigquery.dataEditor")
    streaming.ok("PATCH", f"{streaming.store}?updateMask=streamConfigs", stream_config())
    dataset = pydicom.dcmread(io.BytesIO(FILE))
    dataset.TextValue = dataset.StrainAdditionalInformation = "x" * 600_000
    out = io.BytesIO()
    dataset.save_as(out)
    kind = {"Content-Type": "application/dicom"}
    assert streaming.raw("POST", f"{streaming.store}/dicomWeb/studies", out.getvalue(), kind)[0] == 200
    body = {"resourceNames": ["projects/hospital-imaging"], "filter": 'resource.type="healthcare_dicom_store"'}
    (entry,) = streaming.ok("POST", "/v2/entries:list", body)["entries"]
    assert "1 MB" in entry["jsonPayload"]["error"]["message"]
    assert streaming.refused("GET", "/bigquery/v2/projects/hospital-imaging/datasets/stream/tables/rows")[0] == 404


# --- notifications ---------------------------------------------------------------------------------------------------


def messages(call: Client) -> list[dict[str, Any]]:
    answer = call.ok("POST", f"/v1/{SUBSCRIPTION}:pull", {"maxMessages": 100, "returnImmediately": True})
    ids = [message["ackId"] for message in answer.get("receivedMessages", [])]
    if ids:
        call.ok("POST", f"/v1/{SUBSCRIPTION}:acknowledge", {"ackIds": ids})
    return [message["message"] for message in answer.get("receivedMessages", [])]


@pytest.fixture
def listening(ready: Client) -> Client:
    ready.ok("PUT", f"/v1/{TOPIC}", {})
    ready.ok("PUT", f"/v1/{SUBSCRIPTION}", {"topic": TOPIC})
    ready.grant(TOPIC, "roles/pubsub.publisher")
    return ready


def test_a_message_tells_of_each_instance_that_is_stored_moved_or_deleted(listening: Client) -> None:
    config = {"notificationConfigs": [{"pubsubTopic": TOPIC}]}
    listening.ok("PATCH", f"{listening.store}?updateMask=notificationConfigs", config)
    stow(listening)
    (message,) = messages(listening)
    assert base64.b64decode(message["data"]).decode() == f"{listening.store}/dicomWeb/{PATH}"
    attributes = message["attributes"]
    assert attributes["action"] == "StoreInstances"
    assert attributes["storeName"] == listening.store
    assert (attributes["modality"], attributes["storageClass"]) == ("CT", "STANDARD")
    assert {"lastUpdatedTime", "versionId"} <= attributes.keys()
    settings = {"blobStorageSettings": {"blobStorageClass": "NEARLINE"}}
    listening.run("setBlobStorageSettings", settings)
    (message,) = messages(listening)
    assert message["attributes"]["action"] == "SetBlobSettings"
    assert message["attributes"]["previousStorageClass"] == "STANDARD"
    assert message["attributes"]["storageClass"] == "NEARLINE"
    listening.ok("DELETE", f"{listening.store}/dicomWeb/{PATH}")
    (message,) = messages(listening)
    assert message["attributes"]["action"] == "DeleteInstances"


LEGACY = [({"pubsubTopic": TOPIC}, 0), ({"pubsubTopic": TOPIC, "sendForBulkImport": True}, 1)]


@pytest.mark.parametrize(("config", "count"), LEGACY)
def test_the_legacy_config_tells_of_imports_only_when_asked_to(
    listening: Client, config: dict[str, Any], count: int
) -> None:
    listening.ok("PATCH", f"{listening.store}?updateMask=notificationConfig", {"notificationConfig": config})
    listening.import_files({"a.dcm": FILE})
    assert len(messages(listening)) == count


def test_a_topic_that_the_agent_may_not_publish_to_does_not_spoil_the_store_request(listening: Client) -> None:
    listening.grant(TOPIC)
    config = {"notificationConfigs": [{"pubsubTopic": TOPIC}]}
    listening.ok("PATCH", f"{listening.store}?updateMask=notificationConfigs", config)
    stow(listening)
    assert messages(listening) == []
    body = {"resourceNames": ["projects/hospital-imaging"], "filter": 'severity="ERROR"'}
    (entry,) = listening.ok("POST", "/v2/entries:list", body)["entries"]
    assert "roles/pubsub.publisher" in entry["jsonPayload"]["error"]["message"]


# --- keys ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def keyed(call: Client) -> Client:
    """A key that nobody may use yet."""
    ring, _, key = KEY.partition("/cryptoKeys/")
    place, _, name = ring.partition("/keyRings/")
    call.ok("POST", f"/v1/{place}/keyRings?keyRingId={name}", {})
    call.ok("POST", f"/v1/{ring}/cryptoKeys?cryptoKeyId={key}", {"purpose": "ENCRYPT_DECRYPT"})
    return call


def create(call: Client, key: str = KEY) -> dict[str, Any]:
    body = {"encryptionSpec": {"kmsKeyName": key}}
    done: dict[str, Any] = call.wait(call.ok("POST", f"{PLACE}/datasets?datasetId=radiology", body))
    return done


def test_a_dataset_needs_a_key_that_exists_and_that_its_agent_may_use(keyed: Client) -> None:
    error = create(keyed, KEY + "-2")["error"]
    assert error["code"] == 9
    assert "does not exist" in error["message"]
    error = create(keyed)["error"]
    assert error["code"] == 7
    for part in (keyed.agent, "roles/cloudkms.cryptoKeyEncrypterDecrypter", KEY):
        assert part in error["message"]
    assert keyed.refused("GET", keyed.dataset)[0] == 403
    keyed.grant(KEY, "roles/cloudkms.cryptoKeyEncrypterDecrypter")
    assert "error" not in create(keyed)
    assert keyed.ok("GET", keyed.dataset)["encryptionSpec"] == {"kmsKeyName": KEY}


@pytest.mark.parametrize(("dataset", "key"), [("eu", "us"), ("eu", "europe-west4"), ("us", "europe"), ("us", "eu")])
def test_a_key_of_another_location_is_refused_for_a_multi_region_too(call: Client, dataset: str, key: str) -> None:
    body = {"encryptionSpec": {"kmsKeyName": KEY.replace("europe-west4", key)}}
    place = PLACE.replace("europe-west4", dataset)
    status, name, message = call.refused("POST", f"{place}/datasets?datasetId=radiology", body)
    assert (status, name) == (400, "INVALID_ARGUMENT")
    assert f"is in {key}, the dataset in {dataset}" in message


@pytest.mark.parametrize("key", ["europe", "eu"])
def test_a_dataset_in_eu_takes_a_key_in_europe_or_eu(call: Client, key: str) -> None:
    name = KEY.replace("europe-west4", key)
    ring, _, key_id = name.partition("/cryptoKeys/")
    call.ok("POST", f"/v1/{ring.partition('/keyRings/')[0]}/keyRings?keyRingId=ring", {})
    call.ok("POST", f"/v1/{ring}/cryptoKeys?cryptoKeyId={key_id}", {"purpose": "ENCRYPT_DECRYPT"})
    call.grant(name, "roles/cloudkms.cryptoKeyEncrypterDecrypter")
    datasets = f"{PLACE.replace('europe-west4', 'eu')}/datasets"
    created = call.wait(call.ok("POST", f"{datasets}?datasetId=radiology", {"encryptionSpec": {"kmsKeyName": name}}))
    assert "error" not in created
    assert call.ok("GET", f"{datasets}/radiology")["encryptionSpec"] == {"kmsKeyName": name}


def test_a_dataset_whose_key_is_disabled_refuses_every_call(keyed: Client) -> None:
    keyed.grant(KEY, "roles/cloudkms.cryptoKeyEncrypterDecrypter")
    create(keyed)
    keyed.ok("POST", f"{keyed.dataset}/dicomStores?dicomStoreId=pacs", {})
    version = f"/v1/{KEY}/cryptoKeyVersions/1"
    keyed.ok("PATCH", f"{version}?updateMask=state", {"state": "DISABLED"})
    for address in (keyed.dataset, keyed.store, f"{keyed.store}/dicomWeb/studies"):
        status, name, message = keyed.refused("GET", address)
        assert (status, name) == (400, "FAILED_PRECONDITION")
        assert KEY in message
    keyed.ok("PATCH", f"{version}?updateMask=state", {"state": "ENABLED"})
    assert keyed("GET", f"{keyed.store}/dicomWeb/studies") == (204, {})
