"""What a person sees: a preview that sums up, outputs that stay short, a failure that is not buried."""

import re
from pathlib import Path
from typing import Any

import pydicom.data
import pytest

from emulator.server.server import LocalEmulator
from operations.command_line import main
from tests.engine.stack_runner import Stack, rest

pytestmark = pytest.mark.engine

BROKEN = 12


@pytest.fixture
def inbox(emulator: LocalEmulator) -> LocalEmulator:
    for bucket in ("hospital-inbox", "hospital-out"):
        rest(emulator, "POST", "storage/v1/b?project=elsewhere", {"name": bucket})
    image = Path(str(pydicom.data.get_testdata_file("CT_small.dcm"))).read_bytes()
    files = {"CT.dcm": image, **{f"broken-{number}.dcm": b"no DICOM" for number in range(BROKEN)}}
    for name, data in files.items():
        rest(emulator, "POST", f"upload/storage/v1/b/hospital-inbox/o?uploadType=media&name={name}", data)
    return emulator


def config(emulator: LocalEmulator, exports: int) -> dict[str, Any]:
    return {
        "gcp:project": "hospital-imaging",
        "imaging:location": "europe-west4",
        "imaging:dataset": {"name": "radiology"},
        "imaging:stores": [{"name": "pacs"}],
        "imaging:imports": [
            {"name": "archive", "store": "pacs", "from": "gs://hospital-inbox/*.dcm", "allowedFailures": BROKEN}
        ],
        "imaging:exports": [
            {"name": f"export-{number}", "store": "pacs", "to": f"gs://hospital-out/{number}/"}
            for number in range(exports)
        ],
        "imaging:deletionProtection": False,
        "imaging:endpoint": emulator.url,
    }


def test_a_preview_sums_up_and_outputs_carry_three_failures_and_the_command_for_all(
    tmp_path: Path, inbox: LocalEmulator, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = Stack(tmp_path, config(inbox, exports=3))
    said = stack.run("preview")
    assert "imports and exports: 4 start" in said
    assert "  start, without a success so far: archive, export-0, export-1, export-2" in said
    stack.up()
    assert "imports and exports: 4 hold" in stack.run("preview")

    stack.config["imaging:exports"][1]["trigger"] = "again"
    stack.config["imaging:exports"].append({"name": "new", "store": "pacs", "to": "gs://hospital-out/new/"})
    said = stack.run("preview")
    assert "imports and exports: 2 start, 3 hold" in said
    assert "  start again, for the reason on the row of each: export-1" in said
    assert "  start, without a success so far: new" in said
    # On its row and under Diagnostics, which the CLI makes of one message.
    assert len(re.findall(r"Diagnostics:.*runs again: the trigger changed", said, re.DOTALL)) == 1

    archive = stack.outputs()["imports"]["archive"]
    assert (archive["failure"], len(archive["errors"])) == (BROKEN, 3)
    command = archive["allFailures"].split()
    assert command[:4] == ["python", "-m", "operations", "failures"]
    assert main(command[3:], environment={}) == 0
    shown = capsys.readouterr().out
    assert [number for number in range(BROKEN) if f"gs://hospital-inbox/broken-{number}.dcm" not in shown] == []
    assert "CT.dcm" not in shown
    assert stack.up().count("broken-") <= 3, "an update without changes is silent about what is known"
    stack.destroy()


def test_a_failure_removes_no_output_and_stands_with_its_report(tmp_path: Path, inbox: LocalEmulator) -> None:
    stack = Stack(tmp_path, config(inbox, exports=8))
    stack.up()
    before = stack.outputs()
    fault = {"method": "healthcare.projects.locations.datasets.dicomStores.export", "times": 1}
    effect = {"operation": {"seconds": 0, "error": {"code": 13, "message": "something broke inside"}}}
    inbox.control("POST", "faults", {**fault, "effect": effect})
    stack.config["imaging:exports"][5]["trigger"] = "again"
    said = stack.up_fails()
    report = said[said.index("Diagnostics:") :]
    assert 'export "export-5"' in report
    assert "INTERNAL (13): something broke inside" in report
    assert [line for line in report.splitlines() if line.lstrip().startswith("- ")] == [], "nothing is removed"
    assert stack.outputs() == before
    stack.config["imaging:exports"][5].pop("trigger")
    stack.up()
    stack.destroy()
