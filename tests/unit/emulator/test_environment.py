"""The shell exports of `python -m emulator env`."""

import os
import re
from pathlib import Path

import pytest

from emulator.__main__ import main
from emulator.core.environment import TOKEN, VARIABLES
from operations.google.connection import EMULATOR_TOKEN

ROOT = Path(__file__).parents[3]
# What Google's provider reads "as a path or its contents":
# https://registry.terraform.io/providers/hashicorp/google/latest/docs/guides/provider_reference
PATH_OR_CONTENTS = (
    "GOOGLE_OAUTH_ACCESS_TOKEN",
    "GOOGLE_CREDENTIALS",
    "GOOGLE_CLOUD_KEYFILE_JSON",
    "GCLOUD_KEYFILE_JSON",
    "accessToken",
    "access_token",
    "gcp:credentials",
)
WRITTEN = re.compile(
    rf"""(?:{"|".join(PATH_OR_CONTENTS)})["']?\s*[:=]\s*(?P<quote>["']?)(?P<text>[\w./~:@-]+)(?P=quote)(?=[\s,;)}}\]]|$)"""
)


def _exports(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, str]:
    assert main(["env", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    return dict(line.removeprefix("export ").split("=", 1) for line in lines)


def test_nothing_is_the_default_of_commands_unless_it_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    named = set(_exports(capsys)) & {"CLOUDSDK_CORE_PROJECT", "CLOUDSDK_HEALTHCARE_LOCATION"}
    assert named == set()


def test_what_is_named_becomes_the_property_of_gcloud(capsys: pytest.CaptureFixture[str]) -> None:
    # https://cloud.google.com/sdk/docs/properties: CLOUDSDK_SECTION_PROPERTY
    exports = _exports(capsys, "--port", "1", "--project", "hospital", "--location", "europe-west4", "--dataset", "d")
    assert exports["CLOUDSDK_CORE_PROJECT"] == "hospital"
    assert exports["CLOUDSDK_HEALTHCARE_LOCATION"] == "europe-west4"
    assert exports["CLOUDSDK_HEALTHCARE_DATASET"] == "d"
    assert exports["CLOUDSDK_API_ENDPOINT_OVERRIDES_HEALTHCARE"] == "http://127.0.0.1:1/"


@pytest.mark.parametrize("token", [TOKEN, EMULATOR_TOKEN])
def test_the_token_can_not_be_the_name_of_anything(token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A token that is a path is read as a file: `emulator` was the name of a folder of this checkout.
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotADirectoryError):
        Path(token).touch()
    with pytest.raises(OSError):
        Path(token).mkdir(parents=True)
    assert not Path(token).exists()


def test_all_parts_of_the_project_send_one_token() -> None:
    assert {VARIABLES["GOOGLE_OAUTH_ACCESS_TOKEN"], VARIABLES["CLOUDSDK_AUTH_ACCESS_TOKEN"]} == {EMULATOR_TOKEN}


def test_no_variable_that_is_read_as_a_path_names_something_of_the_checkout() -> None:
    read = {name: value for name, value in VARIABLES.items() if name in PATH_OR_CONTENTS}
    assert read
    assert [name for name, value in read.items() if _exists(value)] == []


def test_no_text_that_is_read_as_a_path_names_something_of_the_checkout() -> None:
    kinds = (".py", ".md", ".yaml", ".yml", ".sh", ".ts", ".toml", ".json")
    skipped = {".git", ".venv", ".local", "node_modules", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [each for each in folders if each not in skipped]
        # This file has wrong examples.
        for path in (Path(folder) / name for name in names if name.endswith(kinds) or name == "Makefile"):
            if path == Path(__file__).resolve():
                continue
            found += [(path, match["text"]) for match in WRITTEN.finditer(path.read_text(encoding="utf-8"))]
    assert len(found) > 3, "the pattern no longer finds how tokens are written"
    assert [(str(path), text) for path, text in found if _exists(text)] == []


@pytest.mark.parametrize(
    "line",
    [
        "GOOGLE_OAUTH_ACCESS_TOKEN=emulator",
        '"GOOGLE_OAUTH_ACCESS_TOKEN": "emulator",',
        'access_token="emulator")',
        "gcp:accessToken: emulator",
        "gcp:credentials: emulator/__main__.py",
    ],
)
def test_the_pattern_sees_a_token_however_it_is_written(line: str) -> None:
    match = WRITTEN.search(line)
    assert match and _exists(match["text"])


def _exists(text: str) -> bool:
    return any((folder / text).exists() for folder in (ROOT, *(each for each in ROOT.iterdir() if each.is_dir())))
