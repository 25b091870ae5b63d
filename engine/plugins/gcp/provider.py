"""The provider's own settings: project, labels for every resource, and the client that the calls go through."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.plugins.gcp.rest import Client
from engine.plugins.gcp.values import SECRET, SIGNATURE

if TYPE_CHECKING:
    from collections.abc import Mapping

PROJECT_VARIABLES = ("GOOGLE_PROJECT", "GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT")
ATTRIBUTION = "goog-pulumi-provisioned"
"""The label that the official plugin puts on what it creates, unless `gcp:addPulumiAttributionLabel` is false."""


@dataclass
class Provider:
    """One configured instance.

    Args:
        settings: the configuration by Pulumi's names, texts decoded.
        environ: the environment.
    """

    settings: Mapping[str, Any]
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def __post_init__(self) -> None:
        self.client = Client(self.settings, self.environ)

    @property
    def project(self) -> str | None:
        """The project of resources that name none."""
        given = self.settings.get("project")
        return str(given) if given else next((self.environ[n] for n in PROJECT_VARIABLES if self.environ.get(n)), None)

    def labels(self, given: Mapping[str, str], before: Mapping[str, str] | None) -> dict[str, str]:
        """The labels that the provider answers for: defaults, the attribution label, the resource's own.

        Args:
            given: the resource's labels.
            before: all labels in its state; None for a resource that is to be created.
        """
        labels = dict(self.settings.get("defaultLabels") or {})
        strategy = self.settings.get("pulumiAttributionLabelAdditionStrategy")
        if self.settings.get("addPulumiAttributionLabel", True) and (
            before is None or ATTRIBUTION in before or strategy == "PROACTIVE"
        ):
            labels[ATTRIBUTION] = "true"
        return {**labels, **given}


HONOURED = frozenset(
    {
        "accessToken",
        "addPulumiAttributionLabel",
        "credentials",
        "defaultLabels",
        "impersonateServiceAccount",
        "impersonateServiceAccountDelegates",
        "project",
        "pulumiAttributionLabelAdditionStrategy",
    }
)
# No type or function of the stand-in has a region, and these switch off checks that it does not make.
WITHOUT_EFFECT = frozenset({"region", "zone", "skipRegionValidation", "disableGlobalProjectWarning", "version"})
# What the official plugin reads from the environment beside its configuration, and the stand-in does not honour.
VARIABLES = {
    "GOOGLE_BILLING_PROJECT": "billingProject",
    "USER_PROJECT_OVERRIDE": "userProjectOverride",
    "GOOGLE_UNIVERSE_DOMAIN": "universeDomain",
    "CLOUDSDK_CORE_REQUEST_REASON": "requestReason",
}


NOT_HONOURED = (
    "the stand-in for the gcp plugin does not honour {where}; remove it, or use the official plugin: install Pulumi "
    "where it can be downloaded, https://www.pulumi.com/docs/install/"
)


def not_honoured(settings: Mapping[str, Any], environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """The settings that the official plugin acts on and the stand-in does not: each with what to do instead.

    Addresses of APIs that no type here calls make no difference, and false and empty values say what is done anyway.

    Args:
        settings: the configuration, as `decode_settings` gives it.
        environ: the environment.
    """
    found = []
    for name, value in settings.items():
        known = name in HONOURED or name in WITHOUT_EFFECT or name.endswith("CustomEndpoint")
        if not known and not name.startswith(("__", "plugin")) and value not in (None, "", False, [], {}):
            found.append((name, f"gcp:{name}"))
    for variable, name in VARIABLES.items():
        if environ.get(variable, "").lower() not in {"", "false", "googleapis.com"} and name not in settings:
            found.append((name, f"the environment variable {variable}"))
    return [(name, NOT_HONOURED.format(where=where)) for name, where in found]


def decode_settings(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as values: the engine passes what is not text as JSON in text."""
    settings: dict[str, Any] = {}
    for name, given in arguments.items():
        # A secret, such as the access token, comes as an object around its value.
        is_secret = isinstance(given, dict) and given.get(SIGNATURE) == SECRET
        value = given.get("value") if is_secret else given
        settings[name] = value
        if isinstance(value, str) and (value in {"true", "false"} or value[:1] in {"{", "["}) and name != "credentials":
            try:
                settings[name] = json.loads(value)
            except ValueError:
                settings[name] = value
    return settings
