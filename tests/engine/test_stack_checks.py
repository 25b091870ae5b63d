"""What a preview finds out before anything is created: the deployer's own permissions, and grants made elsewhere."""

from pathlib import Path
from typing import Any

import pydicom.data
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


ALICE = "user:alice@example.org"


def let_alice(emulator: LocalEmulator, *roles: str) -> None:
    bindings = [{"role": role, "members": [ALICE]} for role in roles]
    path = "v1/projects/hospital-imaging:setIamPolicy"
    rest(emulator, "POST", path, {"policy": {"bindings": bindings}})


def changes(emulator: LocalEmulator) -> list[str]:
    """Return what was called that changes something."""
    asking = ("testIamPermissions", "getIamPolicy", "setIamPolicy")
    requests = rest(emulator, "GET", "emulator/v1/requests")["requests"]
    return [
        each["method"]
        for each in requests
        if each["httpMethod"] != "GET" and not each["method"].endswith(asking) and each["principal"] == ALICE
    ]


def test_who_may_only_read_sees_the_plan_and_what_an_up_needs_and_cannot_update(
    tmp_path: Path, emulator: LocalEmulator
) -> None:
    let_alice(emulator, "roles/viewer")
    stack = Stack(tmp_path, config(emulator), environment={"GOOGLE_OAUTH_ACCESS_TOKEN": f"principal:{ALICE}"})
    said = stack.run("preview")
    assert "gcp:healthcare:Dataset radiology create" in said
    assert "warning: the identity of this preview does not have" in said
    assert "project hospital-imaging: healthcare.datasets.create, healthcare.datasets.update" in said
    assert "grant roles/healthcare.datasetAdmin there to the identity that deploys" in said

    said = stack.up_fails()
    assert "permissions that this stack needs are missing" in said
    assert "grant this identity roles/healthcare.datasetAdmin there" in said
    assert "Traceback" not in said
    assert changes(emulator) == []
    # The stack itself, which Pulumi keeps of every update, is all there is.
    assert list(stack.resources()) in ([], ["pulumi:pulumi:Stack imaging-test"])

    stack.config["imaging:checkPermissions"] = False
    said = stack.up_fails()
    assert "403" in said, "now the service itself refuses"
    assert "are missing" not in said


def test_who_may_only_read_previews_a_stack_that_is_up_with_its_runs_and_views(
    tmp_path: Path, emulator: LocalEmulator
) -> None:
    rest(emulator, "POST", "storage/v1/b?project=hospital-imaging", {"name": "hospital-dicom-inbox"})
    file = Path(str(pydicom.data.get_testdata_file("CT_small.dcm")))
    path = "upload/storage/v1/b/hospital-dicom-inbox/o?uploadType=media&name=CT_small.dcm"
    rest(emulator, "POST", path, file.read_bytes())
    stack = Stack(
        tmp_path,
        config(
            emulator,
            bigquery=[{"name": "dicom"}],
            imports=[{"name": "archive", "store": "pacs", "from": "gs://hospital-dicom-inbox/*.dcm"}],
            exports=[
                {
                    "name": "metadata",
                    "store": "pacs",
                    "to": "bq://hospital-imaging.dicom.instances",
                    "writeDisposition": "WRITE_TRUNCATE",
                    "views": True,
                    "rerun": "when-store-changes",
                }
            ],
        ),
    )
    stack.up()
    policy = rest(emulator, "POST", "v1/projects/hospital-imaging:getIamPolicy", {})
    policy["bindings"].append({"role": "roles/viewer", "members": [ALICE]})
    rest(emulator, "POST", "v1/projects/hospital-imaging:setIamPolicy", {"policy": policy})
    reading = stack.as_somebody_else({"GOOGLE_OAUTH_ACCESS_TOKEN": f"principal:{ALICE}"})
    said = reading.run("preview")
    assert "the identity of this preview does not have" in said
    assert {key: step for key, step in reading.preview().items() if "providers:gcp" not in key} == {}


def test_who_may_not_even_read_is_told_what_a_preview_needs(tmp_path: Path, emulator: LocalEmulator) -> None:
    stack = Stack(tmp_path, config(emulator), environment={"GOOGLE_OAUTH_ACCESS_TOKEN": f"principal:{ALICE}"})
    said = stack.preview_fails()
    assert "1 permission that this stack needs is missing" in said
    assert "project hospital-imaging: resourcemanager.projects.get" in said
    assert "grant this identity roles/browser there" in said
    assert "Traceback" not in said


def test_what_is_optional_is_a_warning_with_what_is_lost(tmp_path: Path, emulator: LocalEmulator) -> None:
    rest(emulator, "POST", "storage/v1/b?project=hospital-imaging", {"name": "hospital-dicom-out"})
    let_alice(
        emulator,
        *("roles/browser", "roles/serviceusage.serviceUsageAdmin", "roles/resourcemanager.projectIamAdmin"),
        *("roles/healthcare.datasetAdmin", "roles/healthcare.dicomStoreAdmin", "roles/healthcare.dicomEditor"),
        *("roles/storage.admin", "roles/cloudkms.admin"),
    )
    images = {"name": "images", "store": "pacs", "to": "gs://hospital-dicom-out/images/"}
    stack = Stack(
        tmp_path,
        config(emulator, exports=[images]),
        environment={"GOOGLE_OAUTH_ACCESS_TOKEN": f"principal:{ALICE}"},
    )
    said = stack.run("preview")
    assert "this identity does not have 1 permission; the stack works without, with less" in said
    assert "project hospital-imaging: logging.logEntries.list" in said
    assert "lost which files or instances failed, and why, is not shown" in said
    assert "roles/logging.viewer" in said


def test_a_project_without_resource_manager_is_one_sentence_with_the_command(
    tmp_path: Path, emulator: LocalEmulator
) -> None:
    # Google enables Resource Manager in no new project.
    emulator.control("PATCH", "settings", {"enforceServices": True})
    robot = "serviceAccount:deployer@hospital-imaging.iam.gserviceaccount.com"
    policy = {"bindings": [{"role": "roles/owner", "members": [robot]}]}
    rest(emulator, "POST", "v1/projects/hospital-imaging:setIamPolicy", {"policy": policy})
    stack = Stack(tmp_path, config(emulator), environment={"GOOGLE_OAUTH_ACCESS_TOKEN": f"principal:{robot}"})
    for said in (stack.preview_fails(), stack.up_fails()):
        assert (
            "error: the Cloud Resource Manager API is not enabled in project hospital-imaging, so that no project can "
            "be read or granted on; run `gcloud services enable cloudresourcemanager.googleapis.com "
            "serviceusage.googleapis.com --project=hospital-imaging`" in said
        )
        assert "Traceback" not in said
    service = "v1/projects/hospital-imaging/services/cloudresourcemanager.googleapis.com"
    rest(emulator, "POST", f"{service}:enable", {})
    stack.up()


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
