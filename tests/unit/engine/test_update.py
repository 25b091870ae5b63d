"""Which release of the Pulumi CLI is built: it follows the SDK of the lock file."""

import os
from pathlib import Path

import pytest

from engine import EngineError, build, update

LISTED = (
    "github.com/pulumi/pulumi/pkg/v3 v2.9.9 v3.100.2 v3.272.0 v3.272.1-alpha.1 v3.274.0 v3.274.1 v3.300.0-rc.1 v4.0.0"
)


def test_a_lock_file_without_the_sdk_is_refused() -> None:
    with pytest.raises(EngineError, match=r"requirements\.lock does not pin pulumi"):
        update.sdk_version("pulumi_gcp==10.2.0\n")


def test_only_releases_of_the_line_that_are_not_older_than_the_sdk_are_candidates() -> None:
    sdk = update.sdk_version("pulumi_gcp==10.2.0\npulumi==3.272.0\n")
    assert update.candidates(LISTED, sdk) == ["v3.274.1", "v3.274.0", "v3.272.0"]


def test_what_is_built_now_fits_the_sdk_that_is_locked() -> None:
    sdk = update.sdk_version(update.LOCK_FILE.read_text(encoding="utf-8"))
    assert update.candidates(build.version(), sdk) == [build.version()]


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of engine/cli, with a `go` that lists two newer releases and has only the older of them."""
    folder = tmp_path / "cli"
    folder.mkdir()
    (folder / "go.mod").write_text(f"require (\n\t{build.MODULE} v3.272.0 // indirect\n)\n")
    (folder / "go.sum").write_text("")
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text(
        "#!/bin/sh\n"
        'case "$1 $3" in\n'
        f'"list -versions") echo {build.MODULE} v3.272.0 v3.274.0 v3.274.1;;\n'
        f'"get {build.PACKAGE}@v3.274.0") echo "{build.MODULE} v3.274.0" > go.mod; echo new > go.sum;;\n'
        '*) echo "go: reading: 403 Forbidden" >&2; exit 1;;\n'
        "esac\n"
    )
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{go.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(build, "CLI_SOURCE", folder)
    lock = tmp_path / "requirements.lock"
    lock.write_text("pulumi==3.272.0\n")
    monkeypatch.setattr(update, "LOCK_FILE", lock)
    return folder


def test_a_release_that_is_listed_but_not_served_is_passed_over(sources: Path) -> None:
    assert update.update() == "v3.274.0"
    assert build.version() == "v3.274.0"
    assert (sources / "go.sum").read_text() == "new\n"


def test_where_no_release_fits_the_files_stay_and_each_refusal_is_shown(sources: Path) -> None:
    update.LOCK_FILE.write_text("pulumi==3.274.1\n")
    before = (sources / "go.mod").read_text()
    with pytest.raises(EngineError, match=r"(?s)no release .* fits the SDK.*v3\.274\.1: go: reading: 403 Forbidden"):
        update.update()
    assert (sources / "go.mod").read_text() == before
