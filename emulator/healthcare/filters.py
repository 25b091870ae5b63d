"""The ``filter`` parameter of the list methods: comparisons joined by AND, OR, NOT and parentheses.

The subset of https://google.aip.dev/160 that the served methods document: ``field = value``, ``!=``, ``<``, ``<=``,
``>``, ``>=`` and ``:`` (has), with nested fields (``metadata.counter.failure``, ``labels.team``) and quoted values.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..core.errors import invalid

if TYPE_CHECKING:
    from collections.abc import Callable


_TOKEN = re.compile(
    r"""\s*(?:(?P<op><=|>=|!=|=|<|>|:)|(?P<paren>[()])|"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<word>[^\s()=<>!:"]+))"""
)
#: Deepest nesting of parentheses and NOT.
_DEPTH = 50


def compile_filter(text: str, fields: tuple[str, ...]) -> Callable[[dict[str, Any]], bool]:
    """A test for documents.

    Args:
        text: the filter; empty selects everything.
        fields: first parts of the field names that may be used.

    Raises:
        ApiError: 400 saying what can't be understood.
    """
    if not text.strip():
        return lambda _: True
    parser = _Parser(_tokens(text), text, fields)
    test = parser.alternatives(0)
    if parser.at < len(parser.tokens):
        raise invalid(f"Invalid filter {text!r}: {parser.tokens[parser.at][1]!r} is not expected there")
    return test


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    at = 0
    end = len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None:
            raise invalid(f"Invalid filter {text!r}: nothing known at {text[at:]!r}")
        kind = found.lastgroup or ""
        value = found[kind]
        tokens.append((kind, re.sub(r"\\(.)", r"\1", value) if kind == "quoted" else value))
        at = found.end()
    return tokens


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]], text: str, fields: tuple[str, ...]) -> None:
        self.tokens = tokens
        self.text = text
        self.fields = fields
        self.at = 0

    def _next_is(self, *words: str) -> bool:
        return self.at < len(self.tokens) and self.tokens[self.at][1] in words and self.tokens[self.at][0] != "quoted"

    def alternatives(self, depth: int) -> Callable[[dict[str, Any]], bool]:
        tests = [self.conjunction(depth)]
        while self._next_is("OR"):
            self.at += 1
            tests.append(self.conjunction(depth))
        return tests[0] if len(tests) == 1 else lambda doc: any(test(doc) for test in tests)

    def conjunction(self, depth: int) -> Callable[[dict[str, Any]], bool]:
        tests = [self.term(depth)]
        while self.at < len(self.tokens) and not self._next_is("OR", ")"):
            if self._next_is("AND"):
                self.at += 1
            tests.append(self.term(depth))
        return tests[0] if len(tests) == 1 else lambda doc: all(test(doc) for test in tests)

    def term(self, depth: int) -> Callable[[dict[str, Any]], bool]:
        if depth > _DEPTH:
            raise invalid("Invalid filter: it is nested too deeply")
        if self._next_is("NOT"):
            self.at += 1
            inner = self.term(depth + 1)
            return lambda doc: not inner(doc)
        if self._next_is("("):
            self.at += 1
            inner = self.alternatives(depth + 1)
            if not self._next_is(")"):
                raise invalid(f"Invalid filter {self.text!r}: a closing parenthesis is missing")
            self.at += 1
            return inner
        return self.comparison()

    def comparison(self) -> Callable[[dict[str, Any]], bool]:
        part = self.tokens[self.at : self.at + 3]
        if len(part) < 3 or part[0][0] != "word" or part[1][0] != "op" or part[2][0] not in ("word", "quoted"):
            raise invalid(f"Invalid filter {self.text!r}: a comparison such as {self.fields[0]} = value is expected")
        self.at += 3
        (_, name), (_, operator), (_, value) = part
        # Times have colons: what follows them belongs to the value.
        while part[2][0] == "word" and self.at + 1 < len(self.tokens) and self.tokens[self.at] == ("op", ":"):
            value += ":" + self.tokens[self.at + 1][1]
            self.at += 2
        path = name.split(".")
        if path[0] not in self.fields:
            raise invalid(
                f"Invalid filter {self.text!r}: there is no field {name!r} to filter by; use {', '.join(self.fields)}"
            )
        return lambda doc: _compare(_value(doc, path), operator, value)


def _value(document: Any, path: list[str]) -> Any:
    for index, name in enumerate(path):
        if not isinstance(document, dict):
            return None
        rest = ".".join(path[index:])
        if rest in document:
            return document[rest]
        document = document.get(name)
    return document


def _compare(actual: Any, operator: str, wanted: str) -> bool:
    if operator == ":" and wanted == "*":
        return actual is not None
    if isinstance(actual, dict):
        return operator == ":" and wanted in actual
    if isinstance(actual, bool) or (actual is None and wanted in ("true", "false")):
        actual = "true" if actual else "false"
    if actual is None:
        return operator == "!="
    left: Any = actual
    right: Any = wanted
    try:
        left, right = float(actual), float(wanted)
    except ValueError:
        left, right = str(actual), wanted
    match operator:
        case "=":
            return bool(left == right)
        case ":":
            return str(wanted) in str(actual)
        case "!=":
            return bool(left != right)
        case "<":
            return bool(left < right)
        case "<=":
            return bool(left <= right)
        case ">":
            return bool(left > right)
        case _:
            return bool(left >= right)
