"""The shell exports of `python -m emulator env`."""

import pytest

from emulator.__main__ import main


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
