"""What options of a component do for its resources: what people who know Pulumi's components expect."""

from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_gcp as gcp
import pytest

from components import (
    AgentGrants,
    AgentGrantsArgs,
    BigQueryDataset,
    BigQueryDatasetArgs,
    Bucket,
    BucketArgs,
    DicomExport,
    DicomExportArgs,
    DicomImport,
    DicomImportArgs,
    DicomStore,
    DicomStoreArgs,
    HealthcareDataset,
    HealthcareDatasetArgs,
    ProjectAccess,
    ProjectAccessArgs,
    ReferenceViews,
    ReferenceViewsArgs,
    Topic,
    TopicArgs,
)

Run = Callable[..., Any]
Declare = Callable[[str, pulumi.ResourceOptions], pulumi.ComponentResource]

PROJECT = "hospital-imaging"
STORE = f"projects/{PROJECT}/locations/europe-west4/datasets/radiology/dicomStores/pacs"
TABLE = f"bq://{PROJECT}.dicom.instances"

COMPONENTS: dict[str, Declare] = {
    "AgentGrants": lambda name, opts: AgentGrants(
        name, AgentGrantsArgs(service_agent="agent@example.org", run_jobs_in=[PROJECT], read_buckets=["inbox"]), opts
    ),
    "BigQueryDataset": lambda name, opts: BigQueryDataset(
        name, BigQueryDatasetArgs(name="dicom", project=PROJECT, location="EU", deletion_protection=False), opts
    ),
    "Bucket": lambda name, opts: Bucket(
        name, BucketArgs(name="inbox", project=PROJECT, location="EU", deletion_protection=False), opts
    ),
    "DicomExport": lambda name, opts: DicomExport(
        name, DicomExportArgs(store=STORE, destination=TABLE, write_disposition="WRITE_TRUNCATE"), opts
    ),
    "DicomImport": lambda name, opts: DicomImport(name, DicomImportArgs(store=STORE, uri="gs://inbox/**"), opts),
    "DicomStore": lambda name, opts: DicomStore(
        name, DicomStoreArgs(name="pacs", dataset=STORE.rpartition("/dicomStores/")[0], deletion_protection=False), opts
    ),
    "HealthcareDataset": lambda name, opts: HealthcareDataset(
        name,
        HealthcareDatasetArgs(name="radiology", project=PROJECT, location="europe-west4", deletion_protection=False),
        opts,
    ),
    "ProjectAccess": lambda name, opts: ProjectAccess(
        name, ProjectAccessArgs(project=PROJECT, apis=["healthcare"], service_agent=True), opts
    ),
    "ReferenceViews": lambda name, opts: ReferenceViews(name, ReferenceViewsArgs(table=TABLE), opts),
    "Topic": lambda name, opts: Topic(name, TopicArgs(name="dicom", project=PROJECT), opts),
}


def children(program: Any, component: str) -> list[Any]:
    found = [each for each in program.declared if each.parent == f"imaging:index:{component} it"]
    assert found
    return found


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_component_is_known_by_its_name_alone_and_holds_its_resources(run: Run, component: str) -> None:
    program = run(lambda: COMPONENTS[component]("it", pulumi.ResourceOptions()).urn)
    (declared,) = program.all(f"imaging:index:{component}")
    assert (declared.name, declared.parent) == ("it", "")
    owned = children(program, component)
    # Imports and exports bring the process that their waits run in, one for all of them.
    shared = [each for each in program.declared if each.type == "pulumi:providers:pulumi-python"]
    assert len(program.declared) == 1 + len(owned) + len(shared)


@pytest.mark.parametrize("component", COMPONENTS)
def test_what_a_component_depends_on_comes_before_its_resources(run: Run, component: str) -> None:
    def declare() -> pulumi.Output[str]:
        first = gcp.pubsub.Topic("first", name="first", project=PROJECT)
        return COMPONENTS[component]("it", pulumi.ResourceOptions(depends_on=[first])).urn

    assert all("first" in each.after for each in children(run(declare), component))


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("option", ["provider", "providers"])
def test_a_provider_for_a_component_is_that_of_its_resources(run: Run, component: str, option: str) -> None:
    def declare() -> pulumi.Output[str]:
        other = gcp.Provider("other")
        given: Any = {option: other if option == "provider" else [other]}
        return COMPONENTS[component]("it", pulumi.ResourceOptions(**given)).urn

    google = [each for each in children(run(declare), component) if each.type.startswith("gcp:")]
    assert {each.provider for each in google} <= {"other"}


@pytest.mark.parametrize("component", COMPONENTS)
def test_protecting_a_component_protects_its_resources(run: Run, component: str) -> None:
    program = run(lambda: COMPONENTS[component]("it", pulumi.ResourceOptions(protect=True)).urn)
    assert all(each.protect for each in children(program, component))


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_transformation_of_a_component_reaches_its_resources(run: Run, component: str) -> None:
    seen: list[str] = []

    def note(args: pulumi.ResourceTransformationArgs) -> None:
        seen.append(args.type_)

    program = run(lambda: COMPONENTS[component]("it", pulumi.ResourceOptions(transformations=[note])).urn)
    assert {each.type for each in children(program, component)} <= set(seen)


def test_names_projects_and_places_may_be_outputs_of_other_resources(run: Run) -> None:
    def known(text: str) -> pulumi.Output[str]:
        return pulumi.Output.from_input(text)

    def declare() -> pulumi.Output[Any]:
        place: dict[str, Any] = {"project": known(PROJECT), "location": known("EU")}
        dataset = HealthcareDataset("radiology", HealthcareDatasetArgs(name=known("radiology"), **place))
        adopted = HealthcareDataset("adopted", HealthcareDatasetArgs(name=known("old"), existing=True, **place))
        store = DicomStore("pacs", DicomStoreArgs(name=known("pacs"), dataset=dataset.dataset_id))
        tables = BigQueryDataset("dicom", BigQueryDatasetArgs(name=known("dicom"), kms_key=known("key"), **place))
        bucket = Bucket("inbox", BucketArgs(name=known("inbox"), kms_key=known("key"), **place))
        topic = Topic("dicom", TopicArgs(name=known("dicom"), project=known(PROJECT)))
        access = ProjectAccess("hospital", ProjectAccessArgs(project=known(PROJECT), service_agent=True))
        return pulumi.Output.all(
            adopted.dataset_id, store.store_id, tables.dataset_id, bucket.name, topic.topic_id, access.service_agent
        )

    program = run(declare)
    assert program.result == [
        f"projects/{PROJECT}/locations/EU/datasets/old",
        f"projects/{PROJECT}/locations/EU/datasets/radiology/dicomStores/pacs",
        f"projects/{PROJECT}/datasets/dicom",
        "inbox",
        f"projects/{PROJECT}/topics/dicom",
        "service-4711@gcp-sa-healthcare.iam.gserviceaccount.com",
    ]
    assert program.one("gcp:projects/iAMMember:IAMMember").name == "hospital-agent-acts-in"
