"""Pages of lists, with opaque tokens."""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_right
from typing import TYPE_CHECKING

from ..core.errors import invalid

if TYPE_CHECKING:
    from collections.abc import Sequence


def page(keys: Sequence[str], size: int, token: str | None) -> tuple[Sequence[str], str | None]:
    """One page of sorted keys and the token of the next page.

    A token stands for the last key shown, so that a page does not shift when entries before it come or go.

    Raises:
        ApiError: 400 if the token is not one of ours.
    """
    start = bisect_right(keys, _decode(token)) if token else 0
    shown = keys[start : start + size]
    more = start + size < len(keys)
    return shown, _encode(shown[-1]) if more and shown else None


def _encode(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode()


def _decode(token: str) -> str:
    try:
        return base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise invalid("Invalid page token") from None
