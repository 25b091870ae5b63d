"""Batch requests: several calls in one ``multipart/mixed`` body, answered in the same form.

https://cloud.google.com/storage/docs/batch describes the format; the other APIs share it.
"""

from __future__ import annotations

import secrets
from email.parser import BytesParser
from email.policy import HTTP
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers
from starlette.responses import Response

from ..core.errors import ApiError, invalid
from ..http.exchange import Exchange, Respond, json_response

if TYPE_CHECKING:
    from email.message import Message

_LIMIT = 32 * 1024 * 1024
#: Calls in one batch, by Google's limit.
_MOST = 1000


async def run_batch(respond: Respond, exchange: Exchange) -> Response:
    """Run the calls of a batch one after another.

    Args:
        respond: answers one request.
        exchange: the batch.
    """
    try:
        parts = _parts(exchange.headers, await exchange.body(_LIMIT))
        answers = [await _one(respond, exchange, part) for part in parts]
    except ApiError as error:
        return json_response(error.body(legacy=True), error.status)
    boundary = "batch_" + secrets.token_hex(12)
    body = b"".join(b"--" + boundary.encode() + b"\r\n" + answer + b"\r\n" for answer in answers)
    return Response(body + f"--{boundary}--\r\n".encode(), media_type=f"multipart/mixed; boundary={boundary}")


def _parts(headers: Headers, body: bytes) -> list[Message]:
    head = f"content-type: {headers.get('content-type', '')}\r\n\r\n".encode()
    message: Any = BytesParser(policy=HTTP).parsebytes(head + body)
    if message.get_content_type() != "multipart/mixed" or not message.is_multipart():
        raise invalid("A batch is sent as multipart/mixed with one part for each call")
    parts: list[Message] = list(message.iter_parts())
    if len(parts) > _MOST:
        raise invalid(f"A batch has at most {_MOST} calls, not {len(parts)}")
    return parts


async def _one(respond: Respond, outer: Exchange, part: Message) -> bytes:
    content = part.get_payload(decode=True)
    head, _, body = (content if isinstance(content, bytes) else b"").lstrip(b"\r\n").partition(b"\r\n\r\n")
    if not head.strip():
        raise invalid("A part of a batch is an HTTP request; one is empty")
    if b"\r\n" not in head and b"\n" in head:
        head, _, body = (content if isinstance(content, bytes) else b"").lstrip().partition(b"\n\n")
    first, *lines = head.decode("latin-1").splitlines()
    words = first.split()
    if len(words) < 2:
        raise invalid(f"A part of a batch starts with a request line, not {first[:80]!r}")
    target = words[1]
    if "://" in target:
        target = "/" + target.split("://", 1)[1].partition("/")[2]
    path, _, query = target.partition("?")
    fields = [
        (name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines if line)
    ]
    if not any(name == "authorization" for name, _ in fields) and "authorization" in outer.headers:
        fields.append(("authorization", outer.headers["authorization"]))

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body.rstrip(b"\r\n"), "more_body": False}

    inner = Exchange(
        http_method=words[0],
        path=path,
        query=query.encode(),
        headers=Headers(raw=[(name.encode(), value.encode("latin-1")) for name, value in fields]),
        receive=receive,
        base_url=outer.base_url,
    )
    response = await respond(inner)
    content_id = (part.get("content-id") or "").strip()
    lead = "content-type: application/http\r\n"
    if content_id:
        lead += f"content-id: <response-{content_id.strip('<>')}>\r\n"
    if response is None:
        return (lead + "\r\nHTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").encode()
    text = "".join(f"{name.decode()}: {value.decode('latin-1')}\r\n" for name, value in response.raw_headers)
    if type(response) is not Response:
        # https://cloud.google.com/storage/docs/batch: uploads and downloads can't be in a batch.
        refused = ApiError(400, "What is downloaded can't be in a batch")
        response = json_response(refused.body(legacy=True), refused.status)
    status_line = f"HTTP/1.1 {response.status_code} {_phrase(response.status_code)}"
    return f"{lead}\r\n{status_line}\r\n{text}\r\n".encode("latin-1") + bytes(response.body)


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
