"""Which parts the emulator consists of: the handlers of every API, and the pages beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from ..bigquery import routes as bigquery
from ..cloud import routes as cloud
from ..core.errors import ApiError, not_found, unimplemented
from ..healthcare import routes as healthcare
from ..storage import routes as storage
from ..storage.store import store

if TYPE_CHECKING:
    from ..core.runtime import Emulator
    from ..http.routing import Routes


def all_routes() -> list[Routes]:
    """The handlers of all served APIs."""
    return [*healthcare(), *bigquery(), *storage(), *cloud()]


def not_an_api(emulator: Emulator, http_method: str, path: str) -> ApiError:
    """What is said about an address that no API has: 404, or 501 if it looks like one of an API that is not served."""
    text = unquote(path)[:300]
    if store(emulator).buckets.get(path.removeprefix("/").partition("/")[0]) is not None:  # OPTIONS may ask for "*"
        return unimplemented(
            f"The emulator does not serve the XML API of Cloud Storage ({http_method} {text}): use the JSON API."
        )
    return not_found(f"No API that the emulator serves has {http_method} {text}")
