"""Filter lines: checked as they stream, refused with their numbers."""

import hashlib
import re
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operations.model.filters import (
    FilterError,
    FilterSummary,
    check_filter,
    doubtful_line,
    filter_from_lines,
    line_problem,
)

GOOD = "/studies/1.2.840.113619.2.55/series/1.2.3/instances/1.0.4"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "the line is blank"),
        ("   ", "the line is blank"),
        ("//studies/1.2", "is no resource path"),
        ("dicomWeb/studies/1.2", "is no resource path"),
        ("/studies", "is no resource path"),
        ("/studies/", "the study UID is missing"),
        ("/studies/1.2/", "is no resource path"),
        ("/studies/1.2/series", "is no resource path"),
        ("/studies/1.2/series/", "the series UID is missing"),
        ("/studies/1.2/instances/3", "is no resource path"),
        ("/studies/1.2/series/3/instances/4/frames/1", "is no resource path"),
        ("/series/1.2", "is no resource path"),
        ("/studies/1..2", "the study UID has an empty component"),
        ("/studies/.1", "the study UID has an empty component"),
        ("/studies/1.", "the study UID has an empty component"),
        ("/studies/1.2a", "characters other than digits and dots"),
        ("/studies/1.٣", "characters other than digits and dots"),
        ("/studies/" + "1" * 65, "has 65 characters; 64 at most"),
        ('"/studies/1.2"', "as in CSV"),
        ("/studies/1.2,", "as in CSV"),
        ("/studies/1.2 ", "has spaces around it"),
        ("/studies/*", "characters other than digits and dots"),
        ("https://healthcare.googleapis.com/v1/studies/1.2", "is no resource path"),
    ],
)
def test_a_bad_line_is_refused_with_its_number_and_what_is_wrong(line: str, problem: str) -> None:
    content = f"{GOOD}\n{GOOD}\n{line}\n{GOOD}\n".encode()
    with pytest.raises(FilterError) as caught:
        check_filter([content], "gs://bucket/filter.txt")
    assert str(caught.value).startswith("gs://bucket/filter.txt, line 3: ")
    assert problem in str(caught.value)
    assert [number for number, _ in caught.value.problems] == [3]


def test_a_csv_header_is_refused_with_the_way_to_export_without_one() -> None:
    with pytest.raises(FilterError, match=r"line 1: .* CSV header; .*noprint_header"):
        check_filter([b"resource_path\n/studies/1.2\n"])


def test_a_byte_order_mark_is_refused() -> None:
    with pytest.raises(FilterError, match="byte order mark"):
        check_filter([b"\xef\xbb\xbf/studies/1.2\n"])


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n"])
def test_a_filter_that_selects_nothing_is_refused(content: bytes) -> None:
    with pytest.raises(FilterError):
        check_filter([content])


def test_no_lines_are_refused() -> None:
    with pytest.raises(FilterError, match="selects nothing"):
        filter_from_lines([])


def test_only_the_first_ten_problems_are_told() -> None:
    with pytest.raises(FilterError, match="stopped after 10 problems") as caught:
        check_filter([b"x\n" * 1000])
    assert [number for number, _ in caught.value.problems] == list(range(1, 11))


def test_a_file_without_lines_is_given_up_before_it_fills_the_memory() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"\0" * 10_000

    with pytest.raises(FilterError, match="is this a text file"):
        check_filter(endless())


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", ["", "END"])
def test_both_line_ends_are_fine_and_the_last_may_be_missing(end: str, last: str) -> None:
    lines = ["/studies/1.2", "/studies/1.2/series/0.3", GOOD]
    content = (end.join(lines) + (end if last else "")).encode()
    summary = check_filter([content])
    assert summary == FilterSummary(3, len(content), hashlib.sha256(content).hexdigest())


def test_the_slash_in_front_may_be_missing_and_is_written() -> None:
    """As Google's medical-imaging writes filter files: without it, and without a newline at the end."""
    content = b"studies/1.2\nstudies/1.2/series/3\n" + GOOD.removeprefix("/").encode()
    assert check_filter([content]).lines == 3
    assert filter_from_lines(["studies/1.2", "/studies/1.2", "studies/3"]) == b"/studies/1.2\n/studies/3\n"


def test_lines_of_a_person_lose_repetitions_and_keep_their_order() -> None:
    assert filter_from_lines(["/studies/2", "/studies/1", "/studies/2"]) == b"/studies/2\n/studies/1\n"


_UID = st.from_regex(r"\A(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){0,5}\Z")
_PATH = st.one_of(
    st.builds("/studies/{}".format, _UID),
    st.builds("/studies/{}/series/{}".format, _UID, _UID),
    st.builds("/studies/{}/series/{}/instances/{}".format, _UID, _UID, _UID),
)


@settings(max_examples=30)
@given(st.lists(_PATH, min_size=1, max_size=6), st.integers(min_value=1, max_value=64))
def test_however_a_file_is_cut_into_blocks_the_result_is_the_same(lines: list[str], size: int) -> None:
    content = "".join(f"{line}\n" for line in lines).encode()
    blocks = [content[start : start + size] for start in range(0, len(content), size)]
    assert check_filter(blocks) == check_filter([content])
    assert check_filter(blocks).lines == len(lines)


@settings(max_examples=60)
@given(st.lists(st.one_of(_PATH, st.text(alphabet="/studies1.0 x\r", max_size=30)), min_size=1, max_size=8))
def test_the_fast_check_and_the_explaining_one_agree_with_a_plain_reading_of_the_rule(lines: list[str]) -> None:
    def is_uid(text: str) -> bool:
        parts = text.split(".")
        return len(text) <= 64 and all(re.fullmatch("0|[1-9][0-9]*", part, re.ASCII) for part in parts)

    def is_path(text: str) -> bool:
        parts = text.removesuffix("\r").split("/")
        names, uids = parts[1::2], parts[2::2]
        kinds = ["studies", "series", "instances"]
        return (
            parts[0] == "" and names == kinds[: len(names)] and len(names) == len(uids) > 0 and all(map(is_uid, uids))
        )

    bad = [number for number, line in enumerate(lines, start=1) if not is_path(line)]
    content = "".join(f"{line}\n" for line in lines).encode()
    if bad:
        with pytest.raises(FilterError) as caught:
            check_filter([content])
        assert [number for number, _ in caught.value.problems] == bad
    else:
        assert check_filter([content]).lines == len(lines)
    for line in lines:
        assert (line_problem(line.removesuffix("\r").encode()) is None) is is_path(line)


@pytest.mark.parametrize("line", ["/studies/1.02", "/studies/01.2", "/studies/1.2/series/1.00.3"])
def test_a_uid_with_a_leading_zero_can_be_exported_and_is_doubtful(line: str) -> None:
    assert filter_from_lines([line]) == f"{line}\n".encode()
    assert check_filter([f"{line}\n".encode()]).lines == 1
    assert doubtful_line(line) == f'"{line}" has a UID component with a leading zero, which DICOM does not allow'


@pytest.mark.parametrize("line", [GOOD, "/studies/0.10", "/studies/1.0/series/1.2.0"])
def test_a_zero_alone_is_not_doubtful(line: str) -> None:
    assert line_problem(line.encode()) is None
    assert doubtful_line(line) is None
