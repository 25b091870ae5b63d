"""A Pub/Sub topic for the notifications of DICOM stores."""

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from components.base.arguments import arguments, child
from components.base.waiting import awaiting


@dataclass(kw_only=True)
class TopicArgs:
    """Arguments of `Topic`."""

    name: pulumi.Input[str]
    """The topic's id."""
    project: pulumi.Input[str]
    """Project that holds the topic."""
    labels: pulumi.Input[dict[str, pulumi.Input[str]]] | None = None
    """Labels, 64 at most."""
    kms_key: pulumi.Input[str] | None = None
    """Key that messages are encrypted with. Pub/Sub's agent must be able to use it."""
    regions: list[str] | None = None
    """Regions that messages may be stored in, such as `europe-west4`. Any if unset."""
    enforce_in_transit: bool | None = None
    """Refuse messages that are published in other regions than `regions`."""
    retention: float | None = None
    """Seconds for which the topic keeps its messages: 600 to 2,678,400. Not at all if unset."""
    existing: bool | None = None
    """The topic exists already: nothing is created, changed or deleted."""


class Topic(pulumi.ComponentResource):
    """A topic: https://cloud.google.com/pubsub/docs/create-topic."""

    topic_id: pulumi.Output[str]
    """Full name, `projects/…/topics/…`."""

    def __init__(self, name: str, args: TopicArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("imaging:index:Topic", name, {}, opts)
        args = arguments(TopicArgs, args)
        self.resource: gcp.pubsub.Topic | None = None
        if args.existing:
            self.topic_id = pulumi.Output.concat("projects/", args.project, "/topics/", args.name)
        else:
            storage: gcp.pubsub.TopicMessageStoragePolicyArgsDict | None = None
            if args.regions:
                storage = {"allowed_persistence_regions": [*args.regions]}
                if args.enforce_in_transit is not None:
                    storage["enforce_in_transit"] = args.enforce_in_transit
            self.resource = gcp.pubsub.Topic(
                name,
                name=args.name,
                project=args.project,
                labels=args.labels,
                kms_key_name=args.kms_key,
                message_storage_policy=storage,
                message_retention_duration=f"{round(args.retention)}s" if args.retention is not None else None,
                opts=child(self, opts, hooks=awaiting()),
            )
            self.topic_id = self.resource.id
        self.register_outputs({"topicId": self.topic_id})
