"""The record that a stack keeps of a run's last success, and with which the next one is compared.

It comes from the outputs of the awaited operation, and is handed to the started one, which decides about a new run, as
the input `previous`: what only one of the two has seen counts for both.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Record:
    """What is known of a run's last success; empty fields where there was none.

    Attributes:
        read: whether the stack's state could be read.
        operation: the operation that the stack started.
        ended: the one that succeeded: another one when it was started again for permissions.
        success: instances that went through.
        failure: instances that failed.
        rows: rows that were in the table afterwards, for exports to BigQuery.
        created: when that table was created, in milliseconds since 1970 as BigQuery writes it.
        metrics: what the store held afterwards, for imports.
        lost: what a refresh found to be gone, in words.
    """

    read: bool = True
    operation: str = ""
    ended: str = ""
    success: int = 0
    failure: int = 0
    rows: int | None = None
    created: str = ""
    metrics: Mapping[str, Any] | None = None
    lost: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the record as an input; what is empty is left out."""
        return {key: value for key, value in asdict(self).items() if value is not None and value != ""}


def record_of(outputs: Mapping[str, Any]) -> Record:
    """Make the record from the outputs of an awaited operation, as the state has them."""
    outcome, left = outputs.get("outcome"), outputs.get("left")
    if not isinstance(outcome, Mapping) or not outcome:
        return Record()
    left = left if isinstance(left, Mapping) else {}
    metrics, rows = left.get("metrics"), left.get("rows")
    return Record(
        operation=str(outputs.get("operation") or ""),
        ended=str(outcome.get("operation") or ""),
        success=int(outcome.get("success") or 0),
        failure=int(outcome.get("failure") or 0),
        rows=None if rows is None else int(rows),
        created=str(left.get("created") or ""),
        metrics=metrics if isinstance(metrics, Mapping) else None,
        lost=str(outcome.get("lost") or ""),
    )


def recorded(props: Mapping[str, Any]) -> Record:
    """Return the record among the inputs of a started operation; one that was not read without it."""
    given = props.get("previous")
    if not isinstance(given, Mapping):
        return Record(read=False)
    # Numbers may have become floating-point in between.
    return Record(
        read=bool(given.get("read")),
        operation=str(given.get("operation") or ""),
        ended=str(given.get("ended") or ""),
        success=int(given.get("success") or 0),
        failure=int(given.get("failure") or 0),
        rows=None if given.get("rows") is None else int(given["rows"]),
        created=str(given.get("created") or ""),
        metrics=given.get("metrics"),
        lost=str(given.get("lost") or ""),
    )
