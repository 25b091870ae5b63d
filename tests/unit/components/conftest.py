"""Runs components without an engine and shows what they declared."""

import asyncio
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_gcp
import pytest
from pulumi.runtime import mocks as pulumi_mocks
from pulumi.runtime import rpc

with warnings.catch_warnings():
    # The provider's package, which loads its modules when they are used, warns of some of its own.
    warnings.simplefilter("ignore", DeprecationWarning)
    # Any attribute makes one load.
    for module in ("bigquery", "healthcare", "kms", "organizations", "projects", "pubsub", "storage"):
        hasattr(getattr(pulumi_gcp, module), "loaded")

PROJECT_NUMBERS = {"hospital-imaging": "4711", "research-analytics": "815"}
TABLE_COLUMNS = '[{"name": "StudyInstanceUID"}, {"name": "SOPInstanceUID"}]'


@dataclass(frozen=True)
class Declared:
    """One resource as the engine would hear of it."""

    type: str
    name: str
    inputs: dict[str, Any]
    parent: str
    """Type and name of the parent, as `imaging:index:Bucket inbox`; empty at the top."""
    protect: bool
    after: set[str]
    """Names of the resources that it depends on."""
    provider: str
    """Name of its provider; empty for the default one."""
    aliases: list[str]
    delete_before_replace: bool


class _Mocks(pulumi_mocks.Mocks):
    """Answers as Google would: ids for resources, a number for a project."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def new_resource(self, args: pulumi_mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        outputs = dict(args.inputs)
        if args.typ == "gcp:projects/serviceIdentity:ServiceIdentity":
            outputs["email"] = f"{outputs['service'].partition('.')[0]}-agent-of-{outputs['project']}"
        if args.typ == "pulumi-python:dynamic/imaging:AwaitedOperation":
            outputs["outcome"] = {"state": "succeeded", "success": 2, "failure": 0, "rows": 2}
        if args.typ == "pulumi-python:dynamic/imaging:StartedOperation":
            outputs["tableSince"] = f"the last run of {args.name}"
        return _id_of(args.typ, args.name, args.inputs), outputs

    def call(self, args: pulumi_mocks.MockCallArgs) -> Any:
        self.calls.append((args.token, dict(args.args)))
        if args.token == "gcp:organizations/getProject:getProject":
            return {"number": PROJECT_NUMBERS.get(args.args["projectId"], "99")}
        if args.token == "gcp:storage/getProjectServiceAccount:getProjectServiceAccount":
            return {"emailAddress": f"storage-agent-of-{args.args['project']}"}
        if args.token == "gcp:bigquery/getDefaultServiceAccount:getDefaultServiceAccount":
            return {"email": f"bigquery-agent-of-{args.args['project']}"}
        if args.token == "gcp:bigquery/getTables:getTables":
            return {"tables": [{"tableId": "instances", "labels": {}}]}
        if args.token == "gcp:bigquery/getTable:getTable":
            return {"schema": TABLE_COLUMNS}
        if args.token == "pulumi:pulumi:readStackResourceOutputs":
            return {"outputs": {}}
        raise AssertionError(f"unexpected call {args.token}")


class _Monitor(pulumi_mocks.MockMonitor):
    """Keeps what the mocks alone don't see: parents, dependencies and the other options."""

    def __init__(self, mocks: pulumi_mocks.Mocks) -> None:
        super().__init__(mocks)
        self.declared: list[Declared] = []

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 (the name of the call)
        answer = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        if request.type != "pulumi:pulumi:Stack":
            self.declared.append(
                Declared(
                    type=request.type,
                    name=request.name,
                    inputs=rpc.deserialize_properties(request.object),
                    parent=_short(request.parent),
                    protect=request.protect,
                    after={urn.rsplit("::", 1)[-1] for urn in request.dependencies},
                    provider=request.provider.split("::")[3] if request.provider else "",
                    aliases=[alias.spec.name for alias in request.aliases],
                    delete_before_replace=request.deleteBeforeReplace,
                )
            )
        return answer


def _short(urn: str) -> str:
    if not urn:
        return ""
    kind, name = urn.rsplit("::", 2)[-2:]
    if kind == "pulumi:pulumi:Stack":
        return ""
    return f"{kind.split('$')[-1]} {name}"


def _id_of(kind: str, name: str, inputs: dict[str, Any]) -> str | None:
    """Return ids of the official provider's form, for the resources whose id others are made of."""
    if kind == "gcp:healthcare/dataset:Dataset":
        return f"projects/{inputs['project']}/locations/{inputs['location']}/datasets/{inputs['name']}"
    if kind == "gcp:healthcare/dicomStore:DicomStore":
        return f"{inputs['dataset']}/dicomStores/{inputs['name']}"
    if kind == "gcp:bigquery/dataset:Dataset":
        return f"projects/{inputs['project']}/datasets/{inputs['datasetId']}"
    if kind == "gcp:pubsub/topic:Topic":
        return f"projects/{inputs['project']}/topics/{inputs['name']}"
    return f"{name}_id" if kind.startswith("gcp:") else None


@dataclass(frozen=True)
class Program:
    """What a program declared, called and put out."""

    declared: list[Declared]
    calls: list[tuple[str, dict[str, Any]]]
    result: Any

    def one(self, kind: str, name: str | None = None) -> Declared:
        """Return the only resource of a type, and of a name if one is given."""
        (found,) = self.all(kind, name)
        return found

    def all(self, kind: str, name: str | None = None) -> list[Declared]:
        """Return the resources of a type."""
        return [each for each in self.declared if each.type == kind and name in (None, each.name)]

    def names(self, kind: str) -> list[str]:
        """Return the names of the resources of a type, sorted."""
        return sorted(each.name for each in self.all(kind))


@pytest.fixture
def event_loop_of_its_own() -> Iterator[None]:
    """Give a test an event loop, and its calls to the engine one thread: nothing hangs on what ran before or on timing.

    Pulumi takes the thread's current loop, of which none is left after another test's `asyncio.run`; and it never
    closes the loops that it makes for threads, of which Python complains whenever it comes across them.
    """
    loop, of_thread = asyncio.new_event_loop(), asyncio.new_event_loop()
    calls = ThreadPoolExecutor(1, initializer=asyncio.set_event_loop, initargs=(of_thread,))
    loop.set_default_executor(calls)
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    calls.shutdown()
    of_thread.close()
    loop.close()


@pytest.fixture
def run(event_loop_of_its_own: None) -> Callable[..., Program]:  # noqa: ARG001 - what it stands for counts
    """Run a function that declares resources; its result is resolved."""

    def run_program(declare: Callable[[], Any], *, preview: bool = False) -> Program:
        # A program that ran before leaves its stack behind, and with it what belongs to that program.
        pulumi.runtime.settings.set_root_resource(None)  # type: ignore[arg-type]
        mocks = _Mocks()
        monitor = _Monitor(mocks)
        pulumi.runtime.set_mocks(mocks, project="imaging", stack="test", preview=preview, monitor=monitor)
        results: list[Any] = []

        def body() -> pulumi.Output[Any]:
            return pulumi.Output.from_input(declare()).apply(results.append)

        pulumi.runtime.test(body)()  # type: ignore[no-untyped-call]
        return Program(monitor.declared, mocks.calls, results[0] if results else None)

    return run_program
