"""What holds data, by the real CLI against the emulator: created once, refreshed, repaired, protected, gone."""

from pathlib import Path
from typing import Any

import pytest

from emulator.server import LocalEmulator
from tests.engine.stack_runner import Stack

pytestmark = pytest.mark.engine


def config(emulator: LocalEmulator, **more: Any) -> dict[str, Any]:
    return {
        "gcp:project": "hospital-imaging",
        "imaging:location": "europe-west4",
        "imaging:dataset": {"name": "radiology", "timeZone": "Europe/Berlin"},
        "imaging:stores": [{"name": "pacs", "labels": {"team": "radiology"}, "readers": ["group:r@example.org"]}],
        "imaging:bigquery": [
            {"name": "dicom", "project": "research-analytics", "location": "EU", "readers": ["group:a@example.org"]}
        ],
        "imaging:buckets": [{"name": "hospital-dicom-out", "location": "EU"}],
        "imaging:topics": [{"name": "dicom"}],
        "imaging:deletionProtection": False,
        "imaging:endpoint": emulator.url,
        **{f"imaging:{key}": value for key, value in more.items()},
    }


def test_it_is_created_stays_as_it_is_changes_in_place_and_goes(tmp_path: Path, emulator: LocalEmulator) -> None:
    stack = Stack(tmp_path, config(emulator))
    stack.up()
    assert stack.preview() == {}
    stack.refresh()
    assert stack.preview() == {}

    stack.config["imaging:stores"][0]["labels"] = {"team": "research"}
    stack.config["imaging:dataset"]["timeZone"] = "UTC"
    assert stack.preview() == {
        "gcp:healthcare/dicomStore:DicomStore pacs": "update",
        "gcp:healthcare/dataset:Dataset radiology": "update",
    }
    stack.up()
    assert stack.preview() == {}

    stack.destroy()
    assert stack.resources() == {}
