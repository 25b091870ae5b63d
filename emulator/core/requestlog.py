"""The calls that were received, for tests and for the console."""

from __future__ import annotations

import itertools
from collections import deque
from typing import TYPE_CHECKING, Any

from .clock import now, rfc3339

if TYPE_CHECKING:
    from datetime import datetime

#: How many calls are remembered.
REMEMBERED = 100_000


class RequestLog:
    """The latest calls, oldest first."""

    def __init__(self) -> None:
        self._calls: deque[tuple[int, datetime, str, str, str, int, str]] = deque(maxlen=REMEMBERED)
        self._numbers = itertools.count(1)

    def add(self, method: str, http_method: str, path: str, status: int, principal: str) -> None:
        """Remember a call. ``status`` 0 stands for a connection that was closed without an answer."""
        self._calls.append((next(self._numbers), now(), method, http_method, path, status, principal))

    def since(self, sequence: int) -> list[dict[str, Any]]:
        """The calls with a higher sequence number, as the control API shows them."""
        return [_shown(call) for call in list(self._calls) if call[0] > sequence]

    def latest(self, count: int) -> list[dict[str, Any]]:
        """The latest calls, newest first, as the control API shows them."""
        return [_shown(call) for call in itertools.islice(reversed(self._calls), count)]

    def clear(self) -> None:
        """Forget all calls; numbering goes on."""
        self._calls.clear()


def _shown(call: tuple[int, datetime, str, str, str, int, str]) -> dict[str, Any]:
    number, time, method, http_method, path, status, principal = call
    return {
        "sequence": number,
        "time": rfc3339(time),
        "method": method,
        "httpMethod": http_method,
        "path": path,
        "status": status,
        "principal": principal,
    }
