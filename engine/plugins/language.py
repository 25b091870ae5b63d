"""Stand-in for `pulumi-language-python`: the language runtime service that the engine runs Python programs through.

RPCs as the official host answers them: https://github.com/pulumi/pulumi/blob/master/proto/pulumi/language.proto
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import threading
import tomllib
from concurrent import futures
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import empty_pb2, json_format
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

from engine.plugins import hosting

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM_RUNNER = Path(__file__).with_name("program.py")
SHOWN_ALREADY = 32


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """Runs programs and Python plugins as child processes.

    Args:
        engine: the engine's address, which programs log to.
    """

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._children: set[subprocess.Popen[bytes]] = set()
        self._guard = threading.Lock()

    def Handshake(  # noqa: N802
        self, request: language_pb2.LanguageHandshakeRequest, context: grpc.ServicerContext
    ) -> language_pb2.LanguageHandshakeResponse:
        """The engine says hello; its address may come here rather than as an argument."""
        del context
        self._engine = request.engine_address or self._engine
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:  # noqa: N802
        """No version of its own: the engine takes the language host as it is."""
        del request, context
        return plugin_pb2.PluginInfo()

    def GetRequiredPackages(  # noqa: N802
        self, request: language_pb2.GetRequiredPackagesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetRequiredPackagesResponse:
        """None in advance: resources name the version of their plugin when they are registered."""
        del request, context
        return language_pb2.GetRequiredPackagesResponse()

    def GetRequiredPlugins(  # noqa: N802
        self, request: language_pb2.GetRequiredPluginsRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetRequiredPluginsResponse:
        """The older form of `GetRequiredPackages`."""
        del request, context
        return language_pb2.GetRequiredPluginsResponse()

    def About(self, request: language_pb2.AboutRequest, context: grpc.ServicerContext) -> language_pb2.AboutResponse:  # noqa: N802
        """What `pulumi about` shows of the language."""
        del context
        return language_pb2.AboutResponse(executable=_python(request.info), version=platform.python_version())

    def GetProgramDependencies(  # noqa: N802
        self, request: language_pb2.GetProgramDependenciesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetProgramDependenciesResponse:
        """What `pip list` says of the program's Python."""
        del context
        listed = subprocess.run(  # noqa: S603 - the program's own Python
            [_python(request.info), "-m", "pip", "list", "--format=json", "--disable-pip-version-check"],
            capture_output=True,
            check=False,
        )
        packages = json.loads(listed.stdout or b"[]")
        return language_pb2.GetProgramDependenciesResponse(
            dependencies=[language_pb2.DependencyInfo(name=each["name"], version=each["version"]) for each in packages]
        )

    def InstallDependencies(  # noqa: N802
        self, request: language_pb2.InstallDependenciesRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.InstallDependenciesResponse]:
        """`pulumi install`: makes the virtual environment that Pulumi.yaml names; pip installs the requirements."""
        folder = Path(request.info.program_directory or request.directory)
        virtual = _virtual_environment(request.info)
        if virtual and not (virtual / "bin" / "python").exists():
            yield language_pb2.InstallDependenciesResponse(stdout=b"Creating virtual environment...\n")
            made = subprocess.run([sys.executable, "-m", "venv", str(virtual)], capture_output=True, check=False)  # noqa: S603
            if made.returncode:
                context.abort(grpc.StatusCode.UNKNOWN, f"{virtual}: {(made.stderr or made.stdout).decode()}")
        wanted = folder / "requirements.txt"
        if not wanted.exists():
            yield language_pb2.InstallDependenciesResponse(
                stdout=b"There is no requirements.txt; nothing to install.\n"
            )
            return
        done = subprocess.run(  # noqa: S603 - the program's own Python and requirements
            [_python(request.info), "-m", "pip", "install", "-r", str(wanted)],
            cwd=folder,
            capture_output=True,
            check=False,
        )
        yield language_pb2.InstallDependenciesResponse(stdout=done.stdout, stderr=done.stderr)
        if done.returncode:
            context.abort(grpc.StatusCode.UNKNOWN, f"pip ended with exit code {done.returncode}")

    def Run(self, request: language_pb2.RunRequest, context: grpc.ServicerContext) -> language_pb2.RunResponse:  # noqa: N802
        """Runs a program; it prints straight to this process's output, which the engine shows."""
        del context
        info = request.info
        program = Path(info.program_directory or request.pwd) / (info.entry_point or request.program or ".")
        command = [
            _python(info),
            "-u",
            str(PROGRAM_RUNNER),
            *("--project", request.project, "--stack", request.stack, "--organization", request.organization),
            *("--monitor", request.monitor_address, "--engine", self._engine, "--parallel", str(request.parallel)),
            *("--root-directory", info.root_directory, "--pwd", request.pwd),
            *(["--dry-run"] if request.dryRun else []),
            str(program),
        ]
        # Configuration, secrets among it, goes through the environment: arguments are everybody's to read.
        environ = {
            **os.environ,
            "PULUMI_CONFIG": json.dumps(dict(request.config)),
            "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
        }
        with self._child(command, cwd=request.pwd, env=environ) as process:
            code = process.wait()
        if code in {0, SHOWN_ALREADY}:
            return language_pb2.RunResponse(bail=code == SHOWN_ALREADY)
        if code < 0 or code == 128 + signal.SIGINT:
            return language_pb2.RunResponse(bail=True)
        return language_pb2.RunResponse(error=f"Program exited with non-zero exit code: {code}")

    def RunPlugin(  # noqa: N802
        self, request: language_pb2.RunPluginRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.RunPluginResponse]:
        """Runs a policy pack or a component plugin and passes on what it prints."""
        del context
        environ = {**os.environ, **dict(entry.split("=", 1) for entry in request.env if "=" in entry)}
        command = [_python(request.info), "-u", *_plugin_arguments(request)]
        with self._child(
            command, cwd=request.pwd or None, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            yield from _relay(process)
            yield language_pb2.RunPluginResponse(exitcode=process.wait())

    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: N802
        """The person interrupted: what runs is told to end."""
        del request, context
        self.end_children()
        return empty_pb2.Empty()

    RuntimeOptionsPrompts: Any = hosting.not_offered
    Template: Any = hosting.not_offered
    GenerateProgram: Any = hosting.not_offered
    GenerateProject: Any = hosting.not_offered
    GeneratePackage: Any = hosting.not_offered
    Pack: Any = hosting.not_offered
    Link: Any = hosting.not_offered

    def end_children(self) -> None:
        """Ends the programs and plugins that are running."""
        with self._guard:
            for child in self._children:
                with contextlib.suppress(OSError):
                    child.terminate()

    @contextlib.contextmanager
    def _child(self, command: list[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen(command, **options)  # noqa: S603 - the program's own Python
        with self._guard:
            self._children.add(process)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
            with self._guard:
                self._children.discard(process)


def _virtual_environment(info: language_pb2.ProgramInfo) -> Path | None:
    # `runtime: {options: {virtualenv: …}}` of Pulumi.yaml
    options: dict[str, Any] = json_format.MessageToDict(info.options)
    folder = options.get("virtualenv")
    return Path(info.root_directory) / folder if folder else None


def _python(info: language_pb2.ProgramInfo) -> str:
    virtual = _virtual_environment(info)
    if virtual and (virtual / "bin" / "python").exists():
        return str(virtual / "bin" / "python")
    return os.environ.get("PULUMI_PYTHON_CMD") or sys.executable


def _plugin_arguments(request: language_pb2.RunPluginRequest) -> list[str]:
    folder = Path(request.info.program_directory)
    if request.kind == "analyzer":
        return ["-m", "pulumi.policy", *request.args, str(folder)]
    if (folder / "__main__.py").exists():
        return [str(folder), *request.args]
    with contextlib.suppress(OSError, KeyError, tomllib.TOMLDecodeError):
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return ["-m", "pulumi.run.plugin", project["name"], *request.args]
    return [str(folder), *request.args]


def _relay(process: subprocess.Popen[bytes]) -> Iterator[language_pb2.RunPluginResponse]:
    import queue

    chunks: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()

    def pump(name: str) -> None:
        stream = getattr(process, name)
        while chunk := stream.read1(65536):
            chunks.put((name, chunk))
        chunks.put((name, b""))

    for name in ("stdout", "stderr"):
        threading.Thread(target=pump, args=(name,), daemon=True).start()
    open_streams = 2
    while open_streams:
        name, chunk = chunks.get()
        if not chunk:
            open_streams -= 1
        elif name == "stdout":
            yield language_pb2.RunPluginResponse(stdout=chunk)
        else:
            yield language_pb2.RunPluginResponse(stderr=chunk)


def main() -> None:
    """Serves until the engine goes."""
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=16),
        options=[
            ("grpc.max_receive_message_length", 400 * 1024 * 1024),
            ("grpc.max_send_message_length", 400 * 1024 * 1024),
        ],
    )
    host = LanguageHost(sys.argv[-1] if hosting.engine_address(sys.argv[-1:]) else "")
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server)
    hosting.serve(server, host.end_children)
