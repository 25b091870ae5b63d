"""The process of the dynamic provider: it ends with its engine, cancelled waits end, and all calls run at once.

What is changed in Pulumi's server is tried on the installed one, as the engine starts and calls it.
"""

import contextlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent import futures
from importlib import metadata
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2, struct_pb2
from pulumi.dynamic.dynamic import serialize_provider
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2, provider_pb2_grpc

from operations.google.clock import InterruptedWaitError, InterruptibleClock
from tests.unit.components.trial_provider import AT_ONCE, TrialProvider

ROOT = Path(__file__).resolve().parents[3]

FOUR_THREADS_WHATEVER_ITS_LIMIT = (
    "type('Pool', (futures.ThreadPoolExecutor,), {'_adjust_thread_count': lambda self: "
    "len(self._threads) < 4 and futures.ThreadPoolExecutor._adjust_thread_count(self)})(4)"
)
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


class Server:
    """A server of Pulumi's for dynamic providers, with an engine that keeps what is logged."""

    def __init__(self, stub: Any, engine: Engine) -> None:
        self.stub = stub
        self.engine = engine

    def create(self, what: str) -> Any:
        """Have a resource created by the provider of this test; returns the future answer."""
        properties = struct_pb2.Struct()
        properties.update({"__provider": serialize_provider(TrialProvider()), "urn": "urn:1", "what": what})
        return self.stub.Create.future(provider_pb2.CreateRequest(urn="urn:1", properties=properties), timeout=300)


@contextlib.contextmanager
def served(program: list[str]) -> Iterator[Server]:
    """Run a server as the engine does: its own address last, the port on the first line."""
    engine = Engine()
    of_engine = grpc.server(futures.ThreadPoolExecutor(4))
    engine_pb2_grpc.add_EngineServicer_to_server(engine, of_engine)
    address = f"127.0.0.1:{of_engine.add_insecure_port('127.0.0.1:0')}"
    of_engine.start()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-u", *program, address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            with grpc.insecure_channel(f"127.0.0.1:{process.stdout.readline().strip()}") as channel:
                stub = provider_pb2_grpc.ResourceProviderStub(channel)
                stub.Configure(provider_pb2.ConfigureRequest(args=struct_pb2.Struct()), timeout=60)
                yield Server(stub, engine)
        finally:
            process.kill()
            of_engine.stop(0).wait()


@pytest.fixture(scope="module")
def installed() -> Iterator[Server]:
    with served(["-m", "pulumi.dynamic"]) as server:
        yield server


def test_the_installed_server_of_pulumi_answers_all_calls_at_once(installed: Server) -> None:
    calls = [installed.create("meet") for _ in range(AT_ONCE)]
    assert [call.result().id for call in calls] == ["trial"] * AT_ONCE


def test_the_installed_server_shows_the_text_of_a_failure_alone_and_of_other_errors_the_traceback(
    installed: Server,
) -> None:
    assert installed.create("fail").exception().details() == "two\nlines"
    assert installed.create("break").exception().details().startswith("Traceback")


def test_the_engines_cancel_ends_the_waits_in_the_installed_server() -> None:
    with served(["-m", "pulumi.dynamic"]) as server:
        waiting = server.create("wait")
        server.create("nothing").result()
        server.stub.Cancel(empty_pb2.Empty(), timeout=60)
        assert "InterruptedWaitError" in waiting.exception().details()
        # Nothing was missing, so nothing was said.
        assert server.engine.logged == []


@pytest.mark.parametrize(
    ("was", "becomes", "missing"),
    [
        (
            "DynamicResourceProviderServicer",
            "DynamicServicer",
            ["errors are shown with a Python traceback", "Ctrl-C ends a wait only when its operation ends"],
        ),
        ("_abort_with_traceback", "_abort", ["errors are shown with a Python traceback"]),
        ("traceback.format_exc()", "repr(traceback)", ["errors are shown with a Python traceback"]),
        (
            "    def Cancel(self, request, context):\n",
            "    @(lambda wrapped: lambda *given: wrapped(*given))\n    def Cancel(self, request, context):\n",
            ["Ctrl-C ends a wait only when its operation ends"],
        ),
        (
            "futures.ThreadPoolExecutor(max_workers=4)",
            "type('Pool', (futures.ThreadPoolExecutor,), {'_max_workers': property(lambda _: 4, lambda *_: None)})(4)",
            ["only four imports and exports are started and waited for at once"],
        ),
        (
            "futures.ThreadPoolExecutor(max_workers=4)",
            FOUR_THREADS_WHATEVER_ITS_LIMIT,
            ["only four imports and exports are started and waited for at once"],
        ),
    ],
)
def test_what_a_later_pulumi_does_otherwise_is_said_with_its_version(
    was: str, becomes: str, missing: list[str], tmp_path: Path
) -> None:
    found = importlib.util.find_spec("pulumi.dynamic.__main__")
    assert found is not None
    assert found.origin is not None
    source = Path(found.origin).read_text(encoding="utf-8")
    assert was in source
    later = tmp_path / "later.py"
    later.write_text(source.replace(was, becomes), encoding="utf-8")
    with served([str(later)]) as server:
        assert server.create("nothing").result().id == "trial"
        assert server.create("nothing").result().id == "trial"
    said = [(urn, text, severity) for urn, text, severity, _ in server.engine.logged]
    assert [(urn, severity) for urn, _, severity in said] == [("urn:1", engine_pb2.WARNING)] * len(missing)
    for (_, text, _), words in zip(said, missing, strict=True):
        assert f"does not fit Pulumi's Python SDK {metadata.version('pulumi')}: {words}" in text
