"""Customer-managed encryption keys of buckets and objects. No bytes are encrypted; whether a key can be used counts.

https://cloud.google.com/storage/docs/encryption/using-customer-managed-keys: the key is where the bucket is, and the
Cloud Storage service agent of the bucket's project encrypts and decrypts with it. An object keeps the version of the
key that encrypted it: as long as that version is disabled or destroyed, it can't be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..cloud import kms_service
from ..core.errors import ApiError
from ..core.projects import service_agent
from .errors import invalid_argument

if TYPE_CHECKING:
    from ..core.runtime import Emulator
    from ..core.state import Document


def check_default_key(emulator: Emulator, bucket: Document, fields: dict[str, Any]) -> None:
    """Refuse a default key that the bucket can't have, if it is another than before.

    Args:
        emulator: where.
        bucket: the bucket as kept; only its project and its location if it is new.
        fields: what its fields are to be.

    Raises:
        ApiError: 400 or 403 about the key.
    """
    key = fields.get("encryption", {}).get("defaultKmsKeyName")
    if key and key != default_key(bucket):
        version_for(emulator, bucket, key)


def default_key(bucket: Document) -> str:
    """The default key of a bucket; empty without one."""
    return bucket.get("fields", {}).get("encryption", {}).get("defaultKmsKeyName") or ""


def version_for(emulator: Emulator, bucket: Document, key: str) -> str:
    """The version of a key that encrypts an object of a bucket; empty if there is no key.

    Raises:
        ApiError: 400 if the key is malformed, in another location or not enabled; 403 if the service agent may not use
            it.
    """
    if not key:
        return ""
    location = kms_service.key_location(key)
    if location is None:
        raise invalid_argument(
            f"Invalid Cloud KMS key name: '{key}'; projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY is "
            "expected"
        )
    if location != kms_service.location_of_keys(bucket["location"]):
        raise invalid_argument(
            f"Cloud KMS region '{location}' not available for use with GCS region '{bucket['location']}'."
        )
    _require_agent(emulator, bucket, key)
    version = kms_service.primary_version(emulator, key) or f"{key}/cryptoKeyVersions/1"
    _require_enabled(emulator, version)
    return version


def require_readable(emulator: Emulator, bucket: Document, stored: Document) -> None:
    """Refuse to read the bytes of an object whose key can't be used.

    Raises:
        ApiError: 400 or 403 about the key.
    """
    version = stored.get("kmsKeyName")
    if version:
        _require_agent(emulator, bucket, version.partition("/cryptoKeyVersions/")[0])
        _require_enabled(emulator, version)


def _require_agent(emulator: Emulator, bucket: Document, key: str) -> None:
    agent = service_agent("storage", bucket["project"])
    missing = kms_service.missing_permission(emulator, key, agent)
    if missing:
        raise ApiError(
            403,
            "Permission denied on Cloud KMS key. Please ensure that your Cloud Storage service account has been "
            f"authorized to use this key. {agent} lacks {missing} on {key} (or it does not exist): grant it "
            "roles/cloudkms.cryptoKeyEncrypterDecrypter there.",
            reason="forbidden",
        )


def _require_enabled(emulator: Emulator, version: str) -> None:
    """The text is Cloud KMS's own; that Cloud Storage passes it on with status 400 is an assumption."""
    state = kms_service.version_state(emulator, version)
    if state != "ENABLED":
        raise invalid_argument(f"{version} is not enabled, current state is: {state}.")
