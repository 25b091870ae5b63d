"""Patterns that callers send."""

from __future__ import annotations

import pytest

from emulator.cloud.logs_filter import parse
from emulator.core.patterns import PatternError, compiled, wildcard
from emulator.healthcare.gcs_uri import parse_source
from emulator.storage.listing import Query, list_names


@pytest.mark.parametrize("pattern", ["(?=a)", r"(a)\1", "a{1,100000}", "[a-", "(", "((a{1000}){1000}){1000}", "\ud800"])
def test_what_can_take_forever_or_is_malformed_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError) as caught:
        compiled(pattern)
    assert str(caught.value)


def test_patterns_that_take_python_hours_are_matched_at_once() -> None:
    text = "a" * 2000 + "!"
    assert compiled("(a+)+$").search(text) is None
    assert wildcard("*a" * 60 + "b").fullmatch(text) is None
    assert parse('textPayload=~"(a|a)*$"')({"textPayload": text}) is True
    assert list_names([text], Query(glob="*a" * 60 + "b")).names == []
    assert parse_source("gs://inbox/" + "*a" * 60 + "b").pattern.fullmatch(text) is None


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("hospital-*", "hospital-imaging", True),
        ("*", "", True),
        ("*.dcm", "a/b\nc.dcm", True),
        ("a.c", "abc", False),
        ("é[x]+ #*", "é[x]+ #1", True),
        ("hospital", "hospital-imaging", False),
    ],
)
def test_a_star_stands_for_anything_and_nothing_else_is_special(pattern: str, text: str, matches: bool) -> None:
    assert (wildcard(pattern).fullmatch(text) is not None) is matches
