"""What is used of Pulumi that it does not offer: it is there in the installed SDK, and its absence is said."""

import asyncio
from collections.abc import Awaitable
from importlib import metadata
from typing import Any

import pulumi
import pytest
from pulumi.runtime import config as pulumi_config

from components.base.internals import output_of, whole_configuration


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", said.append)
    return said


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG", '{"imaging:location": "EU", "gcp:project": "p"}')


async def later(value: Any) -> Any:
    return value


async def resolved(value: Awaitable[Any], *, known: bool, secret: bool) -> tuple[Any, bool, bool, Any]:
    output = output_of(value, later(known), later(secret))
    return await output.future(), await output.is_known(), await output.is_secret(), await output.resources()


@pytest.mark.usefixtures("configured")
def test_the_installed_sdk_hands_over_the_whole_configuration(warnings: list[str]) -> None:
    token = pulumi_config.CONFIG.set({"imaging:location": "US", "imaging:stores": "[]"})
    try:
        assert whole_configuration() == {"imaging:location": "US", "gcp:project": "p", "imaging:stores": "[]"}
    finally:
        pulumi_config.CONFIG.reset(token)
    assert warnings == []


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize("becomes", [None, {}, object()])
def test_an_sdk_that_keeps_the_configuration_elsewhere_is_named_and_the_public_part_is_read(
    becomes: Any, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulumi_config, "CONFIG", becomes)
    assert whole_configuration() == {"imaging:location": "EU", "gcp:project": "p"}
    (said,) = warnings
    assert f"Pulumi's Python SDK {metadata.version('pulumi')}: settings of an inline program" in said


@pytest.mark.parametrize(("known", "secret"), [(True, False), (False, False), (True, True)])
def test_an_output_that_comes_from_no_resource_keeps_whether_it_is_known_and_secret(
    known: bool, secret: bool, warnings: list[str]
) -> None:
    assert asyncio.run(resolved(later("x"), known=known, secret=secret)) == ("x", known, secret, set())
    assert warnings == []


def test_an_sdk_whose_outputs_are_made_otherwise_is_named(warnings: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Later(pulumi.Output[Any]):
        def __init__(self, data: Any) -> None:
            raise AssertionError(data)

    monkeypatch.setattr(pulumi, "Output", Later)
    assert asyncio.run(resolved(later("x"), known=True, secret=False))[0] == "x"
    (said,) = warnings
    assert metadata.version("pulumi") in said
