"""`plan`: which imports and exports of a stack the next `pulumi up` would run again, and why."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from rich.table import Table
from rich.text import Text

from operations.command_line.exit_codes import ExitCode
from operations.command_line.filter_sources import read_blocks
from operations.command_line.session import Session
from operations.command_line.stack_state import StackRun, read_runs
from operations.command_line.views import plain_table
from operations.google.connection import Connection
from operations.google.errors import OperationsError
from operations.model.invalid import InputError
from operations.run.rerun import reason_to_run

_STYLES = {"runs": "yellow", "waits": "cyan", "holds": "green", "unknown": "magenta"}


@dataclass(frozen=True)
class Plan:
    """What the next `pulumi up` does about one run.

    Attributes:
        run: as the state has it.
        does: `runs` (a new operation), `waits` (for the last one), `holds` (nothing), `unknown`.
        why: in words.
    """

    run: StackRun
    does: str
    why: str

    def to_json(self) -> dict[str, Any]:
        """Return it for a script."""
        return {
            "name": self.run.label,
            "kind": self.run.method,
            "does": self.does,
            "why": self.why,
            "operation": self.run.operation or None,
        }


def plan_command(options: argparse.Namespace, session: Session) -> ExitCode:
    """Show what would run again with the settings that the state holds."""
    runs = read_runs(b"".join(read_blocks(options.state)).decode("utf-8", "replace"))
    connections: dict[tuple[str | None, str | None], Connection] = {}
    plans = [plan(run, partial(_connection, run, session, connections)) for run in runs]
    if plans or session.output.as_json:
        session.output.result(plan_table(plans), [each.to_json() for each in plans])
    new = sum(each.does == "runs" for each in plans)
    session.output.message(
        f"{new:,} of {len(plans):,} would run again, by the settings in the state; changed settings show in "
        "`pulumi preview`"
        if plans
        else "the stack has no imports and exports"
    )
    return ExitCode.SUCCEEDED


def plan(run: StackRun, connect: Callable[[], Connection]) -> Plan:
    """Say what the next `pulumi up` does about a run.

    Args:
        run: as the state has it.
        connect: gives the APIs for the one who acts in it; called when they are needed.
    """
    if run.interrupted:
        why = (
            "its last start was interrupted; `pulumi up` on the same machine finds out whether an operation began, "
            "elsewhere see `python -m operations list`"
        )
        return Plan(run, "unknown", why)
    if run.hidden:
        why = (
            f"its {', '.join(run.hidden)} {'is' if len(run.hidden) == 1 else 'are'} secret; "
            "write `pulumi stack export --show-secrets | python -m operations plan`"
        )
        return Plan(run, "unknown", why)
    try:
        reason = reason_to_run(connect(), run.olds, run.news)
    except OperationsError as error:
        return Plan(run, "unknown", f"can't see whether a new run is needed, so none is planned: {error}")
    except (InputError, ValueError, TypeError, KeyError) as error:
        # One run with settings that can't be right must not hide the others.
        return Plan(run, "unknown", f"its settings in the state can't be read: {error!r}")
    if reason:
        return Plan(run, "runs", reason)
    if run.olds.get("skipped"):
        return Plan(run, "holds", f"skipped: {run.olds['skipped']}")
    if run.record.operation != run.operation:
        return Plan(run, "waits", "the end of its operation is not on record yet")
    return Plan(run, "holds", "nothing has changed")


def plan_table(plans: list[Plan]) -> Table:
    """Return a table of plans."""
    table = plain_table("name", "kind", "next", "why", "last operation")
    for each in plans:
        operation = each.run.operation.rpartition("/")[2]
        table.add_row(each.run.label, each.run.method, Text(each.does, _STYLES[each.does]), each.why, operation)
    return table


def _connection(run: StackRun, session: Session, known: dict[tuple[str | None, str | None], Connection]) -> Connection:
    endpoint = session.endpoint or run.olds.get("endpoint") or None
    impersonate = session.impersonate or run.olds.get("impersonate") or None
    if (endpoint, impersonate) == (session.endpoint, session.impersonate):
        return session.connection
    key = (endpoint, impersonate)
    if key not in known:
        known[key] = session.connect(endpoint, impersonate)
    return known[key]
