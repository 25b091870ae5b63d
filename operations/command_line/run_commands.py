"""`export` and `import`: start an operation, wait for it, verify what it did."""

import argparse

from operations.command_line.exit_codes import ExitCode
from operations.command_line.filter_sources import filter_source
from operations.command_line.problems import Problems
from operations.command_line.runs import RunLimits, finish_run, start_run
from operations.command_line.session import Session
from operations.command_line.views import operation_json
from operations.google.errors import COMMAND_WORDS
from operations.model.durations import parse_duration
from operations.model.outcome import Outcome, State
from operations.model.requests import SOME_STORE, Import, Request, WhenEmpty, make_export, make_import
from operations.run.checks import NothingToDoError, nothing_to_do
from operations.run.filter_objects import PreparedFilter
from operations.run.report import failure_report, problem_of, success_report


def export_command(options: argparse.Namespace, session: Session) -> ExitCode:
    """Export metadata to BigQuery or instances to Cloud Storage."""
    problems = Problems()
    store = problems.read("--store", lambda: session.names.store_name(options.store))
    limits = _limits(options, problems)

    def make(filter_uri: str | None) -> Request:
        return make_export(
            str(store or SOME_STORE),
            options.to,
            write_disposition=options.write_disposition,
            schema=options.schema,
            include_source_store=options.include_source_store,
            mime_type=options.mime_type,
            filter_uri=filter_uri,
        )

    # Everything that can be wrong is found before a filter file is made.
    problems.read("", lambda: make(options.filter_file))
    chosen = filter_source(options, problems)
    problems.raise_if_any()
    assert store is not None and limits is not None  # noqa: S101 - for the type checker
    try:
        if chosen is not None and options.when_empty == WhenEmpty.SKIP:
            # Before a filter is made: its query may read a table that an earlier export would have written.
            nothing = nothing_to_do(session.connection, make(None), session.clock)
            if nothing:
                raise NothingToDoError(nothing)
        prepared = None if chosen is None else chosen.prepare(store, session)
    except NothingToDoError as error:
        return _skipped(make(None), error, options, session)
    return _run(make(prepared.uri if prepared else None), limits, options, session, prepared)


def import_command(options: argparse.Namespace, session: Session) -> ExitCode:
    """Import DICOM files from Cloud Storage."""
    problems = Problems()
    store = problems.read("--store", lambda: session.names.store_name(options.store))
    limits = _limits(options, problems)
    request = problems.read(
        "", lambda: make_import(str(store or SOME_STORE), options.source, storage_class=options.storage_class)
    )
    problems.raise_if_any()
    assert request is not None and limits is not None  # noqa: S101 - for the type checker
    return _run(request, limits, options, session)


def _run(
    request: Request,
    limits: RunLimits,
    options: argparse.Namespace,
    session: Session,
    prepared: PreparedFilter | None = None,
) -> ExitCode:
    filter_uri = prepared.uri if prepared else None
    with session.watch() as shown:
        try:
            started = start_run(session, request, limits, shown, prepared.summary if prepared else None)
        except NothingToDoError as error:
            return _skipped(request, error, options, session)
        if not options.no_wait:
            outcome = finish_run(session, started, limits, shown)
    if options.no_wait:
        running = Outcome(started.operation, State.RUNNING)
        session.output.result(started.operation, operation_json(running, request, filter_uri=filter_uri))
        session.output.message(f"it is still running; wait for it with\n  {session.how_to_wait}")
        return ExitCode.SUCCEEDED
    problem = problem_of(outcome, limits.allowed_failures)
    value = operation_json(outcome, request, filter_uri=filter_uri)
    if problem is None:
        session.output.result(success_report(request, outcome), value)
        return ExitCode.SUCCEEDED
    if session.output.as_json:
        session.output.result("", value)
    session.output.message(f"error: {_failure(request, outcome, limits.allowed_failures)}")
    return ExitCode.FAILED


def _skipped(request: Request, why: NothingToDoError, options: argparse.Namespace, session: Session) -> ExitCode:
    """Say that there was nothing to do, where that is allowed.

    Raises:
        NothingToDoError: it is not.
    """
    if options.when_empty != WhenEmpty.SKIP:
        raise why
    value = operation_json(Outcome("", State.SKIPPED), request) | {"reason": str(why)}
    session.output.result(f"skipped: {why}", value)
    return ExitCode.SUCCEEDED


def _failure(request: Request, outcome: Outcome, allowed_failures: int) -> str:
    kind = "import" if isinstance(request, Import) else "export"
    name = request.store.store
    text = failure_report(
        name,
        request,
        outcome,
        allowed_failures=allowed_failures,
        again="the same command",
        wording=COMMAND_WORDS,
    )
    # In a stack a run has a name; here its source and destination say which it is.
    return text.replace(f'{kind} "{name}": ', f"{kind} ", 1)


def _limits(options: argparse.Namespace, problems: Problems) -> RunLimits | None:
    timeout = problems.read("--timeout", lambda: parse_duration(options.timeout))
    permission_wait = problems.read("--permission-wait", lambda: parse_duration(options.permission_wait))
    if timeout is None or permission_wait is None:
        return None
    return RunLimits(timeout, permission_wait, options.allowed_failures, options.max_running)
