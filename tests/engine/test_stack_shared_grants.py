"""Two stacks of one project need the same grants: what destroying one leaves to the other."""

from pathlib import Path
from typing import Any

import pydicom.data
import pytest

from emulator.server.server import LocalEmulator
from tests.engine.stack_runner import Stack, rest

pytestmark = pytest.mark.engine


def make_stack(folder: Path, emulator: LocalEmulator, name: str) -> Stack:
    folder.mkdir()
    settings: dict[str, Any] = {
        "location": "europe-west4",
        "dataset": {"name": name},
        "stores": [{"name": "pacs"}],
        # Neither stack declares the bucket: both only use it.
        "imports": [{"name": "archive", "store": "pacs", "from": "gs://hospital-dicom-inbox/*.dcm"}],
        "permissionWait": "1s",
        "deletionProtection": False,
        "endpoint": emulator.url,
    }
    config = {"gcp:project": "hospital-imaging", **{f"imaging:{key}": value for key, value in settings.items()}}
    return Stack(folder, config, name=name)


def roles_of_the_agent(emulator: LocalEmulator) -> set[str]:
    policies = (
        rest(emulator, "POST", "v1/projects/hospital-imaging:getIamPolicy", {}),
        rest(emulator, "GET", "storage/v1/b/hospital-dicom-inbox/iam"),
    )
    return {
        binding["role"]
        for policy in policies
        for binding in policy.get("bindings", [])
        if any("gcp-sa-healthcare" in member for member in binding["members"])
    }


def test_destroying_one_keeps_the_agents_own_role_and_the_other_says_what_brings_the_rest_back(
    tmp_path: Path, emulator: LocalEmulator
) -> None:
    emulator.control("PATCH", "settings", {"requireAgentRole": True})
    rest(emulator, "POST", "storage/v1/b?project=storage-project", {"name": "hospital-dicom-inbox"})
    file = Path(str(pydicom.data.get_testdata_file("CT_small.dcm")))
    path = "upload/storage/v1/b/hospital-dicom-inbox/o?uploadType=media&name=CT_small.dcm"
    rest(emulator, "POST", path, file.read_bytes())
    one, other = (make_stack(tmp_path / name, emulator, name) for name in ("one", "other"))
    one.up()
    other.up()
    one.destroy()
    assert one.resources() == {}
    assert roles_of_the_agent(emulator) == {"roles/healthcare.serviceAgent"}

    other.config["imaging:imports"][0]["trigger"] = "again"
    said = other.up_fails()
    assert "PERMISSION_DENIED" in said
    assert "roles/storage.objectViewer" in said
    assert "`pulumi up --refresh`" in said
    other.up("--refresh")
    assert roles_of_the_agent(emulator) == {"roles/healthcare.serviceAgent", "roles/storage.objectViewer"}
    assert other.outputs()["imports"]["archive"]["state"] == "succeeded"
