"""Grants take time to spread: what needs a fresh one waits for it, and nothing else waits.

https://cloud.google.com/iam/docs/access-change-propagation. The emulator's `iamPropagationSeconds` holds back each new
grant that long.
"""

from pathlib import Path
from typing import Any

import pytest

from emulator.server.server import LocalEmulator
from tests.engine.stack_runner import Stack, rest

pytestmark = pytest.mark.engine

PLACE = "europe-west4"
RING = f"projects/keys-project/locations/{PLACE}/keyRings/imaging"
KEY = f"{RING}/cryptoKeys/images"

STREAM = {"name": "pacs", "streams": [{"table": "bq://research-analytics.stream.pacs"}]}

# What a stack of each kind has, and the call that is refused until the grant is in effect.
KINDS: dict[str, tuple[dict[str, Any], tuple[str, int]]] = {
    "store that streams": (
        {"stores": [STREAM], "bigquery": [{"name": "stream", "project": "research-analytics"}]},
        ("healthcare.projects.locations.datasets.dicomStores.create", 403),
    ),
    "topic with a key": (
        {"topics": [{"name": "dicom", "project": "messages", "kmsKey": KEY}]},
        ("pubsub.projects.topics.create", 400),
    ),
    "bucket with a key": (
        {"buckets": [{"name": "hospital-dicom-out", "project": "storage-project", "kmsKey": KEY}]},
        ("storage.buckets.insert", 403),
    ),
}


def config(emulator: LocalEmulator, **more: Any) -> dict[str, Any]:
    settings = {
        "location": PLACE,
        "dataset": {"name": "radiology"},
        "stores": [{"name": "pacs"}],
        "deletionProtection": False,
        "endpoint": emulator.url,
        **more,
    }
    return {"gcp:project": "hospital-imaging", **{f"imaging:{key}": value for key, value in settings.items()}}


def make_key(emulator: LocalEmulator) -> None:
    rest(emulator, "POST", f"v1/{RING.rpartition('/')[0]}?keyRingId=imaging", {})
    rest(emulator, "POST", f"v1/{RING}/cryptoKeys?cryptoKeyId=images", {"purpose": "ENCRYPT_DECRYPT"})


def calls(emulator: LocalEmulator) -> list[tuple[str, int]]:
    requests = rest(emulator, "GET", "emulator/v1/requests")["requests"]
    return [(each["method"], each["status"]) for each in requests]


@pytest.mark.parametrize("kind", KINDS)
def test_what_needs_a_fresh_grant_waits_for_it(tmp_path: Path, emulator: LocalEmulator, kind: str) -> None:
    more, refused = KINDS[kind]
    make_key(emulator)
    emulator.control("PATCH", "settings", {"iamPropagationSeconds": 3})
    stack = Stack(tmp_path, config(emulator, **more))
    said = stack.up()
    assert refused in calls(emulator)
    assert "waiting for a new grant to take effect: 0 s of at most 10 m (imaging:permissionWait)" in said
    assert stack.preview() == {}


def test_a_dataset_waits_for_its_key_before_it_is_made(tmp_path: Path, emulator: LocalEmulator) -> None:
    make_key(emulator)
    emulator.control("PATCH", "settings", {"iamPropagationSeconds": 3})
    stack = Stack(tmp_path, config(emulator, dataset={"name": "radiology", "kmsKey": KEY}))
    said = stack.up()
    assert "waiting for a new grant to take effect: 0 s of at most 10 m (imaging:permissionWait)" in said
    datasets = "v1/projects/hospital-imaging/locations/europe-west4/datasets"
    assert [each["name"].rpartition("/")[2] for each in rest(emulator, "GET", datasets)["datasets"]] == ["radiology"]
    assert stack.preview() == {}
    made = calls(emulator)
    # A second `up` grants nothing, and so tries nothing.
    stack.config["imaging:dataset"]["timeZone"] = "Europe/Berlin"
    stack.up()
    assert ("healthcare.projects.locations.datasets.create", 200) not in calls(emulator)[len(made) :]


def test_the_wait_is_bounded_and_says_so(tmp_path: Path, emulator: LocalEmulator) -> None:
    make_key(emulator)
    emulator.control("PATCH", "settings", {"iamPropagationSeconds": 3600})
    stack = Stack(tmp_path, config(emulator, **KINDS["topic with a key"][0], permissionWait="2s"))
    said = stack.up_fails()
    assert "a new grant did not take effect within 2 s (imaging:permissionWait)" in said
    assert "Cloud Pub/Sub did not have the necessary permissions" in said


def test_nothing_waits_where_nothing_was_granted(tmp_path: Path, emulator: LocalEmulator) -> None:
    make_key(emulator)
    topics = [{"name": "dicom", "project": "messages", "kmsKey": KEY}]
    stack = Stack(tmp_path, config(emulator, topics=topics))
    stack.up()
    # The grant is taken away behind the stack's back; this update makes none, so waiting would be in vain.
    rest(emulator, "POST", f"v1/{KEY}:setIamPolicy", {"policy": {"bindings": []}})
    stack.config["imaging:topics"] = [*topics, {"name": "more", "project": "messages", "kmsKey": KEY}]
    said = stack.up_fails()
    assert "Cloud Pub/Sub did not have the necessary permissions" in said
    assert "waiting for" not in said
    assert "retrying" not in said


def test_a_refusal_of_the_caller_is_not_waited_for(tmp_path: Path, emulator: LocalEmulator) -> None:
    make_key(emulator)
    policy = {"bindings": [{"role": "roles/cloudkms.admin", "members": ["user:alice@example.org"]}]}
    rest(emulator, "POST", f"v1/{KEY}:setIamPolicy", {"policy": policy})
    bindings = [
        {"role": role, "members": ["user:alice@example.org"]}
        for role in ("roles/browser", "roles/serviceusage.serviceUsageAdmin", "roles/healthcare.datasetAdmin")
    ]
    for project in ("hospital-imaging", "messages", "keys-project"):
        rest(emulator, "POST", f"v1/projects/{project}:setIamPolicy", {"policy": {"bindings": bindings}})
    alice = {"GOOGLE_OAUTH_ACCESS_TOKEN": "principal:user:alice@example.org"}
    settings = {**KINDS["topic with a key"][0], "checkPermissions": False, "stores": []}
    stack = Stack(tmp_path, config(emulator, **settings), environment=alice)
    said = stack.up_fails()
    assert "pubsub.topics.create" in said
    assert "waiting for" not in said
    assert "retrying" not in said
