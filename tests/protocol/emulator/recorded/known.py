"""In what the emulator's answers differ from the recorded ones, each with its reason, and how many are the same."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Known:
    """Differences of one kind.

    Attributes:
        where: matches ``METHOD DIFFERENCE`` from its start.
        reason: why the emulator answers otherwise, or what it lacks.
    """

    where: re.Pattern[str]
    reason: str


def _known(where: str, reason: str) -> Known:
    return Known(re.compile(where), reason)


#: By the first that matches.
KNOWN = (
    # Not served: said with 501, and the rest of such a scene finds nothing.
    _known(r".* status: 20\d -> 501 ", "refused, with the reason: the emulator does not serve it"),
    _known(
        r"bigquery.tables.insert status: 200 -> 400 .*does not serve the type GEOGRAPHY",
        "refused, with the reason: geography needs a library of its own",
    ),
    _known(r".* status: 20\d -> 404 ", "what an earlier request of the scene could not make is not there"),
    # On purpose.
    _known(
        r"cloudresourcemanager.projects.get (name|labels|parent|status: 403)",
        "any project may be used without being made first: it has no parent, labels or display name",
    ),
    _known(
        r"serviceusage.services.(get|enable|disable|batchEnable) |serviceusage.operations.get ",
        "services are enabled at once: operations are done when they are answered",
    ),
    _known(r"storage.objects.list prefixes", "a mark of the mock: it answers two folders for any bucket"),
    _known(r"iam.permissions.queryTestablePermissions ", "the recording was cut: it has no permissions"),
    # To be mended.
    _known(r"storage.* error.status: missing", "errors of Cloud Storage have no status"),
    _known(
        r"storage.buckets.* (items\[\d\]\.)?(generation|satisfiesPZI): .* -> missing",
        "a bucket has no generation, and satisfiesPZI is not told",
    ),
    _known(r"storage.buckets.* lifecycle: missing", "an empty lifecycle is answered"),
    _known(
        r"storage.buckets.* (items\[\d\]\.)?(acl|defaultObjectAcl|owner): ",
        "access control lists are not answered to projection=full",
    ),
    _known(
        r"storage.buckets.* (softDeletePolicy|metageneration|storageClass|autoclass)",
        "what follows from a patch of soft delete or autoclass",
    ),
    _known(r"bigquery.datasets.get maxTimeTravelHours: ", "the default of time travel is not told"),
    _known(r"bigquery.datasets.* access", "entries of other kinds than users, groups and views"),
    _known(
        r"bigquery.tables.* schema.*(policyTags|description)",
        "an empty policyTags is answered; a description is cleared by a PUT without it",
    ),
    _known(r"bigquery.tables.* partitionDefinition", "a column partition has no partitionDefinition"),
    _known(r"bigquery.tables.* schema", "a table without a schema answers none; mode is always there"),
    _known(r"bigquery.* ", "tables: location, policies, settings of partitions"),
    _known(r"iam.projects.serviceAccounts.* error\.", "an unknown service account is told with its address"),
    _known(r"iam.projects.serviceAccounts.(patch|get) ", "a patch answers the whole account; disabling is not served"),
    _known(r".*[gs]etIamPolicy version", "a policy without bindings has a version"),
    _known(r".* (state: 1|.*Invalid value at )", "enums as numbers are neither taken nor answered"),
    _known(r".* .*Unknown name", "a field of the path is unknown in the body"),
    _known(r"pubsub.* ", "what the recorded topics and subscriptions have otherwise"),
    _known(r"iam.projects.roles.* stage", "a custom role without a stage has none in the answer"),
)

#: Answers that are the same, of those to methods that the emulator serves. More is better: raise them then.
SAME: dict[str, tuple[int, int]] = {
    "storage": (9, 51),
    "bigquery": (79, 172),
    "pubsub": (54, 82),
    "kms": (59, 70),
    "iam": (29, 44),
    "serviceusage": (0, 10),
    "projects": (28, 44),
}
