"""The policy pack under the real CLI."""

import json
from pathlib import Path
from typing import Any

import pytest

from emulator.server.server import LocalEmulator
from tests.engine.stack_runner import ROOT, Stack, StackFailedError

pytestmark = pytest.mark.engine

ALLOWED = {
    "allowed-locations": {"locations": ["europe-west4"]},
    "allowed-destinations": {"projects": ["hospital-imaging"]},
    "allowed-members": {"members": ["group:*@example.org"]},
}


def config(emulator: LocalEmulator, *, readers: str, location: str) -> dict[str, Any]:
    return {
        "gcp:project": "hospital-imaging",
        "imaging:location": "europe-west4",
        "imaging:dataset": {"name": "radiology"},
        "imaging:stores": [{"name": "pacs", "readers": [readers]}],
        "imaging:bigquery": [{"name": "dicom", "location": location}],
        "imaging:endpoint": emulator.url,
    }


def preview(stack: Stack, folder: Path) -> str:
    configured = folder / "policy.json"
    configured.write_text(json.dumps(ALLOWED), encoding="utf-8")
    return stack.run("preview", "--policy-pack", str(ROOT / "policy"), "--policy-pack-config", str(configured))


def test_a_preview_fails_with_every_rule_that_the_stack_breaks(tmp_path: Path, emulator: LocalEmulator) -> None:
    stack = Stack(tmp_path, config(emulator, readers="user:somebody@example.com", location="US"))
    with pytest.raises(StackFailedError) as failed:
        preview(stack, tmp_path)
    said = str(failed.value)
    assert "location US is none of europe-west4" in said
    assert "user:somebody@example.com is none of group:*@example.org" in said
    assert "allowed-destinations" not in said


def test_a_preview_passes_when_the_stack_keeps_to_the_rules(tmp_path: Path, emulator: LocalEmulator) -> None:
    stack = Stack(tmp_path, config(emulator, readers="group:radiologists@example.org", location="europe-west4"))
    said = preview(stack, tmp_path)
    assert "✅ imaging@v0.1.0" in said
    assert "[advisory]" not in said, "deletion protection is on"
