"""What all tests share: an emulator in the test process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from emulator.server.server import LocalEmulator


@pytest.fixture(scope="session")
def shared_emulator() -> Iterator[LocalEmulator]:
    """One emulator for the whole run; use ``emulator``, which empties it first."""
    with LocalEmulator() as local:
        yield local


@pytest.fixture
def emulator(shared_emulator: LocalEmulator) -> LocalEmulator:
    """An empty emulator: ``.url`` for clients, ``.control()`` for settings and faults, ``.emulator`` inside."""
    shared_emulator.emulator.reset()
    return shared_emulator
