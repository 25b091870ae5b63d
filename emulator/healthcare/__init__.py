"""Cloud Healthcare: datasets, DICOM stores, their instances, and the operations that move them."""

from __future__ import annotations

from ..routing import Routes


def routes() -> list[Routes]:
    """The handlers of this API; a method that none of them names answers 501."""
    from . import datasets, exports, iam_methods, imports, locations, operation_methods, stores

    groups = Routes("healthcare")
    for module in (locations, datasets, stores, iam_methods, operation_methods, imports, exports):
        groups.served.update(module.routes.served)
    return [groups]
