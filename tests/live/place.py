"""Where the live scenarios take place: a project on Google Cloud, or the emulator, where they are rehearsed."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import httplib2
import pytest

from operations.google.credentials import find_credentials

PROJECT = "IMAGING_LIVE_PROJECT"
BIGQUERY_PROJECT = "IMAGING_LIVE_BIGQUERY_PROJECT"
LOCATION = "IMAGING_LIVE_LOCATION"

_OPERATION_DEADLINE = 20 * 60.0
_CREDENTIALS = "GOOGLE_OAUTH_ACCESS_TOKEN", "GOOGLE_CREDENTIALS", "GOOGLE_IMPERSONATE_SERVICE_ACCOUNT"
_EMULATOR = "IMAGING_ENDPOINT", "GOOGLE_HEALTHCARE_CUSTOM_ENDPOINT"


@dataclass(frozen=True)
class Answer:
    """What a call was answered with.

    Attributes:
        status: of HTTP.
        content_type: without its parameters.
        body: the JSON object, empty where there is none.
    """

    status: int
    content_type: str
    body: dict[str, Any]

    @property
    def error(self) -> dict[str, Any]:
        """Google's error object; empty without one."""
        found = self.body.get("error", {})
        return found if isinstance(found, dict) else {}


@dataclass
class Place:
    """One project with its APIs.

    Attributes:
        name: `google` or `emulator`.
        project: holds the Healthcare dataset and the buckets.
        bigquery_project: holds the BigQuery dataset; may be the same.
        location: of the Healthcare dataset, the buckets and the BigQuery dataset.
        endpoint: of the emulator; none for Google Cloud.
        unique: what makes the names of this run its own.
    """

    name: str
    project: str
    bigquery_project: str
    location: str
    endpoint: str | None = None
    unique: str = field(default_factory=lambda: secrets.token_hex(4))

    def __post_init__(self) -> None:
        """Prepare the transport; on Google Cloud with the credentials that the stack uses."""
        self._http: Any = httplib2.Http(timeout=120)
        if self.endpoint is None:
            import google_auth_httplib2

            given = (os.environ.get(name) for name in _CREDENTIALS)
            credentials = find_credentials(*given)
            self._http = google_auth_httplib2.AuthorizedHttp(credentials, http=self._http)

    @property
    def environment(self) -> dict[str, str]:
        """What the CLI needs to act as whoever runs this."""
        if self.endpoint is not None:
            return {}
        return {name: value for name, value in os.environ.items() if name.startswith("GOOGLE_")}

    def call(
        self,
        api: str,
        method: str,
        path: str,
        body: Mapping[str, Any] | bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Answer:
        """Call one of Google's APIs.

        Args:
            api: `healthcare`, `bigquery` or `storage`.
            method: of HTTP.
            path: behind the host, without a slash at its start.
            body: JSON, or bytes as they are.
            headers: more of them.
            query: parameters of the URL.
        """
        host = self.endpoint or f"https://{api}.googleapis.com"
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        response, content = self._http.request(
            f"{host}/{path}" + (f"?{urlencode(query)}" if query else ""),
            method=method,
            body=data,
            headers={"Content-Type": "application/json", **(headers or {})},
        )
        content_type = response.get("content-type", "").partition(";")[0].strip()
        parsed = json.loads(content) if content and content_type.endswith("json") else {}
        return Answer(response.status, content_type, parsed if isinstance(parsed, dict) else {"list": parsed})

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def finish(self, answer: Answer) -> Answer:
        """Wait for the operation that an answer names; an answer without one comes back as it is."""
        name = answer.body.get("name", "")
        if answer.status >= 300 or "/operations/" not in name:
            return answer
        deadline = time.monotonic() + _OPERATION_DEADLINE
        pause = 0.05 if self.endpoint else 2.0
        while True:
            answer = self.call("healthcare", "GET", f"v1/{name}")
            if answer.status >= 300 or answer.body.get("done"):
                return answer
            if time.monotonic() > deadline:
                raise AssertionError(f"{name} was not done after {_OPERATION_DEADLINE / 60:.0f} minutes")
            time.sleep(pause)

    def query(self, sql: str) -> list[list[Any]]:
        """Run GoogleSQL in the BigQuery project; returns the rows' values as texts."""
        path = f"bigquery/v2/projects/{self.bigquery_project}/queries"
        answer = self.call(
            "bigquery",
            "POST",
            path,
            {"query": sql, "useLegacySql": False, "timeoutMs": 60_000, "location": self.location},
        )
        assert answer.status == 200, answer
        assert answer.body["jobComplete"], answer
        return [[cell["v"] for cell in row["f"]] for row in answer.body.get("rows", [])]

    def make_bucket(self, name: str) -> None:
        """Make a bucket, closed to the public."""
        body = {
            "name": name,
            "location": self.location,
            "iamConfiguration": {
                "uniformBucketLevelAccess": {"enabled": True},
                "publicAccessPrevention": "enforced",
            },
        }
        answer = self.call("storage", "POST", "storage/v1/b", body, query={"project": self.project})
        assert answer.status == 200, answer

    def upload(self, bucket: str, name: str, content: bytes) -> None:
        """Write an object."""
        path = f"upload/storage/v1/b/{bucket}/o"
        headers = {"Content-Type": "application/octet-stream"}
        answer = self.call(
            "storage", "POST", path, content, headers=headers, query={"uploadType": "media", "name": name}
        )
        assert answer.status == 200, answer

    def objects(self, bucket: str, prefix: str = "") -> list[str]:
        """The names of the objects under a prefix; of some few only."""
        answer = self.call("storage", "GET", f"storage/v1/b/{bucket}/o", query={"prefix": prefix})
        assert answer.status == 200, answer
        return [each["name"] for each in answer.body.get("items", [])]

    def remove_bucket(self, name: str) -> None:
        """Delete a bucket with its objects; one that isn't there is no error."""
        if self.call("storage", "GET", f"storage/v1/b/{name}").status != 200:
            return
        for each in self.objects(name):
            self.call("storage", "DELETE", f"storage/v1/b/{name}/o/{quote(each, safe='')}")
        answer = self.call("storage", "DELETE", f"storage/v1/b/{name}")
        assert answer.status in (200, 204), answer


def google() -> Place | None:
    """The project that the environment names; none when it names none.

    Ends the run when the environment points at an emulator, too.
    """
    project = os.environ.get(PROJECT)
    if not project:
        return None
    if pointing := [name for name in _EMULATOR if name in os.environ]:
        pytest.exit(f"{PROJECT} is set, and so is {pointing[0]}: this shell points at an emulator", returncode=2)
    return Place(
        "google", project, os.environ.get(BIGQUERY_PROJECT) or project, os.environ.get(LOCATION) or "europe-west4"
    )


def rehearsal(endpoint: str) -> Place:
    """The emulator at this address."""
    return Place("emulator", "hospital-imaging", "research-analytics", "europe-west4", endpoint)
