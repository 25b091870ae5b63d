"""An import or export as two dynamic resources: `StartedOperation` posts it, `AwaitedOperation` waits for its end.

Two, because a dynamic resource that fails leaves nothing in the state: with the name of the operation in the state the
moment it exists, a run that is killed or times out while waiting goes on waiting for the same operation at the next
`pulumi up`. Nothing is started twice.

What decides about a new run is `StartedProvider.diff`. It sees what the operation came to in two ways: `previous`, the
result that the awaited resource recorded at its last success (read from the stack's own state by the program), and, for
an operation without such a record, the service itself. A refresh decides about nothing: no program reads the state for
it, so what one resource has seen is missing to the other. It shows what of a result is gone, at the awaited resource.

The provider classes are pickled by reference: their module and names are part of every stack's state and must stay.
They hold no data, and heavy imports happen inside the methods. No secret is an input: credentials come from the
`gcp:` configuration and the environment.
"""

from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    ConfigureRequest,
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

from components.provider import engine_log
from components.provider import process as provider_process
from operations.google.endpoints import ENDPOINT_KEYS

# The keys of the `gcp:` configuration that say who calls, and where.
CONFIGURATION_KEYS = (
    "accessToken",
    "credentials",
    "impersonateServiceAccount",
    *(key for keys in ENDPOINT_KEYS.values() for key in keys),
)


# Started operations that are being refreshed: they were read, and no program has had their inputs checked since.
_refreshed: set[str] = set()


class StartedProvider(ResourceProvider):
    """Starts operations, and decides when one has to be started again."""

    serialize_as_secret_always = False

    def configure(self, req: ConfigureRequest) -> None:
        """Take the credentials of the `gcp:` configuration, and stop with the engine."""
        _configure(req)

    def check(self, olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Take the inputs as they are; in a preview of a new run, say what is in its way.

        Only a program has inputs checked: what follows is no refresh.
        """
        from components.provider.starts import say_what_is_ahead

        provider_process.warn(str(news.get("urn") or ""))
        _refreshed.discard(str(olds.get("urn")))
        problems = "" if olds else say_what_is_ahead(news)
        return CheckResult(news, [CheckFailure("", problems)] if problems else [])

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Leave everything as it is: an operation was started once and for all."""
        _refreshed.add(str(props.get("urn")))
        return ReadResult(id_, props)

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Decide whether to start a new operation, and say why on the resource's row."""
        from components.provider.starts import say_what_is_ahead, why_to_start

        if str(olds.get("urn")) in _refreshed:
            return DiffResult(changes=False)
        reason = why_to_start(olds, news)
        if reason:
            engine_log.info(str(news.get("urn") or olds.get("urn") or ""), f"runs again: {reason}")
            problems = say_what_is_ahead(news)
            if problems:
                raise engine_log.Failure(problems)
        return DiffResult(changes=bool(reason))

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Start the operation."""
        from components.provider.starts import start_operation

        return CreateResult(f"{props['method']}/{props['label']}", start_operation(props))

    def update(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Start a new operation. An earlier one that still runs is cancelled first: two must not write at once."""
        from components.provider.starts import cancel, keep_if_same_result, start_operation

        kept = keep_if_same_result(news, olds)
        if kept is not None:
            return UpdateResult(kept)
        # What has ended is on the record that comes with the new inputs; the old ones are from the last start.
        cancel({**olds, "previous": news.get("previous")}, wait=True)
        return UpdateResult(start_operation(news, olds))

    def delete(self, _id: str, props: dict[str, Any]) -> None:
        """Cancel the operation if it still runs. What it imported or exported stays."""
        from components.provider.starts import cancel, forget

        cancel(props, wait=False)
        forget(props)


class AwaitedProvider(ResourceProvider):
    """Waits for started operations, verifies their results, and fails when they failed."""

    serialize_as_secret_always = False

    def configure(self, req: ConfigureRequest) -> None:
        """Take the credentials of the `gcp:` configuration, and stop with the engine."""
        _configure(req)

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Take the inputs as they are."""
        provider_process.warn(str(news.get("urn") or ""))
        return CheckResult(news, [])

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Wait again for a new operation, or judge the old one again when fewer failures are allowed."""
        if pulumi.contains_unknowns(news):
            return DiffResult(changes=True)
        outcome = olds.get("outcome") or {}
        fewer_allowed = int(news["allowedFailures"]) < int(outcome.get("failure") or 0)
        return DiffResult(
            changes=olds.get("operation") != news["operation"] or fewer_allowed or bool(outcome.get("lost"))
        )

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """See whether the result is still there. What is gone is shown as drift; the next `pulumi up` runs it again."""
        from components.provider.waits import look_again

        return ReadResult(id_, look_again(props))

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Wait for the operation."""
        from components.provider.waits import await_operation

        return CreateResult(f"{props['method']}/{props['label']}", await_operation(props))

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Wait for the operation that is new."""
        from components.provider.waits import await_operation

        return UpdateResult(await_operation(news))


class StartedOperation(Resource, module="imaging", name="StartedOperation"):
    """An operation that was posted. `operation` is its full name; `facts` is what was found before the start.

    Where there was nothing to do, `operation` is empty and `skipped` says why.
    """

    operation: pulumi.Output[str]
    facts: pulumi.Output[dict[str, Any]]
    startedAt: pulumi.Output[str]  # noqa: N815 - spelled as in the state, and as the input of the awaited operation
    filterUri: pulumi.Output[str]  # noqa: N815
    filterDigest: pulumi.Output[str]  # noqa: N815
    filterSources: pulumi.Output[dict[str, str]]  # noqa: N815
    storeSince: pulumi.Output[str]  # noqa: N815
    tableSince: pulumi.Output[str]  # noqa: N815
    skipped: pulumi.Output[str]

    def __init__(self, name: str, props: Mapping[str, Any], opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare the start.

        Args:
            name: of the resource.
            props: `label, store, method, body, filter, trigger, rerun, whenEmpty, existing, allowedFailures,
                timeout, permissionWait, maxRunning, serviceAgent, endpoint, imports, writers, previous, inPreview,
                urn`.
            opts: as for every resource.
        """
        outputs = dict.fromkeys(
            (
                "operation",
                "facts",
                "startedAt",
                "filterUri",
                "filterDigest",
                "filterSources",
                "storeSince",
                "tableSince",
                "skipped",
            )
        )
        super().__init__(StartedProvider(), name, {**props, **outputs}, opts)


class AwaitedOperation(Resource, module="imaging", name="AwaitedOperation"):
    """An operation that has ended well. `outcome` is what came of it, `left` what the next run is compared with."""

    outcome: pulumi.Output[dict[str, Any]]
    left: pulumi.Output[dict[str, Any]]
    operation: pulumi.Output[str]

    def __init__(self, name: str, props: Mapping[str, Any], opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare the wait.

        Args:
            name: of the resource.
            props: `label, store, method, body, filterUri, skipped, operation, facts, startedAt, trigger,
                allowedFailures, timeout, permissionWait, maxRunning, serviceAgent, endpoint, urn`.
            opts: as for every resource.
        """
        super().__init__(AwaitedProvider(), name, {**props, "outcome": None, "left": None}, opts)


def _configure(req: ConfigureRequest) -> None:
    from components.provider.inputs import gcp_config

    for key in CONFIGURATION_KEYS:
        value = req.config.get(f"gcp:{key}")
        if value:
            gcp_config[key] = str(value)
    provider_process.prepare()
