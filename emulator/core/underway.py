"""What is at work beside the event loop: requests in threads, and the work of operations and jobs.

A reset forgets what all of it works on. So it keeps new work out, has the old end, and waits for that.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Underway:
    """Counts what is at work."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._closed = False
        self._resets = 0
        self._requests = 0
        self._background: set[int] = set()

    @property
    def background_threads(self) -> list[int]:
        """The threads that work on operations and jobs now."""
        with self._changed:
            return list(self._background)

    @contextlib.contextmanager
    def request(self) -> Iterator[None]:
        """The work of a request in a thread; it begins when no reset is under way."""
        with self._changed:
            self._changed.wait_for(lambda: not self._closed)
            self._requests += 1
        try:
            yield
        finally:
            with self._changed:
                self._requests -= 1
                self._changed.notify_all()

    def in_background(self, work: Callable[[], None]) -> Callable[[], None]:
        """``work``, which does nothing if there is a reset before it begins."""
        with self._changed:
            begun = None if self._closed else self._resets

        def run() -> None:
            thread = threading.get_ident()
            with self._changed:
                if begun != self._resets:
                    return
                self._background.add(thread)
            try:
                work()
            finally:
                with self._changed:
                    self._background.discard(thread)
                    self._changed.notify_all()

        return run

    @contextlib.contextmanager
    def closed(self) -> Iterator[None]:
        """Keep new requests out of threads in this block; background work that has not begun never does."""
        with self._changed:
            self._changed.wait_for(lambda: not self._closed)
            self._closed = True
            self._resets += 1
        try:
            yield
        finally:
            with self._changed:
                self._closed = False
                self._changed.notify_all()

    def ended(self, seconds: float) -> bool:
        """Whether everything ends within the time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._requests and not self._background, seconds)
