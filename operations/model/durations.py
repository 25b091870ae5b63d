"""Durations as people write them: `6h`, `90m`, `1h30m`, or a number of seconds."""

import math
import re

from operations.model.invalid import InputError, quoted

_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_PARTS = re.compile(
    r"(?:(?P<d>[0-9]+(?:\.[0-9]+)?)d)?\s*(?:(?P<h>[0-9]+(?:\.[0-9]+)?)h)?\s*(?:(?P<m>[0-9]+(?:\.[0-9]+)?)m)?\s*(?:(?P<s>[0-9]+(?:\.[0-9]+)?)s)?"
)
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")


class DurationError(InputError):
    """A duration is not of the form that is needed."""


def parse_duration(value: str | float) -> float:
    """Read a duration.

    Args:
        value: `6h`, `90m`, `45s`, `2d`, a combination from the largest unit down (`1h30m`), or a number of
            seconds.

    Returns:
        Seconds, 0 or more.

    Raises:
        DurationError: anything else, including negative and endless durations.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise DurationError(f"{value!r} is no duration; write 6h, 90m, 1h30m or a number of seconds")
    if not isinstance(value, str):
        return _finite(value, value)
    text = value.strip()
    if _NUMBER.fullmatch(text):
        return _finite(value, text)
    match = _PARTS.fullmatch(text)
    if not text or match is None:
        raise DurationError(f"{quoted(value)} is no duration; write 6h, 90m, 1h30m or a number of seconds")
    parts = (float(number) * _SECONDS[unit] for unit, number in match.groupdict().items() if number is not None)
    return _finite(value, sum(parts))


def _finite(written: str | float, number: str | float) -> float:
    try:
        seconds = float(number)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds) or seconds < 0:
        raise DurationError(f"{quoted(str(written))} is no duration; it must be 0 seconds or more, and finite")
    return seconds


def format_duration(seconds: float) -> str:
    """Write a duration for a person: `0.4 s`, `42 s`, `2 m 37 s`, `1 h 5 m`, `2 d 3 h`."""
    if seconds < 1:
        return f"{max(seconds, 0):.1f} s" if seconds > 0 else "0 s"
    whole = round(seconds)
    days, rest = divmod(whole, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, secs = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (secs, "s")]
    while parts[0][0] == 0:
        parts.pop(0)
    return " ".join(f"{number} {unit}" for number, unit in parts[:2] if number)
