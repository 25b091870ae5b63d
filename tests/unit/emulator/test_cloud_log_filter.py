"""The query language of Cloud Logging: https://cloud.google.com/logging/docs/view/logging-query-language."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.cloud.logs_filter import parse
from emulator.core.errors import ApiError

ENTRY: dict[str, Any] = {
    "logName": "projects/hospital-imaging/logs/healthcare.googleapis.com%2Fdicom_import",
    "insertId": "abc",
    "severity": "ERROR",
    "timestamp": "2026-03-01T12:00:00.5Z",
    "resource": {"type": "healthcare_dicom_store", "labels": {"dataset_id": "radiology"}},
    "operation": {"id": "projects/p/operations/17", "producer": "import_dicom"},
    "labels": {"a.b": "one", "plain": "two"},
    "jsonPayload": {
        "error": {"code": 3, "message": "empty DICOM instance found"},
        "source": "gs://inbox/a.dcm",
        "ok": False,
        "list": [{"n": 1}, {"n": 2}],
        "text": "41",
    },
}

MATCHES = [
    "",
    "  -- only a comment",
    "severity=ERROR",
    "severity>=warning",
    "severity=(ERROR OR INFO)",
    "severity!=INFO",
    'resource.type="healthcare_dicom_store" AND operation.id="projects/p/operations/17"',
    'resource.type = "HEALTHCARE_DICOM_STORE"',
    "resource.labels.dataset_id:radio",
    'logName="projects/hospital-imaging/logs/healthcare.googleapis.com%2Fdicom_import"',
    'log_id("healthcare.googleapis.com/dicom_import")',
    'timestamp>="2026-03-01T12:00:00Z" timestamp<"2026-03-01T13:00:00+00:00"',
    'timestamp>"2026-02-28"',
    "jsonPayload.error.code=3",
    "jsonPayload.error.code>=3.0",
    "jsonPayload.error.code<10",
    "jsonPayload.text>5",
    "jsonPayload.ok=false",
    "jsonPayload.list.n=2",
    "jsonPayload.error:*",
    'jsonPayload.error.message:"DICOM INSTANCE"',
    'jsonPayload.source=~"^gs://.*\\.dcm$"',
    'jsonPayload.source!~"\\.jpg$"',
    'labels."a.b"=one',
    "labels.plain:(two OR three)",
    '"empty dicom"',
    "empty AND found",
    "NOT jsonPayload.missing=1",
    "-severity=INFO",
    'textPayload=""',
    "(severity=INFO OR severity=ERROR) AND NOT (severity=DEBUG)",
    # Google's own example of precedence: OR binds stronger than AND.
    "severity=INFO OR NOT severity=INFO AND NOT severity=INFO OR severity=INFO",
    "severity=ERROR AND severity=INFO OR severity=ERROR",
    'SEARCH("empty")',
]
DIFFERS = [
    "severity>ERROR",
    "NOT severity=ERROR",
    "jsonPayload.missing!=1",
    'jsonPayload.missing=""',
    'jsonPayload.source=~"^GS"',
    "jsonPayload.error.code=4",
    "jsonPayload.list.n=3",
    'timestamp<"2026-03-01T12:00:00.4Z"',
    "nowhere",
    "labels.plain:(two AND three)",
    "severity=ERROR severity=INFO",
    "severity=INFO OR severity=ERROR AND severity=INFO",
]
MALFORMED = [
    "severity=",
    "AND severity=ERROR",
    "severity=ERROR AND",
    "(severity=ERROR",
    "severity=ERROR)",
    "severity=LOUD",
    "nonsense=3",
    "resource.nonsense=3",
    'timestamp>"yesterday"',
    'jsonPayload.a=~"("',
    '"open',
    "severity=(ERROR",
    "=3",
    "(" * 5000,
    "severity=" + "(" * 5000,
    "x" * 20_001,
    # Cloud Logging's regular expressions are RE2's, which has no look-ahead and bounds repetitions.
    'textPayload=~"(?=a)"',
    'textPayload=~"a{100000}"',
]


@pytest.mark.parametrize("text", MATCHES)
def test_the_entry_matches(text: str) -> None:
    assert parse(text)(ENTRY) is True


@pytest.mark.parametrize("text", DIFFERS)
def test_the_entry_does_not_match(text: str) -> None:
    assert parse(text)(ENTRY) is False


@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_filter_is_refused(text: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse(text)
    assert caught.value.status == 400


def test_a_function_that_is_not_served_says_so() -> None:
    with pytest.raises(ApiError) as caught:
        parse("sample(insertId, 0.25)")
    assert caught.value.status == 501
    assert "sample" in caught.value.message


@given(st.text(alphabet="severity=ERROR()\"' NOT AND:*~-<>!.", max_size=60))
def test_any_text_is_either_a_filter_or_refused(text: str) -> None:
    try:
        assert parse(text)(ENTRY) in (True, False)
    except ApiError as error:
        assert error.status in (400, 501)
