"""Finding datasets, DICOM stores and operations of a call, and refusing callers that may not touch them.

Cloud Healthcare does not tell a missing dataset from a forbidden one: both answer 403 (observed by Google's own
samples). A missing DICOM store in an existing dataset answers 404.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.errors import ApiError, not_found
from .names import DatasetName, StoreName, dataset_of, store_of

if TYPE_CHECKING:
    from ..core.runtime import Emulator
    from ..core.state import Collection
    from ..http.call import Call


def datasets(emulator: Emulator) -> Collection:
    """The datasets by name.

    A document with ``creating`` is not ready; one with ``deleted`` is only remembered: it was deleted, or its creation
    ``failed``.
    """
    return emulator.state.collection("healthcare.datasets")


def stores(emulator: Emulator) -> Collection:
    """The DICOM stores by name: the API's fields, and beside them ``number``, the key of the store's instances."""
    return emulator.state.collection("healthcare.dicomStores")


def denied(permission: str, resource: object) -> ApiError:
    """403, which also stands for a dataset that does not exist."""
    return ApiError(403, f"Permission {permission} denied on resource {resource} (or it may be malformed or not exist)")


def find_dataset(
    call: Call, permission: str, *, own: bool = False, uninitialized: bool = False
) -> tuple[DatasetName, dict[str, Any]]:
    """The dataset of a call, checked for existence and the caller's permission.

    Args:
        call: the call.
        permission: what the caller needs on it.
        own: the call is about the dataset itself: a deleted one answers 404 then.
        uninitialized: a dataset whose creation still runs will do.

    Raises:
        ApiError: 403 if it is missing or the caller lacks the permission; 404 while it is being created.
    """
    name = dataset_of(call)
    call.require(permission, str(name), name.project_key)
    document = datasets(call.emulator).get(str(name))
    if document is not None and "failed" in document and uninitialized:
        return name, document  # its operations tell why it was not created
    if document is None or "failed" in document or ("deleted" in document and not own):
        raise denied(permission, name)
    if "deleted" in document:
        raise not_found(f"dataset {name} not found")
    if "creating" in document and not uninitialized:
        raise not_found(f"dataset not initialized: {name}")
    check_key(call.emulator, name, document)
    return name, document


def find_store(call: Call, permission: str) -> tuple[StoreName, dict[str, Any]]:
    """The DICOM store of a call, checked for existence and the caller's permission.

    Raises:
        ApiError: 403 if its dataset is missing or the caller lacks the permission; 404 if it is missing.
    """
    name = store_of(call)
    call.require(permission, *name.policy_keys)
    dataset = datasets(call.emulator).get(str(name.parent))
    if dataset is None or "deleted" in dataset:
        raise denied(permission, name.parent)
    if "creating" in dataset:
        raise not_found(f"dataset not initialized: {name.parent}")
    check_key(call.emulator, name.parent, dataset)
    document = stores(call.emulator).get(str(name))
    if document is None:
        raise not_found(f"DICOM store {name} not found")
    return name, document


def check_key(emulator: Emulator, name: DatasetName, dataset: dict[str, Any]) -> None:
    """Refuse any use of a dataset whose encryption key can't be used."""
    if key := dataset.get("encryptionSpec", {}).get("kmsKeyName"):
        from .encryption import require_key

        require_key(emulator, name, key)


def public(document: dict[str, Any]) -> dict[str, Any]:
    """A dataset or store as the API shows it: without what only the emulator needs."""
    return {key: value for key, value in document.items() if key not in ("number", "creating", "created")}
