"""Finding a Pulumi engine that is already there: on PATH, in `~/.pulumi/bin`, installed or built here."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine import build

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine.places import Places

LANGUAGE_HOST = "pulumi-language-python"
DYNAMIC_PROVIDER = "pulumi-resource-pulumi-python"


@dataclass(frozen=True)
class Engine:
    """A Pulumi engine ready to run Python programs.

    Args:
        directory: the folder to put on PATH; holds `pulumi` and the Python language host.
        origin: where it came from, for people: `PATH`, `~/.pulumi/bin`, `official installer` or `built here`.
        official: whether Pulumi published these executables; if not, stand-ins serve Python beside the built CLI.
    """

    directory: Path
    origin: str
    official: bool


def find(places: Places, environ: Mapping[str, str] | None = None) -> Engine | None:
    """The engine that would be used now, without installing or building anything.

    Args:
        places: the checkout's paths.
        environ: the environment to search, by default this process's.

    Returns:
        The first that is complete, or None.
    """
    environ = os.environ if environ is None else environ
    for folder in environ.get("PATH", "").split(os.pathsep):
        if folder and _complete(Path(folder)) and not _is_ours(Path(folder), places):
            return Engine(Path(folder), "PATH", official=True)
    home = Path(environ.get("HOME", "~")).expanduser() / ".pulumi" / "bin"
    if _complete(home):
        return Engine(home, "~/.pulumi/bin", official=True)
    if _complete(places.installed / "bin"):
        return Engine(places.installed / "bin", "official installer", official=True)
    built = build.directory(places)
    if _executable(built / "pulumi"):
        return Engine(built, "built here", official=False)
    return None


def incomplete(environ: Mapping[str, str] | None = None) -> Path | None:
    """A `pulumi` on PATH that is of no use because no Python language host stands beside it."""
    environ = os.environ if environ is None else environ
    found = shutil.which("pulumi", path=environ.get("PATH", ""))
    return Path(found) if found and not _complete(Path(found).parent) else None


def _complete(folder: Path) -> bool:
    # The engine looks for bundled plugins beside the running executable, links resolved.
    cli = folder / "pulumi"
    if not _executable(cli):
        return False
    real = cli.resolve().parent
    return all(_executable(real / name) or _executable(folder / name) for name in (LANGUAGE_HOST, DYNAMIC_PROVIDER))


def _is_ours(folder: Path, places: Places) -> bool:
    # After `eval "$(make -s env)"` the engine built here is on PATH; it must not pass for an official one.
    return folder.resolve().is_relative_to(places.engine.resolve())


def _executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
