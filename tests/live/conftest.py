"""The grounds of the live scenarios: the emulator always, Google Cloud where the environment names a project."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from emulator.server.server import LocalEmulator
from tests.live.ground import Ground, prepared
from tests.live.place import PROJECT, google, rehearsal


@pytest.fixture(scope="session")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """The ground on an emulator of its own: it stays as it is while other tests run."""
    folder = tmp_path_factory.mktemp("rehearsal")
    with LocalEmulator() as emulator, prepared(rehearsal(emulator.url), folder) as ground:
        yield ground


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """The ground on Google Cloud."""
    place = google()
    if place is None:
        pytest.skip(f"set {PROJECT} to run the live scenarios on Google Cloud")
    with prepared(place, tmp_path_factory.mktemp("live")) as ground:
        yield ground


@pytest.fixture(scope="session", params=["emulator", pytest.param("google", marks=pytest.mark.live)])
def ground(request: pytest.FixtureRequest) -> Ground:
    """Each place in turn."""
    found: Ground = request.getfixturevalue("rehearsed" if request.param == "emulator" else "live")
    return found
