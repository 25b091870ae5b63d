"""Calls of APIs that are not enabled in a project, refused as Google's front end refuses them.

Only where the setting ``enforceServices`` is on. Resource Manager and Service Usage are always reached: without them
nothing could be enabled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.errors import ApiError
from .service_usage import is_enabled, title

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..core.runtime import Emulator
    from ..http.call import Call

    #: The project that holds a bucket; None if there is no such bucket.
    BucketProject = Callable[[Emulator, str], str | None]

_ALWAYS = ("cloudresourcemanager", "serviceusage")
_BUCKETS = ("bucket", "sourceBucket", "destinationBucket")


def check_enabled(call: Call, bucket_project: BucketProject) -> None:
    """Refuse a call unless its API is enabled in the projects that hold what it names.

    Args:
        call: what is called.
        bucket_project: tells the project of a bucket.

    Raises:
        ApiError: 403, see :func:`require_enabled`.
    """
    api = call.method.api
    if not call.emulator.settings.enforce_services or api in _ALWAYS:
        return
    for text in _named_projects(call, bucket_project):
        try:
            project = call.emulator.projects.use(text)
        except ApiError:
            continue  # the handler says what is wrong with it
        require_enabled(call.emulator, project, f"{api}.googleapis.com")


def require_enabled(emulator: Emulator, project: str, service: str) -> None:
    """Refuse to go on unless the API is enabled in the project, or nobody asked for that.

    The text and the details are those that clients of Google quote, for instance
    https://github.com/google-gemini/gemini-cli/issues/1343.

    Args:
        emulator: where.
        project: id of a project.
        service: for instance ``bigquery.googleapis.com``.

    Raises:
        ApiError: 403 ``accessNotConfigured``, ``SERVICE_DISABLED``.
    """
    if not emulator.settings.enforce_services or is_enabled(emulator, project, service):
        return
    name = title(service) or service
    page = f"https://console.developers.google.com/apis/api/{service}/overview?project={project}"
    message = (
        f"{name} has not been used in project {project} before or it is disabled. Enable it by visiting {page} then "
        "retry. If you enabled this API recently, wait a few minutes for the action to propagate to our systems and "
        "retry."
    )
    rpc = "type.googleapis.com/google.rpc"
    raise ApiError(
        403,
        message,
        reason="accessNotConfigured",
        details=[
            {
                "@type": f"{rpc}.ErrorInfo",
                "reason": "SERVICE_DISABLED",
                "domain": "googleapis.com",
                "metadata": {
                    "service": service,
                    "serviceTitle": name,
                    "consumer": f"projects/{project}",
                    "containerInfo": project,
                    "activationUrl": page,
                },
            },
            {"@type": f"{rpc}.LocalizedMessage", "locale": "en-US", "message": message},
            {
                "@type": f"{rpc}.Help",
                "links": [{"description": "Google developers console API activation", "url": page}],
            },
        ],
    )


def _named_projects(call: Call, bucket_project: BucketProject) -> Iterator[str]:
    """Ids or numbers of the projects that hold what a call names."""
    for variable in ("projectsId", "projectId"):
        if variable in call.path:
            yield call.path[variable]
    if call.method.api == "storage":
        for variable in _BUCKETS:
            if project := bucket_project(call.emulator, call.path.get(variable, "")):
                yield project
        if "project" in call.query:
            yield call.query["project"]
    for name in (call.body.get("logName"), *(call.body.get("resourceNames") or ())):
        if isinstance(name, str) and name.startswith("projects/"):
            yield name.split("/")[1]
