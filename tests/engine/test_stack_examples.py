"""The example program: the components used from a program of one's own."""

from pathlib import Path
from typing import Any

import pydicom.data
import pytest

from emulator.server import LocalEmulator
from tests.engine.stack_runner import ROOT, Stack
from tests.engine.stack_runner import rest as call

pytestmark = pytest.mark.engine


def test_two_hospitals_export_into_one_table(tmp_path: Path, emulator: LocalEmulator) -> None:
    for hospital, file in (("hospital-a", "CT_small.dcm"), ("hospital-b", "MR_small.dcm")):
        call(emulator, "POST", f"storage/v1/b?project={hospital}", {"name": f"{hospital}-inbox"})
        data = Path(str(pydicom.data.get_testdata_file(file))).read_bytes()
        call(emulator, "POST", f"upload/storage/v1/b/{hospital}-inbox/o?uploadType=media&name={file}", data)
    config: dict[str, Any] = {
        "two-hospitals:hospitals": ["hospital-a", "hospital-b"],
        "two-hospitals:research": "research-analytics",
        "two-hospitals:endpoint": emulator.url,
    }
    stack = Stack(tmp_path, config, program=ROOT / "examples" / "two_hospitals")
    stack.up()
    assert stack.outputs()["rows"] == {"hospital-a": 1, "hospital-b": 2}
    assert stack.preview() == {}
    stack.destroy()
    assert stack.resources() == {}
