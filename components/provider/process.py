"""The process in which dynamic resources run, prepared for work that takes hours.

It is a process of its own, started by the engine with the engine's address as the last argument, and runs Pulumi's
server for dynamic providers. That server knows neither long waits nor an end: it answers four calls at once, ignores
Cancel, outlives its engine, and shows a traceback for every error. Here that is changed, from inside, when the first
provider is configured. Without an engine (tests, previews under mocks) nothing is done.
"""

import gc
import os
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from components.provider.engine_log import Failure, engine_address
from operations.google.clock import InterruptibleClock

#: The time that waits in this process go by.
clock = InterruptibleClock()

# More than the engine ever asks for at once; a thread is made only when a call needs one.
_CALLS_AT_ONCE = 512
_LOOK_FOR_ENGINE_EVERY = 5.0
_MISSES = 3

_prepared = False


def prepare() -> None:
    """Prepare the process; does nothing where there is no engine, or a second time."""
    global _prepared
    if engine_address() is None or _prepared:
        return
    _prepared = True  # the server configures one provider at a time
    _answer_all_calls_at_once()
    _hide_tracebacks_of_failures()
    _end_waits_when_cancelled()
    threading.Thread(target=_end_with_engine, daemon=True).start()


def _answer_all_calls_at_once() -> None:
    """Let as many resources start and wait as the engine asks for: their work is to wait for the service.

    The server was made with four threads, first come first served. With more exports than that, some would show no
    progress and not see their end or their deadline until others are through. A pool looks at its limit whenever it
    is given work, so a higher one holds from the next call on. Several processes of the provider would need a choice
    of one for each resource, and a resource whose provider changes is replaced.
    """
    for each in gc.get_objects():
        if type(each) is ThreadPoolExecutor:
            vars(each)["_max_workers"] = _CALLS_AT_ONCE


def _hide_tracebacks_of_failures() -> None:
    """Let the dynamic provider's server answer a `Failure` with its text alone.

    The server puts `traceback.format_exc()` into its answer, which the engine shows to the person.
    """
    original = traceback.format_exc

    def format_exc(limit: int | None = None, chain: bool = True) -> str:
        error = sys.exc_info()[1]
        return str(error) if isinstance(error, Failure) else original(limit, chain)

    traceback.format_exc = format_exc


def _end_waits_when_cancelled() -> None:
    """Let the first Ctrl-C end the waits; the operations go on, and the next `pulumi up` waits for them again.

    The engine tells its plugins by the call Cancel and then waits for what they are doing, which may take hours. The
    dynamic provider's server has bound a `Cancel` that does nothing, so its code is exchanged.
    """
    from pulumi.runtime.proto import ResourceProviderServicer

    for servicer in ResourceProviderServicer.__subclasses__():
        if servicer.__name__ == "DynamicResourceProviderServicer":
            servicer.Cancel.__code__ = _cancel.__code__


def _cancel(self: Any, request: Any, context: Any) -> Any:  # noqa: ARG001 - takes the place of a server's method
    from google.protobuf import empty_pb2

    from components.provider.process import clock

    clock.interrupt()
    return empty_pb2.Empty()


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
