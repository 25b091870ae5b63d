"""A bucket that holds medical images: uniform access and public-access prevention are always on."""

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from components.base.arguments import arguments, child
from components.base.waiting import awaiting


@dataclass(kw_only=True)
class LifecycleRule:
    """When objects are deleted or moved to a cheaper storage class: all conditions must hold."""

    action: str
    """`delete`, `abort-uploads`, or the storage class to move the object to: NEARLINE, COLDLINE or ARCHIVE."""
    after_days: int | None = None
    """Days since the object was created."""
    created_before: str | None = None
    """Only objects created before this day, `YYYY-MM-DD`."""
    prefixes: list[str] | None = None
    """Only objects whose names begin with one of these."""
    suffixes: list[str] | None = None
    """Only objects whose names end with one of these."""
    storage_classes: list[str] | None = None
    """Only objects that are in one of these classes."""
    newer_versions: int | None = None
    """Only versions that have at least so many newer ones."""
    noncurrent_days: int | None = None
    """Days since the version was replaced or deleted."""
    noncurrent_before: str | None = None
    """Only versions that were replaced or deleted before this day, `YYYY-MM-DD`."""
    custom_time_days: int | None = None
    """Days since the object's custom time."""
    custom_time_before: str | None = None
    """Only objects whose custom time is before this day, `YYYY-MM-DD`."""
    versions: str | None = None
    """Only the `current` version of an object, or only `noncurrent` ones. Both if unset."""


@dataclass(kw_only=True)
class CorsRule:
    """What pages of other origins may do with objects: https://cloud.google.com/storage/docs/cross-origin."""

    origins: list[str]
    """Origins, such as `https://viewer.example.org`; `*` is any."""
    methods: list[str]
    """HTTP methods."""
    headers: list[str] | None = None
    """Response headers that the page can read."""
    max_age: float | None = None
    """Seconds for which a browser keeps the answer."""


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
    storage_class: pulumi.Input[str] | None = None
    """Storage class of new objects. STANDARD if unset."""
    versioning: bool | None = None
    """Keep earlier versions of objects that are replaced or deleted."""
    soft_delete: float | None = None
    """Seconds for which deleted objects can be restored, 7 to 90 days; 0 turns it off. 7 days if unset."""
    retention: float | None = None
    """Seconds for which every object can be neither deleted nor replaced."""
    retention_locked: bool | None = None
    """Lock the retention, which can't be undone: needs the protection from deletion."""
    event_based_hold: bool | None = None
    """Hold new objects until the hold is taken away."""
    autoclass: bool | None = None
    """Let the storage class of each object follow its use."""
    terminal_storage_class: str | None = None
    """With autoclass, the class of objects that are not read for long: NEARLINE (the default) or ARCHIVE."""
    regions: list[str] | None = None
    """The two regions of a dual-region; `location` is then the place of both, such as `EU`."""
    turbo_replication: bool | None = None
    """Copy new objects to the other region within 15 minutes; dual-regions only."""
    access_log_bucket: pulumi.Input[str] | None = None
    """Bucket for the access logs. Cloud Storage (`group:cloud-storage-analytics@google.com`) must be able to create
    objects there."""
    access_log_prefix: pulumi.Input[str] | None = None
    """What the logs' names begin with. The bucket's name if unset."""
    cors: list[CorsRule] | None = None
    """What pages of other origins may do."""
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
        if args.retention_locked and not protected:
            raise ValueError("a locked retention can't be undone; remove deletion_protection=False, or the lock")
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
                storage_class=args.storage_class,
                versioning={"enabled": args.versioning} if args.versioning is not None else None,
                soft_delete_policy=_soft_delete(args.soft_delete),
                retention_policy=_retention(args.retention, args.retention_locked),
                default_event_based_hold=args.event_based_hold,
                autoclass=_autoclass(args.autoclass, args.terminal_storage_class),
                custom_placement_config=_placement(args.regions),
                rpo=_rpo(args.turbo_replication),
                logging=_logging(args.access_log_bucket, args.access_log_prefix),
                cors=[_cors(arguments(CorsRule, rule)) for rule in args.cors or []] or None,
                lifecycle_rules=[_rule(arguments(LifecycleRule, rule)) for rule in args.lifecycle or []] or None,
                uniform_bucket_level_access=True,
                public_access_prevention="enforced",
                force_destroy=not protected,
                opts=child(self, opts, protect=True if protected else None, hooks=awaiting()),
            )
            self.name = self.resource.name
        self.register_outputs({"name": self.name})


def _soft_delete(seconds: float | None) -> "gcp.storage.BucketSoftDeletePolicyArgs | None":
    if seconds is None:
        return None
    return gcp.storage.BucketSoftDeletePolicyArgs(retention_duration_seconds=round(seconds))


def _retention(seconds: float | None, locked: bool | None) -> "gcp.storage.BucketRetentionPolicyArgs | None":
    if seconds is None:
        return None
    return gcp.storage.BucketRetentionPolicyArgs(retention_period=str(round(seconds)), is_locked=bool(locked))


def _autoclass(on: bool | None, terminal: str | None) -> "gcp.storage.BucketAutoclassArgs | None":
    return None if on is None else gcp.storage.BucketAutoclassArgs(enabled=on, terminal_storage_class=terminal)


def _placement(regions: list[str] | None) -> "gcp.storage.BucketCustomPlacementConfigArgs | None":
    # Cloud Storage reads regions back in capitals.
    locations = [region.upper() for region in regions or []]
    return gcp.storage.BucketCustomPlacementConfigArgs(data_locations=locations) if locations else None


def _rpo(turbo: bool | None) -> str | None:
    return None if turbo is None else "ASYNC_TURBO" if turbo else "DEFAULT"


def _logging(
    bucket: pulumi.Input[str] | None, prefix: pulumi.Input[str] | None
) -> "gcp.storage.BucketLoggingArgs | None":
    return None if bucket is None else gcp.storage.BucketLoggingArgs(log_bucket=bucket, log_object_prefix=prefix)


def _cors(rule: CorsRule) -> "gcp.storage.BucketCorArgs":
    return gcp.storage.BucketCorArgs(
        origins=rule.origins,
        methods=rule.methods,
        response_headers=rule.headers or None,
        max_age_seconds=round(rule.max_age) if rule.max_age is not None else None,
    )


_ACTIONS = {"delete": "Delete", "abort-uploads": "AbortIncompleteMultipartUpload"}
_STATES = {"current": "LIVE", "noncurrent": "ARCHIVED"}


def _rule(rule: LifecycleRule) -> "gcp.storage.BucketLifecycleRuleArgs":
    action = _ACTIONS.get(rule.action)
    return gcp.storage.BucketLifecycleRuleArgs(
        action=gcp.storage.BucketLifecycleRuleActionArgs(
            type=action or "SetStorageClass", storage_class=None if action else rule.action
        ),
        condition=gcp.storage.BucketLifecycleRuleConditionArgs(
            age=rule.after_days,
            # Without these the provider takes 0 for a condition that is not set.
            send_age_if_zero=True if rule.after_days == 0 else None,
            days_since_noncurrent_time=rule.noncurrent_days,
            send_days_since_noncurrent_time_if_zero=True if rule.noncurrent_days == 0 else None,
            days_since_custom_time=rule.custom_time_days,
            send_days_since_custom_time_if_zero=True if rule.custom_time_days == 0 else None,
            num_newer_versions=rule.newer_versions,
            created_before=rule.created_before,
            noncurrent_time_before=rule.noncurrent_before,
            custom_time_before=rule.custom_time_before,
            matches_prefixes=rule.prefixes or None,
            matches_suffixes=rule.suffixes or None,
            matches_storage_classes=rule.storage_classes or None,
            with_state=_STATES[rule.versions] if rule.versions else None,
        ),
    )
