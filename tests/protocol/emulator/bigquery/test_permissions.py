"""Who may do what: grants on datasets, tables and projects, as callers meet them."""

# ruff: noqa: S608 - queries are text

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, Forbidden, MethodNotImplemented
from google.cloud import bigquery

from emulator.server.server import LocalEmulator
from tests.protocol.emulator.bigquery.warehouse import NEVER, PROJECT, TABLE, client_of, fill, rows

ALICE = "user:alice@example.org"
ELSEWHERE = "hospital-imaging"


@pytest.fixture
def owner(emulator: LocalEmulator) -> Iterator[bigquery.Client]:
    made = client_of(emulator)
    fill(made)
    yield made
    made.close()  # type: ignore[no-untyped-call]


@pytest.fixture
def alice(emulator: LocalEmulator, owner: bigquery.Client) -> Iterator[bigquery.Client]:
    # The owner made the table before anybody else comes.
    assert owner.project == PROJECT
    made = client_of(emulator, ALICE)
    yield made
    made.close()  # type: ignore[no-untyped-call]


def grant_project(emulator: LocalEmulator, role: str, project: str = PROJECT, member: str = ALICE) -> None:
    iam = emulator.emulator.iam
    emulator.emulator.projects.use(project)
    policy = iam.get(f"projects/{project}")
    iam.set(f"projects/{project}", {"bindings": [*policy.get("bindings", []), {"role": role, "members": [member]}]})


def grant_dataset(owner: bigquery.Client, role: str, email: str = "alice@example.org") -> None:
    dataset = owner.get_dataset("dicom")
    dataset.access_entries = [*dataset.access_entries, bigquery.AccessEntry(role, "userByEmail", email)]
    owner.update_dataset(dataset, ["access_entries"])


def test_without_job_user_no_query_runs_in_the_project(owner: bigquery.Client, alice: bigquery.Client) -> None:
    grant_dataset(owner, "READER")
    with pytest.raises(
        Forbidden,
        match=r"Access Denied: Project research-analytics: User does not have bigquery\.jobs\.create permission",
    ) as caught:
        rows(alice, "SELECT 1")
    assert caught.value.errors[0]["reason"] == "accessDenied"


def test_without_a_role_on_the_dataset_its_tables_are_denied_whether_they_exist_or_not(
    emulator: LocalEmulator, alice: bigquery.Client
) -> None:
    grant_project(emulator, "roles/bigquery.jobUser")
    for table in ("instances", "nothing"):
        text = (
            rf"Access Denied: Table research-analytics:dicom\.{table}: User does not have permission to query table "
            rf"research-analytics:dicom\.{table}, or perhaps it does not exist"
        )
        with pytest.raises(Forbidden, match=text):
            rows(alice, f"SELECT * FROM dicom.{table}")


def test_a_job_in_one_project_reads_a_dataset_of_another(
    emulator: LocalEmulator, owner: bigquery.Client, alice: bigquery.Client
) -> None:
    grant_project(emulator, "roles/bigquery.jobUser", ELSEWHERE)
    grant_dataset(owner, "roles/bigquery.dataViewer")
    abroad = client_of(emulator, ALICE, ELSEWHERE)
    assert rows(abroad, f"SELECT COUNT(*) AS n FROM `{TABLE}`") == [{"n": 4}]
    with pytest.raises(Forbidden, match="does not have bigquery"):
        rows(alice, f"SELECT COUNT(*) AS n FROM `{TABLE}`")
    abroad.close()  # type: ignore[no-untyped-call]


WRITES = [
    "INSERT dicom.instances (PatientID) VALUES ('x')",
    "DELETE dicom.instances WHERE TRUE",
    "CREATE TABLE dicom.t AS SELECT 1 AS x",
    "DROP TABLE dicom.instances",
    "ALTER TABLE dicom.instances ADD COLUMN x INT64",
    "CREATE VIEW dicom.v AS SELECT PatientID FROM dicom.instances",
    "TRUNCATE TABLE dicom.instances",
    "CREATE SCHEMA other",
    "DROP SCHEMA dicom CASCADE",
]


@pytest.mark.parametrize("sql", WRITES)
def test_a_reader_changes_nothing(
    emulator: LocalEmulator, owner: bigquery.Client, alice: bigquery.Client, sql: str
) -> None:
    grant_project(emulator, "roles/bigquery.jobUser")
    grant_dataset(owner, "READER")
    assert rows(alice, "SELECT COUNT(*) AS n FROM dicom.instances") == [{"n": 4}]
    with pytest.raises(Forbidden, match="Access Denied"):
        rows(alice, sql)
    assert rows(owner, "SELECT COUNT(*) AS n FROM dicom.instances") == [{"n": 4}]


def test_an_editor_changes_rows_and_tables_but_not_the_dataset(
    emulator: LocalEmulator, owner: bigquery.Client, alice: bigquery.Client
) -> None:
    grant_project(emulator, "roles/bigquery.jobUser")
    grant_dataset(owner, "WRITER")
    rows(alice, "INSERT dicom.instances (PatientID) VALUES ('x')")
    rows(alice, "CREATE TABLE dicom.t AS SELECT 1 AS x")
    assert alice.insert_rows_json(TABLE, [{"PatientID": "y"}]) == []
    dataset = alice.get_dataset("dicom")
    dataset.description = "mine"
    with pytest.raises(Forbidden):
        alice.update_dataset(dataset, ["description"])


def test_the_results_of_a_query_are_its_owners(
    emulator: LocalEmulator, owner: bigquery.Client, alice: bigquery.Client
) -> None:
    grant_project(emulator, "roles/bigquery.user")
    job = owner.query("SELECT 1 AS secret")
    job.result()
    with pytest.raises(Forbidden):
        alice.get_job(job.job_id)
    assert job.destination is not None
    with pytest.raises(Forbidden):
        list(alice.list_rows(job.destination, selected_fields=[bigquery.SchemaField("secret", "INTEGER")], retry=NEVER))
    assert list(alice.list_jobs()) == []


def test_a_view_gives_away_nothing_unless_it_is_authorized(
    emulator: LocalEmulator, owner: bigquery.Client, alice: bigquery.Client
) -> None:
    grant_project(emulator, "roles/bigquery.jobUser")
    owner.create_dataset("shared")
    rows(owner, "CREATE VIEW shared.studies AS SELECT DISTINCT StudyInstanceUID FROM dicom.instances")
    shared = owner.get_dataset("shared")
    shared.access_entries = [*shared.access_entries, bigquery.AccessEntry("READER", "userByEmail", "alice@example.org")]
    owner.update_dataset(shared, ["access_entries"])
    with pytest.raises(Forbidden, match=r"Table research-analytics:dicom\.instances"):
        rows(alice, "SELECT * FROM shared.studies")
    dataset = owner.get_dataset("dicom")
    view = {"projectId": PROJECT, "datasetId": "shared", "tableId": "studies"}
    dataset.access_entries = [*dataset.access_entries, bigquery.AccessEntry(None, "view", view)]
    owner.update_dataset(dataset, ["access_entries"])
    assert len(rows(alice, "SELECT * FROM shared.studies")) == 2
    with pytest.raises(Forbidden):
        rows(alice, "SELECT * FROM dicom.instances")


def test_a_policy_on_a_table_grants_that_table_alone(
    emulator: LocalEmulator, owner: bigquery.Client, alice: bigquery.Client
) -> None:
    grant_project(emulator, "roles/bigquery.jobUser")
    rows(owner, "CREATE TABLE dicom.other AS SELECT 1 AS x")
    policy = owner.get_iam_policy(TABLE)
    policy.bindings = [{"role": "roles/bigquery.dataViewer", "members": {ALICE}}]
    owner.set_iam_policy(TABLE, policy)
    assert rows(alice, "SELECT COUNT(*) AS n FROM dicom.instances") == [{"n": 4}]
    with pytest.raises(Forbidden):
        rows(alice, "SELECT * FROM dicom.other")
    held = alice.test_iam_permissions(TABLE, ["bigquery.tables.getData", "bigquery.tables.update"])
    assert held["permissions"] == ["bigquery.tables.getData"]


def test_a_grant_takes_as_long_as_the_settings_say(
    emulator: LocalEmulator, owner: bigquery.Client, alice: bigquery.Client
) -> None:
    grant_project(emulator, "roles/bigquery.jobUser")
    emulator.control("PATCH", "settings", {"iamPropagationSeconds": 3600})
    grant_dataset(owner, "READER")
    emulator.control("PATCH", "settings", {"iamPropagationSeconds": 0})
    assert rows(alice, "SELECT COUNT(*) AS n FROM dicom.instances") == [{"n": 4}]
    emulator.control("PATCH", "settings", {"iamPropagationSeconds": 3600})
    with pytest.raises(Forbidden):
        rows(alice, "SELECT COUNT(*) AS n FROM dicom.instances")


BAD_ENTRIES: list[dict[str, Any]] = [
    {"role": "READER"},
    {"userByEmail": "a@b.org"},
    {"role": "KING", "userByEmail": "a@b.org"},
    {"role": "READER", "specialGroup": "everybody"},
    {"role": "READER", "userByEmail": "a@b.org", "domain": "b.org"},
]


@pytest.mark.parametrize("entry", BAD_ENTRIES)
def test_an_access_entry_that_grants_nothing_to_nobody_is_refused(
    owner: bigquery.Client, entry: dict[str, Any]
) -> None:
    dataset = owner.get_dataset("dicom")
    dataset._properties["access"] = [entry]
    with pytest.raises(BadRequest):
        owner.update_dataset(dataset, ["access_entries"], retry=NEVER)


# https://cloud.google.com/bigquery/docs/reference/standard-sql/data-control-language


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (
            'GRANT `roles/bigquery.dataViewer` ON TABLE dicom.instances TO "user:a@example.org"',
            "on anything but a SCHEMA",
        ),
        ('GRANT `roles/bigquery.dataViewer` ON SCHEMA dicom TO "a@example.org"', "Invalid principal: a@example.org"),
        ('GRANT `nonsense` ON SCHEMA dicom TO "user:a@example.org"', "Invalid value for role: nonsense"),
    ],
)
def test_a_grant_that_can_not_be_made_is_refused(owner: bigquery.Client, statement: str, told: str) -> None:
    with pytest.raises((BadRequest, MethodNotImplemented), match=told):
        rows(owner, statement)


def test_grants_in_sql_need_the_right_to_change_the_dataset(
    emulator: LocalEmulator, owner: bigquery.Client, alice: bigquery.Client
) -> None:
    grant_project(emulator, "roles/bigquery.jobUser")
    grant_dataset(owner, "WRITER")
    with pytest.raises(Forbidden, match=r"bigquery\.datasets\.update"):
        rows(alice, 'GRANT `roles/bigquery.dataOwner` ON SCHEMA dicom TO "user:alice@example.org"')


def test_grants_in_sql_give_and_take_roles_on_a_dataset(
    emulator: LocalEmulator, owner: bigquery.Client, alice: bigquery.Client
) -> None:
    grant_project(emulator, "roles/bigquery.jobUser")
    with pytest.raises(Forbidden):
        rows(alice, f"SELECT * FROM `{TABLE}`")
    members = f'"{ALICE}", "group:research@example.org"'
    job = owner.query(f"GRANT `roles/bigquery.dataViewer` ON SCHEMA `{PROJECT}.dicom` TO {members}")
    job.result()
    assert job.statement_type == "GRANT_ON_SCHEMA"
    assert rows(alice, f"SELECT COUNT(*) FROM `{TABLE}`")
    granted = {entry.entity_id: entry.role for entry in owner.get_dataset("dicom").access_entries}
    assert granted["alice@example.org"] == granted["research@example.org"] == "READER"
    rows(owner, f"REVOKE `roles/bigquery.dataViewer` ON SCHEMA `{PROJECT}.dicom` FROM {members}")
    with pytest.raises(Forbidden):
        rows(alice, f"SELECT * FROM `{TABLE}`")
