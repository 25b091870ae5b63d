"""Cloud Storage: buckets, objects, uploads and downloads of the JSON API."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..http.routing import Routes


def routes() -> list[Routes]:
    """The handlers of this API."""
    from . import buckets, objects
    from . import uploads as _uploads  # noqa: F401 - adds to the routes of objects

    return [buckets.routes, objects.routes]
