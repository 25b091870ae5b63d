"""Customer-managed keys of buckets, BigQuery datasets and tables, and topics.

What each service asks of the key: https://cloud.google.com/storage/docs/encryption/using-customer-managed-keys,
https://cloud.google.com/bigquery/docs/customer-managed-encryption, https://cloud.google.com/pubsub/docs/encryption.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom.data
import pytest

from emulator.core.projects import project_number
from emulator.server.server import LocalEmulator

Rest = Callable[..., Any]

PROJECT, KEYS = "hospital-imaging", "keys-of-ours"
NUMBER = project_number(PROJECT)
# https://cloud.google.com/iam/docs/service-agents
AGENTS = {
    "storage": f"service-{NUMBER}@gs-project-accounts.iam.gserviceaccount.com",
    "bigquery": f"bq-{NUMBER}@bigquery-encryption.iam.gserviceaccount.com",
    "pubsub": f"service-{NUMBER}@gcp-sa-pubsub.iam.gserviceaccount.com",
}
ROLE = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
TOPIC = f"/v1/projects/{PROJECT}/topics/dicom"
SUBSCRIPTION = f"/v1/projects/{PROJECT}/subscriptions/all"
BIGQUERY = f"/bigquery/v2/projects/{PROJECT}"
MESSAGE = {"messages": [{"data": "YQ=="}]}


def key_in(location: str) -> str:
    return f"projects/{KEYS}/locations/{location}/keyRings/ring/cryptoKeys/key"


@pytest.fixture
def make_key(rest: Rest) -> Callable[[str], str]:
    def make(location: str) -> str:
        place = f"/v1/projects/{KEYS}/locations/{location}/keyRings"
        assert rest("POST", f"{place}?keyRingId=ring", {}).status == 200
        created = rest("POST", f"{place}/ring/cryptoKeys?cryptoKeyId=key", {"purpose": "ENCRYPT_DECRYPT"})
        assert created.json["name"] == key_in(location)
        return key_in(location)

    return make


@pytest.fixture
def allow(emulator: LocalEmulator) -> Callable[..., None]:
    """Let these services' agents use a key, and nobody else."""

    def grant(key: str, *services: str) -> None:
        members = [f"serviceAccount:{AGENTS[service]}" for service in services]
        emulator.emulator.iam.set(key, {"bindings": [{"role": ROLE, "members": members}]})

    return grant


#: How a key is spoilt and mended again, and the status of what needs it meanwhile.
Change = tuple[Callable[[], None], Callable[[], None], int]


def switch(rest: Rest, key: str, state: str) -> None:
    changed = rest("PATCH", f"/v1/{key}/cryptoKeyVersions/1?updateMask=state", {"state": state})
    assert changed.json["state"] == state


# --- Cloud Storage


def bucket_body(key: str, name: str = "inbox", location: str = "EU") -> dict[str, Any]:
    return {"name": name, "location": location, "encryption": {"defaultKmsKeyName": key}}


def test_a_bucket_is_refused_a_key_that_is_malformed_elsewhere_or_not_granted(
    rest: Rest, make_key: Callable[[str], str], allow: Callable[..., None]
) -> None:
    create = f"/storage/v1/b?project={PROJECT}"
    assert "Invalid Cloud KMS key name" in rest("POST", create, bucket_body("key")).message
    key = make_key("europe")
    elsewhere = rest("POST", create, bucket_body(key, location="US"))
    assert elsewhere.status == 400
    assert elsewhere.message == "Cloud KMS region 'europe' not available for use with GCS region 'US'."
    allow(key, "bigquery", "pubsub")
    denied = rest("POST", create, bucket_body(key))
    assert (denied.status, denied.reason) == (403, "forbidden")
    assert "ensure that your Cloud Storage service account has been authorized to use this key" in denied.message
    assert AGENTS["storage"] in denied.message
    allow(key, "storage")
    assert rest("POST", create, bucket_body(key)).json["encryption"] == {"defaultKmsKeyName": key}
    assert rest("POST", create, bucket_body(key + "2", "other")).status == 403


def test_objects_of_a_bucket_with_a_key_are_neither_written_nor_read_without_it(
    rest: Rest, make_key: Callable[[str], str], allow: Callable[..., None]
) -> None:
    key = make_key("europe-west4")
    allow(key, "storage")
    rest("POST", f"/storage/v1/b?project={PROJECT}", bucket_body(key, location="europe-west4"))
    upload, read = "/upload/storage/v1/b/inbox/o?uploadType=media&name=", "/storage/v1/b/inbox/o/a.dcm"
    assert rest("POST", f"{upload}a.dcm", b"abc").json["kmsKeyName"] == f"{key}/cryptoKeyVersions/1"
    assert rest("GET", f"{read}?alt=media").body == b"abc"
    changes: list[Change] = [
        (lambda: allow(key), lambda: allow(key, "storage"), 403),
        (lambda: switch(rest, key, "DISABLED"), lambda: switch(rest, key, "ENABLED"), 400),
    ]
    for spoil, mend, status in changes:
        spoil()
        for answer in (
            rest("GET", f"{read}?alt=media"),
            rest("POST", f"{upload}b.dcm", b"abc"),
            rest("POST", f"{upload}b.dcm".replace("media", "resumable"), {}),
            rest("POST", f"{read}/copyTo/b/inbox/o/c.dcm", {}),
            rest("POST", "/storage/v1/b/inbox/o/d.dcm/compose", {"sourceObjects": [{"name": "a.dcm"}]}),
        ):
            assert answer.status == status
            assert key in answer.message
        assert rest("GET", read).status == 200
        mend()
        assert rest("GET", f"{read}?alt=media").body == b"abc"
    assert [one["name"] for one in rest("GET", "/storage/v1/b/inbox/o").json["items"]] == ["a.dcm"]


def test_an_object_keeps_the_version_that_encrypted_it(
    rest: Rest, make_key: Callable[[str], str], allow: Callable[..., None]
) -> None:
    key = make_key("europe")
    allow(key, "storage")
    rest("POST", f"/storage/v1/b?project={PROJECT}", {"name": "inbox", "location": "EU"})
    upload = "/upload/storage/v1/b/inbox/o?uploadType=media&name="
    assert "kmsKeyName" not in rest("POST", f"{upload}plain.dcm", b"abc").json
    assert rest("POST", f"{upload}a.dcm&kmsKeyName={key}", b"abc").json["kmsKeyName"] == f"{key}/cryptoKeyVersions/1"
    rest("POST", f"/v1/{key}/cryptoKeyVersions", {})
    rest("POST", f"/v1/{key}:updatePrimaryVersion", {"cryptoKeyVersionId": "2"})
    assert rest("POST", f"{upload}b.dcm&kmsKeyName={key}", b"abc").json["kmsKeyName"] == f"{key}/cryptoKeyVersions/2"
    rest("POST", f"/v1/{key}/cryptoKeyVersions/1:destroy", {})
    gone = rest("GET", "/storage/v1/b/inbox/o/a.dcm?alt=media")
    assert gone.status == 400
    assert f"{key}/cryptoKeyVersions/1 is not enabled, current state is: DESTROY_SCHEDULED" in gone.message
    for name in ("b.dcm", "plain.dcm"):
        assert rest("GET", f"/storage/v1/b/inbox/o/{name}?alt=media").body == b"abc"


# --- BigQuery


def dataset_body(name: str, key: str, location: str = "EU") -> dict[str, Any]:
    default = {"kmsKeyName": key}
    return {"datasetReference": {"datasetId": name}, "location": location, "defaultEncryptionConfiguration": default}


def table_body(name: str, **more: Any) -> dict[str, Any]:
    schema = {"fields": [{"name": "x", "type": "INTEGER"}]}
    return {"tableReference": {"tableId": name}, "schema": schema, **more}


def query(rest: Rest, text: str) -> Any:
    return rest("POST", f"{BIGQUERY}/queries", {"query": text, "useLegacySql": False})


def test_the_encryption_account_needs_the_key_when_a_table_is_made(
    rest: Rest, make_key: Callable[[str], str], allow: Callable[..., None]
) -> None:
    assert rest("POST", f"{BIGQUERY}/datasets", dataset_body("d", "key")).status == 400
    assert "europe" in rest("POST", f"{BIGQUERY}/datasets", dataset_body("d", key_in("us"))).message
    key = make_key("europe")
    # The dataset itself asks nothing of the key.
    assert rest("POST", f"{BIGQUERY}/datasets", dataset_body("d", key)).status == 200
    allow(key, "storage")
    for denied in (
        rest("POST", f"{BIGQUERY}/datasets/d/tables", table_body("t")),
        query(rest, "CREATE TABLE d.t AS SELECT 1 AS x"),
    ):
        assert (denied.status, denied.reason) == (403, "accessDenied")
        assert denied.message == (
            "Access Denied: BigQuery BigQuery: Cloud KMS Error: Permission 'cloudkms.cryptoKeyVersions.useToEncrypt' "
            f"denied on resource '{key}' (or it may not exist). Please grant Cloud KMS CryptoKey Encrypter/Decrypter "
            f"role to BigQuery service account: {AGENTS['bigquery']}"
        )
    assert "tables" not in rest("GET", f"{BIGQUERY}/datasets/d/tables").json
    allow(key, "bigquery")
    created = rest("POST", f"{BIGQUERY}/datasets/d/tables", table_body("t"))
    assert created.json["encryptionConfiguration"] == {"kmsKeyName": key}
    assert rest("GET", f"{BIGQUERY}/serviceAccount").json["email"] == AGENTS["bigquery"]


def test_rows_are_neither_written_nor_read_without_the_tables_key(
    rest: Rest, make_key: Callable[[str], str], allow: Callable[..., None]
) -> None:
    key = make_key("europe")
    allow(key, "bigquery")
    rest("POST", f"{BIGQUERY}/datasets", {"datasetReference": {"datasetId": "d"}, "location": "EU"})
    body = table_body("t", encryptionConfiguration={"kmsKeyName": key})
    assert rest("POST", f"{BIGQUERY}/datasets/d/tables", body).status == 200
    assert query(rest, "INSERT INTO d.t VALUES (1)").status == 200
    table = f"{BIGQUERY}/datasets/d/tables/t"
    changes: list[Change] = [
        (lambda: allow(key), lambda: allow(key, "bigquery"), 403),
        (lambda: switch(rest, key, "DISABLED"), lambda: switch(rest, key, "ENABLED"), 400),
    ]
    for spoil, mend, status in changes:
        spoil()
        for answer in (
            query(rest, "SELECT * FROM d.t"),
            query(rest, "INSERT INTO d.t VALUES (2)"),
            rest("GET", f"{table}/data"),
            rest("POST", f"{table}/insertAll", {"rows": [{"json": {"x": 3}}]}),
        ):
            assert answer.status == status
            assert "Cloud KMS Error" in answer.message
        assert rest("GET", table).status == 200
        mend()
        assert query(rest, "SELECT * FROM d.t").json["totalRows"] == "1"


def test_a_job_says_which_key_its_destination_has(
    rest: Rest, make_key: Callable[[str], str], allow: Callable[..., None]
) -> None:
    key, other = make_key("europe"), key_in("europe") + "-2"
    rest("POST", f"/v1/{key.partition('/cryptoKeys/')[0]}/cryptoKeys?cryptoKeyId=key-2", {"purpose": "ENCRYPT_DECRYPT"})
    allow(key, "bigquery")
    allow(other, "bigquery")
    rest("POST", f"{BIGQUERY}/datasets", {"datasetReference": {"datasetId": "d"}, "location": "EU"})

    def job(key: str, disposition: str) -> Any:
        destination = {"projectId": PROJECT, "datasetId": "d", "tableId": "t"}
        made = {
            "query": "SELECT 1 AS x",
            "useLegacySql": False,
            "destinationTable": destination,
            "writeDisposition": disposition,
            "destinationEncryptionConfiguration": {"kmsKeyName": key},
        }
        return rest("POST", f"{BIGQUERY}/jobs", {"configuration": {"query": made}}).json["status"].get("errorResult")

    assert job(key, "WRITE_EMPTY") is None
    assert rest("GET", f"{BIGQUERY}/datasets/d/tables/t").json["encryptionConfiguration"] == {"kmsKeyName": key}
    assert "can't be appended" in job(other, "WRITE_APPEND")["message"]
    assert job(other, "WRITE_TRUNCATE") is None
    assert rest("GET", f"{BIGQUERY}/datasets/d/tables/t").json["encryptionConfiguration"] == {"kmsKeyName": other}
    assert query(rest, f"CREATE TABLE d.u (x INT64) OPTIONS (kms_key_name = '{key}')").status == 200
    assert rest("GET", f"{BIGQUERY}/datasets/d/tables/u").json["encryptionConfiguration"] == {"kmsKeyName": key}


# --- Pub/Sub


def test_a_topic_is_refused_a_key_that_its_agent_may_not_use(
    rest: Rest, make_key: Callable[[str], str], allow: Callable[..., None]
) -> None:
    key = make_key("global")
    assert "kms_key_name" in rest("PUT", TOPIC, {"kmsKeyName": "key"}).message
    allow(key, "storage", "bigquery")
    denied = rest("PUT", TOPIC, {"kmsKeyName": key})
    assert (denied.status, denied.json["error"]["status"]) == (400, "FAILED_PRECONDITION")
    assert denied.message == (
        "Cloud Pub/Sub did not have the necessary permissions configured to support this operation. Please verify that "
        f"the service account {AGENTS['pubsub']} was granted the Cloud KMS CryptoKey Encrypter/Decrypter role for the "
        f"project containing the CryptoKey resource {key}."
    )
    assert rest("GET", TOPIC).status == 404
    assert rest("PUT", TOPIC, {}).status == 200
    change = {"topic": {"kmsKeyName": key}, "updateMask": "kmsKeyName"}
    assert rest("PATCH", TOPIC, change).status == 400
    allow(key, "pubsub")
    assert rest("PATCH", TOPIC, change).json["kmsKeyName"] == key


def test_messages_are_neither_published_nor_delivered_without_the_topics_key(
    rest: Rest, make_key: Callable[[str], str], allow: Callable[..., None]
) -> None:
    key = make_key("global")
    allow(key, "pubsub")
    rest("PUT", TOPIC, {"kmsKeyName": key})
    rest("PUT", SUBSCRIPTION, {"topic": TOPIC.removeprefix("/v1/")})
    assert rest("POST", f"{TOPIC}:publish", MESSAGE).status == 200
    pull = {"maxMessages": 1, "returnImmediately": True}
    changes: list[Change] = [
        (lambda: allow(key), lambda: allow(key, "pubsub"), 400),
        (lambda: switch(rest, key, "DISABLED"), lambda: switch(rest, key, "ENABLED"), 400),
    ]
    for spoil, mend, status in changes:
        spoil()
        for answer in (rest("POST", f"{TOPIC}:publish", MESSAGE), rest("POST", f"{SUBSCRIPTION}:pull", pull)):
            assert (answer.status, answer.json["error"]["status"]) == (status, "FAILED_PRECONDITION")
            assert key in answer.message
        mend()
    assert len(rest("POST", f"{SUBSCRIPTION}:pull", pull).json["receivedMessages"]) == 1


# --- Cloud Healthcare, as a writer and reader of them


def test_imports_and_exports_fail_where_the_bucket_or_the_table_has_lost_its_key(
    emulator: LocalEmulator, rest: Rest, make_key: Callable[[str], str], allow: Callable[..., None]
) -> None:
    key = make_key("europe")
    allow(key, "storage", "bigquery")
    rest("POST", f"/storage/v1/b?project={PROJECT}", bucket_body(key))
    rest("POST", f"{BIGQUERY}/datasets", dataset_body("d", key))
    data = (Path(pydicom.data.__file__).parent / "test_files" / "CT_small.dcm").read_bytes()
    rest("POST", "/upload/storage/v1/b/inbox/o?uploadType=media&name=a.dcm", data)
    place = f"/v1/projects/{PROJECT}/locations/eu/datasets"
    rest("POST", f"{place}?datasetId=radiology", {})
    store = f"{place}/radiology/dicomStores/pacs"
    rest("POST", f"{place}/radiology/dicomStores?dicomStoreId=pacs", {})
    agent = f"serviceAccount:service-{NUMBER}@gcp-sa-healthcare.iam.gserviceaccount.com"
    roles = ("roles/storage.objectAdmin", "roles/bigquery.dataEditor", "roles/bigquery.jobUser")
    granted = [{"role": role, "members": [agent]} for role in roles]
    emulator.emulator.iam.set(f"projects/{PROJECT}", {"bindings": granted})

    def run(verb: str, body: dict[str, Any]) -> dict[str, Any]:
        operation: dict[str, Any] = rest("POST", f"{store}:{verb}", body).json
        deadline = time.monotonic() + 30
        while not operation.get("done"):
            assert time.monotonic() < deadline
            operation = rest("GET", f"/v1/{operation['name']}").json
        return operation

    work = (
        ("import", {"gcsSource": {"uri": "gs://inbox/*"}}),
        ("export", {"bigqueryDestination": {"tableUri": f"bq://{PROJECT}.d.t", "force": True}}),
        ("export", {"gcsDestination": {"uriPrefix": "gs://inbox/out"}}),
    )
    for verb, body in work:
        assert "error" not in run(verb, body)
    allow(key)
    for verb, body in work:
        done = run(verb, body)
        assert "error" in done or done["metadata"]["counter"]["failure"] == "1", (verb, body)
    asked = {"resourceNames": [f"projects/{PROJECT}"], "filter": 'severity="ERROR"'}
    said = str(rest("POST", "/v2/entries:list", asked).json)
    assert key in said
    assert AGENTS["storage"] in said
