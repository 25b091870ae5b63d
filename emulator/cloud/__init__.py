"""The smaller APIs: Resource Manager, Service Usage, Cloud Billing, Cloud Logging, Pub/Sub, Cloud KMS, IAM."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..http.routing import Routes


def routes() -> list[Routes]:
    """The handlers of these APIs."""
    from . import billing, iam_api, kms_api, logging_api, pubsub_api, resource_manager, service_usage

    modules = (resource_manager, service_usage, billing, logging_api, pubsub_api, kms_api, iam_api)
    return [module.routes for module in modules]
