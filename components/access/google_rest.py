"""The few REST calls that are made before anything is declared: to see who may do what."""

import json
from typing import Any
from urllib.parse import urlsplit

from components.settings import Settings
from operations.google.connection import Connection, connection_settings

HOSTS = {
    "bigquery": "https://bigquery.googleapis.com",
    "cloudkms": "https://cloudkms.googleapis.com",
    "cloudresourcemanager": "https://cloudresourcemanager.googleapis.com",
    "healthcare": "https://healthcare.googleapis.com",
    "pubsub": "https://pubsub.googleapis.com",
    "storage": "https://storage.googleapis.com",
}


class RestError(Exception):
    """A call was refused, or did not reach the API. `status` is 0 in the latter case."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class GoogleRest:
    """Calls Google's APIs, or the emulator's, as whoever deploys."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._emulator = connection.settings.endpoints.get("healthcare")
        self._http: Any = None

    def call(self, api: str, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Make one call.

        Args:
            api: one of `HOSTS`.
            method: `GET` or `POST`.
            path: path and query behind the host, without the first slash.
            body: sent as JSON.

        Raises:
            RestError: the call was refused, there are no credentials, or the API can't be reached.
        """
        url = f"{self._emulator or HOSTS[api]}/{path}"
        try:
            response, content = self._transport().request(
                url,
                method=method,
                body=None if body is None else json.dumps(body),
                headers={"Content-Type": "application/json", "Accept": "application/json"},
            )
        except Exception as error:
            # Whatever goes wrong on the way (no credentials, no network, no such host) ends a check, not a program.
            raise RestError(0, f"{urlsplit(url).netloc}: {error}") from error
        if response.status >= 300:
            raise RestError(int(response.status), _message(content))
        answer: dict[str, Any] = json.loads(content or b"{}")
        return answer

    def close(self) -> None:
        """Close the connections, whichever thread opened them; the next call opens new ones."""
        self._connection.close()
        self._http = None

    def _transport(self) -> Any:
        if self._http is None:
            # A request that isn't sent: it carries the connection's authorized transport.
            self._http = self._connection.storage.buckets().list(project="-").http
        return self._http


def rest_for(settings: Settings, project: str | None, gcp_config: dict[str, Any]) -> GoogleRest:
    """Return the calls as whoever deploys in a project.

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
                access_token=gcp_config.get("accessToken"),
                credentials=gcp_config.get("credentials"),
                impersonate=account or gcp_config.get("impersonateServiceAccount"),
            )
        )
    )


def _message(content: bytes) -> str:
    try:
        return str(json.loads(content)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return content.decode(errors="replace")[:200]
