"""Queries whose result changes by itself."""

from __future__ import annotations

import re

_CHANGING = re.compile(r"(?i)\b(?:CURRENT_\w+|RAND|GENERATE_UUID|SESSION_USER)\b")


def changes_by_itself(text: str) -> bool:
    """Whether a query may have another result when nothing else has changed."""
    return _CHANGING.search(text) is not None
