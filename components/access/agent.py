"""What a service agent needs for imports, exports, streams, notifications and keys, as one component."""

from collections.abc import Iterator
from dataclasses import dataclass

import pulumi

from components.access.resources import declare_member
from components.access.rules import RULES, On, Target, Use
from components.base.arguments import arguments, child
from components.base.waiting import remembered
from components.settings.fields import kms_key_parts, topic_parts
from operations.model.invalid import InputError, quoted


@dataclass(kw_only=True)
class AgentGrantsArgs:
    """Arguments of `AgentGrants`."""

    service_agent: pulumi.Input[str]
    """E-mail address of the agent: `ProjectAccess.service_agent` of the project that holds the stores; for the keys of
    buckets, tables and topics one of `ProjectAccess.encryption_agents` of the project that holds these."""
    write_tables_in: list[str] | None = None
    """BigQuery datasets that metadata is exported or streamed to, each `PROJECT.DATASET`."""
    run_jobs_in: list[str] | None = None
    """Projects in which exports to BigQuery run load jobs: that of the table, and that of the store."""
    write_buckets: list[str] | None = None
    """Buckets that images are exported to."""
    read_buckets: list[str] | None = None
    """Buckets that files are imported from, or that hold filter files."""
    publish_to: list[str] | None = None
    """Topics of notifications, each `projects/PROJECT/topics/TOPIC`."""
    use_keys: list[str] | None = None
    """Keys that the agent encrypts with, each `projects/…/cryptoKeys/KEY`."""


class AgentGrants(pulumi.ComponentResource):
    """Additive grants to one service agent.

    Rules: https://cloud.google.com/healthcare-api/docs/permissions-healthcare-api-gcp-products
    """

    member: pulumi.Output[str]
    """The agent as IAM writes it."""

    def __init__(self, name: str, args: AgentGrantsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("imaging:index:AgentGrants", name, {}, opts)
        args = arguments(AgentGrantsArgs, args)
        self.member = pulumi.Output.concat("serviceAccount:", args.service_agent)
        for use, target in _targets(args):
            rule = RULES[use]
            grant = f"{name}-{rule.verb}-{target.label}"
            declare_member(grant, rule.role, self.member, target, child(self, opts, hooks=remembered()))
        self.register_outputs({"member": self.member})


def _targets(args: AgentGrantsArgs) -> Iterator[tuple[Use, Target]]:
    for tables in args.write_tables_in or []:
        project, _, dataset = tables.rpartition(".")
        if not project or not dataset:
            raise InputError(f"{quoted(tables)} names no BigQuery dataset; write PROJECT.DATASET")
        yield Use.WRITE_METADATA, Target(On.BIGQUERY_DATASET, dataset, project)
    for project in args.run_jobs_in or []:
        yield Use.RUN_JOBS, Target(On.PROJECT, project, project)
    for bucket in args.write_buckets or []:
        yield Use.WRITE_IMAGES, Target(On.BUCKET, bucket, None)
    for bucket in args.read_buckets or []:
        yield Use.READ_IMPORTS, Target(On.BUCKET, bucket, None)
    for topic in args.publish_to or []:
        parts = topic_parts(topic)
        if not parts:
            raise InputError(f"{quoted(topic)} is no topic; write projects/PROJECT/topics/TOPIC")
        yield Use.NOTIFY, Target(On.TOPIC, topic, parts["project"])
    for key in args.use_keys or []:
        parts = kms_key_parts(key)
        if not parts:
            raise InputError(f"{quoted(key)} is no key; write projects/…/locations/…/keyRings/…/cryptoKeys/KEY")
        yield Use.ENCRYPT_DATASET, Target(On.KEY, key, parts["project"])
