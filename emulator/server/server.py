"""The HTTP server: in the foreground for people, in a thread for tests."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any, Self

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .app import Application
from .recovery import open_emulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from types import FrameType, TracebackType

    from ..core.runtime import Emulator


class PortInUseError(OSError):
    """Another program listens on the port."""


class _Protocol(HttpToolsProtocol):
    """HTTP/1.1 that lets the application close a connection without an answer, for planned faults."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        # An extension of our own: the ASGI types know only the published ones.
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope["extensions"] = {"emulator.transport": self.transport}


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature is given
        """End once requests are answered. The server would raise the signal again: data would not be closed."""
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True
        # That requests are broken off when they take longer than the grace is no error.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        PortInUseError: another program listens there.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise PortInUseError(f"port {port} of {host} can't be used: {error.strerror}") from None
    return listener


def serve(emulator: Emulator, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM; ``ready`` is called once requests are answered."""
    _Server(_config(emulator), ready).run(sockets=[listener])


def _config(emulator: Emulator) -> uvicorn.Config:
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    return uvicorn.Config(
        Application(emulator),
        loop="uvloop",
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=3,
        backlog=1024,
    )


class LocalEmulator:
    """An emulator in this process, served from a thread; a context manager for tests.

    Args:
        data: directory that keeps its state; None keeps it in memory.
        projects: ids of projects that exist from the start.

    Attributes:
        url: where it is served, without a trailing slash.
        emulator: what it holds.
    """

    def __init__(self, data: Path | None = None, projects: Iterable[str] = ()) -> None:
        self.emulator = open_emulator(data, projects)
        self._listener = listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.emulator.url = self.url
        self._started = threading.Event()
        self._server = _Server(_config(self.emulator), self._started.set)
        self._thread = threading.Thread(target=self._run, name="emulator", daemon=True)

    def _run(self) -> None:
        # Signals belong to the main thread; the loop is made here so that closing it is sure.
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._server._serve(sockets=[self._listener]))  # noqa: SLF001 - serve() takes over the signals

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._started.wait(30):
            raise TimeoutError("the emulator did not start within 30 seconds")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(30)
        with contextlib.suppress(OSError):
            self._listener.close()
        self.emulator.close()

    def control(self, http_method: str, name: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Call the control API (``control("PATCH", "settings", {"operationSeconds": 2})``) and return its answer.

        Raises:
            urllib.error.HTTPError: it refused.
        """
        import json
        import urllib.request

        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/emulator/v1/{name}", data, method=http_method)  # noqa: S310 - loopback
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - loopback
            parsed: dict[str, Any] = json.load(answer)
            return parsed
