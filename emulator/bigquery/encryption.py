"""Customer-managed encryption keys of datasets and tables. No rows are encrypted; whether a key can be used counts.

https://cloud.google.com/bigquery/docs/customer-managed-encryption: the key is where the dataset is, and BigQuery's
encryption service account of the dataset's project encrypts and decrypts with it. A dataset's default key becomes that
of tables that are made afterwards. A dataset may be given a key that can't be used yet: that shows in its tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..cloud import kms_service
from ..core.errors import ApiError, invalid
from ..core.projects import service_agent

if TYPE_CHECKING:
    from .catalog import Catalog
    from .names import TableName


def check_key_name(location: str, configuration: dict[str, Any] | None) -> None:
    """Refuse a key that can't encrypt tables in a location. Where BigQuery says so, and how, is an assumption.

    Args:
        location: of the dataset.
        configuration: an EncryptionConfiguration; None without one.

    Raises:
        ApiError: 400.
    """
    key = (configuration or {}).get("kmsKeyName")
    if not key:
        return
    where = kms_service.key_location(key)
    if where is None:
        raise invalid(
            f"Invalid kmsKeyName: {key}; projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY is expected"
        )
    if where != kms_service.location_of_keys(location):
        raise invalid(
            f"Cloud KMS key {key} is in {where} and can't be used for a dataset in {location}: it has to be in "
            f"{kms_service.location_of_keys(location)}"
        )


def settled(
    catalog: Catalog,
    name: TableName,
    resource: dict[str, Any],
    configuration: dict[str, Any] | None = None,
    *,
    append: bool = False,
) -> dict[str, Any]:
    """The fields of a table that is about to be written, with its key.

    Args:
        catalog: where it is.
        name: which.
        resource: its REST resource so far; without a creation time it is new.
        configuration: the ``destinationEncryptionConfiguration`` of the job that writes.
        append: rows are added to those that are there: these keep their key.

    Returns:
        The resource; a new table has the key of the job, or else its dataset's default key.

    Raises:
        ApiError: 400 or 403 if its key can't be used, or is another than the job names.
    """
    if "view" in resource:
        return resource
    dataset = catalog.find_dataset(name.project, name.dataset) or {}
    present, wanted = resource.get("encryptionConfiguration"), configuration or None
    if present is None and "creationTime" not in resource:
        present = wanted or dataset.get("defaultEncryptionConfiguration")
    elif wanted is not None and wanted != present:
        if append:
            raise invalid(
                f"{name.text} is encrypted with {_key(present) or 'a key of Google'}; rows can't be appended to it "
                f"with {_key(wanted)}"
            )
        present = wanted
    if not _key(present):
        return resource
    check_key_name(dataset.get("location", "US"), present)
    require_key(catalog, name, {"encryptionConfiguration": present})
    return {**resource, "encryptionConfiguration": present}


def require_key(catalog: Catalog, name: TableName, resource: dict[str, Any]) -> None:
    """Refuse to read or write rows of a table whose key can't be used.

    The text about the service account is BigQuery's (https://github.com/GoogleCloudPlatform/cdmc/issues/19), the one
    about a disabled key Cloud KMS's own; its status is an assumption.

    Raises:
        ApiError: 403 about the service account, 400 about the key.
    """
    key = _key(resource.get("encryptionConfiguration"))
    if not key:
        return
    emulator = catalog.emulator
    agent = service_agent("bigquery", name.project)
    missing = kms_service.missing_permission(emulator, key, agent)
    if missing:
        raise ApiError(
            403,
            f"Access Denied: BigQuery BigQuery: Cloud KMS Error: Permission '{missing}' denied on resource '{key}' (or "
            "it may not exist). Please grant Cloud KMS CryptoKey Encrypter/Decrypter role to BigQuery service account: "
            f"{agent}",
            reason="accessDenied",
        )
    state = kms_service.key_state(emulator, key)
    if state != "ENABLED":
        raise invalid(f"Cloud KMS Error: {key} is not enabled, current state is: {state}.")


def _key(configuration: dict[str, Any] | None) -> str:
    return (configuration or {}).get("kmsKeyName") or ""
