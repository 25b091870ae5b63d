"""Filter files in Cloud Storage: the user's own, and those made for an export from lines or from a query.

A file that a person names is theirs: it is read and checked, never changed. Lines and query results become objects of
this project's, named after the export and a digest of their content, so that no two exports share one.

A small query result passes through this machine. A large one never does: BigQuery makes it distinct, checks it,
extracts it in parts, and Cloud Storage composes the parts.
"""

import hashlib
import re
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from operations.google import cloud_storage
from operations.google.bigquery_jobs import QueryJob, extract_lines, read_rows, run_query, tables_of_query
from operations.google.bigquery_tables import read_table
from operations.google.clock import SYSTEM_CLOCK, Clock
from operations.google.connection import Connection
from operations.google.errors import ApiError, OperationsError
from operations.google.retrying import PATIENCE, Patience
from operations.model.filters import FilterSummary, check_filter, filter_from_lines
from operations.model.uris import CloudStoragePath, parse_object_uri
from operations.run.checks import NothingToDoError

FOLDER = "filters"
#: Results up to this many lines pass through this machine.
SMALL = 50_000
# Parts that one compose call takes.
_PARTS = 32
_UID = r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*"
_LINE = f"^/studies/{_UID}(/series/{_UID}(/instances/{_UID})?)?$"


@dataclass(frozen=True)
class PreparedFilter:
    """A filter file that an export can take.

    Attributes:
        uri: its `gs://` URI.
        digest: changes when the content does; empty when it couldn't be found out.
        summary: what checking found; None when the file is still to be checked.
    """

    uri: str
    digest: str
    summary: FilterSummary | None = None


def prepare_filter(
    connection: Connection, name: str, chosen: Mapping[str, Any], clock: Clock = SYSTEM_CLOCK
) -> PreparedFilter:
    """Make sure that there is a filter file.

    Args:
        connection: the APIs.
        name: of the export.
        chosen: `{"file": URI}`, `{"lines": […], "bucket": NAME}` or
            `{"query": SQL, "project": …, "location": … or None, "bucket": NAME}`.
        clock: real or simulated time.

    Raises:
        FilterError: a line is no resource path, or there is none.
        OperationsError: the query can't be run, or the file can't be written.
    """
    if chosen.get("file"):
        return PreparedFilter(str(chosen["file"]), _file_digest(connection, str(chosen["file"]), clock))
    if chosen.get("query"):
        return write_filter_query(
            connection,
            str(chosen["bucket"]),
            name,
            str(chosen["query"]),
            str(chosen["project"]),
            chosen.get("location"),
            clock,
        )
    return write_filter_lines(connection, str(chosen["bucket"]), name, chosen["lines"], clock)


def query_sources(
    connection: Connection, chosen: Mapping[str, Any], clock: Clock = SYSTEM_CLOCK, patience: Patience = PATIENCE
) -> dict[str, str]:
    """Find out which tables the query of a filter reads and when each was last modified. No query is run.

    Returns:
        The time by `PROJECT.DATASET.TABLE`, empty for a table that can't be looked at; nothing for other filters.

    Raises:
        OperationsError: the query is wrong, or the caller does not have permission to run it.
    """
    if not chosen.get("query"):
        return {}
    sql, project = str(chosen["query"]).strip().rstrip(";"), str(chosen["project"])
    sources = {}
    for table in tables_of_query(connection, sql, project, chosen.get("location"), clock, patience):
        modified = ""
        with suppress(ApiError):
            modified = read_table(connection, table, clock, patience).modified
        sources[f"{table.project}.{table.dataset}.{table.table}"] = modified
    return sources


def file_digest(connection: Connection, chosen: Mapping[str, Any], clock: Clock = SYSTEM_CLOCK) -> str:
    """Find out what the content of a filter file is now, to compare with an earlier `PreparedFilter.digest`.

    Lines are settings and have none; the result of a query isn't known before it runs.

    Returns:
        The digest; empty when it can't be found out.
    """
    if chosen.get("file"):
        return _file_digest(connection, str(chosen["file"]), clock)
    return ""


def write_filter_lines(
    connection: Connection, bucket: str, name: str, lines: Iterable[str], clock: Clock = SYSTEM_CLOCK
) -> PreparedFilter:
    """Write lines that a person gave as a filter file, without repetitions.

    Raises:
        FilterError: a line is no resource path.
        OperationsError: the file can't be written.
    """
    return _write(connection, bucket, name, filter_from_lines(lines, f'filter of "{name}"'), clock)


def write_filter_query(
    connection: Connection,
    bucket: str,
    name: str,
    query: str,
    project: str,
    location: str | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> PreparedFilter:
    """Write the result of a query as a filter file, without repetitions.

    Args:
        connection: the APIs.
        bucket: where the file goes; for large results it must be where BigQuery may extract to.
        name: of the export.
        query: GoogleSQL with one column of resource paths.
        project: where it runs.
        location: where its data is, when BigQuery can't tell.
        clock: real or simulated time.

    Raises:
        FilterError: a row is no resource path, or there is none.
        OperationsError: the query can't be run, or the file can't be written.
    """
    job = _selected(connection, query, project, location, clock)
    if job.rows <= SMALL:
        return _write(connection, bucket, name, _small_content(connection, job, name, clock), clock)
    return _write_large(connection, bucket, name, query, job, clock)


def _selected(connection: Connection, query: str, project: str, location: str | None, clock: Clock) -> QueryJob:
    job = run_query(connection, query.strip().rstrip(";"), project, location, clock)
    if len(job.columns) != 1 or job.columns[0][1] != "STRING":
        columns = ", ".join(f"{name} {kind}" for name, kind in job.columns)
        raise OperationsError(f"a filter query selects one STRING column of resource paths; this one selects {columns}")
    return job


def _small_content(connection: Connection, job: QueryJob, name: str, clock: Clock) -> bytes:
    lines = sorted({str(row[0] or "") for row in read_rows(connection, job, clock)})
    if not lines:
        raise NothingToDoError(f'the filter query of "{name}" selects nothing, so there is nothing to export')
    return filter_from_lines(lines, f'result of the filter query of "{name}"')


def _write(connection: Connection, bucket: str, name: str, content: bytes, clock: Clock) -> PreparedFilter:
    digest = _digest(content)
    path = _path(bucket, name, digest)
    try:
        cloud_storage.write_object(connection, path, content, clock)
    except ApiError as error:
        raise OperationsError(f"the filter file {path.uri} can't be written: {error}") from error
    return PreparedFilter(path.uri, digest, check_filter([content], path.uri))


def _write_large(
    connection: Connection, bucket: str, name: str, query: str, job: QueryJob, clock: Clock
) -> PreparedFilter:
    lines = _distinct_lines(job, query)
    bad = run_query(
        connection,
        f"SELECT line FROM ({lines}) WHERE line IS NULL OR NOT REGEXP_CONTAINS(line, r'{_LINE}') LIMIT 3",  # noqa: S608
        job.project,
        job.location,
        clock,
    )
    if bad.rows:
        # The check of single lines finds the words for what is wrong.
        filter_from_lines([str(row[0] or "") for row in read_rows(connection, bad, clock)], f'filter query of "{name}"')
    distinct = run_query(connection, lines, job.project, job.location, clock)
    digest = _large_digest(connection, job, query, clock)
    path = _path(bucket, name, digest)
    # Another stack may just be making the same file: its parts are its own.
    parts_prefix = f"{path.path.removesuffix('.txt')}-{uuid.uuid4().hex[:8]}/"
    extract_lines(connection, distinct, f"gs://{bucket}/{parts_prefix}part-*.txt", clock)
    parts, _ = cloud_storage.list_objects(connection, bucket, parts_prefix, max_pages=100, clock=clock)
    names = [part.name for part in parts]
    made = _compose(connection, bucket, names, parts_prefix, path.path, clock)
    for part in (*names, *made):
        cloud_storage.delete_object(connection, CloudStoragePath(bucket, part), clock)
    size = sum(part.size for part in parts)
    return PreparedFilter(path.uri, digest, FilterSummary(distinct.rows, size, sha256=None))


def _compose(
    connection: Connection, bucket: str, parts: list[str], prefix: str, target: str, clock: Clock
) -> list[str]:
    """Put parts together, 32 at a time.

    Each step writes an object of its own, beside the parts, from the one before it and further parts. So a call that is
    made again after a lost answer writes the same lines again and never some of them twice, and the target is whole
    from the moment it exists.

    Returns:
        The names of the objects in between, which can be deleted.
    """
    made: list[str] = []
    while len(parts) > _PARTS:
        step = f"{prefix}step-{len(made):06}.txt"
        cloud_storage.compose_objects(connection, bucket, parts[:_PARTS], step, clock, replace=False)
        made.append(step)
        parts = [step, *parts[_PARTS:]]
    cloud_storage.compose_objects(connection, bucket, parts, target, clock)
    return made


def _large_digest(connection: Connection, job: QueryJob, query: str, clock: Clock) -> str:
    digest = run_query(
        connection,
        # In two steps, because one value may not grow with the number of lines.
        "SELECT TO_HEX(MD5(STRING_AGG(part, '' ORDER BY first))) FROM ("  # noqa: S608
        "SELECT SUBSTR(digest, 1, 3) AS first, TO_HEX(MD5(STRING_AGG(digest, '' ORDER BY digest))) AS part "
        f"FROM (SELECT TO_HEX(MD5(line)) AS digest FROM ({_distinct_lines(job, query)})) GROUP BY first)",
        job.project,
        job.location,
        clock,
    )
    return str(next(read_rows(connection, digest, clock))[0])


def _distinct_lines(job: QueryJob, query: str) -> str:
    # On lines of its own, so that a comment at the end of the query doesn't swallow the bracket.
    return f"SELECT DISTINCT `{job.columns[0][0]}` AS line FROM (\n{query.strip().rstrip(';')}\n)"  # noqa: S608


def _file_digest(connection: Connection, uri: str, clock: Clock) -> str:
    try:
        stat = cloud_storage.stat_object(connection, parse_object_uri(uri), clock)
    except ApiError:
        return ""  # the caller need not be allowed to read it; whether it exists is checked elsewhere
    return f"{stat.get('crc32c', '')}:{stat.get('size', '')}"


def _path(bucket: str, name: str, digest: str) -> CloudStoragePath:
    return CloudStoragePath(bucket, f"{FOLDER}/{re.sub(r'[^A-Za-z0-9_.-]', '_', name)}-{digest[:16]}.txt")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
