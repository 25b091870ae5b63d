"""Which role each use needs, on which kind of resource, and who it is granted to, as data.

`RULES` says for each use which role Google asks for, on which kind of resource, and on which page.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from components.base.arguments import arguments

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
    WRITE_ACCESS_LOGS = "write access logs"


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
    Use.WRITE_ACCESS_LOGS: Rule(
        "roles/storage.objectCreator", On.BUCKET, "logs-to", "https://cloud.google.com/storage/docs/access-logs"
    ),
}

# Who writes the access logs of all buckets: https://cloud.google.com/storage/docs/access-logs
ACCESS_LOGS_GROUP = "group:cloud-storage-analytics@google.com"


@dataclass(frozen=True)
class Condition:
    """When a grant holds: https://cloud.google.com/iam/docs/conditions-overview.

    Attributes:
        title: short name.
        expression: in the Common Expression Language.
        description: longer text.
    """

    title: str
    expression: str
    description: str | None = None

    @property
    def suffix(self) -> str:
        """What tells the grant in the stack from one without a condition."""
        return f"-{self.title}"

    @property
    def as_input(self) -> Any:
        """The condition as Pulumi's grants take it; each kind of grant has a type of its own for the same mapping."""
        given = {"title": self.title, "expression": self.expression, "description": self.description}
        return {key: value for key, value in given.items() if value is not None}


def each_member(
    members: Mapping[Use, list[str] | None], conditions: Mapping[str, "MemberCondition"] | None = None
) -> Iterator[tuple[Use, str, Condition | None]]:
    """Yield every member with the use that is granted, as listed, and its condition.

    Args:
        members: the members by use.
        conditions: the conditions by member, typed or as plain data.
    """
    for use, listed in members.items():
        for member in listed or []:
            given = (conditions or {}).get(member)
            when = arguments(MemberCondition, given) if given is not None else None
            yield use, member, Condition(when.title, when.expression, when.description) if when else None


@dataclass(kw_only=True)
class MemberCondition:
    """When the grants of a member hold: https://cloud.google.com/iam/docs/conditions-overview."""

    title: str
    """Short name of the condition."""
    expression: str
    """When they hold, such as `request.time < timestamp('2027-01-01T00:00:00Z')`."""
    description: str | None = None
    """Longer text."""


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
