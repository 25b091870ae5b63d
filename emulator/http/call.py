"""One call of an API method, as its handler sees it."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..core.errors import ApiError, invalid

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from starlette.datastructures import Headers, QueryParams
    from starlette.types import Receive

    from ..core.faults import OperationFault
    from ..core.runtime import Emulator
    from .discovery import Method

#: Largest JSON request body, in bytes; media uploads stream and have no such limit.
BODY_LIMIT = 32 * 1024 * 1024
#: What a compressed body may expand to, wherever it goes: its own size says nothing.
EXPANDED_LIMIT = 2 * 1024**3
_PIECE = 1024 * 1024


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
            ApiError: 400 if the compressed data is damaged or cut, or the client went away in the middle; 413 if it
                expands to more than :data:`EXPANDED_LIMIT` bytes.
        """
        inflate = _Inflated() if self.headers.get("content-encoding") == "gzip" else None
        more = True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise invalid("The request body ended before its announced length")
            chunk = message.get("body", b"")
            more = message.get("more_body", False)
            if inflate is None:
                if chunk:
                    yield chunk
                continue
            for piece in inflate.take(chunk):
                yield piece
        if inflate is not None:
            inflate.end()

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


class _Inflated:
    """The contents of a gzip-encoded body, which may consist of several members."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=31)
        self._size = 0
        self._begun = False

    def take(self, data: bytes) -> Iterator[bytes]:
        """What the next bytes of the body expand to, in pieces.

        Raises:
            ApiError: 400 if they are damaged, 413 if all is too much.
        """
        while data or self._begun:
            if self._stream.eof:
                if not data:
                    return
                self._stream = zlib.decompressobj(wbits=31)
            self._begun = True
            try:
                piece = self._stream.decompress(data, _PIECE)
            except zlib.error as error:
                raise invalid(f"The gzip-encoded body is damaged: {error}") from None
            data = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
            self._size += len(piece)
            if self._size > EXPANDED_LIMIT:
                raise ApiError(413, f"Request payload size exceeds the limit: {EXPANDED_LIMIT} bytes, expanded.")
            if piece:
                yield piece
            if not data and len(piece) < _PIECE:
                return

    def end(self) -> None:
        """Nothing follows.

        Raises:
            ApiError: 400 if something is missing.
        """
        if not self._stream.eof:
            raise invalid("The gzip-encoded body is damaged: it ends before its end marker")


#: A string in single quotes, or one in double quotes, in which single ones are ordinary characters.
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"|\'((?:[^\'\\]|\\.)*+)\'', re.DOTALL)

#: What is to be quoted otherwise in there; an escaped character goes with its backslash.
_QUOTE = re.compile(r'\\.|"', re.DOTALL)
_QUOTES = {"\\'": "'", '"': '\\"'}


def _in_double_quotes(text: str) -> str:
    """JSON whose strings may be in single quotes, with all of them in double quotes."""

    def requoted(found: re.Match[str]) -> str:
        inner = found[1]
        return found[0] if inner is None else '"' + _QUOTE.sub(lambda one: _QUOTES.get(one[0], one[0]), inner) + '"'

    return _STRING.sub(requoted, text)


def parse_json(data: bytes, *, single_quotes: bool = False) -> dict[str, Any]:
    """A JSON object from a request body; an empty one from an empty body.

    Args:
        data: the body.
        single_quotes: whether strings may be in single quotes, as the front end of Google's newer APIs takes them: the
            pages of Cloud Healthcare had such bodies in their samples for curl and PowerShell for years.

    Raises:
        ApiError: 400 if it is not JSON, or not an object.
    """
    if not data.strip():
        return {}
    try:
        text = data.decode("utf-8-sig")
        if single_quotes and b"'" in data:
            text = _in_double_quotes(text)
        value = json.loads(text, parse_constant=_no_number)
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
