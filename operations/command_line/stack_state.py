"""The imports and exports in the state of a stack, as `pulumi stack export` writes it. Nothing is changed."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from operations.model.invalid import InputError
from operations.run.record import Record, record_of

HOW = "write `pulumi stack export | python -m operations plan`"
# How the engine marks a secret: https://github.com/pulumi/pulumi/blob/master/sdk/go/common/resource/sig/sig.go
_SIGNATURE = "4dabf18193072939515e22adb298388d"
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
        record: of its last success.
        interrupted: whether the state doesn't know how its last start ended.
        hidden: settings that are secret and whose values the text doesn't have.
    """

    label: str
    olds: Mapping[str, Any]
    record: Record = field(default_factory=Record)
    interrupted: bool = False
    hidden: tuple[str, ...] = ()

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
        return {**self.olds, "previous": self.record.to_json()}


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
    awaited = {_place(each): _revealed(each.get("outputs") or {})[0] for each in _of_type(resources, _AWAITED)}
    interrupted = {_place(each["resource"]) for each in pending if _is(each.get("resource") or {}, _STARTED)}
    runs = []
    for resource in _of_type(resources, _STARTED):
        place, (olds, hidden) = _place(resource), _revealed(resource.get("outputs") or {})
        label = str(olds.get("label") or place[1])
        runs.append(StackRun(label, olds, record_of(awaited.get(place, {})), place in interrupted, hidden))
        interrupted.discard(place)
    return runs + [StackRun(name, {}, interrupted=True) for _, name in sorted(interrupted)]


def _revealed(outputs: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return outputs without the engine's marks of secrets, and the names of those that are encrypted.

    `pulumi stack export --show-secrets` writes the JSON text of a secret as `plaintext`, without the option there is
    only a `ciphertext`.
    """
    found, hidden = {}, []
    for key, value in outputs.items():
        try:
            found[key] = _plain(value)
        except _EncryptedError:
            hidden.append(key)
    return found, tuple(hidden)


class _EncryptedError(Exception):
    """A value, or a part of it, is encrypted."""


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        if _SIGNATURE not in value:
            return {key: _plain(item) for key, item in value.items()}
        if "plaintext" not in value:
            raise _EncryptedError
        return _plain(json.loads(value["plaintext"]))
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _of_type(resources: Any, kind: str) -> Iterator[Mapping[str, Any]]:
    # A resource that is about to be deleted is no run any more.
    return (each for each in resources if _is(each, kind) and not each.get("delete"))


def _is(resource: Mapping[str, Any], kind: str) -> bool:
    return str(resource.get("type", "")).endswith(kind)


def _place(resource: Mapping[str, Any]) -> tuple[str, str]:
    """Return what start and wait of one run have in common: parent and name."""
    return str(resource.get("parent", "")), str(resource.get("urn", "")).rpartition("::")[2]
