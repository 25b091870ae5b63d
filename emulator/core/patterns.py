"""Patterns that callers send: regular expressions and wildcards, matched in linear time by RE2.

Python's own engine can take hours for a short pattern (``(a+)+$``), and holds the interpreter's lock meanwhile. RE2 is
what Cloud Logging and BigQuery use themselves, so its syntax is theirs too.
"""

from __future__ import annotations

import functools
import re
from typing import Protocol

import re2

#: Memory that one compiled pattern may take, in bytes.
_MOST_MEMORY = 4 * 1024 * 1024


class Pattern(Protocol):
    """A compiled pattern."""

    def search(self, text: str) -> object | None:
        """Whether (not None) the pattern is found anywhere in the text."""

    def fullmatch(self, text: str) -> object | None:
        """Whether (not None) the pattern matches the whole text."""


class PatternError(ValueError):
    """A pattern that RE2 can't compile; the text says why."""


def compiled(pattern: str, *, dot_matches_newline: bool = False) -> Pattern:
    """A pattern, ready to be matched.

    Args:
        pattern: https://github.com/google/re2/wiki/Syntax
        dot_matches_newline: whether ``.`` matches line breaks too.

    Raises:
        PatternError: it is malformed, or too large.
    """
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MOST_MEMORY
    options.dot_nl = dot_matches_newline
    try:
        made: Pattern = re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0]
        raise PatternError(reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)) from None
    except UnicodeEncodeError:
        raise PatternError("not valid UTF-8") from None
    return made


@functools.lru_cache(maxsize=256)
def wildcard(text: str) -> Pattern:
    """A text in which ``*`` stands for any number of characters."""
    return compiled(".*".join(re.escape(part) for part in text.split("*")), dot_matches_newline=True)
