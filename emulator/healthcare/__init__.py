"""Cloud Healthcare: datasets, DICOM stores, their instances, and the operations that move them."""

from __future__ import annotations

from ..http.routing import Routes


def routes() -> list[Routes]:
    """The handlers of this API; a method that none of them names answers 501."""
    from . import datasets, exports, iam_methods, imports, locations, operation_methods, storage_settings, stores
    from .dicomweb import deletes, query, retrieve, store, update

    modules = (locations, datasets, stores, iam_methods, operation_methods, imports, exports, storage_settings)
    return [module.routes for module in (*modules, store, query, retrieve, update, deletes)]
