"""A stack whose table, store or dataset somebody deletes by hand: what is seen, and what runs again."""

from pathlib import Path

import pytest

from emulator.server.server import LocalEmulator
from tests.engine.stack_runner import Stack, rest
from tests.engine.test_stack_runs import config, inbox  # noqa: F401 - a fixture

pytestmark = pytest.mark.engine

DATASET = "v1/projects/hospital-imaging/locations/europe-west4/datasets/radiology"
STORE = f"{DATASET}/dicomStores/pacs"


def runs(emulator: LocalEmulator) -> dict[str, int]:
    """Count the operations of each kind."""
    found = [
        each["metadata"]["apiMethodName"].rpartition(".")[2]
        for each in rest(emulator, "GET", f"{DATASET}/operations").get("operations", [])
    ]
    return {kind: sum(kind in name for name in found) for kind in ("Import", "Export")}


def test_a_store_that_was_deleted_is_drift_and_after_it_was_made_again_everything_runs_again(
    inbox: LocalEmulator,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    stack = Stack(tmp_path, config(inbox))
    stack.up()
    assert runs(inbox) == {"Import": 1, "Export": 2}
    stack.run("refresh", "--yes", "--skip-preview", "--expect-no-changes")
    stack.up("--expect-no-changes")

    rest(inbox, "DELETE", STORE)
    said = stack.refresh()
    assert "the next `pulumi up` runs it again: its DICOM store is gone" in said
    stack.up()
    assert runs(inbox) == {"Import": 2, "Export": 4}
    assert stack.outputs()["exports"]["metadata"]["rows"] == 2
    stack.run("refresh", "--yes", "--skip-preview", "--expect-no-changes")
    stack.up("--expect-no-changes")

    # Somebody makes it again, and nobody looks in between: the import sees it, and tells the exports.
    rest(inbox, "DELETE", STORE)
    rest(inbox, "POST", f"{DATASET}/dicomStores?dicomStoreId=pacs", {})
    said = stack.up()
    assert "runs again: its DICOM store is empty" in said
    assert "runs again: its DICOM store was made again, and filled by import archive" in said
    assert runs(inbox) == {"Import": 3, "Export": 6}
    stack.up("--expect-no-changes")

    # An import that runs again for another reason starts no export.
    stack.config["imaging:imports"][0]["trigger"] = "again"
    stack.up()
    assert runs(inbox) == {"Import": 4, "Export": 6}


def test_a_table_and_its_views_that_were_deleted_are_drift_and_come_back(
    inbox: LocalEmulator,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    stack = Stack(tmp_path, config(inbox))
    stack.up()
    tables = "bigquery/v2/projects/research-analytics/datasets/dicom/tables"
    for name in ("instances", "instances_studies"):
        rest(inbox, "DELETE", f"{tables}/{name}")
    said = stack.refresh()
    assert "runs it again: its table is gone" in said
    assert "1 deleted" in said
    stack.up()
    there = {each["tableReference"]["tableId"] for each in rest(inbox, "GET", tables)["tables"]}
    assert {"instances", "instances_studies"} <= there
    assert stack.outputs()["exports"]["metadata"]["rows"] == 2
    stack.up("--expect-no-changes")


def test_a_dataset_and_a_bucket_that_move_take_grants_and_views_with_them_and_their_exports_run_again(
    inbox: LocalEmulator,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    stack = Stack(tmp_path, config(inbox))
    stack.config["imaging:permissionWait"] = "5s"  # a grant that is missing would fail the exports soon
    stack.up()
    for kind in ("imaging:bigquery", "imaging:buckets"):
        for each in stack.config[kind]:
            each["location"] = "US"
    stack.up()
    assert runs(inbox)["Export"] == 4
    assert stack.outputs()["exports"]["metadata"]["rows"] == 2
    tables = "bigquery/v2/projects/research-analytics/datasets/dicom/tables"
    assert "instances_studies" in {each["tableReference"]["tableId"] for each in rest(inbox, "GET", tables)["tables"]}
    stack.run("refresh", "--yes", "--skip-preview", "--expect-no-changes")
    stack.up("--expect-no-changes")
