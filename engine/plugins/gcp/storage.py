"""Cloud Storage: buckets and objects. https://cloud.google.com/storage/docs/json_api/v1/buckets"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from engine.plugins.gcp.fields import Field, Kind, block, blocks, flag, integer, mapping, text, texts
from engine.plugins.gcp.iam import MemberType, PolicyHolder
from engine.plugins.gcp.resource import (
    DELETION_POLICY,
    LABELS,
    NOT_FOUND,
    PROJECT,
    SELF_LINK,
    ResourceError,
    ResourceType,
    State,
    Steps,
)
from engine.plugins.gcp.rest import GOOGLES_CLIENT, ApiError, expand

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine.plugins.gcp.comparing import Change
    from engine.plugins.gcp.provider import Provider
    from engine.plugins.gcp.values import Properties


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _state_to_wire(state: str) -> bool | None:
    return {"LIVE": True, "ARCHIVED": False}.get(state)


def _state_from_wire(live: bool) -> str:
    return "LIVE" if live else "ARCHIVED"


# A condition that may be zero, and the property that says that its zero is meant.
ZERO_CONDITIONS = {
    "age": "sendAgeIfZero",
    "daysSinceCustomTime": "sendDaysSinceCustomTimeIfZero",
    "daysSinceNoncurrentTime": "sendDaysSinceNoncurrentTimeIfZero",
    "numNewerVersions": "sendNumNewerVersionsIfZero",
}


def _rules_to_wire(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for rule in rules:
        condition = rule.get("condition", {})
        # `isLive` is absent for ANY; null would be refused.
        if condition.get("isLive", False) is None:
            del condition["isLive"]
        for name, sends_zero in ZERO_CONDITIONS.items():
            if not condition.pop(sends_zero, False) and not condition.get(name):
                condition.pop(name, None)
    return rules


def _enforcement(name: str) -> Field:
    return block(name, text("restrictionMode", required=True), text("effectiveTime", output=True), keeps=True)


LIFECYCLE_RULES = blocks(
    "lifecycleRules",
    block("action", text("type", required=True), text("storageClass"), required=True),
    block(
        "condition",
        integer("age"),
        text("createdBefore"),
        text("customTimeBefore"),
        integer("daysSinceCustomTime"),
        integer("daysSinceNoncurrentTime"),
        texts("matchesPrefixes", wire="matchesPrefix"),
        texts("matchesStorageClasses", wire="matchesStorageClass"),
        texts("matchesSuffixes", wire="matchesSuffix"),
        text("noncurrentTimeBefore"),
        integer("numNewerVersions"),
        *(flag(name, own=True) for name in ZERO_CONDITIONS.values()),
        integer("sizeAboveBytes"),
        integer("sizeBelowBytes"),
        text("withState", wire="isLive", keeps=True, encode=_state_to_wire, decode=_state_from_wire),
        required=True,
    ),
    wire="lifecycle.rule",
    encode=_rules_to_wire,
)


def _bucket_body(body: dict[str, Any], values: Mapping[str, Any], creating: bool) -> None:
    del values
    if creating:
        body.setdefault("lifecycle", {"rule": []})


def _unlocked(policy: dict[str, Any]) -> dict[str, Any]:
    """The policy as it is sent: a lock is a call of its own."""
    return {name: each for name, each in policy.items() if name != "isLocked"}


def _lock(kind: ResourceType, provider: Provider, values: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
    """Locks the retention policy if that is wanted and not so yet, as the answer to the call before has it."""
    wanted = (values.get("retentionPolicy") or {}).get("isLocked") is True
    if wanted and not (answer.get("retentionPolicy") or {}).get("isLocked"):
        query = {"ifMetagenerationMatch": str(answer["metageneration"])}
        kind.call(provider, "POST", f"{kind.url(provider, values)}/lockRetentionPolicy", None, query)


def _change_bucket(
    kind: ResourceType,
    provider: Provider,
    identity: str,
    values: Properties,
    olds: Mapping[str, Any],
    changed: set[str],
) -> State:
    answer = kind.send_changes(provider, values, olds, changed)
    if "retentionPolicy" in changed:
        _lock(kind, provider, values, answer)
    state = kind.read(provider, identity, values)
    if state is None:
        raise ResourceError(f"{identity} was changed, but reading it back found nothing")
    return state


def _unlocking(change: Change, inputs: Mapping[str, Any], news: Mapping[str, Any]) -> bool:
    """Whether a lock is to be taken away, which a bucket can't have done to it."""
    was, will = (each.get("retentionPolicy") or {} for each in (inputs, news))
    return change.top == "retentionPolicy" and bool(was.get("isLocked")) and will.get("isLocked") is False


def _bucket_decoded(outputs: Properties, answer: Mapping[str, Any]) -> None:
    outputs["url"] = f"gs://{answer['name']}"
    outputs["publicAccessPrevention"] = outputs["publicAccessPrevention"] or "inherited"
    outputs["rpo"] = outputs["rpo"] or None
    outputs["hierarchicalNamespace"] = outputs["hierarchicalNamespace"] or {"enabled": False}
    for rule in outputs["lifecycleRules"]:
        if rule["condition"] is not None:
            rule["condition"]["withState"] = rule["condition"]["withState"] or "ANY"


def _delete_bucket(kind: ResourceType, provider: Provider, outputs: Mapping[str, Any]) -> None:
    url = kind.url(provider, outputs)
    with contextlib.suppress(ApiError):
        provider.client.call("GET", f"{url}/anywhereCaches/")
    for item in _objects(kind, provider, url):
        if not outputs.get("forceDestroy"):
            message = (
                f"Error trying to delete bucket {outputs['name']} without forceDestroy set to true: it holds objects"
            )
            raise ResourceError(message)
        try:
            query = {"generation": str(item["generation"])} if item.get("generation") else None
            kind.call(provider, "DELETE", f"{url}/o/{quote(item['name'], safe='')}", None, query)
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise
    kind.call(provider, "DELETE", url, None)


def _objects(kind: ResourceType, provider: Provider, bucket_url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    query = {"versions": "true"}
    while True:
        page = kind.call(provider, "GET", f"{bucket_url}/o", None, query)
        found += page.get("items") or []
        if not page.get("nextPageToken"):
            return found
        query["pageToken"] = page["nextPageToken"]


BUCKET = ResourceType(
    token="gcp:storage/bucket:Bucket",  # noqa: S106 - a type token
    api="storage",
    fields=(
        text("name", replaces=True, wire_fixed=True),
        text("location", required=True, replaces=True, normal=_upper, wire_fixed=True),
        PROJECT,
        text("storageClass", default="STANDARD"),
        flag("forceDestroy", wire=None, default=False),
        *LABELS,
        flag("uniformBucketLevelAccess", wire="iamConfiguration.uniformBucketLevelAccess.enabled", keeps=True),
        text("publicAccessPrevention", wire="iamConfiguration.publicAccessPrevention", keeps=True),
        LIFECYCLE_RULES,
        block("versioning", flag("enabled", required=True), keeps=True),
        block(
            "encryption",
            text("defaultKmsKeyName", keeps=True),
            _enforcement("customerManagedEncryptionEnforcementConfig"),
            _enforcement("customerSuppliedEncryptionEnforcementConfig"),
            _enforcement("googleManagedEncryptionEnforcementConfig"),
        ),
        block("logging", text("logBucket", required=True), text("logObjectPrefix", keeps=True)),
        block("website", text("mainPageSuffix"), text("notFoundPage"), keeps=True),
        blocks(
            "cors",
            integer("maxAgeSeconds"),
            texts("methods", wire="method"),
            texts("origins", wire="origin"),
            texts("responseHeaders", wire="responseHeader"),
        ),
        block(
            "softDeletePolicy",
            integer("retentionDurationSeconds", as_text=True, keeps=True),
            text("effectiveTime", output=True),
            keeps=True,
        ),
        block("autoclass", flag("enabled", required=True), text("terminalStorageClass", keeps=True)),
        block(
            "retentionPolicy",
            text("retentionPeriod", required=True),
            flag("isLocked"),
            encode=_unlocked,
        ),
        block("hierarchicalNamespace", flag("enabled", required=True, replaces=True), replaces=True),
        block(
            "customPlacementConfig", texts("dataLocations", required=True, replaces=True, unordered=True), replaces=True
        ),
        flag("requesterPays", wire="billing.requesterPays"),
        flag("defaultEventBasedHold"),
        flag("enableObjectRetention", wire=None, replaces=True),
        text("rpo", keeps=True),
        DELETION_POLICY,
        SELF_LINK,
        text("url", wire=None, output=True),
        integer("projectNumber", output=True),
        text("timeCreated", output=True),
        text("updated", output=True),
    ),
    identity="{name}",
    imports=("{project}/{name}",),
    collection="b",
    create_query={"project": "{+project}"},
    resource="b/{name}",
    update="patch",
    always=GOOGLES_CLIENT,
    awaited=True,
    official_only={"ipFilter": None},
    on=Steps(
        body=_bucket_body,
        created=_lock,
        decoded=_bucket_decoded,
        update=_change_bucket,
        delete=_delete_bucket,
        must_replace=_unlocking,
    ),
)


# Objects


def _content(values: Mapping[str, Any]) -> bytes:
    if values.get("content") is not None:
        return str(values["content"]).encode()
    asset = values.get("source")
    if isinstance(asset, dict):
        if "text" in asset:
            return str(asset["text"]).encode()
        if "path" in asset:
            return Path(str(asset["path"])).read_bytes()
    raise ResourceError(
        "an object needs `content`, or `source` with text or a file; other assets only the official plugin reads"
    )


def _upload(kind: ResourceType, provider: Provider, values: Properties) -> State:
    content = _content(values)
    metadata = {
        field.name: values[field.name]
        for field in kind.fields
        if field.path and not field.output and values.get(field.name) is not None
    }
    metadata.setdefault(
        "contentType", "text/plain; charset=utf-8" if values.get("content") is not None else "application/octet-stream"
    )
    boundary = secrets.token_hex(16)
    parts = (
        f"--{boundary}\r\nContent-Type: application/json\r\n\r\n{json.dumps(metadata)}\r\n"
        f"--{boundary}\r\nContent-Type: {metadata['contentType']}\r\n\r\n"
    ).encode()
    provider.client.call(
        "POST",
        provider.client.host("storage") + expand("upload/storage/v1/b/{bucket}/o", values),
        query={"uploadType": "multipart", "name": values["name"]},
        content=parts + content + f"\r\n--{boundary}--\r\n".encode(),
        content_type=f"multipart/related; boundary={boundary}",
    )
    state = kind.read(provider, f"{values['bucket']}-{values['name']}", values)
    if state is None:
        raise ResourceError(f"gs://{values['bucket']}/{values['name']} was written, but reading it back found nothing")
    return state


def _object_decoded(outputs: Properties, answer: Mapping[str, Any]) -> None:
    md5 = answer.get("md5Hash") or ""
    if md5 and md5 != _digest(outputs):
        # Someone else wrote the object: the next update writes it again.
        outputs["content"], outputs["source"] = "", None
    outputs["outputName"] = answer.get("name", "")
    outputs["md5hash"] = outputs["detectMd5hash"] = md5
    outputs["md5hexhash"] = binascii.hexlify(base64.b64decode(md5)).decode() if md5 else ""


def _change_object(
    kind: ResourceType,
    provider: Provider,
    identity: str,
    values: Properties,
    olds: Mapping[str, Any],
    changed: set[str],
) -> State:
    del olds
    if changed & {"content", "source", "sourceMd5hash", "detectMd5hash"}:
        return _upload(kind, provider, values)
    metadata = {name: values.get(name) for name in ("metadata", "eventBasedHold", "temporaryHold") if name in changed}
    if metadata:
        provider.client.call("PATCH", kind.url(provider, values), metadata)
    state = kind.read(provider, identity, values)
    if state is None:
        raise ResourceError(f"{identity} is gone")
    return state


def _digest(values: Mapping[str, Any]) -> str | None:
    try:
        content = _content(values)
    except (ResourceError, OSError):
        return None
    # The form in which Cloud Storage returns it; nothing is protected by it.
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


BUCKET_OBJECT = ResourceType(
    token="gcp:storage/bucketObject:BucketObject",  # noqa: S106 - a type token
    api="storage",
    fields=(
        text("name", replaces=True),
        text("bucket", wire=None, required=True, replaces=True),
        text("content", wire=None, read_back=True),
        Field(name="source", kind=Kind.ASSET, wire=None, read_back=True),
        text("sourceMd5hash", wire=None),
        text("cacheControl", replaces=True),
        text("contentDisposition", replaces=True),
        text("contentEncoding", replaces=True),
        text("contentLanguage", replaces=True),
        text("contentType", keeps=True, replaces=True),
        text("kmsKeyName", keeps=True, replaces=True),
        text("storageClass", keeps=True, replaces=True),
        mapping("metadata"),
        flag("eventBasedHold"),
        flag("temporaryHold"),
        DELETION_POLICY,
        text("detectMd5hash", wire=None, keeps=True),
        text("crc32c", output=True),
        integer("generation", output=True),
        text("md5hash", wire=None, output=True),
        text("md5hexhash", wire=None, output=True),
        text("mediaLink", output=True),
        text("outputName", wire=None, output=True),
        SELF_LINK,
    ),
    identity="{bucket}-{+name}",
    imports=("{bucket}/{+name}",),
    collection="",
    resource="b/{bucket}/o/{name}",
    official_only=dict.fromkeys(("contexts", "customerEncryption", "retention", "forceEmptyContentType")),
    on=Steps(create=_upload, update=_change_object, decoded=_object_decoded),
)

RESOURCES = (BUCKET, BUCKET_OBJECT)

MEMBERS = (
    MemberType(
        token="gcp:storage/bucketIAMMember:BucketIAMMember",  # noqa: S106 - a type token
        parent=(text("bucket", wire=None, required=True, replaces=True, normal=lambda name: name.removeprefix("b/")),),
        holder=PolicyHolder(
            api="storage",
            name="b/{bucket}",
            source="bucket",
            forms=("b/{bucket}", "{bucket}"),
            access="subresource",
            shown="b/{bucket}",
        ),
    ),
)
