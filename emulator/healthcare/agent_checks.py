"""What the Cloud Healthcare service agent may do in other products, and how it is said that it may not.

Texts and roles: https://cloud.google.com/healthcare-api/docs/permissions-healthcare-api-gcp-products.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ApiError, not_found
from .bigquery_uri import TableName
from .names import agent_of

if TYPE_CHECKING:
    from ..runtime import Emulator

_STORAGE = (
    "Healthcare API doesn't have required Cloud Storage permission. "
    "See https://cloud.google.com/healthcare/docs/how-tos/permissions-healthcare-api-gcp-products for more information"
)
READ = ("storage.objects.get", "storage.objects.list")
#: Replacing objects needs the right to delete them, so roles/storage.objectCreator is not enough.
WRITE = ("storage.objects.create", "storage.objects.delete", "storage.objects.list")


def require_bucket(emulator: Emulator, project: str, bucket: str, permissions: tuple[str, ...], role: str) -> None:
    """Refuse to go on unless the bucket exists and the agent holds the permissions on it.

    Args:
        emulator: where.
        project: the project of the DICOM store, whose agent does the work.
        bucket: name of the bucket.
        permissions: what is needed, for instance :data:`READ`.
        role: the predefined role that the message recommends.

    Raises:
        ApiError: 404 for a missing bucket, 403 for a missing permission.
    """
    from ..storage import service

    if not service.bucket_exists(emulator, bucket):
        raise not_found(f"The specified bucket does not exist: gs://{bucket}")
    agent = agent_of(emulator, project)
    for permission in permissions:
        if not service.allowed(emulator, agent, permission, bucket):
            raise ApiError(
                403, f"{_STORAGE}. {agent} lacks {permission} on gs://{bucket}: grant it {role} on the bucket."
            )


def require_table(emulator: Emulator, project: str, table: TableName) -> None:
    """Refuse to go on unless the BigQuery dataset exists and the agent may load data into it.

    Raises:
        ApiError: 403 or 404 in BigQuery's words, with what to grant.
    """
    from ..bigquery import service

    agent = agent_of(emulator, project)
    if not emulator.iam.allowed(agent, "bigquery.jobs.create", f"projects/{table.project}"):
        raise ApiError(
            403,
            f"Access Denied: Project {table.project}: User does not have bigquery.jobs.create permission in project "
            f"{table.project}. Grant {agent} roles/bigquery.jobUser on the project {table.project}.",
        )
    where = f"{table.project}:{table.dataset}"
    if service.dataset_location(emulator, table.project, table.dataset) is None:
        raise not_found(f"Not found: Dataset {where}")
    for permission in ("bigquery.tables.create", "bigquery.tables.updateData"):
        if not service.allowed(emulator, agent, permission, table.project, table.dataset):
            raise ApiError(
                403,
                f"Access Denied: Dataset {where}: Permission {permission} denied on dataset {where} (or it may not "
                f"exist). Grant {agent} roles/bigquery.dataEditor on the dataset {where}.",
            )
