"""What the deploying identity must be allowed to do, as data: from the settings to permissions on resources.

Permissions and roles: https://cloud.google.com/healthcare-api/docs/access-control,
https://cloud.google.com/iam/docs/permissions-reference.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from components.access.checks import apis_by_project
from components.access.grants import Grant, agents_of, bucket_target, filter_bucket_of, grants_for
from components.access.rules import MADE_BY_SERVICE_USAGE, On, Target
from components.settings import Settings
from operations.model.uris import parse_bigquery_uri, parse_export_prefix


class Level(StrEnum):
    """What is not possible without a permission."""

    PREVIEW = "a preview and an up"
    UP = "an up"
    MAYBE = "an up, unless it is granted on the dataset or table itself, which can't be asked"
    OPTIONAL = "what it is for"


@dataclass(frozen=True)
class Need:
    """Permissions on one resource, and the role that gives them.

    Attributes:
        on: kind of the resource that is asked.
        name: its name, as in `grants.Target`.
        project: the project that holds it, if it is known.
        permissions: what is needed there.
        purpose: what for.
        role: a predefined role that has all of them.
        level: what is not possible without them.
        lost: of optional ones, what is missing without them, as the end of a sentence.
    """

    on: On
    name: str
    project: str | None
    permissions: tuple[str, ...]
    purpose: str
    role: str
    level: Level = Level.UP
    lost: str = ""


# What is needed to set the policy of a resource, by its kind, and a role that allows it.
SET_POLICY: Mapping[On, tuple[tuple[str, ...], str]] = {
    On.PROJECT: (
        ("resourcemanager.projects.getIamPolicy", "resourcemanager.projects.setIamPolicy"),
        "roles/resourcemanager.projectIamAdmin",
    ),
    On.BIGQUERY_DATASET: (("bigquery.datasets.get", "bigquery.datasets.update"), "roles/bigquery.dataOwner"),
    On.BUCKET: (("storage.buckets.getIamPolicy", "storage.buckets.setIamPolicy"), "roles/storage.admin"),
    On.TOPIC: (("pubsub.topics.getIamPolicy", "pubsub.topics.setIamPolicy"), "roles/pubsub.admin"),
    On.KEY: (("cloudkms.cryptoKeys.getIamPolicy", "cloudkms.cryptoKeys.setIamPolicy"), "roles/cloudkms.admin"),
    On.HEALTHCARE_DATASET: (
        ("healthcare.datasets.getIamPolicy", "healthcare.datasets.setIamPolicy"),
        "roles/healthcare.datasetAdmin",
    ),
    On.DICOM_STORE: (
        ("healthcare.dicomStores.getIamPolicy", "healthcare.dicomStores.setIamPolicy"),
        "roles/healthcare.dicomStoreAdmin",
    ),
}


def needs_of(settings: Settings) -> list[Need]:
    """Return what the identity that deploys these settings needs, merged by resource, role and level."""
    merged: dict[tuple[On, str, str | None, str, Level, str], tuple[list[str], list[str]]] = {}
    for need in _needs(settings):
        key = (need.on, need.name, need.project, need.role, need.level, need.lost)
        permissions, purposes = merged.setdefault(key, ([], []))
        permissions += [each for each in need.permissions if each not in permissions]
        purposes += [need.purpose] if need.purpose not in purposes else []
    return [
        Need(on, name, project, tuple(permissions), ", ".join(purposes), role, level, lost)
        for (on, name, project, role, level, lost), (permissions, purposes) in merged.items()
    ]


def _needs(settings: Settings) -> Iterator[Need]:
    yield from _api_needs(settings)
    yield from _healthcare_needs(settings)
    yield from _operation_needs(settings)
    yield from _destination_needs(settings)
    yield from _table_needs(settings)
    yield from _filter_needs(settings)
    if settings.grants == "managed":
        for grant in grants_for(settings):
            yield from _grant_needs(settings, grant)


def _on_project(
    project: str, permissions: tuple[str, ...], purpose: str, role: str, level: Level = Level.UP, lost: str = ""
) -> Need:
    return Need(On.PROJECT, project, project, permissions, purpose, role, level, lost)


def _api_needs(settings: Settings) -> Iterator[Need]:
    agents = agents_of(grants_for(settings))
    enabling = apis_by_project(settings) if settings.enable_apis else []
    for project in dict.fromkeys([settings.project, *(agent.project for agent in agents), *enabling]):
        yield _on_project(
            project,
            ("resourcemanager.projects.get",),
            "reading the project: its number, by which service agents are named, and its state",
            "roles/browser",
            Level.PREVIEW,
        )
    for project in enabling:
        yield _on_project(
            project,
            ("serviceusage.services.enable", "serviceusage.services.list"),
            "enabling APIs",
            "roles/serviceusage.serviceUsageAdmin",
        )
    if settings.grants == "managed":
        # https://cloud.google.com/iam/docs/create-service-agents
        for agent in agents:
            if agent.service in MADE_BY_SERVICE_USAGE:
                yield _on_project(
                    agent.project,
                    ("serviceusage.services.enable",),
                    "making service agents",
                    "roles/serviceusage.serviceUsageAdmin",
                )


def _on_dataset(
    settings: Settings, permissions: tuple[str, ...], purpose: str, role: str, level: Level = Level.UP, lost: str = ""
) -> Need:
    project = settings.project
    # On a dataset that exists, permissions may have been given there; before that, only on the project.
    if settings.dataset.existing:
        name = f"projects/{project}/locations/{settings.location}/datasets/{settings.dataset.name}"
        return Need(On.HEALTHCARE_DATASET, name, project, permissions, purpose, role, level, lost)
    return _on_project(project, permissions, purpose, role, level, lost)


def _healthcare_needs(settings: Settings) -> Iterator[Need]:
    if not settings.dataset.existing:
        yield _on_project(
            settings.project,
            ("healthcare.datasets.create", "healthcare.datasets.get", "healthcare.datasets.update"),
            f"Healthcare dataset {settings.dataset.name}",
            "roles/healthcare.datasetAdmin",
        )
        if settings.dataset.kms_key:
            yield _on_project(
                settings.project,
                ("healthcare.datasets.delete",),
                "trying the key",
                "roles/healthcare.datasetAdmin",
                Level.OPTIONAL,
                f"the empty dataset {settings.dataset.name}-key-check, by which a new grant on the key is tried, stays",
            )
    new_stores = [store.name for store in settings.stores if not store.existing]
    if new_stores:
        yield _on_dataset(
            settings,
            ("healthcare.dicomStores.create", "healthcare.dicomStores.get", "healthcare.dicomStores.update"),
            f"DICOM stores {', '.join(new_stores)}",
            "roles/healthcare.dicomStoreAdmin",
        )
    for kind, runs in (("import", settings.imports), ("export", settings.exports)):
        if runs:
            yield _on_dataset(
                settings,
                (f"healthcare.dicomStores.{kind}", "healthcare.operations.get"),
                f"{kind}s {', '.join(run.name for run in runs)}",
                "roles/healthcare.dicomEditor",
            )


def _operation_needs(settings: Settings) -> Iterator[Need]:
    """What imports and exports do without, and what they can't do then."""
    if not (settings.imports or settings.exports):
        return
    yield _on_dataset(
        settings,
        ("healthcare.operations.list",),
        "finding operations",
        "roles/healthcare.datasetAdmin",
        Level.OPTIONAL,
        "a start whose answer is lost on the way can't be found again, and operations of others are not counted",
    )
    yield _on_dataset(
        settings,
        ("healthcare.operations.cancel",),
        "cancelling operations",
        "roles/healthcare.dicomEditor",
        Level.OPTIONAL,
        "an import or export that is removed or changed while it runs keeps running",
    )
    yield _on_project(
        settings.project,
        ("logging.logEntries.list",),
        "reading the log",
        "roles/logging.viewer",
        Level.OPTIONAL,
        "which files or instances failed, and why, is not shown",
    )


def _destination_needs(settings: Settings) -> Iterator[Need]:
    for tables in settings.bigquery:
        if not tables.existing:
            yield _on_project(
                tables.project or settings.project,
                ("bigquery.datasets.create", "bigquery.datasets.get", "bigquery.datasets.update"),
                f"BigQuery dataset {tables.name}",
                "roles/bigquery.dataOwner",
            )
    for bucket in settings.buckets:
        if not bucket.existing:
            yield _on_project(
                bucket.project or settings.project,
                ("storage.buckets.create", "storage.buckets.get"),
                f"bucket {bucket.name}",
                "roles/storage.admin",
            )
    for topic in settings.topics:
        if not topic.existing:
            yield _on_project(
                topic.project or settings.project,
                ("pubsub.topics.create", "pubsub.topics.get"),
                f"topic {topic.name}",
                "roles/pubsub.admin",
            )


# What the reference views take: the columns of the table are read, and a view can only be made by who may read it.
# https://cloud.google.com/bigquery/docs/views#required_permissions
_VIEWS = (
    "bigquery.tables.create",
    "bigquery.tables.get",
    "bigquery.tables.list",
    "bigquery.tables.update",
    "bigquery.tables.delete",
    "bigquery.tables.getData",
)


def _table_needs(settings: Settings) -> Iterator[Need]:
    made_here = {(each.project or settings.project, each.name) for each in settings.bigquery if not each.existing}
    for export in settings.exports:
        if not export.is_metadata:
            prefix = parse_export_prefix(export.to)
            yield from _listing_needs(settings, prefix.bucket, f"export {export.name}")
            continue
        table = parse_bigquery_uri(export.to)
        is_certain = (table.project, table.dataset) in made_here
        if export.views:
            yield _on_project(
                table.project,
                _VIEWS,
                f"views of export {export.name}",
                "roles/bigquery.dataEditor",
                Level.UP if is_certain else Level.MAYBE,
            )


def _listing_needs(settings: Settings, bucket: str, what: str) -> Iterator[Need]:
    target = bucket_target(settings, bucket)
    permissions, role = ("storage.objects.list",), "roles/storage.objectViewer"
    lost = f"the objects that {what} wrote are not counted"
    if target.project and _bucket_made_here(settings, target):
        yield _on_project(target.project, permissions, f"counting objects of {what}", role, Level.OPTIONAL, lost)
    else:
        yield Need(
            On.BUCKET, bucket, target.project, permissions, f"counting objects of {what}", role, Level.OPTIONAL, lost
        )


# A table in a query, in backticks as a whole or in parts, or bare.
_TABLE = re.compile(r"(?P<project>[a-z][a-z0-9-]{4,28}[a-z0-9])`?\.`?(?P<dataset>\w+)`?\.`?\w+")


def _projects_read_by(query: str) -> list[str]:
    """Return the projects whose tables a query names after FROM or JOIN."""
    tables = re.findall(r"\b(?:FROM|JOIN)\s+`?([^\s(),;]+)", query, re.IGNORECASE)
    found = [match["project"] for each in tables if (match := _TABLE.match(each))]
    return list(dict.fromkeys(found))


def _filter_needs(settings: Settings) -> Iterator[Need]:
    for export in settings.exports:
        bucket = filter_bucket_of(settings, export.name)
        if export.filter is None or bucket is None:
            continue
        target = bucket_target(settings, bucket)
        purpose = f"filter file of export {export.name}"
        permissions: tuple[str, ...] = ("storage.objects.get",)
        role = "roles/storage.objectViewer"
        if not export.filter.file:
            permissions = ("storage.objects.get", "storage.objects.create")
            role = "roles/storage.objectAdmin"
        if export.filter.query:
            # A large result is put together of parts.
            permissions += ("storage.objects.list", "storage.objects.delete")
            yield _on_project(
                settings.project,
                ("bigquery.jobs.create",),
                f"filter query of export {export.name}",
                "roles/bigquery.jobUser",
            )
            for project in _projects_read_by(export.filter.query):
                yield _on_project(
                    project,
                    ("bigquery.tables.getData",),
                    f"tables that the filter query of export {export.name} reads",
                    "roles/bigquery.dataViewer",
                    Level.MAYBE,
                )
        if target.project and _bucket_made_here(settings, target):
            made = ("storage.buckets.create", "storage.buckets.get", *permissions)
            yield _on_project(target.project, made, purpose, "roles/storage.admin")
        else:
            yield Need(On.BUCKET, bucket, target.project, permissions, purpose, role)


def _grant_needs(settings: Settings, grant: Grant) -> Iterator[Need]:
    permissions, role = SET_POLICY[grant.target.on]
    purpose = f"granting {grant.role} on {grant.target.on} {grant.target.label}"
    target = grant.target
    made_here = _made_here(settings, grant)
    if made_here and target.project:
        yield _on_project(target.project, permissions, purpose, role)
    elif target.on is not On.BIGQUERY_DATASET:
        # A BigQuery dataset can't be asked; what is held there, the service says when it is granted on.
        yield Need(target.on, target.name, target.project, permissions, purpose, role)


def _made_here(settings: Settings, grant: Grant) -> bool:
    """Tell whether the resource granted on is one that this stack makes, so that it can't be asked yet."""
    target = grant.target
    if target.on is On.BIGQUERY_DATASET:
        return any(
            each.name == target.name and (each.project or settings.project) == target.project and not each.existing
            for each in settings.bigquery
        )
    if target.on is On.BUCKET:
        return _bucket_made_here(settings, target)
    if target.on is On.TOPIC:
        return any(
            f"projects/{each.project or settings.project}/topics/{each.name}" == target.name and not each.existing
            for each in settings.topics
        )
    if target.on is On.HEALTHCARE_DATASET:
        return not settings.dataset.existing
    if target.on is On.DICOM_STORE:
        return not any(each.name == target.name.rsplit("/", 1)[-1] and each.existing for each in settings.stores)
    return False


def _bucket_made_here(settings: Settings, target: Target) -> bool:
    # A bucket that is not declared has no project: it exists.
    return target.project is not None and not any(
        each.name == target.name and each.existing for each in settings.buckets
    )
