"""A bucket that holds medical images: uniform access and public-access prevention are always on."""

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from components.base.arguments import arguments, child
from components.base.waiting import awaiting


@dataclass(kw_only=True)
class LifecycleRule:
    """When objects are deleted or moved to a cheaper storage class."""

    after_days: int
    """Age of the object in days."""
    action: str
    """`delete`, or the storage class to move the object to: NEARLINE, COLDLINE or ARCHIVE."""
    prefix: str | None = None
    """Only objects whose names begin with this."""


@dataclass(kw_only=True)
class BucketArgs:
    """Arguments of `Bucket`."""

    name: pulumi.Input[str]
    """The bucket's name, unique in all of Google Cloud."""
    project: pulumi.Input[str]
    """Project that holds the bucket."""
    location: pulumi.Input[str] | None = None
    """Location, such as `EU` or `europe-west4`; needed unless `existing`. It can't be changed later."""
    labels: pulumi.Input[dict[str, pulumi.Input[str]]] | None = None
    """Labels, 64 at most."""
    kms_key: pulumi.Input[str] | None = None
    """Key that new objects are encrypted with. Cloud Storage's agent must be able to use it."""
    lifecycle: list[LifecycleRule] | None = None
    """Rules for old objects."""
    deletion_protection: bool | None = None
    """Refuse to delete the bucket. If false, a destroy takes it with its objects. Defaults to true."""
    existing: bool | None = None
    """The bucket exists already: nothing is created, changed or deleted."""


class Bucket(pulumi.ComponentResource):
    """A bucket: https://cloud.google.com/storage/docs/buckets."""

    name: pulumi.Output[str]
    """The bucket's name, known once the bucket exists."""

    def __init__(self, name: str, args: BucketArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("imaging:index:Bucket", name, {}, opts)
        args = arguments(BucketArgs, args)
        self.resource: gcp.storage.Bucket | None = None
        protected = args.deletion_protection is not False
        if args.existing:
            self.name = pulumi.Output.from_input(args.name)
        else:
            self.resource = gcp.storage.Bucket(
                name,
                name=args.name,
                project=args.project,
                location=args.location,
                labels=args.labels,
                encryption={"default_kms_key_name": args.kms_key} if args.kms_key is not None else None,
                lifecycle_rules=[_rule(arguments(LifecycleRule, rule)) for rule in args.lifecycle or []] or None,
                uniform_bucket_level_access=True,
                public_access_prevention="enforced",
                force_destroy=not protected,
                opts=child(self, opts, protect=protected or None, hooks=awaiting()),
            )
            self.name = self.resource.name
        self.register_outputs({"name": self.name})


def _rule(rule: LifecycleRule) -> gcp.storage.BucketLifecycleRuleArgs:
    delete = rule.action == "delete"
    return gcp.storage.BucketLifecycleRuleArgs(
        action=gcp.storage.BucketLifecycleRuleActionArgs(
            type="Delete" if delete else "SetStorageClass", storage_class=None if delete else rule.action
        ),
        condition=gcp.storage.BucketLifecycleRuleConditionArgs(
            age=rule.after_days,
            # Without this the provider takes an age of 0 for no age at all.
            send_age_if_zero=True if rule.after_days == 0 else None,
            matches_prefixes=[rule.prefix] if rule.prefix else None,
        ),
    )
