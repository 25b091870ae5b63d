"""When a wait is given up."""

from collections.abc import Callable
from dataclasses import dataclass

from operations.google.clock import Clock

#: Told, in a few words, what is waited for.
Say = Callable[[str], None]


@dataclass(frozen=True)
class Deadline:
    """A time by `Clock.monotonic`, and the seconds that it was away when it was set."""

    at: float
    seconds: float

    def left(self, clock: Clock) -> float:
        """Return the seconds until then; negative when it has passed."""
        return self.at - clock.monotonic()


def deadline_in(seconds: float, clock: Clock) -> Deadline:
    """Return the deadline that is so many seconds away."""
    return Deadline(clock.monotonic() + seconds, seconds)
