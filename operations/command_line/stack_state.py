"""The imports and exports in the state of a stack, as `pulumi stack export` writes it. Nothing is changed."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from operations.model.invalid import InputError
from operations.run.record import record_of

HOW = "write `pulumi stack export | python -m operations plan`"
_STARTED = "imaging:StartedOperation"
_AWAITED = "imaging:AwaitedOperation"


class StateError(InputError):
    """The text is no exported state of a stack."""


@dataclass(frozen=True)
class StackRun:
    """One import or export of a stack.

    Attributes:
        label: its name in the settings.
        olds: outputs of the started operation; empty when its start was interrupted.
        record: what was recorded at the last success, as `record_of` gives it.
        interrupted: whether the state doesn't know how its last start ended.
    """

    label: str
    olds: Mapping[str, Any]
    record: Mapping[str, Any] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def method(self) -> str:
        """`export` or `import`."""
        return str(self.olds.get("method", ""))

    @property
    def operation(self) -> str:
        """The full name of the last operation; empty without one."""
        return str(self.olds.get("operation") or "")

    @property
    def news(self) -> Mapping[str, Any]:
        """The inputs that an unchanged program would give."""
        return {**self.olds, "previous": self.record}


def read_runs(text: str) -> list[StackRun]:
    """Read the imports and exports from the JSON of a stack's state, in the order of the state.

    Raises:
        StateError: the text is something else.
    """
    try:
        state = json.loads(text)
        deployment = state["deployment"]
        resources, pending = deployment.get("resources") or [], deployment.get("pending_operations") or []
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StateError(f"this is no exported state of a stack; {HOW}") from error
    awaited = {_place(each): each.get("outputs") or {} for each in _of_type(resources, _AWAITED)}
    interrupted = {_place(each["resource"]) for each in pending if _is(each.get("resource") or {}, _STARTED)}
    runs = []
    for resource in _of_type(resources, _STARTED):
        place, olds = _place(resource), resource.get("outputs") or {}
        label = str(olds.get("label") or place[1])
        runs.append(StackRun(label, olds, record_of(awaited.get(place, {})), place in interrupted))
        interrupted.discard(place)
    return runs + [StackRun(name, {}, interrupted=True) for _, name in sorted(interrupted)]


def _of_type(resources: Any, kind: str) -> Iterator[Mapping[str, Any]]:
    # A resource that is about to be deleted is no run any more.
    return (each for each in resources if _is(each, kind) and not each.get("delete"))


def _is(resource: Mapping[str, Any], kind: str) -> bool:
    return str(resource.get("type", "")).endswith(kind)


def _place(resource: Mapping[str, Any]) -> tuple[str, str]:
    """Return what start and wait of one run have in common: parent and name."""
    return str(resource.get("parent", "")), str(resource.get("urn", "")).rpartition("::")[2]
