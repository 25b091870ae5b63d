"""An import or export as two dynamic resources: `StartedOperation` posts it, `AwaitedOperation` waits for its end.

Two, because a dynamic resource that fails leaves nothing in the state: with the name of the operation in the state the
moment it exists, a run that is killed or times out while waiting goes on waiting for the same operation at the next
`pulumi up`. Nothing is started twice.

What decides about a new run is `StartedProvider.diff`. It sees what the operation came to in two ways: `previous`, the
result that the awaited resource recorded at its last success (read from the stack's own state by the program), and, for
an operation without such a record, the service itself.

The provider classes are pickled by reference: their module and names are part of every stack's state and must stay.
They hold no data, and heavy imports happen inside the methods. No secret is an input: credentials come from the
`gcp:` configuration and the environment.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.dynamic import (
    ConfigureRequest,
    CreateResult,
    DiffResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

from components import engine_log, provider_process

if TYPE_CHECKING:
    from operations.connection import Connection
    from operations.journal import Journal
    from operations.outcome import Outcome
    from operations.requests import Request
    from operations.wait import Waiter

# The keys of the `gcp:` configuration that say who calls.
CREDENTIAL_KEYS = ("accessToken", "credentials", "impersonateServiceAccount")
# A preview asks the service, but not for long.
_PREVIEW_SECONDS = 5.0
_CANCEL_SECONDS = 60.0
_ERRORS_KEPT = 50

_gcp_config: dict[str, str] = {}
_connections: dict[str, "Connection"] = {}
_waiters: dict[str, "Waiter"] = {}


class StartedProvider(ResourceProvider):
    """Starts operations, and decides when one has to be started again."""

    serialize_as_secret_always = False

    def configure(self, req: ConfigureRequest) -> None:
        """Take the credentials of the `gcp:` configuration, and stop with the engine."""
        _configure(req)

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Decide whether to start a new operation, and say why on the resource's row."""
        _seen(olds, news)
        reason = _reason_to_run(olds, news)
        if reason:
            engine_log.info(str(news.get("urn") or olds.get("urn") or ""), f"runs again: {reason}")
        return DiffResult(changes=bool(reason))

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Start the operation."""
        return CreateResult(f"{props['method']}/{props['label']}", _start(props))

    def update(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Start a new operation. An earlier one that still runs is cancelled first: two must not write at once."""
        _cancel(olds, wait=True)
        return UpdateResult(_start(news, olds))

    def delete(self, _id: str, props: dict[str, Any]) -> None:
        """Cancel the operation if it still runs. What it imported or exported stays."""
        _cancel(props, wait=False)
        _forget(props)


class AwaitedProvider(ResourceProvider):
    """Waits for started operations, verifies their results, and fails when they failed."""

    serialize_as_secret_always = False

    def configure(self, req: ConfigureRequest) -> None:
        """Take the credentials of the `gcp:` configuration, and stop with the engine."""
        _configure(req)

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Wait again for a new operation, or judge the old one again when fewer failures are allowed."""
        if pulumi.contains_unknowns(news):
            return DiffResult(changes=True)
        fewer_allowed = int(news["allowedFailures"]) < int(olds.get("outcome", {}).get("failure", 0))
        return DiffResult(changes=olds.get("operation") != news["operation"] or fewer_allowed)

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Wait for the operation."""
        return CreateResult(f"{props['method']}/{props['label']}", _await(props))

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Wait for the operation that is new."""
        return UpdateResult(_await(news))


class StartedOperation(Resource, module="imaging", name="StartedOperation"):
    """An operation that was posted. `operation` is its full name; `facts` is what was found before the start."""

    operation: pulumi.Output[str]
    facts: pulumi.Output[dict[str, Any]]
    started_at: pulumi.Output[str]
    filter_uri: pulumi.Output[str]
    filter_digest: pulumi.Output[str]

    def __init__(self, name: str, props: Mapping[str, Any], opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare the start.

        Args:
            name: of the resource.
            props: `label, store, method, body, filter, trigger, rerun, allowedFailures, permissionWait, maxRunning,
                serviceAgent, endpoint, previous, inPreview, urn`.
            opts: as for every resource.
        """
        outputs = dict.fromkeys(("operation", "facts", "started_at", "filter_uri", "filter_digest"))
        super().__init__(StartedProvider(), name, {**props, **outputs}, opts)


class AwaitedOperation(Resource, module="imaging", name="AwaitedOperation"):
    """An operation that has ended well. `outcome` is what came of it."""

    outcome: pulumi.Output[dict[str, Any]]
    operation: pulumi.Output[str]

    def __init__(self, name: str, props: Mapping[str, Any], opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare the wait.

        Args:
            name: of the resource.
            props: `label, store, method, body, filterUri, operation, facts, startedAt, trigger, allowedFailures,
                timeout, permissionWait, maxRunning, serviceAgent, endpoint, urn`.
            opts: as for every resource.
        """
        super().__init__(AwaitedProvider(), name, {**props, "outcome": None}, opts)


# Starting


def _start(props: Mapping[str, Any], olds: Mapping[str, Any] | None = None) -> dict[str, Any]:
    from operations.checks import check_start
    from operations.clock import InterruptedWaitError
    from operations.errors import OperationsError
    from operations.filter_objects import prepare_filter
    from operations.invalid import InputError
    from operations.start import resume, start

    connection, clock, journal = _connection(props), provider_process.clock, _journal(props)
    urn = str(props["urn"])
    _seen(olds or {}, props)
    try:
        with engine_log.ProgressLine(urn, "preparing the start") as show:
            chosen = props.get("filter")
            prepared = prepare_filter(connection, str(props["label"]), chosen, clock) if chosen else None
            request = _request(props, prepared.uri if prepared else None)
            started = resume(
                connection,
                request,
                journal,
                allowed_failures=int(props["allowedFailures"]),
                say=show,
                note=lambda text: engine_log.info(urn, text),
                clock=clock,
            ) or start(
                connection,
                request,
                facts=check_start(connection, request, clock, filter_summary=prepared.summary if prepared else None),
                limits=_limits(props),
                service_agent=_text(props, "serviceAgent"),
                say=show,
                clock=clock,
                journal=journal,
            )
    except InterruptedWaitError as error:
        raise engine_log.Failure(f'{_kind(props)} "{props["label"]}": interrupted before it was started') from error
    except (OperationsError, InputError) as error:
        raise engine_log.Failure(f'{_kind(props)} "{props["label"]}" could not be started: {error}') from error
    return {
        **props,
        "operation": started.operation,
        "facts": started.facts.to_json(),
        "started_at": started.time,
        "filter_uri": prepared.uri if prepared else "",
        "filter_digest": prepared.digest if prepared else "",
    }


def _limits(props: Mapping[str, Any]) -> Any:
    from operations.start import StartLimits

    return StartLimits(permission_wait=float(props["permissionWait"]), max_running=int(props["maxRunning"]))


def _cancel(props: Mapping[str, Any], *, wait: bool) -> None:
    """Cancel the operation of a started resource if it is still running."""
    from operations.record import recorded

    operation = props.get("operation")
    if not operation or recorded(props).get("operation") == operation:
        return  # its end is on record
    _cancel_operation(props, str(operation), _CANCEL_SECONDS if wait else 0)


def _cancel_operation(props: Mapping[str, Any], operation: str, wait: float) -> None:
    from operations.errors import OperationsError
    from operations.reading import cancel_running
    from operations.retrying import Patience

    def say(text: str) -> None:
        engine_log.info(str(props["urn"]), text)

    try:
        cancel_running(_connection(props), operation, wait=wait, say=say, patience=Patience(_PREVIEW_SECONDS))
    except OperationsError as error:
        raise engine_log.Failure(f"operation {operation} could not be cancelled: {error}") from error


# The journal of starts


def _journal(props: Mapping[str, Any], instead_of: str = "") -> "Journal":
    """Return the journal of a run, for its start and its wait alike."""
    from operations.journal import Journal

    return Journal(
        journal_folder(os.environ),
        _started_urn(props),
        endpoint=_text(props, "endpoint") or "",
        trigger=_text(props, "trigger") or "",
        instead_of=instead_of,
    )


def journal_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder of the journal: `IMAGING_JOURNAL`, or one beside what else Pulumi keeps for this user."""
    home = environment.get("PULUMI_HOME") or Path.home() / ".pulumi"
    return Path(environment.get("IMAGING_JOURNAL") or Path(home) / "imaging" / "starts")


def _started_urn(props: Mapping[str, Any]) -> str:
    return str(props["urn"]).replace("AwaitedOperation", "StartedOperation")


def _seen(olds: Mapping[str, Any], news: Mapping[str, Any]) -> None:
    """Tell the journal what the state knows."""
    from operations.record import recorded

    if not _text(news, "urn"):
        return
    record = recorded(news)
    known = {olds.get("operation"), record.get("operation"), record.get("ended")}
    _journal(news).seen([str(each) for each in known if each], _text(olds, "started_at") or "")


def _forget(props: Mapping[str, Any]) -> None:
    """Take a deleted resource out of the journal, unless its replacement is what stands there."""
    journal = _journal(props)
    entry, operation = journal.open_entry, props.get("operation")
    if entry is not None and entry.operation and entry.instead_of == operation:
        _cancel_operation(props, entry.operation, 0)
    if entry is not None and operation in (entry.operation, entry.instead_of):
        journal.settle()


# Deciding about a new run


def _reason_to_run(olds: Mapping[str, Any], news: Mapping[str, Any]) -> str | None:
    from operations.errors import OperationsError
    from operations.invalid import InputError
    from operations.rerun import RUN_INPUTS, reason_to_run

    if not olds.get("operation"):
        return "it never started"
    if pulumi.contains_unknowns({key: news.get(key) for key in RUN_INPUTS}):
        return "its inputs are known only after other resources have changed"
    try:
        return reason_to_run(_connection(news), olds, news)
    except (OperationsError, InputError) as error:
        # Whatever isn't known to be no preview is one.
        if news.get("inPreview") is False:
            raise engine_log.Failure(
                f'{_kind(news)} "{news["label"]}": can\'t see whether a new run is needed: {error}'
            ) from error
        engine_log.warning(
            str(news.get("urn") or ""), f"can't see whether a new run is needed, so none is planned: {error}"
        )
        return None


# Waiting


def _await(props: Mapping[str, Any]) -> dict[str, Any]:
    from operations.checks import facts_from_json
    from operations.clock import InterruptedWaitError
    from operations.errors import OperationsError
    from operations.follow import follow
    from operations.invalid import InputError
    from operations.report import conclude, failure_report, problem_of
    from operations.wait import OperationGoneError, WaitTimeoutError

    connection, urn, operation = _connection(props), str(props["urn"]), str(props["operation"])
    facts, allowed = facts_from_json(props["facts"]), int(props["allowedFailures"])
    title = f'{_kind(props)} "{props["label"]}"'
    again = f"`pulumi up --replace '{_started_urn(props)}'`"
    journal = _journal(props, instead_of=operation)
    journal.seen([operation])  # the engine saves the start before it asks for the wait

    def restarted(name: str) -> None:
        nonlocal operation
        operation = name
        engine_log.info(urn, f"started anew, as permissions may have taken effect: {name}")

    try:
        request = _request(props, _text(props, "filterUri"))
        with engine_log.ProgressLine(urn, "waiting for the operation") as show:
            outcome = follow(
                connection,
                request,
                operation,
                waiter=_waiter(props),
                started_at=str(props["startedAt"]),
                facts=facts,
                limits=_limits(props),
                timeout=float(props["timeout"]),
                on_progress=lambda progress: show(str(progress)),
                say=show,
                on_restart=restarted,
                clock=provider_process.clock,
                journal=journal,
            )
            show("checking the result")
            outcome = conclude(connection, outcome, request, facts, provider_process.clock)
    except InterruptedWaitError as error:
        raise engine_log.Failure(
            f"{title}: interrupted; operation {operation} goes on\n  do      run `pulumi up` to go on waiting for it"
        ) from error
    except WaitTimeoutError as error:
        raise engine_log.Failure(
            f"{title}: {error}\n  do      run `pulumi up` to go on waiting for the same operation; "
            "`timeout` bounds the wait of one run"
        ) from error
    except OperationGoneError as error:
        raise engine_log.Failure(f"{title}: {error}\n  do      run `pulumi up` to start a new one") from error
    except (OperationsError, InputError) as error:
        raise engine_log.Failure(f"{title}: {error}") from error
    if problem_of(outcome, allowed):
        raise engine_log.Failure(
            failure_report(
                str(props["label"]),
                request,
                outcome,
                allowed_failures=allowed,
                service_agent=_text(props, "serviceAgent"),
                again=again,
            )
        )
    engine_log.info(urn, _summary(outcome))
    return {**props, "outcome": _outcome_to_json(connection, props, request, outcome)}


def _summary(outcome: "Outcome") -> str:
    from operations.report import success_report

    return success_report(None, outcome)


def _outcome_to_json(
    connection: "Connection", props: Mapping[str, Any], request: "Request", outcome: "Outcome"
) -> dict[str, Any]:
    from operations.report import rows_in_table

    result: dict[str, Any] = {
        "operation": outcome.operation,
        "state": outcome.state.value,
        "success": outcome.success,
        "failure": outcome.failure,
        "pending": outcome.pending,
        "startTime": outcome.start_time,
        "endTime": outcome.end_time,
        "destination": request.destination,
        "logsUrl": outcome.logs_url,
        "errors": [
            {"source": item.source, "message": item.message, "code": item.code}
            for item in outcome.item_errors[:_ERRORS_KEPT]
        ],
        "checks": [str(check) for check in outcome.checks],
    }
    rows = rows_in_table(request, outcome)
    if rows is not None:
        result["rows"] = rows
    if props["method"] == "import":
        result["metrics"] = _metrics_after(connection, request)
    return result


def _metrics_after(connection: "Connection", request: "Request") -> dict[str, Any] | None:
    from operations.errors import OperationsError
    from operations.metrics import read_store_metrics

    try:
        return read_store_metrics(connection, request.store).to_json()
    except OperationsError:
        return None


# What both need


def _request(props: Mapping[str, Any], filter_uri: str | None) -> "Request":
    from operations.requests import request_from_body

    body = dict(props["body"])
    if filter_uri:
        body["filterConfig"] = {"resourcePathsGcsUri": filter_uri}
    return request_from_body(str(props["store"]), str(props["method"]), body)


def _configure(req: ConfigureRequest) -> None:
    for key in CREDENTIAL_KEYS:
        value = req.config.get(f"gcp:{key}")
        if value:
            _gcp_config[key] = str(value)
    provider_process.prepare()


def _connection(props: Mapping[str, Any]) -> "Connection":
    from operations.connection import Connection, connection_settings

    endpoint = _text(props, "endpoint")
    account = _text(props, "impersonate") or _gcp_config.get("impersonateServiceAccount")
    key = f"{endpoint} {account}"
    if key not in _connections:
        settings = connection_settings(
            endpoint,
            access_token=_gcp_config.get("accessToken"),
            credentials=_gcp_config.get("credentials"),
            impersonate=account,
        )
        _connections.setdefault(key, Connection(settings))
    return _connections[key]


def _waiter(props: Mapping[str, Any]) -> "Waiter":
    from operations.wait import Waiter

    connection = _connection(props)
    return _waiters.setdefault(f"{id(connection)}", Waiter(connection, provider_process.clock))


def _kind(props: Mapping[str, Any]) -> str:
    return str(props["method"])


def _text(props: Mapping[str, Any], key: str) -> str | None:
    value = props.get(key)
    return value if isinstance(value, str) and value else None
