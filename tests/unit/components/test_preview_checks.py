"""When the checks at preview ask, and when they keep quiet."""

import socket
from collections.abc import Iterator
from typing import Any

import pulumi
import pytest

from components.access import deployer
from components.access import external as external_grants
from components.access import preview as preview_checks
from components.access.deployer import Need
from components.access.google_rest import GoogleRest, RestError
from components.access.grants import grants_for
from components.access.rules import On
from components.settings import Settings, settings_from

NEED = Need(On.PROJECT, "hospital-imaging", "hospital-imaging", ("healthcare.datasets.create",), "a dataset", "roles/x")


def settings(**more: Any) -> Settings:
    base = {"project": "hospital-imaging", "location": "us", "dataset": {"name": "radiology"}}
    return settings_from({**base, **more})


class _Mocks(pulumi.runtime.Mocks):
    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        return args.name, args.inputs

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        return args.args, None


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every call of Google fail at once: what a test wants answered, it answers itself."""

    def call(*_: object) -> dict[str, Any]:
        raise RestError(0, "no network")

    monkeypatch.setattr(GoogleRest, "call", call)


@pytest.fixture
def preview() -> Iterator[None]:
    pulumi.runtime.set_mocks(_Mocks(), preview=True)
    yield
    pulumi.runtime.set_mocks(_Mocks(), preview=False)


@pytest.fixture
def lacking(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make the deployer lack a permission; the list holds the projects of the questions asked."""
    asked: list[str] = []

    def missing(settings: Settings, rest: object) -> tuple[list[Need], list[str]]:
        del rest
        asked.append(settings.project)
        return [NEED], []

    monkeypatch.setattr(deployer, "missing_permissions", missing)
    return asked


def test_a_lacking_permission_ends_the_preview_with_what_to_do(preview: None, lacking: list[str]) -> None:
    del preview, lacking
    with pytest.raises(pulumi.RunError, match="1 permission that this stack needs is lacking") as refused:
        preview_checks.check_access(settings())
    assert "ask for roles/x there" in str(refused.value)


@pytest.mark.parametrize(
    ("location", "answer", "refused"),
    [
        ("europe-west44", {"locations": [{"locationId": "europe-west4"}]}, True),
        ("europe-west4", {"locations": [{"locationId": "europe-west4"}]}, False),
        ("europe-west44", {"locations": [{"locationId": "us"}], "nextPageToken": "more"}, False),
        ("europe-west44", RestError(403, "API has not been used in project"), False),
    ],
)
def test_a_location_that_the_service_does_not_name_ends_the_preview(
    preview: None, monkeypatch: pytest.MonkeyPatch, location: str, answer: dict[str, Any] | RestError, refused: bool
) -> None:
    del preview

    def call(*_: object) -> dict[str, Any]:
        if isinstance(answer, RestError):
            raise answer
        return answer

    monkeypatch.setattr(deployer, "missing_permissions", lambda *_: ([], []))
    monkeypatch.setattr(GoogleRest, "call", call)
    wanted = settings(location=location)
    if not refused:
        preview_checks.check_access(wanted)
        return
    with pytest.raises(pulumi.RunError, match=r'imaging:location  .*"europe-west44"; did you mean "europe-west4"'):
        preview_checks.check_access(wanted)


def test_nothing_is_asked_when_the_stack_is_updated(lacking: list[str]) -> None:
    pulumi.runtime.set_mocks(_Mocks(), preview=False)
    preview_checks.check_access(settings())
    assert lacking == []


def test_nothing_is_asked_after_opting_out(preview: None, lacking: list[str]) -> None:
    del preview
    preview_checks.check_access(settings(checkPermissions=False))
    assert lacking == []


@pytest.mark.parametrize(("token", "asked"), [("anything", []), ("principal:user:a@example.org", ["hospital-imaging"])])
def test_on_the_emulator_only_a_named_principal_is_asked_about(
    preview: None, lacking: list[str], monkeypatch: pytest.MonkeyPatch, token: str, asked: list[str]
) -> None:
    del preview
    monkeypatch.setenv("GOOGLE_OAUTH_ACCESS_TOKEN", token)
    with socket.create_server(("127.0.0.1", 0)) as endpoint:
        try:
            preview_checks.check_access(settings(endpoint=f"http://127.0.0.1:{endpoint.getsockname()[1]}"))
        except pulumi.RunError:
            assert asked
    assert lacking == asked


@pytest.mark.parametrize("dry_run", [True, False])
def test_an_emulator_that_is_not_running_is_one_sentence_with_the_command_that_starts_it(dry_run: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    pulumi.runtime.set_mocks(_Mocks(), preview=dry_run)
    with pytest.raises(pulumi.RunError) as refused:
        preview_checks.check_access(settings(endpoint=f"http://127.0.0.1:{port}"))
    pulumi.runtime.set_mocks(_Mocks(), preview=False)
    assert str(refused.value) == (
        f"nothing answers at http://127.0.0.1:{port} (imaging:endpoint); start the emulator with `make emulator`"
    )


def test_a_real_token_never_gets_to_the_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    from components.base.providers import emulator_token

    monkeypatch.setenv("GOOGLE_OAUTH_ACCESS_TOKEN", "ya29.a-real-one")
    assert emulator_token() == "/dev/null/emulator"
    monkeypatch.setenv("GOOGLE_OAUTH_ACCESS_TOKEN", "principal:user:a@example.org")
    assert emulator_token() == "principal:user:a@example.org"


class TestExternalGrants:
    wanted = settings(
        grants="external",
        checkPermissions=False,
        stores=[{"name": "pacs"}],
        imports=[{"name": "archive", "store": "pacs", "from": "gs://inbox-bucket/**"}],
    )

    def answer(self, monkeypatch: pytest.MonkeyPatch, unknown: str) -> None:
        grant = grants_for(self.wanted)[0]
        missing = [external_grants.Missing(grant, "serviceAccount:a@b", "gcloud …", unknown)]
        monkeypatch.setattr(external_grants, "missing_grants", lambda *_: missing)

    def test_a_missing_grant_ends_the_preview(self, preview: None, monkeypatch: pytest.MonkeyPatch) -> None:
        del preview
        self.answer(monkeypatch, "")
        with pytest.raises(pulumi.RunError, match="1 grant is missing, and imaging:grants is external"):
            preview_checks.check_access(self.wanted)

    def test_what_is_not_known_is_a_warning(self, preview: None, monkeypatch: pytest.MonkeyPatch) -> None:
        del preview
        said: list[str] = []
        monkeypatch.setattr(pulumi.log, "warn", said.append)
        self.answer(monkeypatch, "Not found: Dataset")
        preview_checks.check_access(self.wanted)
        assert "not known whether it exists: Not found: Dataset" in said[0]

    def test_no_network_is_a_warning(self, preview: None, monkeypatch: pytest.MonkeyPatch) -> None:
        del preview
        said: list[str] = []
        monkeypatch.setattr(pulumi.log, "warn", said.append)

        def unreachable(*_: object) -> None:
            raise RestError(0, "cloudresourcemanager.googleapis.com: no such host")

        monkeypatch.setattr(external_grants, "missing_grants", unreachable)
        preview_checks.check_access(self.wanted)
        assert said == ["grants can't be checked: cloudresourcemanager.googleapis.com: no such host"]
