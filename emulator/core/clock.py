"""Time as the APIs write it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    """``2026-01-02T03:04:05.678901Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def now_after(earlier: str) -> str:
    """The present moment as RFC 3339; a microsecond after ``earlier`` where the clock is not further than that."""
    moment = now()
    if earlier:
        moment = max(moment, datetime.fromisoformat(earlier) + timedelta(microseconds=1))
    return rfc3339(moment)


def milliseconds(moment: datetime) -> str:
    """Milliseconds since 1970 as decimal text, as BigQuery writes times."""
    return str(int(moment.timestamp() * 1000))
