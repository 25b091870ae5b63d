"""Datasets, DICOM stores, their policies and metrics, as the pages of the Cloud Healthcare API describe them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

Client = Any
PLACE = "projects/hospital-imaging/locations/europe-west4"


BAD_DATASETS = [
    ("", {}, "datasetId is required"),
    ("?datasetId=a%20b", {}, "invalid datasetId"),
    ("?datasetId=" + "x" * 257, {}, "invalid datasetId"),
    ("?datasetId=a", {"timeZone": "Mars/Olympus"}, "invalid time zone"),
    ("?datasetId=a", {"labels": {}}, 'Unknown name "labels": Cannot find field.'),
    ("?datasetId=a", {"encryptionSpec": {"kmsKeyName": "key"}}, "cryptoKeys/KEY is expected"),
    (
        "?datasetId=a",
        {"encryptionSpec": {"kmsKeyName": "projects/p/locations/us/keyRings/r/cryptoKeys/k"}},
        "both must be in one location",
    ),
]


@pytest.mark.parametrize(("query", "body", "text"), BAD_DATASETS)
def test_a_dataset_that_can_not_be_is_refused(call: Client, query: str, body: dict[str, Any], text: str) -> None:
    status, name, message = call.refused("POST", f"{PLACE}/datasets{query}", body)
    assert (status, name) == (400, "INVALID_ARGUMENT")
    assert text in message


def test_a_missing_dataset_answers_403_and_a_missing_store_404(ready: Client) -> None:
    missing = f"{PLACE}/datasets/other"
    status, name, message = ready.refused("GET", missing)
    assert (status, name) == (403, "PERMISSION_DENIED")
    assert message == (
        f"Permission healthcare.datasets.get denied on resource {missing} (or it may be malformed or not exist)"
    )
    assert ready.refused("GET", f"{missing}/dicomStores/pacs")[0] == 403
    assert ready.refused("POST", f"{missing}/dicomStores?dicomStoreId=x", {})[0] == 403
    assert ready.refused("GET", f"{missing}/operations")[0] == 403
    assert ready.refused("GET", f"{ready.dataset}/dicomStores/other")[:2] == (404, "NOT_FOUND")
    assert ready.refused("GET", f"{ready.dataset}/operations/1")[:2] == (404, "NOT_FOUND")


def test_a_second_dataset_or_store_of_the_same_id_answers_409(ready: Client) -> None:
    status, name, message = ready.refused("POST", f"{PLACE}/datasets?datasetId=radiology", {})
    assert (status, name) == (409, "ALREADY_EXISTS")
    assert "already exists" in message
    assert ready.refused("POST", f"{ready.dataset}/dicomStores?dicomStoreId=pacs", {})[0] == 409


def test_creating_a_dataset_is_an_operation_whose_first_answer_is_its_name(call: Client) -> None:
    first = call.ok("POST", f"{PLACE}/datasets?datasetId=radiology", {"timeZone": "Europe/Berlin"})
    done = call.wait(first)
    assert done["metadata"]["apiMethodName"] == "google.cloud.healthcare.v1.dataset.DatasetService.CreateDataset"
    assert done["metadata"]["@type"] == "type.googleapis.com/google.cloud.healthcare.v1.OperationMetadata"
    assert "counter" not in done["metadata"]
    assert done["response"] == {
        "@type": "type.googleapis.com/google.cloud.healthcare.v1.dataset.Dataset",
        "name": call.dataset,
        "timeZone": "Europe/Berlin",
    }
    assert call.ok("GET", call.dataset) == {"name": call.dataset, "timeZone": "Europe/Berlin"}


def test_an_operation_carries_the_version_that_started_it(call: Client) -> None:
    done = call.wait(call.in_version("v1beta1").ok("POST", f"{PLACE}/datasets?datasetId=radiology", {}))
    assert done["metadata"]["@type"] == "type.googleapis.com/google.cloud.healthcare.v1beta1.OperationMetadata"
    assert done["metadata"]["apiMethodName"].startswith("google.cloud.healthcare.v1beta1.")


def test_a_dataset_is_not_initialized_while_its_creation_runs(call: Client, emulator: Any) -> None:
    emulator.control("PATCH", "settings", {"operationSeconds": 3600})
    operation = call.ok("POST", f"{PLACE}/datasets?datasetId=radiology", {})
    status, name, message = call.refused("POST", f"{call.dataset}/dicomStores?dicomStoreId=pacs", {})
    assert (status, name) == (404, "NOT_FOUND")
    assert "dataset not initialized" in message
    assert call.ok("GET", f"{PLACE}/datasets") == {}
    running = call.ok("GET", operation["name"])
    assert "done" not in running
    assert "endTime" not in running["metadata"]
    assert call.ok("POST", f"{operation['name']}:cancel", {}) == {}
    cancelled = call.ok("GET", operation["name"])["error"]
    assert cancelled["code"] == 1
    assert call.refused("GET", call.dataset)[0] == 403


def test_a_deleted_dataset_takes_its_stores_and_policies_along(ready: Client) -> None:
    ready.ok("POST", f"{ready.dataset}:setIamPolicy", {"policy": {"bindings": []}})
    assert ready.ok("DELETE", ready.dataset) == {}
    assert ready.refused("GET", ready.dataset)[0] == 404
    assert ready.refused("GET", ready.store)[0] == 403
    ready.wait(ready.ok("POST", f"{PLACE}/datasets?datasetId=radiology", {}))
    assert ready.ok("GET", f"{ready.dataset}/dicomStores") == {}


def test_only_the_time_zone_of_a_dataset_can_be_changed(ready: Client) -> None:
    changed = ready.ok("PATCH", f"{ready.dataset}?updateMask=timeZone", {"timeZone": "UTC"})
    assert changed == {"name": ready.dataset, "timeZone": "UTC"}
    assert ready.ok("PATCH", f"{ready.dataset}?updateMask=time_zone", {}) == {"name": ready.dataset}
    assert ready.refused("PATCH", ready.dataset, {"timeZone": "UTC"})[0] == 400
    assert "encryptionSpec" in ready.refused("PATCH", f"{ready.dataset}?updateMask=encryptionSpec", {})[2]


def test_lists_come_in_pages(ready: Client) -> None:
    for number in range(3):
        ready.ok("POST", f"{ready.dataset}/dicomStores?dicomStoreId=s{number}", {})
    names: list[str] = []
    token = ""
    while True:
        page = ready.ok("GET", f"{ready.dataset}/dicomStores?pageSize=2&pageToken={token}")
        names += [store["name"].rpartition("/")[2] for store in page["dicomStores"]]
        token = page.get("nextPageToken", "")
        if not token:
            break
    assert names == ["pacs", "s0", "s1", "s2"]
    assert ready.refused("GET", f"{ready.dataset}/dicomStores?pageToken=a")[0] == 400
    assert ready.refused("GET", f"{ready.dataset}/dicomStores?pageSize=-1")[0] == 400


BAD_STORES: list[tuple[dict[str, Any], str]] = [
    ({"labels": {"Team": "x"}}, "invalid label key"),
    ({"labels": {"team": "X"}}, "invalid value"),
    ({"labels": {f"k{n}": "v" for n in range(65)}}, "at most 64 labels"),
    ({"notificationConfig": {"pubsubTopic": "topic"}}, "projects/PROJECT/topics/TOPIC"),
    ({"notificationConfigs": [{"pubsubTopic": "topic"}]}, "projects/PROJECT/topics/TOPIC"),
    (
        {
            "notificationConfig": {"pubsubTopic": "projects/p/topics/t"},
            "notificationConfigs": [{"pubsubTopic": "projects/p/topics/t"}],
        },
        "only one of",
    ),
    ({"streamConfigs": [{"bigqueryDestination": {"tableUri": "bq://p.d"}}]}, "bq://PROJECT.DATASET.TABLE"),
    ({"streamConfigs": [{"bigqueryDestination": {"tableUri": f"bq://p.d.t{n}"}} for n in range(6)]}, "at most 5"),
    ({"stores": 1}, "Cannot find field"),
]


@pytest.mark.parametrize(("body", "text"), BAD_STORES)
def test_a_store_that_can_not_be_is_refused(ready: Client, body: dict[str, Any], text: str) -> None:
    status, _, message = ready.refused("POST", f"{ready.dataset}/dicomStores?dicomStoreId=x", body)
    assert status == 400
    assert text in message


def test_stores_are_listed_by_label(ready: Client) -> None:
    ready.ok("POST", f"{ready.dataset}/dicomStores?dicomStoreId=a", {"labels": {"team": "radiology", "tier": "1"}})
    ready.ok("POST", f"{ready.dataset}/dicomStores?dicomStoreId=b", {"labels": {"team": "cardiology"}})

    def named(text: str) -> list[str]:
        found = ready.ok("GET", f"{ready.dataset}/dicomStores?filter={text}")
        return [store["name"].rpartition("/")[2] for store in found.get("dicomStores", [])]

    assert named("labels.team%3Dradiology") == ["a"]
    assert named("labels.team%3D%22cardiology%22") == ["b"]
    assert named("labels.team:*") == ["a", "b"]
    assert named("labels.team%3Dradiology%20AND%20labels.tier%3D2") == []
    assert named("NOT%20labels.team:*") == ["pacs"]
    assert ready.refused("GET", f"{ready.dataset}/dicomStores?filter=name%3Dx")[0] == 400
    assert ready.refused("GET", f"{ready.dataset}/dicomStores?filter=labels.team%3D")[0] == 400


def test_a_patch_changes_what_its_mask_names_and_nothing_else(ready: Client) -> None:
    topic = "projects/hospital-imaging/topics/dicom"
    ready.ok("PATCH", f"{ready.store}?updateMask=labels", {"labels": {"a": "1", "b": "2"}, "notificationConfig": {}})
    changed = ready.ok(
        "PATCH",
        f"{ready.store}?updateMask=notificationConfig.pubsubTopic,labels.b",
        {"notificationConfig": {"pubsubTopic": topic}, "labels": {"b": "3", "c": "4"}},
    )
    assert changed == {
        "name": ready.store,
        "labels": {"a": "1", "b": "3"},
        "notificationConfig": {"pubsubTopic": topic},
    }
    assert ready.ok("GET", ready.store) == changed
    assert ready.refused("PATCH", ready.store, {"labels": {}})[0] == 400
    assert ready.refused("PATCH", f"{ready.store}?updateMask=name", {})[0] == 400


def test_an_empty_store_counts_nothing(ready: Client) -> None:
    assert ready.ok("GET", f"{ready.store}:getDICOMStoreMetrics") == {
        "name": ready.store,
        "studyCount": "0",
        "seriesCount": "0",
        "instanceCount": "0",
        "blobStorageSizeBytes": "0",
        "structuredStorageSizeBytes": "0",
    }


def test_roles_decide_who_may_do_what(ready: Client) -> None:
    alice = ready.acting_as("user:alice@example.org")
    assert alice.refused("GET", ready.store)[0] == 403
    assert alice.ok("POST", f"{ready.store}:testIamPermissions", {"permissions": ["healthcare.dicomStores.get"]}) == {}
    policy = {"bindings": [{"role": "roles/healthcare.dicomViewer", "members": ["user:alice@example.org"]}]}
    kept = ready.ok("POST", f"{ready.store}:setIamPolicy", {"policy": policy})
    assert kept["bindings"] == policy["bindings"]
    assert ready.ok("GET", f"{ready.store}:getIamPolicy") == kept
    assert alice.ok("GET", ready.store) == {"name": ready.store}
    asked = ["healthcare.dicomStores.export", "healthcare.dicomStores.import"]
    held = alice.ok("POST", f"{ready.store}:testIamPermissions", {"permissions": asked})
    assert held == {"permissions": ["healthcare.dicomStores.export"]}
    # A role on a store does not reach the operations of its dataset.
    assert alice.refused("GET", f"{ready.dataset}/operations")[0] == 403


def test_a_policy_that_changed_meanwhile_is_not_overwritten(ready: Client) -> None:
    old = ready.ok("POST", f"{ready.dataset}:setIamPolicy", {"policy": {}})
    ready.ok("POST", f"{ready.dataset}:setIamPolicy", {"policy": {}})
    status, name, _ = ready.refused("POST", f"{ready.dataset}:setIamPolicy", {"policy": {"etag": old["etag"]}})
    assert (status, name) == (409, "ABORTED")


def test_permissions_on_what_does_not_exist_are_none(call: Client) -> None:
    asked = {"permissions": ["healthcare.datasets.get"]}
    assert call.ok("POST", f"{PLACE}/datasets/none:testIamPermissions", asked) == {}


def test_deidentification_is_refused_with_the_reason(ready: Client) -> None:
    status, name, message = ready.refused("POST", f"{ready.dataset}:deidentify", {})
    assert (status, name) == (501, "UNIMPLEMENTED")
    assert "does not de-identify" in message


def test_operations_are_filtered(ready: Client) -> None:
    def count(text: str) -> int:
        return len(ready.ok("GET", f"{ready.dataset}/operations?filter={text}").get("operations", []))

    assert count("done%3Dtrue") == 1
    assert count("done%3Dfalse") == 0
    assert count("metadata.createTime%3E%222000-01-01T00:00:00Z%22") == 1
    assert count("metadata.createTime%3C2000-01-01T00:00:00Z") == 0
    method = "google.cloud.healthcare.v1.dataset.DatasetService.CreateDataset"
    assert count(f"metadata.apiMethodName%3D{method}") == 1
    assert ready.refused("GET", f"{ready.dataset}/operations?filter=size%3D1")[0] == 400


def test_an_operation_may_vanish_once_it_is_done(call: Client, emulator: Any) -> None:
    emulator.control(
        "POST",
        "faults",
        {"method": "healthcare.projects.locations.datasets.create", "effect": {"operation": {"vanish": True}}},
    )
    operation = call.ok("POST", f"{PLACE}/datasets?datasetId=radiology", {})
    assert call.refused("GET", operation["name"])[0] == 404
    assert call.ok("GET", call.dataset) == {"name": call.dataset}


def test_an_operation_may_end_with_a_planned_error(call: Client, emulator: Any) -> None:
    error = {"code": 13, "message": "planned"}
    emulator.control(
        "POST",
        "faults",
        {"method": "healthcare.projects.locations.datasets.create", "effect": {"operation": {"error": error}}},
    )
    operation = call.ok("POST", f"{PLACE}/datasets?datasetId=radiology", {})
    assert call.ok("GET", operation["name"])["error"] == error
    assert call.refused("GET", call.dataset)[0] == 403


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("locationId=us-east5", ["us-east5"]),
        ("locationId = us-east5 OR locationId = eu", ["eu", "us-east5"]),
        ('name="projects/hospital-imaging/locations/europe-west4"', ["europe-west4"]),
        ("displayName=tokyo", []),
    ],
)
def test_locations_are_filtered(call: Client, text: str, wanted: list[str]) -> None:
    found = call.ok("GET", f"projects/hospital-imaging/locations?filter={quote(text)}").get("locations", [])
    assert [one["locationId"] for one in found] == wanted


def test_a_filter_by_what_locations_do_not_have_is_refused(call: Client) -> None:
    assert call.refused("GET", "projects/hospital-imaging/locations?filter=colour=red")[0] == 400


def test_locations_are_listed(call: Client) -> None:
    found = call.ok("GET", "projects/hospital-imaging/locations")["locations"]
    assert {"name": PLACE, "locationId": "europe-west4"} in found
    assert call.ok("GET", PLACE) == {"name": PLACE, "locationId": "europe-west4"}
    assert call.refused("GET", "projects/hospital-imaging/locations/moon")[0] == 404
