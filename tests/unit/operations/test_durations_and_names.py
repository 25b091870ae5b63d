"""Durations as people write them, and full resource names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.model.durations import DurationError, format_duration, parse_duration
from operations.model.resource_names import (
    DatasetName,
    DicomStoreName,
    OperationName,
    ResourceNameError,
    parse_dataset_name,
    parse_dicom_store_name,
    parse_operation_name,
)

DATASET = "projects/hospital/locations/europe-west4/datasets/radiology"


@pytest.mark.parametrize(
    "value",
    ["", " ", "6", "-1", "6x", "h", "30m6h", "6 hours", "1e5", "nan", "inf", -1, float("nan"), float("inf"), True],
)
def test_what_is_no_duration_is_refused_with_the_form(value: str | float) -> None:
    if value == "6":
        assert parse_duration(value) == 6
        return
    with pytest.raises(DurationError, match=r"6h, 90m, 1h30m|0 seconds or more"):
        parse_duration(value)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("6h", 21600),
        ("90m", 5400),
        ("1h30m", 5400),
        ("45s", 45),
        ("2d", 172800),
        ("1.5h", 5400),
        (45, 45),
        ("1h 30m", 5400),
    ],
)
def test_durations_are_read_as_seconds(value: str | float, seconds: float) -> None:
    assert parse_duration(value) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.4, "0.4 s"), (42, "42 s"), (157, "2 m 37 s"), (120, "2 m"), (3900, "1 h 5 m"), (183600, "2 d 3 h")],
)
def test_durations_are_written_for_people(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99))
def test_parts_of_a_duration_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == 3600 * hours + 60 * minutes + seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "radiology",
        f"{DATASET}/",
        f"{DATASET}/stores/pacs",
        f"{DATASET}/dicomStores/",
        f"/{DATASET}/dicomStores/pacs",
        f"https://healthcare.googleapis.com/v1/{DATASET}/dicomStores/pacs",
        f"{DATASET}/dicomStores/a/b",
        f"{DATASET}\n",
    ],
)
def test_what_is_no_full_name_is_refused_with_the_form(text: str) -> None:
    for parse, form in (
        (parse_dataset_name, "datasets/DATASET"),
        (parse_dicom_store_name, "dicomStores/STORE"),
        (parse_operation_name, "operations/OPERATION"),
    ):
        with pytest.raises(ResourceNameError, match=form):
            parse(text)


def test_full_names_are_read_and_written() -> None:
    assert parse_dataset_name(DATASET) == DatasetName("hospital", "europe-west4", "radiology")
    store = parse_dicom_store_name(f"{DATASET}/dicomStores/pacs")
    assert store == DicomStoreName("hospital", "europe-west4", "radiology", "pacs")
    assert (str(store), str(store.parent)) == (f"{DATASET}/dicomStores/pacs", DATASET)
    operation = parse_operation_name(f"{DATASET}/operations/123")
    assert operation == OperationName("hospital", "europe-west4", "radiology", "123")
    assert (str(operation), str(operation.parent)) == (f"{DATASET}/operations/123", DATASET)
