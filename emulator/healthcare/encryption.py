"""Customer-managed encryption keys of datasets.

https://cloud.google.com/healthcare-api/docs/how-tos/cmek: the key is in the dataset's location, and the project's
Cloud Healthcare service agent may encrypt and decrypt with it. A dataset whose key can't be used refuses every call.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..errors import ApiError, invalid
from .names import DatasetName, agent_of

if TYPE_CHECKING:
    from ..runtime import Emulator

_KEY = re.compile(r"projects/([^/]+)/locations/([^/]+)/keyRings/([^/]+)/cryptoKeys/([^/]+)")
_ROLE = "roles/cloudkms.cryptoKeyEncrypterDecrypter"


def check_key_name(name: DatasetName, key: str) -> None:
    """Refuse a key that can't belong to a dataset.

    Raises:
        ApiError: 400 if the name is malformed or its location differs from the dataset's.
    """
    found = _KEY.fullmatch(key)
    if found is None:
        raise invalid(
            f"invalid kmsKeyName {key!r}: projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY is expected"
        )
    if found[2] != name.location:
        raise invalid(f"the key {key} is in {found[2]}, the dataset in {name.location}; both must be in one location")


def require_key(emulator: Emulator, name: DatasetName, key: str) -> None:
    """Refuse to go on unless the key exists, is enabled, and may be used by the service agent.

    Raises:
        ApiError: 400 FAILED_PRECONDITION about the key, 403 about the service agent.
    """
    from ..cloud.kms_service import key_state

    state = key_state(emulator, key)
    if state != "ENABLED":
        what = "does not exist" if state is None else f"is {state}"
        raise ApiError(
            400, f"The Cloud KMS key {key} of dataset {name} {what}; it must be enabled.", name="FAILED_PRECONDITION"
        )
    agent = agent_of(emulator, name.project)
    ring = key.partition("/cryptoKeys/")[0]
    project = "/".join(key.split("/")[:2])
    for permission in ("cloudkms.cryptoKeyVersions.useToEncrypt", "cloudkms.cryptoKeyVersions.useToDecrypt"):
        if not emulator.iam.allowed(agent, permission, key, ring, project):
            raise ApiError(403, f"{agent} lacks {permission} on {key}: grant it {_ROLE} there.")
