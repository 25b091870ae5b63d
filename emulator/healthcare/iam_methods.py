"""``getIamPolicy``, ``setIamPolicy`` and ``testIamPermissions`` of datasets and DICOM stores."""

from __future__ import annotations

from typing import Any

from ..core.errors import invalid
from ..http.call import Call
from ..http.routing import Routes
from .access import datasets, find_dataset, find_store, stores
from .names import dataset_of, store_of

routes = Routes("healthcare")
_DATASETS = "projects.locations.datasets"
_STORES = f"{_DATASETS}.dicomStores"


def _resource(call: Call, verb: str) -> str:
    if "dicomStoresId" in call.path:
        return str(find_store(call, f"healthcare.dicomStores.{verb}")[0])
    return str(find_dataset(call, f"healthcare.datasets.{verb}")[0])


@routes.method(f"{_DATASETS}.getIamPolicy", f"{_STORES}.getIamPolicy")
def get_policy(call: Call) -> dict[str, Any]:
    """The policy of the resource itself, not those it inherits."""
    return call.emulator.iam.get(_resource(call, "getIamPolicy"))


@routes.method(f"{_DATASETS}.setIamPolicy", f"{_STORES}.setIamPolicy", blocking=True)
def set_policy(call: Call) -> dict[str, Any]:
    """Replace the policy."""
    resource = _resource(call, "setIamPolicy")
    policy = call.body.get("policy")
    if policy is None:
        raise invalid("policy is required")
    return call.emulator.iam.set(resource, policy)


@routes.method(f"{_DATASETS}.testIamPermissions", f"{_STORES}.testIamPermissions")
def test_permissions(call: Call) -> dict[str, Any]:
    """Which of the permissions the caller has; none on a resource that does not exist."""
    emulator = call.emulator
    dataset = dataset_of(call)
    exists = "deleted" not in datasets(emulator).get(str(dataset), {"deleted": True})
    keys: tuple[str, ...] = (str(dataset), dataset.project_key)
    if "dicomStoresId" in call.path:
        store = store_of(call)
        exists = exists and str(store) in stores(emulator)
        keys = store.policy_keys
    asked = call.body.get("permissions") or []
    if any("*" in permission for permission in asked):
        raise invalid("Permissions with wildcards can't be tested")
    held = [name for name in asked if exists and emulator.iam.allowed(call.principal, name, *keys)]
    return {"permissions": held} if held else {}
