"""The record that a stack keeps of a run's last success, and with which the next one is compared."""

from collections.abc import Mapping
from typing import Any


def record_of(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Make the record from the outputs of an awaited operation, as the state has them.

    Returns:
        `read` and, when there was a success, `operation` (the one that the stack started), `ended` (the one that
        succeeded: another one when it was started anew for permissions), `failure`, and for imports the store's
        `metrics` after it.
    """
    outcome = outputs.get("outcome")
    if not isinstance(outcome, Mapping) or not outcome:
        return {"read": True}
    return {
        "read": True,
        "operation": outputs.get("operation"),
        "ended": outcome.get("operation"),
        "failure": outcome.get("failure", 0),
        "metrics": outcome.get("metrics"),
    }


def recorded(props: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the record among the inputs of a started operation; empty without one."""
    previous = props.get("previous")
    return previous if isinstance(previous, Mapping) else {}
