"""Messages from the dynamic provider: to the right row, seldom enough, and the process ends with its engine."""

import queue
import subprocess
import sys
import threading
from concurrent import futures
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import ResourceProviderServicer, engine_pb2, engine_pb2_grpc

from components import engine_log
from operations.clock import InterruptedWaitError, InterruptibleClock

# A process that does what the dynamic provider's does at its start, with less patience.
PROCESS = """
import sys, time
from components import engine_log
engine_log._LOOK_FOR_ENGINE_EVERY = 0.05
engine_log.in_provider_process()
engine_log.progress("urn:1", "66 % of 300 instances")
engine_log.warning("urn:2", "can't see")
print("there", flush=True)
time.sleep(60)
"""


class Engine(engine_pb2_grpc.EngineServicer):
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.logged: list[tuple[str, str, int, bool]] = []

    def Log(self, request: Any, context: Any) -> Any:  # noqa: N802 - the name of the call
        del context
        self.logged.append((request.urn, request.message, request.severity, request.ephemeral))
        return empty_pb2.Empty()


def test_messages_reach_the_engine_and_the_process_ends_when_the_engine_is_gone() -> None:
    engine = Engine()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    engine_pb2_grpc.add_EngineServicer_to_server(engine, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    command = [sys.executable, "-c", PROCESS, f"127.0.0.1:{port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        assert process.poll() is None
        server.stop(0).wait()
        assert process.wait(30) == 1
    assert engine.logged == [
        ("urn:1", "66 % of 300 instances", engine_pb2.INFO, True),
        ("urn:2", "can't see", engine_pb2.WARNING, False),
    ]


class Log:
    """Takes the place of the engine's log."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, person: bool) -> None:
        self.shown: list[str] = []
        self.lines: queue.Queue[str] = queue.Queue()
        monkeypatch.setattr(engine_log, "_log", self._log)
        monkeypatch.setattr(engine_log, "_address", lambda: "127.0.0.1:1")
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


def test_an_interrupted_clock_ends_waits_that_are_under_way_and_later_ones() -> None:
    clock = InterruptibleClock()
    with futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(clock.sleep, 60)
        clock.interrupt()
        with pytest.raises(InterruptedWaitError):
            waiting.result(30)
    with pytest.raises(InterruptedWaitError):
        clock.sleep(60)


def test_the_engines_cancel_ends_the_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    class DynamicResourceProviderServicer(ResourceProviderServicer):
        def Cancel(self, request: Any, context: Any) -> Any:  # noqa: N802 - the name of the call
            raise AssertionError((request, context))

    clock = InterruptibleClock()
    monkeypatch.setattr(engine_log, "clock", clock)
    # The server has bound the method before the provider is configured.
    bound = DynamicResourceProviderServicer().Cancel
    engine_log._end_waits_when_cancelled()
    bound(None, None)
    with pytest.raises(InterruptedWaitError):
        clock.sleep(60)
