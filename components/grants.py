"""Who needs which role on what, as data: from the settings to the exact set of grants, each with its reasons.

`RULES` says for each use which role Google asks for, on which kind of resource, and on which page. `grants_for`
applies it to the settings. Nothing here talks to Pulumi: `grant_resources` declares what this module decides.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from components.settings import Settings
from components.settings.fields import kms_key_parts, topic_parts
from operations.uris import parse_bigquery_uri, parse_export_prefix, parse_import_uri, parse_object_uri

_HEALTHCARE_PAGES = "https://cloud.google.com/healthcare-api/docs"
_AGENT_PAGE = f"{_HEALTHCARE_PAGES}/permissions-healthcare-api-gcp-products"
_ACCESS_PAGE = f"{_HEALTHCARE_PAGES}/access-control"


class On(StrEnum):
    """The kinds of resources that roles are granted on."""

    PROJECT = "project"
    BIGQUERY_DATASET = "BigQuery dataset"
    BUCKET = "bucket"
    TOPIC = "topic"
    KEY = "key"
    HEALTHCARE_DATASET = "Healthcare dataset"
    DICOM_STORE = "DICOM store"


class Use(StrEnum):
    """What a role is needed for. The values are the rows of `RULES`."""

    ACT_AS_AGENT = "act for the Cloud Healthcare API"
    WRITE_METADATA = "write metadata"
    RUN_JOBS = "run load jobs"
    STREAM_METADATA = "stream metadata"
    WRITE_IMAGES = "write images"
    READ_IMPORTS = "read files to import"
    READ_FILTER = "read filter files"
    NOTIFY = "announce new instances"
    ENCRYPT_DATASET = "encrypt the Healthcare dataset"
    ENCRYPT_TABLES = "encrypt tables"
    ENCRYPT_OBJECTS = "encrypt objects"
    ENCRYPT_MESSAGES = "encrypt messages"
    READ_IMAGES = "read and export images"
    EDIT_IMAGES = "import, store and delete images"
    ADMINISTER_DATASET = "manage the dataset and its operations"
    READ_TABLES = "read tables"
    EDIT_TABLES = "change tables"


@dataclass(frozen=True)
class Rule:
    """One row: for this use, this role on this kind of resource.

    Attributes:
        verb: how the grant is called in the stack, between the member and the resource. It must not differ between
            uses that need the same role on the same kind of resource: they share one grant.
        custom: the setting under `imaging:roles` that replaces the role, if there is one.
        page: where Google asks for it.
    """

    role: str
    on: On
    verb: str
    page: str
    custom: str | None = None


_KEY_ROLE = "roles/cloudkms.cryptoKeyEncrypterDecrypter"

RULES: Mapping[Use, Rule] = {
    Use.ACT_AS_AGENT: Rule("roles/healthcare.serviceAgent", On.PROJECT, "acts-in", _AGENT_PAGE),
    Use.WRITE_METADATA: Rule(
        "roles/bigquery.dataEditor", On.BIGQUERY_DATASET, "writes", _AGENT_PAGE, "export_metadata"
    ),
    Use.RUN_JOBS: Rule("roles/bigquery.jobUser", On.PROJECT, "runs-jobs-in", _AGENT_PAGE, "run_jobs"),
    Use.STREAM_METADATA: Rule(
        "roles/bigquery.dataEditor",
        On.BIGQUERY_DATASET,
        "writes",
        f"{_HEALTHCARE_PAGES}/how-tos/dicom-bigquery-streaming",
        "export_metadata",
    ),
    Use.WRITE_IMAGES: Rule("roles/storage.objectAdmin", On.BUCKET, "writes", _AGENT_PAGE, "export_images"),
    Use.READ_IMPORTS: Rule("roles/storage.objectViewer", On.BUCKET, "reads", _AGENT_PAGE, "read_objects"),
    Use.READ_FILTER: Rule(
        "roles/storage.objectViewer",
        On.BUCKET,
        "reads",
        f"{_HEALTHCARE_PAGES}/how-tos/dicom-bigquery-export",
        "read_objects",
    ),
    Use.NOTIFY: Rule("roles/pubsub.publisher", On.TOPIC, "publishes-to", _AGENT_PAGE, "publish"),
    Use.ENCRYPT_DATASET: Rule(_KEY_ROLE, On.KEY, "uses", f"{_HEALTHCARE_PAGES}/cmek", "use_key"),
    Use.ENCRYPT_TABLES: Rule(
        _KEY_ROLE, On.KEY, "uses", "https://cloud.google.com/bigquery/docs/customer-managed-encryption", "use_key"
    ),
    Use.ENCRYPT_OBJECTS: Rule(
        _KEY_ROLE,
        On.KEY,
        "uses",
        "https://cloud.google.com/storage/docs/encryption/using-customer-managed-keys",
        "use_key",
    ),
    Use.ENCRYPT_MESSAGES: Rule(_KEY_ROLE, On.KEY, "uses", "https://cloud.google.com/pubsub/docs/encryption", "use_key"),
    Use.READ_IMAGES: Rule("roles/healthcare.dicomViewer", On.DICOM_STORE, "reads", _ACCESS_PAGE),
    Use.EDIT_IMAGES: Rule("roles/healthcare.dicomEditor", On.DICOM_STORE, "edits", _ACCESS_PAGE),
    Use.ADMINISTER_DATASET: Rule("roles/healthcare.datasetAdmin", On.HEALTHCARE_DATASET, "manages", _ACCESS_PAGE),
    Use.READ_TABLES: Rule(
        "roles/bigquery.dataViewer",
        On.BIGQUERY_DATASET,
        "reads",
        "https://cloud.google.com/bigquery/docs/access-control",
    ),
    Use.EDIT_TABLES: Rule(
        "roles/bigquery.dataEditor",
        On.BIGQUERY_DATASET,
        "writes",
        "https://cloud.google.com/bigquery/docs/access-control",
    ),
}

# A role that allows all that another one allows, on the same resource: the lesser grant would be unnecessary.
# https://cloud.google.com/storage/docs/access-control/iam-roles
INCLUDES = {"roles/storage.objectAdmin": ("roles/storage.objectViewer",)}


@dataclass(frozen=True)
class Agent:
    """The service agent that a Google service acts as for a project; its e-mail holds the project's number."""

    service: str
    project: str

    def email(self, project_number: str) -> str:
        """Return the e-mail address.

        Args:
            project_number: the number of `project`, not its id.
        """
        return AGENT_EMAILS[self.service].format(number=project_number)


# https://cloud.google.com/iam/docs/service-agents; BigQuery's encryption account is of its own kind.
AGENT_EMAILS = {
    "healthcare": "service-{number}@gcp-sa-healthcare.iam.gserviceaccount.com",
    "bigquery": "bq-{number}@bigquery-encryption.iam.gserviceaccount.com",
    "storage": "service-{number}@gs-project-accounts.iam.gserviceaccount.com",
    "pubsub": "service-{number}@gcp-sa-pubsub.iam.gserviceaccount.com",
}

# Agents that Service Usage makes; Cloud Storage and BigQuery make theirs when they are asked for the address.
MADE_BY_SERVICE_USAGE = ("healthcare", "pubsub")


@dataclass(frozen=True)
class Target:
    """What a role is granted on.

    Attributes:
        name: a project's id, a bucket's name, DATASET of BigQuery, else Google's full name.
        project: the project that holds it; None for buckets that aren't declared, which have no need of it.
    """

    on: On
    name: str
    project: str | None

    @property
    def label(self) -> str:
        """The name that it has in the stack: unique within its kind, without slashes."""
        if self.on is On.BIGQUERY_DATASET:
            return f"{self.project}.{self.name}"
        # Full names alternate collection and id: projects/P/topics/T → P.T
        return ".".join(self.name.split("/")[1::2]) if "/" in self.name else self.name


@dataclass(frozen=True)
class Grant:
    """One role of one member on one resource, and why.

    Attributes:
        member: a service agent, or a member as IAM writes it.
        uses: what the role is needed for; more than one when several uses share the grant.
        needed_by: who waits for it, as `dataset`, `stores/pacs`, `imports/archive`, `exports/metadata`,
            `bigquery/PROJECT.DATASET`, `buckets/NAME`, `topics/FULL-NAME`.
        reasons: one sentence for each use and user.
    """

    member: Agent | str
    role: str
    target: Target
    verb: str
    uses: tuple[Use, ...]
    needed_by: tuple[str, ...]
    reasons: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of the resource in the stack: `agent-writes-research-analytics.dicom`.

        It says who may do what, and stays the same when a reason comes or goes: under a new name, Pulumi would make
        the same grant again and then delete "the old one", which is the same.
        """
        if not isinstance(self.member, Agent):
            who = self.member
        elif self.member.service == "healthcare":
            who = "agent"
        else:
            who = f"{self.member.service}-agent-of-{self.member.project}"
        return f"{who}-{self.verb}-{self.target.label}"


@dataclass(frozen=True)
class _Want:
    """One use by one user, before grants are shared."""

    member: Agent | str
    use: Use
    target: Target
    by: str
    reason: str


def grants_for(settings: Settings) -> tuple[Grant, ...]:
    """Return the grants that the settings need, each once, none that another one includes."""
    shared: dict[tuple[Agent | str, str, Target], list[_Want]] = {}
    for want in _wants(settings):
        shared.setdefault((want.member, _role(settings, want.use), want.target), []).append(want)
    for member, role, target in list(shared):
        for lesser in INCLUDES.get(role, ()):
            wants = shared.pop((member, lesser, target), [])
            shared[member, role, target].extend(wants)
    return tuple(
        Grant(
            member=member,
            role=role,
            target=target,
            verb=RULES[wants[0].use].verb,
            uses=tuple(dict.fromkeys(want.use for want in wants)),
            needed_by=tuple(dict.fromkeys(want.by for want in wants)),
            reasons=tuple(dict.fromkeys(want.reason for want in wants)),
        )
        for (member, role, target), wants in shared.items()
    )


def agents_of(grants: Iterable[Grant]) -> tuple[Agent, ...]:
    """Return the service agents among the members, each once."""
    return tuple(dict.fromkeys(grant.member for grant in grants if isinstance(grant.member, Agent)))


def _role(settings: Settings, use: Use) -> str:
    rule = RULES[use]
    custom: str | None = getattr(settings.roles, rule.custom) if rule.custom else None
    return custom or rule.role


def _wants(settings: Settings) -> Iterator[_Want]:
    yield from _agent_wants(settings)
    yield from _key_wants(settings)
    yield from _stores_wants(settings)
    yield from _runs_wants(settings)
    yield from _people_wants(settings)


def _agent(settings: Settings) -> Agent:
    # The agent of the project that holds the store acts, wherever the data goes to or comes from.
    return Agent("healthcare", settings.project)


def users_of_the_agent(settings: Settings) -> list[str]:
    """Return what in the stack makes the Cloud Healthcare service agent act, as in `Grant.needed_by`."""
    stores = [f"stores/{store.name}" for store in settings.stores if store.streams or store.notifications]
    dataset = ["dataset"] if settings.dataset.kms_key else []
    return [
        *dataset,
        *stores,
        *(f"imports/{run.name}" for run in settings.imports),
        *(f"exports/{run.name}" for run in settings.exports),
    ]


def _agent_wants(settings: Settings) -> Iterator[_Want]:
    # Google grants this role when the API is enabled in a console, not when the agent is made by request.
    for user in users_of_the_agent(settings):
        yield _Want(
            _agent(settings),
            Use.ACT_AS_AGENT,
            Target(On.PROJECT, settings.project, settings.project),
            user,
            "the Cloud Healthcare API acts as this service agent",
        )


def _key_wants(settings: Settings) -> Iterator[_Want]:
    def want(service: str, project: str, use: Use, key: str, by: str, what: str) -> _Want:
        target = Target(On.KEY, key, kms_key_parts(key)["project"])
        return _Want(Agent(service, project), use, target, by, f"{what} is encrypted with it")

    if settings.dataset.kms_key and not settings.dataset.existing:
        yield want(
            "healthcare",
            settings.project,
            Use.ENCRYPT_DATASET,
            settings.dataset.kms_key,
            "dataset",
            f"Healthcare dataset {settings.dataset.name}",
        )
    for dataset in settings.bigquery:
        if dataset.kms_key:
            project = dataset.project or settings.project
            by = f"bigquery/{project}.{dataset.name}"
            what = f"BigQuery dataset {project}.{dataset.name}"
            yield want("bigquery", project, Use.ENCRYPT_TABLES, dataset.kms_key, by, what)
    for bucket in settings.buckets:
        if bucket.kms_key:
            project = bucket.project or settings.project
            by = f"buckets/{bucket.name}"
            yield want("storage", project, Use.ENCRYPT_OBJECTS, bucket.kms_key, by, f"bucket {bucket.name}")
    for topic in settings.topics:
        if topic.kms_key:
            project = topic.project or settings.project
            by = f"topics/projects/{project}/topics/{topic.name}"
            yield want("pubsub", project, Use.ENCRYPT_MESSAGES, topic.kms_key, by, f"topic {topic.name}")


def _stores_wants(settings: Settings) -> Iterator[_Want]:
    agent = _agent(settings)
    for store in settings.stores:
        by = f"stores/{store.name}"
        for stream in store.streams:
            table = parse_bigquery_uri(stream.table)
            target = Target(On.BIGQUERY_DATASET, table.dataset, table.project)
            yield _Want(agent, Use.STREAM_METADATA, target, by, f"store {store.name} streams to {table.table}")
        for notification in store.notifications:
            target = Target(On.TOPIC, notification.topic, topic_parts(notification.topic)["project"])
            yield _Want(agent, Use.NOTIFY, target, by, f"store {store.name} announces new instances")


def _runs_wants(settings: Settings) -> Iterator[_Want]:
    agent = _agent(settings)
    for run in settings.imports:
        bucket = parse_import_uri(run.from_).bucket
        yield _Want(
            agent,
            Use.READ_IMPORTS,
            _bucket(settings, bucket),
            f"imports/{run.name}",
            f"import {run.name} reads from it",
        )
    for export in settings.exports:
        by = f"exports/{export.name}"
        if export.is_metadata:
            table = parse_bigquery_uri(export.to)
            dataset = Target(On.BIGQUERY_DATASET, table.dataset, table.project)
            yield _Want(agent, Use.WRITE_METADATA, dataset, by, f"export {export.name} writes {table.table}")
            # Google asks for the role in the destination project; which project is billed for the load job when the
            # store is in another one, its pages leave open. So the agent may run it in both.
            for project in dict.fromkeys([table.project, settings.project]):
                target = Target(On.PROJECT, project, project)
                yield _Want(agent, Use.RUN_JOBS, target, by, f"export {export.name} loads {table.table} by a job")
        else:
            bucket = parse_export_prefix(export.to).bucket
            yield _Want(agent, Use.WRITE_IMAGES, _bucket(settings, bucket), by, f"export {export.name} writes to it")
        bucket_of_filter = filter_bucket_of(settings, export.name)
        if bucket_of_filter:
            yield _Want(
                agent,
                Use.READ_FILTER,
                _bucket(settings, bucket_of_filter),
                by,
                f"the filter file of export {export.name} is in it",
            )


def _people_wants(settings: Settings) -> Iterator[_Want]:
    dataset_name = f"projects/{settings.project}/locations/{settings.location}/datasets/{settings.dataset.name}"
    dataset = Target(On.HEALTHCARE_DATASET, dataset_name, settings.project)
    lists: list[tuple[list[str], Use, Target, str]] = [
        (settings.dataset.readers, Use.READ_IMAGES, dataset, "imaging:dataset.readers"),
        (settings.dataset.editors, Use.EDIT_IMAGES, dataset, "imaging:dataset.editors"),
        (settings.dataset.admins, Use.ADMINISTER_DATASET, dataset, "imaging:dataset.admins"),
    ]
    for position, store in enumerate(settings.stores):
        target = Target(On.DICOM_STORE, f"{dataset_name}/dicomStores/{store.name}", settings.project)
        lists.append((store.readers, Use.READ_IMAGES, target, f"imaging:stores[{position}].readers"))
        lists.append((store.writers, Use.EDIT_IMAGES, target, f"imaging:stores[{position}].writers"))
    for position, tables in enumerate(settings.bigquery):
        target = Target(On.BIGQUERY_DATASET, tables.name, tables.project or settings.project)
        lists.append((tables.readers, Use.READ_TABLES, target, f"imaging:bigquery[{position}].readers"))
        lists.append((tables.editors, Use.EDIT_TABLES, target, f"imaging:bigquery[{position}].editors"))
    for members, use, target, key in lists:
        for member in members:
            yield _Want(member, use, target, "people", f"listed under {key}")


def filter_bucket_of(settings: Settings, export_name: str) -> str | None:
    """Return the bucket with an export's filter file: the one named, the settings' own, or the one the stack makes."""
    for export in settings.exports:
        if export.name == export_name and export.filter:
            if export.filter.file:
                return parse_object_uri(export.filter.file).bucket
            return settings.filter_bucket or own_filter_bucket(settings)
    return None


def own_filter_bucket(settings: Settings) -> str:
    """Return the name of the bucket that the stack makes for filter files, unique by the project's id."""
    return f"{settings.project.replace(':', '-').replace('.', '-')}-dicom-filters"


def _bucket(settings: Settings, name: str) -> Target:
    for bucket in settings.buckets:
        if bucket.name == name:
            return Target(On.BUCKET, name, bucket.project or settings.project)
    own = settings.project if name == own_filter_bucket(settings) else None
    return Target(On.BUCKET, name, own)
