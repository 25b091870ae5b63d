"""What a stack puts out of a run: what came of it, without what it was asked for where that is secret."""

from collections.abc import Mapping
from typing import Any

import pulumi

# Counts, times and names that Google gives. Everything else says what was asked for, or what the service said of it.
_NEVER_SECRET = frozenset(
    ("operation", "state", "success", "failure", "pending", "startTime", "endTime", "rows", "logsUrl", "allFailures")
)


def shown_outcome(outcome: pulumi.Output[dict[str, Any]]) -> pulumi.Output[Any]:
    """Return the outcome of a run; of a secret one only what tells nothing of its settings can be read."""

    async def secret() -> bool:
        return await outcome.is_secret()

    both = pulumi.Output.all(pulumi.Output.unsecret(outcome), secret())
    return both.apply(lambda each: _parted(each[0]) if each[1] else each[0])


def _parted(outcome: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value if key in _NEVER_SECRET else pulumi.Output.secret(value) for key, value in outcome.items()}
