"""What is allowed in a stack configuration and most likely not meant, or can't be undone: said in every preview."""

from collections.abc import Iterator
from typing import Any

from components.settings.models import ConditionalMemberSettings, Settings
from components.settings.origin import Path
from components.settings.problems import Problem, key_of
from operations.model.durations import format_duration
from operations.model.filters import doubtful_line


def settings_warnings(settings: Settings) -> list[Problem]:
    """Return what a person should know of these settings, in the order of the configuration."""
    rules = (_conditions, _quiet_imports, _locks, _versions, _doubtful_lines)
    return [warning for rule in rules for warning in rule(settings)]


def _conditions(settings: Settings) -> Iterator[Problem]:
    """https://cloud.google.com/iam/docs/resource-types-with-conditional-roles."""
    roles = ("readers", "editors", "admins")
    lists: list[tuple[tuple[str | int, ...], list[Any]]] = [
        (("dataset", role), getattr(settings.dataset, role)) for role in roles
    ]
    lists += [
        (("stores", position, role), getattr(store, role))
        for position, store in enumerate(settings.stores)
        for role in ("readers", "writers")
    ]
    for path, members in lists:
        for position, member in enumerate(members):
            if isinstance(member, ConditionalMemberSettings):
                yield Problem(
                    key_of((*path, position, "condition")),
                    "Google's list of services that allow conditions does not show the Cloud Healthcare API; if it "
                    "refuses the grant, grant the role on the project, with this condition",
                )


def _quiet_imports(settings: Settings) -> Iterator[Problem]:
    for position, store in enumerate(settings.stores):
        imports = [
            _shown(settings, ("imports", place, "name"), run.name)
            for place, run in enumerate(settings.imports)
            if run.store == store.name
        ]
        for number, notification in enumerate(store.notifications):
            if imports and "bulk_imports" not in notification.model_fields_set:
                yield Problem(
                    key_of(("stores", position, "notifications", number, "bulkImports")),
                    f"is not set, so the instances of {', '.join(imports)} are not announced; write true to announce "
                    "them, or false if that is meant",
                )


def _locks(settings: Settings) -> Iterator[Problem]:
    for position, bucket in enumerate(settings.buckets):
        if bucket.retention and bucket.retention.locked:
            path: Path = ("buckets", position)
            name = _shown(settings, (*path, "name"), bucket.name)
            time = _shown(settings, (*path, "retention", "for"), format_duration(bucket.retention.for_))
            yield Problem(
                key_of((*path, "retention", "locked")),
                f"can't be undone: every object of {name} stays for at least {time}, the time can never be shortened "
                "or removed, and the bucket can't be deleted before all its objects are that old",
            )


def _versions(settings: Settings) -> Iterator[Problem]:
    for position, bucket in enumerate(settings.buckets):
        if bucket.versioning:
            continue
        for number, rule in enumerate(bucket.lifecycle):
            only = {
                "newerVersions": rule.newer_versions,
                "noncurrentDays": rule.noncurrent_days,
                "noncurrentBefore": rule.noncurrent_before,
            }
            for name in (name for name, value in only.items() if value is not None):
                yield Problem(
                    key_of(("buckets", position, "lifecycle", number, name)),
                    "is about earlier versions of objects, and the bucket keeps none; write versioning: true",
                )


def _doubtful_lines(settings: Settings) -> Iterator[Problem]:
    for position, export in enumerate(settings.exports):
        for number, line in enumerate(export.filter.lines or [] if export.filter else []):
            doubt = doubtful_line(line)
            if doubt:
                yield Problem(key_of(("exports", position, "filter", "lines", number)), doubt)


def _shown(settings: Settings, path: Path, text: str) -> str:
    """Return the text of another setting than the warning's own, unless that one is encrypted."""
    return "[secret]" if settings.origin.is_encrypted(*path) else text
