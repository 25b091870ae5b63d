"""The settings that hospitals are asked for, by the CLI: set once, in effect, changed in place, unchanged after."""

from pathlib import Path
from typing import Any

import pytest

from emulator.server.server import LocalEmulator
from tests.engine.stack_runner import Stack, rest

pytestmark = pytest.mark.engine

UNTIL = {"title": "until 2127", "expression": "request.time < timestamp('2127-01-01T00:00:00Z')"}
LOGS = {"name": "hospital-logs", "location": "EU"}


def config(emulator: LocalEmulator, **more: Any) -> dict[str, Any]:
    return {
        "gcp:project": "hospital-imaging",
        "imaging:location": "europe-west4",
        "imaging:dataset": {"name": "radiology"},
        "imaging:stores": [
            {"name": "pacs", "readers": [{"member": "group:study-17@example.org", "condition": UNTIL}]},
        ],
        "imaging:buckets": [
            {
                "name": "hospital-archive",
                "location": "EU",
                "storageClass": "COLDLINE",
                "versioning": True,
                "softDelete": "14d",
                "eventBasedHold": True,
                "regions": ["EUROPE-WEST1", "EUROPE-WEST4"],
                "turboReplication": True,
                "accessLogs": {"bucket": "hospital-logs", "prefix": "imaging"},
                "cors": [{"origins": ["https://viewer.example.org"], "methods": ["GET"], "maxAge": "1h"}],
                "lifecycle": [
                    {"action": "delete", "afterDays": 365, "prefixes": ["tmp/"], "storageClasses": ["STANDARD"]},
                    {"action": "delete", "newerVersions": 3, "versions": "noncurrent"},
                    {"action": "delete", "noncurrentDays": 0},
                    {"action": "delete", "createdBefore": "2024-01-01", "customTimeDays": 3},
                    {"action": "abort-uploads", "afterDays": 7},
                ],
            },
            {"name": "hospital-auto", "location": "EU", "autoclass": {"terminalStorageClass": "ARCHIVE"}},
            {"name": "hospital-kept", "location": "EU", "retention": {"for": "30d"}},
            LOGS,
        ],
        "imaging:topics": [{"name": "dicom", "regions": ["europe-west4"], "enforceInTransit": True, "retention": "7d"}],
        "imaging:bigquery": [
            {
                "name": "dicom",
                "location": "EU",
                "title": "Imaging",
                "partitionExpiration": "90d",
                "timeTravel": "72h",
                "billing": "physical",
                "readers": ["group:a@example.org", {"member": "group:a@example.org", "condition": UNTIL}],
            }
        ],
        "imaging:deletionProtection": False,
        "imaging:endpoint": emulator.url,
        **{f"imaging:{key}": value for key, value in more.items()},
    }


def test_they_are_set_stay_as_they_are_change_in_place_and_go(tmp_path: Path, emulator: LocalEmulator) -> None:
    stack = Stack(tmp_path, config(emulator))
    stack.up()
    assert stack.preview() == {}
    stack.refresh()
    assert stack.preview() == {}

    made = rest(emulator, "POST", "upload/storage/v1/b/hospital-archive/o?uploadType=media&name=a.dcm", b"DICM")
    assert (made["storageClass"], made["eventBasedHold"]) == ("COLDLINE", True)
    rest(emulator, "PATCH", "storage/v1/b/hospital-archive/o/a.dcm", {"eventBasedHold": False})

    archive, auto, kept, _ = stack.config["imaging:buckets"]
    archive |= {"storageClass": "NEARLINE", "eventBasedHold": False, "softDelete": "0d", "turboReplication": False}
    auto["autoclass"] = {"terminalStorageClass": "NEARLINE"}
    kept["retention"] = {"for": "60d"}
    stack.config["imaging:topics"][0]["retention"] = "14d"
    stack.config["imaging:bigquery"][0] |= {"title": "Images", "timeTravel": "168h"}
    assert set(stack.preview().values()) == {"update"}
    stack.up()
    assert stack.preview() == {}
    stack.refresh()
    assert stack.preview() == {}
    assert rest(emulator, "GET", "storage/v1/b/hospital-archive")["softDeletePolicy"]["retentionDurationSeconds"] == "0"
    assert rest(emulator, "GET", "storage/v1/b/hospital-kept")["retentionPolicy"]["retentionPeriod"] == "5184000"

    stack.destroy()
    assert stack.resources() == {}


def test_a_lock_is_announced_in_the_preview_and_holds(tmp_path: Path, emulator: LocalEmulator) -> None:
    kept = {"name": "hospital-kept", "location": "EU", "retention": {"for": "30d", "locked": True}}
    stack = Stack(
        tmp_path, config(emulator, buckets=[kept], deletionProtection=True, stores=[], topics=[], bigquery=[])
    )
    said = stack.run("preview")
    assert "imaging:buckets[0].retention.locked: can't be undone" in said
    stack.up()
    assert rest(emulator, "GET", "storage/v1/b/hospital-kept")["retentionPolicy"]["isLocked"] is True
    assert stack.preview() == {}
    kept["retention"] = {"for": "31d", "locked": True}
    stack.up()
    assert rest(emulator, "GET", "storage/v1/b/hospital-kept")["retentionPolicy"]["retentionPeriod"] == "2678400"


def test_mistakes_are_named_in_a_preview_and_near_namespaces_warned_of(tmp_path: Path, emulator: LocalEmulator) -> None:
    lines = {"name": "images", "store": "pacs", "to": "gs://hospital-logs/x", "filter": {"lines": ["studies/1.2/x"]}}
    query = {"name": "more", "store": "pacs", "to": "gs://hospital-logs/y", "filter": {"query": " "}}
    stack = Stack(tmp_path, config(emulator, exports=[lines, query]))
    said = stack.preview_fails()
    assert "2 problems in the stack configuration" in said
    assert "imaging:exports[0].filter.lines[0]" in said
    assert "imaging:exports[1].filter.query" in said
    assert "Traceback" not in said
    del stack.config["imaging:exports"]
    stack.config["imagin:stores"] = [{"name": "lost"}]
    assert 'imagin:stores: is not read, because the namespace is "imagin"; write imaging:stores' in stack.run("preview")
