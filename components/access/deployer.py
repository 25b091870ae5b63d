"""What whoever deploys must be allowed to do, as data, and the check of it before anything is created.

Permissions and roles: https://cloud.google.com/healthcare-api/docs/access-control,
https://cloud.google.com/iam/docs/permissions-reference. The check is `testIamPermissions`, which says what the caller
holds on a resource: https://cloud.google.com/iam/docs/testing-permissions.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from components.access.google_rest import GoogleRest, RestError
from components.access.grants import Grant, agents_of, bucket_target, filter_bucket_of, grants_for
from components.access.rules import MADE_BY_SERVICE_USAGE, On, Target
from components.settings import Settings


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
    """

    on: On
    name: str
    project: str | None
    permissions: tuple[str, ...]
    purpose: str
    role: str


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
    """Return what whoever deploys these settings needs, merged by resource and role."""
    merged: dict[tuple[On, str, str | None, str], tuple[list[str], list[str]]] = {}
    for need in _needs(settings):
        permissions, purposes = merged.setdefault((need.on, need.name, need.project, need.role), ([], []))
        permissions += [each for each in need.permissions if each not in permissions]
        purposes += [need.purpose] if need.purpose not in purposes else []
    return [
        Need(on, name, project, tuple(permissions), ", ".join(purposes), role)
        for (on, name, project, role), (permissions, purposes) in merged.items()
    ]


def missing_permissions(settings: Settings, rest: Callable[[str | None], GoogleRest]) -> tuple[list[Need], list[str]]:
    """Ask which of the needed permissions the caller lacks.

    Args:
        settings: the stack's settings.
        rest: returns the calls as whoever deploys in a project.

    Returns:
        What is lacking, each need with the lacking permissions only; and what could not be asked, and why.
    """
    lacking: list[Need] = []
    unknown: list[str] = []
    for (on, name, project), needs in _by_resource(needs_of(settings)).items():
        wanted = tuple(dict.fromkeys(each for need in needs for each in need.permissions))
        try:
            held = _held(rest(project), on, name, wanted)
        except RestError as error:
            unknown.append(f"{on} {name}: {error}")
            continue
        for need in needs:
            missing = tuple(each for each in need.permissions if each not in held)
            if missing:
                lacking.append(Need(need.on, need.name, need.project, missing, need.purpose, need.role))
    return lacking, unknown


def render(lacking: list[Need]) -> str:
    """Lay out what is lacking for a terminal."""
    count = sum(len(need.permissions) for need in lacking)
    lines = [
        f"{count} permission{'s' if count > 1 else ''} that this stack needs {'are' if count > 1 else 'is'} lacking"
    ]
    for need in lacking:
        lines += [
            f"  {need.on} {need.name}: {', '.join(need.permissions)}",
            f"    for  {need.purpose}",
            f"    do   ask for {need.role} there, or for a role with these permissions",
        ]
    lines.append("  To go on without this check, set imaging:checkPermissions to false.")
    return "\n".join(lines)


def _needs(settings: Settings) -> Iterator[Need]:
    yield from _api_needs(settings)
    yield from _healthcare_needs(settings)
    yield from _destination_needs(settings)
    yield from _filter_needs(settings)
    if settings.grants == "managed":
        for grant in grants_for(settings):
            yield from _grant_needs(settings, grant)


def _on_project(project: str, permissions: tuple[str, ...], purpose: str, role: str) -> Need:
    return Need(On.PROJECT, project, project, permissions, purpose, role)


def _api_needs(settings: Settings) -> Iterator[Need]:
    from components.access.checks import apis_by_project

    agents = agents_of(grants_for(settings))
    enabling = apis_by_project(settings) if settings.enable_apis else []
    for project in dict.fromkeys([settings.project, *(agent.project for agent in agents), *enabling]):
        yield _on_project(
            project,
            ("resourcemanager.projects.get",),
            "reading the project: its number, by which service agents are named, and its state",
            "roles/browser",
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


def _healthcare_needs(settings: Settings) -> Iterator[Need]:
    project = settings.project
    dataset = f"projects/{project}/locations/{settings.location}/datasets/{settings.dataset.name}"

    def need(permissions: tuple[str, ...], purpose: str, role: str) -> Need:
        # On a dataset that exists, permissions may have been given there; before that, only on the project.
        if settings.dataset.existing:
            return Need(On.HEALTHCARE_DATASET, dataset, project, permissions, purpose, role)
        return _on_project(project, permissions, purpose, role)

    if not settings.dataset.existing:
        yield _on_project(
            project,
            ("healthcare.datasets.create", "healthcare.datasets.get", "healthcare.datasets.update"),
            f"Healthcare dataset {settings.dataset.name}",
            "roles/healthcare.datasetAdmin",
        )
    new_stores = [store.name for store in settings.stores if not store.existing]
    if new_stores:
        yield need(
            (
                "healthcare.dicomStores.create",
                "healthcare.dicomStores.get",
                "healthcare.dicomStores.update",
            ),
            f"DICOM stores {', '.join(new_stores)}",
            "roles/healthcare.dicomStoreAdmin",
        )
    for kind, runs in (("import", settings.imports), ("export", settings.exports)):
        if runs:
            yield need(
                (f"healthcare.dicomStores.{kind}", "healthcare.operations.get"),
                f"{kind}s {', '.join(run.name for run in runs)}",
                "roles/healthcare.dicomEditor",
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


def _by_resource(needs: list[Need]) -> dict[tuple[On, str, str | None], list[Need]]:
    grouped: dict[tuple[On, str, str | None], list[Need]] = {}
    for need in needs:
        grouped.setdefault((need.on, need.name, need.project), []).append(need)
    return grouped


# How each kind of resource is asked: API and path of testIamPermissions. Cloud Storage has a form of its own.
ASK: Mapping[On, tuple[str, str]] = {
    On.PROJECT: ("cloudresourcemanager", "v1/projects/{name}:testIamPermissions"),
    On.TOPIC: ("pubsub", "v1/{name}:testIamPermissions"),
    On.KEY: ("cloudkms", "v1/{name}:testIamPermissions"),
    On.HEALTHCARE_DATASET: ("healthcare", "v1/{name}:testIamPermissions"),
    On.DICOM_STORE: ("healthcare", "v1/{name}:testIamPermissions"),
}


def _held(rest: GoogleRest, on: On, name: str, wanted: tuple[str, ...]) -> set[str]:
    try:
        return _ask(rest, on, name, wanted)
    except RestError as error:
        if error.status != 400 or len(wanted) == 1:
            raise
    # One permission that the resource doesn't know spoils the whole question; such a one can't be lacking there.
    held: set[str] = set()
    for permission in wanted:
        try:
            held |= _ask(rest, on, name, (permission,))
        except RestError as error:
            if error.status != 400:
                raise
            held.add(permission)
    return held


def _ask(rest: GoogleRest, on: On, name: str, wanted: tuple[str, ...]) -> set[str]:
    if on is On.BUCKET:
        query = urlencode([("permissions", each) for each in wanted])
        answer = rest.call("storage", "GET", f"storage/v1/b/{quote(name, safe='')}/iam/testPermissions?{query}")
    else:
        api, path = ASK[on]
        answer = rest.call(api, "POST", path.format(name=name), {"permissions": list(wanted)})
    return set(answer.get("permissions", []))
