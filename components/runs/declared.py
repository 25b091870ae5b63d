"""What imports and exports have in common: the two resources of a run, in their own instances of the provider."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components.base.arguments import child
from components.provider.resources import CONFIGURATION_KEYS, AwaitedOperation, StartedOperation
from components.runs.state import belongings, previous_result
from operations.model.invalid import quoted
from operations.model.requests import Request, RequestError, Rerun, WhenEmpty

STARTED_TYPE = "pulumi-python:dynamic/imaging:StartedOperation"
AWAITED_TYPE = "pulumi-python:dynamic/imaging:AwaitedOperation"

DEFAULT_TIMEOUT = 6 * 3600.0
DEFAULT_PERMISSION_WAIT = 600.0
DEFAULT_MAX_RUNNING = 5

# Outputs of a start that come from what was asked for; those that repeat an input are secret where it is.
_SECRET_OUTPUTS = ["facts", "filterUri", "filterDigest", "filterSources", "skipped"]


@dataclass(kw_only=True)
class RunArgs:
    """The settings that every import and export has.

    Attributes:
        store: full name of the DICOM store.
        rerun: when it runs again: `when-inputs-change`, `when-store-changes` (instances were added, deleted or replaced
            since) or `always`.
        trigger: any text; a new one starts a new run.
        allowed_failures: instances that may fail before the run counts as failed.
        when_empty: `fail` or `skip`: what an empty store, a pattern without objects or a filter query without a result
            means. A run that is skipped starts nothing; the next `pulumi up` that finds something does.
        existing: what isn't created by this program and has to be there, of `store` and `destination` (of an import:
            the bucket that it reads). A preview names what is missing.
        timeout: seconds that one `pulumi up` waits for a free slot, and then for the end.
        permission_wait: seconds to wait for fresh grants of the service agent to take effect.
        max_running: imports and exports of the dataset that run at once; further ones queue.
        service_agent: e-mail of the Healthcare service agent, for messages.
        endpoint: the emulator's address; Google Cloud without it.
        impersonate: service account to act as.
        secret: keep secret what it is asked for and what the service says of it: in the state, in outputs, and in what
            is shown. It is so anyway where an input is a secret.
    """

    store: pulumi.Input[str]
    rerun: str = Rerun.WHEN_INPUTS_CHANGE
    trigger: pulumi.Input[str] | None = None
    allowed_failures: int = 0
    when_empty: str = WhenEmpty.FAIL
    existing: Sequence[str] = ()
    timeout: float = DEFAULT_TIMEOUT
    permission_wait: float = DEFAULT_PERMISSION_WAIT
    max_running: int = DEFAULT_MAX_RUNNING
    service_agent: pulumi.Input[str] | None = None
    endpoint: str | None = None
    impersonate: str | None = None
    secret: bool = False


@dataclass(frozen=True)
class Run:
    """The two resources of a run, and the record of its last success."""

    started: StartedOperation
    awaited: AwaitedOperation
    previous: pulumi.Output[dict[str, Any]]


def declare_run(
    component: pulumi.ComponentResource,
    name: str,
    args: RunArgs,
    request: Request,
    opts: pulumi.ResourceOptions | None,
    chosen: pulumi.Input[Mapping[str, Any]] | None = None,
    imports: Mapping[str, pulumi.Input[str]] | None = None,
    writers: Mapping[str, pulumi.Input[str]] | None = None,
) -> Run:
    """Declare start and wait as children of a component.

    Args:
        component: the import or export.
        name: of the component, also in messages.
        args: the settings.
        request: what to do, without a filter; its store stands in for the one of the settings.
        opts: the component's options; both children wait for what it depends on.
        chosen: the filter, as `operations.run.filter_objects.prepare_filter` takes it.
        imports: since when each import has filled the store, by its name.
        writers: since when each earlier export that replaces the table's rows has filled it, by its name.

    Raises:
        RequestError: settings can't be right.
    """
    _check(args)
    secret = True if args.secret else _any_secret(args.store, args.trigger, args.service_agent, chosen)

    def kept(value: Any) -> Any:
        return pulumi.Output.secret(value) if args.secret and value is not None else value

    parent_urn = _without_dependency(component.urn)
    started_urn = pulumi.create_urn(name, STARTED_TYPE, parent_urn)
    awaited_urn = pulumi.create_urn(name, AWAITED_TYPE, parent_urn)
    previous = previous_result(awaited_urn)
    common: dict[str, Any] = {
        "label": name,
        "store": args.store,
        "method": request.method,
        "body": kept(request.body()),
        "trigger": kept(args.trigger),
        "allowedFailures": args.allowed_failures,
        "timeout": args.timeout,
        "permissionWait": args.permission_wait,
        "maxRunning": args.max_running,
        "serviceAgent": args.service_agent,
        "endpoint": args.endpoint,
        "impersonate": kept(args.impersonate),
        # Whether texts are withheld from what is shown: providers get secrets in clear, and can't tell by themselves.
        "secret": secret,
    }
    started = StartedOperation(
        name,
        {
            **common,
            "filter": kept(chosen),
            "imports": imports,
            "writers": writers,
            "rerun": str(args.rerun),
            "whenEmpty": str(args.when_empty),
            "existing": list(args.existing),
            "previous": kept(previous),  # what was found to be gone is named in it
            # A provider isn't told otherwise whether it is asked for a preview. A value that isn't known is unlike any
            # other, so `pulumi up --plan`, which holds what a preview knew, takes any for it.
            "inPreview": pulumi.UNKNOWN if pulumi.runtime.is_dry_run() else False,
            "urn": started_urn,
        },
        child(component, opts, additional_secret_outputs=_SECRET_OUTPUTS if args.secret else None),
    )
    awaited = AwaitedOperation(
        name,
        {
            **common,
            "operation": started.operation,
            "facts": started.facts,
            "startedAt": started.startedAt,
            "filterUri": started.filterUri,
            "skipped": started.skipped,
            "urn": awaited_urn,
        },
        child(
            component,
            opts,
            provider=waits_provider(),
            additional_secret_outputs=["outcome"] if args.secret else None,
        ),
    )
    return Run(started, awaited, previous)


def _any_secret(*values: pulumi.Input[Any] | None) -> pulumi.Output[bool | None]:
    """Return whether any of these is a secret; None if not, so that nothing is added to a run without secrets."""

    async def read() -> bool | None:
        return True if await pulumi.Output.all(*values).is_secret() else None

    return pulumi.Output.from_input(read())


def _check(args: RunArgs) -> None:
    problems = []
    if args.rerun not in list(Rerun):
        problems.append(("rerun", f"{quoted(str(args.rerun))} is unknown; choose {', '.join(Rerun)}"))
    if args.when_empty not in list(WhenEmpty):
        problems.append(("when_empty", f"{quoted(str(args.when_empty))} is unknown; choose {' or '.join(WhenEmpty)}"))
    for field, least in (("allowed_failures", 0), ("timeout", 0), ("permission_wait", 0), ("max_running", 1)):
        if getattr(args, field) < least:
            problems.append((field, f"is {getattr(args, field)}; it must be {least} or more"))
    if problems:
        raise RequestError(problems)


def waits_provider(name: str = "waits") -> pulumi.ProviderResource:
    """Return the instance of the dynamic provider in which all waits of the program run.

    In a process of their own they share what is read of the operations and keep nothing from the starts. Its name is
    part of every stack's state: a resource whose provider changes is replaced.

    Args:
        name: what it is called if this call makes it. In a component package every component is a program of its own
            in the same stack, and needs one of its own name.
    """
    program = belongings()
    if "waits" not in program:
        config = pulumi.Config("gcp")
        # Unlike the default instance, this one isn't given the stack's configuration by the engine. Like those of
        # the Google provider itself, credentials in it are kept in the state as secrets.
        given = {f"gcp:{key}": config.get_secret(key) for key in CONFIGURATION_KEYS if _is_set(key)}
        program["waits"] = pulumi.ProviderResource("pulumi-python", name, given)
    provider: pulumi.ProviderResource = program["waits"]
    return provider


def _is_set(key: str) -> bool:
    # `Config.get` would warn that a secret is read as plain text; whether there is one is all that counts here.
    return bool(pulumi.runtime.get_config(f"gcp:{key}"))


def _without_dependency(urn: pulumi.Output[str]) -> pulumi.Output[str]:
    """Return a URN that carries no dependency: a child that depends on its own parent would be a circle."""

    async def read() -> str:
        return await urn.future() or ""

    return pulumi.Output.from_input(read())
