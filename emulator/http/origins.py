"""Who may reach an emulator through somebody's browser.

The emulator takes every request without a token for its owner's, and any page that a browser shows can send requests to
a port of the same machine. So what comes from another site must not change anything, and what comes under a name that
only leads to this machine (DNS rebinding) is answered nothing. Clients that are no browsers send neither header.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..core.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping

_READING = ("GET", "HEAD", "OPTIONS")


def refuse_other_sites(http_method: str, headers: Mapping[str, str], own_url: str) -> None:
    """Refuse a request that a page of another site sent.

    Pages of this machine are one's own, on whatever port: a viewer beside the emulator may store what it makes.

    Args:
        http_method: of the request.
        headers: of the request.
        own_url: where the emulator is served. If that is not loopback, it may be reached under any name.

    Raises:
        ApiError: 403 saying which header gave it away.
    """
    host = headers.get("host", "")
    served_here = _is_local(urlsplit(own_url).hostname)
    if served_here and not _is_harmless(_name(host)):
        raise ApiError(403, f"The emulator serves this machine alone; Host: {host[:100]} is the name of another one.")
    if http_method in _READING:
        return
    origin = headers.get("origin")
    if origin is not None:
        name = urlsplit(origin).hostname
        if origin.partition("://")[2] != host and not (served_here and _is_local(name)):
            raise ApiError(403, f"Requests of pages of other sites are not answered (Origin: {origin[:100]}).")
    elif headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        raise ApiError(403, "Requests of pages of other sites are not answered (Sec-Fetch-Site).")


def _name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _is_harmless(name: str | None) -> bool:
    """Whether a name can't be one that somebody else makes lead here: an address, or without a domain."""
    return not name or "." not in name or _is_address(name) or _is_local(name)


def _is_address(name: str | None) -> bool:
    try:
        ipaddress.ip_address(name or "")
    except ValueError:
        return False
    return True


def _is_local(name: str | None) -> bool:
    """Whether a host name is that of the machine itself."""
    if name is None:
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    return _is_address(name) and ipaddress.ip_address(name).is_loopback
