"""Errors in the shapes of Google's APIs.

Two shapes are in use. Cloud Healthcare, Resource Manager, Service Usage, Pub/Sub and the other newer APIs answer
``{"error": {code, message, status, details}}``; BigQuery and Cloud Storage add the older ``errors`` list with a
``reason`` per entry, which their clients read.
"""

from __future__ import annotations

from typing import Any

#: google.rpc.Code by HTTP status, as Google's HTTP front end maps them (google/rpc/code.proto).
STATUS_NAMES: dict[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "INVALID_ARGUMENT",
    406: "INVALID_ARGUMENT",
    408: "DEADLINE_EXCEEDED",
    409: "ALREADY_EXISTS",
    411: "INVALID_ARGUMENT",
    412: "FAILED_PRECONDITION",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    416: "OUT_OF_RANGE",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}

#: The ``reason`` that BigQuery and Cloud Storage give where a handler names none.
LEGACY_REASONS: dict[int, str] = {
    400: "invalid",
    401: "authError",
    403: "forbidden",
    404: "notFound",
    409: "conflict",
    412: "conditionNotMet",
    429: "rateLimitExceeded",
    500: "internalError",
    501: "notImplemented",
    503: "backendError",
}

#: ``errors[0].domain`` by reason, where it is not ``global``.
_DOMAINS = {"accessNotConfigured": "usageLimits"}

#: Numbers of google.rpc.Code, used by the ``error`` of a long-running operation.
RPC_CODES: dict[str, int] = {
    "CANCELLED": 1,
    "UNKNOWN": 2,
    "INVALID_ARGUMENT": 3,
    "DEADLINE_EXCEEDED": 4,
    "NOT_FOUND": 5,
    "ALREADY_EXISTS": 6,
    "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8,
    "FAILED_PRECONDITION": 9,
    "ABORTED": 10,
    "OUT_OF_RANGE": 11,
    "UNIMPLEMENTED": 12,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
    "DATA_LOSS": 15,
    "UNAUTHENTICATED": 16,
}


class ApiError(Exception):
    """What an API answers instead of a result.

    Args:
        status: HTTP status code.
        message: the text a client shows.
        name: name of the google.rpc code; the usual one of the HTTP status if None.
        reason: ``errors[0].reason`` for BigQuery and Cloud Storage; the usual one of the HTTP status if None.
        details: ``error.details``, each with its ``@type``.
        headers: response headers, for instance ``Retry-After``.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        name: str | None = None,
        reason: str | None = None,
        details: list[dict[str, Any]] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.name = name or STATUS_NAMES.get(status, "UNKNOWN")
        self.reason = reason
        self.details = details
        self.headers = headers or {}

    @property
    def rpc_code(self) -> int:
        """The number of google.rpc.Code, as a long-running operation reports this error."""
        return RPC_CODES.get(self.name, 2)

    def body(self, *, legacy: bool, named: bool = True) -> dict[str, Any]:
        """The JSON body.

        Args:
            legacy: adds the ``errors`` list of BigQuery and Cloud Storage.
            named: whether the name of the google.rpc code is there; errors of Cloud Storage have none.
        """
        error: dict[str, Any] = {"code": self.status, "message": self.message}
        if named:
            error["status"] = self.name
        if legacy or self.reason:
            reason = self.reason or LEGACY_REASONS.get(self.status, "backendError")
            error["errors"] = [{"message": self.message, "domain": _DOMAINS.get(reason, "global"), "reason": reason}]
        if self.details:
            error["details"] = self.details
        return {"error": error}


def invalid(message: str, **extra: Any) -> ApiError:
    """400 INVALID_ARGUMENT."""
    return ApiError(400, message, **extra)


def not_found(message: str, **extra: Any) -> ApiError:
    """404 NOT_FOUND."""
    return ApiError(404, message, **extra)


def unimplemented(message: str) -> ApiError:
    """501 UNIMPLEMENTED: the emulator knows the method and does not serve it."""
    return ApiError(501, message)
