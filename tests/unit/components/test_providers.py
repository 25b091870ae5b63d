"""The Google providers: one for each project, with all that is configured, and nothing of it for an emulator."""

import json
from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_gcp as gcp
import pytest

from components.base.providers import ACCOUNT, FLAGS, OBJECTS, Providers
from components.settings import settings_from
from operations.google.connection import EMULATOR_TOKEN
from tests.unit.components.conftest import Program

Run = Callable[..., Program]
LEAST = {"project": "hospital-imaging", "location": "europe-west4", "dataset": {"name": "radiology"}}
ACCOUNT_OF_RESEARCH = "deployer@research-analytics.iam.gserviceaccount.com"
SECRET = "4dabf18193072939515e22adb298388d"
CONFIGURED = {
    "credentials": '{"type": "service_account"}',
    "accessToken": "ya29.real",
    "impersonateServiceAccountDelegates": ["a@p.iam.gserviceaccount.com"],
    "defaultLabels": {"env": "prod"},
    "addPulumiAttributionLabel": False,
    "healthcareCustomEndpoint": "https://europe-west4-healthcare.googleapis.com/v1beta1/",
    "region": "europe-west4",
    "userProjectOverride": True,
}


@pytest.fixture
def configured() -> None:
    """A `gcp:` configuration, its credentials encrypted."""
    values = {f"gcp:{key}": each if isinstance(each, str) else json.dumps(each) for key, each in CONFIGURED.items()}
    pulumi.runtime.set_all_config(values, ["gcp:credentials", "gcp:accessToken"])


@pytest.fixture(autouse=True)
def _forget_the_configuration() -> Any:
    yield
    pulumi.runtime.set_all_config({})


def providers_of(run: Run, *projects: str | None, **settings: Any) -> dict[str, dict[str, Any]]:
    def declare() -> None:
        providers = Providers(settings_from({**LEAST, **settings}))
        for project in projects:
            providers.for_project(project)

    return {each.name: dict(each.inputs) for each in run(declare).all("pulumi:providers:gcp")}


def plain(value: Any) -> Any:
    """A value as the engine is given it: a secret is marked, objects are JSON in text."""
    if isinstance(value, dict) and SECRET in value:
        value = value["value"]
    return json.dumps(value) if not isinstance(value, str) else value


def test_each_project_has_one_with_all_that_is_configured(run: Run, configured: None) -> None:
    del configured
    research = {"name": "research-analytics", "impersonate": ACCOUNT_OF_RESEARCH}
    made = providers_of(run, None, "research-analytics", "hospital-imaging", "research-analytics", projects=[research])
    assert set(made) == {"google-hospital-imaging", "google-research-analytics"}
    expected = {key: plain(each) for key, each in CONFIGURED.items()}
    for name, more in (
        ("hospital-imaging", {}),
        ("research-analytics", {"impersonateServiceAccount": ACCOUNT_OF_RESEARCH}),
    ):
        found = {key: plain(each) for key, each in made[f"google-{name}"].items()}
        assert found == {**expected, **more, "project": name}
        for key in ("credentials", "accessToken"):
            assert SECRET in made[f"google-{name}"][key], key


def test_nothing_of_the_account_reaches_an_emulator(
    run: Run, configured: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    del configured
    monkeypatch.setenv("GOOGLE_OAUTH_ACCESS_TOKEN", "ya29.real")
    research = {"name": "research-analytics", "impersonate": ACCOUNT_OF_RESEARCH}
    made = providers_of(run, None, "research-analytics", projects=[research], endpoint="http://127.0.0.1:8085")
    for name, inputs in made.items():
        assert inputs["accessToken"]["value"] == EMULATOR_TOKEN
        assert inputs["healthcareCustomEndpoint"] == "http://127.0.0.1:8085/v1beta1/"
        assert "ya29.real" not in json.dumps(inputs), name
        assert not {"credentials", "impersonateServiceAccount", "userProjectOverride"} & set(inputs)
        assert plain(inputs["defaultLabels"]) == plain(CONFIGURED["defaultLabels"])


def test_grants_on_a_bucket_that_is_not_declared_use_the_provider_of_its_project() -> None:
    from components.access.grants import bucket_target

    research = {"name": "research-analytics", "impersonate": ACCOUNT_OF_RESEARCH, "buckets": ["research-inbox"]}
    settings = settings_from({**LEAST, "projects": [research]})
    assert bucket_target(settings, "research-inbox").project == "research-analytics"
    assert bucket_target(settings, "somebody-elses").project is None


def test_the_providers_arguments_are_read_as_what_they_are() -> None:
    kinds = {
        name: str(each.fget.__annotations__["return"])
        for name, each in vars(gcp.ProviderArgs).items()
        if isinstance(each, property) and each.fget
    }
    assert {name for name, kind in kinds.items() if "bool" in kind} == FLAGS
    assert {
        name for name, kind in kinds.items() if "bool" not in kind and not kind.startswith("typing.Union[str")
    } == OBJECTS
    assert set(kinds) >= ACCOUNT
