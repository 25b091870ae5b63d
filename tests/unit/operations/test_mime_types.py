"""Formats: every one of the service's list is taken, anything else refused with the nearest."""

import json
import re
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.model.mime_types import MIME_TYPES, MimeTypeError, nearest_mime_type, parse_mime_type


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("image/jpg", "jpeg"),
        ("image/jpeg", "jpeg"),
        ("image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.5", "jpeg"),
        ("image/gif", "png"),
        ("jpg", "jpeg"),
        ("application/dicom; transfer-syntax=1.2.840.10008.1.2.4.900", "dicom-jpeg-2000-lossless"),
        ("dicom-rle", "dicom-rle-lossless"),
        ("application/octet-stream", "pixels-as-stored"),
        ("application/dicom+json", "dicom"),
    ],
)
def test_a_mistyped_format_is_refused_with_the_nearest_valid_one(text: str, nearest: str) -> None:
    with pytest.raises(MimeTypeError, match="did you mean") as caught:
        parse_mime_type(text)
    assert nearest_mime_type(text).name == nearest
    assert nearest_mime_type(text).value in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "image/jpeg;transfer-syntax=1.2.840.10008.1.2.4.50",
        " IMAGE/JPEG ; transfer-syntax = 1.2.840.10008.1.2.4.50 ",
        'image/jpeg; transfer-syntax="1.2.840.10008.1.2.4.50"',
        "jpeg",
    ],
)
def test_spelling_that_means_the_same_is_taken_as_the_api_writes_it(text: str) -> None:
    assert parse_mime_type(text).value == "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50"


def test_the_list_is_that_of_the_discovery_document_and_the_plain_type_of_the_gcloud_examples() -> None:
    document = resources.files("googleapiclient") / "discovery_cache/documents/healthcare.v1.json"
    schemas = json.loads(document.read_text())["schemas"]
    text = schemas["GoogleCloudHealthcareV1DicomGcsDestination"]["properties"]["mimeType"]["description"]
    listed = set(re.findall(r"- ((?:application|image)/[\w-]+(?:; transfer-syntax=[\d.*]+)?)(?= \(| - | The)", text))
    assert {mime_type.value for mime_type in MIME_TYPES} == listed | {"application/dicom"}


def test_names_and_values_are_unique() -> None:
    assert len({each.name for each in MIME_TYPES}) == len({each.value for each in MIME_TYPES}) == len(MIME_TYPES)


@given(st.text(max_size=80))
def test_every_text_is_either_a_format_or_refused_with_one(text: str) -> None:
    try:
        assert parse_mime_type(text) in MIME_TYPES
    except MimeTypeError as error:
        assert nearest_mime_type(text).value in str(error)
