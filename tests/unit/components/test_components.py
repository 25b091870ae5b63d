"""Every option of every component, as the engine hears of it. The provider's names of inputs are the expected ones."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pulumi
import pytest

from components.access.agent import AgentGrants, AgentGrantsArgs
from components.access.project import ProjectAccess, ProjectAccessArgs
from components.resources.bigquery_dataset import BigQueryDataset, BigQueryDatasetArgs
from components.resources.bucket import Bucket, BucketArgs, LifecycleRule
from components.resources.dicom_store import DicomStore, DicomStoreArgs
from components.resources.healthcare_dataset import HealthcareDataset, HealthcareDatasetArgs
from components.resources.reference_views import ReferenceViews, ReferenceViewsArgs
from components.resources.topic import Topic, TopicArgs
from operations.model.invalid import InputError

Run = Callable[..., Any]
KEY = "projects/keys-project/locations/europe-west4/keyRings/imaging/cryptoKeys/images"
DATASET_ID = "projects/hospital-imaging/locations/europe-west4/datasets/radiology"


class TestHealthcareDataset:
    def declare(self, **more: Any) -> Callable[[], pulumi.Output[str]]:
        args = {"name": "radiology", "project": "hospital-imaging", "location": "europe-west4", **more}
        return lambda: HealthcareDataset("radiology", HealthcareDatasetArgs(**args)).dataset_id

    def test_the_least(self, run: Run) -> None:
        program = run(self.declare())
        dataset = program.one("gcp:healthcare/dataset:Dataset")
        assert dataset.inputs == {"name": "radiology", "project": "hospital-imaging", "location": "europe-west4"}
        assert dataset.parent == "imaging:index:HealthcareDataset radiology"
        assert program.result == DATASET_ID

    def test_time_zone_and_key(self, run: Run) -> None:
        dataset = run(self.declare(time_zone="Europe/Berlin", kms_key=KEY)).one("gcp:healthcare/dataset:Dataset")
        assert dataset.inputs["timeZone"] == "Europe/Berlin"
        assert dataset.inputs["encryptionSpec"] == {"kmsKeyName": KEY}

    @pytest.mark.parametrize(("given", "protected"), [(None, True), (True, True), (False, False)])
    def test_it_is_protected_unless_told_otherwise(self, run: Run, given: bool | None, protected: bool) -> None:
        dataset = run(self.declare(deletion_protection=given)).one("gcp:healthcare/dataset:Dataset")
        assert dataset.protect is protected

    def test_an_existing_one_is_not_declared(self, run: Run) -> None:
        program = run(self.declare(existing=True))
        assert program.all("gcp:healthcare/dataset:Dataset") == []
        assert program.result == DATASET_ID


class TestDicomStore:
    def declare(self, **more: Any) -> Callable[[], pulumi.Output[str]]:
        return lambda: DicomStore("pacs", DicomStoreArgs(name="pacs", dataset=DATASET_ID, **more)).store_id

    def test_the_least(self, run: Run) -> None:
        program = run(self.declare())
        store = program.one("gcp:healthcare/dicomStore:DicomStore")
        assert store.inputs == {"name": "pacs", "dataset": DATASET_ID}
        assert store.protect
        assert program.result == f"{DATASET_ID}/dicomStores/pacs"

    def test_labels_notifications_and_streams(self, run: Run) -> None:
        store = run(
            self.declare(
                labels={"team": "radiology"},
                notification_topic="projects/hospital-imaging/topics/dicom",
                notify_bulk_imports=True,
                stream_tables=["bq://hospital-imaging.stream.a", "bq://hospital-imaging.stream.b"],
            )
        ).one("gcp:healthcare/dicomStore:DicomStore")
        assert store.inputs["labels"] == {"team": "radiology"}
        assert store.inputs["notificationConfig"] == {
            "pubsubTopic": "projects/hospital-imaging/topics/dicom",
            "sendForBulkImport": True,
        }
        assert store.inputs["streamConfigs"] == [
            {"bigqueryDestination": {"tableUri": "bq://hospital-imaging.stream.a"}},
            {"bigqueryDestination": {"tableUri": "bq://hospital-imaging.stream.b"}},
        ]

    def test_an_existing_one_is_not_declared(self, run: Run) -> None:
        program = run(self.declare(existing=True))
        assert program.all("gcp:healthcare/dicomStore:DicomStore") == []
        assert program.result == f"{DATASET_ID}/dicomStores/pacs"

    def test_dependencies_of_the_component_hold_for_its_store(self, run: Run) -> None:
        def declare() -> pulumi.Output[str]:
            topic = Topic("dicom", TopicArgs(name="dicom", project="hospital-imaging"))
            options = pulumi.ResourceOptions(depends_on=[topic])
            return DicomStore("pacs", DicomStoreArgs(name="pacs", dataset=DATASET_ID), options).store_id

        assert "dicom" in run(declare).one("gcp:healthcare/dicomStore:DicomStore").after


class TestBigQueryDataset:
    def declare(self, **more: Any) -> Callable[[], pulumi.Output[str]]:
        args = {"name": "dicom", "project": "research-analytics", "location": "EU", **more}
        return lambda: BigQueryDataset("dicom", BigQueryDatasetArgs(**args)).dataset_id

    def test_the_least_is_protected_and_leaves_access_alone(self, run: Run) -> None:
        program = run(self.declare())
        dataset = program.one("gcp:bigquery/dataset:Dataset")
        assert dataset.inputs == {
            "datasetId": "dicom",
            "project": "research-analytics",
            "location": "EU",
            "deleteContentsOnDestroy": False,
        }
        assert dataset.protect
        assert program.result == "projects/research-analytics/datasets/dicom"

    def test_all_options(self, run: Run) -> None:
        dataset = run(
            self.declare(
                description="Metadata",
                labels={"team": "research"},
                kms_key=KEY,
                default_table_expiration=3600.0,
                deletion_protection=False,
            )
        ).one("gcp:bigquery/dataset:Dataset")
        assert not dataset.protect
        assert dataset.inputs["deleteContentsOnDestroy"] is True
        assert dataset.inputs["description"] == "Metadata"
        assert dataset.inputs["labels"] == {"team": "research"}
        assert dataset.inputs["defaultEncryptionConfiguration"] == {"kmsKeyName": KEY}
        assert dataset.inputs["defaultTableExpirationMs"] == 3_600_000

    def test_it_is_replaced_old_one_first(self, run: Run) -> None:
        assert run(self.declare()).one("gcp:bigquery/dataset:Dataset").delete_before_replace

    def test_an_existing_one_is_not_declared(self, run: Run) -> None:
        program = run(self.declare(existing=True))
        assert program.all("gcp:bigquery/dataset:Dataset") == []
        assert program.result == "projects/research-analytics/datasets/dicom"


class TestBucket:
    def declare(self, **more: Any) -> Callable[[], pulumi.Output[str]]:
        args = {"name": "inbox", "project": "hospital-imaging", "location": "EU", **more}
        return lambda: Bucket("inbox", BucketArgs(**args)).name

    def test_the_least_is_private_and_protected(self, run: Run) -> None:
        bucket = run(self.declare()).one("gcp:storage/bucket:Bucket")
        assert bucket.inputs == {
            "name": "inbox",
            "project": "hospital-imaging",
            "location": "EU",
            "uniformBucketLevelAccess": True,
            "publicAccessPrevention": "enforced",
            "forceDestroy": False,
        }
        assert bucket.protect

    def test_all_options(self, run: Run) -> None:
        bucket = run(
            self.declare(
                labels={"team": "radiology"},
                kms_key=KEY,
                lifecycle=[
                    LifecycleRule(after_days=30, action="delete", prefixes=["tmp/"]),
                    LifecycleRule(after_days=0, action="COLDLINE"),
                ],
                deletion_protection=False,
            )
        ).one("gcp:storage/bucket:Bucket")
        assert not bucket.protect
        assert bucket.inputs["forceDestroy"] is True
        assert bucket.inputs["encryption"] == {"defaultKmsKeyName": KEY}
        assert bucket.inputs["lifecycleRules"] == [
            {"action": {"type": "Delete"}, "condition": {"age": 30, "matchesPrefixes": ["tmp/"]}},
            {
                "action": {"type": "SetStorageClass", "storageClass": "COLDLINE"},
                "condition": {"age": 0, "sendAgeIfZero": True},
            },
        ]

    def test_an_existing_one_is_not_declared(self, run: Run) -> None:
        program = run(self.declare(existing=True))
        assert program.all("gcp:storage/bucket:Bucket") == []
        assert program.result == "inbox"


class TestTopic:
    def declare(self, **more: Any) -> Callable[[], pulumi.Output[str]]:
        return lambda: Topic("dicom", TopicArgs(name="dicom", project="hospital-imaging", **more)).topic_id

    def test_all_options(self, run: Run) -> None:
        program = run(self.declare(labels={"a": "b"}, kms_key=KEY))
        assert program.one("gcp:pubsub/topic:Topic").inputs == {
            "name": "dicom",
            "project": "hospital-imaging",
            "labels": {"a": "b"},
            "kmsKeyName": KEY,
        }
        assert program.result == "projects/hospital-imaging/topics/dicom"

    def test_an_existing_one_is_not_declared(self, run: Run) -> None:
        program = run(self.declare(existing=True))
        assert program.all("gcp:pubsub/topic:Topic") == []
        assert program.result == "projects/hospital-imaging/topics/dicom"


class TestProjectAccess:
    def declare(self, **more: Any) -> Callable[[], Any]:
        args = ProjectAccessArgs(project="hospital-imaging", **more)
        return lambda: ProjectAccess("hospital-imaging", args).service_agent

    def test_apis_are_enabled_and_never_disabled(self, run: Run) -> None:
        services = run(self.declare(apis=["healthcare", "bigquery"])).all("gcp:projects/service:Service")
        assert {each.inputs["service"] for each in services} == {
            "healthcare.googleapis.com",
            "bigquery.googleapis.com",
        }
        assert {each.inputs["disableOnDestroy"] for each in services} == {False}

    def test_without_an_agent_nothing_is_looked_up(self, run: Run) -> None:
        program = run(self.declare(apis=["bigquery"]))
        assert program.calls == []
        assert program.result == ""

    def test_the_agent_exists_before_it_is_granted_its_role(self, run: Run) -> None:
        program = run(self.declare(apis=["healthcare"], service_agent=True))
        identity = program.one("gcp:projects/serviceIdentity:ServiceIdentity")
        assert identity.inputs == {"project": "hospital-imaging", "service": "healthcare.googleapis.com"}
        assert "hospital-imaging-healthcare" in identity.after
        role = program.one("gcp:projects/iAMMember:IAMMember")
        assert role.inputs == {
            "project": "hospital-imaging",
            "role": "roles/healthcare.serviceAgent",
            "member": "serviceAccount:service-4711@gcp-sa-healthcare.iam.gserviceaccount.com",
        }
        assert "hospital-imaging-healthcare-agent" in role.after
        assert program.result == "service-4711@gcp-sa-healthcare.iam.gserviceaccount.com"

    def test_agents_that_use_keys_are_made_by_asking_for_them(self, run: Run) -> None:
        args = ProjectAccessArgs(
            project="hospital-imaging", apis=["pubsub"], encryption_agents=["bigquery", "storage", "pubsub"]
        )
        program = run(lambda: ProjectAccess("hospital-imaging", args).encryption_agents)
        assert program.result == {
            service: f"{service}-agent-of-hospital-imaging" for service in ("bigquery", "storage", "pubsub")
        }
        identity = program.one("gcp:projects/serviceIdentity:ServiceIdentity")
        assert identity.inputs["service"] == "pubsub.googleapis.com"
        assert "hospital-imaging-pubsub" in identity.after

    def test_the_role_can_be_left_to_others(self, run: Run) -> None:
        program = run(self.declare(service_agent=True, grant_agent_role=False))
        assert program.all("gcp:projects/iAMMember:IAMMember") == []


class TestAgentGrants:
    def test_each_use_has_its_role_on_its_resource(self, run: Run) -> None:
        args = AgentGrantsArgs(
            service_agent="service-4711@gcp-sa-healthcare.iam.gserviceaccount.com",
            write_tables_in=["research-analytics.dicom"],
            run_jobs_in=["research-analytics"],
            write_buckets=["out-bucket"],
            read_buckets=["inbox-bucket"],
            publish_to=["projects/messages/topics/dicom"],
            use_keys=[KEY],
        )
        program = run(lambda: AgentGrants("hospital", args).member)
        grants = [each for each in program.declared if each.type != "imaging:index:AgentGrants"]
        assert {each.name: each.inputs["role"] for each in grants} == {
            "hospital-writes-research-analytics.dicom": "roles/bigquery.dataEditor",
            "hospital-runs-jobs-in-research-analytics": "roles/bigquery.jobUser",
            "hospital-writes-out-bucket": "roles/storage.objectAdmin",
            "hospital-reads-inbox-bucket": "roles/storage.objectViewer",
            "hospital-publishes-to-messages.dicom": "roles/pubsub.publisher",
            "hospital-uses-keys-project.europe-west4.imaging.images": "roles/cloudkms.cryptoKeyEncrypterDecrypter",
        }
        assert {each.inputs["member"] for each in grants} == {program.result}
        assert {each.parent for each in grants} == {"imaging:index:AgentGrants hospital"}

    @pytest.mark.parametrize(
        ("given", "text"),
        [
            ({"write_tables_in": ["dicom"]}, '"dicom" names no BigQuery dataset; write PROJECT.DATASET'),
            ({"publish_to": ["dicom"]}, '"dicom" is no topic; write projects/PROJECT/topics/TOPIC'),
            ({"use_keys": ["k"]}, '"k" is no key; write projects/'),
        ],
    )
    def test_malformed_names_are_refused(self, run: Run, given: Any, text: str) -> None:
        with pytest.raises(InputError, match=text):
            run(lambda: AgentGrants("hospital", AgentGrantsArgs(service_agent="a@b", **given)).member)


class TestReferenceViews:
    def test_one_view_for_each_file_from_the_columns_that_exist(self, run: Run) -> None:
        program = run(
            lambda: (
                ReferenceViews("metadata", ReferenceViewsArgs(table="bq://research-analytics.dicom.instances")).views
            )
        )
        views = {each.inputs["tableId"]: each for each in program.all("gcp:bigquery/table:Table")}
        assert set(views) == {
            "instances_studies",
            "instances_series",
            "instances_patients",
            "instances_dropped_tags",
        }
        studies = views["instances_studies"]
        assert studies.inputs["deletionProtection"] is False
        assert studies.inputs["view"]["useLegacySql"] is False
        query = studies.inputs["view"]["query"]
        assert "FROM `research-analytics.dicom.instances`" in query
        # The mock's table has neither: https://cloud.google.com/healthcare-api/docs/how-tos/dicom-bigquery-schema
        # makes a column only for elements that some instance has.
        assert "ANY_VALUE(CAST(NULL AS STRING)) AS StudyDescription" in query
        assert program.result["series"] == "research-analytics.dicom.instances_series"

    def test_a_component_with_another_name_has_the_same_views(self, run: Run) -> None:
        def names(component: str) -> set[str]:
            args = ReferenceViewsArgs(table="bq://research-analytics.dicom.instances")
            program = run(lambda: ReferenceViews(component, args).views)
            return {each.name for each in program.all("gcp:bigquery/table:Table")}

        assert names("metadata") == names("tables")

    def test_views_never_expire(self, run: Run) -> None:
        args = ReferenceViewsArgs(table="bq://research-analytics.dicom.instances")
        program = run(lambda: ReferenceViews("metadata", args).views)
        lives = {each.inputs["expirationTime"] for each in program.all("gcp:bigquery/table:Table")}
        assert min(lives) > datetime(2900, 1, 1, tzinfo=UTC).timestamp() * 1000


def test_arguments_may_come_as_a_mapping_as_from_a_component_package(run: Run) -> None:
    arguments: Any = {"name": "inbox", "project": "hospital-imaging", "existing": True}
    assert run(lambda: Bucket("inbox", arguments).name).result == "inbox"


MEMBERS = ["group:one@example.org", "user:two@example.org"]


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize(
    ("declare", "kind", "roles", "granted_on"),
    [
        (
            lambda existing: HealthcareDataset(
                "it",
                HealthcareDatasetArgs(
                    name="radiology",
                    project="hospital-imaging",
                    location="europe-west4",
                    existing=existing,
                    readers=MEMBERS,
                    editors=MEMBERS,
                    admins=MEMBERS,
                ),
            ),
            "gcp:healthcare/datasetIamMember:DatasetIamMember",
            {"roles/healthcare.dicomViewer", "roles/healthcare.dicomEditor", "roles/healthcare.datasetAdmin"},
            {"datasetId": DATASET_ID},
        ),
        (
            lambda existing: DicomStore(
                "it",
                DicomStoreArgs(name="pacs", dataset=DATASET_ID, existing=existing, readers=MEMBERS, writers=MEMBERS),
            ),
            "gcp:healthcare/dicomStoreIamMember:DicomStoreIamMember",
            {"roles/healthcare.dicomViewer", "roles/healthcare.dicomEditor"},
            {"dicomStoreId": f"{DATASET_ID}/dicomStores/pacs"},
        ),
        (
            lambda existing: BigQueryDataset(
                "it",
                BigQueryDatasetArgs(
                    name="dicom",
                    project="research-analytics",
                    location="EU",
                    existing=existing,
                    readers=MEMBERS,
                    editors=MEMBERS,
                ),
            ),
            "gcp:bigquery/datasetIamMember:DatasetIamMember",
            {"roles/bigquery.dataViewer", "roles/bigquery.dataEditor"},
            {"datasetId": "dicom", "project": "research-analytics"},
        ),
    ],
    ids=["HealthcareDataset", "DicomStore", "BigQueryDataset"],
)
def test_people_are_granted_on_what_is_made_and_on_what_exists(
    run: Run, declare: Callable[[bool], Any], kind: str, roles: set[str], granted_on: dict[str, str], existing: bool
) -> None:
    grants = run(lambda: declare(existing).urn).all(kind)
    assert {(each.inputs["role"], each.inputs["member"]) for each in grants} == {
        (role, member) for role in roles for member in MEMBERS
    }
    for each in grants:
        assert granted_on.items() <= each.inputs.items()
        assert each.parent.endswith(" it")
        assert each.name.startswith("it-")
