"""Names in the state follow what a resource is: no rename in the settings collides with itself."""

from pathlib import Path
from typing import Any

import pydicom.data
import pytest

from emulator.server.server import LocalEmulator
from tests.engine.stack_runner import Stack, rest

pytestmark = pytest.mark.engine

VIEW = "gcp:bigquery/table:Table"
STUDY = str(pydicom.dcmread(str(pydicom.data.get_testdata_file("CT_small.dcm"))).StudyInstanceUID)


def give_files(emulator: LocalEmulator) -> None:
    """Make the bucket that the stacks import from, with one image."""
    rest(emulator, "POST", "storage/v1/b?project=hospital-imaging", {"name": "hospital-inbox"})
    data = Path(str(pydicom.data.get_testdata_file("CT_small.dcm"))).read_bytes()
    rest(emulator, "POST", "upload/storage/v1/b/hospital-inbox/o?uploadType=media&name=CT.dcm", data)


def config(emulator: LocalEmulator, **more: Any) -> dict[str, Any]:
    return {
        "gcp:project": "hospital-imaging",
        "imaging:location": "europe-west4",
        "imaging:dataset": {"name": "radiology"},
        "imaging:stores": [{"name": "pacs"}],
        "imaging:imports": [{"name": "archive", "store": "pacs", "from": "gs://hospital-inbox/*.dcm"}],
        "imaging:deletionProtection": False,
        "imaging:endpoint": emulator.url,
        **{f"imaging:{key}": value for key, value in more.items()},
    }


def exported(name: str, table: str = "instances", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "store": "pacs",
        "to": f"bq://research-analytics.dicom.{table}",
        "writeDisposition": "WRITE_TRUNCATE",
        "views": True,
        **more,
    }


def started(emulator: LocalEmulator) -> int:
    requests = emulator.control("GET", "requests")["requests"]
    return sum(each["method"].endswith(("dicomStores.import", "dicomStores.export")) for each in requests)


def tables(emulator: LocalEmulator) -> dict[str, str]:
    found = rest(emulator, "GET", "bigquery/v2/projects/research-analytics/datasets/dicom/tables")["tables"]
    return {each["tableReference"]["tableId"]: each["type"] for each in found}


def test_two_stacks_of_one_project_have_their_filter_files_apart(tmp_path: Path, emulator: LocalEmulator) -> None:
    give_files(emulator)
    stacks: list[Stack] = []
    for name in ("dev", "Prod.eu"):
        images = {"name": "images", "store": "pacs", "to": f"gs://hospital-out/{name}/"}
        settings = config(
            emulator,
            dataset={"name": f"radiology-{len(stacks)}"},
            exports=[{**images, "filter": {"lines": [f"/studies/{STUDY}"]}}],
        )
        folder = tmp_path / str(len(stacks))
        folder.mkdir()
        stacks.append(Stack(folder, settings, name=name))
    rest(emulator, "POST", "storage/v1/b?project=hospital-imaging", {"name": "hospital-out"})

    def files() -> dict[str, list[str]]:
        names = [each["name"] for each in rest(emulator, "GET", "storage/v1/b?project=hospital-imaging")["items"]]
        return {
            bucket: [each["name"] for each in rest(emulator, "GET", f"storage/v1/b/{bucket}/o").get("items", [])]
            for bucket in names
            if "filters" in bucket
        }

    for stack in stacks:
        stack.up()
    first, second = sorted(files())
    assert first.startswith("hospital-imaging-dev-dicom-filters-")
    assert second.startswith("hospital-imaging-prod-eu-dicom-filters-")
    before = files()[second]
    assert before
    stacks[0].destroy()
    assert files() == {second: before}
    assert stacks[1].preview() == {}
    stacks[1].destroy()
    assert files() == {}


def test_an_export_with_views_can_be_renamed_and_two_can_swap_their_names(
    tmp_path: Path, emulator: LocalEmulator
) -> None:
    give_files(emulator)
    tables_of = [{"name": "dicom", "project": "research-analytics", "location": "EU"}]
    stack = Stack(tmp_path, config(emulator, bigquery=tables_of, exports=[exported("one"), exported("two", "others")]))
    stack.up()
    views = {name: each["id"] for name, each in stack.resources().items() if name.startswith(VIEW)}
    found = tables(emulator)
    assert sorted(found.values()) == ["TABLE"] * 2 + ["VIEW"] * 8

    # Under a new name, without the old one: it runs again, and that is all.
    stack.config["imaging:exports"] = [exported("first"), exported("two", "others")]
    planned = {step for name, step in stack.preview().items() if name.startswith(VIEW)}
    assert planned <= {"update"}, "the columns may be others after the run, the views are the same"
    stack.up()
    # With the old one, not even that.
    stack.config["imaging:exports"] = [exported("uno", formerly=["first"]), exported("due", "others", formerly=["two"])]
    before = started(emulator)
    assert stack.preview() == {}
    stack.up()
    assert started(emulator) == before
    # The names of two, swapped.
    stack.config["imaging:exports"] = [exported("due"), exported("uno", "others")]
    stack.up()
    assert started(emulator) == before + 2
    assert stack.preview() == {}
    assert {name: each["id"] for name, each in stack.resources().items() if name.startswith(VIEW)} == views
    assert tables(emulator) == found
    assert {name: run["rows"] for name, run in stack.outputs()["exports"].items()} == {"due": 1, "uno": 1}
    stack.destroy()


def test_two_exports_to_one_table_share_its_views(tmp_path: Path, emulator: LocalEmulator) -> None:
    give_files(emulator)
    tables_of = [{"name": "dicom", "project": "research-analytics", "location": "EU"}]
    both = [exported("first"), exported("more", writeDisposition="WRITE_APPEND")]
    stack = Stack(tmp_path, config(emulator, bigquery=tables_of, exports=both))
    stack.up()
    assert list(tables(emulator).values()).count("VIEW") == 4
    assert stack.preview() == {}
    # One of them alone keeps them.
    stack.config["imaging:exports"] = [both[0]]
    stack.up()
    assert list(tables(emulator).values()).count("VIEW") == 4
    stack.destroy()


def test_everything_that_has_a_name_can_get_another_one_at_once(tmp_path: Path, emulator: LocalEmulator) -> None:
    give_files(emulator)
    for bucket in ("their-filters", "their-other-filters"):
        rest(emulator, "POST", "storage/v1/b?project=hospital-imaging", {"name": bucket})

    def settings(tag: str, **formerly: Any) -> dict[str, Any]:
        """Everything by names that end in a tag, over the same import and tables."""
        topic = {"topic": f"projects/hospital-imaging/topics/news-{tag}"}
        stream = {"table": "bq://research-analytics.dicom.streamed"}
        bucket = f"hospital-out-{tag}"
        return config(
            emulator,
            stores=[
                {"name": "pacs", "readers": [f"group:{tag}@example.org"]},
                {"name": f"more-{tag}", "notifications": [topic], "streams": [stream]},
            ],
            bigquery=[
                {"name": "dicom", "project": "research-analytics", "location": "EU"},
                {"name": f"more_{tag}", "readers": [f"user:{tag}@example.org"]},
            ],
            buckets=[{"name": bucket, "location": "EU"}],
            topics=[{"name": f"news-{tag}"}],
            imports=[
                {
                    "name": f"archive-{tag}",
                    "store": "pacs",
                    "from": "gs://hospital-inbox/*.dcm",
                    **formerly.get("archive", {}),
                }
            ],
            exports=[
                exported(f"metadata-{tag}", **formerly.get("metadata", {})),
                {
                    "name": f"images-{tag}",
                    "store": "pacs",
                    "to": f"gs://{bucket}/",
                    "filter": {"query": f"SELECT '/studies/{STUDY}'"},
                },
            ],
            filterBucket=f"their-{'other-' if formerly else ''}filters",
        )

    stack = Stack(tmp_path, settings("a"))
    stack.up()
    before = tables(emulator)
    stack.config = settings("b", archive={"formerly": ["archive-a"]}, metadata={"formerly": ["metadata-a"]})
    stack.up()
    assert stack.preview() == {}
    assert tables(emulator) == before
    outputs = stack.outputs()
    assert outputs["imports"]["archive-b"]["success"] == 1
    assert outputs["exports"]["metadata-b"]["rows"] == 1
    assert outputs["exports"]["images-b"]["success"] == 1
    assert started(emulator) == 4, "only the export to another bucket is a new one"
    stack.refresh()
    assert stack.preview() == {}, "every grant is there"
    stack.destroy()
