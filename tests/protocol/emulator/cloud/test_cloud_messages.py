"""Topics and subscriptions, keys, log entries."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emulator.cloud import kms_service, logs, pubsub_service
from emulator.core.runtime import Emulator
from emulator.server.server import LocalEmulator

PROJECT = "projects/hospital-imaging"
TOPIC = f"{PROJECT}/topics/dicom"
WATCHER = f"{PROJECT}/subscriptions/watcher"
RING = f"{PROJECT}/locations/europe-west4/keyRings/ring"
KEY = f"{RING}/cryptoKeys/key"

Rest = Callable[..., Any]


@pytest.fixture
def watched(rest: Rest) -> str:
    """A topic with a subscription."""
    assert rest("PUT", f"/v1/{TOPIC}", {}).status == 200
    assert rest("PUT", f"/v1/{WATCHER}", {"topic": TOPIC}).status == 200
    return TOPIC


@pytest.fixture
def key(rest: Rest) -> str:
    """A key with one version."""
    assert rest("POST", f"/v1/{PROJECT}/locations/europe-west4/keyRings?keyRingId=ring", {}).status == 200
    assert rest("POST", f"/v1/{RING}/cryptoKeys?cryptoKeyId=key", {"purpose": "ENCRYPT_DECRYPT"}).status == 200
    return KEY


REFUSED: list[tuple[str, str, Any, int, str]] = [
    ("PUT", f"{TOPIC}", {}, 409, "already exists"),
    ("PUT", f"{PROJECT}/topics/x", {}, 400, "Invalid resource name"),
    ("PUT", f"{PROJECT}/topics/google-topic", {}, 400, "Invalid resource name"),
    ("PUT", f"{PROJECT}/topics/other", {"messageRetentionDuration": "10s"}, 400, "600s to 2678400s"),
    ("PUT", f"{PROJECT}/topics/other", {"schemaSettings": {"schema": "x"}}, 501, "schemaSettings"),
    (
        "PATCH",
        f"{WATCHER}",
        {"subscription": {"ackDeadlineSeconds": 5}, "updateMask": "ackDeadlineSeconds"},
        400,
        "600",
    ),
    ("GET", f"{PROJECT}/topics/none", None, 404, "Resource not found (resource=none)."),
    ("POST", f"{TOPIC}:publish", {"messages": []}, 400, "1 to 1000"),
    ("POST", f"{TOPIC}:publish", {"messages": [{}]}, 400, "empty"),
    ("POST", f"{TOPIC}:publish", {"messages": [{"data": "%%"}]}, 400, "Base64"),
    ("POST", f"{TOPIC}:publish", {"messages": [{"dta": "eA=="}]}, 400, "dta"),
    ("PATCH", f"{TOPIC}", {"topic": {"labels": {"a": "b"}}}, 400, "update_mask"),
    ("PATCH", f"{TOPIC}", {"topic": {"name": "x"}, "updateMask": "name"}, 400, "name can't be changed"),
    ("PUT", f"{WATCHER}", {"topic": TOPIC}, 409, "already exists"),
    ("PUT", f"{PROJECT}/subscriptions/other", {"topic": f"{PROJECT}/topics/none"}, 404, "resource=none"),
    ("PUT", f"{PROJECT}/subscriptions/other", {"topic": "dicom"}, 400, "Invalid [topic] name"),
    ("PUT", f"{PROJECT}/subscriptions/other", {"topic": TOPIC, "ackDeadlineSeconds": 5}, 400, "10 to 600"),
    ("PUT", f"{PROJECT}/subscriptions/other", {"topic": TOPIC, "filter": "attributes:x"}, 501, "filter"),
    (
        "PUT",
        f"{PROJECT}/subscriptions/other",
        {"topic": TOPIC, "pushConfig": {"pushEndpoint": "http://127.0.0.1"}},
        501,
        "push",
    ),
    ("POST", f"{WATCHER}:pull", {"maxMessages": 0}, 400, "max_messages"),
    ("POST", f"{WATCHER}:acknowledge", {"ackIds": []}, 400, "No ack ids"),
    ("POST", f"{WATCHER}:seek", {"snapshot": "x"}, 501, "seek"),
    ("POST", f"{PROJECT}/subscriptions/none:pull", {"maxMessages": 1}, 404, "resource=none"),
]


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize(("http_method", "path", "body", "status", "text"), REFUSED)
def test_what_topics_and_subscriptions_can_not_be_is_refused(
    rest: Rest, http_method: str, path: str, body: Any, status: int, text: str
) -> None:
    answer = rest(http_method, f"/v1/{path}", body)
    assert answer.status == status
    assert text in answer.message


def pull(rest: Rest, most: int = 10) -> list[dict[str, Any]]:
    body = {"maxMessages": most, "returnImmediately": True}
    received: list[dict[str, Any]] = rest("POST", f"/v1/{WATCHER}:pull", body).json.get("receivedMessages", [])
    return received


def test_messages_wait_until_they_are_acknowledged(emulator: LocalEmulator, rest: Rest, watched: str) -> None:
    inside = emulator.emulator
    ids = [pubsub_service.publish(inside, watched, text, {"n": str(n)}) for n, text in enumerate((b"one", b"two"))]
    first, second = pull(rest)
    assert [first["message"]["messageId"], second["message"]["messageId"]] == ids
    assert base64.b64decode(first["message"]["data"]) == b"one"
    assert first["message"]["attributes"] == {"n": "0"}
    assert pull(rest) == [], "whoever pulled them has them"
    rest("POST", f"/v1/{WATCHER}:acknowledge", {"ackIds": [first["ackId"]]})
    rest("POST", f"/v1/{WATCHER}:modifyAckDeadline", {"ackIds": [second["ackId"]], "ackDeadlineSeconds": 0})
    (again,) = pull(rest)
    assert again["message"]["messageId"] == ids[1]
    # A handle of an earlier delivery means nothing any more.
    rest("POST", f"/v1/{WATCHER}:acknowledge", {"ackIds": [second["ackId"]]})
    rest("POST", f"/v1/{WATCHER}:modifyAckDeadline", {"ackIds": [again["ackId"]], "ackDeadlineSeconds": 0})
    assert len(pull(rest)) == 1


def test_every_subscription_gets_every_message_from_then_on(emulator: LocalEmulator, rest: Rest, watched: str) -> None:
    pubsub_service.publish(emulator.emulator, watched, b"early", {})
    rest("PUT", f"/v1/{PROJECT}/subscriptions/late", {"topic": watched})
    pubsub_service.publish(emulator.emulator, watched, b"late", {})
    assert [base64.b64decode(one["message"]["data"]) for one in pull(rest)] == [b"early", b"late"]
    answer = rest("POST", f"/v1/{PROJECT}/subscriptions/late:pull", {"maxMessages": 9}).json
    assert [base64.b64decode(one["message"]["data"]) for one in answer["receivedMessages"]] == [b"late"]


def test_a_deleted_topic_leaves_its_subscriptions_alone(emulator: LocalEmulator, rest: Rest, watched: str) -> None:
    pubsub_service.publish(emulator.emulator, watched, b"kept", {})
    assert pubsub_service.topic_exists(emulator.emulator, watched)
    rest("DELETE", f"/v1/{watched}")
    assert not pubsub_service.topic_exists(emulator.emulator, watched)
    assert rest("GET", f"/v1/{WATCHER}").json["topic"] == "_deleted-topic_"
    assert len(pull(rest)) == 1


def test_a_publisher_may_publish_and_nothing_else(rest: Rest, watched: str) -> None:
    who = "serviceAccount:sender@hospital-imaging.iam.gserviceaccount.com"
    message = {"messages": [{"data": "eA=="}]}
    refused = rest("POST", f"/v1/{watched}:publish", message, who=who)
    assert (refused.status, refused.message) == (403, "User not authorized to perform this action.")
    policy = {"bindings": [{"role": "roles/pubsub.publisher", "members": [who]}]}
    assert rest("POST", f"/v1/{watched}:setIamPolicy", {"policy": policy}).status == 200
    assert rest("POST", f"/v1/{watched}:publish", message, who=who).status == 200
    assert rest("GET", f"/v1/{watched}", who=who).status == 403


KEYS_REFUSED: list[tuple[str, str, Any, int, str]] = [
    ("POST", f"{PROJECT}/locations/europe-west4/keyRings?keyRingId=ring", {}, 409, "already exists"),
    ("POST", f"{PROJECT}/locations/europe-west4/keyRings?keyRingId=a.b", {}, 400, "keyRingId"),
    ("POST", f"{RING}/cryptoKeys?cryptoKeyId=key", {"purpose": "ENCRYPT_DECRYPT"}, 409, "already exists"),
    ("POST", f"{RING}/cryptoKeys?cryptoKeyId=k2", {}, 400, "purpose"),
    ("POST", f"{RING}/cryptoKeys?cryptoKeyId=k2", {"purpose": "MAC"}, 400, "algorithm"),
    ("POST", f"{RING}2/cryptoKeys?cryptoKeyId=k2", {"purpose": "ENCRYPT_DECRYPT"}, 404, "KeyRing"),
    ("GET", f"{RING}/cryptoKeys/none", None, 404, "CryptoKey"),
    ("PATCH", f"{KEY}?updateMask=purpose", {"purpose": "MAC"}, 400, "updateMask"),
    ("PATCH", f"{KEY}", {"labels": {}}, 400, "updateMask"),
    ("PATCH", f"{KEY}/cryptoKeyVersions/1?updateMask=state", {"state": "DESTROYED"}, 400, "ENABLED or DISABLED"),
    ("POST", f"{KEY}/cryptoKeyVersions/9:destroy", {}, 404, "CryptoKeyVersion"),
    ("POST", f"{KEY}/cryptoKeyVersions/1:restore", {}, 400, "ENABLED"),
    ("POST", f"{KEY}:encrypt", {"plaintext": "eA=="}, 501, "encrypt"),
    ("POST", f"{KEY}:decrypt", {"ciphertext": "eA=="}, 501, "decrypt"),
    ("GET", f"{RING}/cryptoKeys?filter=x", None, 501, "filter"),
]


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize(("http_method", "path", "body", "status", "text"), KEYS_REFUSED)
def test_what_keys_can_not_be_is_refused(
    rest: Rest, http_method: str, path: str, body: Any, status: int, text: str
) -> None:
    answer = rest(http_method, f"/v1/{path}", body)
    assert answer.status == status
    assert text in answer.message


def test_a_key_has_the_state_of_the_version_that_encrypts(emulator: LocalEmulator, rest: Rest, key: str) -> None:
    inside = emulator.emulator
    assert kms_service.key_state(inside, f"{RING}/cryptoKeys/none") is None
    assert kms_service.key_state(inside, key) == "ENABLED"
    rest("PATCH", f"/v1/{key}/cryptoKeyVersions/1?updateMask=state", {"state": "DISABLED"})
    assert kms_service.key_state(inside, key) == "DISABLED"
    rest("POST", f"/v1/{key}/cryptoKeyVersions/1:destroy", {})
    assert kms_service.key_state(inside, key) == "DESTROYED"
    rest("POST", f"/v1/{key}/cryptoKeyVersions", {})
    assert kms_service.key_state(inside, key) == "DESTROYED", "a new version encrypts when it is made primary"
    rest("POST", f"/v1/{key}:updatePrimaryVersion", {"cryptoKeyVersionId": "2"})
    assert kms_service.key_state(inside, key) == "ENABLED"


def entry(code: int, **more: Any) -> dict[str, Any]:
    return {
        "severity": "ERROR",
        "resource": {"type": "healthcare_dicom_store", "labels": {"dataset_id": "radiology"}},
        "jsonPayload": {"error": {"code": code, "message": "empty DICOM instance found"}},
        "operation": {"id": f"op-{code}", "producer": "import_dicom"},
        **more,
    }


def test_what_the_emulator_logs_is_found_by_its_operation(emulator: LocalEmulator, rest: Rest) -> None:
    for code in (3, 5):
        logs.write_entry(emulator.emulator, "hospital-imaging", entry(code))
    logs.write_entry(emulator.emulator, "research-analytics", entry(3))
    body = {"resourceNames": [PROJECT], "filter": 'resource.type="healthcare_dicom_store" AND operation.id="op-3"'}
    (found,) = rest("POST", "/v2/entries:list", body).json["entries"]
    assert found["jsonPayload"]["error"]["code"] == 3
    assert found["insertId"]
    assert found["timestamp"].endswith("Z")


def test_entries_come_in_the_order_and_the_pages_that_were_asked_for(emulator: LocalEmulator, rest: Rest) -> None:
    moments = [f"2026-01-0{day}T00:00:00Z" for day in (3, 1, 2)]
    for moment in moments:
        logs.write_entry(emulator.emulator, "hospital-imaging", entry(3, timestamp=moment))
    for order, expected in (("timestamp asc", sorted(moments)), ("timestamp desc", sorted(moments, reverse=True))):
        body = {"resourceNames": [PROJECT], "orderBy": order, "pageSize": 2}
        first = rest("POST", "/v2/entries:list", body).json
        second = rest("POST", "/v2/entries:list", {**body, "pageToken": first["nextPageToken"]}).json
        assert [one["timestamp"] for one in first["entries"] + second["entries"]] == expected
        assert "nextPageToken" not in second


LISTS_REFUSED = [
    ({}, 400, "resourceNames"),
    ({"resourceNames": ["organizations/1"]}, 501, "projects only"),
    ({"resourceNames": [PROJECT], "filter": "severity="}, 400, "Unparseable filter"),
    ({"resourceNames": [PROJECT], "orderBy": "severity"}, 400, "orderBy"),
    ({"resourceNames": [PROJECT], "pageToken": "!"}, 400, "page_token"),
    ({"resourceNames": [PROJECT], "pageSize": -1}, 400, "negative"),
]


@pytest.mark.parametrize(("body", "status", "text"), LISTS_REFUSED)
def test_a_list_of_entries_that_can_not_be_is_refused(rest: Rest, body: Any, status: int, text: str) -> None:
    answer = rest("POST", "/v2/entries:list", body)
    assert answer.status == status
    assert text in answer.message


def test_nothing_is_written_if_one_entry_is_malformed(rest: Rest) -> None:
    good = {"logName": f"{PROJECT}/logs/x", "resource": {"type": "global"}, "textPayload": "good"}
    for bad in ({**good, "logName": "x"}, {"logName": f"{PROJECT}/logs/x"}, {**good, "severity": "LOUD"}):
        assert rest("POST", "/v2/entries:write", {"entries": [good, bad]}).status == 400
    assert rest("POST", "/v2/entries:list", {"resourceNames": [PROJECT]}).json == {}


def test_messages_keys_and_entries_outlive_the_process(tmp_path: Path) -> None:
    first = Emulator(tmp_path / "first")
    pubsub = first.service(pubsub_service.PubSub)
    pubsub.topics[TOPIC] = {"name": TOPIC}
    pubsub.subscriptions[WATCHER] = {"name": WATCHER, "topic": TOPIC}
    pubsub_service.publish(first, TOPIC, b"kept", {})
    logs.write_entry(first, "hospital-imaging", entry(3))
    # Not closed: a killed process leaves what is on the disk now.
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    second = Emulator(tmp_path / "second")
    (received,) = second.service(pubsub_service.PubSub).pull(WATCHER, 5)
    assert base64.b64decode(received["message"]["data"]) == b"kept"
    assert pubsub_service.publish(second, TOPIC, b"next", {}) == "2", "ids are never used twice"
    logs.write_entry(second, "hospital-imaging", entry(5))
    kept = [one["jsonPayload"]["error"]["code"] for _, one in second.service(logs.Logs).of("hospital-imaging")]
    assert kept == [3, 5]
    first.close()
    second.close()
