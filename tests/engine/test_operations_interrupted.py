"""Runs that are interrupted, killed or cut off: at every moment, by every signal, exactly one operation and one resume.

A moment is made by a proxy that keeps back one answer, so it is met for certain. The scenarios run side by side, each
with an emulator, a stack and a journal of its own.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from emulator.server.server import LocalEmulator
from tests.engine.holding_proxy import holding_proxy
from tests.engine.operations_program import Program
from tests.protocol.operations.hospital import STORE, TABLE, Hospital

pytestmark = pytest.mark.engine

POST = r"POST .*:export"
DENIED = {"error": {"code": 7, "message": "Access Denied: Dataset research:dicom"}}
# After a signal to the CLI alone: time for it to reach the wait, before the answer comes that is kept back.
HEARD_AFTER = 2.0


@dataclass(frozen=True)
class Moment:
    """When the signal comes.

    Attributes:
        call: the one whose answer is kept back then.
        after: how many such calls had their answer before.
        earlier: operations that the run has begun before, by how they end.
        began: whether the operation exists by then.
        saved: whether its name is in the state by then.
        plan: a fault that is needed beside it.
    """

    call: str
    after: int = 0
    earlier: tuple[dict[str, Any], ...] = ()
    began: bool = True
    saved: bool = True
    plan: tuple[tuple[str, dict[str, Any]], ...] = ()


RUNS = (("export", {"operation": {"seconds": 3}}),)
MOMENTS = {
    "the start is unanswered": Moment(POST, saved=False),
    "the start never took effect": Moment(POST, began=False, saved=False, plan=(("export", {"drop": "before"}),)),
    "an operation is started anew": Moment(
        POST, after=1, earlier=(DENIED,), saved=False, plan=(("export", {"operation": DENIED}),)
    ),
    "before the first poll": Moment(r"GET .*/operations/[0-9]+", plan=RUNS),
    "during the wait": Moment(r"GET .*/operations/[0-9]+", after=2, plan=RUNS),
    "during verification": Moment(r"GET .*/tables/instances", after=1),
}
ALL = "all processes"
CLI = "the CLI"
SCENARIOS = [
    *((signal.SIGKILL, ALL, moment) for moment in MOMENTS),
    *((number, ALL, moment) for number in (signal.SIGINT, signal.SIGTERM) for moment in list(MOMENTS)[3:]),
    *((number, CLI, moment) for number in (signal.SIGINT, signal.SIGTERM) for moment in list(MOMENTS)[3:]),
    (signal.SIGTERM, ALL, "the start is unanswered"),
    (signal.SIGINT, CLI, "the start is unanswered"),
]


def scenario(folder: Path, number: signal.Signals, whom: str, when: str) -> None:
    """Interrupt one run and resume it."""
    moment = MOMENTS[when]
    with (
        LocalEmulator() as emulator,
        holding_proxy(emulator.url) as proxy,
        contextlib.closing(Hospital(emulator)) as hospital,
    ):
        hospital.store_instances(3)
        export = {"store": STORE, "destination": TABLE, "write_disposition": "WRITE_TRUNCATE", "endpoint": proxy.url}
        program = Program(folder, {"metadata": {**export, "permission_wait": 300, "timeout": 60}})
        faults = [hospital.fault(method, **effect) for method, effect in moment.plan]
        proxy.hold(moment.call, moment.after)

        def begun() -> list[str]:
            return [each["name"] for each in hospital.operations("ExportDicomData")]

        def there() -> bool:
            if proxy.held.is_set() and number is not signal.SIGKILL:
                threading.Timer(HEARD_AFTER, proxy.release).start()
            return proxy.held.is_set()

        said = program.up_interrupted(number, there, whole_tree=whom == ALL)
        hospital.assert_consumed(*faults)
        assert "Traceback" not in said
        assert len(begun()) == len(moment.earlier) + moment.began
        if whom == CLI and when in ("before the first poll", "during the wait"):
            assert f"interrupted; operation {begun()[-1]} is still running" in said
        if number is signal.SIGKILL:
            program.command("cancel", "--yes")  # unlocks the stack
        state = program.state()
        known = state.get("StartedOperation metadata", {}).get("outputs", {}).get("operation")
        if moment.saved or whom == CLI:
            assert known == begun()[0]
        else:
            # Who is told to end, and not killed, may still take the answer and have it saved.
            saved_late = number is not signal.SIGKILL and known == begun()[-1]
            assert saved_late or known == (begun()[0] if moment.earlier else None)
        adopted = moment.began and known != begun()[-1]

        said = program.up()
        assert len(begun()) == len(moment.earlier) + 1
        assert ("resumes the operation of an earlier start that was interrupted" in said) is adopted
        outcome = program.state()["AwaitedOperation metadata"]["outputs"]["outcome"]
        assert (outcome["operation"], outcome["rows"]) == (begun()[-1], 3)
        if number is signal.SIGKILL:
            program.command("refresh", "--yes", "--skip-preview", "--clear-pending-creates")
        assert program.pending() == []
        assert "runs again" not in program.preview()


def name(each: tuple[signal.Signals, str, str]) -> str:
    return f"{each[0].name} to {each[1]}, {each[2]}"


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[None]]]:
    """All chosen scenarios, begun side by side."""
    chosen = {item.callspec.id for item in request.session.items if hasattr(item, "callspec")}
    with ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
        yield {
            name(each): pool.submit(scenario, tmp_path_factory.mktemp("run"), *each)
            for each in SCENARIOS
            if name(each) in chosen
        }


@pytest.mark.parametrize("which", [name(each) for each in SCENARIOS])
def test_an_interrupted_run_is_resumed_with_exactly_one_operation(which: str, runs: dict[str, Future[None]]) -> None:
    runs[which].result(300)
