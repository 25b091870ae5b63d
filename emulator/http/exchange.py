"""A request and its answer, before and after any API: what everybody who serves pages or calls works with."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl

from starlette.responses import Response

from ..core.errors import ApiError

if TYPE_CHECKING:
    from starlette.datastructures import Headers
    from starlette.types import Receive

    from ..core.runtime import Emulator


class Exchange:
    """A request before it is matched to a method."""

    def __init__(
        self,
        *,
        http_method: str,
        path: str,
        query: bytes | str,
        headers: Headers,
        receive: Receive,
        base_url: str,
    ) -> None:
        self.http_method = http_method
        self.path = path
        self.query = query
        self.headers = headers
        self.base_url = base_url
        self._source = receive
        self._ended = False

    async def receive(self) -> Any:
        """The next part of the body, as ASGI has it."""
        if self._ended:
            return {"type": "http.request", "body": b"", "more_body": False}
        message = await self._source()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._ended = True
        return message

    async def body(self, limit: int) -> bytes:
        """The whole body.

        Raises:
            ApiError: 413 if it is larger than ``limit`` bytes.
        """
        data = bytearray()
        while not self._ended:
            data += (await self.receive()).get("body", b"")
            if len(data) > limit:
                raise ApiError(413, f"Request payload size exceeds the limit: {limit} bytes.")
        return bytes(data)

    async def take_query_from_body(self, http_method: str) -> None:
        """A request whose address was too long was sent as POST with the query as its form body."""
        self.http_method = http_method
        self.query = await self.body(1024 * 1024)

    async def drain(self) -> None:
        """Read what is left of a body that nobody wants, up to a bound."""
        if self.http_method in ("GET", "HEAD", "DELETE"):
            return
        left = 64 * 1024 * 1024
        while not self._ended and left > 0:
            left -= len((await self.receive()).get("body", b""))

    def query_values(self) -> dict[str, str]:
        """The query parameters; the last one wins."""
        text = self.query.decode("latin-1") if isinstance(self.query, bytes) else self.query
        return dict(parse_qsl(text, keep_blank_values=True))


def json_response(
    body: dict[str, Any],
    status: int = HTTPStatus.OK,
    headers: dict[str, str] | None = None,
    *,
    pretty: bool = False,
) -> Response:
    """A JSON answer."""
    text = json.dumps(body, indent=2) if pretty else json.dumps(body, separators=(",", ":"))
    return Response(text, status, headers, media_type="application/json; charset=UTF-8")


#: What answers a request; None closes the connection without an answer.
Respond = Callable[[Exchange], Awaitable[Response | None]]


class ServedApis(Protocol):
    """The emulator's own APIs, for those of its parts that read and write through them as its owner."""

    emulator: Emulator

    async def ask(
        self, http_method: str, target: str, body: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Ask an API as its owner: status and JSON.

        Args:
            http_method: ``GET``…
            target: raw path, with a query if there is one (``/storage/v1/b?project=p``).
            body: JSON to send.
        """
