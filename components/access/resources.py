"""Grants as Pulumi resources, one additive member each: what other people granted is left as it is."""

from collections.abc import Callable, Mapping
from typing import Any

import pulumi
import pulumi_gcp as gcp

from components.access.grants import Grant
from components.access.rules import Agent, On, Target
from components.base.waiting import remembered

# `*IAMMember` only. `*IAMBinding` would take the role from everybody else, `*IAMPolicy` every role.
# A submodule of pulumi_gcp is loaded when it is first named, so a kind is looked up only for a grant of it.
_KINDS: Mapping[On, Callable[[Target], tuple[Callable[..., pulumi.Resource], dict[str, Any]]]] = {
    On.PROJECT: lambda on: (gcp.projects.IAMMember, {"project": on.name}),
    On.BIGQUERY_DATASET: lambda on: (
        gcp.bigquery.DatasetIamMember,
        {"project": on.project, "dataset_id": on.name},
    ),
    On.BUCKET: lambda on: (gcp.storage.BucketIAMMember, {"bucket": on.name}),
    On.TOPIC: lambda on: (
        gcp.pubsub.TopicIAMMember,
        {"project": on.project, "topic": on.name.rsplit("/", 1)[-1]},
    ),
    On.KEY: lambda on: (gcp.kms.CryptoKeyIAMMember, {"crypto_key_id": on.name}),
    On.HEALTHCARE_DATASET: lambda on: (gcp.healthcare.DatasetIamMember, {"dataset_id": on.name}),
    On.DICOM_STORE: lambda on: (gcp.healthcare.DicomStoreIamMember, {"dicom_store_id": on.name}),
}


def declare_member(
    name: str,
    role: str,
    member: pulumi.Input[str],
    target: Target,
    opts: pulumi.ResourceOptions,
    condition: Any = None,
) -> pulumi.Resource:
    """Declare one member of one role on what the target is.

    Args:
        name: of the resource.
        role: `roles/…`, or a custom one.
        member: as IAM writes it.
        target: what it is granted on.
        opts: as for every resource.
        condition: title, description and expression; None for a grant without one.
    """
    kind, where = _KINDS[target.on](target)
    return kind(name, role=role, member=member, condition=condition, opts=opts, **where)


def declare_grant(grant: Grant, member: pulumi.Input[str], opts: pulumi.ResourceOptions) -> pulumi.Resource:
    """Declare one grant.

    Args:
        grant: what to grant, and its name in the stack.
        member: the member as IAM writes it, `serviceAccount:…`; for a service agent it is known only when the
            project's number is.
        opts: the parent, and what must exist first: the resource granted on, and the member.
    """
    if isinstance(grant.member, Agent):
        opts = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(hooks=remembered()))
    condition = grant.condition.as_input if grant.condition else None
    return declare_member(grant.name, grant.role, member, grant.target, opts, condition)
