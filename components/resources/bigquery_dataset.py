"""A BigQuery dataset, in any project.

It never sets the dataset's `access` list: that would take away what others granted, and fight with the additive
grants of this project, which write to the same list.
"""

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from components.access.rules import RULES, MemberCondition, Use, each_member
from components.base.arguments import arguments, child
from components.base.waiting import awaiting


@dataclass(kw_only=True)
class BigQueryDatasetArgs:
    """Arguments of `BigQueryDataset`."""

    name: pulumi.Input[str]
    """The dataset's id: letters, digits and underscores."""
    project: pulumi.Input[str]
    """Project that holds the dataset."""
    location: pulumi.Input[str] | None = None
    """Location, such as `EU` or `europe-west4`; needed unless `existing`. It can't be changed later."""
    description: pulumi.Input[str] | None = None
    """Text that BigQuery shows beside the dataset."""
    labels: pulumi.Input[dict[str, pulumi.Input[str]]] | None = None
    """Labels, 64 at most."""
    kms_key: pulumi.Input[str] | None = None
    """Key that new tables are encrypted with. BigQuery's agent must be able to use it."""
    default_table_expiration: float | None = None
    """Seconds after which new tables are deleted; at least 3600. Never if unset."""
    title: pulumi.Input[str] | None = None
    """Name that BigQuery shows instead of the id."""
    partition_expiration: float | None = None
    """Seconds after which partitions of new partitioned tables are deleted. Never if unset."""
    time_travel_hours: int | None = None
    """How far back tables can be read: 48 to 168 hours, whole days. 168 if unset."""
    billing: str | None = None
    """Bytes that storage is billed by: `logical` (the default) or `physical`."""
    tags: pulumi.Input[dict[str, pulumi.Input[str]]] | None = None
    """Tags of Resource Manager by their short names, `PARENT/KEY: VALUE`. They exist already."""
    deletion_protection: bool | None = None
    """Refuse to delete the dataset. If false, a destroy takes it with its tables. Defaults to true."""
    readers: list[str] | None = None
    """Members that may read the tables, as `group:…` or `user:…`."""
    editors: list[str] | None = None
    """Members that may change the tables."""
    member_conditions: dict[str, MemberCondition] | None = None
    """Conditions of members' grants, by member; the others hold always."""
    existing: bool | None = None
    """The dataset exists already: it is granted on, and never created, changed or deleted."""


class BigQueryDataset(pulumi.ComponentResource):
    """A BigQuery dataset: https://cloud.google.com/bigquery/docs/datasets-intro."""

    dataset_id: pulumi.Output[str]
    """Full name, `projects/…/datasets/…`."""
    name: pulumi.Output[str]
    """The dataset's id, known once the dataset exists."""

    def __init__(self, name: str, args: BigQueryDatasetArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("imaging:index:BigQueryDataset", name, {}, opts)
        args = arguments(BigQueryDatasetArgs, args)
        self.resource: gcp.bigquery.Dataset | None = None
        protected = args.deletion_protection is not False
        if args.existing:
            self.name = pulumi.Output.from_input(args.name)
            self.dataset_id = pulumi.Output.concat("projects/", args.project, "/datasets/", args.name)
        else:
            expiration, partitions = args.default_table_expiration, args.partition_expiration
            self.resource = gcp.bigquery.Dataset(
                name,
                dataset_id=args.name,
                project=args.project,
                location=args.location,
                description=args.description,
                labels=args.labels,
                default_encryption_configuration={"kms_key_name": args.kms_key} if args.kms_key is not None else None,
                default_table_expiration_ms=round(expiration * 1000) if expiration is not None else None,
                friendly_name=args.title,
                default_partition_expiration_ms=round(partitions * 1000) if partitions is not None else None,
                max_time_travel_hours=str(args.time_travel_hours) if args.time_travel_hours is not None else None,
                storage_billing_model=args.billing.upper() if args.billing is not None else None,
                resource_tags=args.tags,
                delete_contents_on_destroy=not protected,
                # Its id is the dataset's own name, so the old one has to go first.
                opts=child(
                    self, opts, protect=True if protected else None, delete_before_replace=True, hooks=awaiting()
                ),
            )
            self.name = self.resource.dataset_id
            self.dataset_id = self.resource.id
        uses = {Use.READ_TABLES: args.readers, Use.EDIT_TABLES: args.editors}
        for use, member, condition in each_member(uses, args.member_conditions):
            gcp.bigquery.DatasetIamMember(
                f"{name}-{member}-{RULES[use].verb}{condition.suffix if condition else ''}",
                project=args.project,
                dataset_id=self.name,
                role=RULES[use].role,
                member=member,
                condition=condition.as_input if condition else None,
                opts=child(self, opts),
            )
        self.register_outputs({"datasetId": self.dataset_id, "name": self.name})
