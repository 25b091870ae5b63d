"""What keeps objects from being deleted or replaced: holds, and the retention policy of their bucket.

https://cloud.google.com/storage/docs/object-holds, https://cloud.google.com/storage/docs/bucket-lock
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ..core.clock import now
from ..core.errors import ApiError
from .store import timestamp

if TYPE_CHECKING:
    from ..core.state import Document

_HOLDS = (("temporaryHold", "Temporary"), ("eventBasedHold", "Event-Based"))


def check_deletable(bucket: Document, bucket_name: str, name: str, stored: Document) -> None:
    """Refuse to delete or replace what is under a hold or kept by the bucket's retention policy.

    Raises:
        ApiError: 403.
    """
    for key, kind in _HOLDS:
        if stored["fields"].get(key) in (True, "true"):
            raise ApiError(
                403,
                f"Object '{bucket_name}/{name}' is under active {kind} hold and cannot be deleted, overwritten or "
                "archived until hold is removed.",
                reason="objectUnderActiveHold",
            )
    until = expiration(bucket, stored)
    if until is not None and datetime.fromisoformat(until) > now():
        raise ApiError(
            403,
            f"Object '{bucket_name}/{name}' is subject to bucket's retention policy or object retention and cannot be "
            f"deleted or overwritten until {until}",
            reason="retentionPolicyNotMet",
        )


def expiration(bucket: Document, stored: Document) -> str | None:
    """Until when the bucket's retention policy keeps an object; None without a policy or under an event-based hold.

    The time counts from the end of an event-based hold, if there was one, else from the object's creation.
    """
    policy = bucket["fields"].get("retentionPolicy")
    if policy is None or stored["fields"].get("eventBasedHold") in (True, "true"):
        return None
    begin = datetime.fromisoformat(stored.get("holdReleased") or stored["timeCreated"])
    try:
        return timestamp(begin + timedelta(seconds=int(policy["retentionPeriod"])))
    except OverflowError:  # beyond the year 9999
        return "9999-12-31T23:59:59.999Z"


def released(stored: Document, fields: dict[str, Any]) -> dict[str, str]:
    """What a change of an object's fields adds to its document: when its event-based hold ended."""
    held = stored["fields"].get("eventBasedHold") in (True, "true")
    return {"holdReleased": timestamp()} if held and fields.get("eventBasedHold") not in (True, "true") else {}
