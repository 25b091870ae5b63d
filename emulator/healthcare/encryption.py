"""Customer-managed encryption keys of datasets.

https://cloud.google.com/healthcare-api/docs/cmek: the key is in the dataset's location, and the project's Cloud
Healthcare service agent may encrypt and decrypt with it. A dataset whose key can't be used refuses every call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..cloud import kms_service
from ..core.errors import ApiError, invalid
from .names import DatasetName, agent_of

if TYPE_CHECKING:
    from ..core.runtime import Emulator

_ROLE = "roles/cloudkms.cryptoKeyEncrypterDecrypter"


def check_key_name(name: DatasetName, key: str) -> None:
    """Refuse a key that can't belong to a dataset.

    Raises:
        ApiError: 400 if the name is malformed or its location differs from the dataset's.
    """
    location = kms_service.key_location(key)
    if location is None:
        raise invalid(
            f"invalid kmsKeyName {key!r}: projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY is expected"
        )
    # The page doesn't say which key goes with the multi-region eu: one in europe, as BigQuery and Cloud Storage have
    # it, or one in a location of the dataset's own name. Both are taken; that either works is an assumption.
    if location not in (name.location, kms_service.location_of_keys(name.location)):
        raise invalid(f"the key {key} is in {location}, the dataset in {name.location}; both must be in one location")


def require_key(emulator: Emulator, name: DatasetName, key: str) -> None:
    """Refuse to go on unless the key exists, is enabled, and may be used by the service agent.

    Raises:
        ApiError: 400 FAILED_PRECONDITION about the key, 403 about the service agent.
    """
    state = kms_service.key_state(emulator, key)
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
