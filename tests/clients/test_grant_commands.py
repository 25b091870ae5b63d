"""The commands that a stack with `grants: external` shows, run as they stand: afterwards nothing is missing."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.access import external as external_grants
from components.access.encrypted import Encrypted
from components.access.google_rest import GoogleRest
from components.access.rules import On
from components.settings import settings_from
from emulator.core.environment import environment
from emulator.server.server import LocalEmulator
from operations.google.connection import Connection, ConnectionSettings

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(not all(map(shutil.which, ("gcloud", "bq"))), reason="gcloud and bq are not installed"),
]

RING = "projects/keys-project/locations/europe-west4/keyRings/imaging"
KEY = f"{RING}/cryptoKeys/images"
DATASET = "projects/hospital-imaging/locations/europe-west4/datasets/radiology"
# At least one grant on each kind of resource, and each agent.
WANTED = settings_from(
    {
        "project": "hospital-imaging",
        "location": "europe-west4",
        "dataset": {"name": "radiology", "kmsKey": KEY, "admins": ["group:admins@example.org"]},
        "stores": [
            {
                "name": "pacs",
                "readers": ["user:reader@example.org"],
                "notifications": [{"topic": "projects/hospital-imaging/topics/dicom"}],
            }
        ],
        "bigquery": [{"name": "dicom", "kmsKey": KEY}],
        "buckets": [{"name": "hospital-dicom-out", "kmsKey": KEY}],
        "topics": [{"name": "dicom", "kmsKey": KEY}],
        "exports": [
            {
                "name": "metadata",
                "store": "pacs",
                "to": "bq://hospital-imaging.dicom.instances",
                "writeDisposition": "WRITE_TRUNCATE",
            },
            {"name": "images", "store": "pacs", "to": "gs://hospital-dicom-out/images/"},
        ],
        "grants": "external",
    }
)


@pytest.fixture
def owner(emulator: LocalEmulator) -> Iterator[GoogleRest]:
    endpoints = dict.fromkeys(("healthcare", "bigquery", "storage", "logging"), emulator.url)
    calls = GoogleRest(Connection(ConnectionSettings(endpoints=endpoints, access_token="owner")))
    yield calls
    calls.close()


def test_the_commands_that_are_shown_make_every_missing_grant(
    emulator: LocalEmulator, owner: GoogleRest, tmp_path: Path
) -> None:
    def make(method: str, path: str, body: dict[str, Any] | None = None) -> None:
        owner.call("healthcare", method, path, body or {})

    make("POST", f"v1/{RING.rpartition('/')[0]}?keyRingId=imaging")
    make("POST", f"v1/{RING}/cryptoKeys?cryptoKeyId=images", {"purpose": "ENCRYPT_DECRYPT"})
    make("POST", f"v1/{DATASET.rpartition('/')[0]}?datasetId=radiology")
    make("POST", f"v1/{DATASET}/dicomStores?dicomStoreId=pacs")
    make("POST", "bigquery/v2/projects/hospital-imaging/datasets", {"datasetReference": {"datasetId": "dicom"}})
    make("POST", "storage/v1/b?project=hospital-imaging", {"name": "hospital-dicom-out"})
    make("PUT", "v1/projects/hospital-imaging/topics/dicom")
    missing = external_grants.missing_grants(WANTED, lambda _: owner)
    assert {each.grant.target.on for each in missing} == set(On)

    told = {**os.environ, **environment(emulator.url), "CLOUDSDK_CONFIG": str(tmp_path), "HOME": str(tmp_path)}
    commands = [line.strip() for line in external_grants.render(missing, Encrypted(WANTED)).splitlines()[1:]]
    for command in commands:
        if not command.startswith("#"):
            done = subprocess.run(shlex.split(command), env=told, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    assert external_grants.missing_grants(WANTED, lambda _: owner) == []
