"""The query language of Cloud Logging, as far as ``entries.list`` needs it.

https://cloud.google.com/logging/docs/view/logging-query-language: NOT binds strongest, then OR, then AND; terms
beside one another are joined by AND; strings are compared without regard to case; a comparison with a field of the
payload or of the labels that an entry does not have fails, whatever the operator.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ..core.errors import ApiError, invalid
from ..core.patterns import PatternError, compiled
from ..http import discovery

Entry = dict[str, Any]
#: Whether an entry matches.
Predicate = Callable[[Entry], bool]

#: https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry#LogSeverity
SEVERITIES = {
    "DEFAULT": 0,
    "DEBUG": 100,
    "INFO": 200,
    "NOTICE": 300,
    "WARNING": 400,
    "ERROR": 500,
    "CRITICAL": 600,
    "ALERT": 700,
    "EMERGENCY": 800,
}
_MOST_CHARACTERS = 20_000
_MOST_NESTING = 50
_TIMES = ("timestamp", "receiveTimestamp")

_TOKEN = re.compile(
    r"""\s+ | --[^\n]*
    | (?P<string> "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' )
    | (?P<op> !=|!~|=~|>=|<=|=|>|<|: )
    | (?P<punct> [(),] )
    | (?P<word> (?: [^\s"'()=!<>:~,] | "(?:[^"\\]|\\.)*" )+ )
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str


def parse(text: str) -> Predicate:
    """A filter as a predicate.

    Raises:
        ApiError: 400 if it is malformed or names a field that log entries do not have; 501 for functions that are not
            served.
    """
    if len(text) > _MOST_CHARACTERS:
        raise invalid(f"The filter is longer than {_MOST_CHARACTERS} characters.")
    return _Parser(_tokens(text)).parse()


def _tokens(text: str) -> list[_Token]:
    tokens = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise invalid(f"Unparseable filter: syntax error at character {at + 1}: {text[at : at + 30]!r}")
        if found.lastgroup:
            tokens.append(_Token(found.lastgroup, found[0]))
        at = found.end()
    return tokens


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def parse(self) -> Predicate:
        if not self._tokens:
            return lambda _: True
        found = self._and()
        if self._at < len(self._tokens):
            raise self._wrong()
        return found

    def _and(self) -> Predicate:
        parts = [self._or()]
        while self._at < len(self._tokens) and self._peek() != ")":
            if self._peek() == "AND":
                self._at += 1
            parts.append(self._or())
        return parts[0] if len(parts) == 1 else lambda entry: all(part(entry) for part in parts)

    def _or(self) -> Predicate:
        parts = [self._not()]
        while self._peek() == "OR":
            self._at += 1
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else lambda entry: any(part(entry) for part in parts)

    def _not(self) -> Predicate:
        negated = False
        while self._peek() == "NOT" or self._strip_minus():
            self._at += self._peek() == "NOT"
            negated = not negated
        one = self._term()
        return _negated(one) if negated else one

    def _strip_minus(self) -> bool:
        """Whether the next word begins with a minus, which stands for NOT; it is taken away."""
        if self._at == len(self._tokens):
            return False
        token = self._tokens[self._at]
        if token.kind != "word" or not token.text.startswith("-") or len(token.text) == 1:
            return False
        self._tokens[self._at] = _Token("word", token.text[1:])
        return True

    def _term(self) -> Predicate:
        token = self._take()
        if token.text == "(" and token.kind == "punct":
            return self._bracketed()
        if token.kind in ("op", "punct") or (token.kind == "word" and token.text in ("AND", "OR")):
            self._at -= 1
            raise self._wrong()
        if token.kind == "word" and self._peek() == "(":
            return self._function(token.text)
        if self._at < len(self._tokens) and self._tokens[self._at].kind == "op":
            operator = self._take().text
            return self._values(_path(token), operator)
        wanted = _plain(token).lower()
        return lambda entry: _anywhere(entry, wanted)

    def _bracketed(self) -> Predicate:
        self._deeper()
        inner = self._and()
        self._expect(")")
        self._depth -= 1
        return inner

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > _MOST_NESTING:
            raise invalid("Unparseable filter: brackets are nested too deep")

    def _values(self, path: tuple[str, ...], operator: str) -> Predicate:
        """One value, or a bracketed combination of them: ``severity=(ERROR OR WARNING)``."""
        if self._peek() != "(":
            token = self._take()
            if token.kind in ("op", "punct"):
                self._at -= 1
                raise self._wrong()
            return _comparison(path, operator, token)
        self._at += 1
        self._deeper()
        parts: list[list[Predicate]] = [[]]
        while True:
            negated = self._peek() == "NOT"
            self._at += negated
            one = self._values(path, operator)
            parts[-1].append(_negated(one) if negated else one)
            word = self._take().text
            if word == ")":
                self._depth -= 1
                return lambda entry: all(any(choice(entry) for choice in choices) for choices in parts)
            if word == "AND":
                parts.append([])
            elif word != "OR":
                self._at -= 1
                raise self._wrong()

    def _function(self, name: str) -> Predicate:
        self._at += 1
        arguments = []
        while self._peek() != ")":
            arguments.append(self._take())
            if self._peek() == ",":
                self._at += 1
        self._at += 1
        if name == "log_id" and len(arguments) == 1:
            from urllib.parse import quote

            ending = "/logs/" + quote(_plain(arguments[0]), safe="")
            return lambda entry: str(entry.get("logName", "")).endswith(ending)
        if name == "SEARCH" and len(arguments) == 1:
            wanted = _plain(arguments[0]).lower()
            return lambda entry: _anywhere(entry, wanted)
        raise ApiError(501, f"The emulator does not serve {name}() with {len(arguments)} arguments in filters.")

    def _peek(self) -> str:
        return self._tokens[self._at].text if self._at < len(self._tokens) else ""

    def _take(self) -> _Token:
        if self._at == len(self._tokens):
            raise self._wrong()
        self._at += 1
        return self._tokens[self._at - 1]

    def _expect(self, text: str) -> None:
        if self._peek() != text:
            raise self._wrong()
        self._at += 1

    def _wrong(self) -> ApiError:
        where = self._peek() or "the end"
        return invalid(f"Unparseable filter: syntax error near {where[:60]!r}")


def _negated(inner: Predicate) -> Predicate:
    return lambda entry: not inner(entry)


def _plain(token: _Token) -> str:
    if token.kind != "string":
        return token.text
    return re.sub(r"\\(.)", r"\1", token.text[1:-1], flags=re.DOTALL)


def _path(token: _Token) -> tuple[str, ...]:
    """The segments of a field name; a quoted segment may hold dots (``labels."a.b"``).

    Raises:
        ApiError: 400 if log entries have no such field.
    """
    text = _plain(token)
    segments = [part[1:-1] if part.startswith('"') else part for part in re.findall(r'"(?:[^"\\]|\\.)*"|[^."]+', text)]
    if not segments:
        raise invalid(f"Unparseable filter: {text!r} is no field name")
    segments[0] = {"log_name": "logName", "insert_id": "insertId"}.get(segments[0], segments[0])
    schemas = discovery.document("logging", "v2")["schemas"]
    spec: dict[str, Any] = {"$ref": "LogEntry"}
    for segment in segments:
        spec = schemas[spec["$ref"]] if "$ref" in spec else spec
        spec = spec.get("items", spec)
        spec = schemas[spec["$ref"]] if "$ref" in spec else spec
        properties = spec.get("properties")
        if properties is None:
            break  # payloads and labels have any field
        if segment not in properties:
            raise invalid(f"Unparseable filter: field not found: {text!r}")
        spec = properties[segment]
    return tuple(segments)


def _found(value: Any, path: tuple[str, ...]) -> list[Any]:
    """The values at a path; lists are taken item by item."""
    if isinstance(value, list):
        return [found for item in value for found in _found(item, path)]
    if not path:
        return [value]
    if isinstance(value, dict) and path[0] in value:
        return _found(value[path[0]], path[1:])
    return []


def _comparison(path: tuple[str, ...], operator: str, token: _Token) -> Predicate:
    text = _plain(token)
    if operator == ":" and text == "*" and token.kind == "word":
        return lambda entry: bool(_found(entry, path))
    test = _test(path, operator, text)
    # A field of LogEntry itself is as good as there with its default; those of payloads and labels can be missing.
    default = path[0] not in ("jsonPayload", "protoPayload", "labels", "resource") and len(path) == 1

    def matches(entry: Entry) -> bool:
        values = _found(entry, path)
        if not values and default:
            values = ["DEFAULT" if path == ("severity",) else ""]
        return any(test(value) for value in values)

    return matches


def _test(path: tuple[str, ...], operator: str, text: str) -> Callable[[Any], bool]:
    if operator in ("=~", "!~"):
        try:
            pattern = compiled(text)
        except PatternError as error:
            raise invalid(f"Unparseable filter: invalid regular expression {text!r}: {error}") from None
        wanted = operator == "=~"
        return lambda value: (pattern.search(_text(value)) is not None) is wanted
    if path == ("severity",):
        level = SEVERITIES.get(text.upper(), int(text) if text.isdecimal() and len(text) < 10 else None)
        if level is None:
            raise invalid(f"Unparseable filter: {text!r} is no severity")
        return lambda value: _compare(operator, SEVERITIES.get(str(value), 0), level)
    if path[0] in _TIMES:
        moment = _moment(text)
        if moment is None:
            raise invalid(f"Unparseable filter: {text!r} is no timestamp (2026-01-31T12:00:00Z)")
        return lambda value: _compare(operator, _moment(str(value)) or moment.min.replace(tzinfo=UTC), moment)
    if operator == ":":
        part = text.lower()
        return lambda value: _has(value, part)
    number = _number(text)

    def test(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            if isinstance(value, str) and number is not None and operator not in ("=", "!="):
                own = _number(value)
                return own is not None and _compare(operator, own, number)
            return _compare(operator, _text(value).lower(), text.lower())
        return number is not None and _compare(operator, value, number)

    return test


def _compare(operator: str, value: Any, wanted: Any) -> bool:
    match operator:
        case "=" | ":":
            return bool(value == wanted)
        case "!=":
            return bool(value != wanted)
        case ">":
            return bool(value > wanted)
        case ">=":
            return bool(value >= wanted)
        case "<":
            return bool(value < wanted)
        case _:
            return bool(value <= wanted)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value)


def _has(value: Any, part: str) -> bool:
    if isinstance(value, dict):
        # An object has a text if one of its keys is it, or one of its values has it.
        return any(key.lower() == part or _has(item, part) for key, item in value.items())
    return part in _text(value).lower()


def _anywhere(value: Any, part: str) -> bool:
    if isinstance(value, dict):
        return any(_anywhere(item, part) for item in value.values())
    if isinstance(value, list):
        return any(_anywhere(item, part) for item in value)
    return part in _text(value).lower()


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
