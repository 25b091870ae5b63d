"""The checks at preview, against policies of the emulator: what the deployer lacks, which grants are missing."""

import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from components.access import deployer
from components.access import external as external_grants
from components.access.google_rest import GoogleRest, RestError
from components.access.needs import Need, needs_of
from components.settings import Settings, settings_from
from emulator.server.server import LocalEmulator
from operations.google.connection import Connection, ConnectionSettings

ALICE = "user:alice@example.org"
LEAST = {
    "project": "hospital-imaging",
    "location": "europe-west4",
    "dataset": {"name": "radiology"},
    "stores": [{"name": "pacs"}],
}
METADATA = {
    "name": "metadata",
    "store": "pacs",
    "to": "bq://research-analytics.dicom.instances",
    "writeDisposition": "WRITE_TRUNCATE",
}

PROJECTS = ("hospital-imaging", "research-analytics")


class Callers:
    """Calls of the emulator as different people."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._all: list[GoogleRest] = []

    def __call__(self, principal: str | None = None, url: str = "") -> GoogleRest:
        token = f"principal:{principal}" if principal else "owner"
        endpoints = dict.fromkeys(("healthcare", "bigquery", "storage", "logging"), url or self._url)
        self._all.append(GoogleRest(Connection(ConnectionSettings(endpoints=endpoints, access_token=token))))
        return self._all[-1]

    def close(self) -> None:
        for each in self._all:
            each.close()


@pytest.fixture
def rest(emulator: LocalEmulator) -> Iterator[Callers]:
    callers = Callers(emulator.url)
    yield callers
    callers.close()


def settings(**more: Any) -> Settings:
    return settings_from({**LEAST, **more})


def grant_on_project(owner: GoogleRest, project: str, *bindings: tuple[str, str]) -> None:
    policy = {"bindings": [{"role": role, "members": [member]} for role, member in bindings]}
    owner.call("cloudresourcemanager", "POST", f"v1/projects/{project}:setIamPolicy", {"policy": policy})


def lacking(wanted: Settings, who: GoogleRest) -> set[str]:
    return {permission for need in asked_as(wanted, who) for permission in need.permissions}


def asked_as(wanted: Settings, who: GoogleRest) -> list[Need]:
    missing, unknown = deployer.missing_permissions(wanted, lambda _: who)
    assert unknown == []
    return missing


class TestTheDeployer:
    def test_a_stranger_lacks_everything(self, rest: Callers) -> None:
        wanted = settings(bigquery=[{"name": "dicom"}], buckets=[{"name": "inbox-bucket"}])
        missing = lacking(wanted, rest(ALICE))
        assert {
            "serviceusage.services.enable",
            "healthcare.datasets.create",
            "healthcare.dicomStores.create",
            "bigquery.datasets.create",
            "storage.buckets.create",
        } <= missing

    def test_the_owner_lacks_nothing(self, rest: Callers) -> None:
        wanted = settings(exports=[METADATA], bigquery=[{"name": "dicom", "project": "research-analytics"}])
        assert lacking(wanted, rest()) == set()

    def test_the_roles_that_the_message_names_are_enough(self, rest: Callers) -> None:
        wanted = settings(
            imports=[{"name": "archive", "store": "pacs", "from": "gs://inbox-bucket/**"}],
            exports=[METADATA],
            bigquery=[{"name": "dicom", "project": "research-analytics"}],
            buckets=[{"name": "inbox-bucket"}],
            topics=[{"name": "dicom"}],
        )
        for project in ("hospital-imaging", "research-analytics"):
            roles = {need.role for need in needs_of(wanted) if need.project == project}
            grant_on_project(rest(), project, *((role, ALICE) for role in roles))
        assert lacking(wanted, rest(ALICE)) == set()

    def test_without_one_of_the_roles_exactly_what_only_it_gives_is_lacking(self, rest: Callers) -> None:
        wanted = settings(
            imports=[{"name": "archive", "store": "pacs", "from": "gs://inbox-bucket/**"}],
            exports=[METADATA],
            bigquery=[{"name": "dicom", "project": "research-analytics"}],
            buckets=[{"name": "inbox-bucket"}],
            topics=[{"name": "dicom"}],
        )
        needs = needs_of(wanted)
        held = {project: {need.role for need in needs if need.project == project} for project in PROJECTS}
        found: dict[tuple[str, str], set[str]] = {}
        for project, roles in held.items():
            grant_on_project(rest(), project, *((role, ALICE) for role in roles))
        for project, roles in held.items():
            for left_out in roles:
                grant_on_project(rest(), project, *((role, ALICE) for role in roles - {left_out}))
                missing = asked_as(wanted, rest(ALICE))
                assert {(need.project, need.role) for need in missing} <= {(project, left_out)}
                found[project, left_out] = {permission for need in missing for permission in need.permissions}
            grant_on_project(rest(), project, *((role, ALICE) for role in roles))
        asked: dict[tuple[str | None, str], set[str]] = {}
        for need in needs:
            asked.setdefault((need.project, need.role), set()).update(need.permissions)
        assert all(permissions <= asked[key] for key, permissions in found.items())
        # Reading a project comes with the roles that change it.
        assert {role for (_, role), permissions in found.items() if not permissions} <= {"roles/browser"}

    @pytest.mark.parametrize(
        ("chosen", "more", "asked"),
        [
            (
                {"file": "gs://filters/ours.txt"},
                {},
                {("bucket", "filters", "storage.objects.get")},
            ),
            (
                {"lines": ["/studies/1.2"]},
                {"filterBucket": "filters"},
                {("bucket", "filters", "storage.objects.get"), ("bucket", "filters", "storage.objects.create")},
            ),
            (
                {"query": "SELECT '/studies/1.2'"},
                {},
                {
                    ("project", "hospital-imaging", f"storage.{each}")
                    for each in ("buckets.create", "buckets.get", "objects.get", "objects.create", "objects.list")
                }
                | {
                    ("project", "hospital-imaging", "storage.objects.delete"),
                    ("project", "hospital-imaging", "bigquery.jobs.create"),
                },
            ),
        ],
    )
    def test_a_filter_needs_its_file_its_bucket_and_its_query(
        self, chosen: dict[str, Any], more: dict[str, Any], asked: set[tuple[str, str, str]]
    ) -> None:
        def needed(**export: Any) -> set[tuple[str, str, str]]:
            wanted = settings(grants="external", exports=[{**METADATA, **export}], **more)
            return {(need.on, need.name, each) for need in needs_of(wanted) for each in need.permissions}

        assert needed(filter=chosen) - needed() == asked

    def test_what_is_lacking_is_said_with_purpose_and_role(self, rest: Callers) -> None:
        held = [(role, ALICE) for role in ("roles/healthcare.dicomStoreAdmin", "roles/browser")]
        grant_on_project(rest(), "hospital-imaging", *held)
        missing, _ = deployer.missing_permissions(settings(enableApis=False), lambda _: rest(ALICE))
        assert deployer.render_refusal(missing).splitlines() == [
            "2 permissions that this stack needs are missing",
            ("  project hospital-imaging: healthcare.datasets.create, healthcare.datasets.update"),
            "    for  Healthcare dataset radiology",
            "    fix  grant this identity roles/healthcare.datasetAdmin there, or another role with these permissions",
            "  To skip this check, set imaging:checkPermissions to false.",
        ]

    def test_a_bucket_that_exists_is_asked_itself(self, rest: Callers) -> None:
        owner = rest()
        owner.call("storage", "POST", "storage/v1/b?project=elsewhere-project", {"name": "inbox-bucket"})
        wanted = settings(
            imports=[{"name": "archive", "store": "pacs", "from": "gs://inbox-bucket/**"}], enableApis=False
        )
        assert "storage.buckets.setIamPolicy" in lacking(wanted, rest(ALICE))

    def test_what_cannot_be_asked_is_not_called_lacking(self, rest: Callers) -> None:
        nobody = rest(url="http://127.0.0.1:9")
        missing, unknown = deployer.missing_permissions(settings(), lambda _: nobody)
        assert missing == []
        assert len(unknown) == 1


class TestExternalGrants:
    @pytest.fixture
    def wanted(self) -> Settings:
        return settings(
            grants="external",
            buckets=[{"name": "out-bucket", "existing": True}],
            exports=[METADATA, {"name": "images", "store": "pacs", "to": "gs://out-bucket/images/"}],
        )

    @pytest.fixture
    def owner(self, rest: Callers) -> GoogleRest:
        owner = rest()
        owner.call("storage", "POST", "storage/v1/b?project=hospital-imaging", {"name": "out-bucket"})
        owner.call(
            "bigquery",
            "POST",
            "bigquery/v2/projects/research-analytics/datasets",
            {"datasetReference": {"datasetId": "dicom"}},
        )
        return owner

    def commands(self, wanted: Settings, owner: GoogleRest) -> list[list[str]]:
        return [shlex.split(each.command) for each in external_grants.missing_grants(wanted, lambda _: owner)]

    def test_every_missing_grant_is_a_command(self, wanted: Settings, owner: GoogleRest) -> None:
        number = owner.call("cloudresourcemanager", "GET", "v1/projects/hospital-imaging")["projectNumber"]
        agent = f"serviceAccount:service-{number}@gcp-sa-healthcare.iam.gserviceaccount.com"

        def on_project(project: str, role: str) -> list[str]:
            command = ["gcloud", "projects", "add-iam-policy-binding", project, "--condition=None"]
            return [*command, "--member", agent, "--role", role]

        bucket = ["gcloud", "storage", "buckets", "add-iam-policy-binding", "gs://out-bucket"]
        sql = f'GRANT `roles/bigquery.dataEditor` ON SCHEMA `research-analytics.dicom` TO "{agent}"'
        assert sorted(self.commands(wanted, owner)) == sorted(
            [
                on_project("hospital-imaging", "roles/healthcare.serviceAgent"),
                on_project("hospital-imaging", "roles/bigquery.jobUser"),
                on_project("research-analytics", "roles/bigquery.jobUser"),
                ["bq", "query", "--project_id=research-analytics", "--nouse_legacy_sql", sql],
                [*bucket, "--member", agent, "--role", "roles/storage.objectAdmin"],
            ]
        )

    def test_grants_that_exist_are_found_on_the_resource_or_its_project(
        self, wanted: Settings, owner: GoogleRest
    ) -> None:
        number = owner.call("cloudresourcemanager", "GET", "v1/projects/hospital-imaging")["projectNumber"]
        email = f"service-{number}@gcp-sa-healthcare.iam.gserviceaccount.com"
        agent = f"serviceAccount:{email}"
        identity = "v1beta1/projects/hospital-imaging/services/healthcare.googleapis.com:generateServiceIdentity"
        owner.call("cloudresourcemanager", "POST", identity)  # the emulator answers for every API at one address
        grant_on_project(
            owner,
            "hospital-imaging",
            ("roles/healthcare.serviceAgent", agent),
            ("roles/bigquery.jobUser", agent),
            ("roles/storage.objectAdmin", agent),
        )
        grant_on_project(owner, "research-analytics", ("roles/bigquery.jobUser", agent))
        path = "bigquery/v2/projects/research-analytics/datasets/dicom?accessPolicyVersion=3"
        access = [{"role": "roles/bigquery.dataEditor", "userByEmail": email}]
        _patch(owner, path, {"access": access})
        assert self.commands(wanted, owner) == []

    def test_a_grant_on_something_that_is_not_there_yet_is_unknown(self, rest: Callers) -> None:
        wanted = settings(exports=[METADATA], grants="external")
        missing = external_grants.missing_grants(wanted, lambda _: rest())
        (tables,) = [each for each in missing if each.grant.target.label == "research-analytics.dicom"]
        assert "Not found: Dataset research-analytics:dicom" in tables.unknown


def _patch(owner: GoogleRest, path: str, body: dict[str, Any]) -> None:
    owner.call("bigquery", "PATCH", path, body)


def test_a_refused_call_tells_status_and_reason(rest: Callers) -> None:
    with pytest.raises(RestError) as refused:
        rest().call("bigquery", "GET", "bigquery/v2/projects/research-analytics/datasets/none")
    assert refused.value.status == 404
