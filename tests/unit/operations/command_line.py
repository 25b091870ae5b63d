"""The command line over the simulated service, as tests use it."""

import shlex
from typing import Any

import pytest

from operations.command_line import main
from operations.google.connection import Connection
from tests.unit.operations.service import SimulatedClock


class CommandLine:
    """Runs commands; `out` and `err` are what the last one wrote."""

    def __init__(self, capsys: pytest.CaptureFixture[str], connection: Connection, clock: SimulatedClock) -> None:
        self._capsys = capsys
        self._connection = connection
        self._clock = clock
        self.out = self.err = ""

    def __call__(self, line: str, **options: Any) -> int:
        given = {"environment": {}, "clock": self._clock, "connection": self._connection, **options}
        code = main(shlex.split(line), **given)
        self.out, self.err = self._capsys.readouterr()
        assert "Traceback" not in self.err
        return code
