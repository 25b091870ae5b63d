"""The codes of google.rpc: name, HTTP status, usual cause.

https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto; an operation's `error.code` is one of these
numbers, never an HTTP status. Usual causes are those of DICOM imports and exports.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """One code: its number and name, the HTTP status it goes with, its usual cause, and whether it passes by itself."""

    number: int
    name: str
    http: int
    cause: str
    passes: bool = False


CODES: tuple[Code, ...] = (
    Code(1, "CANCELLED", 499, "somebody cancelled the operation"),
    Code(2, "UNKNOWN", 500, "the service can't say; the log entries and counters may"),
    Code(
        3,
        "INVALID_ARGUMENT",
        400,
        "a URI that matches nothing, a file that is no DICOM instance, a bad filter line, an impossible format",
    ),
    Code(4, "DEADLINE_EXCEEDED", 504, "the service gave up because the job took too long", passes=True),
    Code(5, "NOT_FOUND", 404, "a bucket, a BigQuery dataset or the DICOM store is gone"),
    Code(6, "ALREADY_EXISTS", 409, "the table has rows already and the write disposition is WRITE_EMPTY"),
    Code(7, "PERMISSION_DENIED", 403, "a role is missing, or was granted so recently that it has no effect yet"),
    Code(8, "RESOURCE_EXHAUSTED", 429, "a quota is used up, or too many operations run at once", passes=True),
    Code(9, "FAILED_PRECONDITION", 400, "the table isn't empty, or the encryption key can't be used"),
    Code(10, "ABORTED", 409, "another operation got in the way", passes=True),
    Code(11, "OUT_OF_RANGE", 400, "a value is outside what the service allows"),
    Code(12, "UNIMPLEMENTED", 501, "the service doesn't do this"),
    Code(13, "INTERNAL", 500, "a fault inside the service", passes=True),
    Code(14, "UNAVAILABLE", 503, "the service couldn't be reached or was overloaded", passes=True),
    Code(15, "DATA_LOSS", 500, "the service lost data"),
    Code(16, "UNAUTHENTICATED", 401, "the credentials are missing or have expired"),
)
UNKNOWN = CODES[1]
_BY_NUMBER = {code.number: code for code in CODES}
#: Codes by their name.
BY_NAME = {code.name: code for code in CODES}
#: Codes by HTTP status. Where several codes share a status, the plain one is meant when the answer names none.
BY_STATUS = {code.http: code for code in reversed(CODES)} | {500: _BY_NUMBER[13], 400: _BY_NUMBER[3]}

PERMISSION_DENIED = 7
CANCELLED = 1


def code_of(number: int) -> Code:
    """Return the code of this number; UNKNOWN for numbers that don't exist."""
    return _BY_NUMBER.get(number, UNKNOWN)
