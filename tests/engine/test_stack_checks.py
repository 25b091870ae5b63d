"""What a preview finds out before anything is created: the deployer's own permissions, and grants made elsewhere."""

from pathlib import Path
from typing import Any

import pytest

from emulator.server.server import LocalEmulator
from tests.engine.stack_runner import Stack, rest

pytestmark = pytest.mark.engine


def config(emulator: LocalEmulator, **more: Any) -> dict[str, Any]:
    return {
        "gcp:project": "hospital-imaging",
        "imaging:location": "europe-west4",
        "imaging:dataset": {"name": "radiology"},
        "imaging:stores": [{"name": "pacs"}],
        "imaging:deletionProtection": False,
        "imaging:endpoint": emulator.url,
        **{f"imaging:{key}": value for key, value in more.items()},
    }


def test_a_deployer_who_lacks_permissions_is_told_before_anything_is_created(
    tmp_path: Path, emulator: LocalEmulator
) -> None:
    alice = {"GOOGLE_OAUTH_ACCESS_TOKEN": "principal:user:alice@example.org"}
    stack = Stack(tmp_path, config(emulator), environment=alice)
    said = stack.preview_fails()
    assert "permissions that this stack needs are lacking" in said
    assert "project hospital-imaging: healthcare.datasets.create, healthcare.datasets.get" in said
    assert "ask for roles/healthcare.datasetAdmin there" in said
    assert "Traceback" not in said

    stack.config["imaging:checkPermissions"] = False
    said = stack.up_fails()
    assert "403" in said, "now the service itself refuses"
    assert "are lacking" not in said


def test_a_mistyped_location_is_told_at_preview_with_the_nearest_one(tmp_path: Path, emulator: LocalEmulator) -> None:
    stack = Stack(tmp_path, config(emulator, location="europe-west44"))
    said = stack.preview_fails()
    assert 'imaging:location  Cloud Healthcare has no location "europe-west44"; did you mean "europe-west4"?' in said
    assert "Traceback" not in said


def test_missing_external_grants_are_commands_to_run(tmp_path: Path, emulator: LocalEmulator) -> None:
    rest(emulator, "POST", "storage/v1/b?project=hospital-imaging", {"name": "hospital-dicom-out"})
    images = {"name": "images", "store": "pacs", "to": "gs://hospital-dicom-out/images/"}
    stack = Stack(tmp_path, config(emulator, grants="external", exports=[images]))
    said = stack.preview_fails()
    number = rest(emulator, "GET", "v1/projects/hospital-imaging")["projectNumber"]
    member = f"serviceAccount:service-{number}@gcp-sa-healthcare.iam.gserviceaccount.com"
    assert "2 grants are missing, and imaging:grants is external, so the stack makes none" in said
    assert (
        "gcloud storage buckets add-iam-policy-binding gs://hospital-dicom-out "
        f"--member {member} --role roles/storage.objectAdmin"
    ) in said

    # With the API comes the agent, and its role on its own project.
    rest(emulator, "POST", "v1/projects/hospital-imaging/services/healthcare.googleapis.com:enable", {})
    policy = {"bindings": [{"role": "roles/storage.objectAdmin", "members": [member]}]}
    rest(emulator, "PUT", "storage/v1/b/hospital-dicom-out/iam", policy)
    previewed = stack.preview()
    assert not [key for key in previewed if "IAMMember" in key or "IamMember" in key]
