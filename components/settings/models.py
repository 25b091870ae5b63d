"""The stack configuration as typed models. Descriptions here are the reference page and the JSON Schema.

In the configuration the fields are spelled in camelCase (`writeDisposition`), in Python in snake_case
(`write_disposition`). What one field must look like is checked here; what must hold between fields is in
`rules`.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
    ValidationInfo,
    model_validator,
)
from pydantic.alias_generators import to_camel

from components.settings.fields import (
    BigQueryName,
    BucketName,
    ConditionDescription,
    ConditionExpression,
    ConditionTitle,
    CorsMaxAge,
    DataLocation,
    Day,
    Destination,
    Duration,
    Endpoint,
    FilterLines,
    FilterQuery,
    HealthcareId,
    ImportUri,
    KmsKeyName,
    Labels,
    Location,
    Member,
    MimeTypeName,
    ObjectUri,
    PartitionLifetime,
    ProjectId,
    Region,
    Retention,
    RoleName,
    RunName,
    ServiceAccountEmail,
    SoftDelete,
    TableLifetime,
    TableUri,
    Tags,
    TimeTravel,
    TimeZone,
    TopicId,
    TopicName,
    TopicRetention,
    WebOrigin,
)
from components.settings.origin import Origin
from components.settings.problems import MAPPING_FORM, PLAIN_FORM, SettingsError
from components.settings.rules import rule_problems

BlobStorageClass = Literal["STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"]
WriteDisposition = Literal["WRITE_EMPTY", "WRITE_TRUNCATE", "WRITE_APPEND"]
WhenEmpty = Literal["fail", "skip"]
Rerun = Literal["when-inputs-change", "when-store-changes", "always"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel, populate_by_name=True)


def _form(value: Any) -> str:
    """Tell which of the two forms of a setting was written: a mapping, or the plain value."""
    return MAPPING_FORM if isinstance(value, dict | BaseModel) else PLAIN_FORM


class ConditionSettings(_Model):
    """A condition of a grant: https://cloud.google.com/iam/docs/conditions-overview."""

    title: ConditionTitle = Field(description="Short name of the condition, up to 100 bytes.")
    expression: ConditionExpression = Field(
        description="When the grant holds, in the Common Expression Language, such as "
        "`request.time < timestamp('2027-01-01T00:00:00Z')`."
    )
    description: ConditionDescription | None = Field(default=None, description="Longer text, up to 256 bytes.")


class ConditionalMemberSettings(_Model):
    """A member whose grant has a condition."""

    member: Member = Field(description="The member, as without a condition.")
    condition: ConditionSettings = Field(description="The condition. Google refuses it where a service has none.")


Grantee = Annotated[
    Annotated[Member, Tag(PLAIN_FORM)] | Annotated[ConditionalMemberSettings, Tag(MAPPING_FORM)], Discriminator(_form)
]
"""A member, `group:…`, or a mapping of a member and a condition."""


class DatasetSettings(_Model):
    """The Healthcare dataset: the container of the DICOM stores."""

    name: HealthcareId = Field(description="The dataset's id.")
    time_zone: TimeZone | None = Field(
        default=None,
        description="IANA time zone that dates without one are read in, as `Europe/Berlin`. UTC if unset.",
    )
    kms_key: KmsKeyName | None = Field(
        default=None,
        description="Customer-managed key, `projects/…/cryptoKeys/…`, in the dataset's own location (for `eu` also in "
        "`europe`). It can't be changed later.",
    )
    readers: list[Grantee] = Field(
        default=[],
        description="Members that may read and export the images of every store (`roles/healthcare.dicomViewer`).",
    )
    editors: list[Grantee] = Field(
        default=[],
        description="Members that may also import, store and delete images (`roles/healthcare.dicomEditor`).",
    )
    admins: list[Grantee] = Field(
        default=[],
        description="Members that manage the dataset and its operations (`roles/healthcare.datasetAdmin`).",
    )
    existing: bool = Field(
        default=False,
        description="The dataset exists already: it is used and granted on, never created, changed or deleted.",
    )


class NotificationSettings(_Model):
    """Where a DICOM store announces new instances."""

    topic: TopicName = Field(description="Pub/Sub topic, `projects/PROJECT/topics/TOPIC`.")
    bulk_imports: bool = Field(default=False, description="Announce the instances of bulk imports too.")


class StreamSettings(_Model):
    """A BigQuery table to which a DICOM store streams the metadata of every new instance."""

    table: TableUri = Field(description="Table, `bq://PROJECT.DATASET.TABLE`. It is created when it is missing.")
    schema_: Literal["flattened"] = Field(
        default="flattened",
        alias="schema",
        description="Layout of the table. Only `flattened`: Pulumi's Google provider can't ask for another one.",
    )


class StoreSettings(_Model):
    """A DICOM store."""

    name: HealthcareId = Field(description="The store's id. Imports and exports refer to it.")
    labels: Labels = Field(default={}, description="Labels of the store, 64 at most.")
    notifications: list[NotificationSettings] = Field(
        default=[],
        description="Pub/Sub topic that hears of new instances; one at most, as Pulumi's Google provider knows one.",
    )
    streams: list[StreamSettings] = Field(
        default=[], description="BigQuery tables to stream metadata to, five at most, each different."
    )
    readers: list[Grantee] = Field(
        default=[],
        description="Members that may read and export the images (`roles/healthcare.dicomViewer`).",
    )
    writers: list[Grantee] = Field(
        default=[],
        description="Members that may also import, store and delete images (`roles/healthcare.dicomEditor`).",
    )
    existing: bool = Field(
        default=False,
        description="The store exists already: it is used and granted on, never created, changed or deleted.",
    )


class BigQueryDatasetSettings(_Model):
    """A BigQuery dataset to create, or to adopt."""

    name: BigQueryName = Field(description="The dataset's id.")
    project: ProjectId | None = Field(default=None, description="Project that holds it. `gcp:project` if unset.")
    location: DataLocation | None = Field(
        default=None, description="Location, such as `EU` or `europe-west4`. `imaging:location` if unset."
    )
    description: str | None = Field(default=None, description="Text that BigQuery shows beside the dataset.")
    labels: Labels = Field(default={}, description="Labels of the dataset, 64 at most.")
    kms_key: KmsKeyName | None = Field(default=None, description="Key that new tables are encrypted with.")
    title: str | None = Field(default=None, description="Name that BigQuery shows instead of the id.")
    default_table_expiration: TableLifetime | None = Field(
        default=None,
        description="Time after which new tables are deleted, such as `90d`; at least an hour. Never if unset.",
    )
    partition_expiration: PartitionLifetime | None = Field(
        default=None,
        description="Time after which partitions of new partitioned tables are deleted, such as `90d`; for these it "
        "takes the place of `defaultTableExpiration`. Never if unset.",
    )
    time_travel: TimeTravel | None = Field(
        default=None, description="How far back tables can be read, `48h` to `168h` in whole days. `168h` if unset."
    )
    billing: Literal["logical", "physical"] | None = Field(
        default=None, description="Bytes that storage is billed by. `logical` if unset."
    )
    tags: Tags = Field(
        default={},
        description="Tags of Resource Manager, `PARENT/KEY: VALUE` by their short names. They exist already.",
    )
    readers: list[Grantee] = Field(
        default=[], description="Members that may read the tables (`roles/bigquery.dataViewer`)."
    )
    editors: list[Grantee] = Field(
        default=[], description="Members that may change the tables (`roles/bigquery.dataEditor`)."
    )
    existing: bool = Field(
        default=False,
        description="The dataset exists already: it is granted on, never created, changed or deleted.",
    )


class LifecycleSettings(_Model):
    """When objects of a bucket are deleted or moved to a cheaper storage class: all conditions must hold."""

    action: Literal["delete", "NEARLINE", "COLDLINE", "ARCHIVE", "abort-uploads"] = Field(
        description="`delete`, the storage class to move the object to, or `abort-uploads`, which ends uploads in "
        "parts that were not completed (conditions `afterDays`, `prefixes` and `suffixes` only)."
    )
    after_days: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = Field(
        default=None, description="Days since the object was created."
    )
    created_before: Day | None = Field(default=None, description="Only objects created before this day, `YYYY-MM-DD`.")
    prefixes: list[str] = Field(default=[], description="Only objects whose names begin with one of these.")
    suffixes: list[str] = Field(default=[], description="Only objects whose names end with one of these.")
    storage_classes: list[BlobStorageClass] = Field(
        default=[], description="Only objects that are in one of these classes."
    )
    newer_versions: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = Field(
        default=None, description="Only versions that have at least so many newer ones."
    )
    noncurrent_days: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = Field(
        default=None, description="Days since the version was replaced or deleted."
    )
    noncurrent_before: Day | None = Field(
        default=None, description="Only versions that were replaced or deleted before this day, `YYYY-MM-DD`."
    )
    custom_time_days: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = Field(
        default=None, description="Days since the object's custom time."
    )
    custom_time_before: Day | None = Field(
        default=None, description="Only objects whose custom time is before this day, `YYYY-MM-DD`."
    )
    versions: Literal["current", "noncurrent"] | None = Field(
        default=None, description="Only the current version of an object, or only earlier ones. Both if unset."
    )


class RetentionSettings(_Model):
    """How long every object of a bucket is kept: https://cloud.google.com/storage/docs/bucket-lock."""

    for_: Retention = Field(
        alias="for", description="Time for which an object can be neither deleted nor replaced, such as `30d`."
    )
    locked: bool = Field(
        default=False,
        description="Lock the time: nobody can shorten or remove it again, and the bucket can only be deleted when "
        "every object is older. Needs `imaging:deletionProtection`.",
    )


class AutoclassSettings(_Model):
    """The storage class of each object follows its use: https://cloud.google.com/storage/docs/autoclass."""

    terminal_storage_class: Literal["NEARLINE", "ARCHIVE"] = Field(
        default="NEARLINE", description="Class of objects that are not read for long."
    )


class AccessLogsSettings(_Model):
    """Where Cloud Storage writes who used a bucket: https://cloud.google.com/storage/docs/access-logs."""

    bucket: BucketName = Field(
        description="Bucket for the logs, another one. The stack lets Cloud Storage write there."
    )
    prefix: str | None = Field(default=None, description="What the logs' names begin with. The bucket's name if unset.")


class CorsSettings(_Model):
    """What pages of other origins may do with objects: https://cloud.google.com/storage/docs/cross-origin."""

    origins: list[WebOrigin] = Field(description="Origins, such as `https://viewer.example.org`; `*` is any.")
    methods: list[Literal["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "*"]] = Field(
        description="HTTP methods."
    )
    headers: list[str] = Field(default=[], description="Response headers that the page can read.")
    max_age: CorsMaxAge | None = Field(default=None, description="How long a browser keeps the answer, such as `1h`.")


Autoclass = Annotated[
    Annotated[bool, Tag(PLAIN_FORM)] | Annotated[AutoclassSettings, Tag(MAPPING_FORM)], Discriminator(_form)
]


class BucketSettings(_Model):
    """A bucket to create, or an existing one to use. Uniform access and public-access prevention are always on."""

    name: BucketName = Field(description="The bucket's name, unique in all of Google Cloud.")
    project: ProjectId | None = Field(default=None, description="Project that holds it. `gcp:project` if unset.")
    location: DataLocation | None = Field(
        default=None, description="Location, such as `EU` or `europe-west4`. `imaging:location` if unset."
    )
    labels: Labels = Field(default={}, description="Labels of the bucket, 64 at most.")
    kms_key: KmsKeyName | None = Field(default=None, description="Key that new objects are encrypted with.")
    storage_class: BlobStorageClass | None = Field(
        default=None, description="Storage class of new objects. STANDARD if unset."
    )
    versioning: bool | None = Field(
        default=None, description="Keep earlier versions of objects that are replaced or deleted."
    )
    soft_delete: SoftDelete | None = Field(
        default=None,
        description="How long deleted objects can be restored, `7d` to `90d`; `0d` turns it off. `7d` if unset.",
    )
    retention: RetentionSettings | None = Field(default=None, description="How long every object is kept at least.")
    event_based_hold: bool | None = Field(
        default=None, description="Hold new objects: they can't be deleted or replaced until the hold is taken away."
    )
    autoclass: Autoclass | None = Field(
        default=None, description="Let the storage class follow the use: `true`, or a mapping."
    )
    regions: list[Region] = Field(
        default=[],
        description="The two regions of a dual-region; `location` is then the place of both, such as `EU`. It can't be "
        "changed later.",
    )
    turbo_replication: bool | None = Field(
        default=None, description="Copy new objects to the other region within 15 minutes; dual-regions only."
    )
    access_logs: AccessLogsSettings | None = Field(default=None, description="Where usage of the bucket is logged.")
    cors: list[CorsSettings] = Field(default=[], description="What pages of other origins may do.")
    lifecycle: list[LifecycleSettings] = Field(default=[], description="Rules for old objects, up to 100.")
    existing: bool = Field(
        default=False,
        description="The bucket exists already: it is granted on, never created, changed or deleted.",
    )


class TopicSettings(_Model):
    """A Pub/Sub topic to create, or an existing one to use, for the notifications of DICOM stores."""

    name: TopicId = Field(description="The topic's id.")
    project: ProjectId | None = Field(default=None, description="Project that holds it. `gcp:project` if unset.")
    labels: Labels = Field(default={}, description="Labels of the topic, 64 at most.")
    kms_key: KmsKeyName | None = Field(default=None, description="Key that messages are encrypted with.")
    regions: list[Region] = Field(
        default=[], description="Regions that messages may be stored in, such as `europe-west4`. Any if unset."
    )
    enforce_in_transit: bool | None = Field(
        default=None, description="Refuse messages that are published in other regions than `regions`."
    )
    retention: TopicRetention | None = Field(
        default=None, description="How long the topic keeps its messages, `10m` to `31d`. Not at all if unset."
    )
    existing: bool = Field(
        default=False,
        description="The topic exists already: it is granted on, never created, changed or deleted.",
    )


class RunSettings(_Model):
    """What imports and exports have in common."""

    name: RunName = Field(description="Name of this run in the stack: in the preview, the progress and the outputs.")
    store: HealthcareId = Field(description="The DICOM store, one of `imaging:stores`.")
    rerun: Rerun = Field(
        default="when-inputs-change",
        description=(
            "When `pulumi up` runs it again: `when-inputs-change`, `when-store-changes` (the store's "
            "contents are not those "
            "recorded after the last run) or `always`."
        ),
    )
    allowed_failures: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Instances that may fail before the whole run counts as failed."
    )
    when_empty: WhenEmpty = Field(
        default="fail",
        description=(
            "What an empty store, a pattern without objects or a filter query without a result means: `fail`, or "
            "`skip` (nothing is started, the state is `skipped`; the next `pulumi up` that finds something runs it)."
        ),
    )
    timeout: Duration | None = Field(
        default=None,
        description="How long `pulumi up` waits for a free slot, and then for the end, such as `6h`. The "
        "operation keeps running; the next `up` waits again.",
    )
    trigger: str | None = Field(default=None, description="Any text, such as a date: a new one runs it again.")
    formerly: list[RunName] = Field(
        default=[],
        description="Names that this run had before: with the old name here, a rename runs nothing again.",
    )


class ImportSettings(RunSettings):
    """An import of DICOM files from Cloud Storage into a DICOM store."""

    from_: ImportUri = Field(
        alias="from",
        description=(
            "Files to import, `gs://BUCKET/OBJECT`. `*` stands for any characters but `/`, `?` for exactly one "
            "of them, `**` at the end, perhaps with an extension, for any."
        ),
    )
    storage_class: BlobStorageClass | None = Field(
        default=None, description="Storage class of the imported pixels. STANDARD if unset."
    )


class FilterSettings(_Model):
    """Which instances an export takes. Exactly one of the three."""

    query: FilterQuery | None = Field(
        default=None,
        description="GoogleSQL whose one column holds lines such as `/studies/1.2.3`. `{table}` is not replaced here.",
    )
    file: ObjectUri | None = Field(default=None, description="An existing filter file, `gs://BUCKET/PATH/FILE`.")
    lines: FilterLines | None = Field(
        default=None,
        description="Lines `/studies/UID[/series/UID[/instances/UID]]`, each selects all below it.",
    )


class ExportSettings(RunSettings):
    """An export of metadata to BigQuery (`bq://`) or of instances to Cloud Storage (`gs://`)."""

    to: Destination = Field(
        description="Destination: `bq://PROJECT.DATASET.TABLE` exports metadata, `gs://BUCKET/FOLDER/` "
        "exports instances."
    )
    write_disposition: WriteDisposition | None = Field(
        default=None,
        description=(
            "What happens to a table that exists, `bq://` only and required there: `WRITE_EMPTY` (it "
            "must be empty), "
            "`WRITE_TRUNCATE` (its rows are replaced), `WRITE_APPEND` (rows are added)."
        ),
    )
    schema_: Literal["flattened", "json"] | None = Field(
        default=None,
        alias="schema",
        description="Layout of the table, `bq://` only: `flattened` (default), a column per DICOM element, or `json`.",
    )
    include_source_store: bool | None = Field(
        default=None, description="Add a column with the store's name, `bq://` only."
    )
    mime_type: MimeTypeName | None = Field(
        default=None,
        description=(
            "Format of the files, `gs://` only, such as `image/jpeg; "
            "transfer-syntax=1.2.840.10008.1.2.4.50`. As stored if unset."
        ),
    )
    filter: FilterSettings | None = Field(default=None, description="Which instances to export. All if unset.")
    views: bool = Field(
        default=False,
        description="Create the reference views beside the table, `bq://` with the flattened schema only.",
    )

    @property
    def is_metadata(self) -> bool:
        """Whether the export goes to BigQuery."""
        return self.to.startswith("bq://")


class RoleSettings(_Model):
    """Roles to grant to the service agent instead of Google's predefined ones, for custom roles."""

    export_metadata: RoleName | None = Field(
        default=None, description="Instead of `roles/bigquery.dataEditor`, on the dataset."
    )
    run_jobs: RoleName | None = Field(default=None, description="Instead of `roles/bigquery.jobUser`, on the project.")
    export_images: RoleName | None = Field(
        default=None, description="Instead of `roles/storage.objectAdmin`, on the bucket."
    )
    read_objects: RoleName | None = Field(
        default=None, description="Instead of `roles/storage.objectViewer`, on the bucket."
    )
    publish: RoleName | None = Field(default=None, description="Instead of `roles/pubsub.publisher`, on the topic.")
    use_key: RoleName | None = Field(
        default=None, description="Instead of `roles/cloudkms.cryptoKeyEncrypterDecrypter`, on the key."
    )


class ProjectSettings(_Model):
    """How one of the projects involved is reached."""

    name: ProjectId = Field(description="The project's id.")
    impersonate: ServiceAccountEmail | None = Field(
        default=None, description="Service account to act as for everything in this project."
    )
    buckets: list[BucketName] = Field(
        default=[],
        description="Buckets of it that the stack uses and does not declare: they are granted on as in this project.",
    )


class Settings(_Model):
    """The whole stack configuration. Every key but `gcp:project` is in the namespace `imaging:`."""

    project: ProjectId = Field(
        description="Project that holds the Healthcare dataset; the configuration key is `gcp:project`."
    )
    location: Location = Field(description="Location of the Healthcare dataset, such as `europe-west4`.")
    dataset: DatasetSettings = Field(description="The Healthcare dataset.")
    stores: list[StoreSettings] = Field(default=[], description="DICOM stores.")
    bigquery: list[BigQueryDatasetSettings] = Field(default=[], description="BigQuery datasets to create, or to adopt.")
    buckets: list[BucketSettings] = Field(default=[], description="Buckets to create, or to adopt.")
    topics: list[TopicSettings] = Field(default=[], description="Pub/Sub topics to create, or to adopt.")
    imports: list[ImportSettings] = Field(default=[], description="Imports, before the exports of the same store.")
    exports: list[ExportSettings] = Field(
        default=[], description="Exports. Those to one table run one after the other, in this order."
    )
    filter_bucket: BucketName | None = Field(
        default=None,
        description="Bucket for the filter files that the stack makes. If unset, it creates a private "
        "one when it needs one.",
    )
    deletion_protection: bool = Field(
        default=True,
        description=(
            "Refuse to delete datasets, stores, buckets and BigQuery datasets. With `false`, a destroy "
            "takes them with "
            "their contents; after the change, run `pulumi up` once before `pulumi destroy`."
        ),
    )
    permission_wait: Duration = Field(
        default=600.0,
        description=(
            "How long a run, or a resource that this update grants something for, waits for grants to take "
            "effect, such as `10m`."
        ),
    )
    grants: Literal["managed", "external"] = Field(
        default="managed",
        description=(
            "`managed`: the stack grants what is needed. `external`: it grants nothing, checks that the "
            "grants exist and "
            "says what is missing as `gcloud` commands."
        ),
    )
    roles: RoleSettings = Field(default=RoleSettings(), description="Custom roles for the service agent.")
    enable_apis: bool = Field(
        default=True,
        description="Enable the Google APIs that are used, in every project. They are never disabled.",
    )
    check_permissions: bool = Field(
        default=True,
        description=(
            "Check before anything is touched that the location exists and that the deploying identity has the "
            "permissions: an `up` ends when one is missing, a preview warns."
        ),
    )
    projects: list[ProjectSettings] = Field(
        default=[], description="How other projects are reached, if not as `gcp:project` is."
    )
    endpoint: Endpoint | None = Field(
        default=None,
        description="The emulator's address, such as `http://127.0.0.1:8085`. Google Cloud if unset.",
    )
    allow_remote_endpoint: bool = Field(
        default=False,
        description="Allow an emulator on another machine: what is sent to it is not encrypted.",
    )

    _origin: Origin = PrivateAttr(default=Origin())

    @property
    def origin(self) -> Origin:
        """The stack that the settings belong to, and which of them are encrypted."""
        return self._origin

    def of(self, origin: Origin) -> Self:
        """Return the same settings with their origin."""
        same = self.model_copy()
        same.__pydantic_private__ = {"_origin": origin}
        return same

    @model_validator(mode="after")
    def _holds_together(self, info: ValidationInfo) -> Self:
        # The loader has applied the rules to the whole configuration already, also beside malformed fields.
        if not (info.context or {}).get("rules_applied"):
            problems = rule_problems(self.model_dump(by_alias=True, exclude_unset=True))
            if problems:
                raise SettingsError(problems)
        return self
