"""What is checked before anything is touched: the emulator, the location, permissions, grants made elsewhere.

A preview needs only to read: what the identity is missing for an `up` is a warning there. An `up` asks the same before
it declares anything, also with --skip-preview, and refuses.
"""

import os
import re
import socket
from collections.abc import Callable
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pulumi

from components.access import deployer
from components.access import external as external_grants
from components.access.deployer import of_level
from components.access.encrypted import Encrypted
from components.access.google_rest import GoogleRest, RestError, rest_for
from components.access.grants import grants_for
from components.access.needs import Level
from components.access.rules import Agent
from components.provider.resources import CONFIGURATION_KEYS
from components.settings import Settings
from operations.google.connection import START_EMULATOR
from operations.run.checks import location_problem

_PRINCIPAL = "principal:"
_ENDPOINT_SECONDS = 5.0


def check_access(settings: Settings) -> None:
    """Check that a given endpoint answers, and what the settings ask to have checked.

    What can't be asked (no network, no right to look) is a warning: the service has the last word.

    Raises:
        pulumi.RunError: something is missing without which the program can't go on; the text says what to do.
    """
    if settings.endpoint is not None:
        _check_endpoint(settings.endpoint)
    in_preview = pulumi.runtime.is_dry_run()
    with closing(_Callers(settings, _gcp_config())) as callers:
        if settings.check_permissions:
            if in_preview:
                _check_location(settings, callers.rest(settings.project))
            if _may_lack_permissions(settings):
                _check_deployer(settings, callers.rest, in_preview=in_preview)
        if settings.grants == "external" and in_preview:
            _check_grants(settings, callers.rest)


def caller_of(settings: Settings, project: str) -> GoogleRest:
    """Return the calls as the deploying identity in a project; nothing is sent before the first one."""
    return rest_for(settings, project, _gcp_config())


def _gcp_config() -> dict[str, Any]:
    config = pulumi.Config("gcp")
    return {key: config.get(key) for key in CONFIGURATION_KEYS}


def _check_endpoint(endpoint: str) -> None:
    """Refuse an emulator that is not running: every resource would fail for it, each in its own words."""
    parts = urlsplit(endpoint)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 80), _ENDPOINT_SECONDS).close()
    except OSError:
        raise pulumi.RunError(
            f"nothing answers at {endpoint} (imaging:endpoint); start the emulator with `{START_EMULATOR}`"
        ) from None


class _Callers:
    """Calls as whoever deploys in each project, one connection for each."""

    def __init__(self, settings: Settings, gcp_config: dict[str, Any]) -> None:
        self._settings = settings
        self._gcp_config = gcp_config
        self._by_project: dict[str | None, GoogleRest] = {}

    def rest(self, project: str | None) -> GoogleRest:
        if project not in self._by_project:
            self._by_project[project] = rest_for(self._settings, project, self._gcp_config)
        return self._by_project[project]

    def close(self) -> None:
        for each in self._by_project.values():
            each.close()


def _check_location(settings: Settings, rest: GoogleRest) -> None:
    """Refuse a location that doesn't exist, as far as they can be listed: a new project has the API still disabled."""
    try:
        answer = rest.call("healthcare", "GET", f"v1/projects/{settings.project}/locations?pageSize=1000")
    except RestError:
        return
    known = [str(each["locationId"]) for each in answer.get("locations", ())]
    problem = None if "nextPageToken" in answer else location_problem(settings.location, known)
    if problem is not None:
        raise pulumi.RunError(f"1 problem in the stack configuration\n  imaging:location  {problem}")


_RESOURCE_MANAGER_OFF = re.compile(
    r"Cloud Resource Manager API has not been used in project (?P<project>\S+) before or it is disabled", re.IGNORECASE
)


def _check_deployer(settings: Settings, rest: Callable[[str | None], GoogleRest], *, in_preview: bool) -> None:
    missing, unknown = deployer.missing_permissions(settings, rest)
    for reason in unknown:
        if disabled := _RESOURCE_MANAGER_OFF.search(reason):
            raise pulumi.RunError(
                f"the Cloud Resource Manager API is not enabled in project {disabled['project']}, so that no project "
                "can be read or granted on; run `gcloud services enable cloudresourcemanager.googleapis.com "
                f"serviceusage.googleapis.com --project={disabled['project']}`, then try again after a minute"
            )
        pulumi.log.warn(f"permissions can't be checked on {reason}")
    needed = of_level(missing, Level.PREVIEW) if in_preview else of_level(missing, Level.PREVIEW, Level.UP)
    if needed:
        raise pulumi.RunError(deployer.render_refusal(needed))
    if not in_preview:
        return  # what the preview warned of, it said
    for level, render in (
        (Level.UP, deployer.render_warning),
        (Level.MAYBE, deployer.render_maybe),
        (Level.OPTIONAL, deployer.render_optional),
    ):
        if found := of_level(missing, level):
            pulumi.log.warn(render(found))


def _check_grants(settings: Settings, rest: Callable[[str | None], GoogleRest]) -> None:
    encrypted = Encrypted(settings)
    try:
        missing = external_grants.missing_grants(settings, rest)
    except RestError as error:
        pulumi.log.warn(f"grants can't be checked: {_told(error, settings, encrypted)}")
        return
    # What can't be looked at may be there, or may be granted once the stack has made the resource.
    if any(not each.unknown for each in missing):
        raise pulumi.RunError(external_grants.render(missing, encrypted))
    if missing:
        pulumi.log.warn(external_grants.render(missing, encrypted))


def _told(error: RestError, settings: Settings, encrypted: Encrypted) -> str:
    """Return Google's text, unless it names a project that is known from encrypted settings alone."""
    agents = [
        grant.member
        for grant in grants_for(settings)
        if isinstance(grant.member, Agent) and grant.member.project != settings.project and encrypted.command(grant)
    ]
    secret = any(agent.project in str(error) for agent in agents)
    return f"HTTP {error.status} on a project that secret settings name" if secret else str(error)


def _may_lack_permissions(settings: Settings) -> bool:
    """Tell whether it is worth asking: on the emulator everybody but a named principal is the owner."""
    token = os.environ.get("GOOGLE_OAUTH_ACCESS_TOKEN", "")
    return settings.endpoint is None or token.startswith(_PRINCIPAL)
