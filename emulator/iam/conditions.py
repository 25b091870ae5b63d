"""Conditions of bindings: comparisons of ``request.time``, combined.

https://cloud.google.com/iam/docs/conditions-overview. What else the expression language has (attributes of
resources, access levels) is refused when the policy is set, not ignored: a grant that looks narrower than it is would
hide a mistake.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

from ..core.errors import ApiError, invalid

#: Whether a condition holds at a moment (seconds since 1970).
Condition = Callable[[float], bool]

_TOKEN = re.compile(r"\s*(?:(&&|\|\||!(?!=)|\(|\)|true\b|false\b)|(request\.time)\s*(<=|>=|<|>|==|!=)\s*"
                    r"timestamp\(\s*(?:\"([^\"]*)\"|'([^']*)')\s*\))")  # fmt: skip
_MOST_NESTING = 20


@lru_cache(maxsize=512)
def parse(expression: str) -> Condition:
    """A condition from its expression.

    Raises:
        ApiError: 400 if it is empty or a timestamp is malformed; 501 if it has anything but comparisons of
            ``request.time`` with ``timestamp("…")``, ``&&``, ``||``, ``!`` and brackets.
    """
    if not expression.strip():
        raise invalid("Condition expression must not be empty.")
    tokens: list[str | Condition] = []
    at = 0
    text = expression.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise _refused(expression)
        tokens.append(found[1] or _comparison(found[3], found[4] if found[4] is not None else found[5]))
        at = found.end()
    parser = _Parser(tokens, expression)
    return parser.parse()


def _refused(expression: str) -> ApiError:
    return ApiError(
        501,
        'The emulator evaluates conditions of the form request.time < timestamp("2026-01-31T00:00:00Z"), combined '
        f"with &&, || and !, not {expression[:300]!r}.",
    )


def _comparison(operator: str, text: str) -> Condition:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise invalid(f"Invalid timestamp in a condition: {text!r}") from None
    limit = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    match operator:
        case "<":
            return lambda now: now < limit
        case "<=":
            return lambda now: now <= limit
        case ">":
            return lambda now: now > limit
        case ">=":
            return lambda now: now >= limit
        case "==":
            return lambda now: now == limit
        case _:
            return lambda now: now != limit


class _Parser:
    def __init__(self, tokens: list[str | Condition], expression: str) -> None:
        self._tokens = tokens
        self._expression = expression
        self._at = 0
        self._depth = 0

    def parse(self) -> Condition:
        found = self._or()
        if self._at < len(self._tokens):
            raise _refused(self._expression)
        return found

    def _or(self) -> Condition:
        parts = [self._and()]
        while self._next("||"):
            parts.append(self._and())
        return parts[0] if len(parts) == 1 else lambda now: any(part(now) for part in parts)

    def _and(self) -> Condition:
        parts = [self._one()]
        while self._next("&&"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else lambda now: all(part(now) for part in parts)

    def _one(self) -> Condition:
        negated = False
        while self._next("!"):
            negated = not negated
        found = self._plain()
        return (lambda now: not found(now)) if negated else found

    def _plain(self) -> Condition:
        if self._next("("):
            self._depth += 1
            inner = self._or() if self._depth <= _MOST_NESTING else None
            if inner is None or not self._next(")"):
                raise _refused(self._expression)
            self._depth -= 1
            return inner
        if self._next("true"):
            return lambda _: True
        if self._next("false"):
            return lambda _: False
        token = self._tokens[self._at] if self._at < len(self._tokens) else ""
        if isinstance(token, str):
            raise _refused(self._expression)
        self._at += 1
        return token

    def _next(self, text: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] == text:
            self._at += 1
            return True
        return False
