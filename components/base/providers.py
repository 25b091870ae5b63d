"""The Google provider of each project's resources: the default, the emulator's, or one with another account."""

import os
from typing import Any

import pulumi_gcp as gcp

from components.settings import Settings
from operations.google.connection import token_for_emulator

# The paths that the provider expects behind the host, with the slash at the end that it insists on. Healthcare and
# Service Usage are called in their beta versions.
ENDPOINT_PATHS = {
    "healthcare": "v1beta1/",
    "big_query": "bigquery/v2/",
    "storage": "storage/v1/",
    "resource_manager": "v1/",
    # Two names for one thing: different parts of the provider read different ones.
    "cloud_resource_manager": "v1/",
    "service_usage": "v1beta1/",
    "cloud_billing": "v1/",
    "pubsub": "v1/",
    "kms": "v1/",
}


class Providers:
    """Chooses the provider for each project; None stands for Pulumi's default one, set up by `gcp:` configuration."""

    def __init__(self, settings: Settings) -> None:
        self._main: gcp.Provider | None = None
        if settings.endpoint:
            self._main = gcp.Provider(
                "emulator",
                project=settings.project,
                access_token=emulator_token(),
                **custom_endpoints(settings.endpoint),
            )
        # The emulator knows no accounts to act as.
        self._accounts = {
            project.name: project.impersonate
            for project in settings.projects
            if project.impersonate and not settings.endpoint
        }
        self._by_project = {
            project: gcp.Provider(f"google-{project}", project=project, impersonate_service_account=account)
            for project, account in self._accounts.items()
        }

    def for_project(self, project: str | None) -> gcp.Provider | None:
        """Return the provider for resources of a project; None as a project is one that isn't known."""
        return self._by_project.get(project, self._main) if project else self._main

    def impersonated(self, project: str) -> str | None:
        """Return the service account to act as in a project, if there is one."""
        return self._accounts.get(project)


def emulator_token() -> str:
    """Return the token for the emulator, to which any text is one: it is no secret and opens nothing else.

    A principal named by GOOGLE_OAUTH_ACCESS_TOKEN, as `principal:user:alice@example.org`, is who deploys there. A real
    token in that variable is left alone: it must get neither to an emulator nor into the stack's state.
    """
    return token_for_emulator(os.environ.get("GOOGLE_OAUTH_ACCESS_TOKEN"))


def custom_endpoints(url: str) -> dict[str, Any]:
    """Return the provider's arguments that point every API at one address, `http://HOST:PORT`."""
    return {f"{api}_custom_endpoint": f"{url}/{path}" for api, path in ENDPOINT_PATHS.items()}
