"""Putting the stand-in plugins where the engine looks for them, and never where an official one is.

The engine looks for the language host and the dynamic provider beside its own executable, and for `pulumi-resource-gcp`
on PATH and then in `PULUMI_HOME/plugins/resource-gcp-vVERSION`.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shlex
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from engine.locate import DYNAMIC_PROVIDER, LANGUAGE_HOST, Engine
from engine.places import PLUGIN_LAUNCHER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine.places import Places
    from engine.progress import Progress

GCP_PLUGIN = "pulumi-resource-gcp"
MARK = "STAND-IN"
"""A file of this name in a plugin's folder says that the plugin is ours and may be replaced."""

PLUGIN_HOST = ("github.com", 443)
INSTALL_SECONDS = 300


def gcp_version() -> str:
    """The version of the installed pulumi-gcp package, which programs ask the engine for."""
    return importlib.metadata.version("pulumi_gcp")


def place_beside(engine: Engine, places: Places) -> None:
    """Puts the language host and the dynamic provider beside a CLI that was built here.

    Args:
        engine: the engine; nothing is done to an official one, which brings its own.
        places: the checkout's paths.
    """
    if engine.official:
        return
    _write_launcher(engine.directory / LANGUAGE_HOST, "language", places)
    _write_launcher(engine.directory / DYNAMIC_PROVIDER, "dynamic", places)


def place_gcp(engine: Engine, places: Places, progress: Progress, environ: Mapping[str, str] | None = None) -> bool:
    """Provides the gcp plugin: the person's official one, else a freshly downloaded one, else the stand-in.

    Args:
        engine: the engine that will load it.
        places: the checkout's paths.
        progress: told what is going on.
        environ: the environment to look in, by default this process's.

    Returns:
        Whether the plugin that will be used is the stand-in.
    """
    environ = os.environ if environ is None else environ
    folder = places.home / "plugins" / f"resource-gcp-v{gcp_version()}"
    if shutil.which(GCP_PLUGIN, path=environ.get("PATH", "")):
        # The engine takes it from PATH first; ours would only be in the way.
        if (folder / MARK).exists():
            shutil.rmtree(folder)
        return False
    if (folder / GCP_PLUGIN).exists() and not (folder / MARK).exists():
        return False
    theirs = _official_folder(folder.name, environ)
    if theirs:
        _adopt(theirs, folder)
        return False
    if engine.official and not (folder / MARK).exists() and _download(engine, places, progress, environ):
        return False
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).write_text("Stands in for the official plugin; removed when that is found.\n", encoding="utf-8")
    _write_launcher(folder / GCP_PLUGIN, "gcp", places)
    return True


def _official_folder(name: str, environ: Mapping[str, str]) -> Path | None:
    homes = [Path(environ.get("HOME", "~")).expanduser() / ".pulumi"]
    if environ.get("PULUMI_HOME"):
        homes.insert(0, Path(environ["PULUMI_HOME"]))
    for home in homes:
        folder = home / "plugins" / name
        if (folder / GCP_PLUGIN).exists() and not (folder / MARK).exists():
            return folder
    return None


def _adopt(theirs: Path, folder: Path) -> None:
    # The engine's plugin list skips links to folders, so the files themselves are linked or copied.
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(theirs, folder, copy_function=_link_or_copy)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _download(engine: Engine, places: Places, progress: Progress, environ: Mapping[str, str]) -> bool:
    try:
        socket.create_connection(PLUGIN_HOST, timeout=3).close()
    except OSError:
        return False
    with progress.task(f"downloading the official gcp plugin {gcp_version()}"):
        try:
            done = subprocess.run(  # noqa: S603 - the engine that was found
                [str(engine.directory / "pulumi"), "plugin", "install", "resource", "gcp", gcp_version()],
                env={**environ, "PULUMI_HOME": str(places.home), "PULUMI_SKIP_UPDATE_CHECK": "true"},
                capture_output=True,
                timeout=INSTALL_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
    return done.returncode == 0


def _write_launcher(path: Path, plugin: str, places: Places) -> None:
    text = (
        "#!/bin/sh\n"
        f"# Starts the stand-in for {path.name}.\n"
        f"python={shlex.quote(str(places.python))}\n"
        f"{_PROJECTS_PYTHON if plugin == 'dynamic' else ''}"
        f'exec "$python" -u {shlex.quote(str(PLUGIN_LAUNCHER))} {plugin} "$@"\n'
    )
    with contextlib.suppress(OSError):
        if path.read_text(encoding="utf-8") == text:
            return
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as new:
        new.write(text)
    Path(new.name).chmod(0o755)
    Path(new.name).replace(path)


# Dynamic resources are the program's own code, so they run in the virtual environment that its Pulumi.yaml names, else
# with the Python that Pulumi is told to take. The engine passes the runtime's options on in the environment, and starts
# plugins in the program's folder.
_PROJECTS_PYTHON = """\
if [ -n "$PULUMI_RUNTIME_VIRTUALENV" ] && [ -x "$PULUMI_RUNTIME_VIRTUALENV/bin/python" ]; then
  python=$PULUMI_RUNTIME_VIRTUALENV/bin/python
elif [ -n "$PULUMI_PYTHON_CMD" ]; then
  python=$PULUMI_PYTHON_CMD
fi
"""


def in_use(places: Places, environ: Mapping[str, str]) -> bool:
    """Whether the gcp plugin that the engine will load is the stand-in."""
    folder = places.home / "plugins" / f"resource-gcp-v{gcp_version()}"
    return (folder / MARK).exists() and not shutil.which(GCP_PLUGIN, path=environ.get("PATH", ""))
