"""``projects.locations.datasets.dicomStores``: the stores themselves, not what is in them."""

from __future__ import annotations

import secrets
import unicodedata
from typing import Any

from ..core.errors import ApiError, invalid
from ..http import paging
from ..http.call import Call
from ..http.routing import Routes
from .access import find_dataset, find_store, public, stores
from .field_masks import merged, without_defaults
from .filters import compile_filter
from .names import StoreName, checked_id

routes = Routes("healthcare")
_PREFIX = "projects.locations.datasets.dicomStores"
_FIELDS = ("labels", "notificationConfig", "notificationConfigs", "streamConfigs")
#: "Each DICOM store can have at most 64 labels", "up to 5 streaming destinations" (discovery document).
_LABELS = 64
_STREAMS = 5
_NOTE = "v1beta1: streams with change data capture are refused with 501, which BigQuery here does not have"


@routes.method(f"{_PREFIX}.create", blocking=True, note=_NOTE)
def create(call: Call) -> dict[str, Any]:
    """Create a store."""
    dataset, _ = find_dataset(call, "healthcare.dicomStores.create")
    name = dataset.store(checked_id(call, "dicomStoreId"))
    document: dict[str, Any] = {"name": str(name)}
    document.update(_tidied({field: call.body[field] for field in _FIELDS if call.body.get(field)}))
    if str(name) in stores(call.emulator):
        raise ApiError(409, f"DICOM store {name} already exists")
    _check(call, name, document, {})
    with call.emulator.state.lock:
        find_dataset(call, "healthcare.dicomStores.create")
        if str(name) in stores(call.emulator):
            raise ApiError(409, f"DICOM store {name} already exists")
        # Instances belong to this number: a store that is deleted and created again starts empty.
        document["number"] = secrets.randbits(52)
        stores(call.emulator)[str(name)] = document
    return public(document)


@routes.method(f"{_PREFIX}.get")
def get(call: Call) -> dict[str, Any]:
    """One store."""
    return public(find_store(call, "healthcare.dicomStores.get")[1])


@routes.method(f"{_PREFIX}.list")
def list_stores(call: Call) -> dict[str, Any]:
    """The stores of a dataset, perhaps those with certain labels only."""
    dataset, _ = find_dataset(call, "healthcare.dicomStores.list")
    wanted = compile_filter(call.query.get("filter", ""), ("labels",))
    known = stores(call.emulator)
    names = [name for name in known.keys_under(f"{dataset}/dicomStores/") if wanted(known[name])]
    shown, token = paging.page(names, call.page_size("pageSize", 100, 1000), call.query.get("pageToken"))
    answer: dict[str, Any] = {}
    if shown:
        answer["dicomStores"] = [public(known[name]) for name in shown]
    if token:
        answer["nextPageToken"] = token
    return answer


@routes.method(f"{_PREFIX}.patch", blocking=True, note=_NOTE)
def patch(call: Call) -> dict[str, Any]:
    """Change the fields that the mask names."""
    name, document = find_store(call, "healthcare.dicomStores.update")
    mask = call.query.get("updateMask", "")
    changed = _tidied(merged(document, call.body, mask, _FIELDS))
    _check(call, name, changed, document)
    with call.emulator.state.lock:
        name, document = find_store(call, "healthcare.dicomStores.update")
        changed = _tidied(merged(document, call.body, mask, _FIELDS))
        stores(call.emulator)[str(name)] = changed
    return public(changed)


@routes.method(f"{_PREFIX}.delete", blocking=True)
def delete(call: Call) -> None:
    """Delete a store with all its instances."""
    from .instances import Instances

    with call.emulator.state.transaction():
        name, document = find_store(call, "healthcare.dicomStores.delete")
        del stores(call.emulator)[str(name)]
        call.emulator.iam.forget(str(name))
    call.emulator.service(Instances).delete_store(document["number"])


@routes.method(f"{_PREFIX}.getDICOMStoreMetrics", blocking=True)
def metrics(call: Call) -> dict[str, Any]:
    """How much is in a store."""
    from .instances import Instances

    name, document = find_store(call, "healthcare.dicomStores.get")
    counts = call.emulator.service(Instances).counts(document["number"])
    return {"name": str(name), **counts.to_json(studies=True, series=True)}


def _tidied(document: dict[str, Any]) -> dict[str, Any]:
    """Without defaults; labels may be empty texts."""
    labels = document.get("labels")
    tidy = without_defaults(document)
    if labels:
        tidy["labels"] = labels
    return tidy


def _check(call: Call, name: StoreName, document: dict[str, Any], before: dict[str, Any]) -> None:
    """Refuse settings that a store can't have.

    Raises:
        ApiError: 400 for malformed settings, 403 if the service agent may not write to a streaming destination.
    """
    _check_labels(document.get("labels") or {})
    _check_topics(document)
    streams = document.get("streamConfigs") or []
    if streams:
        from .streams import check_destinations

        if len(streams) > _STREAMS:
            raise invalid(f"stream_configs: at most {_STREAMS} streaming destinations are allowed, not {len(streams)}")
        check_destinations(call.emulator, name, streams, before.get("streamConfigs") or [])


def _check_topics(document: dict[str, Any]) -> None:
    single = document.get("notificationConfig") or {}
    many = document.get("notificationConfigs") or []
    if single.get("pubsubTopic") and many:
        # https://cloud.google.com/healthcare-api/docs/reference/rest/v1beta1/projects.locations.datasets.dicomStores
        raise invalid("only one of notification_config and notification_configs can be set")
    topics = [config.get("pubsubTopic", "") for config in [*([single] if single.get("pubsubTopic") else []), *many]]
    for topic in topics:
        parts = topic.split("/")
        if len(parts) != 4 or parts[0] != "projects" or parts[2] != "topics" or not all(parts):
            raise invalid(f"invalid pubsub topic {topic!r}: projects/PROJECT/topics/TOPIC is expected")


def _check_labels(labels: dict[str, str]) -> None:
    if len(labels) > _LABELS:
        raise invalid(f"at most {_LABELS} labels are allowed, not {len(labels)}")
    for key, value in labels.items():
        if not key or unicodedata.category(key[0]) not in ("Ll", "Lo") or not _label_text(key):
            raise invalid(
                f"invalid label key {key!r}: 1 to 63 lower-case letters, digits, underscores and hyphens, "
                "starting with a letter"
            )
        if not isinstance(value, str) or not _label_text(value):
            raise invalid(
                f"invalid value {value!r} of label {key!r}: up to 63 lower-case letters, digits, underscores and "
                "hyphens"
            )


def _label_text(text: str) -> bool:
    fits = len(text) <= 63 and len(text.encode()) <= 128
    return fits and all(char in "_-" or unicodedata.category(char) in ("Ll", "Lo", "Nd", "Nl", "No") for char in text)
