"""Lists of object names: https://cloud.google.com/storage/docs/json_api/v1/objects/list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.core.errors import ApiError
from emulator.storage.listing import Query, list_names

#: The example of Google's page about listing with delimiters, and some names around it.
NAMES = sorted(["a/b", "a/c", "b", "e", "e/f", "e/g/h", "e/é", "z"])


@pytest.mark.parametrize("glob", ["[", "a[", "{a", "{a,b", "a{b{c}"])
def test_a_malformed_glob_is_refused(glob: str) -> None:
    with pytest.raises(ApiError, match="glob"):
        list_names(NAMES, Query(glob=glob))


@pytest.mark.parametrize("token", ["!", "ÿ", "a", "//8="])
def test_a_page_token_that_was_never_given_out_is_refused(token: str) -> None:
    with pytest.raises(ApiError, match="page token"):
        list_names(NAMES, Query(token=token))


# Expected values by the rules of the page: names after the prefix that have the delimiter are rolled up into prefixes.
CASES = [
    (Query(), NAMES, []),
    (Query(delimiter="/"), ["b", "e", "z"], ["a/", "e/"]),
    (Query(prefix="e/", delimiter="/"), ["e/f", "e/é"], ["e/g/"]),
    (Query(prefix="e", delimiter="/"), ["e"], ["e/"]),
    (Query(prefix="nothing"), [], []),
    (Query(start="b", end="e/g"), ["b", "e", "e/f"], []),
    (Query(prefix="e/", start="e/g"), ["e/g/h", "e/é"], []),
    (Query(glob="*"), ["b", "e", "z"], []),
    (Query(glob="e/*"), ["e/f", "e/é"], []),
    (Query(glob="**/h"), ["e/g/h"], []),
    (Query(glob="**"), NAMES, []),
    (Query(glob="{a,e}/[bf]"), ["a/b", "e/f"], []),
    (Query(glob="e/?"), ["e/f", "e/é"], []),
    (Query(glob="[!a-e]"), ["z"], []),
]


@pytest.mark.parametrize(("query", "names", "prefixes"), CASES)
def test_names_and_prefixes_follow_the_parameters(query: Query, names: list[str], prefixes: list[str]) -> None:
    found = list_names(NAMES, query)
    assert found.names == sorted(names)
    assert found.prefixes == prefixes
    assert found.token is None


def test_a_folder_object_is_listed_beside_its_prefix_when_asked() -> None:
    names = ["f/", "f/a"]
    assert list_names(names, Query(delimiter="/")).names == []
    assert list_names(names, Query(delimiter="/", trailing_delimiter=True)).names == ["f/"]


@given(
    names=st.sets(st.text(alphabet="a/é\U0001f600", min_size=1, max_size=6), max_size=30),
    size=st.integers(1, 5),
    prefix=st.text(alphabet="a/", max_size=2),
    delimiter=st.sampled_from(["", "/"]),
)
def test_pages_together_are_the_list_without_gaps_or_repetitions(
    names: set[str], size: int, prefix: str, delimiter: str
) -> None:
    ordered = sorted(names)
    assert ordered == sorted(names, key=str.encode), "the order by code points is that of the UTF-8 bytes"
    everything = list_names(ordered, Query(prefix=prefix, delimiter=delimiter, limit=1000))
    found: list[str] = []
    prefixes: list[str] = []
    token = None
    while True:
        page = list_names(ordered, Query(prefix=prefix, delimiter=delimiter, limit=size, token=token))
        assert len(page.names) + len(page.prefixes) <= size
        found += page.names
        prefixes += page.prefixes
        token = page.token
        if token is None:
            break
    assert found == everything.names
    assert prefixes == everything.prefixes
    if not delimiter:
        assert found == [name for name in ordered if name.startswith(prefix)]
