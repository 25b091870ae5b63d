"""Grants as Pulumi resources, one additive member each: what other people granted is left as it is."""

from collections.abc import Callable, Mapping
from typing import Any

import pulumi
import pulumi_gcp as gcp

from components.access.grants import Grant
from components.access.rules import Agent, On, Target
from components.base.waiting import remembered

# `*IAMMember` only. `*IAMBinding` would take the role from everybody else, `*IAMPolicy` every role.
Declare = Callable[[str, str, pulumi.Input[str], Target, pulumi.ResourceOptions, Any], pulumi.Resource]


def _on_project(
    name: str,
    role: str,
    member: pulumi.Input[str],
    target: Target,
    opts: pulumi.ResourceOptions,
    condition: Any,
) -> pulumi.Resource:
    return gcp.projects.IAMMember(name, project=target.name, role=role, member=member, condition=condition, opts=opts)


def _on_bigquery_dataset(
    name: str,
    role: str,
    member: pulumi.Input[str],
    target: Target,
    opts: pulumi.ResourceOptions,
    condition: Any,
) -> pulumi.Resource:
    return gcp.bigquery.DatasetIamMember(
        name, project=target.project, dataset_id=target.name, role=role, member=member, condition=condition, opts=opts
    )


def _on_bucket(
    name: str,
    role: str,
    member: pulumi.Input[str],
    target: Target,
    opts: pulumi.ResourceOptions,
    condition: Any,
) -> pulumi.Resource:
    return gcp.storage.BucketIAMMember(
        name, bucket=target.name, role=role, member=member, condition=condition, opts=opts
    )


def _on_topic(
    name: str,
    role: str,
    member: pulumi.Input[str],
    target: Target,
    opts: pulumi.ResourceOptions,
    condition: Any,
) -> pulumi.Resource:
    return gcp.pubsub.TopicIAMMember(
        name,
        project=target.project,
        topic=target.name.rsplit("/", 1)[-1],
        role=role,
        member=member,
        condition=condition,
        opts=opts,
    )


def _on_key(
    name: str,
    role: str,
    member: pulumi.Input[str],
    target: Target,
    opts: pulumi.ResourceOptions,
    condition: Any,
) -> pulumi.Resource:
    return gcp.kms.CryptoKeyIAMMember(
        name, crypto_key_id=target.name, role=role, member=member, condition=condition, opts=opts
    )


def _on_healthcare_dataset(
    name: str,
    role: str,
    member: pulumi.Input[str],
    target: Target,
    opts: pulumi.ResourceOptions,
    condition: Any,
) -> pulumi.Resource:
    return gcp.healthcare.DatasetIamMember(
        name, dataset_id=target.name, role=role, member=member, condition=condition, opts=opts
    )


def _on_dicom_store(
    name: str,
    role: str,
    member: pulumi.Input[str],
    target: Target,
    opts: pulumi.ResourceOptions,
    condition: Any,
) -> pulumi.Resource:
    return gcp.healthcare.DicomStoreIamMember(
        name, dicom_store_id=target.name, role=role, member=member, condition=condition, opts=opts
    )


DECLARE: Mapping[On, Declare] = {
    On.PROJECT: _on_project,
    On.BIGQUERY_DATASET: _on_bigquery_dataset,
    On.BUCKET: _on_bucket,
    On.TOPIC: _on_topic,
    On.KEY: _on_key,
    On.HEALTHCARE_DATASET: _on_healthcare_dataset,
    On.DICOM_STORE: _on_dicom_store,
}


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
    return DECLARE[grant.target.on](grant.name, grant.role, member, grant.target, opts, condition)
