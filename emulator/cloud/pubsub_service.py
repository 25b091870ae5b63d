"""Pub/Sub: topics, subscriptions and the messages between them.

https://cloud.google.com/pubsub/docs/reference/rest. Messages wait in each subscription until they are acknowledged;
one that was pulled and not acknowledged comes again after the subscription's deadline.
"""

from __future__ import annotations

import base64
import secrets
import time
from typing import TYPE_CHECKING, Any

from ..core.clock import now, rfc3339
from ..core.errors import ApiError, not_found
from ..core.projects import service_agent
from . import kms_service

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..core.runtime import Emulator
    from ..core.state import Document

#: What a subscription's topic is called once the topic is gone.
DELETED_TOPIC = "_deleted-topic_"
#: Messages that wait in one subscription; the oldest go first.
_MOST_WAITING = 100_000


class PubSub:
    """Topics and subscriptions of one emulator; messages wait by subscription, oldest first.

    Args:
        emulator: whose state this is.
    """

    def __init__(self, emulator: Emulator) -> None:
        self.lock = emulator.state.lock
        self.topics = emulator.state.collection("pubsub.topics")
        self.subscriptions = emulator.state.collection("pubsub.subscriptions")
        self._emulator = emulator
        #: By subscription: message id → when it may be delivered (again), its handle, how often it was.
        self._leases: dict[str, dict[str, tuple[float, str, int]]] = {}
        self._numbers = emulator.state.collection("pubsub.numbers")
        emulator.on_reset(self._leases.clear)

    def waiting(self, subscription: str) -> Any:
        """The messages of a subscription by id."""
        return self._emulator.state.collection(f"pubsub.messages/{subscription}")

    def publish(self, topic: str, messages: Iterable[Document]) -> list[str]:
        """Hand messages to all subscriptions of a topic; returns their ids.

        Raises:
            ApiError: 404 if there is no such topic; 400 if its key can't be used.
        """
        with self.lock, self._emulator.state.transaction():
            if topic not in self.topics:
                raise not_found(f"Resource not found (resource={topic.rpartition('/')[2]}).")
            self.require_key(topic, self.topics[topic])
            ids = []
            last = self._numbers.get("last", {"number": 0})["number"]
            for number, message in enumerate(messages, start=last + 1):
                full = {**message, "messageId": str(number), "publishTime": rfc3339(now())}
                ids.append(full["messageId"])
                for name, subscription in self.subscriptions.items():
                    if subscription["topic"] == topic:
                        waiting = self.waiting(name)
                        waiting[full["messageId"]] = full
                        while len(waiting) > _MOST_WAITING:
                            del waiting[next(iter(waiting))]
            self._numbers["last"] = {"number": last + len(ids)}
            return ids

    def require_key(self, name: str, topic: Document) -> None:
        """Refuse to go on unless the Pub/Sub service agent of the topic's project can use the topic's key.

        https://cloud.google.com/pubsub/docs/encryption. Keys may be in any location. That a disabled key is reported
        as a missing role is, with Cloud KMS's own text, is an assumption.

        Raises:
            ApiError: 400 FAILED_PRECONDITION.
        """
        key = topic.get("kmsKeyName")
        if not key:
            return
        agent = service_agent("pubsub", name.split("/")[1])
        if kms_service.missing_permission(self._emulator, key, agent):
            raise ApiError(
                400,
                "Cloud Pub/Sub did not have the necessary permissions configured to support this operation. Please "
                f"verify that the service account {agent} was granted the Cloud KMS CryptoKey Encrypter/Decrypter role "
                f"for the project containing the CryptoKey resource {key}.",
                name="FAILED_PRECONDITION",
            )
        state = kms_service.key_state(self._emulator, key)
        if state != "ENABLED":
            raise ApiError(400, f"{key} is not enabled, current state is: {state}.", name="FAILED_PRECONDITION")

    def pull(self, subscription: str, most: int) -> list[dict[str, Any]]:
        """Take up to ``most`` messages that nobody else has, oldest first, as ReceivedMessage.

        Raises:
            ApiError: 400 if the topic's key can't be used: messages are decrypted when they are delivered.
        """
        with self.lock:
            topic = self.subscriptions[subscription]["topic"]
            self.require_key(topic, self.topics.get(topic, {}))
            moment = time.monotonic()
            leases = self._leases.setdefault(subscription, {})
            deadline = self.subscriptions[subscription].get("ackDeadlineSeconds", 10)
            received: list[dict[str, Any]] = []
            waiting = self.waiting(subscription)
            for message_id in sorted(waiting, key=int):
                free_from, _, times = leases.get(message_id, (0.0, "", 0))
                if free_from > moment:
                    continue
                handle = f"{message_id}-{secrets.token_urlsafe(12)}"
                leases[message_id] = (moment + deadline, handle, times + 1)
                received.append({"ackId": handle, "message": waiting[message_id]})
                if len(received) == most:
                    break
            return received

    def acknowledge(self, subscription: str, handles: Iterable[str]) -> None:
        """Forget messages that were dealt with; handles that are out of date change nothing."""
        with self.lock:
            leases = self._leases.setdefault(subscription, {})
            for handle in handles:
                message_id = handle.partition("-")[0]
                if message_id in leases and leases[message_id][1] == handle:
                    del leases[message_id]
                    self.waiting(subscription).pop(message_id, None)

    def extend(self, subscription: str, handles: Iterable[str], seconds: int) -> None:
        """Keep messages for longer; 0 seconds gives them back at once."""
        with self.lock:
            leases = self._leases.setdefault(subscription, {})
            for handle in handles:
                message_id = handle.partition("-")[0]
                if message_id in leases and leases[message_id][1] == handle:
                    leases[message_id] = (time.monotonic() + seconds, handle, leases[message_id][2])

    def delete_topic(self, topic: str) -> None:
        """Remove a topic; its subscriptions stay, and receive nothing any more."""
        with self.lock, self._emulator.state.transaction():
            del self.topics[topic]
            for name, subscription in self.subscriptions.items():
                if subscription["topic"] == topic:
                    self.subscriptions[name] = {**subscription, "topic": DELETED_TOPIC}
            self._emulator.iam.forget(topic)

    def delete_subscription(self, name: str) -> None:
        """Remove a subscription and what waits in it."""
        with self.lock, self._emulator.state.transaction():
            del self.subscriptions[name]
            self.clear(name)
            self._emulator.iam.forget(name)

    def clear(self, subscription: str) -> None:
        """Throw away what waits in a subscription."""
        with self.lock:
            self._leases.pop(subscription, None)
            waiting = self.waiting(subscription)
            for message_id in list(waiting):
                del waiting[message_id]


def topic_exists(emulator: Emulator, name: str) -> bool:
    """Whether there is a topic ``projects/PROJECT/topics/TOPIC``."""
    return name in emulator.service(PubSub).topics


def publish(emulator: Emulator, topic_name: str, data: bytes, attributes: dict[str, str]) -> str:
    """Publish one message; nothing here checks permissions.

    Args:
        emulator: where.
        topic_name: ``projects/PROJECT/topics/TOPIC``.
        data: the message's bytes.
        attributes: its attributes.

    Returns:
        The message's id.

    Raises:
        ApiError: 404 if there is no such topic.
    """
    message: Document = {"data": base64.b64encode(data).decode()}
    if attributes:
        message["attributes"] = attributes
    return emulator.service(PubSub).publish(topic_name, [message])[0]
