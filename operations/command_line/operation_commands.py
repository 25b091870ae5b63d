"""`list`, `describe`, `wait`, `cancel`: operations that exist already."""

import argparse
from dataclasses import asdict

from operations.command_line.exit_codes import ExitCode
from operations.command_line.problems import Problems
from operations.command_line.session import Session
from operations.command_line.views import failures_table, operation_details, operation_json, operations_table
from operations.google.errors import ApiError, OperationsError
from operations.google.logs import every_log_entry
from operations.google.reading import cancel_operation, list_operations, read_operation
from operations.google.retrying import Patience
from operations.model.durations import parse_duration
from operations.model.outcome import Outcome, State, seconds_of
from operations.run.report import conclude, problem_of, success_report
from operations.run.wait import OperationGoneError, Waiter

# A person who asks wants an answer soon, if only that there is none.
_PATIENCE = Patience(30)


def list_command(options: argparse.Namespace, session: Session) -> ExitCode:
    """Show the operations of a dataset, newest first."""
    dataset = session.names.dataset_name(options.name)
    states = {State.RUNNING} if options.running else {State(state.replace("-", " ")) for state in options.state or ()}
    found = list(list_operations(session.connection, dataset, session.clock, _PATIENCE))
    kept = [each for each in found if not states or each.state in states]
    kept.sort(key=lambda each: (seconds_of(each.start_time), each.operation), reverse=True)
    shown = kept[: options.limit] if options.limit else kept
    if shown or session.output.as_json:
        session.output.result(
            operations_table(shown, session.clock.now()),
            {"dataset": str(dataset), "operations": [operation_json(each) for each in shown]},
        )
    session.output.message(_count(len(shown), len(kept), len(found), str(dataset)))
    return ExitCode.SUCCEEDED


def describe_command(options: argparse.Namespace, session: Session) -> ExitCode:
    """Show one operation, with what Cloud Logging says of its failures."""
    name = str(session.names.operation_name(options.name))
    outcome = _read(name, session)
    if outcome.done and not options.no_logs:
        outcome = conclude(session.connection, outcome, clock=session.clock)
    session.output.result(operation_details(outcome, session.clock.now()), operation_json(outcome))
    return ExitCode.SUCCEEDED


def failures_command(options: argparse.Namespace, session: Session) -> ExitCode:
    """Show everything that failed in an operation: each file or instance, and why."""
    name = str(session.names.operation_name(options.name))
    outcome = _read(name, session)
    logged = every_log_entry(session.connection, outcome, clock=session.clock)
    found = list(dict.fromkeys((*outcome.errors, *logged)))
    if found or session.output.as_json:
        session.output.result(
            failures_table(found),
            {"operation": name, "failure": outcome.failure, "failures": [asdict(each) for each in found]},
        )
    session.output.message(_of_all(len(found), outcome))
    return ExitCode.SUCCEEDED


def wait_command(options: argparse.Namespace, session: Session) -> ExitCode:
    """Wait until an operation has ended, and say what came of it."""
    problems = Problems()
    name = problems.read("NAME", lambda: session.names.operation_name(options.name))
    timeout = problems.read("--timeout", lambda: parse_duration(options.timeout))
    problems.raise_if_any()
    assert name is not None and timeout is not None  # noqa: S101 - for the type checker
    session.operation = str(name)
    with session.watch() as shown:
        _stop_if_unknown(str(name), session)
        outcome = Waiter(session.connection, session.clock).wait(
            str(name), timeout=timeout, on_progress=shown.progress, on_trouble=shown.say
        )
        session.operation, session.ended = None, str(name)
        shown.say("reading the log")
        outcome = conclude(session.connection, outcome, clock=session.clock)
    return _judge(outcome, options.allowed_failures, session)


def cancel_command(options: argparse.Namespace, session: Session) -> ExitCode:
    """Ask the service to cancel an operation; what it did already stays."""
    problems = Problems()
    name = problems.read("NAME", lambda: session.names.operation_name(options.name))
    timeout = problems.read("--timeout", lambda: parse_duration(options.timeout))
    problems.raise_if_any()
    assert name is not None and timeout is not None  # noqa: S101 - for the type checker
    outcome = _read(str(name), session)
    if outcome.done:
        session.output.message(f"{name} has ended already: {outcome.state}")
    else:
        cancel_operation(session.connection, str(name), session.clock)
        session.output.message(f"asked the service to cancel {name}; what was done already stays")
        session.operation = str(name)
        if options.wait:
            with session.watch() as shown:
                outcome = Waiter(session.connection, session.clock).wait(
                    str(name), timeout=timeout, on_progress=shown.progress, on_trouble=shown.say
                )
            session.output.message(f"{name} has ended: {outcome.state}")
        else:
            outcome = read_operation(session.connection, str(name), session.clock)
    session.output.result("", operation_json(outcome))
    return ExitCode.SUCCEEDED


def _read(name: str, session: Session, patience: Patience = _PATIENCE) -> Outcome:
    try:
        return read_operation(session.connection, name, session.clock, patience)
    except ApiError as error:
        if error.status == 404:
            raise OperationGoneError(name) from error
        raise


def _stop_if_unknown(name: str, session: Session) -> None:
    """Raise OperationGoneError for a mistyped name; a wait would look for the operation for some seconds."""
    try:
        _read(name, session, Patience(0))
    except OperationGoneError:
        raise
    except OperationsError:
        return  # what passes by itself is the wait's business, and the rest will come again


def _judge(outcome: Outcome, allowed_failures: int, session: Session) -> ExitCode:
    problem = problem_of(outcome, allowed_failures)
    details = operation_details(outcome, session.clock.now())
    if problem is None:
        session.output.result(success_report(None, outcome), operation_json(outcome))
        return ExitCode.SUCCEEDED
    if session.output.as_json:
        session.output.result("", operation_json(outcome))
    session.output.message(f"error: operation {outcome.operation.rpartition('/')[2]} {problem}\n{details}")
    return ExitCode.FAILED


def _of_all(found: int, outcome: Outcome) -> str:
    failed = f"{outcome.failure:,} failure{'' if outcome.failure == 1 else 's'}"
    if not outcome.failure and not found:
        return f"nothing failed in {outcome.operation}"
    if found >= outcome.failure:
        return f"{found:,} entries about {failed}"
    return f"{found:,} entries about {failed}: Cloud Logging gets a sample of them when errors are many"


def _count(shown: int, kept: int, found: int, dataset: str) -> str:
    if not found:
        return f"{dataset} has no operations (records are kept for about 30 days after the end)"
    if shown < kept:
        return f"the newest {shown:,} of {kept:,} operations"
    return f"{kept:,} of {found:,} operations" if kept < found else f"{found:,} operation{'s' if found > 1 else ''}"
