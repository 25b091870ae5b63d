"""The smaller APIs: Resource Manager, Service Usage, Cloud Billing, Cloud Logging, Pub/Sub, Cloud KMS, IAM."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..routing import Routes


def routes() -> list[Routes]:
    """The handlers of these APIs."""
    from . import billing, resource_manager, service_usage

    return [resource_manager.routes, service_usage.routes, billing.routes]
