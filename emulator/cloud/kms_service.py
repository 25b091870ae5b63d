"""Cloud KMS: key rings, keys and their versions. No bytes are encrypted here; what counts is a key's state.

https://cloud.google.com/kms/docs/reference/rest
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..runtime import Emulator
    from ..state import Document


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
