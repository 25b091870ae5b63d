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
    _known(
        r"iam.permissions.queryTestablePermissions ",
        "recorded with no permission in the answer: the emulator tells those that it checks",
    ),
    # Where recordings contradict others, or what Google documents.
    _known(
        r"storage.buckets.* generation: missing",
        "recorded by a mock of one scene that has none: the buckets of five other scenes have it",
    ),
    _known(
        r"bigquery.datasets.get maxTimeTravelHours: missing",
        "one scene has no default of time travel, twenty-three answers of others have it",
    ),
    _known(r"bigquery.tables.* location: ", "recorded by a mock, of a dataset whose location is US"),
    _known(
        r"bigquery.tables.[gs]etIamPolicy version: 1 -> 3",
        "a policy with conditions has version 3 (https://cloud.google.com/iam/docs/policies#versions)",
    ),
    _known(
        r"cloudkms.projects.locations.keyRings.cryptoKeys.patch primary.(state|destroyTime): ",
        "the key's primary version was destroyed a request before: the recording has it as it was",
    ),
    _known(
        r"pubsub.projects.subscriptions.get status: 404 -> 200",
        "a subscription is found at once; Google's was not found for a moment",
    ),
    # Not done.
    _known(r"storage.buckets.get metageneration: ", "access control lists can't be changed by calls of their own"),
    _known(
        r"pubsub.projects.subscriptions.patch pushConfig.attributes",
        "one answer to a patch has them, the next read of the same subscription has none",
    ),
)

#: Answers that are the same, of those to methods that the emulator serves. More is better: raise them then.
SAME: dict[str, tuple[int, int]] = {
    "storage": (36, 51),
    "bigquery": (120, 172),
    "pubsub": (59, 82),
    "kms": (69, 70),
    "iam": (43, 45),
    "serviceusage": (0, 10),
    "projects": (36, 44),
}
