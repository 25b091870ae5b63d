"""Every mapped type through its life with the real CLI: made, kept, changed, replaced, refreshed, imported, gone."""

from __future__ import annotations

import copy
import json
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from engine.plugins.gcp.catalog import TYPES
from tests.engine.small_program import SmallProgram

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.server.server import LocalEmulator

pytestmark = pytest.mark.engine

AGENT = "@agent.member"
KEY_RING = "projects/hospital/locations/europe-west4/keyRings/imaging"

RESOURCES: dict[str, dict[str, Any]] = {
    "service": {"kind": "projects.Service", "args": {"service": "healthcare.googleapis.com"}},
    "agent": {
        "kind": "projects.ServiceIdentity",
        "args": {"service": "healthcare.googleapis.com"},
        "options": {"depends_on": "@service"},
    },
    "dataset": {
        "kind": "healthcare.Dataset",
        "args": {"name": "radiology", "location": "europe-west4", "time_zone": "UTC"},
        "options": {"depends_on": "@service"},
    },
    "store": {
        "kind": "healthcare.DicomStore",
        "args": {
            "name": "pacs",
            "dataset": "@dataset.id",
            "labels": {"team": "radiology"},
            "notification_config": {"pubsub_topic": "@topic.id", "send_for_bulk_import": True},
        },
        "options": {"depends_on": "@topic_publisher"},
    },
    "dataset_reader": {
        "kind": "healthcare.DatasetIamMember",
        "args": {
            "dataset_id": "@dataset.id",
            "role": "roles/healthcare.datasetViewer",
            "member": "group:r@example.org",
        },
    },
    "store_reader": {
        "kind": "healthcare.DicomStoreIamMember",
        "args": {
            "dicom_store_id": "@store.id",
            "role": "roles/healthcare.dicomViewer",
            "member": "group:r@example.org",
        },
    },
    "bigquery": {
        "kind": "bigquery.Dataset",
        "args": {"dataset_id": "dicom", "project": "research", "location": "EU", "delete_contents_on_destroy": True},
    },
    "editor": {
        "kind": "bigquery.DatasetIamMember",
        "args": {
            "dataset_id": "@bigquery.dataset_id",
            "project": "research",
            "role": "roles/bigquery.dataEditor",
            "member": AGENT,
        },
    },
    "table": {
        "kind": "bigquery.Table",
        "args": {
            "dataset_id": "@bigquery.dataset_id",
            "project": "research",
            "table_id": "instances",
            "schema": '[{"name": "PatientID", "type": "STRING"}]',
            "deletion_protection": False,
        },
    },
    "bucket": {
        "kind": "storage.Bucket",
        "args": {
            "name": "hospital-inbox",
            "location": "EU",
            "uniform_bucket_level_access": True,
            "public_access_prevention": "enforced",
            "force_destroy": True,
            "lifecycle_rules": [{"action": {"type": "Delete"}, "condition": {"age": 30}}],
        },
    },
    "object_reader": {
        "kind": "storage.BucketIAMMember",
        "args": {"bucket": "@bucket.name", "role": "roles/storage.objectViewer", "member": AGENT},
    },
    "object": {
        "kind": "storage.BucketObject",
        "args": {"bucket": "@bucket.name", "name": "filters/all.txt", "content": "/studies/1.2.3\n"},
    },
    "job_user": {
        "kind": "projects.IAMMember",
        "args": {"project": "research", "role": "roles/bigquery.jobUser", "member": AGENT},
    },
    "topic": {"kind": "pubsub.Topic", "args": {"name": "dicom"}},
    "topic_publisher": {
        "kind": "pubsub.TopicIAMMember",
        "args": {"topic": "@topic.id", "role": "roles/pubsub.publisher", "member": AGENT},
    },
    "ring": {"kind": "kms.KeyRing", "args": {"name": "imaging", "location": "europe-west4"}},
    "key": {
        "kind": "kms.CryptoKey",
        "args": {"name": "dicom", "key_ring": "@ring.id", "labels": {"team": "radiology"}},
    },
    "key_user": {
        "kind": "kms.CryptoKeyIAMMember",
        "args": {
            "crypto_key_id": "@key.id",
            "role": "roles/cloudkms.cryptoKeyEncrypterDecrypter",
            "member": AGENT,
        },
    },
    "ring_admin": {
        "kind": "kms.KeyRingIAMMember",
        "args": {"key_ring_id": "@ring.id", "role": "roles/cloudkms.admin", "member": "group:keys@example.org"},
    },
}
# What refers to something must come after it.
ORDER = ("service", "agent", "topic", "topic_publisher", "dataset", "store", *RESOURCES)
RESOURCES = {name: RESOURCES[name] for name in dict.fromkeys(ORDER)}

# A change that each API makes in place …
CHANGES: dict[str, dict[str, Any]] = {
    "service": {"disable_on_destroy": True},
    "dataset": {"time_zone": "Europe/Berlin"},
    "store": {"labels": {"team": "research", "site": "b"}},
    "bigquery": {"description": "DICOM metadata"},
    "table": {"description": "one row per instance"},
    "bucket": {"versioning": {"enabled": True}, "labels": {"team": "radiology"}},
    "object": {"content": "/studies/4.5.6\n"},
    "key": {"labels": {"team": "research"}},
}
# … and one that makes a new resource.
REPLACEMENTS: dict[str, dict[str, Any]] = {
    "dataset_reader": {"member": "group:others@example.org"},
    "store_reader": {"role": "roles/healthcare.dicomEditor"},
    "editor": {"role": "roles/bigquery.dataOwner"},
    "object_reader": {"role": "roles/storage.objectAdmin"},
    "job_user": {"role": "roles/bigquery.user"},
    "topic_publisher": {"role": "roles/pubsub.editor"},
    "key_user": {"role": "roles/cloudkms.admin"},
    "ring_admin": {"member": "group:others@example.org"},
    "object": {"name": "filters/some.txt"},
    "bucket": {"location": "US"},
    "store": {"name": "archive"},
}

VIEW: dict[str, Any] = {
    "kind": "bigquery.Table",
    "args": {
        "dataset_id": "@bigquery.dataset_id",
        "project": "research",
        "table_id": "patients",
        "view": {"query": "SELECT PatientID FROM `research.dicom.instances`", "use_legacy_sql": False},
        "deletion_protection": False,
    },
    "options": {"depends_on": "@table"},
}


def _with(changes: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    resources = copy.deepcopy(RESOURCES)
    for name, arguments in changes.items():
        resources[name]["args"] |= arguments
    return resources


def _google(emulator: LocalEmulator, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    request = urllib.request.Request(
        emulator.url + path,
        data=None if body is None else json.dumps(body).encode(),
        method=method,
        headers={"Authorization": "Bearer owner", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return dict(json.loads(answer.read() or b"{}"))


@pytest.fixture
def program(tmp_path: Path, emulator: LocalEmulator) -> SmallProgram:
    small = SmallProgram(tmp_path, emulator.url)
    small.declare(RESOURCES)
    return small


def test_every_type_is_made_and_then_unchanged_also_after_a_refresh(program: SmallProgram) -> None:
    assert set(program.planned().values()) == {"create"}
    program.up()
    assert program.planned() == {}
    program.pulumi("refresh", "--yes", "--skip-preview")
    assert program.planned() == {}
    made = program.state()
    assert {each["type"] for each in made.values()} == set(TYPES)
    assert made["dataset"]["id"] == "projects/hospital/locations/europe-west4/datasets/radiology"
    assert made["table"]["id"] == "projects/research/datasets/dicom/tables/instances"
    assert made["bucket"]["id"] == "hospital-inbox"
    assert made["object"]["id"] == "hospital-inbox-filters/all.txt"
    assert made["key"]["id"] == f"{KEY_RING}/cryptoKeys/dicom"
    agent = made["agent"]["outputs"]["member"]
    assert made["object_reader"]["id"] == f"b/hospital-inbox/roles/storage.objectViewer/{agent}"
    assert made["job_user"]["id"] == f"research/roles/bigquery.jobUser/{agent}"


def test_each_change_in_place_changes_what_it_says_and_nothing_more(program: SmallProgram) -> None:
    program.up()
    before = program.state()
    program.declare(_with(CHANGES))
    assert program.planned() == dict.fromkeys(CHANGES, "update")
    program.up()
    assert program.planned() == {}
    after = program.state()
    assert {name: each["id"] for name, each in after.items()} == {name: each["id"] for name, each in before.items()}
    assert after["dataset"]["outputs"]["timeZone"] == "Europe/Berlin"
    assert after["bucket"]["outputs"]["lifecycleRules"] == before["bucket"]["outputs"]["lifecycleRules"]
    # The attribution label of the official plugin is in pulumiLabels, not in the program's own.
    assert after["bucket"]["outputs"]["labels"] == {"team": "radiology"}
    program.declare(RESOURCES)
    program.up()
    assert program.planned() == {}


def test_each_change_that_can_not_be_made_in_place_makes_a_new_resource(program: SmallProgram) -> None:
    program.up()
    before = program.state()
    program.declare(_with(REPLACEMENTS))
    assert {name for name, step in program.planned().items() if "replace" in step} >= set(REPLACEMENTS)
    program.up()
    assert program.planned() == {}
    after = program.state()
    assert {name for name in REPLACEMENTS if name != "bucket"} == {
        name for name in REPLACEMENTS if after[name]["id"] != before[name]["id"]
    }
    assert after["bucket"]["outputs"]["location"] == "US"


def test_every_resource_is_imported_by_its_id(program: SmallProgram) -> None:
    program.up()
    made = program.state()
    for name in reversed(made):
        program.pulumi("state", "delete", made[name]["urn"], "--yes", "--force")
    imported = copy.deepcopy(RESOURCES)
    # A service's identity is no thing that could be found.
    for name in set(RESOURCES) - {"agent"}:
        imported[name].setdefault("options", {})["import_"] = made[name]["id"]
    program.declare(imported)
    # Labels are not imported, as with the official plugin: this update takes over those that the program has.
    said = program.up()
    assert f"{len(imported) - 1} imported" in said
    program.declare(RESOURCES)
    assert program.planned() == {}
    program.pulumi("refresh", "--yes", "--skip-preview")
    assert program.planned() == {}
    after = program.state()
    assert {name: each["id"] for name, each in after.items()} == {name: each["id"] for name, each in made.items()}
    volatile = {"etag", "lastModifiedTime", "updated", "accesses", "generation", "mediaLink"}
    for name, each in after.items():
        assert _without(each["outputs"], volatile) == _without(made[name]["outputs"], volatile), name


def _without(properties: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if name not in names}


def test_everything_is_gone_after_a_destroy_but_what_google_never_deletes(
    program: SmallProgram, emulator: LocalEmulator
) -> None:
    program.up()
    program.pulumi("destroy", "--yes", "--skip-preview")
    assert program.state() == {}
    assert _google(emulator, "GET", "/storage/v1/b?project=hospital").get("items", []) == []
    assert _google(emulator, "GET", "/bigquery/v2/projects/research/datasets").get("datasets", []) == []
    path = "/v1/projects/hospital/locations/europe-west4/datasets"
    assert _google(emulator, "GET", path).get("datasets", []) == []
    policy = _google(emulator, "POST", "/v1/projects/research:getIamPolicy", {})
    assert "roles/bigquery.jobUser" not in json.dumps(policy)
    rings = _google(emulator, "GET", "/v1/projects/hospital/locations/europe-west4/keyRings")
    assert [ring["name"] for ring in rings["keyRings"]] == [KEY_RING]


def test_a_view_is_made_changed_in_place_looked_up_and_made_anew(program: SmallProgram) -> None:
    view = copy.deepcopy(VIEW)
    resources = {"bigquery": RESOURCES["bigquery"], "table": RESOURCES["table"], "view": view}
    program.declare(resources)
    program.up()
    assert program.planned() == {}
    program.pulumi("refresh", "--yes", "--skip-preview")
    assert program.planned() == {}
    assert program.state()["view"]["outputs"]["type"] == "VIEW"
    view["args"]["view"]["query"] = "SELECT DISTINCT PatientID FROM `research.dicom.instances`"
    program.declare(resources)
    assert program.planned() == {"view": "update"}
    program.up()
    assert program.planned() == {}
    view["args"]["table_id"] = "people"
    program.declare(resources)
    program.up()
    assert program.state()["view"]["id"] == "projects/research/datasets/dicom/tables/people"


def test_a_topic_is_changed_in_place(program: SmallProgram, emulator: LocalEmulator) -> None:
    topic: dict[str, Any] = {"kind": "pubsub.Topic", "args": {"name": "dicom", "labels": {"team": "radiology"}}}
    program.declare({"topic": topic})
    program.up()
    topic["args"] = {"name": "dicom", "labels": {"team": "research"}, "message_retention_duration": "600s"}
    program.declare({"topic": topic})
    program.up()
    assert program.planned() == {}
    found = _google(emulator, "GET", "/v1/projects/hospital/topics/dicom")
    assert found["messageRetentionDuration"] == "600s"
    assert found["labels"]["team"] == "research"


def test_drift_shows_after_a_refresh_and_is_repaired(program: SmallProgram, emulator: LocalEmulator) -> None:
    program.up()
    store = "/v1beta1/projects/hospital/locations/europe-west4/datasets/radiology/dicomStores/pacs"
    _google(emulator, "PATCH", f"{store}?updateMask=labels", {"labels": {"team": "changed"}})
    _google(emulator, "PATCH", f"{store}?updateMask=notificationConfig", {"notificationConfig": {}})
    _google(emulator, "PATCH", "/storage/v1/b/hospital-inbox", {"lifecycle": None})
    policy = _google(emulator, "POST", "/v1/projects/research:getIamPolicy", {})
    kept = [each for each in policy["bindings"] if each["role"] != "roles/bigquery.jobUser"]
    kept.append({"role": "roles/viewer", "members": ["user:someone@example.org"]})
    body = {"policy": {"bindings": kept, "etag": policy["etag"]}}
    _google(emulator, "POST", "/v1/projects/research:setIamPolicy", body)
    dataset = "/bigquery/v2/projects/research/datasets/dicom"
    _google(emulator, "PATCH", dataset, {"description": "changed by hand"})

    program.pulumi("refresh", "--yes", "--skip-preview")
    drifted = program.changed()
    assert set(drifted) == {"store", "bucket", "job_user", "bigquery"}
    assert drifted["store"] == {"labels.team", "notificationConfig"}
    assert drifted["bigquery"] == {"description"}
    program.up()
    program.pulumi("refresh", "--yes", "--skip-preview")
    assert program.planned() == {}
    assert _google(emulator, "GET", store)["labels"]["team"] == "radiology"
    # Someone else's grant is not the program's business.
    assert "someone@example.org" in json.dumps(_google(emulator, "POST", "/v1/projects/research:getIamPolicy", {}))


def test_a_resource_that_was_deleted_by_hand_is_made_again(program: SmallProgram, emulator: LocalEmulator) -> None:
    program.declare({"topic": RESOURCES["topic"]})
    program.up()
    _google(emulator, "DELETE", "/v1/projects/hospital/topics/dicom")
    program.pulumi("refresh", "--yes", "--skip-preview")
    assert program.planned() == {"topic": "create"}
    program.up()
    assert _google(emulator, "GET", "/v1/projects/hospital/topics/dicom")["name"] == "projects/hospital/topics/dicom"


def test_an_explicit_provider_brings_its_own_project_labels_and_addresses(
    tmp_path: Path, emulator: LocalEmulator
) -> None:
    program = SmallProgram(tmp_path)
    addresses = {
        "storage_custom_endpoint": f"{emulator.url}/storage/v1/",
        "access_token": "owner",
        "project": "archive",
        "default_labels": {"env": "test"},
    }
    resources: dict[str, dict[str, Any]] = {
        "provider": {"kind": "Provider", "args": addresses},
        "bucket": {
            "kind": "storage.Bucket",
            "args": {"location": "EU", "labels": {"team": "r"}},
            "options": {"provider": "@provider"},
        },
    }
    program.declare(resources)
    program.up()
    bucket = program.state()["bucket"]["outputs"]
    assert bucket["project"] == "archive"
    assert bucket["name"].startswith("bucket-")
    assert bucket["labels"] == {"team": "r"}
    resources["provider"]["args"] |= {"default_labels": {"env": "production"}}
    program.declare(resources)
    program.up()
    found = _google(emulator, "GET", f"/storage/v1/b/{bucket['name']}")
    assert found["labels"] == {"team": "r", "env": "production", "goog-pulumi-provisioned": "true"}


def test_a_secret_is_nowhere_in_the_state_in_clear(program: SmallProgram, emulator: LocalEmulator) -> None:
    program.pulumi("config", "set", "secret", "hunter2", "--secret")
    arguments = {"name": "a.txt", "bucket": "@bucket.name", "content": "@secret", "metadata": {"note": "@secret"}}
    program.declare({"bucket": RESOURCES["bucket"], "object": {"kind": "storage.BucketObject", "args": arguments}})
    program.up()
    state = program.pulumi("stack", "export")
    assert "hunter2" not in state
    assert _google(emulator, "GET", "/storage/v1/b/hospital-inbox/o/a.txt")["metadata"] == {"note": "hunter2"}
    assert program.planned() == {}


def test_a_wrong_property_is_refused_at_preview_by_name(program: SmallProgram) -> None:
    program.declare({"topic": {"kind": "pubsub.Topic", "args": {"name": "t", "message_transforms": [{}]}}})
    said = program.pulumi("preview", fails=True)
    assert "the stand-in for the gcp plugin does not handle messageTransforms" in said
    assert "Traceback" not in said


def test_what_google_refuses_is_shown_with_method_path_status_and_message(program: SmallProgram) -> None:
    program.declare({"bucket": {"kind": "storage.Bucket", "args": {"name": "No_Good.Name", "location": "EU"}}})
    said = program.up(fails=True)
    assert "POST /storage/v1/b: 400 Bad Request" in said
    assert "Traceback" not in said


def test_protection_and_ignored_changes_are_honoured(program: SmallProgram) -> None:
    topic = {**RESOURCES["topic"], "options": {"protect": True, "ignore_changes": ["labels"]}}
    program.declare({"topic": topic})
    program.up()
    topic["args"] = {"name": "dicom", "labels": {"team": "other"}}
    program.declare({"topic": topic})
    assert program.planned() == {}
    program.declare({})
    assert "protect" in program.up(fails=True)
