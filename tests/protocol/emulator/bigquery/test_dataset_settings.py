"""Settings of datasets that hold for new tables: https://cloud.google.com/bigquery/docs/reference/rest/v2/datasets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

DATASETS = "/bigquery/v2/projects/research-analytics/datasets"
DAY = 86_400_000
Rest = Callable[..., Any]


def make(rest: Rest, **settings: Any) -> Any:
    return rest("POST", DATASETS, {"datasetReference": {"datasetId": "dicom"}, "location": "EU", **settings})


def table(rest: Rest, name: str, **settings: Any) -> dict[str, Any]:
    schema = {"fields": [{"name": "day", "type": "DATE"}]}
    body = {"tableReference": {"tableId": name}, "schema": schema, **settings}
    found: dict[str, Any] = rest("POST", f"{DATASETS}/dicom/tables", body).json
    return found


def test_what_is_set_is_answered(rest: Rest) -> None:
    settings = {
        "friendlyName": "Imaging",
        "defaultPartitionExpirationMs": str(90 * DAY),
        "maxTimeTravelHours": "72",
        "storageBillingModel": "PHYSICAL",
    }
    assert make(rest, **settings).status == 200
    assert rest("GET", f"{DATASETS}/dicom").json.items() >= settings.items()


def test_new_partitioned_tables_take_the_expiration_of_partitions_in_place_of_their_own(rest: Rest) -> None:
    make(rest, defaultTableExpirationMs=str(30 * DAY), defaultPartitionExpirationMs=str(90 * DAY))
    made = table(rest, "by_day", timePartitioning={"type": "DAY", "field": "day"})
    assert made["timePartitioning"]["expirationMs"] == str(90 * DAY)
    assert "expirationTime" not in made
    own = table(rest, "own", timePartitioning={"type": "DAY", "field": "day", "expirationMs": str(DAY)})
    assert own["timePartitioning"]["expirationMs"] == str(DAY)
    whole = table(rest, "whole")
    assert int(whole["expirationTime"]) == int(whole["creationTime"]) + 30 * DAY


@pytest.mark.parametrize("hours", ["24", "47", "50", "192", "soon"])
def test_a_time_travel_that_can_not_be_is_refused(rest: Rest, hours: str) -> None:
    """https://cloud.google.com/bigquery/docs/time-travel."""
    assert make(rest, maxTimeTravelHours=hours).status == 400
    assert rest("GET", f"{DATASETS}/dicom").status == 404
