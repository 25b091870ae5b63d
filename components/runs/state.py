"""What the stack's own state has on record about its runs, read once for the whole program.

The state can be large: every run has its request, filter and outcome in it. It stays a plain mapping in here, and only
the record of one run, a few numbers, becomes an output. An output that holds the whole state would be walked through by
Pulumi once for every run.
"""

import asyncio
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import pulumi

from operations.run.record import Record, record_of

# Reads the outputs of a stack's resources from its state; built into the engine.
_READ_STATE = "pulumi:pulumi:readStackResourceOutputs"

_programs: "WeakKeyDictionary[Any, dict[str, Any]]" = WeakKeyDictionary()


def belongings() -> dict[str, Any]:
    """Return what belongs to the running program; several run in one process under tests and the Automation API."""
    # Under mocks there is no root resource; each test has an event loop of its own.
    return _programs.setdefault(pulumi.runtime.get_root_resource() or asyncio.get_event_loop(), {})


def previous_result(awaited_urn: pulumi.Output[str]) -> pulumi.Output[dict[str, Any]]:
    """Return what an awaited resource recorded at its last success, as `Record.to_json` writes it."""
    program = belongings()
    if "state" not in program:
        program["state"] = asyncio.ensure_future(_read_state())
    state: asyncio.Future[Mapping[str, Any] | None] = program["state"]

    async def read() -> dict[str, Any]:
        return record_in(await state, await awaited_urn.future() or "").to_json()

    return pulumi.Output.from_input(read())


def record_in(state: Mapping[str, Any] | None, urn: str) -> Record:
    """Return the record of one run.

    Args:
        state: type and outputs of each resource, by URN; None when the state can't be read.
        urn: of the awaited operation.
    """
    if state is None:
        return Record(read=False)
    resource = state.get(urn)
    return record_of((resource.get("outputs") if isinstance(resource, Mapping) else None) or {})


async def _read_state() -> Mapping[str, Any] | None:
    name = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    try:
        result = await pulumi.runtime.invoke_async(_READ_STATE, {"stackName": name})
    except Exception as error:  # noqa: BLE001 - without the record the service is asked; no program may fail over it
        pulumi.log.debug(f"the stack's state can't be read: {error}")
        return None
    outputs = result.get("outputs") if isinstance(result, Mapping) else None
    return outputs if isinstance(outputs, Mapping) else None
