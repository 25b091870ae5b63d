"""The time, so that tests can live in simulated time."""

import random
import threading
import time
from typing import Protocol


class Clock(Protocol):
    """What the modules here need of time. Deadlines and schedules use `monotonic`, so a clock set anew moves none."""

    def now(self) -> float:
        """Return the seconds since 1970, for comparing with times the service writes."""

    def monotonic(self) -> float:
        """Return seconds that never jump."""

    def sleep(self, seconds: float) -> None:
        """Let time pass."""

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        """Let time pass, less when `condition` is notified. The caller holds it."""

    def random(self) -> float:
        """Return a number from 0 up to 1, for jitter."""


class SystemClock:
    """The real time."""

    def now(self) -> float:
        """Return the seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that never jump."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        """Let time pass, less when `condition` is notified."""
        condition.wait(seconds)

    def random(self) -> float:
        """Return a number from 0 up to 1."""
        return random.random()  # noqa: S311 - jitter, not secrecy


SYSTEM_CLOCK = SystemClock()
