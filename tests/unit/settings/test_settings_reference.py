"""The reference page, the JSON Schema and Pulumi.yaml say what the models say."""

import importlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pulumi.runtime import config as pulumi_config

from components.settings import Settings, load_settings, settings_from
from components.settings_docs import DOCS, files, stack_file_schema

yaml: Any = importlib.import_module("yaml")  # it has no type stubs
ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("name", files())
def test_generated_documents_are_current(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == files()[name], "run python -m components.settings_docs"


def test_pulumi_yaml_documents_every_setting_and_no_other() -> None:
    project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text(encoding="utf-8"))
    expected = [f"imaging:{field.alias or name}" for name, field in Settings.model_fields.items() if name != "project"]
    assert list(project["config"]) == expected
    assert all(entry["description"] for entry in project["config"].values())


def test_the_defaults_of_pulumi_yaml_are_those_of_the_models() -> None:
    project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text(encoding="utf-8"))
    needed = {"project": "hospital-imaging", "location": "europe-west4", "dataset": {"name": "radiology"}}
    defaults = {key.removeprefix("imaging:"): entry["default"] for key, entry in project["config"].items()}
    assert settings_from({**defaults, **needed}) == settings_from(needed)


def test_the_demo_stack_is_valid() -> None:
    config = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text(encoding="utf-8"))["config"]
    # Pulumi hands every value to the program as text, mappings and lists as JSON.
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
    token = pulumi_config.CONFIG.set(texts)
    try:
        settings = load_settings()
    finally:
        pulumi_config.CONFIG.reset(token)
    assert settings.endpoint == "http://127.0.0.1:8085"
    assert settings.deletion_protection is False


def test_the_schema_requires_what_the_models_require() -> None:
    config = stack_file_schema()["properties"]["config"]
    assert config["required"] == ["gcp:project", "imaging:location", "imaging:dataset"]


def test_the_schema_takes_encrypted_text() -> None:
    location = stack_file_schema()["properties"]["config"]["properties"]["imaging:location"]
    assert {"$ref": "#/$defs/Secret"} in location["anyOf"]


def test_every_setting_is_described() -> None:
    undescribed: list[str] = []

    def visit(model: Any) -> None:
        for name, field in model.model_fields.items():
            if not field.description:
                undescribed.append(f"{model.__name__}.{name}")
            for argument in (field.annotation, *getattr(field.annotation, "__args__", ())):
                if hasattr(argument, "model_fields"):
                    visit(argument)

    visit(Settings)
    assert undescribed == []


class TestTheSchemaAsAnEditorReadsIt:
    """A small reading of JSON Schema: the keywords that the document uses, and none that it doesn't."""

    KINDS: ClassVar[dict[str, type | tuple[type, ...]]] = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "null": type(None),
    }
    SILENT: ClassVar[set[str]] = {"$schema", "$defs", "title", "description", "default", "examples", "minimum"}

    def accepts(self, schema: Any, value: Any, root: Any) -> bool:
        checks: dict[str, Callable[[Any], bool]] = {
            "$ref": lambda ref: self.accepts(root["$defs"][ref.rsplit("/", 1)[-1]], value, root),
            "type": lambda kind: isinstance(value, self.KINDS[kind]),
            "enum": lambda allowed: value in allowed,
            "const": lambda only: value == only,
            "not": lambda other: not self.accepts(other, value, root),
            "pattern": lambda pattern: not isinstance(value, str) or re.search(pattern, value) is not None,
            "anyOf": lambda several: any(self.accepts(each, value, root) for each in several),
            "items": lambda item: not isinstance(value, list) or all(self.accepts(item, each, root) for each in value),
            "required": lambda names: not isinstance(value, dict) or set(names) <= set(value),
            "propertyNames": lambda names: all(self.accepts(names, key, root) for key in value),
            "properties": lambda known: all(
                self.accepts(known[key], value[key], root) for key in value if key in known
            ),
            "additionalProperties": lambda rest: self._rest(schema, rest, value, root),
        }
        return all(checks[keyword](given) for keyword, given in schema.items() if keyword not in self.SILENT)

    def _rest(self, schema: Any, rest: Any, value: Any, root: Any) -> bool:
        if not isinstance(value, dict):
            return True
        unknown = [value[key] for key in value if key not in schema.get("properties", {})]
        if isinstance(rest, bool):
            return rest or not unknown
        return all(self.accepts(rest, each, root) for each in unknown)

    def stack_file(self, **more: Any) -> dict[str, Any]:
        file: dict[str, Any] = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text(encoding="utf-8"))
        file["config"].update({f"imaging:{key}": value for key, value in more.items()})
        return file

    def test_the_demo_stack_passes(self) -> None:
        schema = stack_file_schema()
        assert self.accepts(schema, self.stack_file(), schema)

    def test_encrypted_text_passes(self) -> None:
        schema = stack_file_schema()
        store = {"name": "pacs", "readers": [{"secure": "v1:abc"}]}
        assert self.accepts(schema, self.stack_file(stores=[store]), schema)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"export": []},
            {"stores": [{"nam": "pacs"}]},
            {"stores": [{"labels": {}}]},
            {"exports": [{"name": "a", "store": "pacs", "to": "gs://out/", "writeDisposition": "WRITE"}]},
            {"deletionProtection": "no"},
            {"buckets": {"name": "inbox"}},
        ],
    )
    def test_a_mistake_does_not_pass(self, wrong: dict[str, Any]) -> None:
        schema = stack_file_schema()
        assert not self.accepts(schema, self.stack_file(**wrong), schema)
