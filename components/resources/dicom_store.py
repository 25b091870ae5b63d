"""A DICOM store, with what it announces and streams."""

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from components.access.rules import RULES, MemberCondition, Use, each_member
from components.base.arguments import arguments, child
from components.base.waiting import awaiting


@dataclass(kw_only=True)
class DicomStoreArgs:
    """Arguments of `DicomStore`."""

    name: pulumi.Input[str]
    """The store's id: 1 to 256 letters, digits, underscores, hyphens and dots."""
    dataset: pulumi.Input[str]
    """Full name of the Healthcare dataset, `projects/…/locations/…/datasets/…`."""
    labels: pulumi.Input[dict[str, pulumi.Input[str]]] | None = None
    """Labels, 64 at most."""
    notification_topic: pulumi.Input[str] | None = None
    """Pub/Sub topic, `projects/…/topics/…`, that hears of new instances. The service agent must be able to publish."""
    notify_bulk_imports: bool | None = None
    """Announce the instances of bulk imports too."""
    stream_tables: list[pulumi.Input[str]] | None = None
    """Up to five BigQuery tables, `bq://PROJECT.DATASET.TABLE`, that metadata is streamed to. The API checks at once
    that the service agent may write to them: pass those grants in `depends_on`."""
    deletion_protection: bool | None = None
    """Refuse to delete the store, which would delete all its images. Defaults to true."""
    readers: list[str] | None = None
    """Members that may read and export the images, as `group:…` or `user:…`."""
    writers: list[str] | None = None
    """Members that may also import, store and delete images."""
    member_conditions: dict[str, MemberCondition] | None = None
    """Conditions of members' grants, by member; the others hold always."""
    existing: bool | None = None
    """The store exists already: it is granted on, and never created, changed or deleted."""


class DicomStore(pulumi.ComponentResource):
    """A DICOM store: https://cloud.google.com/healthcare-api/docs/dicom."""

    store_id: pulumi.Output[str]
    """Full name, `projects/…/locations/…/datasets/…/dicomStores/…`."""

    def __init__(self, name: str, args: DicomStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("imaging:index:DicomStore", name, {}, opts)
        args = arguments(DicomStoreArgs, args)
        self.resource: gcp.healthcare.DicomStore | None = None
        if args.existing:
            self.store_id = pulumi.Output.concat(args.dataset, "/dicomStores/", args.name)
        else:
            # The API has a list of topics too (notificationConfigs); the provider knows only this one.
            notification: gcp.healthcare.DicomStoreNotificationConfigArgsDict | None = None
            if args.notification_topic is not None:
                notification = {
                    "pubsub_topic": args.notification_topic,
                    "send_for_bulk_import": bool(args.notify_bulk_imports),
                }
            self.resource = gcp.healthcare.DicomStore(
                name,
                name=args.name,
                dataset=args.dataset,
                labels=args.labels,
                notification_config=notification,
                stream_configs=[{"bigquery_destination": {"table_uri": table}} for table in args.stream_tables or []]
                or None,
                opts=child(self, opts, protect=None if args.deletion_protection is False else True, hooks=awaiting()),
            )
            self.store_id = self.resource.id
        uses = {Use.READ_IMAGES: args.readers, Use.EDIT_IMAGES: args.writers}
        for use, member, condition in each_member(uses, args.member_conditions):
            gcp.healthcare.DicomStoreIamMember(
                f"{name}-{member}-{RULES[use].verb}{condition.suffix if condition else ''}",
                dicom_store_id=self.store_id,
                role=RULES[use].role,
                member=member,
                condition=condition.as_input if condition else None,
                opts=child(self, opts),
            )
        self.register_outputs({"storeId": self.store_id})
