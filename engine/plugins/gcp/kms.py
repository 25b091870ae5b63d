"""Cloud KMS: key rings and keys. https://cloud.google.com/kms/docs/reference/rest/v1/projects.locations.keyRings"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from engine.plugins.gcp.fields import Field, Kind, block, flag, text
from engine.plugins.gcp.iam import MemberType, PolicyHolder
from engine.plugins.gcp.resource import DELETION_POLICY, LABELS, PROJECT, ResourceType, Steps, last_segment
from engine.plugins.gcp.rest import GOOGLES_CLIENT, ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine.plugins.gcp.provider import Provider
    from engine.plugins.gcp.values import Properties

KEY_RING = ResourceType(
    token="gcp:kms/keyRing:KeyRing",  # noqa: S106 - a type token
    api="kms",
    fields=(
        text("name", replaces=True, wire_fixed=True, decode=last_segment),
        text("location", wire=None, required=True, replaces=True),
        PROJECT,
    ),
    identity="projects/{project}/locations/{location}/keyRings/{name}",
    imports=("{project}/{location}/{name}", "{location}/{name}"),
    collection="projects/{project}/locations/{location}/keyRings",
    create_query={"keyRingId": "{+name}"},
    resource="projects/{project}/locations/{location}/keyRings/{name}",
    # Key rings can't be deleted; the resource is only forgotten.
    on=Steps(delete=lambda _kind, _provider, _outputs: None),
)


def _key_body(body: dict[str, Any], values: Mapping[str, Any], creating: bool) -> None:
    del values, creating
    body.pop("name", None)


def _key_decoded(outputs: Properties, answer: Mapping[str, Any]) -> None:
    primary = answer.get("primary")
    outputs["primaries"] = [{"name": primary.get("name", ""), "state": primary.get("state", "")}] if primary else []


def _destroy_versions(kind: ResourceType, provider: Provider, outputs: Mapping[str, Any]) -> None:
    # A key can't be deleted either: its versions are destroyed and its rotation is stopped.
    url = kind.url(provider, outputs)
    page = provider.client.call("GET", f"{url}/cryptoKeyVersions")
    for version in page.get("cryptoKeyVersions") or []:
        if version.get("state") in {"DESTROYED", "DESTROY_SCHEDULED"}:
            continue
        provider.client.call("POST", f"{provider.client.address('kms')}{version['name']}:destroy", {})
    if outputs.get("rotationPeriod"):
        query = {"updateMask": "rotationPeriod,nextRotationTime"}
        with contextlib.suppress(ApiError):
            provider.client.call("PATCH", url, {"rotationPeriod": None, "nextRotationTime": None}, query=query)


CRYPTO_KEY = ResourceType(
    token="gcp:kms/cryptoKey:CryptoKey",  # noqa: S106 - a type token
    api="kms",
    fields=(
        text("name", replaces=True, wire_fixed=True, decode=last_segment),
        text("keyRing", wire=None, required=True, replaces=True),
        *LABELS,
        text("purpose", default="ENCRYPT_DECRYPT", replaces=True, wire_fixed=True),
        text("rotationPeriod"),
        text("destroyScheduledDuration", keeps=True, replaces=True),
        flag("importOnly", keeps=True, replaces=True),
        flag("skipInitialVersionCreation", wire=None, replaces=True),
        block(
            "versionTemplate",
            text("algorithm", required=True),
            text("protectionLevel", default="SOFTWARE", replaces=True),
            keeps=True,
        ),
        text("cryptoKeyBackend", keeps=True, replaces=True),
        DELETION_POLICY,
        Field(name="primaries", kind=Kind.BLOCKS, wire=None, output=True),
    ),
    identity="{+keyRing}/cryptoKeys/{name}",
    collection="{+keyRing}/cryptoKeys",
    create_query={"cryptoKeyId": "{+name}"},
    resource="{+keyRing}/cryptoKeys/{name}",
    official_only={"keyAccessJustificationsPolicy": None},
    on=Steps(body=_key_body, decoded=_key_decoded, delete=_destroy_versions),
)

RESOURCES = (KEY_RING, CRYPTO_KEY)

MEMBERS = (
    MemberType(
        token="gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember",  # noqa: S106 - a type token
        parent=(text("cryptoKeyId", wire=None, required=True, replaces=True),),
        holder=PolicyHolder(
            api="kms",
            name="projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys/{key}",
            source="cryptoKeyId",
            always=GOOGLES_CLIENT,
            forms=(
                "projects/{project}/locations/{location}/keyRings/{ring}/cryptoKeys/{key}",
                "{project}/{location}/{ring}/{key}",
                "{location}/{ring}/{key}",
            ),
        ),
    ),
    MemberType(
        token="gcp:kms/keyRingIAMMember:KeyRingIAMMember",  # noqa: S106 - a type token
        parent=(text("keyRingId", wire=None, required=True, replaces=True),),
        holder=PolicyHolder(
            api="kms",
            name="projects/{project}/locations/{location}/keyRings/{ring}",
            source="keyRingId",
            always=GOOGLES_CLIENT,
            forms=(
                "projects/{project}/locations/{location}/keyRings/{ring}",
                "{project}/{location}/{ring}",
                "{location}/{ring}",
            ),
        ),
    ),
)
