"""Cloud Storage's own wording of errors.

https://cloud.google.com/storage/docs/json_api/v1/status-codes
"""

from __future__ import annotations

from ..core.errors import ApiError
from ..iam import OWNER


def no_bucket() -> ApiError:
    """404: the bucket does not exist."""
    return ApiError(404, "The specified bucket does not exist.", reason="notFound")


def no_object(bucket: str, name: str) -> ApiError:
    """404: the object, or that generation of it, does not exist."""
    return ApiError(404, f"No such object: {bucket}/{name}", reason="notFound")


def precondition_failed() -> ApiError:
    """412: an ``if…Match`` parameter is not that of the resource."""
    return ApiError(412, "At least one of the pre-conditions you specified did not hold.", reason="conditionNotMet")


def policy_changed() -> ApiError:
    """412: a policy is no longer the one that was read (hashicorp/terraform-provider-google issue 7853)."""
    return ApiError(412, "Precondition Failed", reason="conditionNotMet")


def required(parameter: str) -> ApiError:
    """400: a query parameter or field is missing."""
    return ApiError(400, f"Required parameter: {parameter}", reason="required")


def invalid_argument(message: str) -> ApiError:
    """400: a value can't be what it says."""
    return ApiError(400, message, reason="invalid")


def no_access(principal: str, permission: str, kind: str) -> ApiError:
    """403: the caller lacks a permission.

    Args:
        principal: IAM member that calls.
        permission: for instance ``storage.objects.get``.
        kind: ``bucket``, ``object`` or ``project``: what the permission was asked of.
    """
    who = principal if principal == OWNER else principal.partition(":")[2] or "Anonymous caller"
    resource = "Google Cloud project" if kind == "project" else f"Google Cloud Storage {kind}"
    return ApiError(
        403,
        f"{who} does not have {permission} access to the {resource}. "
        f"Permission '{permission}' denied on resource (or it may not exist).",
        reason="forbidden",
    )
