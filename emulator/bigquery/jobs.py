"""``bigquery.jobs``: queries, loads, extracts and copies, as jobs that run beside the requests."""

from __future__ import annotations

import asyncio
import re
import secrets
import threading
from typing import TYPE_CHECKING, Any

from ..core.clock import milliseconds, now
from ..core.errors import ApiError, invalid, not_found
from ..http import discovery
from ..http.call import parse_json
from ..http.paging import page
from ..http.routing import Routes
from ..iam import OWNER
from . import uploads
from .catalog import Catalog
from .copies import run_copy
from .extracts import run_extract
from .loads import run_load
from .names import already_exists, denied_project
from .pages import number, read_page
from .work import Work

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future
    from pathlib import Path

    from starlette.responses import Response

    from ..core.runtime import Emulator
    from ..http.call import Call

routes = Routes("bigquery")

_QUERY_NOTE = (
    "GoogleSQL only; what is not translated is refused by name (persistent and JavaScript functions, procedures, "
    "IF and loops of scripts, transactions, geography, machine learning)"
)
_NOTE = f"queries: {_QUERY_NOTE}; files are CSV and JSON lines, Parquet when loaded; no snapshots or clones"
_KINDS = ("query", "load", "extract", "copy")
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,1024}")
#: How long jobs.query and getQueryResults wait where the request names no time, in milliseconds.
_WAIT_MS = 10_000
#: How long jobs.insert waits before it answers that the job runs, in seconds.
_GRACE = 2.0
#: Jobs that are remembered; the oldest finished ones go first.
_MOST_JOBS = 5000


def _run_query(work: Work) -> None:
    # Not at the top: the compiler of SQL and DuckDB are the slowest to load, and a starting emulator needs neither.
    from .queries import run_query

    run_query(work)


_RUNNERS: dict[str, Callable[[Work], None]] = {
    "query": _run_query,
    "load": run_load,
    "extract": run_extract,
    "copy": run_copy,
}


class Jobs:
    """All jobs of one emulator; ``emulator.service(Jobs)``."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.catalog = emulator.service(Catalog)
        self.jobs = emulator.state.collection("bigquery.jobs")
        self._running: dict[str, tuple[Future[None], Work]] = {}
        self._lock = threading.RLock()
        emulator.on_stop(self._cancel_all)
        emulator.on_close(self._cancel_all)
        for key, job in list(self.jobs.items()):
            if job["status"]["state"] != "DONE":
                # The process that ran it is gone.
                error = {"reason": "backendError", "message": "The emulator ended while the job was running"}
                self.jobs[key] = {**job, "status": {"state": "DONE", "errorResult": error, "errors": [error]}}

    def find(self, project: str, job_id: str, location: str | None = None) -> dict[str, Any]:
        """A job.

        Raises:
            ApiError: 404 if there is none, or none in the location.
        """
        found = self.jobs.get(f"{project}/{job_id}")
        known = None if found is None else found["jobReference"].get("location")
        if found is None or (location and known and known.lower() != location.lower()):
            where = f"{location}." if location else ""
            raise not_found(f"Not found: Job {project}:{where}{job_id}", reason="notFound")
        return found

    def start(
        self,
        principal: str,
        project: str,
        configuration: dict[str, Any],
        reference: dict[str, Any],
        media: Path | None = None,
    ) -> tuple[dict[str, Any], Future[None] | None]:
        """Begin a job.

        Args:
            principal: who runs it.
            project: which project pays for it.
            configuration: a JobConfiguration.
            reference: the client's JobReference, or an empty one.
            media: uploaded file of a load job.

        Returns:
            The job's document, and what ends when the job does (None for a dry run, which is finished).

        Raises:
            ApiError: 400 for a configuration that can't be; 403 if the caller may not run jobs there; 409 if there is
                a job with the id. A dry run raises whatever is wrong with the query.
        """
        kind = _kind(configuration)
        self.catalog.require_project(principal, "bigquery.jobs.create", project)
        job_id = reference.get("jobId") or f"job_{secrets.token_urlsafe(20)}"
        if not _JOB_ID.fullmatch(job_id):
            raise invalid(
                f'Invalid job ID "{job_id}". Job IDs have letters, digits, underscores and dashes, up to 1,024.'
            )
        moment = milliseconds(now())
        job: dict[str, Any] = {
            "configuration": {**configuration, "jobType": kind.upper()},
            "jobReference": {"projectId": project, "jobId": job_id},
            "principal": principal,
            "status": {"state": "RUNNING"},
            "statistics": {"creationTime": moment, "startTime": moment},
        }
        if reference.get("location"):
            job["jobReference"]["location"] = reference["location"]
        work = Work(self.catalog, job, media)
        if work.dry_run:
            if kind != "query":
                raise invalid("dryRun is only served for queries")
            with self.catalog.engine.reading():
                _run_query(work)
            return self._finished(job, work, None), None
        key = f"{project}/{job_id}"
        with self._lock:
            if key in self.jobs:
                raise already_exists("Job", f"{project}:{reference.get('location') or 'US'}.{job_id}")
            self.jobs[key] = job
            self._forget_old()
        future = self.emulator.background(lambda: self._run(key, job, work, kind))
        with self._lock:
            self._running[key] = (future, work)
        future.add_done_callback(lambda _: self._running.pop(key, None))
        return job, future

    def running(self, project: str, job_id: str) -> Future[None] | None:
        """What ends when the job does; None if it is done."""
        found = self._running.get(f"{project}/{job_id}")
        return None if found is None else found[0]

    def cancel(self, project: str, job_id: str) -> None:
        """Ask a job to end; nothing happens if it is done."""
        found = self._running.get(f"{project}/{job_id}")
        if found is not None:
            found[1].cancel()

    def _run(self, key: str, job: dict[str, Any], work: Work, kind: str) -> None:
        error: ApiError | None = None
        timer = self._timer(work)
        try:
            work.thread = threading.get_ident()
            wait = self.emulator.settings.operation_seconds
            if wait:
                work.cancelled.wait(wait)
            work.check_cancelled()
            with self.catalog.engine.reading():
                _RUNNERS[kind](work)
        except ApiError as problem:
            # What an interrupted database says is not why it was interrupted.
            error = ApiError(499, work.problem, reason="stopped") if work.cancelled.is_set() else problem
        except Exception:
            if work.cancelled.is_set():
                error = ApiError(499, work.problem, reason="stopped")
            else:
                import logging

                logging.getLogger("emulator").exception("job %s failed", key)
                error = ApiError(500, "An internal error occurred and the request could not be completed.")
        finally:
            work.thread = None
            if timer is not None:
                timer.cancel()
            if work.media is not None:
                work.media.unlink(missing_ok=True)
        if key in self.jobs:
            self.jobs[key] = self._finished(job, work, error)

    @staticmethod
    def _timer(work: Work) -> threading.Timer | None:
        """Ends the job after ``jobTimeoutMs``."""
        limit = work.configuration.get("jobTimeoutMs")
        if not limit or int(limit) <= 0:
            return None
        timer = threading.Timer(int(limit) / 1000, work.cancel, [f"Job timed out after {int(limit) / 1000:g}s"])
        timer.daemon = True
        timer.start()
        return timer

    def _finished(self, job: dict[str, Any], work: Work, error: ApiError | None) -> dict[str, Any]:
        status: dict[str, Any] = {"state": "DONE"}
        errors = list(work.warnings)
        if error is not None:
            shown = error_proto(error)
            status["errorResult"] = shown
            errors.insert(0, shown)
        if errors:
            status["errors"] = errors
        reference = {**job["jobReference"], "location": work.location or "US"}
        statistics = {**job["statistics"], "endTime": milliseconds(now()), **work.statistics}
        return {
            **job,
            "configuration": work.configuration,
            "jobReference": reference,
            "status": status,
            "statistics": statistics,
            "result": work.result,
            "failure": None if error is None else {"status": error.status, "reason": error.reason},
        }

    def _forget_old(self) -> None:
        if len(self.jobs) > _MOST_JOBS:
            done = [key for key, job in self.jobs.items() if job["status"]["state"] == "DONE"]
            for key in done[: len(self.jobs) - _MOST_JOBS]:
                del self.jobs[key]

    def _cancel_all(self) -> None:
        with self._lock:
            for _, work in list(self._running.values()):
                work.cancel()


#: ``reason`` of an error by HTTP status, where the error names none.
_REASONS = {
    400: "invalid",
    403: "accessDenied",
    404: "notFound",
    409: "duplicate",
    499: "stopped",
    501: "notImplemented",
}


def error_proto(error: ApiError) -> dict[str, Any]:
    """An ErrorProto."""
    made = {"reason": error.reason or _REASONS.get(error.status, "internalError"), "message": error.message}
    if made["reason"] == "invalidQuery":
        made["location"] = "query"
    return made


def _kind(configuration: dict[str, Any]) -> str:
    kinds = [kind for kind in _KINDS if configuration.get(kind) is not None]
    if len(kinds) != 1:
        raise invalid("Required parameter is missing: a job's configuration has one of query, load, extract or copy")
    return kinds[0]


def shown(call: Call, job: dict[str, Any], *, full: bool = True) -> dict[str, Any]:
    """The REST resource of a job."""
    reference = job["jobReference"]
    project, job_id = reference["projectId"], reference["jobId"]
    made: dict[str, Any] = {
        "kind": "bigquery#job",
        "id": f"{project}:{reference.get('location', 'US')}.{job_id}",
        "jobReference": reference,
        "statistics": job["statistics"],
        "status": job["status"],
        "configuration": job["configuration"],
        "user_email": _email(job["principal"]),
    }
    if full:
        made["etag"] = f"{job['status']['state']}-{job['statistics'].get('endTime', '')}"
        made["selfLink"] = (
            f"{call.base_url}/bigquery/v2/projects/{project}/jobs/{job_id}?location={reference.get('location', 'US')}"
        )
        made["principal_subject"] = "user:owner@example.com" if job["principal"] == OWNER else job["principal"]
    else:
        made["state"] = job["status"]["state"]
        if "errorResult" in job["status"]:
            made["errorResult"] = job["status"]["errorResult"]
    return made


def _email(principal: str) -> str:
    return "owner@example.com" if principal == OWNER else principal.partition(":")[2]


# --- methods ---


@routes.method("jobs.insert", streams=True, note=_NOTE)
async def insert(call: Call) -> dict[str, Any] | Response:
    """Start a job; with an upload, a load job for the uploaded data."""
    jobs = await asyncio.to_thread(call.emulator.service, Jobs)
    if call.upload:
        received = await uploads.receive(call)
        if not isinstance(received, uploads.Received):
            return received
        body, media = received.body, received.media
    else:
        body, media = parse_json(await call.read()), None
    try:
        discovery.check_body(call.method, body)
        body = discovery.as_declared(call.method, body)
        project = jobs.catalog.project(call.path["projectId"])
        configuration = body.get("configuration") or {}
        if media is not None and configuration.get("load") is None:
            raise invalid("Required parameter is missing: an upload is for a job with configuration.load")
        job, future = await asyncio.to_thread(
            jobs.start, call.principal, project, configuration, body.get("jobReference") or {}, media
        )
    except ApiError:
        if media is not None:
            media.unlink(missing_ok=True)
        raise
    if future is not None:
        await _wait(future, _GRACE if not call.emulator.settings.operation_seconds else 0.0)
        job = jobs.jobs.get(f"{project}/{job['jobReference']['jobId']}", job)
    return shown(call, job)


async def _wait(future: Future[None], seconds: float) -> bool:
    """Whether the job ended within the time."""
    done, _ = await asyncio.wait([asyncio.wrap_future(future)], timeout=seconds)
    return bool(done)


@routes.method("jobs.get")
def get(call: Call) -> dict[str, Any]:
    """Read a job."""
    _, job = _job(call)
    return shown(call, job)


def _job(call: Call) -> tuple[Jobs, dict[str, Any]]:
    jobs = call.emulator.service(Jobs)
    project = jobs.catalog.project(call.path["projectId"])
    job = jobs.find(project, call.path["jobId"], call.query.get("location"))
    if job["principal"] != call.principal:
        # Jobs of others are seen by those who may see all of the project.
        _may_see_all(call, jobs, project)
    return jobs, job


def _may_see_all(call: Call, jobs: Jobs, project: str) -> None:
    if not jobs.emulator.iam.allowed(call.principal, "bigquery.jobs.get", f"projects/{project}"):
        raise denied_project("bigquery.jobs.get", project)


@routes.method("jobs.list")
def list_(call: Call) -> dict[str, Any]:
    """The caller's jobs in a project, the newest first; everybody's with ``allUsers``."""
    jobs = call.emulator.service(Jobs)
    project = jobs.catalog.project(call.path["projectId"])
    everybody = call.query.get("allUsers", "").lower() == "true"
    if everybody:
        jobs.catalog.require_project(call.principal, "bigquery.jobs.list", project)
    states = [state.upper() for state in call.query.getlist("stateFilter")]
    first = number(call.query.get("minCreationTime"), "minCreationTime") or 0
    last = number(call.query.get("maxCreationTime"), "maxCreationTime")
    found = {}
    if not call.query.get("parentJobId"):
        for index, key in enumerate(jobs.jobs.keys_under(f"{project}/")):
            job = jobs.jobs[key]
            created = int(job["statistics"]["creationTime"])
            own = everybody or job["principal"] == call.principal
            in_time = created >= first and (last is None or created <= last)
            if own and in_time and (not states or job["status"]["state"] in states):
                # Sorted by time, backwards.
                found[f"{10**15 - created:016d} {index:06d}"] = job
    keys, token = page(sorted(found), call.page_size("maxResults", 50, 1000), call.query.get("pageToken"))
    answer: dict[str, Any] = {"kind": "bigquery#jobList", "etag": "list"}
    listed = [shown(call, found[key], full=False) for key in keys]
    if call.query.get("projection", "").lower() != "full":
        for entry in listed:
            entry.pop("principal_subject", None)
    if listed:
        answer["jobs"] = listed
    if token:
        answer["nextPageToken"] = token
    return answer


@routes.method("jobs.cancel")
async def cancel(call: Call) -> dict[str, Any]:
    """Ask a job to end."""
    jobs, job = _job(call)
    reference = job["jobReference"]
    jobs.cancel(reference["projectId"], reference["jobId"])
    future = jobs.running(reference["projectId"], reference["jobId"])
    if future is not None:
        await _wait(future, 1.0)
    current = jobs.jobs.get(f"{reference['projectId']}/{reference['jobId']}", job)
    return {"kind": "bigquery#jobCancelResponse", "job": shown(call, current)}


@routes.method("jobs.delete")
def delete(call: Call) -> None:
    """Forget a finished job."""
    jobs = call.emulator.service(Jobs)
    project = jobs.catalog.project(call.path["projectId"])
    job = jobs.find(project, call.path["jobId"], call.query.get("location"))
    jobs.catalog.require_project(call.principal, "bigquery.jobs.delete", project)
    if job["status"]["state"] != "DONE":
        raise invalid(f"Job {project}:{call.path['jobId']} is running; cancel it before it is deleted")
    del jobs.jobs[f"{project}/{call.path['jobId']}"]


#: Fields of a QueryRequest that belong to the query's configuration.
_QUERY_FIELDS = (
    "query",
    "useLegacySql",
    "defaultDataset",
    "parameterMode",
    "queryParameters",
    "maximumBytesBilled",
    "useQueryCache",
    "createSession",
    "connectionProperties",
    "destinationEncryptionConfiguration",
)


@routes.method("jobs.query", note=_QUERY_NOTE)
async def query(call: Call) -> dict[str, Any]:
    """Run a query and answer the first page of its result."""
    body = call.body
    jobs = await asyncio.to_thread(call.emulator.service, Jobs)
    project = jobs.catalog.project(call.path["projectId"])
    configuration: dict[str, Any] = {
        "query": {name: body[name] for name in _QUERY_FIELDS if body.get(name) is not None}
    }
    for name in ("dryRun", "labels", "jobTimeoutMs"):
        if body.get(name) is not None:
            configuration[name] = body[name]
    if str(body.get("queryResultsFormat", "")).upper() not in ("", "JSON", "QUERY_RESULTS_FORMAT_UNSPECIFIED"):
        raise ApiError(501, "The emulator answers results of queries as JSON only.")
    reference = {"location": body["location"]} if body.get("location") else {}
    job, future = await asyncio.to_thread(jobs.start, call.principal, project, configuration, reference)
    if future is not None:
        given = body.get("timeoutMs")
        await _wait(future, (_WAIT_MS if given is None else int(given)) / 1000)
        job = jobs.jobs.get(f"{project}/{job['jobReference']['jobId']}", job)
    options = dict(_format_options(body))
    if body.get("maxResults") is not None:
        options["maxResults"] = str(body["maxResults"])
    answer = await asyncio.to_thread(_results, jobs, job, options)
    answer["kind"] = "bigquery#queryResponse"
    return answer


def _format_options(body: dict[str, Any]) -> list[tuple[str, str]]:
    return [(f"formatOptions.{key}", str(value)) for key, value in (body.get("formatOptions") or {}).items()]


@routes.method("jobs.getQueryResults")
async def results(call: Call) -> dict[str, Any]:
    """A page of the result of a query; waits for the query for a while."""
    jobs, job = _job(call)
    if "query" not in job["configuration"]:
        raise invalid(f"Job {job['jobReference']['jobId']} is not a query")
    project, job_id = job["jobReference"]["projectId"], job["jobReference"]["jobId"]
    future = jobs.running(project, job_id)
    if future is not None:
        given = number(call.query.get("timeoutMs"), "timeoutMs")
        await _wait(future, (_WAIT_MS if given is None else given) / 1000)
        job = jobs.find(project, job_id)
    answer = await asyncio.to_thread(_results, jobs, job, call.query)
    answer["kind"] = "bigquery#getQueryResultsResponse"
    answer["etag"] = f"{job_id}-{job['statistics'].get('endTime', '')}"
    for name in _ONLY_IN_QUERY:
        answer.pop(name, None)
    return answer


_ONLY_IN_QUERY = (
    "location",
    "creationTime",
    "startTime",
    "endTime",
    "totalBytesBilled",
    "totalSlotMs",
    "statementType",
)


def _results(jobs: Jobs, job: dict[str, Any], query: Mapping[str, str]) -> dict[str, Any]:
    answer: dict[str, Any] = {"jobReference": job["jobReference"], "jobComplete": job["status"]["state"] == "DONE"}
    if not answer["jobComplete"]:
        return answer
    if job.get("failure"):
        failure, error = job["failure"], job["status"]["errorResult"]
        status = 400 if failure["status"] == 499 else failure["status"]
        raise ApiError(status, error["message"], reason=error["reason"])
    statistics = job["statistics"]
    details = statistics.get("query", {})
    answer["cacheHit"] = details.get("cacheHit", False)
    answer["totalBytesProcessed"] = details.get("totalBytesProcessed", "0")
    answer.update(
        location=job["jobReference"].get("location", "US"),
        creationTime=statistics["creationTime"],
        startTime=statistics["startTime"],
        endTime=statistics["endTime"],
        totalBytesBilled=details.get("totalBytesBilled", "0"),
        totalSlotMs="0",
    )
    if details.get("statementType"):
        answer["statementType"] = details["statementType"]
    if "numDmlAffectedRows" in details:
        answer["numDmlAffectedRows"] = details["numDmlAffectedRows"]
    result = job.get("result") or {}
    if "fields" in result:
        answer["schema"] = {"fields": result["fields"]}
    table = result.get("table")
    if table is not None:
        with jobs.catalog.engine.reading():
            document = jobs.catalog.tables.get(table)
            if document is None:
                gone = f"Not found: the result of job {job['jobReference']['jobId']} is gone"
                raise not_found(gone, reason="notFound")
            answer.update(read_page(jobs.catalog, document, query))
    elif "fields" in result:
        answer["totalRows"] = "0"
    return answer
