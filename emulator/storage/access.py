"""Whether the caller may do what it asks of a bucket or an object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..iam import OWNER
from .errors import no_access
from .store import store

if TYPE_CHECKING:
    from ..core.state import Document
    from ..http.call import Call


def policy_key(bucket: str) -> str:
    """The key of a bucket's policy."""
    return f"b/{bucket}"


def bucket_for(call: Call, permission: str, name: str | None = None, kind: str = "bucket") -> Document:
    """A bucket on which the caller holds a permission.

    Args:
        call: the call.
        permission: for instance ``storage.objects.list``.
        name: the bucket; that of the path if None.
        kind: what the permission is about, for the error: ``bucket`` or ``object``.

    Raises:
        ApiError: 404 if there is no such bucket, 403 if the caller lacks the permission.
    """
    name = call.path["bucket"] if name is None else name
    bucket = store(call.emulator).bucket(name)
    require(call, permission, name, bucket, kind)
    return bucket


def require(call: Call, permission: str, name: str, bucket: Document, kind: str = "bucket") -> None:
    """Refuse a caller without a permission on a bucket.

    Raises:
        ApiError: 403.
    """
    if call.principal != OWNER and not holds(call, permission, name, bucket):
        raise no_access(call.principal, permission, kind)


def holds(call: Call, permission: str, name: str, bucket: Document) -> bool:
    """Whether the caller holds a permission on a bucket."""
    return call.emulator.iam.allowed(call.principal, permission, policy_key(name), f"projects/{bucket['project']}")


def project_for(call: Call, permission: str, project: str) -> str:
    """The id of a project on which the caller holds a permission.

    Raises:
        ApiError: 400 if this can't be a project, 403 if the caller lacks the permission.
    """
    project = call.emulator.projects.use(project)
    if not call.emulator.iam.allowed(call.principal, permission, f"projects/{project}"):
        raise no_access(call.principal, permission, "project")
    return project
