"""Who needs which role on what: from the settings to the exact set of grants, each with its reasons.

`grant_rules` says which role each use needs; `grants_for` applies that to the settings. Nothing here talks to Pulumi:
`grant_resources` declares what this module decides.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from components.access.rules import ACCESS_LOGS_GROUP, INCLUDES, RULES, Agent, Condition, On, Target, Use
from components.settings import ConditionalMemberSettings, Settings
from components.settings.fields import kms_key_parts, topic_parts
from operations.model.uris import parse_bigquery_uri, parse_export_prefix, parse_import_uri, parse_object_uri

MAX_BUCKET_NAME = 63


@dataclass(frozen=True)
class Grant:
    """One role of one member on one resource, and why.

    Attributes:
        member: a service agent, or a member as IAM writes it.
        uses: what the role is needed for; more than one when several uses share the grant.
        needed_by: who waits for it, as `dataset`, `stores/pacs`, `imports/archive`, `exports/metadata`,
            `bigquery/PROJECT.DATASET`, `buckets/NAME`, `topics/FULL-NAME`; for people the key that lists them.
        reasons: one sentence for each use and user.
        condition: when it holds; None for always.
    """

    member: Agent | str
    role: str
    target: Target
    verb: str
    uses: tuple[Use, ...]
    needed_by: tuple[str, ...]
    reasons: tuple[str, ...]
    condition: Condition | None = None

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
        when = self.condition.suffix if self.condition else ""
        return f"{who}-{self.verb}-{self.target.label}{when}"


@dataclass(frozen=True)
class _Want:
    """One use by one user, before grants are shared."""

    member: Agent | str
    use: Use
    target: Target
    by: str
    reason: str
    condition: Condition | None = None


def grants_for(settings: Settings) -> tuple[Grant, ...]:
    """Return the grants that the settings need, each once, none that another one includes."""
    shared: dict[tuple[Agent | str, str, Target, Condition | None], list[_Want]] = {}
    for want in _wants(settings):
        shared.setdefault((want.member, _role(settings, want.use), want.target, want.condition), []).append(want)
    for member, role, target, condition in list(shared):
        for lesser in INCLUDES.get(role, ()):
            wants = shared.pop((member, lesser, target, condition), [])
            shared[member, role, target, condition].extend(wants)
    return tuple(
        Grant(
            member=member,
            role=role,
            target=target,
            verb=RULES[wants[0].use].verb,
            uses=tuple(dict.fromkeys(want.use for want in wants)),
            needed_by=tuple(dict.fromkeys(want.by for want in wants)),
            reasons=tuple(dict.fromkeys(want.reason for want in wants)),
            condition=condition,
        )
        for (member, role, target, condition), wants in shared.items()
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
            bucket_target(settings, bucket),
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
            yield _Want(
                agent, Use.WRITE_IMAGES, bucket_target(settings, bucket), by, f"export {export.name} writes to it"
            )
        bucket_of_filter = filter_bucket_of(settings, export.name)
        if bucket_of_filter:
            yield _Want(
                agent,
                Use.READ_FILTER,
                bucket_target(settings, bucket_of_filter),
                by,
                f"the filter file of export {export.name} is in it",
            )


def _people_wants(settings: Settings) -> Iterator[_Want]:
    dataset_name = f"projects/{settings.project}/locations/{settings.location}/datasets/{settings.dataset.name}"
    dataset = Target(On.HEALTHCARE_DATASET, dataset_name, settings.project)
    lists: list[tuple[list[str | ConditionalMemberSettings], Use, Target, str]] = [
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
        for listed in members:
            member, condition = listed, None
            if isinstance(listed, ConditionalMemberSettings):
                member, when = listed.member, listed.condition
                condition = Condition(when.title, when.expression, when.description)
            yield _Want(str(member), use, target, key, f"listed under {key}", condition)
    for bucket in settings.buckets:
        if bucket.access_logs:
            target = bucket_target(settings, bucket.access_logs.bucket)
            reason = f"Cloud Storage writes the access logs of bucket {bucket.name}"
            yield _Want(ACCESS_LOGS_GROUP, Use.WRITE_ACCESS_LOGS, target, f"buckets/{bucket.name}", reason)


def filter_bucket_of(settings: Settings, export_name: str) -> str | None:
    """Return the bucket with an export's filter file: the one named, the settings' own, or the one the stack makes."""
    for export in settings.exports:
        if export.name == export_name and export.filter:
            if export.filter.file:
                return parse_object_uri(export.filter.file).bucket
            return settings.filter_bucket or own_filter_bucket(settings)
    return None


def own_filter_bucket(settings: Settings) -> str:
    """Return the name of the bucket that the stack makes for filter files: no other stack makes one of this name.

    Bucket names are shared by all of Google Cloud, have at most 63 characters, and contain neither `google` nor
    anything like it: https://cloud.google.com/storage/docs/buckets#naming. The project's id is unique already; the
    digest tells apart stacks of one project whose names are the same in small letters, or as far as there is room.
    """
    stack = settings.origin.stack
    said = "-".join(filter(None, (settings.project, settings.origin.stack_name))).lower()
    said = re.sub(r"g[o0][o0]g([l1]e)?", "g", re.sub(r"[^a-z0-9]+", "-", said))
    digest = hashlib.sha256(f"{settings.project} {stack}".encode()).hexdigest()[:8]
    end = f"-dicom-filters-{digest}"
    return said[: MAX_BUCKET_NAME - len(end)].strip("-") + end


def bucket_target(settings: Settings, name: str) -> Target:
    """Return a bucket with its project, if that is known: it is declared, or the stack's own."""
    for bucket in settings.buckets:
        if bucket.name == name:
            return Target(On.BUCKET, name, bucket.project or settings.project)
    for project in settings.projects:
        if name in project.buckets:
            return Target(On.BUCKET, name, project.name)
    own = settings.project if name == own_filter_bucket(settings) else None
    return Target(On.BUCKET, name, own)
