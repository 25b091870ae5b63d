"""The exit codes, with what each tells a script."""

from enum import IntEnum

from operations.google.errors import ApiError, OperationsError, UnreachableError
from operations.google.retrying import passes
from operations.model.invalid import InputError
from operations.run.checks import CheckError
from operations.run.slots import NoSlotError
from operations.run.wait import OperationGoneError, WaitTimeoutError


class ExitCode(IntEnum):
    """How a command ended."""

    SUCCEEDED = 0
    FAILED = 1
    WRONG_ARGUMENTS = 2
    STILL_RUNNING = 3
    REFUSED = 4
    UNREACHABLE = 5
    MISSING = 6
    INTERRUPTED = 130
    TERMINATED = 143


MEANINGS: dict[ExitCode, str] = {
    ExitCode.SUCCEEDED: "done as asked",
    ExitCode.FAILED: (
        "the operation failed or was cancelled, more instances failed than allowed, its result doesn't match, "
        "or the service refused the request itself"
    ),
    ExitCode.WRONG_ARGUMENTS: "wrong arguments, names, URIs or filter lines; nothing was started",
    ExitCode.STILL_RUNNING: "the operation still runs after --timeout; wait for it again, it is still running",
    ExitCode.REFUSED: "no credentials, or no permission",
    ExitCode.UNREACHABLE: "the API can't be reached, or has no capacity",
    ExitCode.MISSING: (
        "something doesn't exist or is in the way: the operation, the store, the bucket, a non-empty table"
    ),
    ExitCode.INTERRUPTED: "interrupted with Ctrl-C; a started operation keeps running",
    ExitCode.TERMINATED: "ended by SIGTERM; a started operation keeps running",
}


def exit_code_of(error: Exception) -> ExitCode:
    """Return the exit code for an error that ended a command."""
    if isinstance(error, InputError):
        return ExitCode.WRONG_ARGUMENTS
    if isinstance(error, WaitTimeoutError):
        return ExitCode.STILL_RUNNING
    if isinstance(error, CheckError | OperationGoneError):
        return ExitCode.MISSING
    if isinstance(error, UnreachableError | NoSlotError):
        return ExitCode.UNREACHABLE
    if isinstance(error, ApiError):
        return _of_refusal(error)
    # An error that says more than its cause has the cause's kind.
    cause = error.__cause__
    if isinstance(cause, OperationsError | InputError):
        return exit_code_of(cause)
    if type(cause).__module__.startswith("google.auth"):
        return ExitCode.REFUSED
    return ExitCode.FAILED


def _of_refusal(error: ApiError) -> ExitCode:
    if error.status in (401, 403):
        return ExitCode.REFUSED
    if error.status in (404, 412):
        return ExitCode.MISSING
    return ExitCode.UNREACHABLE if passes(error) else ExitCode.FAILED
