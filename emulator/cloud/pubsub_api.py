"""Pub/Sub: topics, publishing, pull subscriptions.

https://cloud.google.com/pubsub/docs/reference/rest
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import time
from typing import TYPE_CHECKING, Any

from ..core.errors import ApiError, invalid, not_found
from ..http.masks import patched, top_fields
from ..http.paging import page
from ..http.routing import Routes
from .kms_service import key_location
from .policies import serve_policies
from .pubsub_service import PubSub

if TYPE_CHECKING:
    from ..core.state import Collection, Document
    from ..http.call import Call

routes = Routes("pubsub")

#: https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names
_ID = re.compile(r"(?!goog)[A-Za-z][A-Za-z0-9._~%+-]{2,254}")
_TOPIC_NAME = re.compile(r"projects/[^/]+/topics/[^/]+")
#: Fields that clients set and the emulator keeps; of the others those of ``_NOT_SERVED`` are refused.
_TOPIC_FIELDS = frozenset({"labels", "messageRetentionDuration", "kmsKeyName", "messageStoragePolicy"})
_SUBSCRIPTION_FIELDS = frozenset(
    {
        "ackDeadlineSeconds",
        "enableExactlyOnceDelivery",
        "enableMessageOrdering",
        "expirationPolicy",
        "labels",
        "messageRetentionDuration",
        "pushConfig",
        "retainAckedMessages",
        "retryPolicy",
    }
)
_NOT_SERVED = (
    "bigqueryConfig",
    "bigtableConfig",
    "cloudStorageConfig",
    "deadLetterPolicy",
    "filter",
    "ingestionDataSourceSettings",
    "messageTransforms",
    "schemaSettings",
    "tags",
)
_REGION = re.compile(r"[a-z]+-[a-z]+[0-9]+")
#: Shortest and longest that messages are kept, in seconds: 10 minutes and 31 days.
_RETENTION = (600, 31 * 86400)
#: How long a pull waits for the first message, in seconds.
_PULL_WAIT = 1.0


@routes.method("projects.topics.create")
def create_topic(call: Call) -> dict[str, Any]:
    """Create a topic."""
    name, project = _name(call, "topics")
    call.require("pubsub.topics.create", f"projects/{project}")
    _check_id(call.path["topicsId"])
    pubsub = call.emulator.service(PubSub)
    with pubsub.lock:
        if name in pubsub.topics:
            raise ApiError(409, f"Resource already exists in the project (resource={call.path['topicsId']}).")
        topic = {**_sent(call.body, _TOPIC_FIELDS), "name": name}
        _check_key(pubsub, topic)
        pubsub.topics[name] = topic
    return topic


@routes.method("projects.topics.get")
def get_topic(call: Call) -> dict[str, Any]:
    """A topic."""
    return _topic(call, "pubsub.topics.get")


@routes.method("projects.topics.list")
def list_topics(call: Call) -> dict[str, Any]:
    """The topics of a project."""
    return _listed(call, "pubsub.topics.list", call.emulator.service(PubSub).topics, "topics")


@routes.method("projects.topics.patch")
def patch_topic(call: Call) -> dict[str, Any]:
    """Change the fields that the mask names."""
    topic = _topic(call, "pubsub.topics.update")
    changed = _masked(topic, call.body.get("topic") or {}, _mask(call), _TOPIC_FIELDS)
    pubsub = call.emulator.service(PubSub)
    if changed.get("kmsKeyName") != topic.get("kmsKeyName"):
        _check_key(pubsub, changed)
    pubsub.topics[topic["name"]] = changed
    return changed


@routes.method("projects.topics.delete")
def delete_topic(call: Call) -> None:
    """Delete a topic."""
    topic = _topic(call, "pubsub.topics.delete")
    call.emulator.service(PubSub).delete_topic(topic["name"])


@routes.method("projects.topics.publish")
def publish(call: Call) -> dict[str, Any]:
    """Publish messages."""
    topic = _topic(call, "pubsub.topics.publish")
    messages = call.body.get("messages") or []
    if not messages or len(messages) > 1000:
        raise invalid(f"1 to 1000 messages can be published in one request, not {len(messages)}.")
    for message in messages:
        try:
            data = base64.b64decode(message.get("data") or "", validate=True)
        except (binascii.Error, ValueError):
            raise invalid("Invalid value at 'messages[0].data' (TYPE_BYTES), Base64 decoding failed") from None
        if not data and not message.get("attributes"):
            raise invalid("Some messages are empty. Every message must have data or at least one attribute.")
    kept = [
        {key: message[key] for key in ("data", "attributes", "orderingKey") if message.get(key)} for message in messages
    ]
    return {"messageIds": call.emulator.service(PubSub).publish(topic["name"], kept)}


@routes.method("projects.topics.subscriptions.list")
def list_topic_subscriptions(call: Call) -> dict[str, Any]:
    """The names of a topic's subscriptions."""
    topic = _topic(call, "pubsub.topics.get")
    subscriptions = call.emulator.service(PubSub).subscriptions
    names = sorted(name for name, kept in subscriptions.items() if kept["topic"] == topic["name"])
    shown, token = page(names, call.page_size("pageSize", 100, 1000), call.query.get("pageToken"))
    answer: dict[str, Any] = {"subscriptions": list(shown)} if shown else {}
    if token:
        answer["nextPageToken"] = token
    return answer


@routes.method(
    "projects.subscriptions.create", note="pull only: push, export, filters and dead letters are refused with 501"
)
def create_subscription(call: Call) -> dict[str, Any]:
    """Create a pull subscription."""
    name, project = _name(call, "subscriptions")
    call.require("pubsub.subscriptions.create", f"projects/{project}")
    _check_id(call.path["subscriptionsId"])
    body = _sent(call.body, _SUBSCRIPTION_FIELDS)
    topic = call.body.get("topic") or ""
    if not _TOPIC_NAME.fullmatch(topic):
        raise invalid(f"Invalid [topic] name: (name={topic})")
    pubsub = call.emulator.service(PubSub)
    with pubsub.lock:
        if topic not in pubsub.topics:
            raise not_found(f"Resource not found (resource={topic.rpartition('/')[2]}).")
        call.require("pubsub.topics.attachSubscription", topic, "/".join(topic.split("/")[:2]))
        if name in pubsub.subscriptions:
            raise ApiError(409, f"Resource already exists in the project (resource={call.path['subscriptionsId']}).")
        deadline = body.get("ackDeadlineSeconds", 10)
        subscription = {
            "pushConfig": {},
            "messageRetentionDuration": "604800s",
            "expirationPolicy": {"ttl": "2678400s"},
            "state": "ACTIVE",
            **body,
            "name": name,
            "topic": topic,
            "ackDeadlineSeconds": deadline,
        }
        pubsub.subscriptions[name] = subscription
    return subscription


@routes.method("projects.subscriptions.get")
def get_subscription(call: Call) -> dict[str, Any]:
    """A subscription."""
    return _subscription(call, "pubsub.subscriptions.get")


@routes.method("projects.subscriptions.list")
def list_subscriptions(call: Call) -> dict[str, Any]:
    """The subscriptions of a project."""
    pubsub = call.emulator.service(PubSub)
    return _listed(call, "pubsub.subscriptions.list", pubsub.subscriptions, "subscriptions")


@routes.method("projects.subscriptions.patch")
def patch_subscription(call: Call) -> dict[str, Any]:
    """Change the fields that the mask names."""
    subscription = _subscription(call, "pubsub.subscriptions.update")
    sent = call.body.get("subscription") or {}
    changed = _masked(subscription, sent, _mask(call), _SUBSCRIPTION_FIELDS)
    call.emulator.service(PubSub).subscriptions[subscription["name"]] = changed
    return changed


@routes.method("projects.subscriptions.delete")
def delete_subscription(call: Call) -> None:
    """Delete a subscription with what waits in it."""
    subscription = _subscription(call, "pubsub.subscriptions.delete")
    call.emulator.service(PubSub).delete_subscription(subscription["name"])


@routes.method("projects.subscriptions.pull")
async def pull(call: Call) -> dict[str, Any]:
    """Messages that wait; without any, a second goes by before the empty answer."""
    subscription = _subscription(call, "pubsub.subscriptions.consume")
    most = int(call.body.get("maxMessages") or 0)
    if most < 1:
        raise invalid("max_messages must be positive.")
    pubsub = call.emulator.service(PubSub)
    until = time.monotonic() + (0 if call.body.get("returnImmediately") in (True, "true") else _PULL_WAIT)
    while True:
        received = pubsub.pull(subscription["name"], min(most, 1000))
        if received or time.monotonic() >= until:
            return {"receivedMessages": received} if received else {}
        await asyncio.sleep(0.02)


@routes.method("projects.subscriptions.acknowledge")
def acknowledge(call: Call) -> None:
    """Forget messages that were dealt with."""
    subscription = _subscription(call, "pubsub.subscriptions.consume")
    handles = call.body.get("ackIds") or []
    if not handles:
        raise invalid("No ack ids specified.")
    call.emulator.service(PubSub).acknowledge(subscription["name"], handles)


@routes.method("projects.subscriptions.modifyAckDeadline")
def modify_ack_deadline(call: Call) -> None:
    """Keep messages for longer, or give them back."""
    subscription = _subscription(call, "pubsub.subscriptions.consume")
    seconds = int(call.body.get("ackDeadlineSeconds") or 0)
    if not 0 <= seconds <= 600:
        raise invalid(f"Invalid ack deadline given (ack_deadline_secs={seconds}): 0 to 600 are possible.")
    call.emulator.service(PubSub).extend(subscription["name"], call.body.get("ackIds") or [], seconds)


@routes.method("projects.subscriptions.modifyPushConfig")
def modify_push_config(call: Call) -> None:
    """Only the empty configuration, that of pulling, is possible."""
    _subscription(call, "pubsub.subscriptions.update")
    _refuse_unserved({"pushConfig": call.body.get("pushConfig") or {}}, "subscriptions")


@routes.method("projects.subscriptions.seek", note="to a time in the future only, which empties the subscription")
def seek(call: Call) -> None:
    """Throw away what waits."""
    from datetime import datetime

    from ..core.clock import now

    subscription = _subscription(call, "pubsub.subscriptions.consume")
    text = call.body.get("time")
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        raise ApiError(501, "The emulator serves seek to a time only.") from None
    if moment < now():
        raise ApiError(501, "The emulator does not keep acknowledged messages: it can't seek to the past.")
    call.emulator.service(PubSub).clear(subscription["name"])


def _name(call: Call, kind: str) -> tuple[str, str]:
    """The resource's name with the project's id, and the project."""
    project = call.emulator.projects.use(call.path["projectsId"])
    return f"projects/{project}/{kind}/{call.path[f'{kind}Id']}", project


def _check_id(text: str) -> None:
    if not _ID.fullmatch(text):
        raise invalid(f"Invalid resource name given (name={text}). It has 3 to 255 letters, digits and - . _ ~ + %.")


def _sent(body: dict[str, Any], possible: frozenset[str]) -> dict[str, Any]:
    """What of a resource is kept: the fields that clients set, without those that have their default.

    Raises:
        ApiError: 501 for fields that are not served, 400 for a retention or a deadline that is out of range.
    """
    _refuse_unserved(body, "topics" if possible is _TOPIC_FIELDS else "subscriptions")
    kept: dict[str, Any] = _without_defaults({name: body[name] for name in possible if name in body}) or {}
    if (text := kept.get("messageRetentionDuration")) is not None:
        _check_retention(text)
    _check_storage_policy(kept.get("messageStoragePolicy") or {})
    if not 10 <= int(kept.get("ackDeadlineSeconds", 10)) <= 600:
        seconds = kept["ackDeadlineSeconds"]
        raise invalid(f"Invalid ack deadline given (ack_deadline_secs={seconds}): 10 to 600 are possible.")
    return kept


def _without_defaults(value: Any) -> Any:
    if isinstance(value, dict):
        inner = {key: _without_defaults(item) for key, item in value.items()}
        return {key: item for key, item in inner.items() if item not in (None, [], {}, "", False)}
    return value


def _check_retention(text: str) -> None:
    found = re.fullmatch(r"([0-9]{1,12})(\.[0-9]{1,9})?s", text)
    shortest, longest = _RETENTION
    if found is None or not shortest <= float(text[:-1]) <= longest:
        raise invalid(f"Invalid message retention duration {text[:50]!r}: {shortest}s to {longest}s are possible.")


def _check_storage_policy(policy: dict[str, Any]) -> None:
    """https://cloud.google.com/pubsub/docs/resource-location-restriction.

    The emulator is in every region, so every message is stored and published where the policy allows it.
    """
    regions = policy.get("allowedPersistenceRegions") or []
    for region in regions:
        if not _REGION.fullmatch(region):
            raise invalid(f"Invalid region in allowed_persistence_regions: {region[:50]!r}.")
    if policy.get("enforceInTransit") and not regions:
        raise invalid("enforce_in_transit needs at least one region in allowed_persistence_regions.")


def _refuse_unserved(body: dict[str, Any], what: str) -> None:
    for name in _NOT_SERVED:
        if body.get(name):
            raise ApiError(501, f"The emulator does not serve {name} of {what}.")
    if (body.get("pushConfig") or {}).get("pushEndpoint"):
        raise ApiError(501, "The emulator does not serve push subscriptions.")


def _check_key(pubsub: PubSub, topic: Document) -> None:
    """Refuse a key that is malformed, or that the service agent can't use.

    Raises:
        ApiError: 400.
    """
    key = topic.get("kmsKeyName")
    if key and key_location(key) is None:
        raise invalid(f"Invalid [kms_key_name] given (name={key}).")
    pubsub.require_key(topic["name"], topic)


def _topic(call: Call, permission: str) -> Document:
    name, project = _name(call, "topics")
    return _found(call, call.emulator.service(PubSub).topics, name, project, permission)


def _subscription(call: Call, permission: str) -> Document:
    name, project = _name(call, "subscriptions")
    return _found(call, call.emulator.service(PubSub).subscriptions, name, project, permission)


def _found(call: Call, kept: Collection, name: str, project: str, permission: str) -> Document:
    if not call.emulator.iam.allowed(call.principal, permission, name, f"projects/{project}"):
        raise ApiError(403, "User not authorized to perform this action.")
    document = kept.get(name)
    if document is None:
        raise not_found(f"Resource not found (resource={name.rpartition('/')[2]}).")
    return document


def _listed(call: Call, permission: str, kept: Collection, key: str) -> dict[str, Any]:
    project = call.emulator.projects.use(call.path["projectsId"])
    call.require(permission, f"projects/{project}")
    names = kept.keys_under(f"projects/{project}/")
    shown, token = page(names, call.page_size("pageSize", 100, 1000), call.query.get("pageToken"))
    answer: dict[str, Any] = {key: [kept[name] for name in shown]} if shown else {}
    if token:
        answer["nextPageToken"] = token
    return answer


def _mask(call: Call) -> str | None:
    """The update mask: a field of the body, which the Google Terraform provider sends as a query parameter."""
    return call.body.get("updateMask") or call.query.get("updateMask")


def _masked(old: Document, sent: dict[str, Any], mask: str | None, possible: frozenset[str]) -> Document:
    names = top_fields(mask)
    if not names:
        raise invalid("The update_mask in the request must be set, and not empty.")
    if wrong := [name for name in names if name not in possible]:
        raise invalid(f"Invalid update_mask provided: {', '.join(wrong)} can't be changed.")
    return patched(old, _sent(sent, possible), names)


def _topic_keys(call: Call) -> tuple[str, ...]:
    name, project = _name(call, "topics")
    if name not in call.emulator.service(PubSub).topics:
        raise not_found(f"Resource not found (resource={call.path['topicsId']}).")
    return name, f"projects/{project}"


def _subscription_keys(call: Call) -> tuple[str, ...]:
    name, project = _name(call, "subscriptions")
    if name not in call.emulator.service(PubSub).subscriptions:
        raise not_found(f"Resource not found (resource={call.path['subscriptionsId']}).")
    return name, f"projects/{project}"


serve_policies(routes, "projects.topics", "pubsub.topics", _topic_keys)
serve_policies(routes, "projects.subscriptions", "pubsub.subscriptions", _subscription_keys)
