"""One call of an API method, as its handler sees it."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..core.errors import ApiError, invalid

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.datastructures import Headers, QueryParams
    from starlette.types import Receive

    from ..core.faults import OperationFault
    from ..core.runtime import Emulator
    from .discovery import Method

#: Largest JSON request body, in bytes; media uploads stream and have no such limit.
BODY_LIMIT = 32 * 1024 * 1024


@dataclass(slots=True)
class Call:
    """A request that was matched to a method.

    Attributes:
        emulator: everything that is kept: state, policies, settings, clock.
        method: what was called, as the discovery document has it.
        upload: whether it was called at its path for uploads.
        path: decoded path variables: those of the flat path (``datasetsId``) and the joined ones (``name``).
        query: query parameters.
        headers: request headers.
        principal: who calls: an IAM member such as ``user:alice@example.org``, or ``owner``.
        body: the JSON body, already checked against the discovery document; an empty object if there was none.
        raw: the bytes of the body; empty for streaming handlers.
        operation_fault: what a planned fault wants of the long-running operation that this call starts.
    """

    emulator: Emulator
    method: Method
    path: dict[str, str]
    query: QueryParams
    headers: Headers
    principal: str
    base_url: str
    receive: Receive
    raw_path: str = ""
    upload: bool = False
    body: dict[str, Any] = field(default_factory=dict)
    raw: bytes = b""
    operation_fault: OperationFault | None = None

    @property
    def method_id(self) -> str:
        """The discovery id of the method."""
        return self.method.id

    @property
    def version(self) -> str:
        """The API version in the path: ``v1``, ``v1beta1``…"""
        return self.method.version

    def require(self, permission: str, *resources: str) -> None:
        """Refuse the call unless the caller has the permission on one of the resources.

        Args:
            permission: for instance ``healthcare.datasets.get``.
            resources: policy keys from the resource itself up to its project (see :mod:`emulator.iam`).

        Raises:
            ApiError: 403 in the wording of Google's newer APIs.
        """
        self.emulator.iam.require(self.principal, permission, *resources)

    def page_size(self, parameter: str, default: int, most: int) -> int:
        """A page size from the query: the default if absent or 0, at most ``most``.

        Raises:
            ApiError: 400 if it is not a whole number, or negative.
        """
        text = self.query.get(parameter)
        if not text:
            return default
        try:
            size = int(text)
        except ValueError:
            raise invalid(f"Invalid value at '{parameter}' (TYPE_INT32), \"{text}\"") from None
        if size < 0:
            raise invalid(f"{parameter} must not be negative")
        return min(size, most) if size else default

    async def stream(self) -> AsyncIterator[bytes]:
        """The body, chunk by chunk; decompressed if it was sent with ``Content-Encoding: gzip``.

        Raises:
            ApiError: 400 if the compressed data is damaged or the client went away in the middle.
        """
        inflate = zlib.decompressobj(wbits=31) if self.headers.get("content-encoding") == "gzip" else None
        more = True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise invalid("The request body ended before its announced length")
            chunk = message.get("body", b"")
            more = message.get("more_body", False)
            if inflate is not None and chunk:
                try:
                    chunk = inflate.decompress(chunk, BODY_LIMIT)
                except zlib.error as error:
                    raise invalid(f"The gzip-encoded body is damaged: {error}") from None
                if inflate.unconsumed_tail:
                    raise ApiError(413, "Request payload size exceeds the limit")
            if chunk:
                yield chunk

    async def read(self, limit: int = BODY_LIMIT) -> bytes:
        """The whole body.

        Raises:
            ApiError: 413 if it is larger than ``limit`` bytes.
        """
        chunks: list[bytes] = []
        size = 0
        async for chunk in self.stream():
            size += len(chunk)
            if size > limit:
                raise ApiError(413, f"Request payload size exceeds the limit: {limit} bytes.")
            chunks.append(chunk)
        return b"".join(chunks)


def parse_json(data: bytes) -> dict[str, Any]:
    """A JSON object from a request body; an empty one from an empty body.

    Raises:
        ApiError: 400 if it is not JSON, or not an object.
    """
    if not data.strip():
        return {}
    try:
        value = json.loads(data.decode("utf-8-sig"), parse_constant=_no_number)
        if b"\\ud" in data or b"\\uD" in data:
            # Half of a surrogate pair is no text, and could not be answered again.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise invalid(f"Invalid JSON payload received. {error}") from None
    if not isinstance(value, dict):
        raise invalid("Invalid JSON payload received. Root element must be a message.")
    return value


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")
