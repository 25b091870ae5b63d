"""How a wrong configuration looks to a person who runs `pulumi preview`."""

from pathlib import Path

import pytest

from tests.engine.stack_runner import Stack

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
