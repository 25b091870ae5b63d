"""Where an engine comes from, in which order, and what a person is told when none can be had."""

from __future__ import annotations

import fcntl
import io
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from engine import EngineError, build, environment, find, install, locate, obtain, path_only, places, standins
from engine.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.places import Places

NOBODY = "http://127.0.0.1:9/"
"""The discard port of this machine: refused at once."""

FAKE_GO = """#!/bin/sh
# Stands for `go`: `list` names two packages, `build` writes the file after -o.
[ "$1" = list ] && { echo a/b; echo c/d; exit 0; }
echo "$@" >> "$GO_CALLS"
while [ $# -gt 1 ]; do [ "$1" = -o ] && out=$2; shift; done
echo github.com/pulumi/pulumi/pkg/v3/cmd/pulumi
[ -n "$GO_FAILS" ] && { echo "go: no such module" >&2; exit 1; }
[ -n "$GO_SLOW" ] && sleep 0.3
echo '#!/bin/sh' > "$out"; chmod +x "$out"
"""


def _executable(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def _official(folder: Path) -> Path:
    for name in ("pulumi", locate.LANGUAGE_HOST, locate.DYNAMIC_PROVIDER):
        _executable(folder / name)
    return folder


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """A machine with neither Pulumi nor Go."""
    (tmp_path / "home").mkdir()
    return {"PATH": str(tmp_path / "empty"), "HOME": str(tmp_path / "home")}


@pytest.fixture
def checkout(tmp_path: Path) -> Places:
    return places(tmp_path / "checkout")


@pytest.fixture
def with_go(tmp_path: Path, machine: dict[str, str]) -> dict[str, str]:
    """A machine with a `go` that builds at once."""
    _executable(tmp_path / "go-bin" / "go", FAKE_GO)
    return {**machine, "PATH": f"{tmp_path / 'go-bin'}:/usr/bin:/bin", "GO_CALLS": str(tmp_path / "calls")}


def _ensure(checkout: Places, environ: dict[str, str], installer: str = NOBODY) -> tuple[locate.Engine, str]:
    said = io.StringIO()
    engine = obtain.ensure(checkout.root, progress=Progress(said), environ=environ, installer=installer)
    return engine, said.getvalue()


# Failures


def test_without_pulumi_and_go_one_sentence_says_what_to_install(checkout: Places, machine: dict[str, str]) -> None:
    with pytest.raises(EngineError) as refused:
        _ensure(checkout, machine)
    assert str(refused.value) == build.MISSING_GO
    assert "\n" not in str(refused.value)


def test_a_failed_build_shows_the_end_of_its_log_and_leaves_nothing_half_done(
    checkout: Places, with_go: dict[str, str]
) -> None:
    with pytest.raises(EngineError) as refused:
        _ensure(checkout, {**with_go, "GO_FAILS": "1"})
    assert "go: no such module" in str(refused.value)
    assert str(checkout.build_log) in str(refused.value)
    assert "go: no such module" in checkout.build_log.read_text()
    assert sorted(path.name for path in checkout.engine.iterdir()) == ["build.log", "lock"]


def test_the_environment_of_a_checkout_without_an_engine_says_how_to_get_one(
    checkout: Places, machine: dict[str, str]
) -> None:
    with pytest.raises(EngineError, match="make setup"):
        environment(checkout.root, machine)


def test_a_command_line_error_is_one_line_without_a_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "engine", "--root", str(tmp_path), "where"],
        env={"PATH": "", "HOME": str(tmp_path)},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: there is no Pulumi engine yet")
    assert done.stderr.count("\n") == 1


def test_a_pulumi_without_its_python_language_host_is_passed_over_with_a_word(
    checkout: Places, with_go: dict[str, str], tmp_path: Path
) -> None:
    lone = _executable(tmp_path / "lone" / "pulumi")
    engine, said = _ensure(checkout, {**with_go, "PATH": f"{lone.parent}:{with_go['PATH']}"})
    assert engine.origin == "built here"
    assert f"{lone} has no Python language host beside it" in said


def test_an_installer_that_fails_is_not_the_end(checkout: Places, with_go: dict[str, str], website: Website) -> None:
    website.script = b"#!/bin/sh\necho no space left >&2; exit 3\n"
    engine, said = _ensure(checkout, with_go, website.url)
    assert engine.origin == "built here"
    assert "no space left" in said


def test_a_page_that_is_no_script_is_not_run(checkout: Places, with_go: dict[str, str], website: Website) -> None:
    website.script = b"<html>blocked</html>"
    engine, _ = _ensure(checkout, with_go, website.url)
    assert engine.origin == "built here"


# The order of search


def test_an_official_engine_on_the_path_comes_first(checkout: Places, machine: dict[str, str], tmp_path: Path) -> None:
    on_path = _official(tmp_path / "bin")
    _official(Path(machine["HOME"]) / ".pulumi" / "bin")
    found = find(checkout, {**machine, "PATH": f"{tmp_path / 'empty'}:{on_path}"})
    assert found == locate.Engine(on_path, "PATH", official=True)


def test_the_persons_own_installation_comes_next(checkout: Places, machine: dict[str, str]) -> None:
    own = _official(Path(machine["HOME"]) / ".pulumi" / "bin")
    _official(checkout.installed / "bin")
    assert find(checkout, machine) == locate.Engine(own, "~/.pulumi/bin", official=True)


def test_an_engine_that_the_installer_put_here_comes_before_one_that_was_built(
    checkout: Places, machine: dict[str, str]
) -> None:
    _executable(build.directory(checkout) / "pulumi")
    _official(checkout.installed / "bin")
    found = find(checkout, machine)
    assert found
    assert found.origin == "official installer"


def test_the_engine_built_here_does_not_pass_for_an_official_one_when_it_is_on_the_path(
    checkout: Places, machine: dict[str, str]
) -> None:
    built = _official(build.directory(checkout))
    found = find(checkout, {**machine, "PATH": str(built)})
    assert found == locate.Engine(built, "built here", official=False)


def test_the_installer_is_run_into_the_checkout_with_the_version_that_would_be_built(
    checkout: Places, machine: dict[str, str], website: Website
) -> None:
    website.script = (
        b"#!/bin/sh\n"
        b'while [ $# -gt 1 ]; do [ "$1" = --install-root ] && root=$2; [ "$1" = --version ] && v=$2; shift; done\n'
        b'mkdir -p "$root/bin"; echo "$v" > "$root/version"\n'
        b"for n in pulumi pulumi-language-python pulumi-resource-pulumi-python; do\n"
        b'  echo "#!/bin/sh" > "$root/bin/$n"; chmod +x "$root/bin/$n"; done\n'
    )
    _executable(Path(machine["PATH"]) / standins.GCP_PLUGIN)
    engine, _ = _ensure(checkout, machine, website.url)
    assert engine == locate.Engine(checkout.installed / "bin", "official installer", official=True)
    assert f"v{(checkout.installed / 'version').read_text().strip()}" == build.version()


# Building


def test_a_build_is_made_once_and_reused(checkout: Places, with_go: dict[str, str]) -> None:
    engine, said = _ensure(checkout, with_go)
    again, silence = _ensure(checkout, with_go)
    assert engine == again
    assert "building the Pulumi CLI" in said
    assert silence == ""
    assert len(Path(with_go["GO_CALLS"]).read_text().splitlines()) == 1


def test_the_cli_is_told_its_version_and_built_from_locked_sources(checkout: Places, with_go: dict[str, str]) -> None:
    _ensure(checkout, with_go)
    call = Path(with_go["GO_CALLS"]).read_text()
    assert f"sdk/v3/go/common/version.Version={build.version()}" in call
    assert "-mod=readonly" in call
    assert build.PACKAGE in call


def test_two_at_once_build_once(checkout: Places, with_go: dict[str, str]) -> None:
    environ = {**with_go, "GO_SLOW": "1"}
    threads = [threading.Thread(target=_ensure, args=(checkout, environ)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Path(with_go["GO_CALLS"]).read_text().splitlines()) == 1


def test_who_waits_for_another_build_is_told_and_goes_on_after_it(
    checkout: Places, with_go: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(obtain, "SILENT_SECONDS", 0.0)
    said = io.StringIO()
    checkout.engine.mkdir(parents=True)
    with checkout.lock.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        options = {"progress": Progress(said), "environ": with_go, "installer": NOBODY}
        thread = threading.Thread(target=obtain.ensure, args=(checkout.root,), kwargs=options)
        thread.start()
        while "waiting for it" not in said.getvalue():
            assert thread.is_alive()
            time.sleep(0.01)
        assert not Path(with_go["GO_CALLS"]).exists()
    thread.join()
    assert find(checkout, with_go)


def test_other_sources_are_another_build(checkout: Places, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = build.directory(checkout)
    for name in ("go.mod", "go.sum"):
        (tmp_path / name).write_bytes((build.CLI_SOURCE / name).read_bytes() + b"\n// changed\n")
    monkeypatch.setattr(build, "CLI_SOURCE", tmp_path)
    assert build.directory(checkout) != before


def test_the_module_that_is_built_is_locked_and_names_no_address() -> None:
    module = (build.CLI_SOURCE / "go.mod").read_text()
    assert f"{build.MODULE} {build.version()}" in module
    assert f"{build.MODULE} {build.version()} h1:" in (build.CLI_SOURCE / "go.sum").read_text()
    assert "://" not in module
    assert "replace" not in module


# Plugins


def test_stand_ins_are_put_beside_the_built_engine_and_into_its_home(checkout: Places, with_go: dict[str, str]) -> None:
    engine, _ = _ensure(checkout, with_go)
    gcp = checkout.home / "plugins" / f"resource-gcp-v{standins.gcp_version()}" / standins.GCP_PLUGIN
    for launcher, plugin in (
        (engine.directory / locate.LANGUAGE_HOST, "language"),
        (engine.directory / locate.DYNAMIC_PROVIDER, "dynamic"),
        (gcp, "gcp"),
    ):
        text = launcher.read_text()
        assert text.startswith("#!/bin/sh\n")
        assert f'launch.py {plugin} "$@"' in text
        assert launcher.stat().st_mode & 0o111
    assert standins.in_use(checkout, with_go)


def test_an_official_gcp_plugin_of_the_person_is_taken_over_and_replaces_the_stand_in(
    checkout: Places, with_go: dict[str, str]
) -> None:
    _ensure(checkout, with_go)
    name = f"resource-gcp-v{standins.gcp_version()}"
    _executable(Path(with_go["HOME"]) / ".pulumi" / "plugins" / name / standins.GCP_PLUGIN, "official\n")
    _ensure(checkout, with_go)
    assert (checkout.home / "plugins" / name / standins.GCP_PLUGIN).read_text() == "official\n"
    assert not standins.in_use(checkout, with_go)
    assert "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION" not in environment(checkout.root, with_go)


def test_an_official_gcp_plugin_on_the_path_makes_the_stand_in_go(
    checkout: Places, with_go: dict[str, str], tmp_path: Path
) -> None:
    _ensure(checkout, with_go)
    _executable(tmp_path / "gcp-bin" / standins.GCP_PLUGIN)
    environ = {**with_go, "PATH": f"{with_go['PATH']}:{tmp_path / 'gcp-bin'}"}
    _ensure(checkout, environ)
    assert list((checkout.home / "plugins").iterdir()) == []
    assert not standins.in_use(checkout, environ)


def test_an_official_engine_keeps_its_own_language_host(
    checkout: Places, machine: dict[str, str], tmp_path: Path
) -> None:
    folder = _official(tmp_path / "bin")
    _executable(folder / standins.GCP_PLUGIN)
    engine, said = _ensure(checkout, {**machine, "PATH": str(folder)})
    assert engine.official
    assert (folder / locate.LANGUAGE_HOST).read_text() == "#!/bin/sh\n"
    assert said == ""


# The environment


def test_the_environment_points_the_engine_at_this_checkouts_own_state(
    checkout: Places, with_go: dict[str, str]
) -> None:
    engine, _ = _ensure(checkout, with_go)
    settings = environment(checkout.root, with_go)
    assert settings == {
        "PATH": f"{engine.directory}:{with_go['PATH']}",
        "PULUMI_HOME": str(checkout.home),
        "PULUMI_BACKEND_URL": f"file://{checkout.backend}",
        "PULUMI_CONFIG_PASSPHRASE": "local",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_SUPPRESS_NEO_LINK": "true",
        "PULUMI_PYTHON_CMD": sys.executable,
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    }
    assert checkout.backend.is_dir()


def test_for_stacks_on_google_cloud_only_the_path_is_set(checkout: Places, with_go: dict[str, str]) -> None:
    engine, _ = _ensure(checkout, with_go)
    assert path_only(checkout.root, with_go) == {"PATH": f"{engine.directory}:{with_go['PATH']}"}


def test_the_environment_of_the_environment_is_the_same(checkout: Places, with_go: dict[str, str]) -> None:
    _ensure(checkout, with_go)
    once = {**with_go, **environment(checkout.root, with_go)}
    assert {**once, **environment(checkout.root, once)} == once


def test_the_committed_stack_opens_whatever_passphrase_the_person_uses_elsewhere(
    checkout: Places, with_go: dict[str, str]
) -> None:
    _ensure(checkout, with_go)
    settings = environment(checkout.root, {**with_go, "PULUMI_CONFIG_PASSPHRASE": "own"})
    assert settings["PULUMI_CONFIG_PASSPHRASE"] == "local"


# Progress


def test_without_a_terminal_a_long_step_says_a_line_now_and_then() -> None:
    said = io.StringIO()
    with Progress(said, every=0.01).task("building") as task:
        task.note("3 of 9 packages")
        while said.getvalue().count("3 of 9 packages") < 2:
            pass
    lines = said.getvalue().splitlines()
    assert lines[0] == "building"
    assert lines[1].startswith("building  0:00  ")
    assert lines[-1].endswith("done")


def test_in_a_terminal_one_line_is_rewritten() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    said = Terminal()
    with Progress(said).task("building"):
        pass
    assert said.getvalue() == "\r\x1b[Kbuilding  0:00  done\n"


class Website(ThreadingHTTPServer):
    """Stands for the address of the official installer."""

    script = b""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


@pytest.fixture
def website() -> Iterator[Website]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(site.script)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    site = Website(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=site.serve_forever, args=(0.02,))
    thread.start()
    yield site
    site.shutdown()
    thread.join()
    site.server_close()


def test_an_installer_that_never_answers_is_given_up_on(monkeypatch: pytest.MonkeyPatch, checkout: Places) -> None:
    monkeypatch.setattr(install, "REACH_SECONDS", 0.05)
    answered = threading.Event()
    monkeypatch.setattr(install, "_read", lambda _url: answered.wait(5) and None)
    assert install.run(checkout, Progress(io.StringIO())) is False
    answered.set()
