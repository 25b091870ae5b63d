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


class InterruptedWaitError(Exception):
    """Somebody wants the program to end while it was waiting."""


class InterruptibleClock(SystemClock):
    """The real time, whose waits end with an exception once `interrupt` was called."""

    _LONGEST_NAP = 0.5

    def __init__(self) -> None:
        """Begin uninterrupted."""
        self._interrupted = threading.Event()

    def interrupt(self) -> None:
        """End the waits that are under way, and every later one."""
        self._interrupted.set()

    def sleep(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            InterruptedWaitError: `interrupt` was called.
        """
        if self._interrupted.wait(seconds):
            raise InterruptedWaitError

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        """Let time pass, less when `condition` is notified, and never long: callers look at the time themselves.

        Raises:
            InterruptedWaitError: `interrupt` was called.
        """
        condition.wait(min(seconds, self._LONGEST_NAP))
        if self._interrupted.is_set():
            raise InterruptedWaitError


def uninterrupted(clock: Clock) -> Clock:
    """Return a clock for short waits that must come to their end, such as finding out what was started."""
    return SYSTEM_CLOCK if isinstance(clock, InterruptibleClock) else clock
