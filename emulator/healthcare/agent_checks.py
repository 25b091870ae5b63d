"""What the Cloud Healthcare service agent may do in other products, and how it is said that it may not.

Roles: https://cloud.google.com/healthcare-api/docs/permissions-healthcare-api-gcp-products. The texts are those that
people pasted; they name neither the bucket nor a role to grant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..cloud.enablement import require_enabled
from ..core.errors import ApiError, not_found
from .bigquery_uri import TableName
from .names import agent_of

if TYPE_CHECKING:
    from ..core.runtime import Emulator

#: What an export says (GoogleCloudPlatform/healthcare issue 457).
_STORAGE = (
    "Healthcare API doesn't have required Cloud Storage permission. "
    "See https://cloud.google.com/healthcare/docs/how-tos/permissions-healthcare-api-gcp-products for more information"
)
#: What an import says (the list of errors in a public proof of concept of 2022); its status is an assumption.
_SOURCE = "Cloud Healthcare Service Agent doesn't have all required permissions [{missing}]"
_ROLE = "roles/healthcare.serviceAgent"
READ = ("storage.objects.get", "storage.objects.list")
#: Replacing objects needs the right to delete them, so roles/storage.objectCreator is not enough.
WRITE = ("storage.objects.create", "storage.objects.delete", "storage.objects.list")


def require_agent_role(emulator: Emulator, project: str) -> str:
    """The service agent of a project; refused if it lacks its own role and the setting ``requireAgentRole`` is on.

    Google's pages say that the agent has to have this role for the API to work properly
    (https://cloud.google.com/healthcare-api/docs/troubleshooting), not how the lack of it shows. That every use of
    another product fails at once, with this text, is an assumption; so the setting is off by default.

    Args:
        emulator: where.
        project: the project of the DICOM store.

    Raises:
        ApiError: 403 naming agent, role and project.
    """
    agent = agent_of(emulator, project)
    if emulator.settings.require_agent_role and not emulator.iam.has_role(agent, _ROLE, f"projects/{project}"):
        raise ApiError(
            403,
            f"The Cloud Healthcare Service Agent {agent.partition(':')[2]} lacks the role {_ROLE} on its own project "
            f"{project}: grant it {_ROLE} on the project {project}.",
        )
    return agent


def require_bucket(emulator: Emulator, project: str, bucket: str, permissions: tuple[str, ...]) -> None:
    """Refuse to go on unless the bucket exists and the agent holds the permissions on it.

    Args:
        emulator: where.
        project: the project of the DICOM store, whose agent does the work.
        bucket: name of the bucket.
        permissions: what is needed, for instance :data:`WRITE`.

    Raises:
        ApiError: 404 for a missing bucket, 403 for a missing permission.
    """
    if _missing(emulator, project, bucket, permissions):
        raise ApiError(403, _STORAGE)


def require_source(emulator: Emulator, project: str, bucket: str) -> None:
    """Refuse an import unless the bucket exists and the agent may list and read its objects.

    Args:
        emulator: where.
        project: the project of the DICOM store, whose agent does the work.
        bucket: name of the bucket.

    Raises:
        ApiError: 404 for a missing bucket, 403 with the missing permissions.
    """
    if missing := _missing(emulator, project, bucket, READ):
        raise ApiError(403, _SOURCE.format(missing=", ".join(missing)))


def _missing(emulator: Emulator, project: str, bucket: str, permissions: tuple[str, ...]) -> list[str]:
    """The permissions on a bucket that the agent does not hold.

    Raises:
        ApiError: 404 for a missing bucket.
    """
    from ..storage import service

    agent = require_agent_role(emulator, project)
    if not service.bucket_exists(emulator, bucket):
        raise not_found(f"The specified bucket does not exist: gs://{bucket}")
    require_enabled(emulator, service.bucket_project(emulator, bucket) or project, "storage.googleapis.com")
    return [permission for permission in permissions if not service.allowed(emulator, agent, permission, bucket)]


def require_table(emulator: Emulator, project: str, table: TableName) -> None:
    """Refuse to go on unless the BigQuery dataset exists and the agent may load data into it.

    Raises:
        ApiError: 403 or 404 in BigQuery's words.
    """
    from ..bigquery import service

    payer = project if emulator.settings.bigquery_jobs_project == "source" else table.project
    for each in (table.project, payer):
        require_enabled(emulator, each, "bigquery.googleapis.com")
    agent = require_agent_role(emulator, project)
    if not emulator.iam.allowed(agent, "bigquery.jobs.create", f"projects/{payer}"):
        raise ApiError(
            403,
            f"Access Denied: Project {payer}: User does not have bigquery.jobs.create permission in project {payer}.",
        )
    where = f"{table.project}:{table.dataset}"
    if service.dataset_location(emulator, table.project, table.dataset) is None:
        raise not_found(f"Not found: Dataset {where}")
    for permission in ("bigquery.tables.create", "bigquery.tables.updateData"):
        if not service.allowed(emulator, agent, permission, table.project, table.dataset):
            raise ApiError(
                403,
                f"Access Denied: Dataset {where}: Permission {permission} denied on dataset {where} (or it may not "
                "exist).",
            )
