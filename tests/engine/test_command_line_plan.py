"""`python -m operations plan` over the state that the real CLI exports: it says what the next `up` then does."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emulator.server.server import LocalEmulator
from operations.command_line import main
from tests.engine.operations_program import Program
from tests.protocol.operations.hospital import STORE, TABLE, Hospital

pytestmark = pytest.mark.engine


@pytest.fixture
def hospital(emulator: LocalEmulator) -> Iterator[Hospital]:
    made = Hospital(emulator)
    made.store_instances(3)
    yield made
    made.close()


def test_the_plan_says_what_the_next_up_does_and_why(
    hospital: Hospital, emulator: LocalEmulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = {"store": STORE, "destination": TABLE, "write_disposition": "WRITE_TRUNCATE", "endpoint": emulator.url}
    program = Program(tmp_path, {"metadata": {**export, "permission_wait": 0, "rerun": "when-store-changes"}})
    state = tmp_path / "state.json"

    def plan() -> list[dict[str, Any]]:
        state.write_text(program.command("stack", "export"), encoding="utf-8")
        capsys.readouterr()
        assert main(["plan", str(state), "--json"], environment={}) == 0
        found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
        return found

    hospital.fault("export", operation={"error": {"code": 13, "message": "planned"}})
    program.up_fails()
    (failed,) = plan()
    assert (failed["name"], failed["kind"], failed["does"]) == ("metadata", "export", "runs")
    assert failed["why"] == "the last operation failed with INTERNAL"

    program.up()
    (held,) = plan()
    assert (held["does"], held["why"]) == ("holds", "nothing has changed")
    assert held["operation"] == program.outcome("metadata")["operation"]

    hospital.store_instances(1, study="1.2.4")
    (changed,) = plan()
    assert changed["does"] == "runs"
    assert changed["why"] == "store changed since the last run: 3 → 4 instances"
    assert changed["why"] in program.preview()
