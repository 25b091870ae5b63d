"""How a wrong configuration looks to a person who runs `pulumi preview`."""

import json
import socket
from pathlib import Path

import pydicom
import pydicom.data
import pytest

from emulator.server.server import LocalEmulator
from tests.engine.stack_runner import Stack, rest

pytestmark = pytest.mark.engine


def test_every_mistake_is_shown_at_once_and_without_a_traceback(tmp_path: Path) -> None:
    stack = Stack(
        tmp_path,
        {
            "gcp:project": "hospital-imaging",
            "imaging:location": "europe-west4",
            "imaging:dataset": {"name": "radiology"},
            "imaging:stores": [{"name": "pacs"}],
            "imaging:exports": [
                {
                    "name": "metadata",
                    "store": "pacs",
                    "to": "bq://research-analytics.dicom",
                    "writeDisposition": "WRITE_EMPTY",
                },
                {
                    "name": "images",
                    "store": "pacs",
                    "to": "gs://hospital-dicom-out/jpeg/",
                    "mimeType": "image/png",
                    "writeDisposition": "WRITE_EMPTY",
                },
            ],
            "imaging:bucket": [],
        },
    )
    said = stack.preview_fails()
    assert "unhandled error" not in said
    assert "exited with" not in said
    assert "error: 3 problems in the stack configuration" in said
    assert (
        '  imaging:exports[0].to  "bq://research-analytics.dicom" names no table; write bq://PROJECT.DATASET.TABLE\n'
        in said
    )
    assert (
        "  imaging:exports[1]     both mimeType and writeDisposition are set; "
        "writeDisposition is for bq:// destinations\n"
    ) in said
    assert 'imaging:bucket         is not a setting; did you mean "buckets"?' in said
    assert "Traceback" not in said


def test_an_emulator_that_is_not_running_is_said_once_with_the_command_that_starts_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
    stack = Stack(
        tmp_path,
        {
            "gcp:project": "hospital-imaging",
            "imaging:location": "europe-west4",
            "imaging:dataset": {"name": "radiology"},
            "imaging:endpoint": endpoint,
        },
    )
    for said in (stack.preview_fails(), stack.up_fails()):
        assert f"nothing answers at {endpoint} (imaging:endpoint); start the emulator with `make emulator`" in said
        assert "Traceback" not in said


def test_an_encrypted_setting_is_used_and_stays_secret(tmp_path: Path, emulator: LocalEmulator) -> None:
    stack = Stack(
        tmp_path,
        {
            "gcp:project": "hospital-imaging",
            "imaging:location": "europe-west4",
            "imaging:dataset": {"name": "radiology"},
            "imaging:deletionProtection": False,
            "imaging:endpoint": emulator.url,
        },
    )
    stack.set_secret("imaging:bigquery[0].name", "dicom")
    stack.set_secret("imaging:bigquery[0].readers[0]", "user:somebody.special@example.org")
    stack.up()
    assert "somebody.special@example.org" in str(
        rest(emulator, "GET", "bigquery/v2/projects/hospital-imaging/datasets/dicom")["access"]
    )
    members = [
        each["inputs"]["member"]
        for key, each in stack.resources().items()
        if key.startswith("gcp:bigquery/datasetIamMember:DatasetIamMember")
    ]
    assert members
    assert all(isinstance(each, dict) for each in members), "in clear"
    assert "somebody.special" not in stack.run("stack", "output")
    assert stack.preview() == {}
    stack.destroy()


def test_encrypted_texts_are_nowhere_in_the_state_in_clear(tmp_path: Path, emulator: LocalEmulator) -> None:
    for bucket in ("hospital-dicom-inbox", "hospital-dicom-out"):
        rest(emulator, "POST", "storage/v1/b?project=hospital-imaging", {"name": bucket})
    file = Path(str(pydicom.data.get_testdata_file("CT_small.dcm")))
    study = str(pydicom.dcmread(file).StudyInstanceUID)
    rest(
        emulator,
        "POST",
        "upload/storage/v1/b/hospital-dicom-inbox/o?uploadType=media&name=doe/CT.dcm",
        file.read_bytes(),
    )
    metadata = {
        "name": "metadata",
        "store": "pacs",
        "writeDisposition": "WRITE_TRUNCATE",
        "rerun": "when-store-changes",
    }
    stack = Stack(
        tmp_path,
        {
            "gcp:project": "hospital-imaging",
            "imaging:location": "europe-west4",
            "imaging:dataset": {"name": "radiology"},
            "imaging:stores": [{"name": "pacs"}],
            "imaging:bigquery": [{"name": "dicom"}],
            "imaging:imports": [{"name": "archive", "store": "pacs"}],
            "imaging:exports": [
                {**metadata, "to": "bq://hospital-imaging.dicom.instances", "filter": {"lines": [""]}},
                {"name": "images", "store": "pacs"},
            ],
            "imaging:deletionProtection": False,
            "imaging:endpoint": emulator.url,
        },
    )
    secrets = {
        "imaging:stores[0].labels.customer": "doe-clinics",
        "imaging:bigquery[0].description": "All about Mrs Doe",
        "imaging:imports[0].from": "gs://hospital-dicom-inbox/doe/**",
        "imaging:exports[0].trigger": "because of Mrs Doe",
        "imaging:exports[0].filter.lines[0]": f"/studies/{study}",
        "imaging:exports[1].to": "gs://hospital-dicom-out/doe/",
    }
    for path, text in secrets.items():
        stack.set_secret(path, text)
    stack.up()
    state = stack.run("stack", "export")
    assert [text for text in secrets.values() if text in state] == []
    shown = stack.run("stack", "output", "--json")
    assert [text for text in secrets.values() if text in shown] == []
    # All but the destination is there to be read.
    images = json.loads(shown)["exports"]["images"]
    assert (images["destination"], images["success"]) == ("[secret]", 1)
    assert stack.preview() == {}
    stack.destroy()
