"""What every stand-in plugin process does: serve gRPC, tell the engine the port, end when the engine is gone.

Uses nothing of this package, so that it can also be loaded by itself.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import sys
import threading
import time
import types
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

    import grpc

LOOK_SECONDS = 1.0
MISSES = 3


def bare_packages(*names: str) -> None:
    """Makes packages importable without running their `__init__`: all of pulumi takes longer than a plugin may.

    Args:
        names: dotted package names, outer before inner; those already imported are left alone.
    """
    for name in names:
        if name in sys.modules:
            continue
        outer, _, last = name.rpartition(".")
        if outer:
            folders = [str(Path(entry) / last) for entry in sys.modules[outer].__path__]
        else:
            spec = importlib.util.find_spec(name)
            if spec is None or not spec.submodule_search_locations:
                message = f"No module named {name!r}: the Python at {sys.executable} lacks it; run `make setup`"
                raise ModuleNotFoundError(message, name=name)
            folders = list(spec.submodule_search_locations)
        package = types.ModuleType(name)
        package.__path__ = folders
        sys.modules[name] = package


def serve(server: grpc.Server, on_interrupt: Callable[[], None] | None = None) -> None:
    """Serves until interrupted, terminated or left behind by the engine, then ends the process.

    Args:
        server: a gRPC server with its servicer added.
        on_interrupt: called once before ending.
    """
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    # The engine reads the port from the first line; anything before it is a load error.
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    end_with_engine(over.set)
    over.wait()
    if on_interrupt:
        on_interrupt()
    server.stop(0.2).wait(1)
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    os._exit(0)


def end_with_engine(end: Callable[[], None], arguments: list[str] | None = None) -> None:
    """Watches the engine from a thread: a killed engine leaves its plugins behind, in process groups of their own.

    Args:
        end: called once, when the parent process has changed or the engine's address no longer answers.
        arguments: the process's arguments, the last of which is the engine's address.
    """
    parent = os.getppid()
    address = engine_address(sys.argv[1:] if arguments is None else arguments)

    def watch() -> None:
        missed = 0
        while missed < MISSES:
            time.sleep(LOOK_SECONDS)
            if os.getppid() != parent:
                break
            missed = 0 if address is None or _answers(address) else missed + 1
        end()

    threading.Thread(target=watch, name="watch the engine", daemon=True).start()


def not_offered(servicer: object, request: object, context: grpc.ServicerContext) -> NoReturn:
    """Refuses a call that the stand-ins don't serve. The generated base class would log a traceback for it."""
    del servicer
    import grpc

    context.abort(grpc.StatusCode.UNIMPLEMENTED, f"a stand-in plugin does not serve {type(request).__name__}")
    raise AssertionError  # abort has raised already


def engine_address(arguments: list[str]) -> tuple[str, int] | None:
    """The engine's host and port among a plugin's arguments; None where a plugin is run by hand."""
    for argument in reversed(arguments):
        host, _, port = argument.rpartition(":")
        if host and port.isdigit():
            return host, int(port)
    return None


def _answers(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=LOOK_SECONDS).close()
    except OSError:
        return False
    return True
