"""Lists of objects: prefixes, delimiters, offsets, globs, pages.

https://cloud.google.com/storage/docs/json_api/v1/objects/list
"""

from __future__ import annotations

import base64
import binascii
import re
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..core.patterns import Pattern, PatternError, compiled
from .errors import invalid_argument

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for."""

    prefix: str = ""
    delimiter: str = ""
    start: str = ""
    end: str = ""
    glob: str = ""
    trailing_delimiter: bool = False
    limit: int = 1000
    token: str | None = None


@dataclass(slots=True)
class Page:
    """Names of objects, prefixes that end in the delimiter, and the token of the next page."""

    names: list[str] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    token: str | None = None


def list_names(names: Sequence[str], query: Query) -> Page:
    """One page of sorted names.

    Raises:
        ApiError: 400 if the token or the glob is malformed.
    """
    pattern = _glob(query.glob) if query.glob else None
    found = Page()
    begin = max(query.prefix, query.start)
    if query.token:
        begin = max(begin, _decode(query.token))
    at = bisect_left(names, begin)
    while at < len(names):
        name = names[at]
        if not name.startswith(query.prefix) or (query.end and name >= query.end):
            return found
        if len(found.names) + len(found.prefixes) == query.limit:
            found.token = _encode(name)
            return found
        cut = name.find(query.delimiter, len(query.prefix)) if query.delimiter else -1
        if cut >= 0:
            group = name[: cut + len(query.delimiter)]
            if pattern is None or pattern.fullmatch(group):
                found.prefixes.append(group)
            if query.trailing_delimiter and name == group:
                found.names.append(name)
            # The next name that is not in the group, without looking at those that are.
            at = bisect_left(names, group[:-1] + chr(ord(group[-1]) + 1), at)
            continue
        if pattern is None or pattern.fullmatch(name):
            found.names.append(name)
        at += 1
    return found


def _glob(text: str) -> Pattern:
    """``*`` and ``?`` stay within a folder, ``**`` does not; ``[abc]`` and ``{one,two}`` are choices."""
    parts: list[str] = []
    at = depth = 0
    while at < len(text):
        char = text[at]
        at += 1
        if char == "*":
            if text.startswith("*", at):
                at += 1
                # "**/" stands for no folder too.
                if text.startswith("/", at):
                    at += 1
                    parts.append("(?:.*/)?")
                else:
                    parts.append(".*")
            else:
                parts.append("[^/]*")
        elif char == "?":
            parts.append("[^/]")
        elif char == "[":
            end = text.find("]", at + 1)
            if end < 0:
                raise invalid_argument(f"Invalid glob pattern: '{text}'")
            inside = text[at:end].replace("\\", "\\\\")
            parts.append("[" + ("^" + inside[1:] if inside[0] in "!^" else inside) + "]")
            at = end + 1
        elif char == "{":
            depth += 1
            parts.append("(?:")
        elif char == "}" and depth:
            depth -= 1
            parts.append(")")
        elif char == "," and depth:
            parts.append("|")
        else:
            parts.append(re.escape(char))
    try:
        if depth:
            raise PatternError("unbalanced")
        return compiled("".join(parts), dot_matches_newline=True)
    except PatternError:
        raise invalid_argument(f"Invalid glob pattern: '{text}'") from None


def _encode(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _decode(token: str) -> str:
    try:
        return base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError, ValueError):
        raise invalid_argument("Invalid page token") from None
