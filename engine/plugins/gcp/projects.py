"""Projects: services and their identities, and grants on projects.

https://cloud.google.com/service-usage/docs/reference/rest and https://cloud.google.com/resource-manager/reference/rest/v1/projects
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from engine.plugins.gcp.fields import flag, text
from engine.plugins.gcp.iam import MemberType, PolicyHolder
from engine.plugins.gcp.resource import (
    DELETION_POLICY,
    PROJECT,
    ResourceError,
    ResourceType,
    State,
    Steps,
    last_segment,
)
from engine.plugins.gcp.rest import GOOGLES_CLIENT, ApiError, expand
from engine.plugins.gcp.values import without_defaults

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine.plugins.gcp.provider import Provider
    from engine.plugins.gcp.values import Properties

OPERATION_SECONDS = 600.0
LIST_QUERY = {"filter": "state:ENABLED", "fields": "services/name,nextPageToken", "pageSize": "200", **GOOGLES_CLIENT}


def wait_for(provider: Provider, operation: dict[str, Any]) -> dict[str, Any]:
    """Polls a Service Usage operation until it is done.

    Raises:
        ResourceError: it failed, or did not end within ten minutes.
    """
    deadline = time.monotonic() + OPERATION_SECONDS
    wait = 0.2
    while not operation.get("done"):
        if time.monotonic() > deadline:
            raise ResourceError(f"{operation.get('name')} did not end within {OPERATION_SECONDS / 60:.0f} minutes")
        time.sleep(wait)
        wait = min(wait * 2, 10.0)
        operation = provider.client.call("GET", provider.client.address("serviceusage") + operation["name"])
    if operation.get("error"):
        raise ResourceError(f"{operation.get('name')} failed: {operation['error'].get('message')}")
    return operation


def enabled_services(provider: Provider, project: str) -> set[str]:
    """The names of a project's enabled services, such as `healthcare.googleapis.com`."""
    url = provider.client.unversioned("serviceusage") + expand("v1/projects/{project}/services", {"project": project})
    names: set[str] = set()
    query = dict(LIST_QUERY)
    while True:
        page = provider.client.call("GET", url, query=query)
        names |= {last_segment(each["name"]) for each in page.get("services") or []}
        if not page.get("nextPageToken"):
            return names
        query["pageToken"] = page["nextPageToken"]


def _service_state(values: Mapping[str, Any]) -> State:
    identity = f"{values['project']}/{values['service']}"
    outputs = {
        "project": values["project"],
        "service": values["service"],
        "disableOnDestroy": values.get("disableOnDestroy"),
        "disableDependentServices": values.get("disableDependentServices"),
        "checkIfServiceHasUsageOnDestroy": values.get("checkIfServiceHasUsageOnDestroy"),
        "deletionPolicy": values.get("deletionPolicy") or "DELETE",
        "id": identity,
    }
    return State(identity, outputs)


def _enable(kind: ResourceType, provider: Provider, values: Properties) -> State:
    if values["service"] not in enabled_services(provider, values["project"]):
        url = provider.client.unversioned("serviceusage") + expand(
            "v1/projects/{project}/services/{service}:enable", values
        )
        wait_for(provider, provider.client.call("POST", url, query=GOOGLES_CLIENT))
        _wait_until_listed(provider, values["project"], values["service"])
        state = _read_service(kind, provider, "", values)
        if state is None:
            raise ResourceError(f"{values['service']} was enabled in {values['project']}, but reading it found nothing")
        return state
    return _service_state(values)


def _wait_until_listed(provider: Provider, project: str, service: str) -> None:
    """Looks until the list shows a service that was enabled, as the official plugin does.

    Raises:
        ResourceError: it does not within ten minutes.
    """
    deadline = time.monotonic() + OPERATION_SECONDS
    wait = 0.2
    while service not in enabled_services(provider, project):
        if time.monotonic() > deadline:
            raise ResourceError(f"{service} was enabled in {project}, but is not listed there")
        time.sleep(wait)
        wait = min(wait * 2, 10.0)


def _read_service(kind: ResourceType, provider: Provider, identity: str, values: Mapping[str, Any]) -> State | None:
    del kind, identity
    values = without_defaults(dict(values))
    try:
        url = provider.client.unversioned("resourcemanager") + expand("v1/projects/{project}", values)
        project = provider.client.call("GET", url, query=GOOGLES_CLIENT)
    except ApiError as error:
        if error.status == 404:
            return None
        raise
    if project.get("lifecycleState") == "DELETE_REQUESTED":
        return None
    return _service_state(values) if values["service"] in enabled_services(provider, values["project"]) else None


def _service_settings(
    kind: ResourceType,
    provider: Provider,
    identity: str,
    values: Properties,
    olds: Mapping[str, Any],
    changed: set[str],
) -> State:
    # Only what happens on destroy can be changed, and that is the plugin's own.
    del kind, provider, identity, olds, changed
    return _service_state(values)


def _disable(kind: ResourceType, provider: Provider, outputs: Mapping[str, Any]) -> None:
    del kind
    if not outputs.get("disableOnDestroy"):
        return
    url = provider.client.unversioned("serviceusage") + expand(
        "v1/projects/{project}/services/{service}:disable", outputs
    )
    body = {"disableDependentServices": bool(outputs.get("disableDependentServices"))}
    wait_for(provider, provider.client.call("POST", url, body, query=GOOGLES_CLIENT))


SERVICE = ResourceType(
    token="gcp:projects/service:Service",  # noqa: S106 - a type token
    api="serviceusage",
    fields=(
        text("service", wire=None, required=True, replaces=True),
        PROJECT,
        flag("disableOnDestroy", wire=None),
        flag("disableDependentServices", wire=None),
        flag("checkIfServiceHasUsageOnDestroy", wire=None),
        DELETION_POLICY,
    ),
    identity="{project}/{service}",
    collection="",
    resource="",
    named=False,
    on=Steps(create=_enable, read=_read_service, update=_service_settings, delete=_disable),
)


def _generate_identity(kind: ResourceType, provider: Provider, values: Properties) -> State:
    del kind
    url = provider.client.address("serviceusage") + expand(
        "projects/{project}/services/{service}:generateServiceIdentity", values
    )
    operation = wait_for(provider, provider.client.call("POST", url))
    email = (operation.get("response") or {}).get("email") or ""
    identity = f"projects/{values['project']}/services/{values['service']}"
    return State(
        identity,
        {
            "project": values["project"],
            "service": values["service"],
            "email": email,
            "member": f"serviceAccount:{email}" if email else "",
            "id": identity,
        },
    )


def _known_identity(kind: ResourceType, provider: Provider, identity: str, values: Mapping[str, Any]) -> State:
    # There is no call that reads an identity; asking for it again returns the same one.
    if values.get("email"):
        return State(identity, {**without_defaults(dict(values)), "id": identity})
    return _generate_identity(kind, provider, dict(values))


SERVICE_IDENTITY = ResourceType(
    token="gcp:projects/serviceIdentity:ServiceIdentity",  # noqa: S106 - a type token
    api="serviceusage",
    fields=(
        text("service", wire=None, required=True, replaces=True),
        PROJECT,
        text("email", wire=None, output=True),
        text("member", wire=None, output=True),
    ),
    identity="projects/{project}/services/{service}",
    imports=("{project}/{service}",),
    collection="",
    resource="",
    named=False,
    on=Steps(create=_generate_identity, read=_known_identity, delete=lambda _kind, _provider, _outputs: None),
)

RESOURCES = (SERVICE, SERVICE_IDENTITY)

MEMBERS = (
    MemberType(
        token="gcp:projects/iAMMember:IAMMember",  # noqa: S106 - a type token
        parent=(
            text(
                "project", wire=None, required=True, replaces=True, normal=lambda name: name.removeprefix("projects/")
            ),
        ),
        holder=PolicyHolder(
            api="resourcemanager",
            name="{project}",
            path="projects/{project}",
            source="project",
            forms=("projects/{project}", "{project}"),
            version="v1/",
            access="posted",
            always=GOOGLES_CLIENT,
        ),
    ),
)
