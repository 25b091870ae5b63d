"""A bucket to work in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

BUCKET = "hospital-dicom-inbox"
PROJECT = "hospital-imaging"


@pytest.fixture
def bucket(rest: Callable[..., Any]) -> str:
    """The name of an empty bucket of the project ``hospital-imaging``."""
    answer = rest("POST", f"/storage/v1/b?project={PROJECT}", {"name": BUCKET, "location": "EU"})
    assert answer.status == 200
    return BUCKET
