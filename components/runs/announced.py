"""What a preview says at its end of all imports and exports together: how many start, are waited for, hold."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pulumi

from components.runs.declared import Run

_NAMED = 10


@dataclass(frozen=True)
class Announced:
    """What an update would do about one run.

    Attributes:
        name: of the run.
        starts: whether a new operation is started.
        ends: whether an operation is waited for: the new one, or one that was started earlier.
        succeeded: whether the stack has seen a success of the run.
    """

    name: str
    starts: bool
    ends: bool
    succeeded: bool


def announce(runs: Iterable[tuple[str, Run]]) -> None:
    """Say in a preview, once everything is planned, what the update would do about imports and exports.

    Args:
        runs: all of the stack, by name.
    """
    declared = list(runs)
    if not declared or not pulumi.runtime.is_dry_run():
        return

    async def say() -> bool:
        pulumi.log.info(summary([await _announced(name, run) for name, run in declared]))
        return True

    _said: pulumi.Output[bool] = pulumi.Output.from_input(say())


def summary(runs: Sequence[Announced]) -> str:
    """Return the text: the counts, and under them who starts and who is waited for."""
    first = [each.name for each in runs if each.starts and not each.succeeded]
    again = [each.name for each in runs if each.starts and each.succeeded]
    waited = [each.name for each in runs if each.ends and not each.starts]
    counts = [
        _count(len(first) + len(again), "starts", "start"),
        _count(len(waited), "is waited for", "are waited for"),
        _count(len(runs) - len(first) - len(again) - len(waited), "holds", "hold"),
    ]
    lines = ["imports and exports: " + (", ".join(filter(None, counts)))]
    for names, why in (
        (first, "start, without a success so far"),
        (again, "start again, for the reason on the row of each"),
        (waited, "are waited for, as started earlier"),
    ):
        if names:
            rest = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
            lines.append(f"  {why}: {', '.join(names[:_NAMED])}{rest}")
    return "\n".join(lines)


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}" if number else ""


async def _announced(name: str, run: Run) -> Announced:
    # What a preview can't know is what the update does anew.
    record = await run.previous.future()
    return Announced(
        name,
        starts=not await run.started.operation.is_known(),
        ends=not await run.awaited.outcome.is_known(),
        succeeded=bool(record and record.get("operation")),
    )
