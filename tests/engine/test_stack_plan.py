"""The plan that was reviewed is the plan that is applied, also for the first deployment of everything there is."""

import re
from pathlib import Path
from typing import Any

import pydicom
import pydicom.data
import pytest

from emulator.server.server import LocalEmulator
from tests.engine.stack_runner import ROOT, Stack, rest

pytestmark = pytest.mark.engine

RING = "projects/keys-project/locations/europe-west4/keyRings/imaging"
KEY = f"{RING}/cryptoKeys/images"
STUDY = str(pydicom.dcmread(str(pydicom.data.get_testdata_file("CT_small.dcm"))).StudyInstanceUID)

# Every resource type of the Google provider that `components` declares; the two of a run come on top.
KINDS = {
    "gcp:bigquery/dataset:Dataset",
    "gcp:bigquery/datasetIamMember:DatasetIamMember",
    "gcp:bigquery/table:Table",
    "gcp:healthcare/dataset:Dataset",
    "gcp:healthcare/datasetIamMember:DatasetIamMember",
    "gcp:healthcare/dicomStore:DicomStore",
    "gcp:healthcare/dicomStoreIamMember:DicomStoreIamMember",
    "gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember",
    "gcp:projects/iAMMember:IAMMember",
    "gcp:projects/service:Service",
    "gcp:projects/serviceIdentity:ServiceIdentity",
    "gcp:pubsub/topic:Topic",
    "gcp:pubsub/topicIAMMember:TopicIAMMember",
    "gcp:storage/bucket:Bucket",
    "gcp:storage/bucketIAMMember:BucketIAMMember",
    "pulumi-python:dynamic/imaging:AwaitedOperation",
    "pulumi-python:dynamic/imaging:StartedOperation",
}


def everything(emulator: LocalEmulator) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "location": "europe-west4",
        "dataset": {"name": "radiology", "kmsKey": KEY, "admins": ["user:admin@example.org"]},
        "stores": [
            {
                "name": "pacs",
                "labels": {"team": "radiology"},
                "notifications": [{"topic": "projects/messages/topics/dicom", "bulkImports": True}],
                "streams": [{"table": "bq://research-analytics.stream.pacs"}],
                "readers": ["user:reader@example.org"],
            }
        ],
        "bigquery": [
            {"name": "dicom", "project": "research-analytics", "kmsKey": KEY, "defaultTableExpiration": "90d"},
            {"name": "stream", "project": "research-analytics", "readers": ["user:analyst@example.org"]},
        ],
        "buckets": [{"name": "hospital-out", "project": "storage-project", "kmsKey": KEY}],
        "topics": [{"name": "dicom", "project": "messages", "kmsKey": KEY}],
        "imports": [{"name": "archive", "store": "pacs", "from": "gs://hospital-inbox/*.dcm"}],
        "exports": [
            {
                "name": "metadata",
                "store": "pacs",
                "to": "bq://research-analytics.dicom.instances",
                "writeDisposition": "WRITE_TRUNCATE",
                "views": True,
                "rerun": "when-store-changes",
            },
            {
                "name": "chosen",
                "store": "pacs",
                "to": "gs://hospital-out/chosen/",
                "filter": {"lines": [f"/studies/{STUDY}"]},
            },
            {
                "name": "asked",
                "store": "pacs",
                "to": "gs://hospital-out/asked/",
                "filter": {"query": f"SELECT '/studies/{STUDY}'"},
            },
        ],
        "deletionProtection": False,
        "endpoint": emulator.url,
    }
    return {"gcp:project": "hospital-imaging", **{f"imaging:{key}": value for key, value in settings.items()}}


def test_the_plan_of_a_first_deployment_with_everything_can_be_applied(tmp_path: Path, emulator: LocalEmulator) -> None:
    rest(emulator, "POST", "storage/v1/b?project=hospital-imaging", {"name": "hospital-inbox"})
    data = Path(str(pydicom.data.get_testdata_file("CT_small.dcm"))).read_bytes()
    rest(emulator, "POST", "upload/storage/v1/b/hospital-inbox/o?uploadType=media&name=CT.dcm", data)
    rest(emulator, "POST", f"v1/{RING.rpartition('/')[0]}?keyRingId=imaging", {})
    rest(emulator, "POST", f"v1/{RING}/cryptoKeys?cryptoKeyId=images", {"purpose": "ENCRYPT_DECRYPT"})
    stack = Stack(tmp_path, everything(emulator))
    plan = str(tmp_path / "plan.json")

    stack.run("preview", "--save-plan", plan)
    stack.up("--plan", plan)
    assert {each["type"] for each in stack.resources().values() if each.get("custom")} >= KINDS
    assert stack.outputs()["exports"]["metadata"]["rows"] == 1
    assert stack.preview() == {}

    # And that of a change: a further run, and one that runs again as the store has changed.
    stack.config["imaging:exports"].append({"name": "all", "store": "pacs", "to": "gs://hospital-out/all/"})
    more = Path(str(pydicom.data.get_testdata_file("MR_small.dcm"))).read_bytes()
    store = "projects/hospital-imaging/locations/europe-west4/datasets/radiology/dicomStores/pacs"
    rest(emulator, "POST", f"v1/{store}/dicomWeb/studies", more, content_type="application/dicom")
    stack.run("preview", "--save-plan", plan)
    stack.up("--plan", plan)
    exports = stack.outputs()["exports"]
    assert (exports["metadata"]["rows"], exports["all"]["success"]) == (2, 2)
    assert stack.preview() == {}
    stack.destroy()


def test_everything_is_every_kind_of_resource_that_the_components_declare() -> None:
    declared = set()
    # The page on settings names further ones, for programs of one's own.
    for file in {*(ROOT / "components").rglob("*.py")} - {ROOT / "components" / "settings_docs.py"}:
        named = re.findall(r"\bgcp\.\w+\.([A-Z]\w+)", file.read_text(encoding="utf-8"))
        declared |= {each for each in named if not each.endswith(("Args", "ArgsDict", "Result"))}
    assert declared == {kind.rsplit(":", 1)[1] for kind in KINDS if kind.startswith("gcp:")}
