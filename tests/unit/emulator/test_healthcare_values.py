"""Values of DICOM elements: texts, names, dates, times, numbers. Expected values: DICOM PS3.5 section 6.2."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.healthcare.dicom import values

BAD_DATES = [
    "",
    "2024",
    "202402",
    "20240230",
    "20241301",
    "20240101-20240201",
    "2024-1-1",
    "abcdefgh",
    "\uff12" * 8,
]


@pytest.mark.parametrize("text", BAD_DATES)
def test_what_is_no_day_is_no_date(text: str) -> None:
    with pytest.raises(ValueError):
        values.bigquery_date(text)


@pytest.mark.parametrize("text", ["20240229", "2024.02.29", "2024-02-29", "2024/02/29"])
def test_dates_may_have_the_separators_of_old_files(text: str) -> None:
    assert values.bigquery_date(text) == "2024-02-29"


BAD_TIMES = ["", "7", "24", "2360", "235960", "12:3", "noon", "120000.", "12000"]


@pytest.mark.parametrize("text", BAD_TIMES)
def test_what_is_no_time_of_a_day_is_no_time(text: str) -> None:
    with pytest.raises(ValueError):
        values.bigquery_time(text)


TIMES = [
    ("07", "07:00:00"),
    ("0730", "07:30:00"),
    ("073015", "07:30:15"),
    ("073015.5", "07:30:15.500000"),
    ("073015.123456", "07:30:15.123456"),
    ("07:30:15", "07:30:15"),
]


@pytest.mark.parametrize(("text", "wanted"), TIMES)
def test_what_is_missing_at_the_end_of_a_time_counts_as_zero(text: str, wanted: str) -> None:
    assert values.bigquery_time(text) == wanted


MOMENTS = [
    ("2024", "", "2024-01-01 00:00:00+00:00"),
    ("20240229", "", "2024-02-29 00:00:00+00:00"),
    ("20240229073015", "+0100", "2024-02-29 06:30:15+00:00"),
    ("20240229073015-0500", "+0100", "2024-02-29 12:30:15+00:00"),
    ("20240229073015.25&", "", None),
    ("202402291", "", None),
    ("00010101+1400", "", None),
]


@pytest.mark.parametrize(("text", "offset", "wanted"), MOMENTS)
def test_moments_are_in_utc_by_their_own_offset_or_the_instances(text: str, offset: str, wanted: str | None) -> None:
    if wanted is None:
        with pytest.raises(ValueError):
            values.bigquery_timestamp(text, offset)
    else:
        assert values.bigquery_timestamp(text, offset) == wanted


@given(st.dates())
def test_every_day_goes_through_its_dicom_form(day: dt.date) -> None:
    assert values.bigquery_date(f"{day.year:04}{day.month:02}{day.day:02}") == day.isoformat()


@given(st.times())
def test_every_time_goes_through_its_dicom_form(time: dt.time) -> None:
    assert dt.time.fromisoformat(values.bigquery_time(time.strftime("%H%M%S.%f"))) == time


NAMES: list[tuple[str, dict[str, dict[str, str]]]] = [
    ("", {}),
    ("^^^^", {}),
    ("Adams^John Robert Quincy^^Rev.^B.A. M.Div.", {
        "Alphabetic": {
            "FamilyName": "Adams",
            "GivenName": "John Robert Quincy",
            "NamePrefix": "Rev.",
            "NameSuffix": "B.A. M.Div.",
        }
    }),
    ("Yamada^Tarou=山田^太郎=やまだ^たろう", {
        "Alphabetic": {"FamilyName": "Yamada", "GivenName": "Tarou"},
        "Ideographic": {"FamilyName": "山田", "GivenName": "太郎"},
        "Phonetic": {"FamilyName": "やまだ", "GivenName": "たろう"},
    }),
    ("=山田^太郎", {"Ideographic": {"FamilyName": "山田", "GivenName": "太郎"}}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), NAMES)
def test_names_come_apart_as_the_standards_examples_do(text: str, wanted: dict[str, dict[str, str]]) -> None:
    assert values.name_record(text) == wanted


TEXTS = [
    ("CS", b"ORIGINAL\\PRIMARY ", ["ORIGINAL", "PRIMARY"]),
    ("CS", b"A\\\\B", ["A", "", "B"]),
    ("LO", b"", []),
    ("LO", b"  ", []),
    ("UI", b"1.2.3\0", ["1.2.3"]),
    ("LT", b" a\\b ", [" a\\b"]),
    ("DS", b" 1.50\\2 ", ["1.50", "2"]),
]


@pytest.mark.parametrize(("vr", "raw", "wanted"), TEXTS)
def test_texts_lose_their_padding_and_come_apart_at_backslashes(vr: str, raw: bytes, wanted: list[str]) -> None:
    assert values.text_values(vr, raw, ("iso8859",)) == wanted


def test_a_backslash_inside_a_character_does_not_take_it_apart() -> None:
    """In GB18030 the second byte of some characters is 5C, which is the backslash."""
    text = "诶"[:0] + bytes([0x81, 0x5C]).decode("gb18030")
    raw = text.encode("gb18030")
    assert b"\\" in raw
    assert values.text_values("LO", raw, values.encodings_of(b"GB18030 ")) == [text]


@pytest.mark.parametrize(("vr", "raw"), [("US", b"\1"), ("UL", b"\1\2\3"), ("FD", b"\0" * 9)])
def test_bytes_that_are_no_whole_numbers_are_refused(vr: str, raw: bytes) -> None:
    with pytest.raises(ValueError):
        values.number_values(vr, raw, little=True)


INTEGERS = [(5, 5), ("12", 12), (" 7 ", 7), (2.0, 2), (2**63 - 1, 2**63 - 1)]


@pytest.mark.parametrize(("value", "wanted"), INTEGERS)
def test_whole_numbers_fit_an_int64(value: object, wanted: int) -> None:
    assert values.to_integer(value) == wanted


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 1.5, "1.5", "x", ""])
def test_what_is_no_int64_is_refused(value: object) -> None:
    with pytest.raises(ValueError):
        values.to_integer(value)


@pytest.mark.parametrize(
    ("value", "vr", "text"),
    [
        (123456.789, "FD", "123456.789"),
        (2.0, "FD", "2"),
        (1e22, "FD", "1e+22"),
        (0.1, "FD", "0.1"),
        (0.10000000149011612, "FL", "0.1"),
        (16777215.0, "FL", "16777215"),
        (2.0, "FL", "2"),
        (float("inf"), "FL", "inf"),
    ],
)
def test_numbers_as_text_lose_no_digit(value: float, vr: str, text: str) -> None:
    assert values.to_string(value, vr) == text


def test_floats_that_json_can_not_write_are_texts() -> None:
    assert [values.to_float(value) for value in (float("nan"), float("inf"), float("-inf"), 1.5)] == [
        "NaN",
        "Infinity",
        "-Infinity",
        1.5,
    ]
