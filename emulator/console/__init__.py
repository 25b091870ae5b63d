"""The console: what is in the emulator, in a browser. Made on the server, with nothing from elsewhere.

It reads as the emulator's owner. The query box changes data if its statement does, so it takes posts of its own pages
only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from ..core.errors import ApiError

if TYPE_CHECKING:
    from starlette.responses import Response

    from ..http.exchange import Exchange, ServedApis

_LIMIT = 1024 * 1024


async def respond(apis: ServedApis, exchange: Exchange) -> Response | None:
    """A page of the console; None if the address belongs to something else.

    Raises:
        ApiError: 403 for a form that another site sent, 405 for a method that pages do not have.
    """
    path = exchange.path.rstrip("/") or "/"
    if path != "/" and not path.startswith("/console"):
        return None
    # Not at the top: pages are the last that a starting emulator needs.
    from . import bigquery, healthcare, overview, storage, watching
    from .layout import missing, response

    show = {
        "/": overview.overview,
        "/console": overview.overview,
        "/console/healthcare": healthcare.healthcare_page,
        "/console/healthcare/store": healthcare.store_page,
        "/console/operations": healthcare.operations_page,
        "/console/storage": storage.storage_page,
        "/console/bigquery": bigquery.bigquery_page,
        "/console/query": bigquery.query_page,
        "/console/iam": watching.iam_page,
        "/console/logs": watching.logs_page,
        "/console/requests": watching.requests_page,
    }.get(path)
    query = exchange.query_values()
    if exchange.http_method == "POST" and path == "/console/query":
        body = (await exchange.body(_LIMIT)).decode("utf-8", "replace")
        query = {**dict(parse_qsl(body, keep_blank_values=True)), "run": "yes"}
    elif exchange.http_method not in ("GET", "HEAD"):
        raise ApiError(405, f"{exchange.http_method} is not served at {exchange.path}")
    page = missing(f"page {path}", "/") if show is None else await show(apis, query)
    return response(page, part="x-console-part" in exchange.headers)
