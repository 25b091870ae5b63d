"""Settings of Pub/Sub topics: https://cloud.google.com/pubsub/docs/topic-properties."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

TOPIC = "/v1/projects/hospital-imaging/topics/dicom"
Rest = Callable[..., Any]


def test_regions_and_retention_are_answered(rest: Rest) -> None:
    settings = {
        "messageRetentionDuration": "604800s",
        "messageStoragePolicy": {"allowedPersistenceRegions": ["europe-west4"], "enforceInTransit": True},
    }
    assert rest("PUT", TOPIC, settings).status == 200
    assert rest("GET", TOPIC).json.items() >= settings.items()


@pytest.mark.parametrize(
    ("settings", "status", "text"),
    [
        ({"messageRetentionDuration": "599s"}, 400, "retention"),
        ({"messageRetentionDuration": "2678401s"}, 400, "retention"),
        ({"messageStoragePolicy": {"allowedPersistenceRegions": ["europe-west4-a"]}}, 400, "europe-west4-a"),
        ({"messageStoragePolicy": {"enforceInTransit": True}}, 400, "enforce_in_transit"),
        ({"tags": {"1/env": "prod"}}, 501, "tags of topics"),
        ({"schemaSettings": {"schema": "projects/p/schemas/s", "encoding": "JSON"}}, 501, "schemaSettings of topics"),
    ],
)
def test_what_can_not_be_or_is_not_served_is_refused(
    rest: Rest, settings: dict[str, Any], status: int, text: str
) -> None:
    answer = rest("PUT", TOPIC, settings)
    assert answer.status == status
    assert text in answer.message
    assert rest("GET", TOPIC).status == 404
