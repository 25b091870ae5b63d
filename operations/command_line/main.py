"""From arguments to exit code; every error a person can make or meet ends here, without a traceback."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from operations.command_line.arguments import PROGRAM, UsageError, parser
from operations.command_line.exit_codes import ExitCode, exit_code_of
from operations.command_line.names import defaults
from operations.command_line.output import Output
from operations.command_line.session import Session, TerminatedError
from operations.command_line.views import operation_json
from operations.google.clock import Clock, InterruptedWaitError, InterruptibleClock
from operations.google.connection import Connection
from operations.google.errors import COMMAND_WORDS, ApiError, OperationsError, advice
from operations.model.invalid import InputError
from operations.model.outcome import Outcome, State
from operations.run.wait import OperationGoneError, WaitTimeoutError

# As a shell reports a program that wrote to a closed pipe.
_CLOSED_PIPE = 141


def main(
    arguments: Sequence[str] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    connection: Connection | None = None,
) -> int:
    """Run the command line.

    Args:
        arguments: those of the process unless given.
        environment: `os.environ` unless given.
        clock: real or simulated time; real, and ended by Ctrl-C, unless given.
        connection: the APIs; those that options and environment name unless given.

    Returns:
        The exit code, see `exit_codes`.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    output = Output(sys.stdout, sys.stderr, "--json" in given)
    try:
        options = parser().parse_args(given)
    except UsageError as error:
        output.message(error.usage)
        return _fail(output, error)
    except SystemExit as end:  # --help has printed what it has to say
        return int(end.code or 0)
    variables = os.environ if environment is None else environment
    session = _session(options, output, variables, InterruptibleClock() if clock is None else clock)
    if connection is not None:
        session.connection = connection
    try:
        with _signals(session):
            return int(options.run(options, session))
    except (InputError, OperationsError) as error:
        return _fail(output, error, session)
    except InterruptedWaitError:
        return _interrupted(session, session.stopped_by or KeyboardInterrupt())
    except KeyboardInterrupt as interrupt:
        return _interrupted(session, interrupt)
    except BrokenPipeError:
        # Nobody reads any more, as in `… | head`; the interpreter must not complain when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _CLOSED_PIPE
    finally:
        session.close()


def _session(options: argparse.Namespace, output: Output, environment: Mapping[str, str], clock: Clock) -> Session:
    def option(name: str) -> str | None:
        value: str | None = getattr(options, name, None)
        return value

    return Session(
        output=output,
        names=defaults(option("project"), option("location"), option("dataset"), environment),
        endpoint=option("endpoint"),
        impersonate=option("impersonate"),
        environment=environment,
        clock=clock,
        allow_remote=bool(getattr(options, "allow_remote", False)),
    )


def _fail(output: Output, error: Exception, session: Session | None = None) -> ExitCode:
    code = exit_code_of(error)
    text = _explained(error)
    value: dict[str, Any] = {"exitCode": int(code), "error": {"message": text}}
    if session is not None and session.operation:
        if code is not ExitCode.MISSING:
            text += f"; wait for it again with\n  {session.how_to_wait}"
        state = State.EXPIRED if isinstance(error, OperationGoneError) else State.RUNNING
        seen = error.outcome if isinstance(error, WaitTimeoutError) else None
        value |= operation_json(seen or Outcome(session.operation, state)) | value
    if output.as_json:
        output.result("", value)
    output.message(f"error: {text}")
    return code


def _explained(error: Exception) -> str:
    """Add to a refusal what it means, and to missing credentials what was tried; other errors say it themselves."""
    if type(error.__cause__).__module__.startswith("google.auth"):
        return f"{error}\n  reason  {error.__cause__}"
    if not isinstance(error, ApiError) or error.status not in (401, 403):
        return str(error)
    hint = advice(error.code, error.message, None, wording=COMMAND_WORDS)
    return f"{error}\n  cause   {hint.cause}\n  fix     {hint.fix}"


def _interrupted(session: Session, interrupt: KeyboardInterrupt) -> ExitCode:
    terminated = isinstance(interrupt, TerminatedError)
    word = "ended" if terminated else "interrupted"
    code = ExitCode.TERMINATED if terminated else ExitCode.INTERRUPTED
    value: dict[str, Any] = {"exitCode": int(code), "error": {"message": word}}
    if session.operation:
        text = (
            f"{word}; operation {session.operation} is still running; wait for it again with\n  {session.how_to_wait}"
        )
        value |= operation_json(Outcome(session.operation, State.RUNNING)) | value
    elif session.starting:
        text = f"{word} during the start; see with `{PROGRAM} list` whether an operation began"
    elif session.ended:
        text = f"{word}; operation {session.ended} has ended, see what came of it with `{PROGRAM} describe`"
        value["operation"] = session.ended
    else:
        text = word
    if session.output.as_json:
        session.output.result("", value)
    session.output.message(f"\n{text}")
    return code


@contextmanager
def _signals(session: Session) -> Iterator[None]:
    """Let SIGINT and SIGTERM end the command in good order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, _frame: object) -> None:
        session.interrupt(TerminatedError() if number == signal.SIGTERM else KeyboardInterrupt())

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
