"""What a whole configuration declares, in which order, through which provider."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.access.checks import apis_by_project
from components.settings import Settings, settings_from
from components.stack import Imaging

yaml: Any = importlib.import_module("yaml")  # it has no type stubs
Run = Callable[..., Any]

LEAST = {"project": "hospital-imaging", "location": "europe-west4", "dataset": {"name": "radiology"}}
ARCHIVE = {"name": "archive", "store": "pacs", "from": "gs://hospital-dicom-inbox/**.dcm"}
METADATA = {
    "name": "metadata",
    "store": "pacs",
    "to": "bq://research-analytics.dicom.instances",
    "writeDisposition": "WRITE_TRUNCATE",
}
IMAGES = {"name": "images", "store": "pacs", "to": "gs://hospital-dicom-out/images/"}
TABLES = {"name": "dicom", "project": "research-analytics", "location": "EU"}
KEY = "projects/keys-project/locations/europe-west4/keyRings/imaging/cryptoKeys/images"

STARTED = "pulumi-python:dynamic/imaging:StartedOperation"
IAM_TYPES = (
    "gcp:projects/iAMMember:IAMMember",
    "gcp:bigquery/datasetIamMember:DatasetIamMember",
    "gcp:storage/bucketIAMMember:BucketIAMMember",
    "gcp:pubsub/topicIAMMember:TopicIAMMember",
    "gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember",
    "gcp:healthcare/datasetIamMember:DatasetIamMember",
    "gcp:healthcare/dicomStoreIamMember:DicomStoreIamMember",
)


def settings(**more: Any) -> Settings:
    return settings_from({**LEAST, "stores": [{"name": "pacs"}], **more})


def declare(**more: Any) -> Callable[[], Any]:
    wanted = settings(**more)
    return lambda: Imaging(wanted).outputs["access"]


def test_the_least_stack_is_a_dataset_and_its_api(run: Run) -> None:
    program = run(lambda: Imaging(settings_from(LEAST)).outputs["dataset"])
    assert program.result == "projects/hospital-imaging/locations/europe-west4/datasets/radiology"
    assert {each.inputs["service"] for each in program.all("gcp:projects/service:Service")} == {
        "cloudresourcemanager.googleapis.com",
        "serviceusage.googleapis.com",
        "healthcare.googleapis.com",
    }
    assert [each.name for kind in IAM_TYPES for each in program.all(kind)] == []


def test_what_is_declared_and_granted_is_what_the_grants_table_says(run: Run) -> None:
    program = run(declare(imports=[ARCHIVE], exports=[METADATA, IMAGES], bigquery=[TABLES]))
    declared = {each.name for kind in IAM_TYPES for each in program.all(kind)}
    assert declared == {
        "agent-acts-in-hospital-imaging",
        "agent-runs-jobs-in-hospital-imaging",
        "agent-runs-jobs-in-research-analytics",
        "agent-writes-research-analytics.dicom",
        "agent-reads-hospital-dicom-inbox",
        "agent-writes-hospital-dicom-out",
    }
    assert len(program.result) == len(declared)
    (entry,) = [each for each in program.result if each["resource"] == "BigQuery dataset research-analytics.dicom"]
    assert entry == {
        "member": "serviceAccount:service-4711@gcp-sa-healthcare.iam.gserviceaccount.com",
        "role": "roles/bigquery.dataEditor",
        "resource": "BigQuery dataset research-analytics.dicom",
        "project": "research-analytics",
        "reason": "export metadata writes instances",
    }


def test_a_bucket_that_is_used_but_not_declared_is_granted_on_and_not_created(run: Run) -> None:
    program = run(declare(imports=[ARCHIVE]))
    assert program.all("gcp:storage/bucket:Bucket") == []
    assert program.one("gcp:storage/bucketIAMMember:BucketIAMMember").inputs["bucket"] == "hospital-dicom-inbox"


def test_grants_come_before_the_operations_that_need_them(run: Run) -> None:
    program = run(declare(imports=[ARCHIVE], exports=[METADATA], bigquery=[TABLES]))
    started = {each.name: each.after for each in program.all(STARTED)}
    assert {"agent-reads-hospital-dicom-inbox", "agent-acts-in-hospital-imaging", "pacs"} <= started["archive"]
    assert {
        "agent-writes-research-analytics.dicom",
        "agent-runs-jobs-in-research-analytics",
        "research-analytics.dicom",
        "pacs",
    } <= started["metadata"]


def test_imports_come_before_the_exports_of_the_same_store_only(run: Run) -> None:
    other = {**METADATA, "name": "elsewhere", "store": "other", "to": "bq://research-analytics.dicom.other"}
    program = run(declare(stores=[{"name": "pacs"}, {"name": "other"}], imports=[ARCHIVE], exports=[METADATA, other]))
    started = {each.name: each.after for each in program.all(STARTED)}
    assert "archive" in started["metadata"]
    assert "archive" not in started["elsewhere"]


def test_an_export_knows_the_earlier_ones_that_replace_the_rows_of_its_table(run: Run) -> None:
    more = {**METADATA, "name": "more", "writeDisposition": "WRITE_APPEND"}
    exports = [METADATA, more, {**more, "name": "most"}, {**METADATA, "name": "other", "to": f"{METADATA['to']}2"}]
    program = run(declare(exports=[*exports, IMAGES]))
    writers = {each.name: each.inputs.get("writers") for each in program.all(STARTED)}
    replaced = {"metadata": "the last run of metadata"}
    # An export that adds rows removes none: "most" need not know "more".
    assert writers == {"metadata": None, "more": replaced, "most": replaced, "other": None, "images": None}


def test_exports_to_one_table_run_one_after_the_other(run: Run) -> None:
    again = {**METADATA, "name": "again", "writeDisposition": "WRITE_APPEND"}
    program = run(declare(exports=[METADATA, again]))
    started = {each.name: each.after for each in program.all(STARTED)}
    assert "metadata" in started["again"]
    assert "again" not in started["metadata"]


def test_exports_to_different_tables_do_not_wait_for_each_other(run: Run) -> None:
    other = {**METADATA, "name": "other", "to": "bq://research-analytics.dicom.other"}
    started = {each.name: each.after for each in run(declare(exports=[METADATA, other])).all(STARTED)}
    assert "metadata" not in started["other"]


def test_a_dataset_waits_for_the_grant_on_its_key(run: Run) -> None:
    program = run(declare(dataset={"name": "radiology", "kmsKey": KEY}))
    grant = program.one("gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember")
    assert grant.inputs["cryptoKeyId"] == KEY
    assert grant.name in program.one("gcp:healthcare/dataset:Dataset").after


def test_a_store_waits_for_the_grants_of_its_streams_and_topics(run: Run) -> None:
    store = {
        "name": "pacs",
        "streams": [{"table": "bq://research-analytics.dicom.stream"}],
        "notifications": [{"topic": "projects/hospital-imaging/topics/dicom", "bulkImports": True}],
    }
    program = run(declare(stores=[store], bigquery=[TABLES], topics=[{"name": "dicom"}]))
    after = program.one("gcp:healthcare/dicomStore:DicomStore").after
    assert {"agent-writes-research-analytics.dicom", "agent-publishes-to-hospital-imaging.dicom"} <= after
    assert "hospital-imaging.dicom" in program.one("gcp:pubsub/topicIAMMember:TopicIAMMember").after


def test_readers_and_writers_are_granted_once_the_store_exists(run: Run) -> None:
    store = {"name": "pacs", "readers": ["group:radiologists@example.org"]}
    grant = run(declare(stores=[store])).one("gcp:healthcare/dicomStoreIamMember:DicomStoreIamMember")
    assert grant.name == "group:radiologists@example.org-reads-hospital-imaging.europe-west4.radiology.pacs"
    assert grant.inputs["role"] == "roles/healthcare.dicomViewer"
    assert "pacs" in grant.after


def test_protection_reaches_everything_that_holds_data(run: Run) -> None:
    holders = (
        "gcp:healthcare/dataset:Dataset",
        "gcp:healthcare/dicomStore:DicomStore",
        "gcp:bigquery/dataset:Dataset",
        "gcp:storage/bucket:Bucket",
    )
    more: dict[str, Any] = {"bigquery": [TABLES], "buckets": [{"name": "hospital-dicom-out"}]}
    for protect in (True, False):
        program = run(declare(**more, deletionProtection=protect))
        assert {kind: program.one(kind).protect for kind in holders} == dict.fromkeys(holders, protect)


def test_a_filter_by_lines_makes_a_private_bucket_whose_files_expire(run: Run) -> None:
    program = run(declare(exports=[{**IMAGES, "filter": {"lines": ["/studies/1.2.3"]}}]))
    bucket = program.one("gcp:storage/bucket:Bucket")
    name = bucket.inputs["name"]
    assert name.startswith("hospital-imaging-")
    assert bucket.inputs["publicAccessPrevention"] == "enforced"
    assert bucket.inputs["lifecycleRules"] == [{"action": {"type": "Delete"}, "condition": {"age": 30}}]
    assert not bucket.protect
    assert f"agent-reads-{name}" in program.one(STARTED, "images").after


def test_a_filter_file_of_ones_own_makes_no_bucket(run: Run) -> None:
    program = run(declare(exports=[{**IMAGES, "filter": {"file": "gs://filters/ours.txt"}}]))
    assert program.all("gcp:storage/bucket:Bucket") == []


def test_views_come_after_the_export(run: Run) -> None:
    program = run(declare(exports=[{**METADATA, "views": True}], bigquery=[TABLES]))
    views = program.all("gcp:bigquery/table:Table")
    assert {each.inputs["project"] for each in views} == {"research-analytics"}
    assert all("metadata" in each.after for each in views)


def test_everything_goes_to_the_emulator_when_an_endpoint_is_set(run: Run) -> None:
    program = run(declare(imports=[ARCHIVE], bigquery=[TABLES], endpoint="http://127.0.0.1:8085"))
    provider, other = program.all("pulumi:providers:gcp")
    assert {provider.name, other.name} == {"google-hospital-imaging", "google-research-analytics"}
    assert provider.inputs["healthcareCustomEndpoint"] == "http://127.0.0.1:8085/v1beta1/"
    assert provider.inputs["bigQueryCustomEndpoint"] == "http://127.0.0.1:8085/bigquery/v2/"
    assert provider.inputs["storageCustomEndpoint"] == "http://127.0.0.1:8085/storage/v1/"
    assert provider.inputs["serviceUsageCustomEndpoint"] == "http://127.0.0.1:8085/v1beta1/"
    others = [each for each in program.declared if each.type.startswith("gcp:")]
    assert {each.provider for each in others} == {"google-hospital-imaging", "google-research-analytics"}
    assert program.one(STARTED).inputs["endpoint"] == "http://127.0.0.1:8085"


def test_another_account_for_another_project(run: Run) -> None:
    account = "deployer@research-analytics.iam.gserviceaccount.com"
    program = run(declare(bigquery=[TABLES], projects=[{"name": "research-analytics", "impersonate": account}]))
    providers = {each.name: each.inputs for each in program.all("pulumi:providers:gcp")}
    assert providers["google-research-analytics"]["impersonateServiceAccount"] == account
    assert "impersonateServiceAccount" not in providers["google-hospital-imaging"]
    assert program.one("gcp:bigquery/dataset:Dataset").provider == "google-research-analytics"
    assert program.one("gcp:healthcare/dataset:Dataset").provider == "google-hospital-imaging"


def test_external_grants_declare_none_and_list_all(run: Run) -> None:
    tables = {**TABLES, "kmsKey": KEY}
    program = run(declare(exports=[METADATA], bigquery=[tables], grants="external"))
    assert [each.name for kind in IAM_TYPES for each in program.all(kind)] == []
    assert program.all("gcp:projects/serviceIdentity:ServiceIdentity") == []
    assert {each["member"] for each in program.result} == {
        "serviceAccount:service-4711@gcp-sa-healthcare.iam.gserviceaccount.com",
        "serviceAccount:bq-815@bigquery-encryption.iam.gserviceaccount.com",
    }
    assert len(program.result) == 5


def test_a_key_is_granted_to_the_agent_that_its_service_has_made(run: Run) -> None:
    buckets = [{"name": "out-bucket", "project": "buckets-project", "kmsKey": KEY}]
    topics = [{"name": "dicom", "project": "messages", "kmsKey": KEY}]
    program = run(declare(bigquery=[{**TABLES, "kmsKey": KEY}], buckets=buckets, topics=topics))
    granted = program.all("gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember")
    assert {each.inputs["member"] for each in granted} == {
        "serviceAccount:bigquery-agent-of-research-analytics",
        "serviceAccount:storage-agent-of-buckets-project",
        "serviceAccount:pubsub-agent-of-messages",
    }
    for kind in ("gcp:bigquery/dataset:Dataset", "gcp:storage/bucket:Bucket", "gcp:pubsub/topic:Topic"):
        assert any("agent-of" in name for name in program.one(kind).after), kind


def test_apis_may_be_left_alone(run: Run) -> None:
    assert run(declare(exports=[METADATA], enableApis=False)).all("gcp:projects/service:Service") == []


def test_a_renamed_export_is_known_by_its_former_name_too(run: Run) -> None:
    program = run(declare(exports=[{**METADATA, "name": "tables", "formerly": ["metadata"]}]))
    assert program.one("imaging:index:DicomExport").aliases == ["metadata"]


def test_each_project_gets_the_apis_that_it_needs() -> None:
    everything = settings(
        stores=[
            {
                "name": "pacs",
                "streams": [{"table": "bq://streams-project.dicom.stream"}],
                "notifications": [{"topic": "projects/messages/topics/dicom"}],
            }
        ],
        imports=[ARCHIVE],
        exports=[METADATA],
        buckets=[{"name": "out-bucket", "project": "buckets-project", "kmsKey": KEY}],
    )
    assert apis_by_project(everything) == {
        "hospital-imaging": ["cloudresourcemanager", "serviceusage", "healthcare", "logging", "bigquery"],
        "research-analytics": ["bigquery"],
        "streams-project": ["bigquery"],
        "buckets-project": ["storage"],
        "messages": ["pubsub"],
        "keys-project": ["cloudkms"],
    }


@pytest.mark.parametrize(
    ("more", "apis"),
    [
        ({"stores": [{"name": "pacs", "streams": [{"table": "bq://streams-project.dicom.t"}]}]}, set()),
        ({"exports": [IMAGES]}, {"logging"}),
        ({"exports": [METADATA]}, {"logging", "bigquery"}),
        ({"exports": [{**IMAGES, "filter": {"lines": ["/studies/1"]}}]}, {"logging", "storage"}),
        ({"exports": [{**IMAGES, "filter": {"query": "SELECT 1"}}]}, {"logging", "storage", "bigquery"}),
        ({"exports": [{**IMAGES, "filter": {"file": "gs://ours/f.txt"}}]}, {"logging"}),
    ],
)
def test_the_project_of_the_stores_gets_the_apis_that_are_used_there(more: dict[str, Any], apis: set[str]) -> None:
    always = {"cloudresourcemanager", "serviceusage", "healthcare"}
    assert set(apis_by_project(settings(**more))["hospital-imaging"]) == always | apis


def test_the_demo_stack_declares_what_its_file_says(run: Run) -> None:
    text = (Path(__file__).resolve().parents[3] / "Pulumi.dev.yaml").read_text(encoding="utf-8")
    config = yaml.safe_load(text)["config"]
    config["imaging:deletionProtection"] = False  # Pulumi writes it as text, and hands it over as text
    demo = settings_from({key.partition(":")[2]: value for key, value in config.items()})
    program = run(lambda: Imaging(demo).outputs)
    assert set(program.result) == {"serviceAgent", "dataset", "stores", "imports", "exports", "access"}
    assert program.names("imaging:index:Bucket") == ["hospital-dicom-out"]
    assert sorted(each.name for each in program.all(STARTED)) == ["archive", "images", "metadata"]


@pytest.mark.parametrize("preview", [True, False])
def test_nothing_is_named_twice(run: Run, preview: bool) -> None:
    program = run(declare(imports=[ARCHIVE], exports=[METADATA, IMAGES], bigquery=[TABLES]), preview=preview)
    names = [(each.type, each.parent, each.name) for each in program.declared]
    assert len(set(names)) == len(names)
