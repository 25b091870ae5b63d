"""The control API (``/emulator/v1/…``) and the discovery documents."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from ..core.errors import ApiError, invalid, not_found
from ..http import discovery
from ..http.call import parse_json

if TYPE_CHECKING:
    from ..core.runtime import Emulator
    from ..http.exchange import Exchange
    from ..http.routing import Router

_PREFIX = "/emulator/v1/"


async def respond(emulator: Emulator, router: Router, exchange: Exchange) -> Response | None:
    """The answer of the control API or a discovery document; None if the address belongs to neither.

    Raises:
        ApiError: 400, 404 or 405, saying what is wrong.
    """
    if exchange.path.startswith("/discovery/v1/apis"):
        return _discovery(exchange, exchange.path.removeprefix("/discovery/v1/apis").strip("/").split("/"))
    if exchange.path == "/$discovery/rest" and exchange.query_values().get("version") == "v2":
        # Where every API has a host of its own; here only bq asks for it.
        return _discovery(exchange, ["bigquery", "v2", "rest"])
    if not exchange.path.startswith(_PREFIX):
        return None
    name, _, rest = exchange.path.removeprefix(_PREFIX).partition("/")
    body = parse_json(await exchange.body(1024 * 1024))
    what = (exchange.http_method, name, rest)
    if what == ("POST", "reset", ""):
        # It waits for what is at work, which may need the event loop to end.
        await asyncio.to_thread(emulator.reset)
        return Response("{}", media_type="application/json; charset=UTF-8")
    answer = _answer(emulator, router, exchange, what, body)
    return Response(json.dumps(answer), media_type="application/json; charset=UTF-8")


def _answer(
    emulator: Emulator, router: Router, exchange: Exchange, what: tuple[str, str, str], body: dict[str, Any]
) -> dict[str, Any]:
    match what:
        case ("GET", "settings", ""):
            return emulator.settings.to_json()
        case ("PATCH", "settings", ""):
            emulator.settings.change(body)
            return emulator.settings.to_json()
        case ("POST", "faults", ""):
            return {"id": emulator.faults.plan(body, router.method_ids).id}
        case ("GET", "faults", fault_id):
            fault = emulator.faults.get(fault_id)
            if fault is None:
                raise not_found(f"There is no fault {fault_id!r}")
            return fault.to_json()
        case ("GET", "requests", ""):
            since = exchange.query_values().get("since", "0")
            if not (since.isascii() and since.isdigit() and len(since) < 20):
                raise invalid(f"since: a sequence number, not {since!r}")
            return {"requests": emulator.requests.since(int(since))}
        case (_, "reset" | "settings" | "faults" | "requests", _):
            raise ApiError(405, f"{exchange.http_method} is not served at {exchange.path}")
    raise not_found("The control API has reset, settings, faults and requests")


def _discovery(exchange: Exchange, parts: list[str]) -> Response:
    """A discovery document with this emulator as its root, as ``bq`` and other clients fetch it.

    Raises:
        ApiError: 404 if the API or version is not served.
    """
    served = {f"{api}/{version}" for api, version in discovery.DOCUMENTS}
    if len(parts) != 3 or parts[2] != "rest" or f"{parts[0]}/{parts[1]}" not in served:
        raise not_found(
            f"Discovery documents are served at /discovery/v1/apis/API/VERSION/rest for {', '.join(sorted(served))}"
        )
    doc = json.loads(discovery.document_path(parts[0], parts[1]).read_text(encoding="utf-8"))
    root = exchange.base_url + "/"
    doc.update(rootUrl=root, baseUrl=root + doc.get("servicePath", ""), mtlsRootUrl=root)
    return Response(json.dumps(doc), media_type="application/json; charset=UTF-8")
