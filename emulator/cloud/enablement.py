"""Calls of APIs that are not enabled in a project, refused as Google's front end refuses them.

Only where the setting ``enforceServices`` is on. Service Usage is always reached: Google enables it in every project,
and without it nothing could be enabled. Resource Manager has to be enabled in the project that the call is counted for,
which is the caller's: that of its service account, or the one named by ``X-Goog-User-Project``
(https://cloud.google.com/docs/quotas/quota-project). Where that project is not known, the call is let through.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..core.errors import ApiError
from .service_usage import is_enabled, title

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..core.runtime import Emulator
    from ..http.call import Call

    #: The project that holds a bucket; None if there is no such bucket.
    BucketProject = Callable[[Emulator, str], str | None]

_ALWAYS = "serviceusage"
_COUNTED_FOR_CALLER = "cloudresourcemanager"
_OF_PROJECT = re.compile(r"serviceAccount:[^@]+@([a-z][a-z0-9-]{4,28}[a-z0-9])\.iam\.gserviceaccount\.com")
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
    if not call.emulator.settings.enforce_services or api == _ALWAYS:
        return
    named = _callers_project(call) if api == _COUNTED_FOR_CALLER else _named_projects(call, bucket_project)
    for text in named:
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


def _callers_project(call: Call) -> Iterator[str]:
    if project := call.headers.get("x-goog-user-project"):
        yield project
    elif account := _OF_PROJECT.fullmatch(call.principal):
        yield account[1]


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
