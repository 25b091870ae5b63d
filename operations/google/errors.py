"""Errors of the service, and texts a person can act on; the codes are in :mod:`operations.model.codes`."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from operations.model.codes import BY_NAME, BY_STATUS, UNKNOWN, Code
from operations.model.requests import ExportToBigQuery, ExportToCloudStorage, Import, Request

if TYPE_CHECKING:
    from googleapiclient.errors import HttpError


class OperationsError(Exception):
    """Something went wrong that a person has to know of; the text says what, and what to do."""


class ApiError(OperationsError):
    """A call was refused. `code` says why, `status` is the HTTP status, `retry_after` the seconds asked for."""

    def __init__(self, status: int, code: Code, message: str, *, retry_after: float | None = None) -> None:
        """Put status, code and the service's message together."""
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after
        super().__init__(f"{code.name} (HTTP {status}): {message}")


class UnreachableError(OperationsError):
    """No answer came. `refused` tells that nothing listens there at all."""

    def __init__(self, text: str, *, refused: bool = False) -> None:
        """Say what was tried."""
        self.refused = refused
        super().__init__(text)


def api_error(error: "HttpError") -> ApiError:
    """Read an HTTP error of google-api-python-client."""
    status = int(error.resp.status)
    content = error.content.decode("utf-8", "replace") if isinstance(error.content, bytes) else str(error.content)
    message, code = content.strip()[:500] or "no text in the answer", BY_STATUS.get(status, UNKNOWN)
    try:
        body = json.loads(content)["error"]
        message = str(body.get("message") or message)
        code = BY_NAME.get(str(body.get("status")), code)
    except (ValueError, TypeError, KeyError, AttributeError):
        pass  # a proxy's page or an empty answer: the status has to do
    return ApiError(status, code, message, retry_after=_retry_after(error.resp))


def _retry_after(headers: Mapping[str, str]) -> float | None:
    value = headers.get("retry-after", "").strip()
    if value.isdigit():
        return float(value)
    try:
        # Both by the service's clock: this machine's may be wrong.
        until, now = (parsedate_to_datetime(text) for text in (value, headers.get("date", "")))
    except ValueError:
        return None
    return max((until - now).total_seconds(), 0.0)


# The service agent's e-mail, or the words in which the service speaks of it. A refusal of the caller instead reads
# `Permission healthcare.dicomStores.export denied on resource …`.
_SERVICE_AGENT_WORDS = re.compile(
    r"gcp-sa-healthcare|service agent|service account|Healthcare API doesn't have required|"
    r"Access Denied: (?:Project|Dataset|Table|BigQuery)|User does not have bigquery\.|"
    r"does not have (?:storage|bigquery)\.",
    re.IGNORECASE,
)
_CALLER_WORDS = re.compile(r"Permission '?healthcare\.", re.IGNORECASE)


def names_service_agent(message: str) -> bool:
    """Tell whether a refusal is about the Healthcare service agent rather than the caller."""
    return bool(_SERVICE_AGENT_WORDS.search(message)) and not _CALLER_WORDS.search(message)


def passes_with_grants(code: int, message: str) -> bool:
    """Tell whether a refusal may pass once fresh grants of the service agent have taken effect.

    Args:
        code: the google.rpc code: 7, or for missing Cloud Storage rights 3 or 9.
        message: the service's text.
    """
    return code in (3, 7, 9) and names_service_agent(message)


@dataclass(frozen=True)
class Advice:
    """What a refusal means and what to do about it."""

    means: str
    do: str


@dataclass(frozen=True)
class Wording:
    """The words for what a person does next, which differ between a stack and the command line.

    Attributes:
        again: how to start a new operation.
        wait: how to wait for the same operation again.
        allow: how to allow failures.
        grants: who makes grants, in brackets; may be empty.
        creates: who creates destinations, in brackets, with `{setting}` for the name of the setting; may be empty.
    """

    again: str
    wait: str
    allow: str
    grants: str = ""
    creates: str = ""


STACK_WORDS = Wording(
    again="run `pulumi up`: a new operation is started",
    wait="run `pulumi up` to go on waiting for the same operation",
    allow="allowedFailures",
    grants=" (the stack does, unless grants are external)",
    creates=" (the stack creates those under {setting})",
)
COMMAND_WORDS = Wording(
    again="run the command again: it starts a new operation",
    wait="wait for it again with `python -m operations wait`",
    allow="--allowed-failures",
)


@dataclass(frozen=True)
class _Rule:
    """One explanation. `words` is a pattern for the message; names in braces stand in it as in the texts."""

    codes: tuple[int, ...]
    words: str
    kinds: tuple[type, ...]
    means: str
    do: str


_ALL = (ExportToBigQuery, ExportToCloudStorage, Import)
_JOBS_PROJECT = re.compile(r"bigquery\.jobs\.create permission in project (?P<project>[\w:.-]*\w)")
# The first rule that fits counts.
_RULES: tuple[_Rule, ...] = (
    _Rule(
        (7,),
        r"Permission '?healthcare\.",
        _ALL,
        "you may not do this with the store, or the Healthcare dataset doesn't exist",
        "get roles/healthcare.dicomEditor on the dataset, or correct the store's name",
    ),
    _Rule(
        (7,),
        r"roles/healthcare\.serviceAgent",
        _ALL,
        "{agent} lacks its own role on the project of the store",
        "grant it roles/healthcare.serviceAgent on that project{grants}, then {again}",
    ),
    _Rule(
        (7,),
        r"bigquery\.jobs\.create|jobUser",
        (ExportToBigQuery,),
        "{agent} may not run BigQuery jobs in project {jobs_project}",
        "grant it roles/bigquery.jobUser on that project{grants}, then {again}",
    ),
    _Rule(
        (7, 9),
        # A table has nothing to do with Cloud Storage: whatever speaks of it is about the filter.
        r"resourcePaths|Cloud Storage|storage\.|{filter_bucket}",
        (ExportToBigQuery,),
        "{agent} may not read the filter file",
        "grant it roles/storage.objectViewer on bucket {filter_bucket}{grants}, then {again}",
    ),
    _Rule(
        (7, 9),
        "resourcePaths|{filter_bucket}",
        (ExportToCloudStorage,),
        "{agent} may not read the filter file",
        "grant it roles/storage.objectViewer on bucket {filter_bucket}{grants}, then {again}",
    ),
    _Rule(
        (7, 9),
        "{bucket}",
        (ExportToCloudStorage,),
        "{agent} may not write to bucket {bucket}",
        "grant it roles/storage.objectAdmin there{grants}, then {again}",
    ),
    _Rule(
        (7, 9),
        "permission|denied|access",
        (ExportToCloudStorage,),
        "{agent} may not write to bucket {bucket}, or not read the filter file in bucket {filter_bucket}",
        "grant it roles/storage.objectAdmin on the first and roles/storage.objectViewer on the second{grants}, "
        "then {again}",
    ),
    _Rule(
        (7,),
        "",
        (ExportToBigQuery,),
        "{agent} may not write to BigQuery dataset {project}.{dataset}",
        "grant it roles/bigquery.dataEditor there and roles/bigquery.jobUser on project {project}"
        "{grants}, then {again}",
    ),
    _Rule(
        (7, 9),
        "permission|denied|access",
        (ExportToCloudStorage,),
        "{agent} may not write to bucket {bucket}",
        "grant it roles/storage.objectAdmin there{grants}, then {again}",
    ),
    _Rule(
        (7, 9),
        "permission|denied|access",
        (Import,),
        "{agent} may not read bucket {bucket}",
        "grant it roles/storage.objectViewer there{grants}, then {again}",
    ),
    _Rule(
        (6, 9),
        "exist|empty",
        (ExportToBigQuery,),
        "the table has rows already, and WRITE_EMPTY leaves them alone",
        "choose WRITE_TRUNCATE to replace them, WRITE_APPEND to add to them, or another table",
    ),
    _Rule(
        (5,),
        "",
        (ExportToBigQuery,),
        "BigQuery dataset {project}.{dataset} doesn't exist, or the store is gone",
        "create it{creates_dataset}, then {again}",
    ),
    _Rule(
        (5,),
        "",
        (ExportToCloudStorage, Import),
        "bucket {bucket} doesn't exist, or the store is gone",
        "create it{creates_bucket}, then {again}",
    ),
    _Rule(
        (3, 5),
        "match|no such|not found",
        (Import,),
        "no object matches {source}",
        "correct the URI, or upload the files first",
    ),
    _Rule((1,), "", _ALL, "somebody cancelled the operation", "{again}"),
    _Rule((8,), "", _ALL, "a quota is used up, or too many operations run at once", "wait a while, then {again}"),
    _Rule((4, 10, 13, 14), "", _ALL, "{cause}; such faults usually pass", "wait a while, then {again}"),
    _Rule((16,), "", _ALL, "the credentials are missing or have expired", "log in again, then {again}"),
)


def advice(
    code: Code,
    message: str,
    request: Request | None,
    service_agent: str | None = None,
    wording: Wording = STACK_WORDS,
) -> Advice:
    """Say what an error means and what to do.

    Args:
        code: of the refusal or of the failed operation.
        message: the service's own text.
        request: what was asked for, when it is known.
        service_agent: e-mail of the Healthcare service agent, when it is known.
        wording: for a stack or for the command line.
    """
    names = {
        "again": wording.again,
        "grants": wording.grants,
        "creates_dataset": wording.creates.format(setting="imaging:bigquery"),
        "creates_bucket": wording.creates.format(setting="imaging:buckets"),
        "agent": f"the service agent {service_agent}" if service_agent else "the Healthcare service agent",
        "cause": code.cause,
    }
    if isinstance(request, ExportToBigQuery):
        # Which project runs the load job, that of the table or that of the store, Google's pages leave open.
        named = _JOBS_PROJECT.search(message)
        names |= {
            "project": request.table.project,
            "dataset": request.table.dataset,
            "jobs_project": named["project"] if named else request.table.project,
        }
    elif isinstance(request, ExportToCloudStorage):
        names |= {"bucket": request.prefix.bucket}
    elif isinstance(request, Import):
        names |= {"bucket": request.source.bucket, "source": request.source.uri}
    chosen = None if request is None or isinstance(request, Import) else request.filter
    if chosen is not None and chosen.bucket != names.get("bucket"):
        names["filter_bucket"] = chosen.bucket
    for rule in _RULES:
        if code.number not in rule.codes or not (request is None or isinstance(request, rule.kinds)):
            continue
        try:
            if re.search(rule.words.format(**names), message, re.IGNORECASE):
                return Advice(rule.means.format(**names), rule.do.format(**names))
        except KeyError:
            continue  # the rule speaks of a destination or a filter, and none is known
    return Advice(code.cause, f"see the log entries; when the cause is gone, {wording.again}")
