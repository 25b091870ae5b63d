"""Imports and exports by the real CLI against the emulator: run once, not again, again when asked."""

import io
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pydicom.data
import pytest
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from components.resources.reference_queries import load_query
from emulator.server.server import LocalEmulator
from tests.engine.stack_runner import Stack

pytestmark = pytest.mark.engine

TABLE = "bq://research-analytics.dicom.instances"
STARTED = "pulumi-python:dynamic/imaging:StartedOperation"
AWAITED = "pulumi-python:dynamic/imaging:AwaitedOperation"
# What ships inside pydicom: one CT and one MR image of different patients.
FILES = ("CT_small.dcm", "MR_small.dcm")


def upload(emulator: LocalEmulator, bucket: str, name: str, data: bytes) -> None:
    address = f"{emulator.url}/upload/storage/v1/b/{bucket}/o?uploadType=media&name={urllib.parse.quote(name, safe='')}"
    request = urllib.request.Request(address, data=data, method="POST", headers={"Content-Type": "application/dicom"})
    with urllib.request.urlopen(request) as answer:
        answer.read()


def image(name: str) -> bytes:
    return Path(str(pydicom.data.get_testdata_file(name))).read_bytes()


@pytest.fixture
def inbox(emulator: LocalEmulator) -> LocalEmulator:
    body = b'{"name": "hospital-dicom-inbox"}'
    request = urllib.request.Request(
        f"{emulator.url}/storage/v1/b?project=hospital-imaging",
        data=body,
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        answer.read()
    for name in FILES:
        upload(emulator, "hospital-dicom-inbox", f"2024/{name}", image(name))
    return emulator


def config(emulator: LocalEmulator) -> dict[str, Any]:
    return {
        "gcp:project": "hospital-imaging",
        "imaging:location": "europe-west4",
        "imaging:dataset": {"name": "radiology"},
        "imaging:stores": [{"name": "pacs"}],
        "imaging:bigquery": [{"name": "dicom", "project": "research-analytics", "location": "EU"}],
        "imaging:buckets": [{"name": "hospital-dicom-out"}],
        "imaging:imports": [{"name": "archive", "store": "pacs", "from": "gs://hospital-dicom-inbox/2024/**.dcm"}],
        "imaging:exports": [
            {
                "name": "metadata",
                "store": "pacs",
                "to": TABLE,
                "writeDisposition": "WRITE_TRUNCATE",
                "includeSourceStore": True,
                "views": True,
            },
            {"name": "images", "store": "pacs", "to": "gs://hospital-dicom-out/images/"},
        ],
        "imaging:deletionProtection": False,
        "imaging:endpoint": emulator.url,
    }


@pytest.fixture
def client(emulator: LocalEmulator) -> Iterator[bigquery.Client]:
    client = bigquery.Client(
        project="research-analytics",
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options=ClientOptions(api_endpoint=emulator.url),
    )
    yield client
    client.close()  # type: ignore[no-untyped-call]


def posted(emulator: LocalEmulator) -> list[str]:
    """The imports and exports that were started so far, in order."""
    requests = emulator.control("GET", "requests")["requests"]
    return [
        request["method"].rsplit(".", 1)[-1]
        for request in requests
        if request["method"].endswith(("dicomStores.import", "dicomStores.export"))
    ]


def test_the_whole_life_of_a_stack(tmp_path: Path, inbox: LocalEmulator, client: bigquery.Client) -> None:
    stack = Stack(tmp_path, config(inbox))
    previewed = stack.preview()
    assert previewed[f"{STARTED} archive"] == "create"
    assert posted(inbox) == [], "a preview starts nothing"

    stack.up()
    outputs = stack.outputs()
    assert {name: run["success"] for name, run in outputs["imports"].items()} == {"archive": 2}
    assert outputs["exports"]["metadata"]["rows"] == 2
    assert outputs["exports"]["metadata"]["state"] == "succeeded"
    assert outputs["exports"]["images"]["success"] == 2
    assert posted(inbox)[0] == "import"
    assert sorted(posted(inbox)) == ["export", "export", "import"]

    ct = pydicom.dcmread(io.BytesIO(image("CT_small.dcm")))
    query = load_query("patient_images", TABLE)
    parameters = [bigquery.ScalarQueryParameter("patient_id", "STRING", ct.PatientID)]
    rows = list(client.query_and_wait(query, job_config=bigquery.QueryJobConfig(query_parameters=parameters)))
    assert [row["SOPInstanceUID"] for row in rows] == [ct.SOPInstanceUID]

    limit = [bigquery.ScalarQueryParameter("limit", "INT64", 10)]
    latest = client.query_and_wait(
        load_query("latest_studies", TABLE), job_config=bigquery.QueryJobConfig(query_parameters=limit)
    )
    # CT_small.dcm was taken on 2004-01-19, MR_small.dcm on 2004-08-26.
    assert [(str(row["Date"]), row["Modalities"], row["Instances"]) for row in latest] == [
        ("2004-08-26", "MR", 1),
        ("2004-01-19", "CT", 1),
    ]
    studies = list(client.query_and_wait("SELECT * FROM `research-analytics.dicom.instances_studies`"))
    assert {row["Modalities"] for row in studies} == {"CT", "MR"}

    assert stack.preview() == {}
    stack.refresh()
    assert stack.preview() == {}
    assert len(posted(inbox)) == 3

    stack.config["imaging:exports"][0]["trigger"] = "again"
    assert f"{STARTED} metadata" in stack.preview()
    assert f"{STARTED} images" not in stack.preview()
    stack.up()
    assert len(posted(inbox)) == 4
    assert stack.preview() == {}

    # A table that somebody dropped stops no preview, and the next export makes it again, with its views as they were.
    client.delete_table("research-analytics.dicom.instances")
    stack.config["imaging:exports"][0]["trigger"] = "once more"
    assert f"{STARTED} metadata" in stack.preview()
    stack.up()
    assert stack.outputs()["exports"]["metadata"]["rows"] == 2
    assert stack.preview() == {}

    stack.destroy()
    assert stack.resources() == {}


def test_an_environment_without_images_comes_up_green_and_runs_when_there_are_some(
    tmp_path: Path, emulator: LocalEmulator, client: bigquery.Client
) -> None:
    wanted = config(emulator)
    wanted["imaging:buckets"].append({"name": "hospital-dicom-inbox"})
    wanted["imaging:exports"].append(
        {
            "name": "chosen",
            "store": "pacs",
            "to": "gs://hospital-dicom-out/chosen/",
            # The table is not there before the first export of metadata.
            "filter": {"query": "SELECT '/studies/' || StudyInstanceUID FROM `research-analytics.dicom.instances`"},
        }
    )
    for run in (*wanted["imaging:imports"], *wanted["imaging:exports"]):
        run["whenEmpty"] = "skip"
    stack = Stack(tmp_path, wanted)
    stack.up()
    outputs = stack.outputs()
    runs = {**outputs["imports"], **outputs["exports"]}
    assert {name: run["state"] for name, run in runs.items()} == dict.fromkeys(
        ("archive", "metadata", "images", "chosen"), "skipped"
    )
    assert runs["archive"]["reason"].startswith("no object matches gs://hospital-dicom-inbox/2024/**.dcm")
    assert runs["metadata"]["reason"].startswith("DICOM store pacs is empty")
    assert posted(emulator) == []
    assert list(client.query_and_wait("SELECT * FROM `research-analytics.dicom.instances_studies`")) == []
    assert stack.preview() == {}
    stack.refresh()
    assert stack.preview() == {}

    for name in FILES:
        upload(emulator, "hospital-dicom-inbox", f"2024/{name}", image(name))
    assert stack.preview()[f"{STARTED} archive"] == "update"
    # It would run beside the export whose table it reads.
    stack.config["imaging:exports"] = [run for run in stack.config["imaging:exports"] if run["name"] != "chosen"]
    stack.up()
    outputs = stack.outputs()
    runs = {**outputs["imports"], **outputs["exports"]}
    assert {name: (run["state"], run["success"]) for name, run in runs.items()} == dict.fromkeys(
        ("archive", "metadata", "images"), ("succeeded", 2)
    )
    assert sorted(posted(emulator)) == ["export", "export", "import"]
    assert len(list(client.query_and_wait("SELECT * FROM `research-analytics.dicom.instances_studies`"))) == 2
    assert stack.preview() == {}


def test_a_store_that_changed_is_exported_again_and_only_then(tmp_path: Path, inbox: LocalEmulator) -> None:
    wanted = config(inbox)
    wanted["imaging:exports"] = [{**wanted["imaging:exports"][0], "views": False, "rerun": "when-store-changes"}]
    stack = Stack(tmp_path, wanted)
    stack.up()
    assert stack.preview() == {}

    upload(inbox, "hospital-dicom-inbox", "2024/RT.dcm", image("rtplan.dcm"))
    stack.config["imaging:imports"][0]["trigger"] = "one more file"
    stack.up()
    assert stack.outputs()["exports"]["metadata"]["rows"] == 3
    assert posted(inbox) == ["import", "export", "import", "export"]
    assert stack.preview() == {}


def test_a_renamed_export_is_not_run_again(tmp_path: Path, inbox: LocalEmulator) -> None:
    wanted = config(inbox)
    wanted["imaging:exports"] = wanted["imaging:exports"][:1]
    wanted["imaging:exports"][0]["views"] = False
    stack = Stack(tmp_path, wanted)
    stack.up()
    stack.config["imaging:exports"][0] |= {"name": "tables", "formerly": ["metadata"]}
    stack.up()
    assert posted(inbox) == ["import", "export"]
    assert list(stack.outputs()["exports"]) == ["tables"]
    assert stack.preview() == {}


def test_instances_chosen_by_lines_are_exported_through_a_filter_file(tmp_path: Path, inbox: LocalEmulator) -> None:
    ct = pydicom.dcmread(io.BytesIO(image("CT_small.dcm")))
    wanted = config(inbox)
    wanted["imaging:exports"] = [
        {
            "name": "metadata",
            "store": "pacs",
            "to": TABLE,
            "writeDisposition": "WRITE_TRUNCATE",
            "filter": {"lines": [f"/studies/{ct.StudyInstanceUID}"]},
        }
    ]
    stack = Stack(tmp_path, wanted)
    stack.up()
    assert stack.outputs()["exports"]["metadata"]["rows"] == 1
    assert stack.preview() == {}
    stack.destroy()


def test_exports_to_one_table_add_up(tmp_path: Path, inbox: LocalEmulator) -> None:
    wanted = config(inbox)
    first = {**wanted["imaging:exports"][0], "views": False}
    wanted["imaging:exports"] = [first, {**first, "name": "again", "writeDisposition": "WRITE_APPEND"}]
    stack = Stack(tmp_path, wanted)
    stack.up()
    assert stack.outputs()["exports"]["again"]["rows"] == 4


def test_exports_that_add_to_a_table_run_again_after_the_one_that_replaces_its_rows(
    tmp_path: Path, inbox: LocalEmulator, client: bigquery.Client
) -> None:
    wanted = config(inbox)
    first = {**wanted["imaging:exports"][0], "views": False}
    second = {**first, "name": "second", "store": "two", "writeDisposition": "WRITE_APPEND"}
    wanted["imaging:stores"].append({"name": "two"})
    wanted["imaging:imports"].append({"name": "other", "store": "two", "from": "gs://hospital-dicom-inbox/2024/CT*"})
    wanted["imaging:exports"] = [first, second]

    def rows() -> dict[str, int]:
        """How many the table has of each store."""
        query = "SELECT SourceDicomStore AS store, COUNT(*) AS n FROM `research-analytics.dicom.instances` GROUP BY 1"
        return {row["store"].rpartition("/")[2]: row["n"] for row in client.query_and_wait(query)}

    stack = Stack(tmp_path, wanted)
    stack.up()
    # Two images in one store, one of them in the other one, too.
    assert rows() == {"pacs": 2, "two": 1}
    assert stack.preview() == {}
    assert len(posted(inbox)) == 4

    stack.config["imaging:exports"][0]["trigger"] = "again"
    assert "runs again: export metadata replaces the table's rows" in stack.run("preview")
    plan = str(tmp_path / "plan.json")
    stack.run("preview", "--save-plan", plan)
    stack.up("--plan", plan)
    assert rows() == {"pacs": 2, "two": 1}
    assert posted(inbox)[4:] == ["export", "export"]
    assert stack.preview() == {}

    # Neither a new name nor a run of the one that only adds rows makes another one run.
    stack.config["imaging:exports"][0] |= {"name": "tables", "formerly": ["metadata"]}
    assert STARTED not in str(stack.preview())
    stack.up()
    assert len(posted(inbox)) == 6
    stack.config["imaging:exports"][1]["trigger"] = "once more"
    stack.up()
    assert rows() == {"pacs": 2, "two": 2}
    assert len(posted(inbox)) == 7
    assert stack.preview() == {}


def test_a_plan_lets_an_export_run_that_an_import_before_it_gives_something_to_do(
    tmp_path: Path, inbox: LocalEmulator
) -> None:
    wanted = config(inbox)
    wanted["imaging:imports"][0] |= {"from": "gs://hospital-dicom-inbox/2025/**.dcm", "whenEmpty": "skip"}
    metadata, images = wanted["imaging:exports"]
    wanted["imaging:exports"] = [
        {**metadata, "views": False, "whenEmpty": "skip", "rerun": "when-store-changes"},
        {**images, "whenEmpty": "skip"},
    ]
    stack, plan = Stack(tmp_path, wanted), str(tmp_path / "plan.json")
    stack.up()
    assert posted(inbox) == []
    assert stack.preview() == {}

    upload(inbox, "hospital-dicom-inbox", "2025/CT.dcm", image("CT_small.dcm"))
    assert "runs again: an import before it runs" in stack.run("preview", "--save-plan", plan)
    stack.up("--plan", plan)
    exports = stack.outputs()["exports"]
    assert (exports["metadata"]["rows"], exports["images"]["success"]) == (1, 1)

    upload(inbox, "hospital-dicom-inbox", "2025/MR.dcm", image("MR_small.dcm"))
    stack.config["imaging:imports"][0]["trigger"] = "one more"
    stack.run("preview", "--save-plan", plan)
    stack.up("--plan", plan)
    exports = stack.outputs()["exports"]
    assert (exports["metadata"]["rows"], exports["images"]["success"]) == (2, 1)
    assert stack.preview() == {}

    # The same images again: what was planned turns out to be nothing, and the last result stays.
    before = posted(inbox)
    stack.config["imaging:imports"][0]["trigger"] = "the same"
    stack.run("preview", "--save-plan", plan)
    stack.up("--plan", plan)
    assert posted(inbox) == [*before, "import"]
    assert stack.outputs()["exports"]["metadata"] == exports["metadata"]
    assert stack.preview() == {}
