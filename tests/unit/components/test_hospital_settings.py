"""The settings that hospitals are asked for declare what a program of Google's own resources declares for them.

Such a program was run with the official plugin; what it gave to each resource is in
tests/unit/engine/official_gcp_9_35_0, and so is what the plugin sent for it, which the stand-in is held to. So what the
settings here declare is sent to Google as recorded.
"""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.access.grants import grants_for
from components.resources.bucket import Bucket, BucketArgs, LifecycleRule
from components.settings import settings_from
from components.stack import Imaging

yaml: Any = importlib.import_module("yaml")  # it has no type stubs
Run = Callable[..., Any]
RECORDED = Path(__file__).parents[1] / "engine" / "official_gcp_9_35_0" / "settings-create.state.json"

SETTINGS = """
project: p-settings-1
location: europe-west4
dataset: { name: set-1, timeZone: UTC }
stores:
  - name: pacs
    labels: { x: y }
    notifications: [ { topic: projects/p-settings-1/topics/set-1-notify, bulkImports: true } ]
buckets:
  - { name: set-1-logged, location: EU, accessLogs: { bucket: set-1-logs, prefix: imaging } }
  - { name: set-1-cold, location: EUROPE-WEST4, storageClass: COLDLINE }
  - { name: set-1-versioned, location: EU, versioning: true, softDelete: 14d }
  - { name: set-1-retained, location: EU, retention: { for: 1d } }
  - name: set-1-cors
    location: EU
    cors: [ { origins: [ "https://viewer.example.org" ], methods: [ GET ], headers: [ Content-Type ], maxAge: 1h } ]
  - { name: set-1-dual, location: EU, regions: [ europe-west1, europe-west4 ], turboReplication: true }
  - { name: set-1-auto, location: EU, autoclass: { terminalStorageClass: ARCHIVE } }
  - { name: set-1-logs, location: EU }
  - { name: set-1-held, location: EU, eventBasedHold: true }
  - { name: set-1-granted, location: EU }
  - name: set-1-lifecycle
    location: EU
    versioning: true
    lifecycle:
      - { action: ARCHIVE, afterDays: 365, storageClasses: [ STANDARD, NEARLINE ] }
      - { action: delete, newerVersions: 3, versions: noncurrent }
      - { action: delete, noncurrentDays: 30 }
      - { action: abort-uploads, afterDays: 7 }
      - { action: delete, createdBefore: "2020-01-01", prefixes: [ tmp/ ], suffixes: [ .tmp ] }
      - { action: delete, customTimeBefore: "2020-01-01", customTimeDays: 10 }
      - { action: delete, afterDays: 0, prefixes: [ gone/ ] }
topics:
  - { name: set-1-regions, labels: { a: b }, regions: [ europe-west4 ], enforceInTransit: true, retention: 1d }
  - { name: set-1-notify }
bigquery:
  - name: set_1_named
    location: EU
    title: Imaging metadata
    partitionExpiration: 1d
    timeTravel: 72h
    billing: physical
"""

# What the recorded program sets and the settings leave to a program of one's own, and what the components always say.
LEFT_OUT = {"requesterPays", "defaultCollation", "isCaseInsensitive"}
ALWAYS = {"project", "deleteContentsOnDestroy"}
UNTIL = {"title": "until 2027", "expression": "request.time < timestamp('2027-01-01T00:00:00Z')"}


def recorded() -> dict[tuple[str, str], dict[str, Any]]:
    found = {}
    for each in json.loads(RECORDED.read_text(encoding="utf-8")):
        inputs = {name: value for name, value in each["inputs"].items() if name not in LEFT_OUT}
        if not each["type"].endswith("IAMMember"):
            found[each["type"], inputs.get("name") or inputs["datasetId"]] = inputs
    return found


def test_what_is_declared_is_what_the_official_plugin_was_given(run: Run) -> None:
    settings = settings_from(yaml.safe_load(SETTINGS))
    program = run(lambda: Imaging(settings).outputs["dataset"])
    expected = recorded()
    found = {}
    for kind, name in expected:
        (declared,) = [
            each for each in program.all(kind) if name in (each.inputs.get("name"), each.inputs.get("datasetId"))
        ]
        inputs = {key: value for key, value in declared.inputs.items() if key not in ALWAYS}
        if kind == "gcp:storage/bucket:Bucket":
            inputs.setdefault("storageClass", "STANDARD")  # the plugin's default
        found[kind, name] = inputs
    assert found == expected
    assert {each.inputs["name"] for each in program.all("gcp:storage/bucket:Bucket")} == {
        name for kind, name in expected if kind == "gcp:storage/bucket:Bucket"
    }


def test_access_logs_come_after_their_bucket_and_its_grant(run: Run) -> None:
    program = run(lambda: Imaging(settings_from(yaml.safe_load(SETTINGS))).outputs["dataset"])
    logged = program.one("gcp:storage/bucket:Bucket", "set-1-logged")
    assert "set-1-logs" in logged.after
    (grant,) = [
        each
        for each in program.all("gcp:storage/bucketIAMMember:BucketIAMMember")
        if each.inputs["member"] == "group:cloud-storage-analytics@google.com"
    ]
    assert (grant.inputs["bucket"], grant.inputs["role"]) == ("set-1-logs", "roles/storage.objectCreator")


def test_a_locked_retention_is_declared_and_protected(run: Run) -> None:
    text = SETTINGS.replace("retention: { for: 1d }", "retention: { for: 1d, locked: true }")
    program = run(lambda: Imaging(settings_from(yaml.safe_load(text))).outputs["dataset"])
    bucket = program.one("gcp:storage/bucket:Bucket", "set-1-retained")
    assert bucket.inputs["retentionPolicy"] == {"retentionPeriod": "86400", "isLocked": True}
    assert bucket.protect


def test_a_lock_without_protection_is_refused_by_the_component_too(run: Run) -> None:
    args = BucketArgs(name="b-1", project="p", location="EU", retention=60, retention_locked=True)
    args.deletion_protection = False
    with pytest.raises(ValueError, match="can't be undone"):
        run(lambda: Bucket("b", args).name)


@pytest.mark.parametrize(
    ("rule", "condition"),
    [
        (
            LifecycleRule(action="delete", noncurrent_days=0),
            ("daysSinceNoncurrentTime", "sendDaysSinceNoncurrentTimeIfZero"),
        ),
        (LifecycleRule(action="delete", custom_time_days=0), ("daysSinceCustomTime", "sendDaysSinceCustomTimeIfZero")),
        (LifecycleRule(action="delete", after_days=0), ("age", "sendAgeIfZero")),
    ],
)
def test_a_condition_of_no_days_is_sent(run: Run, rule: LifecycleRule, condition: tuple[str, str]) -> None:
    program = run(lambda: Bucket("b", BucketArgs(name="b-1", project="p", location="EU", lifecycle=[rule])).name)
    (found,) = program.one("gcp:storage/bucket:Bucket").inputs["lifecycleRules"]
    assert found["condition"] == {condition[0]: 0, condition[1]: True}


def test_a_member_with_and_without_a_condition_has_two_grants(run: Run) -> None:
    """The same member may read the tables until 2027, and one table's dataset for good."""
    group = "group:study-17@example.org"
    readers = [group, {"member": group, "condition": UNTIL}]
    raw = {
        "project": "p-settings-1",
        "location": "europe-west4",
        "dataset": {"name": "radiology"},
        "stores": [{"name": "pacs", "readers": [{"member": group, "condition": {**UNTIL, "description": "study 17"}}]}],
        "bigquery": [{"name": "dicom", "readers": readers}],
    }
    assert len(grants_for(settings_from(raw))) == 3
    program = run(lambda: Imaging(settings_from(raw)).outputs["dataset"])
    tables = program.all("gcp:bigquery/datasetIamMember:DatasetIamMember")
    assert [each.inputs.get("condition") for each in tables] == [None, UNTIL]
    assert len({each.name for each in tables}) == 2
    (store,) = program.all("gcp:healthcare/dicomStoreIamMember:DicomStoreIamMember")
    assert store.inputs["condition"] == {**UNTIL, "description": "study 17"}
