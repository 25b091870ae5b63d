"""Calls that may be made again: what passes by itself, and how long to wait for it.

Google's advice: truncated exponential backoff with jitter, min(2^n + random, 32 s), for 429 and 5xx
(https://cloud.google.com/healthcare-api/docs/best-practices-request-latency-error-handling-retry).
"""

import errno
import http.client
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import httplib2

from operations.google.clock import SYSTEM_CLOCK, Clock
from operations.google.connection import START_EMULATOR, Connection
from operations.google.errors import ApiError, OperationsError, UnreachableError, api_error
from operations.model.codes import code_of

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_TRANSIENT_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
_LONGEST_PAUSE = 32.0
# A person whose emulator isn't running wants to know at once, not after a minute of polite retries.
_REFUSED_PATIENCE = 3.0


class HttpRequest(Protocol[T_co]):
    """A prepared call of google-api-python-client."""

    def execute(self) -> T_co:
        """Send it and return the answer."""


@dataclass(frozen=True)
class Patience:
    """How long a call may be made again: `seconds` in all, counted from the first failure."""

    seconds: float = 120.0


PATIENCE = Patience()


def send(connection: Connection, prepare: Callable[[], HttpRequest[T]]) -> T:
    """Make a call once.

    Args:
        connection: its transport is dropped when it breaks.
        prepare: makes the request; called here, so that it uses this thread's transport.

    Raises:
        ApiError: the service refused.
        UnreachableError: no answer came; whether the call took effect is unknown.
        OperationsError: there are no usable credentials.
    """
    import google.auth.exceptions
    from googleapiclient.errors import HttpError

    try:
        return prepare().execute()
    except HttpError as error:
        raise api_error(error) from error
    except google.auth.exceptions.DefaultCredentialsError as error:
        raise OperationsError(
            "no Google credentials were found; run `gcloud auth application-default login`, "
            "or say where the emulator is (imaging:endpoint in a stack, else --endpoint or IMAGING_ENDPOINT)"
        ) from error
    except google.auth.exceptions.RefreshError as error:
        if getattr(error, "retryable", False):
            raise UnreachableError(f"the credentials couldn't be refreshed: {error}") from error
        raise ApiError(401, code_of(16), f"the credentials couldn't be refreshed: {error}") from error
    except (
        google.auth.exceptions.TransportError,
        httplib2.HttpLib2Error,
        http.client.HTTPException,
        ssl.SSLError,
        OSError,
    ) as error:
        connection.reset()
        raise _unreachable(connection, error) from error


def call(
    connection: Connection,
    prepare: Callable[[], HttpRequest[T]],
    *,
    clock: Clock = SYSTEM_CLOCK,
    patience: Patience = PATIENCE,
    on_retry: Callable[[OperationsError, float], None] | None = None,
) -> T:
    """Make a call that is safe to repeat, again and again while its failures are of the passing kind.

    Args:
        connection: as for `send`.
        prepare: as for `send`.
        clock: real or simulated time.
        patience: when to give up.
        on_retry: told of each failure and the seconds until the next attempt.

    Raises:
        OperationsError: as `send`, when the failure doesn't pass or patience has run out.
    """
    pauses = Pauses(clock)
    begin: float | None = None
    while True:
        try:
            return send(connection, prepare)
        except OperationsError as error:
            now = clock.monotonic()
            begin = now if begin is None else begin
            allowed = patience.seconds
            if isinstance(error, UnreachableError) and error.refused:
                allowed = min(allowed, _REFUSED_PATIENCE)
            pause = pauses.after(error)
            if not passes(error) or now - begin + pause > allowed:
                raise
            if on_retry is not None:
                on_retry(error, pause)
            clock.sleep(pause)


def passes(error: OperationsError) -> bool:
    """Tell whether a failure is of the kind that passes by itself: throttling, 5xx, a lost connection."""
    if isinstance(error, ApiError):
        return error.status in _TRANSIENT_STATUSES
    return isinstance(error, UnreachableError)


class Pauses:
    """The pauses between attempts: 1, 2, 4 … 32 s and up to a second more; or what Retry-After asks for."""

    def __init__(self, clock: Clock) -> None:
        """Begin with the shortest pause."""
        self._clock = clock
        self._attempts = 0

    def next(self) -> float:
        """Return the next pause, in seconds."""
        pause = min(2.0**self._attempts + self._clock.random(), _LONGEST_PAUSE)
        self._attempts += 1
        return pause

    def after(self, error: OperationsError) -> float:
        """Return how many seconds to wait after this failure."""
        pause = self.next()
        if isinstance(error, ApiError) and error.retry_after is not None:
            # A little later than asked, so that many clients don't return in one instant.
            return error.retry_after + self._clock.random()
        return pause


def _unreachable(connection: Connection, error: Exception) -> UnreachableError:
    refused = isinstance(error, ConnectionRefusedError) or getattr(error, "errno", None) == errno.ECONNREFUSED
    endpoint = connection.settings.endpoint("healthcare")
    if refused and connection.settings.is_emulator:
        return UnreachableError(
            f"nothing answers at {endpoint}; start the emulator with `{START_EMULATOR}`", refused=True
        )
    what = "took too long to answer" if isinstance(error, socket.timeout) else f"{type(error).__name__}: {error}"
    return UnreachableError(f"no answer from {endpoint or 'Google Cloud'}: {what}", refused=refused)
