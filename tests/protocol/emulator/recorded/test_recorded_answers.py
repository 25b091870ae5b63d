"""What Google's services answered in recorded scenes, and what the emulator answers to the same requests."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from emulator.server.app import Application
from emulator.server.server import LocalEmulator

from ..conftest import Rest
from .known import KNOWN, SAME
from .player import SERVICES, Played, play

_SCENES = sorted((Path(__file__).parent / "scenes").glob("*.jsonl"))


@pytest.fixture
def played(emulator: LocalEmulator, rest: Rest) -> list[Played]:
    """All scenes, each on an empty emulator."""
    application = Application(emulator.emulator)
    found: list[Played] = []
    for scene in _SCENES:
        emulator.emulator.reset()
        found += play(scene, rest, application)
    return found


def test_differences_are_known_and_no_answer_gets_worse(played: list[Played]) -> None:
    used = set()
    unknown = []
    for one in played:
        for difference in one.differences:
            known = next((known for known in KNOWN if known.where.match(f"{one.method} {difference}")), None)
            used.add(known)
            if known is None:
                unknown.append(f"{one.scene}:{one.line} {one.method} {difference}")
    assert not unknown, "\n".join(unknown)
    assert not [known.where.pattern for known in KNOWN if known not in used], "mended: take it from the table"
    same = Counter(one.service for one in played if not one.differences)
    asked = Counter(one.service for one in played)
    assert {service: (same[service], asked[service]) for service in SERVICES.values()} == SAME
