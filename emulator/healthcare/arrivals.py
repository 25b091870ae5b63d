"""What happens when instances arrive in a store or leave it: Pub/Sub messages and rows of streaming destinations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .access import stores
from .names import StoreName

if TYPE_CHECKING:
    from ..core.runtime import Emulator
    from .stored import Instance


def somebody_listens(emulator: Emulator, store: StoreName) -> bool:
    """Whether the store has topics or streaming destinations, so that :func:`tell` is worth calling."""
    document = stores(emulator).get(str(store), {})
    return any(document.get(field) for field in ("notificationConfig", "notificationConfigs", "streamConfigs"))


def tell(
    emulator: Emulator,
    store: StoreName,
    action: str,
    instances: list[Instance],
    old_classes: dict[int, str] | None = None,
) -> None:
    """Tell the store's topics and streaming destinations.

    Args:
        emulator: where.
        store: the store.
        action: ``StoreInstances``, ``ImportDicomData``, ``SetBlobSettings`` or ``DeleteInstances``.
        instances: which.
        old_classes: the storage classes they had before, by id.
    """
    document = stores(emulator).get(str(store))
    if document is None or not instances:
        return
    if document.get("notificationConfig") or document.get("notificationConfigs"):
        from .notifications import notify

        notify(emulator, store, document, action, instances, old_classes or {})
    if document.get("streamConfigs"):
        from .streams import stream

        stream(emulator, store, document["streamConfigs"], action, instances)
