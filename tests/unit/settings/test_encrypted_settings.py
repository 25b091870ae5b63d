"""Which settings count as encrypted, and what is said of a mistake in one."""

from pathlib import Path
from typing import Any

import pytest

from components.settings import settings_from
from components.settings.encrypted import encrypted_paths, settings_in_file
from components.settings.origin import Origin
from components.settings.problems import Problem, SettingsError, key_of, path_of, without_values
from components.settings.warnings import settings_warnings

SECURE = {"secure": "v1:abc"}


@pytest.mark.parametrize(
    ("value", "in_file", "paths"),
    [
        ([{"name": "a", "to": "gs://b/c"}], [{"name": "a", "to": SECURE}], {("exports", 0, "to")}),
        ([{"name": "a"}, {"name": "b"}], [{"name": "a"}, {"name": SECURE}], {("exports", 1, "name")}),
        # The whole, where nothing of it stands in clear.
        ([{"name": "a"}], SECURE, {("exports",)}),
        # Another value than the one in use tells nothing: it may come from elsewhere.
        ([{"name": "a", "trigger": "b"}], [{"name": "a", "trigger": "c"}], {("exports", 0, "trigger")}),
        ([{"name": "a"}, {"name": "b"}], [{"name": "a"}], {("exports",)}),
        ([{"name": "a", "trigger": "b"}], [{"name": "a"}], {("exports", 0)}),
        # Pulumi says that something is encrypted, and the file that nothing is: then all of it counts.
        ([{"name": "a"}], [{"name": "a"}], {("exports",)}),
        # A number isn't the text of it.
        ([{"allowedFailures": 1}], [{"allowedFailures": "1"}], {("exports", 0, "allowedFailures")}),
        ([{"views": True}], [{"views": 1}], {("exports", 0, "views")}),
    ],
)
def test_what_does_not_stand_in_clear_at_its_place_is_encrypted(value: Any, in_file: Any, paths: set[Any]) -> None:
    assert encrypted_paths({"exports": value}, {"exports": in_file}) == paths


def test_without_the_stacks_file_everything_below_the_key_is_encrypted(tmp_path: Path) -> None:
    assert settings_in_file(str(tmp_path), "dev", "imaging") == {}
    assert encrypted_paths({"exports": [{"name": "a"}]}, {}) == {("exports",)}


@pytest.mark.parametrize("text", ["[", "- a", "config: 1", "config: {imaging:x: {secure: v1:a}}\n\x00"])
def test_a_file_that_is_none_tells_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "Pulumi.dev.yaml").write_text(text)
    assert settings_in_file(str(tmp_path), "dev", "imaging") == {}


def test_the_stacks_file_is_read_in_one_namespace(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.dev.yaml").write_text("config:\n  imaging:location: eu\n  gcp:project: p\n")
    assert settings_in_file(str(tmp_path), "dev", "imaging") == {"location": "eu"}


@pytest.mark.parametrize("path", [("exports", 0, "to"), ("location",), ("stores", 12, "streams", 3, "table")])
def test_a_key_and_its_path_are_the_same(path: tuple[str | int, ...]) -> None:
    assert path_of(key_of(path)) == path


@pytest.mark.parametrize("path", [("exports", 0), ("exports", 0, "to"), ("exports",), ("exports", 0, "to", "x")])
def test_an_encrypted_setting_counts_for_what_it_is_in_and_what_is_in_it(path: tuple[str | int, ...]) -> None:
    assert Origin(encrypted=frozenset({("exports", 0, "to")})).is_encrypted(*path)


@pytest.mark.parametrize("path", [("exports", 1), ("exports", 0, "name"), ("imports",)])
def test_an_encrypted_setting_counts_for_no_other(path: tuple[str | int, ...]) -> None:
    assert not Origin(encrypted=frozenset({("exports", 0, "to")})).is_encrypted(*path)


def test_mistakes_are_named_without_the_values_of_encrypted_settings() -> None:
    origin = Origin(encrypted=frozenset({("exports", 0, "to")}))
    raw = {"exports": [{"to": 'bq://"doe"'}, {"to": "bq://roe"}]}
    problems = [
        Problem("imaging:exports[0].to", '"bq://\\"doe\\"" names no table; write bq://P.D.T'),
        Problem("imaging:exports[1].to", '"bq://roe" names no table; did you mean "bq://\\"doe\\""?'),
        Problem("imaging:exports[1].to", '"bq://roe" names no table'),
    ]
    shown = [each.text for each in without_values(problems, origin, raw)]
    assert shown[0] == "[secret] names no table; write bq://P.D.T"
    assert "doe" not in shown[1]
    assert shown[2] == '"bq://roe" names no table'


KEPT = {
    "project": "hospital-imaging",
    "location": "eu",
    "dataset": {"name": "radiology"},
    "stores": [
        {
            "name": "pacs",
            "notifications": [{"topic": "projects/hospital-imaging/topics/dicom"}],
        }
    ],
    "topics": [{"name": "dicom"}],
    "imports": [{"name": "doe-archive", "store": "pacs", "from": "gs://doe-bucket/**"}],
    "buckets": [{"name": "doe-bucket", "retention": {"for": "77d", "locked": True}}],
}


@pytest.mark.parametrize(
    ("path", "hidden"),
    [
        (("buckets", 0, "retention", "for"), "77 d"),
        (("buckets", 0, "name"), "of doe-bucket"),
        (("imports", 0, "name"), "doe-archive"),
    ],
)
def test_a_warning_names_no_encrypted_setting_beside_its_own(path: tuple[str | int, ...], hidden: str) -> None:
    def said(origin: Origin) -> list[str]:
        warnings = settings_warnings(settings_from(KEPT).of(origin))
        return [each.text for each in without_values(warnings, origin, KEPT)]

    encrypted = said(Origin(encrypted=frozenset({path})))
    assert [hidden in text for text in said(Origin())].count(True) == 1
    assert not any(hidden in text for text in encrypted)
    assert sum("[secret]" in text for text in encrypted) == 1


def test_a_time_that_is_not_possible_is_hidden_where_it_is_encrypted() -> None:
    raw = {**KEPT, "buckets": [{"name": "doe-bucket", "retention": {"for": "40007d"}}]}
    with pytest.raises(SettingsError) as refused:
        settings_from(raw)
    origin = Origin(encrypted=frozenset({("buckets", 0, "retention", "for")}))
    [shown] = without_values(refused.value.problems, origin, raw)
    assert shown.text.startswith("[secret] is not possible")
