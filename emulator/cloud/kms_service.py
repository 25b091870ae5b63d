"""Cloud KMS: key rings, keys and their versions. No bytes are encrypted here; what counts is a key's state.

https://cloud.google.com/kms/docs/reference/rest
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..core.runtime import Emulator
    from ..core.state import Document

_KEY_NAME = re.compile(r"projects/[^/]+/locations/([^/]+)/keyRings/[^/]+/cryptoKeys/[^/]+")
#: What ``roles/cloudkms.cryptoKeyEncrypterDecrypter`` stands for.
_PERMISSIONS = ("cloudkms.cryptoKeyVersions.useToEncrypt", "cloudkms.cryptoKeyVersions.useToDecrypt")


class Kms:
    """Key rings, keys and versions of one emulator, each by its name.

    Args:
        emulator: whose state this is.
    """

    def __init__(self, emulator: Emulator) -> None:
        self.lock = emulator.state.lock
        self.rings = emulator.state.collection("kms.keyRings")
        self.keys = emulator.state.collection("kms.cryptoKeys")
        self.versions = emulator.state.collection("kms.cryptoKeyVersions")

    def primary(self, key: Document) -> Document | None:
        """The version of a key that encrypts."""
        return self.versions.get(key.get("primaryName", ""))


def key_location(key_name: str) -> str | None:
    """Where a key is (``europe``); None if this can't be the name of a key."""
    found = _KEY_NAME.fullmatch(key_name)
    return None if found is None else found[1]


def location_of_keys(location: str) -> str:
    """Where a key has to be that encrypts data in a location.

    The multi-region of data ``EU`` is ``europe`` for keys; all others have one name
    (https://cloud.google.com/bigquery/docs/customer-managed-encryption,
    https://cloud.google.com/storage/docs/encryption/using-customer-managed-keys).
    """
    lower = location.lower()
    return "europe" if lower == "eu" else lower


def missing_permission(emulator: Emulator, key_name: str, agent: str) -> str | None:
    """What a service agent lacks to encrypt and decrypt with a key; None if it lacks nothing.

    Args:
        emulator: where.
        key_name: of a key, which need not exist: then everything is missing.
        agent: e-mail of the service agent.
    """
    if key_name not in emulator.service(Kms).keys:
        return _PERMISSIONS[0]
    above = (key_name, key_name.partition("/cryptoKeys/")[0], "/".join(key_name.split("/")[:2]))
    for permission in _PERMISSIONS:
        if not emulator.iam.allowed(f"serviceAccount:{agent}", permission, *above):
            return permission
    return None


def primary_version(emulator: Emulator, key_name: str) -> str | None:
    """The name of the version of a key that encrypts; None if there is none."""
    kms = emulator.service(Kms)
    version = kms.primary(kms.keys.get(key_name, {}))
    return None if version is None else str(version["name"])


def version_state(emulator: Emulator, version_name: str) -> str:
    """``ENABLED``, ``DISABLED``, ``DESTROY_SCHEDULED``…; ``DESTROYED`` for a version that is not there."""
    version = emulator.service(Kms).versions.get(version_name)
    return "DESTROYED" if version is None else str(version["state"])


def key_state(emulator: Emulator, key_name: str) -> str | None:
    """The state of the version of a key that encrypts.

    Args:
        emulator: where.
        key_name: ``projects/P/locations/L/keyRings/R/cryptoKeys/K``.

    Returns:
        ``ENABLED``, ``DISABLED`` or ``DESTROYED`` (a version that is scheduled for destruction can't be used either);
        None if there is no such key.
    """
    kms = emulator.service(Kms)
    key = kms.keys.get(key_name)
    if key is None:
        return None
    version = kms.primary(key)
    if version is None:
        return "DISABLED"
    return "DESTROYED" if version["state"].startswith("DESTROY") else version["state"]
