"""The few REST calls that are made before anything is declared: to see who may do what."""

import json
from typing import Any

from components.settings import Settings
from operations.google.clock import SYSTEM_CLOCK, Clock
from operations.google.connection import Connection, connection_settings
from operations.google.errors import ApiError, OperationsError
from operations.google.retrying import HttpRequest, Patience, call
from operations.model.invalid import InputError

HOSTS = {
    "bigquery": "https://bigquery.googleapis.com",
    "cloudkms": "https://cloudkms.googleapis.com",
    "cloudresourcemanager": "https://cloudresourcemanager.googleapis.com",
    "healthcare": "https://healthcare.googleapis.com",
    "policytroubleshooter": "https://policytroubleshooter.googleapis.com",
    "pubsub": "https://pubsub.googleapis.com",
    "storage": "https://storage.googleapis.com",
}

_PATIENCE = Patience(20.0)
"""Seconds for throttling and short outages to pass; then the check is left out, with a warning."""


class RestError(Exception):
    """A call was refused, or did not reach the API. `status` is 0 in the latter case."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class GoogleRest:
    """Calls Google's APIs, or the emulator's, as the deploying identity: each API at its own endpoint."""

    def __init__(self, connection: Connection, clock: Clock = SYSTEM_CLOCK) -> None:
        self._connection = connection
        self._clock = clock
        # Checks run in threads of their own; the transport of one that has ended is closed with the others.
        self._transports: set[Any] = set()

    def call(self, api: str, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Make one call that only looks; it is made again while it is throttled or the service is unavailable.

        Args:
            api: one of `HOSTS`.
            method: `GET` or `POST`.
            path: path and query behind the host, without the first slash.
            body: sent as JSON.

        Raises:
            RestError: the call was refused, there are no credentials, or the API can't be reached.
        """
        url = f"{self._connection.settings.endpoint(api) or HOSTS[api]}/{path}"

        def prepare() -> HttpRequest[dict[str, Any]]:
            from googleapiclient.http import HttpRequest as Request

            transport = self._connection.http
            self._transports.add(transport)
            prepared: HttpRequest[dict[str, Any]] = Request(
                transport,
                _decoded,
                url,
                method=method,
                body=None if body is None else json.dumps(body),
                headers={"content-type": "application/json", "accept": "application/json"},
            )
            return prepared

        try:
            return call(self._connection, prepare, clock=self._clock, patience=_PATIENCE)
        except ApiError as error:
            raise RestError(error.status, error.message) from error
        except (OperationsError, InputError) as error:
            raise RestError(0, str(error)) from error

    def close(self) -> None:
        """Close the connections, whichever thread opened them; the next call opens new ones."""
        self._connection.close()
        self._transports.clear()


def rest_for(settings: Settings, project: str | None, gcp_config: dict[str, Any]) -> GoogleRest:
    """Return the calls as the deploying identity in a project.

    Args:
        settings: the stack's settings.
        project: the project that is looked at, for accounts to act as.
        gcp_config: the configuration of the Google provider by key, without `gcp:`.
    """
    account = next((each.impersonate for each in settings.projects if each.name == project), None)
    return GoogleRest(
        Connection(
            connection_settings(
                settings.endpoint,
                configuration=gcp_config,
                access_token=gcp_config.get("accessToken"),
                credentials=gcp_config.get("credentials"),
                impersonate=account or gcp_config.get("impersonateServiceAccount"),
                allow_remote=settings.allow_remote_endpoint,
            )
        )
    )


def _decoded(_response: Any, content: bytes) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(content or b"{}")
    return answer
