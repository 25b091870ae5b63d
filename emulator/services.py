"""Which parts the emulator consists of: the handlers of every API, and the pages beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .bigquery import routes as bigquery
from .cloud import routes as cloud
from .healthcare import routes as healthcare
from .storage import routes as storage

if TYPE_CHECKING:
    from starlette.responses import Response

    from .app import Application, Exchange
    from .routing import Routes


def all_routes() -> list[Routes]:
    """The handlers of all served APIs."""
    return [*healthcare(), *bigquery(), *storage(), *cloud()]


async def page_for(application: Application, exchange: Exchange) -> Response | None:
    """The answer of the console; None if the address is not one of its pages."""
    from .console import respond

    return await respond(application, exchange)
