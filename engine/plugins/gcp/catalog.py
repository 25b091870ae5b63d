"""Every resource type and function that the stand-in knows, by token."""

from __future__ import annotations

from engine.plugins.gcp import bigquery, healthcare, kms, projects, pubsub, storage
from engine.plugins.gcp.functions import FUNCTIONS
from engine.plugins.gcp.iam import MemberType
from engine.plugins.gcp.resource import ResourceType

AnyType = ResourceType | MemberType

TYPES: dict[str, AnyType] = {
    kind.token: kind
    for module in (healthcare, bigquery, storage, projects, pubsub, kms)
    for kind in (*module.RESOURCES, *module.MEMBERS)
}

__all__ = ["FUNCTIONS", "TYPES", "AnyType"]
