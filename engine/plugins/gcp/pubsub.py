"""Pub/Sub: topics. https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.topics"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.plugins.gcp.fields import block, flag, mapping, text, texts
from engine.plugins.gcp.iam import MemberType, PolicyHolder
from engine.plugins.gcp.resource import DELETION_POLICY, LABELS, PROJECT, ResourceType, Steps, last_segment

if TYPE_CHECKING:
    from collections.abc import Mapping


def _wrap(body: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    # A topic's PATCH has the topic inside its body.
    del values
    return {"topic": body}


TOPIC = ResourceType(
    token="gcp:pubsub/topic:Topic",  # noqa: S106 - a type token
    api="pubsub",
    fields=(
        text("name", wire=None, replaces=True),
        PROJECT,
        *LABELS,
        text("kmsKeyName"),
        block(
            "messageStoragePolicy",
            texts("allowedPersistenceRegions", required=True, unordered=True),
            flag("enforceInTransit", keeps=True),
            keeps=True,
        ),
        block(
            "schemaSettings",
            text("schema", required=True),
            text("encoding", keeps=True),
            text("firstRevisionId"),
            text("lastRevisionId"),
            keeps=True,
        ),
        text("messageRetentionDuration"),
        mapping("tags", wire=None, replaces=True),
        DELETION_POLICY,
    ),
    identity="projects/{project}/topics/{name}",
    imports=("{project}/{name}", "{name}"),
    collection="projects/{project}/topics/{name}",
    resource="projects/{project}/topics/{name}",
    create_method="PUT",
    omits_empty=True,
    awaited=True,
    official_only={"ingestionDataSourceSettings": None, "messageTransforms": []},
    on=Steps(wrap=_wrap),
)

RESOURCES = (TOPIC,)

MEMBERS = (
    MemberType(
        token="gcp:pubsub/topicIAMMember:TopicIAMMember",  # noqa: S106 - a type token
        parent=(
            text("topic", wire=None, required=True, replaces=True, normal=last_segment),
            PROJECT,
        ),
        holder=PolicyHolder(
            api="pubsub",
            name="projects/{project}/topics/{topic}",
            source="topic",
            asks_version=False,
            forms=("projects/{project}/topics/{topic}", "{topic}"),
            shown="projects/{project}/topics/{topic}",
        ),
    ),
)
