"""How a wrong configuration looks to a person who runs `pulumi preview`."""

import socket
from pathlib import Path

import pytest

from emulator.server import LocalEmulator
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
    assert 'imaging:bucket         is no setting; did you mean "buckets"?' in said
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
