"""When the checks before a preview or an update ask, when they warn, when they refuse, and when they keep quiet."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pulumi
import pytest

from components.access import deployer
from components.access import external as external_grants
from components.access import preview as preview_checks
from components.access.google_rest import GoogleRest, RestError
from components.access.grants import grants_for
from components.access.needs import Level, Need
from components.access.rules import On
from components.settings import Settings, settings_from
from components.settings.origin import Origin

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


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", said.append)
    return said


def test_what_only_an_up_needs_is_a_warning_in_a_preview(preview: None, lacking: list[str], warned: list[str]) -> None:
    del preview, lacking
    preview_checks.check_access(settings())
    (said,) = warned
    assert said.splitlines() == [
        "the identity of this preview does not have 1 permission that `pulumi up` needs",
        "  project hospital-imaging: healthcare.datasets.create",
        "    for  a dataset",
        "    fix  grant roles/x there to the identity that deploys",
    ]


def test_what_a_preview_needs_ends_it(preview: None, monkeypatch: pytest.MonkeyPatch) -> None:
    del preview
    need = replace(NEED, permissions=("resourcemanager.projects.get",), level=Level.PREVIEW)
    monkeypatch.setattr(deployer, "missing_permissions", lambda *_: ([need], []))
    with pytest.raises(pulumi.RunError, match="1 permission that this stack needs is missing") as refused:
        preview_checks.check_access(settings())
    assert "resourcemanager.projects.get" in str(refused.value)


@pytest.mark.parametrize("level", [Level.UP, Level.PREVIEW])
def test_an_update_that_misses_a_permission_is_refused_before_anything_is_declared(
    monkeypatch: pytest.MonkeyPatch, level: Level
) -> None:
    pulumi.runtime.set_mocks(_Mocks(), preview=False)
    monkeypatch.setattr(deployer, "missing_permissions", lambda *_: ([replace(NEED, level=level)], []))
    with pytest.raises(pulumi.RunError, match="1 permission that this stack needs is missing") as refused:
        preview_checks.check_access(settings())
    assert "grant this identity roles/x there" in str(refused.value)


@pytest.mark.parametrize("level", [Level.MAYBE, Level.OPTIONAL])
def test_what_may_be_held_elsewhere_or_is_optional_never_ends_anything(
    monkeypatch: pytest.MonkeyPatch, warned: list[str], level: Level
) -> None:
    need = replace(NEED, level=level, lost="the reasons stay unknown")
    monkeypatch.setattr(deployer, "missing_permissions", lambda *_: ([need], []))
    for in_preview in (False, True):
        pulumi.runtime.set_mocks(_Mocks(), preview=in_preview)
        preview_checks.check_access(settings())
    pulumi.runtime.set_mocks(_Mocks(), preview=False)
    (said,) = warned
    assert ("the reasons stay unknown" in said) is (level is Level.OPTIONAL)
    assert ("it is not known" in said) is (level is Level.MAYBE)


@pytest.mark.parametrize("in_preview", [False, True])
def test_a_project_without_resource_manager_is_one_sentence_with_the_command(
    monkeypatch: pytest.MonkeyPatch, in_preview: bool
) -> None:
    reason = (
        "project hospital-imaging: Cloud Resource Manager API has not been used in project 4711 before or it is "
        "disabled. Enable it by visiting … then retry."
    )
    monkeypatch.setattr(deployer, "missing_permissions", lambda *_: ([], [reason]))
    pulumi.runtime.set_mocks(_Mocks(), preview=in_preview)
    with pytest.raises(pulumi.RunError) as refused:
        preview_checks.check_access(settings())
    pulumi.runtime.set_mocks(_Mocks(), preview=False)
    assert "\n" not in str(refused.value)
    assert (
        "`gcloud services enable cloudresourcemanager.googleapis.com serviceusage.googleapis.com --project=4711`"
        in str(refused.value)
    )


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

    @pytest.mark.parametrize("unknown", ["", "Not found: inbox-bucket"])
    def test_neither_refusal_nor_warning_shows_an_encrypted_setting(
        self, preview: None, monkeypatch: pytest.MonkeyPatch, unknown: str
    ) -> None:
        del preview
        said: list[str] = []
        monkeypatch.setattr(pulumi.log, "warn", said.append)
        missing = [
            external_grants.Missing(grant, "serviceAccount:a@b", f"gcloud {grant.target.name}", unknown)
            for grant in grants_for(self.wanted)
            if grant.target.on is On.BUCKET
        ]
        monkeypatch.setattr(external_grants, "missing_grants", lambda *_: missing)
        secret = self.wanted.of(Origin("o/p/s", frozenset({("imports", 0, "from")})))
        try:
            preview_checks.check_access(secret)
        except pulumi.RunError as error:
            said.append(str(error))
        [text] = said
        assert "inbox-bucket" not in text
        assert "archive" not in text
        assert "pulumi config get --path 'imaging:imports[0]'" in text

    def test_an_error_that_names_a_secret_project_is_told_without_it(
        self, preview: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        del preview
        said: list[str] = []
        monkeypatch.setattr(pulumi.log, "warn", said.append)
        key = "projects/hospital-imaging/locations/eu/keyRings/r/cryptoKeys/k"
        elsewhere = settings(
            grants="external",
            checkPermissions=False,
            buckets=[{"name": "out-bucket", "project": "doe-project", "kmsKey": key}],
        )

        def refused(*_: object) -> None:
            raise RestError(403, "Permission denied on project doe-project")

        monkeypatch.setattr(external_grants, "missing_grants", refused)
        preview_checks.check_access(elsewhere)
        preview_checks.check_access(elsewhere.of(Origin("o/p/s", frozenset({("buckets", 0, "project")}))))
        assert "doe-project" in said[0]
        assert said[1] == "grants can't be checked: HTTP 403 on a project that secret settings name"

    def test_no_network_is_a_warning(self, preview: None, monkeypatch: pytest.MonkeyPatch) -> None:
        del preview
        said: list[str] = []
        monkeypatch.setattr(pulumi.log, "warn", said.append)

        def unreachable(*_: object) -> None:
            raise RestError(0, "cloudresourcemanager.googleapis.com: no such host")

        monkeypatch.setattr(external_grants, "missing_grants", unreachable)
        preview_checks.check_access(self.wanted)
        assert said == ["grants can't be checked: cloudresourcemanager.googleapis.com: no such host"]
