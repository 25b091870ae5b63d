"""Messages from the dynamic provider: to the right row, seldom enough, and the process ends with its engine."""

import queue
import threading

import pytest

from components.provider import engine_log


class Log:
    """Takes the place of the engine's log."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, person: bool) -> None:
        self.shown: list[str] = []
        self.lines: queue.Queue[str] = queue.Queue()
        monkeypatch.setattr(engine_log, "_log", self._log)
        monkeypatch.setattr(engine_log, "engine_address", lambda: "127.0.0.1:1")
        monkeypatch.setattr(engine_log, "_a_person_watches", lambda: person)

    def _log(self, _urn: str, text: str, _severity: str, *, ephemeral: bool = False) -> None:
        if ephemeral:
            self.shown.append(text)
        else:
            self.lines.put(text)


def test_a_pipeline_gets_lines_also_while_there_is_nothing_new(monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine_log._LINE_EVERY < 60
    log = Log(monkeypatch, person=False)
    monkeypatch.setattr(engine_log, "_LINE_EVERY", 0.01)
    with engine_log.ProgressLine("urn", "preparing") as show:
        assert [log.lines.get(timeout=30) for _ in range(3)] == ["preparing"] * 3
        show("3 of 9")
        while log.lines.get(timeout=30) != "3 of 9":
            pass
    assert log.shown == ["3 of 9"]


def test_a_person_gets_the_row_and_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(monkeypatch, person=True)
    monkeypatch.delattr(threading, "Thread")  # who would write the lines
    with engine_log.ProgressLine("urn", "preparing") as show:
        show("3 of 9")
    assert log.shown == ["3 of 9"]
    assert log.lines.empty()
