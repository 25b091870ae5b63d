"""The ASGI application: from a request to a handler and back, with errors in Google's shapes.

Order of things for one call: find the method; take a planned fault; read and check query and body against the
discovery document; run the handler; log the call.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers, QueryParams
from starlette.responses import Response

from ..cloud.enablement import check_enabled
from ..console import respond as console_page
from ..core.errors import ApiError, unimplemented
from ..http import discovery, enums
from ..http.call import Call, parse_json
from ..http.exchange import Exchange, json_response
from ..http.fields import select, selection_of
from ..http.origins import refuse_other_sites
from ..http.routing import Route, Router
from ..iam import OWNER
from ..storage.service import bucket_project
from . import control
from .batch import run_batch
from .services import all_routes, not_an_api

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from ..core.faults import Fault
    from ..core.runtime import Emulator

_log = logging.getLogger("emulator")

#: In what the errors of the older APIs differ from the others (:meth:`ApiError.body`).
_SHAPES = {"bigquery": {"legacy": True}, "storage": {"legacy": True, "named": False}}
_USUAL = {"legacy": False}
_OLDER_PATH = re.compile(r"/(?:resumable/|upload/|download/)*(bigquery|storage)/")


class Application:
    """The emulator as an ASGI application.

    Args:
        emulator: what the calls work on.
    """

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.router = Router(all_routes())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        if scope["type"] != "http":
            return
        raw_path = scope.get("raw_path") or scope["path"].encode()
        headers = Headers(scope=scope)
        exchange = Exchange(
            http_method=scope["method"],
            path=raw_path.decode("latin-1").partition("?")[0],
            query=scope["query_string"],
            headers=headers,
            receive=receive,
            base_url=f"{scope.get('scheme', 'http')}://{headers.get('host', '127.0.0.1')}",
        )
        response = await self.respond(exchange)
        if response is None:
            _close_connection(scope)
            return
        await response(scope, receive, send)

    async def respond(self, exchange: Exchange) -> Response | None:
        """The answer to a request; None if the connection is to be closed without one."""
        try:
            refuse_other_sites(exchange.http_method, exchange.headers, self.emulator.url)
        except ApiError as error:
            await exchange.drain()
            return error_response(error, _shape_of(exchange.path))
        if exchange.path.startswith("/batch"):
            return await run_batch(self.respond, exchange)
        if (override := exchange.headers.get("x-http-method-override")) and exchange.http_method == "POST":
            await exchange.take_query_from_body(override)
        found = self.router.find(exchange.http_method, exchange.path)
        if found is None:
            return await self._outside_the_apis(exchange)
        route, path = found
        principal = _principal(exchange.headers)
        fault = self.emulator.faults.take(route.method.id)
        status = 0
        try:
            response = await self._call(exchange, route, path, principal, fault)
            status = response.status_code if response is not None else 0
        finally:
            self.emulator.requests.add(route.method.id, exchange.http_method, exchange.path, status, principal)
        return response

    async def ask(
        self, http_method: str, target: str, body: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Ask an API as its owner: status and JSON. For the console: no planned fault spoils it, no list shows it.

        Args:
            http_method: ``GET``…
            target: raw path, with a query if there is one (``/storage/v1/b?project=p``).
            body: JSON to send.
        """
        path, _, query = target.partition("?")
        found = self.router.find(http_method, path)
        if found is None:
            raise not_an_api(self.emulator, http_method, path)
        data = b"" if body is None else json.dumps(body).encode()

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": data, "more_body": False}

        exchange = Exchange(
            http_method=http_method,
            path=path,
            query=query.encode(),
            headers=Headers(),
            receive=receive,
            base_url=self.emulator.url,
        )
        response = await self._call(exchange, *found, OWNER, None)
        if response is None or not response.body:
            return (0 if response is None else response.status_code), {}
        answer: dict[str, Any] = json.loads(bytes(response.body))
        return response.status_code, answer

    async def _call(
        self, exchange: Exchange, route: Route, path: dict[str, str], principal: str, fault: Fault | None
    ) -> Response | None:
        shape = _SHAPES.get(route.method.api, _USUAL)
        try:
            if fault is not None:
                if fault.delay_seconds:
                    await asyncio.sleep(fault.delay_seconds)
                if fault.drop == "before":
                    return None
                if fault.status is not None:
                    await exchange.drain()
                    raise _planned_error(fault)
            response = await self._handle(exchange, route, path, principal, fault)
        except ApiError as error:
            # What was not read of the body is read and thrown away, or the client may see a reset connection.
            await exchange.drain()
            response = error_response(error, shape)
        except Exception:  # noqa: BLE001 - whatever is wrong in a handler, the client gets Google's shape of a 500
            _log.exception("%s %s failed", exchange.http_method, exchange.path)
            internal = ApiError(500, "Internal error encountered.")
            response = json_response(internal.body(**shape), internal.status)
        if fault is not None and fault.drop == "after":
            return None
        return response

    async def _handle(
        self, exchange: Exchange, route: Route, path: dict[str, str], principal: str, fault: Fault | None
    ) -> Response:
        served, method = route.served, route.method
        if served is None:
            raise unimplemented(f"The emulator does not serve {method.id} ({method.version}).")
        query = QueryParams(exchange.query)
        if method.api not in discovery.LENIENT_APIS and "dicomWebPath" not in method.parameters:
            discovery.check_query(method, set(query))
        call = Call(
            emulator=self.emulator,
            method=method,
            upload=route.upload,
            path=path,
            query=query,
            headers=exchange.headers,
            principal=principal,
            base_url=exchange.base_url,
            receive=exchange.receive,
            raw_path=exchange.path,
            operation_fault=None if fault is None else fault.operation,
        )
        if not served.streams and exchange.http_method not in ("GET", "DELETE", "HEAD"):
            call.raw = await call.read()
            call.body = parse_json(call.raw, single_quotes=method.api not in discovery.LENIENT_APIS)
            if method.api not in discovery.LENIENT_APIS:
                discovery.check_body(method, call.body)
                call.body = discovery.as_declared(method, call.body)
        wanted = query.get("fields") or query.get("$fields")
        selection = selection_of(wanted, method) if wanted else None
        check_enabled(call, bucket_project)
        result: Any
        if served.blocking:
            result = await asyncio.get_running_loop().run_in_executor(None, self.emulator.at_work, served.handler, call)
        else:
            result = served.handler(call)
            if inspect.isawaitable(result):
                result = await result
        if isinstance(result, Response):
            return result
        if result is None and method.response is None:
            return Response(status_code=HTTPStatus.NO_CONTENT)
        if selection is not None:
            result = select(result or {}, selection)
        if "enum-encoding=int" in (query.get("$alt") or query.get("alt") or "") and method.response is not None:
            schemas = discovery.document(method.api, method.version)["schemas"]
            result = enums.as_numbers(schemas, {"$ref": method.response}, result or {})
        pretty = query.get("prettyPrint") == "true"
        return json_response(result or {}, pretty=pretty)

    async def _outside_the_apis(self, exchange: Exchange) -> Response:
        """Control API, discovery documents, the console; everything else is unknown."""
        try:
            response = await control.respond(self.emulator, self.router, exchange)
            if response is None:
                response = await console_page(self, exchange)
            if response is not None:
                return response
            raise not_an_api(self.emulator, exchange.http_method, exchange.path)
        except ApiError as error:
            await exchange.drain()
            return json_response(error.body(**_shape_of(exchange.path)), error.status)
        except Exception:  # noqa: BLE001 - as in _call
            _log.exception("%s %s failed", exchange.http_method, exchange.path)
            return json_response(ApiError(500, "Internal error encountered.").body(legacy=False), 500)


def _shape_of(path: str) -> dict[str, bool]:
    """The shape of errors at a path that no method has."""
    found = _OLDER_PATH.match(path)
    return _USUAL if found is None else _SHAPES[found[1]]


def error_response(error: ApiError, shape: dict[str, bool]) -> Response:
    """An error as the APIs answer it: JSON, but for media types that can't be had, which DICOMweb says in plain text.

    Args:
        error: what is wrong.
        shape: arguments of :meth:`ApiError.body`.
    """
    if error.status == HTTPStatus.NOT_ACCEPTABLE:
        return Response(error.message, error.status, error.headers, media_type="text/plain")
    return json_response(error.body(**shape), error.status, error.headers)


def _principal(headers: Headers) -> str:
    kind, _, token = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and token.startswith("principal:"):
        return token.removeprefix("principal:").strip() or OWNER
    return OWNER


def _planned_error(fault: Fault) -> ApiError:
    status = fault.status or 500
    headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
    return ApiError(status, fault.message or f"Planned fault: {status}", headers=headers)


def _close_connection(scope: Scope) -> None:
    transport = scope.get("extensions", {}).get("emulator.transport")
    if transport is None:
        raise ConnectionAbortedError("planned fault: the connection is closed without an answer")
    transport.abort()
