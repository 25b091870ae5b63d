"""The stand-in plugins as processes: how they start, and that they end by themselves."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, provider_pb2, provider_pb2_grpc

from engine.plugins import hosting
from engine.plugins.language import _plugin_arguments, _python

if TYPE_CHECKING:
    from collections.abc import Iterator

LAUNCHER = Path(hosting.__file__).with_name("launch.py")


@pytest.fixture
def engine() -> Iterator[socket.socket]:
    """Something that answers at the engine's address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def _address(engine: socket.socket) -> str:
    return f"127.0.0.1:{engine.getsockname()[1]}"


def _start(plugin: str, engine: socket.socket, folder: Path) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, "-u", str(LAUNCHER), plugin, _address(engine)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    return process, int(process.stdout.readline())


def _ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, error = process.communicate(timeout=20)
    return process.returncode, out, error


@pytest.mark.parametrize("plugin", ["gcp", "language", "dynamic"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_plugin_ends_without_a_word(
    plugin: str, number: int, engine: socket.socket, tmp_path: Path
) -> None:
    process, _ = _start(plugin, engine, tmp_path)
    process.send_signal(number)
    assert _ended(process) == (0, "", "")


def test_a_plugin_is_told_when_its_engine_no_longer_answers(
    engine: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosting, "LOOK_SECONDS", 0.01)
    told = threading.Event()
    hosting.end_with_engine(told.set, [_address(engine)])
    assert not told.wait(0.1)
    engine.close()
    assert told.wait(20)


def test_a_plugin_is_told_when_its_engine_was_killed_although_the_address_answers(
    engine: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Something else may have taken the port of an engine that is gone; the parent process tells.
    monkeypatch.setattr(hosting, "LOOK_SECONDS", 0.01)
    told = threading.Event()
    hosting.end_with_engine(told.set, [_address(engine)])
    assert not told.wait(0.1)
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert told.wait(20)


def test_a_plugin_run_by_hand_is_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosting, "LOOK_SECONDS", 0.01)
    # Whoever runs the tests may itself be a child of process 1.
    monkeypatch.setattr(os, "getppid", lambda: 4711)
    told = threading.Event()
    hosting.end_with_engine(told.set, [])
    assert not told.wait(0.1)
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert told.wait(20)


def test_the_gcp_plugin_answers_without_importing_all_of_pulumi(engine: socket.socket, tmp_path: Path) -> None:
    process, port = _start("gcp", engine, tmp_path)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        info = provider_pb2_grpc.ResourceProviderStub(channel).GetPluginInfo(empty_pb2.Empty())
    loaded = Path(f"/proc/{process.pid}/maps").read_text() if Path("/proc").exists() else ""
    assert info.version.count(".") == 2
    assert "pydantic_core" not in loaded
    process.terminate()
    assert _ended(process)[2] == ""


def test_what_a_stand_in_does_not_serve_is_refused_without_a_traceback(engine: socket.socket, tmp_path: Path) -> None:
    process, port = _start("gcp", engine, tmp_path)
    with (
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
        pytest.raises(grpc.RpcError, match="does not serve GetMappingRequest"),
    ):
        provider_pb2_grpc.ResourceProviderStub(channel).GetMapping(provider_pb2.GetMappingRequest(key="terraform"))
    process.terminate()
    assert _ended(process) == (0, "", "")


def test_the_dynamic_provider_sees_the_programs_folder_and_not_this_projects(
    engine: socket.socket, tmp_path: Path
) -> None:
    (tmp_path / "pulumi").mkdir()
    (tmp_path / "pulumi" / "__init__.py").touch()
    (tmp_path / "pulumi" / "dynamic.py").write_text(
        "import sys; print(sys.path[0], sys.argv[1:], 'engine' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-u", str(LAUNCHER), "dynamic", _address(engine)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"{tmp_path} ['{_address(engine)}'] False\n"


@pytest.mark.parametrize(
    ("arguments", "address"),
    [
        ([], None),
        (["--logtostderr", "-v=9"], None),
        (["127.0.0.1:4711"], ("127.0.0.1", 4711)),
        (["--tracing", "http://collector", "127.0.0.1:4711"], ("127.0.0.1", 4711)),
    ],
)
def test_the_engines_address_is_found_among_the_arguments(
    arguments: list[str], address: tuple[str, int] | None
) -> None:
    assert hosting.engine_address(arguments) == address


# The language host


def test_a_virtual_environment_named_in_the_project_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_PYTHON_CMD", "/elsewhere/python")
    info = language_pb2.ProgramInfo(root_directory=str(tmp_path))
    assert _python(info) == "/elsewhere/python"
    info.options.update({"virtualenv": "venv"})
    assert _python(info) == "/elsewhere/python"
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    assert _python(info) == str(python)


def test_each_kind_of_python_plugin_is_run_in_its_own_way(tmp_path: Path) -> None:
    info = language_pb2.ProgramInfo(program_directory=str(tmp_path))
    request = language_pb2.RunPluginRequest(info=info, args=["127.0.0.1:1"], kind="analyzer")
    assert _plugin_arguments(request) == ["-m", "pulumi.policy", "127.0.0.1:1", str(tmp_path)]
    request.kind = "resource"
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "imaging-components"\n')
    assert _plugin_arguments(request) == ["-m", "pulumi.run.plugin", "imaging-components", "127.0.0.1:1"]
    (tmp_path / "__main__.py").touch()
    assert _plugin_arguments(request) == [str(tmp_path), "127.0.0.1:1"]


def test_a_plugins_output_is_relayed_and_its_exit_code_comes_last(engine: socket.socket, tmp_path: Path) -> None:
    (tmp_path / "__main__.py").write_text("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
    process, port = _start("language", engine, tmp_path)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        info = language_pb2.ProgramInfo(program_directory=str(tmp_path))
        request = language_pb2.RunPluginRequest(info=info, pwd=str(tmp_path), kind="resource", env=["A=b"])
        answers = list(language_pb2_grpc.LanguageRuntimeStub(channel).RunPlugin(request))
    process.terminate()
    _ended(process)
    assert b"".join(each.stdout for each in answers) == b"out\n"
    assert b"".join(each.stderr for each in answers) == b"err\n"
    assert answers[-1].exitcode == 3
