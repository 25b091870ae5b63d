"""Projects: which exist, their numbers, and which service agents they have.

Any project may be used without being created first: it comes into being when a call names it. Numbers are derived
from the id, so that the service agent's e-mail is the same in every run.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from .clock import now, rfc3339
from .errors import invalid

if TYPE_CHECKING:
    from .state import State

#: Service agents by API, where they are not ``service-NUMBER@gcp-sa-API.iam.gserviceaccount.com``
#: (https://cloud.google.com/iam/docs/service-agents).
_AGENTS = {
    "bigquery": "bq-{number}@bigquery-encryption.iam.gserviceaccount.com",
    "storage": "service-{number}@gs-project-accounts.iam.gserviceaccount.com",
}
_PROJECT_ID = re.compile(r"(?:[a-z0-9.-]+\.[a-z]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
_AGENT = re.compile(r"service-(\d+)@gcp-sa-healthcare\.iam\.gserviceaccount\.com")


def project_number(project_id: str) -> str:
    """The number of a project: twelve digits derived from its id."""
    digest = int.from_bytes(hashlib.sha256(project_id.encode()).digest()[:8], "big")
    return str(100_000_000_000 + digest % 900_000_000_000)


def service_agent(api: str, project_id: str) -> str:
    """E-mail of the service agent of an API (``healthcare``, ``pubsub``…) in a project; for Cloud Storage, BigQuery and
    Pub/Sub it is the one that uses keys of Cloud KMS.
    """
    pattern = _AGENTS.get(api, "service-{number}@gcp-sa-{api}.iam.gserviceaccount.com")
    return pattern.format(number=project_number(project_id), api=api)


class Projects:
    """The projects that were used so far."""

    def __init__(self, state: State) -> None:
        self._projects = state.collection("projects")
        self._agents = state.collection("projects.agents")

    def use(self, project: str) -> str:
        """The id of a project named by id or number; it exists from now on.

        Raises:
            ApiError: 400 if this can't be the id of a project.
        """
        if project in self._projects:
            return project
        if project.isascii() and project.isdigit():
            for known in self._projects:
                if project_number(known) == project:
                    return known
            raise invalid(
                f"Project number {project} belongs to no project that this emulator knows; use the project id"
            )
        if not _PROJECT_ID.fullmatch(project):
            raise invalid(
                f"Invalid project id {project!r}: 6 to 30 lower-case letters, digits "
                "and hyphens, starting with a letter"
            )
        self._projects[project] = {"projectId": project, "createTime": rfc3339(now())}
        return project

    def all(self) -> list[str]:
        """Ids of the known projects, sorted."""
        return sorted(self._projects)

    def created(self, project: str) -> str:
        """When the project came into being (RFC 3339)."""
        text: str = self._projects[self.use(project)]["createTime"]
        return text

    def provision_service_agent(self, project: str) -> str:
        """Create the Cloud Healthcare service agent of a project, unless it exists; returns its e-mail."""
        email = service_agent("healthcare", self.use(project))
        if email not in self._agents:
            self._agents[email] = {"project": project}
        return email

    def has_service_agent(self, project: str) -> bool:
        """Whether the Cloud Healthcare service agent of a project was created."""
        return service_agent("healthcare", project) in self._agents

    def require_service_agent(self, email: str) -> None:
        """Refuse a service agent that was never created, as IAM does.

        Raises:
            ApiError: 400 ``Service account … does not exist.``
        """
        if _AGENT.fullmatch(email) and email not in self._agents:
            raise invalid(f"Service account {email} does not exist.")
