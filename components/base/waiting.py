"""Waiting for what was granted, enabled or made a moment ago and has not taken effect yet.

A grant takes up to some minutes to spread (https://cloud.google.com/iam/docs/access-change-propagation), a new service
agent or a newly enabled API too. A resource that needs one of them is refused until then. Pulumi's hooks tell what this
update made (`remembered`), and have a refused resource tried again (`awaiting`): only a resource that was refused in
words that pass by themselves waits, and only if this update made something that it uses. So nothing waits in an
update that grants nothing, and a refusal of the caller ends at once.

Imports and exports wait by themselves: operations.run.start.
"""

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import pulumi
from pulumi.runtime import settings
from pulumi.runtime.proto import engine_pb2, resource_pb2

from operations.google.refusals import names_service_agent
from operations.model.durations import format_duration

DEFAULT_PERMISSION_WAIT = 600.0

_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 1.0, 20.0, 1.5
# The engine ends after 100 tries; the pauses grow so far that a long wait stays below that.
_LONGEST_PAUSE_PART = 1 / 60

# A service that can't use a key yet. The words are those of BigQuery, Cloud Storage, Pub/Sub and Cloud KMS; the right
# to change a key's policy is the caller's own.
_KEY_WORDS = re.compile(
    r"useTo(?:En|De)crypt|Permission denied on Cloud KMS key|Cloud KMS CryptoKey Encrypter/Decrypter", re.IGNORECASE
)
_AGENT_MISSING = re.compile(r"Service account \S+ does not exist", re.IGNORECASE)
_API_DISABLED = re.compile(r"has not been used in project \S+ before or it is disabled", re.IGNORECASE)
_NEW_DATASET = re.compile(r"dataset not initialized", re.IGNORECASE)

_SERVICE = "gcp:projects/service:Service"
_AGENT = re.compile(
    r"serviceAccount:(?:service-\d+@(?:gcp-sa-[a-z-]+|gs-project-accounts)|bq-\d+@bigquery-encryption)"
    r"\.iam\.gserviceaccount\.com"
)


@dataclass(frozen=True)
class Made:
    """A grant that this update made, or an API that it enabled: type and inputs of the resource."""

    kind: str
    inputs: Mapping[str, Any]


def awaited(message: str, inputs: Mapping[str, Any], made: Sequence[Made]) -> str | None:
    """Return what a refusal says is missing, if this update made it.

    Args:
        message: the provider's error.
        inputs: those of the resource that was refused.
        made: by this update, so far.

    Returns:
        A name for a person; None if nothing is to be expected from waiting.
    """
    if _AGENT_MISSING.search(message):
        return "a new service agent" if _AGENT.fullmatch(str(inputs.get("member"))) else None
    if _NEW_DATASET.search(message):
        return "the new dataset"
    if _API_DISABLED.search(message):
        return "a newly enabled API" if _uses_any(inputs, [each for each in made if each.kind == _SERVICE]) else None
    if _is_about_a_grant(message):
        return "a new grant" if _uses_any(inputs, [each for each in made if each.kind != _SERVICE]) else None
    return None


TryKey = Callable[[Mapping[str, Any]], str | None]


def _is_about_a_grant(message: str) -> bool:
    return bool(_KEY_WORDS.search(message)) or names_service_agent(message)


_TAKEN_AWAY = "a grant of this stack that somebody took away is made again with `pulumi up --refresh`"


class _Program:
    """What one program has to remember while it runs: what it made, and how long it waits."""

    def __init__(self) -> None:
        self.permission_wait = DEFAULT_PERMISSION_WAIT
        self.made: list[Made] = []
        self.refused_since: dict[str, float] = {}
        self.try_key: TryKey | None = None
        self.await_key = pulumi.ResourceHook("imaging:await-key", self._await_key)
        self.remember = pulumi.ResourceHook("imaging:remember", self._remember)
        self.wait = pulumi.ErrorHook("imaging:await-permissions", self._wait)

    async def _remember(self, args: pulumi.ResourceHookArgs) -> None:
        self.made.append(Made(args.type, await _known(args.new_inputs)))

    async def _wait(self, args: pulumi.ErrorHookArgs) -> bool:
        message = args.errors[0]
        if pulumi.runtime.is_dry_run() or args.failed_operation == "delete":
            return False
        what = awaited(message, await _known(args.new_inputs), self.made)
        if what is None:
            if _is_about_a_grant(message):
                _say(args.urn, _TAKEN_AWAY, engine_pb2.WARNING)
            return False
        return await self._pause(args.urn, what, len(args.errors) - 1)

    async def _await_key(self, args: pulumi.ResourceHookArgs) -> None:
        """Hold a Healthcare dataset back until its key can be used: the provider doesn't say when it can't."""
        inputs = await _known(args.new_inputs)
        if self.try_key is None or not inputs.get("encryptionSpec"):
            return
        tries = 0
        while _uses_any(inputs["encryptionSpec"], [each for each in self.made if each.kind != _SERVICE]):
            refusal = await asyncio.to_thread(self.try_key, inputs)
            # What waiting doesn't mend, the creation says itself.
            if refusal is None or not _is_about_a_grant(refusal):
                return
            if not await self._pause(args.urn, "a new grant", tries):
                return
            tries += 1

    async def _pause(self, urn: str, what: str, tries: int) -> bool:
        """Pause before another try; the pauses grow. Returns whether there is time for one."""
        now = time.monotonic()
        waited = now - self.refused_since.setdefault(urn, now)
        pause = min(
            _FIRST_PAUSE * _GROWTH**tries,
            max(_LONGEST_PAUSE, self.permission_wait * _LONGEST_PAUSE_PART),
            self.permission_wait - waited,
        )
        limit = f"{format_duration(self.permission_wait)} (imaging:permissionWait)"
        if pause <= 0:
            _say(urn, f"{what} did not take effect within {limit}", engine_pb2.WARNING)
            return False
        _say(urn, f"waiting for {what} to take effect: {format_duration(waited)} of at most {limit}")
        await asyncio.sleep(pause)
        return True


def awaiting() -> pulumi.ResourceHookBinding | None:
    """Return the hooks of a resource that may need what was made a moment ago."""
    program = _program()
    return pulumi.ResourceHookBinding(on_error=[program.wait]) if program else None


def awaiting_key() -> pulumi.ResourceHookBinding | None:
    """Return the hooks of a Healthcare dataset with a key."""
    program = _program()
    if program is None:
        return None
    return pulumi.ResourceHookBinding(before_create=[program.await_key], on_error=[program.wait])


def remembered() -> pulumi.ResourceHookBinding | None:
    """Return the hooks of a grant or an API that others may wait for, and that itself may need a new service agent."""
    program = _program()
    return pulumi.ResourceHookBinding(after_create=[program.remember], on_error=[program.wait]) if program else None


def wait_at_most(seconds: float, try_key: TryKey | None = None) -> None:
    """Set how long each resource of the running program waits.

    Args:
        seconds: 0 to wait for nothing.
        try_key: takes the inputs of a Healthcare dataset and returns in the service's words why its key can't be used,
            None if it can. Without it no dataset is held back.
    """
    program = _program()
    if program:
        program.permission_wait = seconds
        program.try_key = try_key


_programs: "WeakKeyDictionary[Any, _Program]" = WeakKeyDictionary()


def _program() -> _Program | None:
    """Return what belongs to the running program; None where hooks can't be used.

    That is with an engine that is too old for them, and in a component package: there every component is a program of
    its own, and the engine takes each hook's name once.
    """
    root = pulumi.runtime.get_root_resource()
    hooks = resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_HOOKS, resource_pb2.RESOURCE_MONITOR_FEATURE_ERROR_HOOKS
    if root is None or not all(settings.monitor_supports_feature(each) for each in hooks):
        return None
    if root not in _programs:
        _programs[root] = _Program()
    return _programs[root]


def _uses_any(inputs: Mapping[str, Any], made: Sequence[Made]) -> bool:
    """Tell whether a resource names what one of these grants is on, or the project of one of these APIs."""
    used = set(_texts(inputs))
    return any(name in text for each in made for name in _names_of(each) for text in used)


def _names_of(made: Made) -> Iterator[str]:
    """Yield what a grant is on, or where an API is enabled, as the resources that use it name it."""
    inputs = made.inputs
    if made.kind == "gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember":
        yield inputs["cryptoKeyId"]
    elif made.kind == "gcp:pubsub/topicIAMMember:TopicIAMMember":
        yield f"projects/{inputs['project']}/topics/{inputs['topic']}"
    elif made.kind == "gcp:bigquery/datasetIamMember:DatasetIamMember":
        yield f"bq://{inputs['project']}.{inputs['datasetId']}"
    elif made.kind in ("gcp:projects/iAMMember:IAMMember", _SERVICE):
        yield inputs["project"]


async def _known(inputs: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return inputs with those that are secret as plain values."""
    return await pulumi.Output.from_input({**(inputs or {})}).future() or {}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


def _say(urn: str, text: str, severity: Any = engine_pb2.INFO) -> None:
    """Show a text on the resource's row: `pulumi.log` takes a resource, and a hook is only told its name."""
    engine = settings.get_engine()
    if engine is not None:
        engine.Log(engine_pb2.LogRequest(severity=severity, message=text, urn=urn))
