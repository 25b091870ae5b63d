"""Every component under a new name, with the old one as an alias: nothing is replaced, and nothing runs again."""

from pathlib import Path

import pydicom.data
import pytest

import components
from emulator.server.server import LocalEmulator
from tests.engine.small_program import SmallProgram
from tests.engine.stack_runner import ROOT, rest

pytestmark = pytest.mark.engine

PROGRAM = """
import pulumi
from components import *

config = pulumi.Config()
prefix, former, endpoint = config.require("prefix"), config.get("former"), config.require("endpoint")


def named(name, *after):
    aliases = [pulumi.Alias(name=f"{former}-{name}")] if former else None
    return f"{prefix}-{name}", pulumi.ResourceOptions(depends_on=list(after), aliases=aliases)


def declare(kind, args, name, *after):
    name, options = named(name, *after)
    return kind(name, args, options)


here = "hospital"
access = declare(ProjectAccess, ProjectAccessArgs(
    project=here, apis=["healthcare", "pubsub"], service_agent=True, encryption_agents=["pubsub"]), "access")
other = declare(ProjectAccess, ProjectAccessArgs(
    project=pulumi.Output.from_input("other-hospital"), apis=["healthcare"], service_agent=True), "other")
tables = declare(BigQueryDataset, BigQueryDatasetArgs(
    name="dicom", project=here, location="EU", deletion_protection=False), "tables", access)
out = declare(Bucket, BucketArgs(name="hospital-out", project=here, location="EU", deletion_protection=False), "out")
topic = declare(Topic, TopicArgs(name="dicom", project=here), "topic", access)
dataset = declare(HealthcareDataset, HealthcareDatasetArgs(
    name="radiology", project=here, location="europe-west4", deletion_protection=False), "dataset", access)
grants = declare(AgentGrants, AgentGrantsArgs(
    service_agent=access.service_agent, write_tables_in=["hospital.dicom"], run_jobs_in=[here],
    write_buckets=["hospital-out"], read_buckets=["hospital-inbox"], publish_to=["projects/hospital/topics/dicom"]),
    "grants", access, tables, out, topic)
store = declare(DicomStore, DicomStoreArgs(
    name="pacs", dataset=dataset.dataset_id, notification_topic=topic.topic_id, deletion_protection=False),
    "store", grants)
archive = declare(DicomImport, DicomImportArgs(
    store=store.store_id, uri="gs://hospital-inbox/*.dcm", endpoint=endpoint), "archive", grants)
table = "bq://hospital.dicom.instances"
metadata = declare(DicomExport, DicomExportArgs(
    store=store.store_id, destination=table, write_disposition="WRITE_TRUNCATE", endpoint=endpoint),
    "metadata", archive)
views = declare(ReferenceViews, ReferenceViewsArgs(table=table), "views", metadata)
pulumi.export("rows", metadata.outcome["rows"])
"""


def test_the_program_has_every_component() -> None:
    assert [name for name in components.__all__ if name.endswith("Args") and f"{name}(" not in PROGRAM] == []


def test_a_component_with_a_new_name_is_the_same_component(tmp_path: Path, emulator: LocalEmulator) -> None:
    rest(emulator, "POST", "storage/v1/b?project=hospital", {"name": "hospital-inbox"})
    data = Path(str(pydicom.data.get_testdata_file("CT_small.dcm"))).read_bytes()
    rest(emulator, "POST", "upload/storage/v1/b/hospital-inbox/o?uploadType=media&name=CT.dcm", data)
    program = SmallProgram(tmp_path, emulator.url, program=PROGRAM)
    program.environment["PYTHONPATH"] = str(ROOT)
    program.pulumi("config", "set-all", "--plaintext", "prefix=old", "--plaintext", f"endpoint={emulator.url}")
    program.up()
    assert program.planned() == {}
    before = {name: each["id"] for name, each in program.state().items() if "id" in each}

    program.pulumi("config", "set-all", "--plaintext", "prefix=new", "--plaintext", "former=old")
    since = emulator.control("GET", "requests")["requests"][-1]["sequence"]
    assert program.planned() == {}
    program.up()
    made = emulator.control("GET", f"requests?since={since}")["requests"]
    assert {each["httpMethod"] for each in made} <= {"GET"}
    after = {name: each["id"] for name, each in program.state().items() if "id" in each}
    assert {name.replace("new-", "old-"): identity for name, identity in after.items()} == before

    program.pulumi("config", "rm", "former")
    assert program.planned() == {}, "an alias that has done its work can go"
