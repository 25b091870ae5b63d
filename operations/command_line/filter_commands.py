"""`filter check` and `filter make`: filter files without an export."""

import argparse
from collections.abc import Iterable

from operations.command_line.exit_codes import ExitCode
from operations.command_line.filter_sources import checked_lines, query_text, read_blocks, title
from operations.command_line.problems import Problems
from operations.command_line.session import Session
from operations.command_line.views import filter_json, filter_text
from operations.google.cloud_storage import compose_objects, delete_object, read_object, stat_object, write_object
from operations.google.errors import ApiError, OperationsError
from operations.model.filters import FilterSummary, check_filter
from operations.model.uris import CloudStoragePath, parse_object_uri
from operations.run.checks import CheckError
from operations.run.filter_objects import write_filter_query

_EXISTS = "{uri} exists already; give --replace, or another name"


def check_command(options: argparse.Namespace, session: Session) -> ExitCode:
    """Check a filter file, local or in a bucket, line by line."""
    source: str = options.source
    blocks: Iterable[bytes]
    if source.startswith("gs://"):
        blocks = read_object(session.connection, parse_object_uri(source), session.clock)
    else:
        blocks = read_blocks(source)
    name = title(source)
    try:
        summary = check_filter(blocks, name)
    except ApiError as error:
        raise OperationsError(f"{source} can't be read: {error}") from error
    session.output.result(filter_text(name, summary), filter_json(name, summary))
    return ExitCode.SUCCEEDED


def make_command(options: argparse.Namespace, session: Session) -> ExitCode:
    """Make a filter file in a bucket from lines or from a query."""
    problems = Problems()
    target = problems.read("--to", lambda: parse_object_uri(options.to))
    query = problems.read("--query", lambda: query_text(options.query))
    project = options.query_project or session.names.any_project
    if query is not None and not project:
        problems.add("--query-project", "is missing; a query runs, and is paid for, in a project")
    problems.raise_if_any()
    assert target is not None  # noqa: S101 - for the type checker
    try:
        if query is not None:
            summary = _write_query(target, query, str(project), options, session)
        else:
            summary = _write_lines(target, options, session)
    except ApiError as error:
        raise _refusal(target, error) from error
    session.output.result(filter_text(target.uri, summary), filter_json(target.uri, summary))
    return ExitCode.SUCCEEDED


def _write_lines(target: CloudStoragePath, options: argparse.Namespace, session: Session) -> FilterSummary:
    content = "".join(f"{line}\n" for line in checked_lines(options.lines)).encode()
    write_object(session.connection, target, content, session.clock, replace=options.replace)
    return check_filter([content], target.uri)


def _write_query(
    target: CloudStoragePath, query: str, project: str, options: argparse.Namespace, session: Session
) -> FilterSummary:
    if not options.replace and _exists(target, session):
        raise CheckError(_EXISTS.format(uri=target.uri))
    name = target.path.rpartition("/")[2]
    made = write_filter_query(
        session.connection, target.bucket, name, query, project, options.query_location, session.clock
    )
    # A copy within the bucket: the lines of a large result never pass through this machine.
    path = parse_object_uri(made.uri)
    compose_objects(session.connection, target.bucket, [path.path], target.path, session.clock)
    delete_object(session.connection, path, session.clock)
    return made.summary or check_filter(read_object(session.connection, target, session.clock), target.uri)


def _exists(target: CloudStoragePath, session: Session) -> bool:
    try:
        stat_object(session.connection, target, session.clock)
    except ApiError as error:
        if error.status == 404:
            return False
        raise
    return True


def _refusal(target: CloudStoragePath, error: ApiError) -> OperationsError:
    if error.status == 412:
        return CheckError(_EXISTS.format(uri=target.uri))
    if error.status == 404:
        return CheckError(f"bucket {target.bucket} doesn't exist; create it, or correct --to")
    return OperationsError(f"{target.uri} can't be written: {error}")
