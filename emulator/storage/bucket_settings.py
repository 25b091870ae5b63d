"""What the settings of a bucket mean: what the service adds to them, and what it refuses.

https://cloud.google.com/storage/docs/json_api/v1/buckets
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ..core.clock import now
from ..core.errors import ApiError
from .errors import invalid_argument
from .resources import STORAGE_CLASSES, location_type
from .store import timestamp

if TYPE_CHECKING:
    from ..core.state import Document

#: https://cloud.google.com/storage/docs/bucket-lock: 100 years.
_LONGEST_RETENTION = 3_155_760_000
#: https://cloud.google.com/storage/docs/soft-delete: off, or 7 to 90 days.
_SOFT_DELETE = (604_800, 7_776_000)
_PUBLIC = {"allUsers", "allAuthenticatedUsers"}
#: What a client may ask for and the emulator does not do.
_UNSERVED = {"acl": "access control lists", "defaultObjectAcl": "access control lists", "ipFilter": "IP filters"}


def refuse_unserved(body: dict[str, Any]) -> None:
    """Refuse what would be kept without an effect.

    Raises:
        ApiError: 501.
    """
    for field, name in _UNSERVED.items():
        if body.get(field):
            raise ApiError(501, f"The emulator does not serve {name} of buckets.")


def check_members(bucket: Document, policy: dict[str, Any]) -> None:
    """Refuse members that would make a bucket public which must not be.

    https://cloud.google.com/storage/docs/public-access-prevention

    Raises:
        ApiError: 412.
    """
    if bucket["fields"]["iamConfiguration"]["publicAccessPrevention"] != "enforced":
        return
    members = {member for binding in policy.get("bindings") or () for member in binding.get("members") or ()}
    if members & _PUBLIC:
        raise ApiError(
            412,
            "The member bindings allUsers and allAuthenticatedUsers are not allowed since public access prevention is "
            "enforced.",
            reason="conditionNotMet",
        )


def completed(name: str, fields: dict[str, Any], location: str, old: dict[str, Any] | None) -> dict[str, Any]:
    """The fields with what the service adds: defaults, mirrored fields, times.

    Args:
        name: the bucket's name.
        fields: as the client wants them.
        location: in capitals.
        old: the fields before a change; None when the bucket is made.

    Raises:
        ApiError: 400 for what can't be, 403 for what a lock forbids.
    """
    before = old or {}
    _check_class(fields, location)
    _check_labels(fields)
    done = {
        **fields,
        "storageClass": "STANDARD" if _on(fields.get("autoclass")) else fields.get("storageClass", "STANDARD"),
        "iamConfiguration": _access(fields.get("iamConfiguration", {}), before.get("iamConfiguration", {})),
        "softDeletePolicy": _soft_delete(fields.get("softDeletePolicy"), before.get("softDeletePolicy")),
        "retentionPolicy": _retention(name, fields.get("retentionPolicy"), before.get("retentionPolicy")),
        "autoclass": _autoclass(fields.get("autoclass"), before.get("autoclass")),
    }
    if not done.get("labels", True):
        del done["labels"]
    if not (done.get("lifecycle") or {}).get("rule", True) or done.get("lifecycle") == {}:
        del done["lifecycle"]
    if location_type(location, fields) != "region":
        done.setdefault("rpo", "DEFAULT")
    return {key: value for key, value in done.items() if value is not None}


def _on(switch: dict[str, Any] | None) -> bool:
    return (switch or {}).get("enabled") in (True, "true")


def _check_class(fields: dict[str, Any], location: str) -> None:
    storage_class = fields.get("storageClass", "STANDARD")
    if storage_class not in STORAGE_CLASSES:
        raise invalid_argument(f"Invalid storage class: '{storage_class}'")
    regions = (fields.get("customPlacementConfig") or {}).get("dataLocations")
    if regions is not None and (len(regions) != 2 or len({region.upper() for region in regions}) != 2):
        raise invalid_argument(
            "Exactly two different regions must be specified in customPlacementConfig.dataLocations."
        )
    if fields.get("rpo", "DEFAULT") not in {"DEFAULT", "ASYNC_TURBO"}:
        raise invalid_argument(f"Invalid recovery point objective: '{fields['rpo']}'")
    if fields.get("rpo") == "ASYNC_TURBO" and location_type(location, fields) != "dual-region":
        raise invalid_argument("ASYNC_TURBO is only possible for buckets in a dual-region.")
    for rule in (fields.get("lifecycle") or {}).get("rule") or ():
        _check_rule(rule)


def _check_rule(rule: dict[str, Any]) -> None:
    """https://cloud.google.com/storage/docs/lifecycle."""
    action, condition = rule.get("action") or {}, rule.get("condition") or {}
    kind = action.get("type")
    if kind not in {"Delete", "SetStorageClass", "AbortIncompleteMultipartUpload"}:
        raise invalid_argument(f"Invalid lifecycle action: '{kind}'")
    if kind == "SetStorageClass" and action.get("storageClass") not in STORAGE_CLASSES:
        raise invalid_argument(f"Invalid storage class of a lifecycle action: '{action.get('storageClass')}'")
    if not condition:
        raise invalid_argument("A lifecycle rule must have a condition.")
    if kind == "AbortIncompleteMultipartUpload" and set(condition) - {"age", "matchesPrefix", "matchesSuffix"}:
        raise invalid_argument(
            "AbortIncompleteMultipartUpload takes no other conditions than age, matchesPrefix and matchesSuffix."
        )


def _check_labels(fields: dict[str, Any]) -> None:
    for key, value in fields.get("labels", {}).items():
        if (
            not re.fullmatch(r"[^\WA-Z][\w-]{0,62}", key)
            or not re.fullmatch(r"[\w-]{0,63}", value)
            or value.lower() != value
        ):
            raise invalid_argument(f"Invalid label: '{key}: {value}'")


def _access(access: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    sent = access.get("uniformBucketLevelAccess") or access.get("bucketPolicyOnly") or {}
    uniform: dict[str, Any] = {"enabled": _on(sent)}
    if uniform["enabled"]:
        locked = before.get("uniformBucketLevelAccess", {}).get("lockedTime")
        uniform["lockedTime"] = locked or timestamp(now() + timedelta(days=90))
    return {
        "bucketPolicyOnly": uniform,
        "uniformBucketLevelAccess": uniform,
        "publicAccessPrevention": access.get("publicAccessPrevention", "inherited"),
    }


def _soft_delete(sent: dict[str, Any] | None, old: dict[str, Any] | None) -> dict[str, Any]:
    seconds = int((sent or {}).get("retentionDurationSeconds", _SOFT_DELETE[0]))
    if seconds and not _SOFT_DELETE[0] <= seconds <= _SOFT_DELETE[1]:
        raise invalid_argument(
            f"Invalid soft delete retention duration: {seconds}; it must be 0, or {_SOFT_DELETE[0]} to "
            f"{_SOFT_DELETE[1]} seconds."
        )
    if old is not None and old["retentionDurationSeconds"] == str(seconds):
        return old
    if seconds == 0:
        return {"retentionDurationSeconds": "0"}
    return {"retentionDurationSeconds": str(seconds), "effectiveTime": timestamp()}


def _retention(name: str, sent: dict[str, Any] | None, old: dict[str, Any] | None) -> dict[str, Any] | None:
    """https://cloud.google.com/storage/docs/bucket-lock. A locked one can only become longer."""
    locked = bool(old and old.get("isLocked"))
    if sent is None:
        if locked:
            raise ApiError(
                403, f"Bucket '{name}' has a locked Retention Policy which cannot be removed.", reason="forbidden"
            )
        return None
    seconds = int(sent.get("retentionPeriod") or 0)
    if not 0 < seconds <= _LONGEST_RETENTION:
        raise invalid_argument(
            f"Invalid retention period: {seconds}; it must be at least 1 second and at most 100 years."
        )
    if old is not None and locked and seconds < int(old["retentionPeriod"]):
        raise ApiError(
            403,
            f"Cannot reduce retention duration of a locked Retention Policy for bucket '{name}'.",
            reason="forbidden",
        )
    if old is not None and old["retentionPeriod"] == str(seconds):
        return old
    # Whether it is locked is not for the client to say here: that is a call of its own.
    policy: dict[str, Any] = {"retentionPeriod": str(seconds), "effectiveTime": timestamp()}
    return {**policy, "isLocked": True} if locked else policy


def _autoclass(sent: dict[str, Any] | None, old: dict[str, Any] | None) -> dict[str, Any] | None:
    """https://cloud.google.com/storage/docs/autoclass."""
    if sent is None:
        return None
    before = old or {}
    if not _on(sent):
        return {"enabled": False}
    terminal = sent.get("terminalStorageClass") or "NEARLINE"
    if terminal not in {"NEARLINE", "ARCHIVE"}:
        raise invalid_argument(f"Invalid terminal storage class: '{terminal}'")
    moment = timestamp()
    kept = before.get("terminalStorageClass") == terminal
    return {
        "enabled": True,
        "toggleTime": before["toggleTime"] if _on(before) else moment,
        "terminalStorageClass": terminal,
        "terminalStorageClassUpdateTime": before["terminalStorageClassUpdateTime"] if kept else moment,
    }
