"""What one running emulator holds together."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from .faults import Faults
from .iam import Iam
from .projects import Projects
from .recovery import Recovery, lock
from .requestlog import RequestLog
from .settings import Settings
from .state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

Service = TypeVar("Service")


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
        self._data_lock = None if data is None else lock(data)
        self.state = State(data)
        # Resumable uploads go on after a restart; whatever else was half-written is gone.
        uploads = self.state.collection("storage.uploads").values()
        self.state.blobs.sweep({upload["blob"] for upload in uploads})
        self.projects = Projects(self.state)
        self.iam = Iam(self.state, self.settings, self.projects)
        self.url = ""
        self._first_projects = tuple(projects)
        self._services: dict[type, object] = {}
        self._on_reset: list[Callable[[], None]] = []
        self._on_close: list[Callable[[], None]] = []
        self._workers = ThreadPoolExecutor(max_workers=32, thread_name_prefix="background")
        self._lock = threading.RLock()
        for project in self._first_projects:
            self.projects.use(project)
        if data is not None:
            Recovery(self, data)

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
        return self._workers.submit(work)

    def on_reset(self, action: Callable[[], None]) -> None:
        """Have something forgotten when everything is."""
        self._on_reset.append(action)

    def on_close(self, action: Callable[[], None]) -> None:
        """Have something closed when the emulator ends."""
        self._on_close.append(action)

    def reset(self) -> None:
        """Forget everything but the projects that were named at the start."""
        for action in self._on_reset:
            action()
        self.state.clear()
        self.faults.clear()
        self.requests.clear()
        self.settings.reset()
        for project in self._first_projects:
            self.projects.use(project)

    def close(self) -> None:
        """End background work and close files."""
        for action in self._on_close:
            action()
        self._workers.shutdown(wait=True, cancel_futures=True)
        self.state.close()
        if self._data_lock is not None:
            self._data_lock.close()
