"""What one running emulator holds together."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from ..iam import Iam
from .faults import Faults
from .projects import Projects
from .requestlog import RequestLog
from .settings import Settings
from .state import State
from .underway import Underway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

_log = logging.getLogger("emulator")
Service = TypeVar("Service")
Answer = TypeVar("Answer")

#: How long a reset waits for what is at work, and how often it tells it to stop meanwhile, in seconds.
_PATIENCE = 15.0
_REMINDER = 0.05


class Emulator:
    """State, policies, settings, faults, request log and background work of one emulator.

    Args:
        data: directory that keeps everything; None keeps it in memory.
        projects: ids of projects that exist from the start.
    """

    def __init__(self, data: Path | None = None, projects: Iterable[str] = ()) -> None:
        self.settings = Settings()
        self.faults = Faults()
        self.requests = RequestLog()
        self.state = State(data)
        # Resumable uploads go on after a restart; whatever else was half-written is gone.
        uploads = self.state.collection("storage.uploads").values()
        self.state.blobs.sweep({upload["blob"] for upload in uploads})
        self.projects = Projects(self.state)
        self.iam = Iam(self.state, self.settings, self.projects)
        self.url = ""
        self._first_projects = tuple(projects)
        self._services: dict[type, object] = {}
        self.underway = Underway()
        self._on_stop: list[Callable[[], None]] = []
        self._on_reset: list[Callable[[], None]] = []
        self._on_close: list[Callable[[], None]] = []
        self._on_closed: list[Callable[[], None]] = []
        self._workers = ThreadPoolExecutor(max_workers=32, thread_name_prefix="background")
        self._lock = threading.RLock()
        for project in self._first_projects:
            self.projects.use(project)

    def service(self, kind: type[Service]) -> Service:
        """The one instance of a service of this emulator (BigQuery's engine, for instance), made at its first use.

        Args:
            kind: its class, which is called with the emulator.
        """
        with self._lock:
            found = self._services.get(kind)
            if found is None:
                found = self._services[kind] = kind(self)  # type: ignore[call-arg]
            return found  # type: ignore[return-value]

    def background(self, work: Callable[[], None]) -> Future[None]:
        """Run something beside the requests, such as the work of a long-running operation."""
        return self._workers.submit(self.underway.in_background(work))

    def at_work(self, work: Callable[..., Answer], *arguments: object) -> Answer:
        """Do the work of a request, in a thread that may wait: a reset waits for it, and it for a reset."""
        with self.underway.request():
            return work(*arguments)

    def on_stop(self, action: Callable[[], None]) -> None:
        """Have work told to stop before everything is forgotten; called again and again until it has ended."""
        self._on_stop.append(action)

    def on_reset(self, action: Callable[[], None]) -> None:
        """Have something forgotten when everything is."""
        self._on_reset.append(action)

    def on_close(self, action: Callable[[], None]) -> None:
        """Have something closed when the emulator ends."""
        self._on_close.append(action)

    def on_closed(self, action: Callable[[], None]) -> None:
        """Have something done once the emulator has ended and its files are closed."""
        self._on_closed.append(action)

    def reset(self) -> None:
        """Forget everything but the projects that were named at the start.

        What is at work is stopped before, or nothing would keep it from writing into the new state.
        """
        with self.underway.closed():
            self._stop()
            for action in self._on_reset:
                action()
            self.state.clear()
            self.faults.clear()
            self.requests.clear()
            self.settings.reset()
            for project in self._first_projects:
                self.projects.use(project)

    def _stop(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while True:
            for action in self._on_stop:
                action()
            if self.underway.ended(_REMINDER):
                return
            if time.monotonic() > deadline:
                _log.warning("reset: something is still at work after %g s; it is not waited for any longer", _PATIENCE)
                return

    def close(self) -> None:
        """End background work and close files."""
        for action in self._on_close:
            action()
        self._workers.shutdown(wait=True, cancel_futures=True)
        self.state.close()
        for action in self._on_closed:
            action()
