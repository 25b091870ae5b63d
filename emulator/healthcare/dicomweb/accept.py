"""What a client accepts, and multipart answers (DICOM PS3.18 8.6 and 8.7)."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from email.message import Message
from typing import TYPE_CHECKING

from ...core.errors import ApiError

if TYPE_CHECKING:
    from ...http.call import Call

JSON = "application/dicom+json"
XML = "application/dicom+xml"
DICOM = "application/dicom"
BYTES = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Accepted:
    """A media type that is accepted.

    Attributes:
        kind: media type of the (parts of the) answer, lower case; ``*/*`` for any, ``image/*`` for any image.
        multipart: each in a part of its own.
        parameters: such as ``transfer-syntax``.
        weight: ``q``.
    """

    kind: str
    multipart: bool = False
    parameters: dict[str, str] = field(default_factory=dict)
    weight: float = 1.0

    @property
    def syntax(self) -> str:
        """The wanted transfer syntax; empty if none is named."""
        return self.parameters.get("transfer-syntax", "")


def accepted(call: Call) -> list[Accepted]:
    """What the client accepts, most wanted first; anything if it does not say.

    Raises:
        ApiError: 400 if the header can't be understood.
    """
    text = call.query.get("accept") or call.headers.get("accept") or "*/*"
    found = []
    for entry in _split(text):
        kind, parameters = parse_media_type(entry)
        try:
            weight = float(parameters.pop("q", "1"))
        except ValueError:
            raise ApiError(400, f"invalid Accept header: {entry[:100]!r}") from None
        if kind == "multipart/related":
            inner = parameters.pop("type", "*/*").lower()
            found.append(Accepted(inner, multipart=True, parameters=parameters, weight=weight))
        elif kind in ("*/*", "multipart/*"):
            found.append(Accepted("*/*", parameters=parameters, weight=weight))
        else:
            found.append(Accepted(kind, parameters=parameters, weight=weight))
    return sorted(found, key=lambda one: -one.weight)


def parse_media_type(text: str) -> tuple[str, dict[str, str]]:
    """A media type and its parameters, names in lower case."""
    message = Message()
    message["content-type"] = text.replace("\r", " ").replace("\n", " ")
    parameters = message.get_params(failobj=[]) or []
    return message.get_content_type() if "/" in text else text.strip().lower(), {
        name.lower(): value for name, value in parameters[1:]
    }


def choices(call: Call, offered: Iterable[tuple[str, bool]], default: tuple[str, bool]) -> list[Accepted]:
    """The forms that the answer may have, most wanted first.

    Args:
        call: the call.
        offered: media types that can be had, and whether in parts.
        default: what to answer to a client that takes anything.

    Raises:
        ApiError: 406 naming what can be had.
    """
    offers = list(offered)
    found = []
    for one in accepted(call):
        if one.kind == "*/*" and not one.multipart:
            found.append(Accepted(default[0], default[1], one.parameters))
        elif one.kind.endswith("/*"):
            start = one.kind.removesuffix("*").removeprefix("*/")
            found += [
                Accepted(kind, multipart, one.parameters)
                for kind, multipart in offers
                if multipart == one.multipart and kind.startswith(start)
            ][:1]
        elif (one.kind, one.multipart) in offers:
            found.append(one)
    if not found:
        names = [f'multipart/related; type="{kind}"' if multipart else kind for kind, multipart in offers]
        raise not_acceptable(call, names)
    return found


def not_acceptable(call: Call, offered: Iterable[str]) -> ApiError:
    """406 in the words of the service (GoogleCloudPlatform/healthcare-api-dicomweb-cli issue 22).

    Args:
        call: the call.
        offered: media types that can be had.
    """
    wanted = call.query.get("accept") or call.headers.get("accept") or "*/*"
    return ApiError(
        406,
        f"no supported media type found in [{wanted}], accept-header must include one of {','.join(offered)}",
    )


def choose(call: Call, offered: Iterable[tuple[str, bool]], default: tuple[str, bool]) -> Accepted:
    """The form of the answer: the first of :func:`choices`.

    Raises:
        ApiError: 406 naming what can be had.
    """
    return choices(call, offered, default)[0]


def _split(text: str) -> Iterator[str]:
    """The entries of a comma-separated header, whose quoted strings may hold commas."""
    entry, quoted = "", False
    for char in text:
        if char == '"':
            quoted = not quoted
        if char == "," and not quoted:
            if entry.strip():
                yield entry.strip()
            entry = ""
        else:
            entry += char
    if entry.strip():
        yield entry.strip()


class Multipart:
    """A multipart/related answer.

    Args:
        kind: media type of the parts.
    """

    def __init__(self, kind: str) -> None:
        self.boundary = secrets.token_hex(16)
        self.content_type = f'multipart/related; type="{kind}"; boundary={self.boundary}'

    def part(self, content_type: str, *, location: str = "") -> bytes:
        """What comes before the contents of a part."""
        where = f"Content-Location: {location}\r\n" if location else ""
        return f"\r\n--{self.boundary}\r\nContent-Type: {content_type}\r\n{where}\r\n".encode()

    def end(self) -> bytes:
        """What comes after the last part."""
        return f"\r\n--{self.boundary}--\r\n".encode()
