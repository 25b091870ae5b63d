"""Cloud Billing: whether a project has a billing account. None has: nothing costs anything here.

https://cloud.google.com/billing/docs/reference/rest/v1/projects/getBillingInfo
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.errors import ApiError
from ..http.routing import Routes

if TYPE_CHECKING:
    from ..http.call import Call

routes = Routes("cloudbilling")


@routes.method("projects.getBillingInfo")
def get_billing_info(call: Call) -> dict[str, Any]:
    """The billing information of a project."""
    project = call.emulator.projects.use(call.path["projectsId"])
    if not call.emulator.iam.allowed(call.principal, "resourcemanager.projects.get", f"projects/{project}"):
        raise ApiError(403, "The caller does not have permission", reason="forbidden")
    return {
        "name": f"projects/{project}/billingInfo",
        "projectId": project,
        "billingAccountName": "",
        "billingEnabled": False,
    }
