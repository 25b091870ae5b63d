"""Conditions of bindings: https://cloud.google.com/iam/docs/conditions-overview."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from emulator.core.errors import ApiError
from emulator.iam.conditions import parse

NOW = datetime(2026, 6, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "expression",
    [
        'resource.name.startsWith("projects/_/buckets/b/objects/x")',
        'resource.type == "storage.googleapis.com/Bucket"',
        'request.time < timestamp("2027-01-01T00:00:00Z") && resource.service == "storage.googleapis.com"',
        "request.time",
        'request.time < timestamp("2027-01-01T00:00:00Z") &&',
        '(request.time < timestamp("2027-01-01T00:00:00Z")',
        "((((((((((((((((((((((true))))))))))))))))))))))",
        "api.getAttribute('x', [])",
    ],
)
def test_what_can_not_be_evaluated_is_refused_and_not_ignored(expression: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse(expression)
    assert caught.value.status == 501


@pytest.mark.parametrize("expression", ["", "  ", 'request.time < timestamp("soon")'])
def test_a_malformed_condition_is_refused(expression: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse(expression)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ('request.time < timestamp("2027-01-01T00:00:00Z")', True),
        ('request.time < timestamp("2026-01-01T00:00:00Z")', False),
        ("request.time >= timestamp('2026-06-01T00:00:00Z')", True),
        ('!(request.time > timestamp("2026-01-01T00:00:00Z"))', False),
        (
            'request.time > timestamp("2026-01-01T00:00:00Z") && false || request.time > timestamp("2026-05-01")',
            True,
        ),
        ("true && !false", True),
    ],
)
def test_times_are_compared(expression: str, holds: bool) -> None:
    assert parse(expression)(NOW) is holds
