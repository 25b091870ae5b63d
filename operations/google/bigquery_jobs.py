"""Running BigQuery jobs: a query whose rows are wanted, and the extraction of a table to objects."""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from operations.google.clock import SYSTEM_CLOCK, Clock
from operations.google.connection import Connection
from operations.google.errors import ApiError, OperationsError
from operations.google.retrying import PATIENCE, Patience, call
from operations.model.uris import BigQueryTable

_PAGE = 10_000
_LONGEST_PAUSE = 10.0


@dataclass(frozen=True)
class QueryJob:
    """A query that has run.

    Attributes:
        project: where it ran and is paid for.
        location: where it ran.
        job_id: its name there.
        columns: name and type of each column of the result.
        rows: how many there are.
        table: the temporary table that holds the result for a day, as the API names tables.
    """

    project: str
    location: str
    job_id: str
    columns: tuple[tuple[str, str], ...]
    rows: int
    table: Mapping[str, str]


def run_query(
    connection: Connection, sql: str, project: str, location: str | None = None, clock: Clock = SYSTEM_CLOCK
) -> QueryJob:
    """Run a GoogleSQL query and wait for its end.

    Args:
        connection: the APIs.
        sql: the query.
        project: where it runs.
        location: where its data is, when BigQuery can't tell.
        clock: real or simulated time.

    Raises:
        OperationsError: the query is wrong, or may not be run.
    """
    configuration = {"query": {"query": sql, "useLegacySql": False}}
    job = _run(connection, project, location, configuration, clock)
    reference = job["jobReference"]
    found = QueryJob(
        project,
        str(reference.get("location", location or "")),
        str(reference["jobId"]),
        (),
        0,
        job.get("configuration", {}).get("query", {}).get("destinationTable", {}),
    )
    first = _page(connection, found, 0, None, clock)
    columns = tuple((field["name"], field["type"]) for field in first.get("schema", {}).get("fields", ()))
    return QueryJob(found.project, found.location, found.job_id, columns, int(first.get("totalRows", 0)), found.table)


def tables_of_query(
    connection: Connection,
    sql: str,
    project: str,
    location: str | None = None,
    clock: Clock = SYSTEM_CLOCK,
    patience: Patience = PATIENCE,
) -> tuple[BigQueryTable, ...]:
    """Find out which tables a query reads, by a dry run, which costs nothing and reads no data.

    https://cloud.google.com/bigquery/docs/running-queries#dry-run

    Args:
        connection: the APIs.
        sql: the query.
        project: where it would run.
        location: where its data is, when BigQuery can't tell.
        clock: real or simulated time.
        patience: with a service that doesn't answer.

    Raises:
        OperationsError: the query is wrong, or the caller does not have permission to run it.
    """
    body: dict[str, Any] = {"configuration": {"dryRun": True, "query": {"query": sql, "useLegacySql": False}}}
    if location:
        body["jobReference"] = {"projectId": project, "location": location}
    prepared: Any = body
    try:
        job = cast(
            "Mapping[str, Any]",
            call(
                connection,
                lambda: connection.bigquery.jobs().insert(projectId=project, body=prepared),
                clock=clock,
                patience=patience,
            ),
        )
    except ApiError as error:
        raise OperationsError(f"the query can't be run in project {project}: {error.message}") from error
    problem = job.get("status", {}).get("errorResult")
    if problem:
        raise OperationsError(f"the query can't be run in project {project}: {problem.get('message', problem)}")
    found = job.get("statistics", {}).get("query", {}).get("referencedTables", ())
    return tuple(BigQueryTable(each["projectId"], each["datasetId"], each["tableId"]) for each in found)


def read_rows(connection: Connection, job: QueryJob, clock: Clock = SYSTEM_CLOCK) -> Iterator[tuple[Any, ...]]:
    """Read the rows of a query's result, page by page; values are text, as the API gives them."""
    token: str | None = None
    while True:
        page = _page(connection, job, _PAGE, token, clock)
        for row in page.get("rows", ()):
            yield tuple(cell.get("v") for cell in row.get("f", ()))
        token = page.get("pageToken")
        if not token:
            return


def extract_lines(connection: Connection, job: QueryJob, destination: str, clock: Clock = SYSTEM_CLOCK) -> None:
    """Write the one column of a query's result to objects, one value per line and no header.

    Args:
        connection: the APIs.
        job: the query.
        destination: `gs://` URI with one `*`, which stands for the number of the part.
        clock: real or simulated time.
    """
    configuration = {
        "extract": {
            "sourceTable": dict(job.table),
            "destinationUris": [destination],
            "destinationFormat": "CSV",
            "printHeader": False,
        }
    }
    _run(connection, job.project, job.location or None, configuration, clock)


def _run(
    connection: Connection, project: str, location: str | None, configuration: Mapping[str, Any], clock: Clock
) -> Mapping[str, Any]:
    # A name of our own: the same insert may be sent again after a lost answer and is still one job.
    job_id = f"imaging-{uuid.uuid4().hex}"
    reference: dict[str, str] = {"projectId": project, "jobId": job_id}
    if location:
        reference["location"] = location
    body: Any = {"jobReference": reference, "configuration": configuration}
    try:
        job = cast(
            "Mapping[str, Any]",
            call(connection, lambda: connection.bigquery.jobs().insert(projectId=project, body=body), clock=clock),
        )
    except ApiError as error:
        if error.status != 409:
            raise OperationsError(f"the query can't be run in project {project}: {error.message}") from error
        job = _job(connection, reference, clock)
    pause = 0.5
    while job.get("status", {}).get("state") != "DONE":
        clock.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)
        job = _job(connection, job.get("jobReference", reference), clock)
    problem = job["status"].get("errorResult")
    if problem:
        raise OperationsError(f"the query failed in project {project}: {problem.get('message', problem)}")
    return job


def _job(connection: Connection, reference: Mapping[str, str], clock: Clock) -> Mapping[str, Any]:
    arguments: dict[str, Any] = {"projectId": reference["projectId"], "jobId": reference["jobId"]}
    if reference.get("location"):
        arguments["location"] = reference["location"]
    return cast("Mapping[str, Any]", call(connection, lambda: connection.bigquery.jobs().get(**arguments), clock=clock))


def _page(connection: Connection, job: QueryJob, size: int, token: str | None, clock: Clock) -> Mapping[str, Any]:
    arguments: dict[str, Any] = {"projectId": job.project, "jobId": job.job_id, "maxResults": size}
    if job.location:
        arguments["location"] = job.location
    if token:
        arguments["pageToken"] = token
    return cast(
        "Mapping[str, Any]",
        call(connection, lambda: connection.bigquery.jobs().getQueryResults(**arguments), clock=clock),
    )
