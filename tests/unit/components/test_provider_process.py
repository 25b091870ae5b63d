"""The process of the dynamic provider: it ends with its engine, cancelled waits end, and all calls run at once."""

import subprocess
import sys
import threading
import traceback
from concurrent import futures
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import ResourceProviderServicer, engine_pb2, engine_pb2_grpc

from components.provider import engine_log
from components.provider import process as provider_process
from operations.google.clock import InterruptedWaitError, InterruptibleClock

# A process that does what the dynamic provider's does at its start, with less patience.
PROCESS = """
import sys, time
from components.provider import engine_log, process as provider_process
provider_process._LOOK_FOR_ENGINE_EVERY = 0.05
provider_process.prepare()
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
    monkeypatch.setattr(provider_process, "clock", clock)
    # The server has bound the method before the provider is configured.
    bound = DynamicResourceProviderServicer().Cancel
    provider_process._end_waits_when_cancelled()
    bound(None, None)
    with pytest.raises(InterruptedWaitError):
        clock.sleep(60)


def test_a_failure_shows_its_text_alone_and_other_errors_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traceback, "format_exc", traceback.format_exc)
    provider_process._hide_tracebacks_of_failures()
    try:
        raise engine_log.Failure("two\nlines")
    except engine_log.Failure:
        assert traceback.format_exc() == "two\nlines"
    try:
        raise RuntimeError("unexpected")
    except RuntimeError:
        assert traceback.format_exc().startswith("Traceback")


def test_a_pool_of_four_threads_answers_forty_calls_at_once() -> None:
    everybody = threading.Barrier(40)
    with futures.ThreadPoolExecutor(4) as pool:
        pool.submit(provider_process._answer_all_calls_at_once).result(30)
        calls = [pool.submit(everybody.wait, 30) for _ in range(40)]
        assert sorted(call.result(30) for call in calls) == list(range(40))
