"""What an operation has come to: state, counters, times, errors, and what the checks of its result found."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from operations.model.codes import CANCELLED, code_of

# Google says two things about an import some of whose files fail: that it ends with a response and counters
# (best-practices-lros), and that it "returns an error if any of the files to import are not DICOM files" (discovery
# document). Imports of FHIR resources were seen to end with this text (synthetichealth/synthea issue 1568).
_PARTIAL = re.compile(r"\bone or more\b.{0,80}\bfail", re.IGNORECASE | re.DOTALL)
_INVALID_ARGUMENT = 3


class State(StrEnum):
    """Where an operation stands."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    SUCCEEDED_WITH_FAILURES = "succeeded with failures"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"  # the service no longer knows the operation, and its end was never seen
    SKIPPED = "skipped"  # there was nothing to import or export, and nothing was started
    LOST = "lost"  # it succeeded, and what it left behind is gone


@dataclass(frozen=True)
class ItemError:
    """One file or instance that failed. `source` is its URI or path as the service names it, when it does."""

    source: str
    message: str
    code: int = 0

    def __str__(self) -> str:
        # Instances are named by their whole path at the service; what lies below the store tells them apart.
        source = self.source.rpartition("/dicomWeb/")[2] or self.source
        return f"{source}: {self.message}" if source else self.message


@dataclass(frozen=True)
class Check:
    """One thing that was checked about the result. `found` is None when it couldn't be read."""

    what: str
    expected: int
    found: int | None
    passed: bool
    note: str = ""

    def __str__(self) -> str:
        if self.found is None:
            return f"{self.what}: not checked, {self.note}"
        if self.passed:
            return f"{self.what}: {self.found:,}" + (f" ({self.note})" if self.note else "")
        return f"{self.what}: expected {self.expected:,}, found {self.found:,}" + (
            f"; {self.note}" if self.note else ""
        )


@dataclass(frozen=True)
class Outcome:
    """What came of an operation. Times are RFC 3339 as the service writes them, empty when unknown."""

    operation: str
    state: State
    success: int = 0
    failure: int = 0
    pending: int = 0
    api_method: str = ""
    start_time: str = ""
    end_time: str = ""
    logs_url: str = ""
    error_code: int = 0
    error_message: str = ""
    cancel_requested: bool = False
    errors: tuple[ItemError, ...] = ()
    log_entries: tuple[ItemError, ...] = ()
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def done(self) -> bool:
        """Whether the operation has ended, in whatever way."""
        return self.state is not State.RUNNING

    @property
    def seconds(self) -> float | None:
        """How long the operation ran, by the service's own clock."""
        if not self.start_time or not self.end_time:
            return None
        return max(seconds_of(self.end_time) - seconds_of(self.start_time), 0.0)

    @property
    def rate(self) -> float | None:
        """Instances per second over the whole run."""
        seconds = self.seconds
        return (self.success + self.failure) / seconds if seconds else None

    @property
    def item_errors(self) -> tuple[ItemError, ...]:
        """Everything known about single files or instances, without repetition."""
        return tuple(dict.fromkeys((*self.errors, *self.log_entries)))

    @property
    def error_name(self) -> str:
        """The name of the error code, such as PERMISSION_DENIED; empty without an error."""
        return code_of(self.error_code).name if self.error_code else ""

    def with_(self, **changes: Any) -> "Outcome":
        """Return a copy with some fields changed."""
        return replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values: the one form of it, of which outputs and `--json` show all or a part."""
        error = {"code": self.error_code, "name": self.error_name, "message": self.error_message}
        return {
            "operation": self.operation,
            "method": self.api_method,
            "state": self.state.value,
            "success": self.success,
            "failure": self.failure,
            "pending": self.pending,
            "startTime": self.start_time,
            "endTime": self.end_time,
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "logsUrl": self.logs_url,
            "cancelRequested": self.cancel_requested,
            "error": error if self.error_code else None,
            "errors": [asdict(item) for item in self.item_errors],
            "checks": [asdict(check) for check in self.checks],
            "notes": list(self.notes),
        }


def outcome_of(operation: Mapping[str, Any]) -> Outcome:
    """Read an operation as the API returns it. `done` is left out while it runs, and zero counters always.

    An error that only says that some of the files failed is read as the counters say, like a response.
    """
    metadata: Mapping[str, Any] = operation.get("metadata") or {}
    counter: Mapping[str, Any] = metadata.get("counter") or {}
    error: Mapping[str, Any] | None = operation.get("error")
    failure = int(counter.get("failure", 0))
    if not operation.get("done"):
        state = State.RUNNING
    elif error is not None:
        state = State.CANCELLED if error.get("code") == CANCELLED else State.FAILED
        if _is_partial(error, metadata, counter):
            state = State.SUCCEEDED_WITH_FAILURES
    else:
        state = State.SUCCEEDED_WITH_FAILURES if failure else State.SUCCEEDED
    return Outcome(
        operation=str(operation.get("name", "")),
        state=state,
        success=int(counter.get("success", 0)),
        failure=failure,
        pending=int(counter.get("pending", 0)),
        api_method=str(metadata.get("apiMethodName", "")).rpartition(".")[2],
        start_time=str(metadata.get("createTime", "")),
        end_time=str(metadata.get("endTime", "")),
        logs_url=str(metadata.get("logsUrl", "")),
        error_code=int(error.get("code", 2)) if error is not None else 0,
        error_message=str(error.get("message", "")) if error is not None else "",
        cancel_requested=bool(metadata.get("cancelRequested")),
        errors=_sample_errors(error.get("details") or ()) if error is not None else (),
    )


def _is_partial(error: Mapping[str, Any], metadata: Mapping[str, Any], counter: Mapping[str, Any]) -> bool:
    """Whether an operation went through everything, and its error only says that some of it failed."""
    if error.get("code") != _INVALID_ARGUMENT or not int(counter.get("failure", 0)) or int(counter.get("pending", 0)):
        return False
    if _PARTIAL.search(str(error.get("message", ""))):
        return True
    # For DICOM the text isn't known: an import that stored some files and refused others went through them.
    return "ImportDicomData" in str(metadata.get("apiMethodName", "")) and int(counter.get("success", 0)) > 0


def seconds_of(time: str) -> float:
    """Turn an RFC 3339 time into seconds since 1970; 0 when it can't be read."""
    try:
        moment = datetime.fromisoformat(time)
    except ValueError:
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _sample_errors(details: Sequence[Mapping[str, Any]]) -> tuple[ItemError, ...]:
    found = []
    for detail in details:
        for sample in detail.get("sampleErrors") or ():
            error = sample.get("error") or {}
            found.append(
                ItemError(str(sample.get("resource", "")), str(error.get("message", "")), int(error.get("code", 0)))
            )
    return tuple(found)
