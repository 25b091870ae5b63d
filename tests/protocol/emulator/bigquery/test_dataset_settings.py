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


def test_a_change_that_changes_nothing_leaves_the_etag(rest: Rest) -> None:
    before = make(rest, labels={"of": "us"}, description="ours").json
    same = rest("PATCH", f"{DATASETS}/dicom", {"labels": {"of": "us"}}).json
    assert (same["etag"], same["lastModifiedTime"]) == (before["etag"], before["lastModifiedTime"])
    other = rest("PATCH", f"{DATASETS}/dicom", {"labels": {"of": "them"}}).json
    assert other["etag"] != before["etag"]
    made = table(rest, "plain", friendlyName="plain")
    unchanged = rest("PATCH", f"{DATASETS}/dicom/tables/plain", {"friendlyName": "plain"}).json
    assert (unchanged["etag"], unchanged["lastModifiedTime"]) == (made["etag"], made["lastModifiedTime"])


@pytest.mark.parametrize("nothing", [None, ""])
def test_null_and_an_empty_text_clear_a_text(rest: Rest, nothing: str | None) -> None:
    make(rest, description="ours", friendlyName="Imaging")
    table(rest, "plain", description="plain")
    cleared = {"description": nothing}
    assert "description" not in rest("PATCH", f"{DATASETS}/dicom", cleared).json
    assert rest("GET", f"{DATASETS}/dicom").json["friendlyName"] == "Imaging"
    assert "description" not in rest("PATCH", f"{DATASETS}/dicom/tables/plain", cleared).json


def test_addresses_come_back_as_they_were_sent_and_count_without_case(rest: Rest) -> None:
    access = [
        {"role": "OWNER", "userByEmail": "Alice.Smith@Example.org"},
        {"role": "READER", "groupByEmail": "Readers@Example.org"},
        {"role": "READER", "groupByEmail": "Readers@Example.org"},
    ]
    assert make(rest, access=access).json["access"] == access
    assert rest("GET", f"{DATASETS}/dicom").json["access"] == access
    assert rest("GET", f"{DATASETS}/dicom", who="user:alice.smith@example.org").status == 200
    assert rest("GET", f"{DATASETS}/dicom", who="user:bob@example.org").status == 403


def test_a_job_reference_may_name_the_project_as_terraform_does(rest: Rest) -> None:
    """Terraform's acceptance tests of jobs, which pass on Google Cloud."""
    query = {"query": "SELECT 1", "useLegacySql": False}
    reference = {"project": "research-analytics", "jobId": "ours", "location": "EU"}
    jobs = "/bigquery/v2/projects/research-analytics/jobs"
    made = rest("POST", jobs, {"jobReference": reference, "configuration": {"query": query}})
    assert (made.status, made.json["jobReference"]["projectId"]) == (200, "research-analytics")
    wrong = rest("POST", jobs, {"jobReference": {"projekt": "x"}, "configuration": {"query": query}})
    assert wrong.status == 400


@pytest.mark.parametrize(
    "settings",
    [{"defaultCollation": "und:ci"}, {"isCaseInsensitive": True}, {"defaultRoundingMode": "ROUND_HALF_EVEN"}],
)
def test_what_would_have_no_effect_is_refused_of_a_dataset(rest: Rest, settings: dict[str, Any]) -> None:
    assert make(rest, **settings).status == 501
    assert make(rest, defaultRoundingMode="ROUND_HALF_AWAY_FROM_ZERO", isCaseInsensitive=False).status == 200
    assert rest("PATCH", f"{DATASETS}/dicom", settings).status == 501
    assert rest("GET", f"{DATASETS}/dicom").json.keys().isdisjoint({"defaultCollation"})


@pytest.mark.parametrize(
    "column",
    [
        {"type": "STRING", "maxLength": "3"},
        {"type": "STRING", "collation": "und:ci"},
        {"type": "STRING", "defaultValueExpression": "'x'"},
        {"type": "NUMERIC", "precision": "10", "scale": "1"},
        {"type": "NUMERIC", "roundingMode": "ROUND_HALF_EVEN"},
        {"type": "RECORD", "fields": [{"name": "inner", "type": "STRING", "maxLength": "3"}]},
    ],
)
def test_what_would_have_no_effect_is_refused_of_a_column(rest: Rest, column: dict[str, Any]) -> None:
    make(rest)
    body = {"tableReference": {"tableId": "typed"}, "schema": {"fields": [{"name": "a", **column}]}}
    refused = rest("POST", f"{DATASETS}/dicom/tables", body)
    assert (refused.status, "does not serve" in refused.message) == (501, True)
    assert rest("GET", f"{DATASETS}/dicom/tables/typed").status == 404


def test_precision_and_scale_of_the_type_itself_are_taken(rest: Rest) -> None:
    make(rest)
    schema = {"fields": [{"name": "a", "type": "NUMERIC", "precision": "38", "scale": "9"}]}
    made = rest("POST", f"{DATASETS}/dicom/tables", {"tableReference": {"tableId": "typed"}, "schema": schema})
    assert made.status == 200
    filtered = {"timePartitioning": {"type": "DAY"}, "requirePartitionFilter": True}
    assert rest("POST", f"{DATASETS}/dicom/tables", {"tableReference": {"tableId": "t"}, **filtered}).status == 501
