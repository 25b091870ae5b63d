"""Pub/Sub messages about instances.

https://cloud.google.com/healthcare-api/docs/how-tos/dicom-pub-sub: one message per instance. A topic that can't be
published to does not spoil the call: Cloud Logging gets an entry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..cloud.enablement import require_enabled
from ..core.errors import ApiError
from .agent_checks import require_agent_role
from .names import StoreName

if TYPE_CHECKING:
    from ..core.runtime import Emulator
    from .stored import Instance


def notify(
    emulator: Emulator,
    store: StoreName,
    document: dict[str, Any],
    action: str,
    instances: list[Instance],
    old_classes: dict[int, str],
) -> None:
    """Publish one message per instance to the store's topics."""
    from ..cloud.logs import write_entry
    from ..cloud.pubsub_service import publish

    single = document.get("notificationConfig") or {}
    topics = [config["pubsubTopic"] for config in document.get("notificationConfigs") or []]
    legacy = single.get("pubsubTopic")
    if legacy and (action == "StoreInstances" or (action == "ImportDicomData" and single.get("sendForBulkImport"))):
        topics.append(legacy)
    for topic in dict.fromkeys(topics):
        try:
            project = topic.split("/")[1]
            require_enabled(emulator, project, "pubsub.googleapis.com")
            agent = require_agent_role(emulator, store.project)
            if not emulator.iam.allowed(agent, "pubsub.topics.publish", topic, f"projects/{project}"):
                raise ApiError(403, f"{agent} lacks pubsub.topics.publish on {topic}: grant it roles/pubsub.publisher")
            for one in instances:
                path = f"{store}/dicomWeb/{one.path}"
                attributes = {
                    "action": action,
                    "lastUpdatedTime": one.updated,
                    "storeName": str(store),
                    "studyInstanceUID": one.study,
                    "seriesInstanceUID": one.series,
                    "sopInstanceUID": one.uid,
                    "versionId": str(one.id),
                    "modality": one.modality,
                    "storageClass": one.storage_class,
                }
                if one.id in old_classes:
                    attributes["previousStorageClass"] = old_classes[one.id]
                publish(emulator, topic, path.encode(), attributes)
        except ApiError as error:
            write_entry(
                emulator,
                store.project,
                {
                    "logName": f"projects/{store.project}/logs/healthcare.googleapis.com%2Fpubsub",
                    "severity": "ERROR",
                    "resource": store.log_resource,
                    "jsonPayload": {
                        "@type": "type.googleapis.com/google.cloud.healthcare.logging.DicomNotificationLogEntry",
                        "resourceName": str(store),
                        "pubsubTopic": topic,
                        "error": {"code": error.rpc_code, "message": error.message},
                    },
                },
            )
