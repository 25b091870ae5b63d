"""Errors of the service, and texts a person can act on; the codes are in :mod:`operations.model.codes`."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from operations.google.refusals import RULES, names_service_agent
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

    cause: str
    fix: str


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
    wait="run `pulumi up` to resume waiting for the same operation",
    allow="allowedFailures",
    grants=" (the stack does, unless grants are external; one that somebody took away it makes again with "
    "`pulumi up --refresh`)",
    creates=" (the stack creates those under {setting})",
)
COMMAND_WORDS = Wording(
    again="run the command again: it starts a new operation",
    wait="wait for it again with `python -m operations wait`",
    allow="--allowed-failures",
)


_JOBS_PROJECT = re.compile(r"bigquery\.jobs\.create permission in project (?P<project>[\w:.-]*\w)")


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
        "allow": wording.allow,
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
    about_agent = names_service_agent(message)
    for rule in RULES:
        if rule.codes and code.number not in rule.codes:
            continue
        if (rule.agent and not about_agent) or not (request is None or isinstance(request, rule.kinds)):
            continue
        try:
            found = re.search(rule.words.format(**names), message, re.IGNORECASE | re.DOTALL)
            if found:
                words = {**names, **{name: text for name, text in found.groupdict().items() if text}}
                return Advice(rule.cause.format(**words), rule.fix.format(**words))
        except KeyError:
            continue  # the rule speaks of a destination or a filter, and none is known
    return Advice(code.cause, f"see the log entries; when the cause is gone, {wording.again}")
