"""The process in which dynamic resources run, prepared for work that takes hours.

It is a process of its own, started by the engine with the engine's address as the last argument, and runs Pulumi's
server for dynamic providers (`pulumi/dynamic/__main__.py`). That server knows neither long waits nor an end: it answers
four calls at once, ignores Cancel, outlives its engine, and shows a traceback for every error. All of that is changed
from inside, here and nowhere else, when the first provider is configured. Pulumi promises none of what is changed: each
change tries out whether it took effect, and where it did not, a warning on the resource says what will be missing, with
Pulumi's version. Without an engine (tests, previews under mocks) nothing is done.
"""

import gc
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from types import ModuleType, SimpleNamespace
from typing import Any

from components.provider import engine_log
from components.provider.engine_log import Failure, engine_address
from operations.google.clock import InterruptibleClock

#: The time that waits in this process go by.
clock = InterruptibleClock()

# More than the engine ever asks for at once; a thread is made only when a call needs one.
_CALLS_AT_ONCE = 512
_LOOK_FOR_ENGINE_EVERY = 5.0
_MISSES = 3
_TRY_SECONDS = 5.0
_SERVER = "DynamicResourceProviderServicer"
#: Takes the place of a request where it is tried out whether Cancel arrives here.
TRIAL = object()

_prepared = False
_unchanged: list[str] = []


class UnexpectedPulumiError(Exception):
    """Pulumi's server is not what a change expects, or went on as before; the text says what was found."""


def prepare() -> None:
    """Prepare the process; does nothing where there is no engine, or a second time."""
    global _prepared
    if engine_address() is None or _prepared:
        return
    _prepared = True  # the server configures one provider at a time
    for change, without in CHANGES:
        try:
            change()
        except Exception as error:  # noqa: BLE001 - whatever a release of Pulumi has in store, the run itself can go on
            _unchanged.append(f"{without} ({type(error).__name__}: {error})")
    threading.Thread(target=_end_with_engine, daemon=True).start()


def warn(urn: str) -> None:
    """Say on a resource's row, once, what could not be changed in Pulumi's server and is missing therefore."""
    while _unchanged:
        engine_log.warning(
            urn,
            f"this project does not fit Pulumi's Python SDK {metadata.version('pulumi')}: {_unchanged.pop(0)}. "
            "The versions that it is tested with are in requirements.lock",
        )


def _answer_all_calls_at_once() -> None:
    """Let as many resources start and wait as the engine asks for: their work is to wait for the service.

    The server was made with four threads, first come first served. With more exports than that, some would show no
    progress and not see their end or their deadline until others are through. A pool looks at its limit whenever it
    is given work, so a higher one applies from the next call on. Several processes of the provider would need a choice
    of one for each resource, and a resource whose provider changes is replaced.
    """
    pool = _own_pool()
    before = int(vars(pool)["_max_workers"])
    vars(pool)["_max_workers"] = _CALLS_AT_ONCE
    # Tried out: with the thread that is in here, one call more is answered than there were threads. Calls that came
    # before are taken up first, and may wait for this provider.
    arrived, enough = threading.Semaphore(0), threading.Event()

    def stay() -> None:
        arrived.release()
        enough.wait(2 * _TRY_SECONDS)  # longer than the trial, so that none makes room for another

    found, until = 0, time.monotonic() + _TRY_SECONDS
    while found < before and time.monotonic() < until:
        pool.submit(stay)
        found += arrived.acquire(timeout=0.1)
    enough.set()
    if found < before:
        raise UnexpectedPulumiError(f"its pool still has {before} threads")


def _own_pool() -> ThreadPoolExecutor:
    """Return the pool of threads that answers the engine's calls: a provider is configured by one of them."""
    here = threading.current_thread()
    for each in gc.get_objects():
        if isinstance(each, ThreadPoolExecutor) and here in vars(each).get("_threads", ()):
            return each
    raise UnexpectedPulumiError("no pool of threads answers its calls")


def _hide_tracebacks_of_failures() -> None:
    """Let the server answer a `Failure` with its text alone.

    The server puts `traceback.format_exc()` into its answer, which the engine shows to the person. In the server's
    module alone that name gets another meaning.
    """
    module = _server_module()

    def format_exc(limit: int | None = None, chain: bool = True) -> str:
        error = sys.exc_info()[1]
        return str(error) if isinstance(error, Failure) else traceback.format_exc(limit, chain)

    def fail(*_: Any) -> None:
        raise Failure("trial")

    vars(module)["traceback"] = SimpleNamespace(format_exc=format_exc)
    said: list[str] = []
    context = SimpleNamespace(abort=lambda _code, details: said.append(details))
    vars(module)["_abort_with_traceback"](fail)(None, None, context)
    if said != ["trial"]:
        raise UnexpectedPulumiError(f"it says {said} of an error")


def _end_waits_when_cancelled() -> None:
    """Let the first Ctrl-C end the waits; operations keep running, and the next `pulumi up` waits for them again.

    The engine tells its plugins by the call Cancel and then waits for what they are doing, which may take hours. gRPC
    has bound the server's `Cancel`, which does nothing, so the code of that very function is exchanged.
    """
    server = vars(_server_module())[_SERVER]
    server.Cancel.__code__ = _cancel.__code__
    if server.__new__(server).Cancel(TRIAL, None) is not TRIAL:
        raise UnexpectedPulumiError("it has another Cancel")


def _cancel(self: Any, request: Any, context: Any) -> Any:  # noqa: ARG001 - takes the place of a server's method
    # Its names are looked up in the server's module, so everything is imported here.
    from google.protobuf import empty_pb2

    from components.provider.process import TRIAL, clock

    if request is TRIAL:
        return request
    clock.interrupt()
    return empty_pb2.Empty()


def _server_module() -> ModuleType:
    """Return the module of the server that runs in this process."""
    from pulumi.runtime.proto import ResourceProviderServicer

    for servicer in ResourceProviderServicer.__subclasses__():
        if servicer.__name__ == _SERVER:
            return sys.modules[servicer.__module__]
    raise UnexpectedPulumiError(f"it has no {_SERVER}")


#: What is changed, with what is missing where that has no effect.
CHANGES: tuple[tuple[Callable[[], None], str], ...] = (
    (_answer_all_calls_at_once, "only four imports and exports are started and waited for at once"),
    (_hide_tracebacks_of_failures, "errors are shown with a Python traceback"),
    (_end_waits_when_cancelled, "Ctrl-C ends a wait only when its operation ends"),
)


def _end_with_engine() -> None:
    """End the process when its engine is gone: plugins run in a process group of their own and outlive it."""
    import socket

    host, _, port = (engine_address() or "").rpartition(":")
    misses = 0
    while misses < _MISSES:
        time.sleep(_LOOK_FOR_ENGINE_EVERY)
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
            misses = 0
        except OSError:
            misses += 1
    os._exit(1)
