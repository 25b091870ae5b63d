"""What the gcp stand-in refuses, and what it fills in."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from engine.plugins.gcp import checking
from engine.plugins.gcp.catalog import FUNCTIONS, TYPES
from engine.plugins.gcp.fields import Field
from engine.plugins.gcp.values import UNKNOWN

if TYPE_CHECKING:
    from typing import Any


def _said(refused: pytest.ExceptionInfo[grpc.RpcError]) -> str:
    call: Any = refused.value
    return str(call.details())


DATASET = "gcp:healthcare/dataset:Dataset"
STORE = "gcp:healthcare/dicomStore:DicomStore"
TABLE = "gcp:bigquery/table:Table"
BUCKET = "gcp:storage/bucket:Bucket"
MEMBER = "gcp:projects/iAMMember:IAMMember"


def test_an_unknown_resource_type_is_refused_by_name_and_says_who_has_it(plugin: Any) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        plugin.check("gcp:compute/instance:Instance", {})
    assert "gcp:compute/instance:Instance" in _said(refused)
    assert "the official plugin does" in _said(refused)


def test_an_unknown_function_is_refused_by_name(plugin: Any) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        plugin.invoke("gcp:compute/getImage:getImage", {})
    assert "gcp:compute/getImage:getImage" in _said(refused)


def test_a_property_that_does_not_exist_is_refused_with_the_one_that_was_meant(plugin: Any) -> None:
    _, failures = plugin.check(DATASET, {"location": "europe-west4", "timezone": "UTC"})
    assert failures == {"timezone": f"{DATASET} has no property timezone; did you mean timeZone?"}


def test_a_property_that_only_the_official_plugin_has_is_refused_not_ignored(plugin: Any) -> None:
    _, failures = plugin.check(TABLE, {"datasetId": "d", "tableId": "t", "tableConstraints": {}})
    assert "the official plugin does" in failures["tableConstraints"]


def test_an_output_given_as_an_input_is_refused(plugin: Any) -> None:
    _, failures = plugin.check(DATASET, {"location": "europe-west4", "selfLink": "x"})
    assert "is an output" in failures["selfLink"]


def test_a_missing_required_property_is_named(plugin: Any) -> None:
    _, failures = plugin.check(STORE, {"name": "pacs"})
    assert failures == {"dataset": f"{STORE} needs dataset; it is missing"}


def test_a_missing_property_of_a_nested_block_is_named_by_its_path(plugin: Any) -> None:
    _, failures = plugin.check(STORE, {"dataset": "d", "streamConfigs": [{"bigqueryDestination": {}}]})
    assert list(failures) == ["streamConfigs[0].bigqueryDestination.tableUri"]


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("forceDestroy", "yes", "true or false"),
        ("labels", {"team": 3}, "a map of texts"),
        ("versioning", "on", "an object"),
        ("lifecycleRules", {}, "a list of objects"),
        ("storageClass", 1, "text"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_with_the_kind_that_is_wanted(
    plugin: Any, name: str, value: Any, wanted: str
) -> None:
    _, failures = plugin.check(BUCKET, {"location": "EU", name: value})
    assert failures[name].startswith(f"{name} must be {wanted}")


def test_a_schema_that_is_no_json_is_refused(plugin: Any) -> None:
    _, failures = plugin.check(TABLE, {"datasetId": "d", "tableId": "t", "schema": "[{"})
    assert "a JSON document as text" in failures["schema"]


@pytest.mark.parametrize("member", ["alice@example.org", "service-4711"])
def test_a_member_without_its_kind_is_refused_with_the_forms(plugin: Any, member: str) -> None:
    _, failures = plugin.check(MEMBER, {"project": "p", "role": "roles/viewer", "member": member})
    assert "serviceAccount:" in failures["member"]


def test_a_role_without_its_prefix_is_refused_with_the_forms(plugin: Any) -> None:
    _, failures = plugin.check(MEMBER, {"project": "p", "role": "bigquery.jobUser", "member": "user:a@example.org"})
    assert "roles/NAME" in failures["role"]


def test_all_problems_are_reported_at_once(plugin: Any) -> None:
    _, failures = plugin.check(STORE, {"label": {}, "streamConfigs": 1})
    assert set(failures) == {"label", "streamConfigs", "dataset"}


def test_values_that_a_preview_does_not_know_pass_everywhere(plugin: Any) -> None:
    inputs, failures = plugin.check(
        STORE, {"dataset": UNKNOWN, "labels": UNKNOWN, "notificationConfig": {"pubsubTopic": UNKNOWN}}
    )
    assert failures == {}
    assert inputs["dataset"] == UNKNOWN


def test_a_name_is_made_from_the_resources_own_and_kept_at_the_next_update(plugin: Any) -> None:
    first, _ = plugin.check(DATASET, {"location": "europe-west4"})
    assert first["name"].startswith("it-")
    assert len(first["name"]) == len("it-") + 7
    assert first["__defaults"] == ["name"]
    again, _ = plugin.check(DATASET, {"location": "europe-west4"}, {**first, "name": "it-abc1234"})
    assert again["name"] == "it-abc1234"


# The defaults that the Terraform provider's schemas have; recorded states of the official plugin list them so.
@pytest.mark.parametrize(
    ("token", "given", "defaults"),
    [
        ("gcp:bigquery/dataset:Dataset", {"datasetId": "d"}, {"location": "US"}),
        (TABLE, {"datasetId": "d", "tableId": "t"}, {"deletionProtection": True}),
        (BUCKET, {"name": "b", "location": "EU"}, {"forceDestroy": False, "storageClass": "STANDARD"}),
        ("gcp:kms/cryptoKey:CryptoKey", {"name": "k", "keyRing": "r"}, {"purpose": "ENCRYPT_DECRYPT"}),
    ],
)
def test_defaults_of_the_official_plugin_are_filled_in_and_listed(
    plugin: Any, token: str, given: dict[str, Any], defaults: dict[str, Any]
) -> None:
    inputs, failures = plugin.check(token, given)
    assert failures == {}
    assert inputs == {**given, **defaults, "__defaults": sorted(defaults)}


def _pulumi_name(getter: Any) -> str:
    return str(getattr(getter.fget, "_pulumi_name", getter.fget.__name__))


def _source(token: str) -> Any:
    """The pulumi_gcp module that a type or a function is written in."""
    _, place, name = token.split(":")
    package, last = place.split("/")
    for path in Path(importlib.util.find_spec("pulumi_gcp").submodule_search_locations[0], package).glob("*.py"):  # type: ignore[union-attr, index]
        if re.search(rf"'{re.escape(token)}'", path.read_text(encoding="utf-8")) and not path.name.startswith("_"):
            return importlib.import_module(f"pulumi_gcp.{package}.{path.stem}")
    pytest.fail(f"pulumi_gcp.{package} has no {last} ({name})")


def _official_properties(token: str) -> tuple[set[str], set[str]]:
    """The inputs and the outputs that the pulumi_gcp package has for a type."""
    module, kind = _source(token), token.rsplit(":", 1)[1]
    inputs, everything = (
        {_pulumi_name(each) for each in vars(getattr(module, name)).values() if isinstance(each, property)}
        for name in (f"{kind}Args", f"_{kind}State")
    )
    return inputs, everything - inputs


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("token", sorted(TYPES))
def test_every_mapped_type_accounts_for_every_property_of_the_pulumi_gcp_package(token: str) -> None:
    inputs, outputs = _official_properties(token)
    kind = TYPES[token]
    ours: dict[str, Field] = {field.name: field for field in kind.fields}
    official_only = frozenset(getattr(kind, "official_only", ()))
    assert {name for name, field in ours.items() if not field.output} | official_only == inputs
    assert {name for name, field in ours.items() if field.output} == outputs


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("token", sorted(FUNCTIONS))
def test_every_mapped_function_is_one_of_the_pulumi_gcp_package(token: str) -> None:
    assert token in inspect.getsource(_source(token))


# A look-up by function, what it asks for, and what of its result only the official plugin fills.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("token", "arguments", "missing"),
    [
        ("gcp:organizations/getProject:getProject", {"projectId": "p"}, set()),
        (
            "gcp:bigquery/getDataset:getDataset",
            {"datasetId": "d"},
            {"externalCatalogDatasetOptions", "externalDatasetReferences"},
        ),
        (
            "gcp:bigquery/getTable:getTable",
            {"datasetId": "d", "tableId": "t"},
            {
                "biglakeConfigurations",
                "externalCatalogTableOptions",
                "externalDataConfigurations",
                "ignoreAutoGeneratedSchema",
                "ignoreSchemaChanges",
                "schemaForeignTypeInfos",
                "tableConstraints",
                "tableMetadataView",
                "tableReplicationInfos",
            },
        ),
        ("gcp:bigquery/getTables:getTables", {"datasetId": "d"}, set()),
        ("gcp:bigquery/getDefaultServiceAccount:getDefaultServiceAccount", {}, set()),
        (
            "gcp:kms/getKMSCryptoKey:getKMSCryptoKey",
            {"name": "k", "keyRing": "r"},
            {"keyAccessJustificationsPolicies"},
        ),
        ("gcp:kms/getKMSKeyRing:getKMSKeyRing", {"name": "r", "location": "l"}, set()),
        ("gcp:pubsub/getTopic:getTopic", {"name": "t"}, {"ingestionDataSourceSettings", "messageTransforms"}),
        ("gcp:storage/getBucket:getBucket", {"name": "b"}, {"ipFilters"}),
        ("gcp:storage/getProjectServiceAccount:getProjectServiceAccount", {}, set()),
    ],
)
def test_a_functions_result_has_the_official_names(
    plugin: Any, recorder: Any, token: str, arguments: dict[str, Any], missing: set[str]
) -> None:
    answer = {"name": "n", "projectId": "p", "projectNumber": "4711", "email": "e", "email_address": "e"}
    recorder.answer("GET", ".*", answer)
    name = token.rsplit(":", 1)[1]
    result = getattr(_source(token), f"G{name[1:]}Result")
    official = {_pulumi_name(each) for each in vars(result).values() if isinstance(each, property)}
    assert set(plugin.invoke(token, arguments)) == official - missing


def test_every_function_is_held_to_its_official_result() -> None:
    mark = next(
        each for each in test_a_functions_result_has_the_official_names.pytestmark if each.name == "parametrize"
    )
    assert {case[0] for case in mark.args[1]} == set(FUNCTIONS)


def test_the_readme_lists_every_mapped_type_and_function() -> None:
    text = (Path(checking.__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    for token in (*TYPES, *FUNCTIONS):
        _, place, name = token.split(":")
        assert f"`{place.split('/')[0]}.{name}`" in text, token
