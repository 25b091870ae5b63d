"""Allow policies: who may do what, where it is inherited from, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import emulator
from emulator.core.errors import ApiError
from emulator.core.projects import project_number
from emulator.core.runtime import Emulator
from emulator.iam import OWNER
from emulator.iam.roles import PERMISSIONS

ALICE = "user:alice@example.org"
PROJECT = "projects/hospital-imaging"
DATASET = f"{PROJECT}/locations/eu/datasets/radiology"


@pytest.fixture
def local() -> Iterator[Emulator]:
    emulator = Emulator()
    yield emulator
    emulator.close()


def binding(role: str, *members: str) -> dict[str, Any]:
    return {"bindings": [{"role": role, "members": list(members)}]}


MALFORMED = ["alice@example.org", "user:", "person:alice@example.org", ""]


@pytest.mark.parametrize("member", MALFORMED)
def test_a_member_without_a_known_kind_is_refused(local: Emulator, member: str) -> None:
    with pytest.raises(ApiError, match="Invalid value for member") as caught:
        local.iam.set(PROJECT, binding("roles/viewer", member))
    assert caught.value.status == 400


def test_a_service_agent_that_was_never_created_is_refused_as_iam_words_it(local: Emulator) -> None:
    agent = f"service-{project_number('hospital-imaging')}@gcp-sa-healthcare.iam.gserviceaccount.com"
    with pytest.raises(ApiError, match=r"Service account .* does not exist"):
        local.iam.set(PROJECT, binding("roles/viewer", f"serviceAccount:{agent}"))
    assert local.projects.provision_service_agent("hospital-imaging") == agent
    local.iam.set(PROJECT, binding("roles/viewer", f"serviceAccount:{agent}"))


def test_a_policy_that_changed_meanwhile_is_not_overwritten(local: Emulator) -> None:
    read = local.iam.get(PROJECT)
    local.iam.set(PROJECT, {**binding("roles/viewer", ALICE), "etag": read["etag"]})
    with pytest.raises(ApiError, match="concurrent policy changes") as caught:
        local.iam.set(PROJECT, {**binding("roles/owner", ALICE), "etag": read["etag"]})
    assert caught.value.status == 409
    assert local.iam.get(PROJECT)["bindings"] == [{"role": "roles/viewer", "members": [ALICE]}]


def test_nobody_but_the_owner_may_do_anything_without_a_grant(local: Emulator) -> None:
    assert not local.iam.allowed(ALICE, "healthcare.datasets.get", DATASET, PROJECT)
    assert local.iam.allowed(OWNER, "healthcare.datasets.get", DATASET, PROJECT)
    with pytest.raises(ApiError, match=r"Permission healthcare\.datasets\.get denied on resource") as caught:
        local.iam.require(ALICE, "healthcare.datasets.get", DATASET, PROJECT)
    assert (caught.value.status, caught.value.name) == (403, "PERMISSION_DENIED")


def test_a_grant_on_the_project_is_inherited_but_not_the_other_way_round(local: Emulator) -> None:
    local.iam.set(DATASET, binding("roles/healthcare.datasetViewer", ALICE))
    assert not local.iam.allowed(ALICE, "healthcare.datasets.get", PROJECT)
    assert local.iam.allowed(ALICE, "healthcare.datasets.get", DATASET, PROJECT)


#: https://cloud.google.com/healthcare-api/docs/access-control: what surprises people.
SURPRISES = [
    ("roles/healthcare.dicomStoreAdmin", "healthcare.dicomStores.create", True),
    ("roles/healthcare.dicomStoreAdmin", "healthcare.dicomStores.export", False),
    ("roles/healthcare.dicomStoreAdmin", "healthcare.dicomStores.import", False),
    ("roles/healthcare.dicomStoreAdmin", "healthcare.dicomStores.dicomWebRead", False),
    ("roles/healthcare.dicomViewer", "healthcare.dicomStores.export", True),
    ("roles/healthcare.dicomViewer", "healthcare.dicomStores.import", False),
    ("roles/healthcare.dicomViewer", "healthcare.operations.cancel", False),
    ("roles/healthcare.dicomEditor", "healthcare.dicomStores.import", True),
    ("roles/healthcare.dicomEditor", "healthcare.dicomStores.create", False),
    ("roles/healthcare.datasetViewer", "healthcare.operations.get", True),
    ("roles/healthcare.datasetViewer", "healthcare.operations.list", False),
    ("roles/healthcare.datasetAdmin", "healthcare.operations.cancel", True),
    ("roles/healthcare.datasetAdmin", "healthcare.dicomStores.get", False),
    ("roles/healthcare.serviceAgent", "storage.objects.get", False),
    ("roles/pubsub.editor", "pubsub.topics.publish", True),
    ("roles/pubsub.editor", "pubsub.topics.setIamPolicy", False),
    ("roles/cloudkms.admin", "cloudkms.cryptoKeys.setIamPolicy", True),
    ("roles/cloudkms.admin", "cloudkms.cryptoKeyVersions.useToDecrypt", False),
    ("roles/cloudkms.viewer", "cloudkms.cryptoKeyVersions.get", True),
    ("roles/storage.objectAdmin", "storage.managedFolders.list", True),
    ("roles/storage.objectUser", "storage.objects.move", True),
    ("roles/storage.objectUser", "storage.objects.setIamPolicy", False),
    ("roles/storage.legacyBucketReader", "storage.managedFolders.list", False),
    ("roles/bigquery.user", "bigquery.routines.list", True),
    ("roles/bigquery.user", "bigquery.tables.getData", False),
    ("roles/bigquery.dataEditor", "bigquery.tables.getIamPolicy", True),
    ("roles/bigquery.dataEditor", "bigquery.datasets.update", False),
    ("roles/healthcare.datasetAdmin", "healthcare.locations.list", True),
    ("roles/healthcare.datasetAdmin", "healthcare.dicomStores.get", False),
    ("roles/storage.objectCreator", "storage.objects.delete", False),
    ("roles/storage.objectAdmin", "storage.objects.delete", True),
    ("roles/bigquery.jobUser", "bigquery.jobs.create", True),
    ("roles/bigquery.dataEditor", "bigquery.jobs.create", False),
    ("roles/bigquery.dataEditor", "bigquery.tables.updateData", True),
    ("roles/bigquery.dataViewer", "bigquery.tables.create", False),
]


@pytest.mark.parametrize(("role", "permission", "held"), SURPRISES)
def test_predefined_roles_hold_what_google_documents(local: Emulator, role: str, permission: str, held: bool) -> None:
    local.iam.set(PROJECT, binding(role, ALICE))
    assert local.iam.allowed(ALICE, permission, PROJECT) is held


def test_a_fresh_grant_takes_its_time_and_an_old_one_stays_effective(local: Emulator) -> None:
    local.iam.set(PROJECT, binding("roles/viewer", ALICE))
    local.settings.iam_propagation_seconds = 3600
    assert not local.iam.allowed(ALICE, "healthcare.datasets.get", PROJECT)
    local.settings.iam_propagation_seconds = 0
    assert local.iam.allowed(ALICE, "healthcare.datasets.get", PROJECT)


def test_nothing_is_checked_when_enforcement_is_off(local: Emulator) -> None:
    local.settings.enforce_iam = False
    assert local.iam.allowed(ALICE, "healthcare.datasets.delete", DATASET, PROJECT)


def test_policies_of_a_deleted_resource_and_below_are_forgotten(local: Emulator) -> None:
    for resource in (PROJECT, DATASET, f"{DATASET}/dicomStores/pacs"):
        local.iam.set(resource, binding("roles/owner", ALICE))
    local.iam.forget(DATASET)
    assert "bindings" not in local.iam.get(DATASET)
    assert "bindings" not in local.iam.get(f"{DATASET}/dicomStores/pacs")
    assert local.iam.get(PROJECT)["bindings"]


def test_every_permission_that_calls_are_checked_for_is_known() -> None:
    apis = "healthcare|bigquery|storage|pubsub|cloudkms|iam|logging|resourcemanager|serviceusage"
    shape = re.compile(rf'"((?:{apis})\.[a-zA-Z]+\.(?!com")[a-zA-Z]+)"')
    package = Path(emulator.__file__).parent
    used = {found[1] for path in package.rglob("*.py") for found in shape.finditer(path.read_text("utf-8"))}
    assert len(used) > 100
    # bigquery.jobs.insert is the name of a method.
    assert used - PERMISSIONS - {"bigquery.jobs.insert"} == set()


def test_a_member_keeps_the_spelling_of_its_kind_and_is_found_in_any_case(local: Emulator) -> None:
    # https://github.com/hashicorp/terraform-provider-google/issues/5646: addresses come back in small letters.
    gone = "deleted:serviceAccount:Old@P.iam.gserviceaccount.com?uid=123"
    subject = "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/subject/Anna"
    local.iam.set(PROJECT, binding("roles/viewer", gone, subject, "user:Alice@Example.org", "domain:Example.com"))
    assert local.iam.get(PROJECT)["bindings"][0]["members"] == [
        "deleted:serviceAccount:old@p.iam.gserviceaccount.com?uid=123",
        "domain:example.com",
        subject,
        ALICE,
    ]
    for who in (ALICE, "user:ALICE@example.org", "user:Bob@EXAMPLE.com", subject):
        assert local.iam.has_role(who, "roles/viewer", PROJECT), who
    for who in (subject.replace("Anna", "anna"), "user:bob@example.com.org"):
        assert not local.iam.has_role(who, "roles/viewer", PROJECT), who
