"""``getIamPolicy``, ``setIamPolicy`` and ``testIamPermissions``, which many resources share.

https://cloud.google.com/iam/docs/reference/rest/v1/Policy
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.errors import invalid

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..http.call import Call
    from ..http.routing import Routes


def serve_policies(routes: Routes, resource: str, permissions: str, keys_of: Callable[[Call], tuple[str, ...]]) -> None:
    """Serve the three methods of a resource.

    Args:
        routes: handlers of its API.
        resource: what stands before ``.getIamPolicy`` in the discovery ids.
        permissions: what stands before ``.getIamPolicy`` in the names of the permissions.
        keys_of: policy keys of the resource that a call names, from itself up to its project; raises 404 if there is
            no such resource.
    """

    @routes.method(f"{resource}.getIamPolicy")
    def get_iam_policy(call: Call) -> dict[str, Any]:
        keys = keys_of(call)
        call.require(f"{permissions}.getIamPolicy", *keys)
        return shown(call.emulator.iam.get(keys[0]), requested_version(call))

    @routes.method(f"{resource}.setIamPolicy")
    def set_iam_policy(call: Call) -> dict[str, Any]:
        keys = keys_of(call)
        call.require(f"{permissions}.setIamPolicy", *keys)
        return call.emulator.iam.set(keys[0], policy_of(call))

    @routes.method(f"{resource}.testIamPermissions")
    def test_iam_permissions(call: Call) -> dict[str, Any]:
        return held_permissions(call, keys_of(call))


def policy_of(call: Call) -> dict[str, Any]:
    """The policy in a ``setIamPolicy`` request.

    Raises:
        ApiError: 400 if there is none.
    """
    policy = call.body.get("policy")
    if policy is None:
        raise invalid('The policy is missing: {"policy": {"bindings": […], "etag": …}} is expected')
    return dict(policy)


def requested_version(call: Call) -> int:
    """The policy version that the caller understands; below 3 it is not shown bindings with a condition."""
    options = call.body.get("options") or {}
    text = options.get("requestedPolicyVersion") or call.query.get("options.requestedPolicyVersion") or 1
    try:
        return int(text)
    except ValueError:
        raise invalid(f"Invalid value at 'options.requested_policy_version' (TYPE_INT32), \"{text}\"") from None


def shown(policy: dict[str, Any], version: int) -> dict[str, Any]:
    """A policy as ``getIamPolicy`` answers it to somebody who understands this version."""
    if version >= 3 or policy.get("version") != 3:
        return policy
    plain = [binding for binding in policy["bindings"] if "condition" not in binding]
    rest = {key: value for key, value in policy.items() if key != "bindings"}
    return {**rest, "version": 1, **({"bindings": plain} if plain else {})}


def held_permissions(call: Call, keys: tuple[str, ...]) -> dict[str, Any]:
    """The answer of ``testIamPermissions``.

    Raises:
        ApiError: 400 for a permission with a wildcard.
    """
    asked = call.body.get("permissions") or []
    if any("*" in permission for permission in asked):
        raise invalid("Permissions can't be tested with wildcards.")
    held = [name for name in asked if call.emulator.iam.allowed(call.principal, name, *keys)]
    return {"permissions": held} if held else {}
