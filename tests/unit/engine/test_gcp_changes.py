"""What counts as a change, what replaces, what a preview knows, and what a refresh makes of drift."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pulumi.runtime.proto import provider_pb2

from engine.plugins.gcp.provider import ATTRIBUTION, Provider, decode_settings
from engine.plugins.gcp.values import UNKNOWN

if TYPE_CHECKING:
    from typing import Any

DATASET = "gcp:healthcare/dataset:Dataset"
STORE = "gcp:healthcare/dicomStore:DicomStore"
BQ_DATASET = "gcp:bigquery/dataset:Dataset"
TABLE = "gcp:bigquery/table:Table"
BUCKET = "gcp:storage/bucket:Bucket"

DATASET_NAME = "projects/hospital/locations/europe-west4/datasets/radiology"
NAMED: dict[str, Any] = {"name": "radiology", "location": "europe-west4"}
LABELS: dict[str, Any] = {"pulumiLabels": {"team": "r"}, "effectiveLabels": {"team": "r"}}
STORE_INPUTS: dict[str, Any] = {"name": "pacs", "dataset": DATASET_NAME, "labels": {"team": "r"}}

Kind = provider_pb2.PropertyDiff


def _details(answer: Any) -> dict[str, int]:
    return {path: each.kind for path, each in answer.detailedDiff.items()}


@pytest.mark.parametrize(
    ("token", "inputs", "change", "replaces"),
    [
        (DATASET, NAMED, {"location": "us-central1"}, "location"),
        (DATASET, NAMED, {"name": "other"}, "name"),
        (DATASET, NAMED, {"encryptionSpec": {"kmsKeyName": "k"}}, "encryptionSpec"),
        (STORE, STORE_INPUTS, {"dataset": "projects/x/locations/l/datasets/d"}, "dataset"),
        (BQ_DATASET, {"datasetId": "d", "location": "EU"}, {"location": "US"}, "location"),
        (BUCKET, {"name": "b", "location": "EU"}, {"location": "US"}, "location"),
    ],
)
def test_a_change_that_the_api_can_not_make_replaces_the_resource(
    plugin: Any, token: str, inputs: dict[str, Any], change: dict[str, Any], replaces: str
) -> None:
    answer = plugin.diff(token, inputs, {**inputs, **LABELS, "project": "hospital"}, {**inputs, **change})
    assert list(answer.replaces) == [replaces]


def test_a_replacement_under_the_same_given_name_waits_for_the_deletion(plugin: Any) -> None:
    outputs = {**NAMED, "project": "hospital"}
    assert plugin.diff(DATASET, NAMED, outputs, {**NAMED, "location": "us-central1"}).deleteBeforeReplace
    assert not plugin.diff(DATASET, NAMED, outputs, {**NAMED, "name": "other"}).deleteBeforeReplace


def test_a_replacement_under_a_made_up_name_does_not_wait(plugin: Any) -> None:
    answer = plugin.diff(DATASET, {"location": "a"}, {"project": "hospital"}, {"location": "b"})
    assert list(answer.replaces) == ["location"]
    assert not answer.deleteBeforeReplace


def test_another_default_project_replaces_what_named_none(plugin: Any) -> None:
    answer = plugin.diff(DATASET, NAMED, {**NAMED, "project": "another"}, NAMED)
    assert list(answer.replaces) == ["project"]


def test_the_same_inputs_are_no_change(plugin: Any) -> None:
    inputs = {**STORE_INPUTS, "streamConfigs": [{"bigqueryDestination": {"tableUri": "bq://p.d.t"}}]}
    answer = plugin.diff(STORE, inputs, {**inputs, **LABELS}, inputs)
    assert answer.changes == provider_pb2.DiffResponse.DIFF_NONE
    assert _details(answer) == {}


@pytest.mark.parametrize(
    ("token", "old", "new"),
    [
        (BUCKET, {"name": "b", "location": "eu"}, {"name": "b", "location": "EU"}),
        (BQ_DATASET, {"datasetId": "d", "location": "eu"}, {"datasetId": "d", "location": "EU"}),
        (DATASET, {**NAMED, "timeZone": "UTC"}, NAMED),
        (STORE, {**STORE_INPUTS, "streamConfigs": []}, STORE_INPUTS),
        (BUCKET, {"name": "b", "location": "EU", "requesterPays": False}, {"name": "b", "location": "EU"}),
        (
            TABLE,
            {"datasetId": "d", "tableId": "t", "schema": '[{"name":"a","type":"INTEGER","mode":"NULLABLE"}]'},
            {"datasetId": "d", "tableId": "t", "schema": '[ {"type": "INT64", "name": "a"} ]'},
        ),
    ],
)
def test_two_ways_to_say_the_same_are_no_change(
    plugin: Any, token: str, old: dict[str, Any], new: dict[str, Any]
) -> None:
    answer = plugin.diff(
        token, old, {**LABELS, **old, "pulumiLabels": old.get("labels", {}), "project": "hospital"}, new
    )
    assert _details(answer) == {}


def test_each_changed_label_is_a_change_of_its_own(plugin: Any) -> None:
    news = {**STORE_INPUTS, "labels": {"team": "x", "site": "b"}}
    answer = plugin.diff(STORE, STORE_INPUTS, {**STORE_INPUTS, **LABELS}, news)
    assert _details(answer) == {"labels.site": Kind.ADD, "labels.team": Kind.UPDATE}
    assert list(answer.diffs) == ["labels"]
    assert not answer.replaces


def test_a_changed_list_shows_the_place_of_the_change(plugin: Any) -> None:
    def streams(*tables: str) -> dict[str, Any]:
        return {**STORE_INPUTS, "streamConfigs": [{"bigqueryDestination": {"tableUri": each}} for each in tables]}

    outputs = {**streams("bq://a", "bq://b"), **LABELS}
    answer = plugin.diff(STORE, streams("bq://a", "bq://b"), outputs, streams("bq://a", "bq://c", "bq://d"))
    assert _details(answer) == {
        "streamConfigs[1].bigqueryDestination.tableUri": Kind.UPDATE,
        "streamConfigs[2]": Kind.ADD,
    }


def test_a_label_for_every_resource_is_an_update_when_it_is_new(plugin: Any) -> None:
    outputs = {**STORE_INPUTS, "pulumiLabels": {"team": "r", "old": "default"}, "effectiveLabels": {"team": "r"}}
    assert list(plugin.diff(STORE, STORE_INPUTS, outputs, STORE_INPUTS).diffs) == ["pulumiLabels"]


def test_a_column_added_is_an_update_and_one_changed_or_removed_is_a_replacement(plugin: Any) -> None:
    def table(schema: str) -> dict[str, Any]:
        return {"datasetId": "d", "tableId": "t", "schema": schema}

    one = '[{"name":"a","type":"STRING"}]'
    more = '[{"name":"a","type":"STRING"},{"name":"b","type":"INTEGER"}]'
    outputs = {"project": "hospital", "pulumiLabels": {}}
    assert not plugin.diff(TABLE, table(one), outputs, table(more)).replaces
    assert list(plugin.diff(TABLE, table(more), outputs, table(one)).replaces) == ["schema"]
    other = table('[{"name":"a","type":"BYTES"}]')
    assert list(plugin.diff(TABLE, table(one), outputs, other).replaces) == ["schema"]


def test_a_preview_of_a_new_resource_knows_its_inputs_and_nothing_that_google_makes_up(
    plugin: Any, recorder: Any
) -> None:
    identity, planned = plugin.create(
        STORE, {"name": "pacs", "dataset": UNKNOWN, "labels": {"team": "r"}}, preview=True
    )
    assert identity == ""
    assert planned["name"] == "pacs"
    assert planned["dataset"] == planned["selfLink"] == planned["id"] == UNKNOWN
    assert planned["effectiveLabels"] == {"team": "r"}
    assert recorder.requests == []


def test_a_preview_knows_the_default_project(plugin: Any) -> None:
    assert plugin.create(DATASET, NAMED, preview=True)[1]["project"] == "hospital"


def test_drift_shows_in_the_refreshed_inputs_and_only_there_where_the_program_spoke(plugin: Any, recorder: Any) -> None:
    name = f"{DATASET_NAME}/dicomStores/pacs"
    inputs = {**STORE_INPUTS, "labels": {"team": "r", "site": "b"}}
    before = {
        **inputs,
        "id": name,
        "pulumiLabels": {"team": "r", "site": "b"},
        "effectiveLabels": {"team": "r", "site": "b"},
        "notificationConfig": None,
        "streamConfigs": [],
    }
    topic = {"pubsubTopic": "projects/p/topics/t"}
    answer = {"name": name, "labels": {"team": "changed", "theirs": "1"}, "notificationConfig": topic}
    recorder.answer("GET", f"/v1beta1/{name}", answer)
    _, outputs, fresh = plugin.read(STORE, name, before, inputs)
    # A changed label shows, a removed one is missing, one that someone else added is not the program's business.
    assert fresh["labels"] == {"__defaults": [], "team": "changed"}
    assert outputs["effectiveLabels"] == {"team": "changed", "theirs": "1"}
    # A notification that the program does not want is there to be removed.
    assert fresh["notificationConfig"] == {"__defaults": [], **topic}
    repair = plugin.diff(STORE, {name: value for name, value in fresh.items() if name != "__defaults"}, outputs, inputs)
    assert set(_details(repair)) == {"labels.team", "labels.site", "notificationConfig"}


def test_a_refresh_without_drift_returns_the_inputs_as_they_were(plugin: Any, recorder: Any) -> None:
    recorder.answer(
        "GET",
        "/storage/v1/b/inbox",
        {
            "name": "inbox",
            "location": "EU",
            "storageClass": "STANDARD",
            "iamConfiguration": {"publicAccessPrevention": "inherited"},
            "softDeletePolicy": {"retentionDurationSeconds": "604800", "effectiveTime": "2026-01-01T00:00:00Z"},
            "rpo": "DEFAULT",
        },
    )
    inputs = {"name": "inbox", "location": "eu", "versioning": {"enabled": False}}
    _, outputs, fresh = plugin.read(BUCKET, "inbox", {**inputs, "id": "inbox"}, inputs)
    assert fresh == plugin.check(BUCKET, inputs)[0]
    again = plugin.read(BUCKET, "inbox", outputs, inputs)
    assert again[1] == outputs


def test_what_is_gone_has_no_id(plugin: Any, recorder: Any) -> None:
    recorder.answer("GET", "/storage/v1/b/inbox", (404, {"error": {"message": "gone"}}))
    assert plugin.read(BUCKET, "inbox", {"id": "inbox", "name": "inbox"}, {"name": "inbox", "location": "EU"})[0] == ""


def test_an_imported_resource_is_no_change_for_a_program_that_says_the_least(plugin: Any, recorder: Any) -> None:
    answer = {"name": "inbox", "location": "EU", "storageClass": "STANDARD", "rpo": "DEFAULT", "labels": {}}
    recorder.answer(
        "GET", "/storage/v1/b/inbox", {**answer, "iamConfiguration": {"publicAccessPrevention": "inherited"}}
    )
    _, outputs, inputs = plugin.read(BUCKET, "inbox")
    inputs.pop("__defaults")
    answer = plugin.diff(BUCKET, inputs, {**outputs, "project": "hospital"}, {"name": "inbox", "location": "EU"})
    assert _details(answer) == {}


def test_the_attribution_label_is_put_on_new_resources_and_kept_but_not_added_later(settings: dict[str, Any]) -> None:
    provider = Provider({name: value for name, value in settings.items() if name != "addPulumiAttributionLabel"}, {})
    assert provider.labels({"team": "r"}, None) == {"team": "r", ATTRIBUTION: "true"}
    assert provider.labels({}, {ATTRIBUTION: "true"}) == {ATTRIBUTION: "true"}
    assert provider.labels({}, {}) == {}


def test_the_resources_own_label_wins_over_the_default_one() -> None:
    provider = Provider({"defaultLabels": {"team": "x", "env": "dev"}, "addPulumiAttributionLabel": False}, {})
    assert provider.labels({"team": "r"}, None) == {"team": "r", "env": "dev"}


def test_settings_arrive_as_json_in_text() -> None:
    arguments = {"defaultLabels": '{"env":"dev"}', "addPulumiAttributionLabel": "false", "project": "hospital"}
    assert decode_settings(arguments) == {
        "defaultLabels": {"env": "dev"},
        "addPulumiAttributionLabel": False,
        "project": "hospital",
    }


def test_a_custom_endpoint_without_a_final_slash_is_refused_with_its_setting() -> None:
    provider = Provider({"healthcareCustomEndpoint": "http://127.0.0.1:8085/v1beta1"}, {})
    with pytest.raises(ValueError, match="gcp:healthcareCustomEndpoint"):
        provider.client.address("healthcare")


# "Stripped" in the provider: the last path segment goes, and a hand-written client appends its own version.
@pytest.mark.parametrize(
    ("endpoint", "stripped"),
    [
        ("http://h:1/v1/", "http://h:1/"),
        ("http://h:1/", "http://h:1/"),
        ("https://healthcare.googleapis.com/v1beta1/", "https://healthcare.googleapis.com/"),
        ("http://h:1/healthcare/v1beta1/", "http://h:1/healthcare/"),
    ],
)
def test_hand_written_clients_get_the_endpoint_without_its_version(endpoint: str, stripped: str) -> None:
    provider = Provider({}, {"GOOGLE_HEALTHCARE_CUSTOM_ENDPOINT": endpoint})
    assert provider.client.unversioned("healthcare") == stripped


def test_the_configuration_wins_over_the_environment_and_google_is_the_default() -> None:
    environ = {"GOOGLE_HEALTHCARE_CUSTOM_ENDPOINT": "http://environment/v1beta1/"}
    configured = Provider({"healthcareCustomEndpoint": "http://configured/v1beta1/"}, environ)
    assert configured.client.address("healthcare") == "http://configured/v1beta1/"
    assert Provider({}, environ).client.address("healthcare") == "http://environment/v1beta1/"
    assert Provider({}, {}).client.address("healthcare") == "https://healthcare.googleapis.com/v1beta1/"


def test_the_project_comes_from_the_environment_where_the_configuration_has_none() -> None:
    assert Provider({}, {"GOOGLE_CLOUD_PROJECT": "p"}).project == "p"
    assert Provider({"project": "q"}, {"GOOGLE_CLOUD_PROJECT": "p"}).project == "q"


def test_a_secret_setting_is_read_out_of_its_wrapping() -> None:
    # https://github.com/pulumi/pulumi/blob/master/sdk/go/common/resource/properties.go: signature and secret's own key.
    wrapped = {
        "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
        "value": "principal:user:alice@example.org",
    }
    assert decode_settings({"accessToken": wrapped}) == {"accessToken": "principal:user:alice@example.org"}
