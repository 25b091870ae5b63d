"""The Google provider of each project's resources: one explicit provider for every project, always of the same name.

A resource whose provider changes is compared by the settings of both, and an explicit provider takes nothing over from
the `gcp:` configuration by itself. So there is one for each project from the beginning, with everything that is
configured: a stack that is moved to an emulator, or to another account, keeps its providers, and its resources.
"""

import os
import re
from typing import Any

import pulumi
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

# Arguments of the provider that are not texts; the configuration has them as JSON.
FLAGS = frozenset(
    {
        "add_pulumi_attribution_label",
        "disable_google_partner_name",
        "prefer_global_endpoints",
        "prefer_regional_endpoints",
        "user_project_override",
    }
)
OBJECTS = frozenset(
    {"batching", "default_labels", "external_credentials", "impersonate_service_account_delegates", "scopes"}
)
# Who calls, and what is billed or asked for it: nothing of it may reach an emulator.
ACCOUNT = frozenset(
    {
        "access_token",
        "billing_project",
        "credentials",
        "external_credentials",
        "impersonate_service_account",
        "impersonate_service_account_delegates",
        "scopes",
        "universe_domain",
        "user_project_override",
    }
)


class Providers:
    """The provider of each project, made when a resource first needs it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # The emulator knows no accounts to act as.
        self._accounts = {
            project.name: project.impersonate
            for project in settings.projects
            if project.impersonate and not settings.endpoint
        }
        self._by_project: dict[str, gcp.Provider] = {}
        if not settings.endpoint and pulumi.runtime.get_config("gcp:accessToken"):
            pulumi.log.warn(
                "gcp:accessToken is kept in the stack's state, and every new token is a change of the providers; "
                "set GOOGLE_OAUTH_ACCESS_TOKEN in the environment instead"
            )

    def for_project(self, project: str | None) -> gcp.Provider:
        """Return the provider for resources of a project; without one, that of `gcp:project`."""
        name = project or self._settings.project
        if name not in self._by_project:
            self._by_project[name] = gcp.Provider(f"google-{name}", **self._arguments(name))
        return self._by_project[name]

    def impersonated(self, project: str) -> str | None:
        """Return the service account to act as in a project, if there is one."""
        return self._accounts.get(project)

    def _arguments(self, project: str) -> dict[str, Any]:
        configured = provider_configuration()
        if self._settings.endpoint:
            configured = {
                name: value
                for name, value in configured.items()
                if name not in ACCOUNT and not name.endswith("_custom_endpoint")
            }
            configured |= {"access_token": emulator_token(), **custom_endpoints(self._settings.endpoint)}
        elif account := self._accounts.get(project):
            secret = self._settings.origin.is_encrypted("projects")
            configured["impersonate_service_account"] = pulumi.Output.secret(account) if secret else account
        return {**configured, "project": project}


def provider_configuration() -> dict[str, Any]:
    """Return what the `gcp:` configuration says to the provider, by the names of its arguments. Secrets stay secret."""
    config = pulumi.Config("gcp")
    found: dict[str, Any] = {}
    for argument in vars(gcp.ProviderArgs):
        key = _configuration_key(argument)
        if argument.startswith("_") or argument == "project" or not pulumi.runtime.get_config(f"gcp:{key}"):
            continue
        secret = pulumi.runtime.is_config_secret(f"gcp:{key}")
        if argument in OBJECTS:
            found[argument] = config.get_secret_object(key) if secret else config.get_object(key)
        elif argument in FLAGS:
            found[argument] = config.get_secret_bool(key) if secret else config.get_bool(key)
        else:
            found[argument] = config.get_secret(key) if secret else config.get(key)
    return found


def _configuration_key(argument: str) -> str:
    return re.sub("_([a-z0-9])", lambda match: match[1].upper(), argument)


def emulator_token() -> str:
    """Return the token for the emulator, to which any text is one: it is no secret and opens nothing else.

    A principal named by GOOGLE_OAUTH_ACCESS_TOKEN, as `principal:user:alice@example.org`, is who deploys there. A real
    token in that variable is left alone: it must get neither to an emulator nor into the stack's state.
    """
    return token_for_emulator(os.environ.get("GOOGLE_OAUTH_ACCESS_TOKEN"))


def custom_endpoints(url: str) -> dict[str, Any]:
    """Return the provider's arguments that point every API at one address, `http://HOST:PORT`."""
    return {f"{api}_custom_endpoint": f"{url}/{path}" for api, path in ENDPOINT_PATHS.items()}
