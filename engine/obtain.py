"""Making sure that an engine is there, and the environment that programs, the demo and the tests run it in."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING, TextIO

from engine import build, install, locate, standins
from engine.places import EngineError, places
from engine.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from engine.locate import Engine
    from engine.places import Places

SILENT_SECONDS = 1.0

LOCAL_PASSPHRASE = "local"  # noqa: S105 - no secret: it encrypts the state of stacks on this machine's own emulator


def ensure(
    root: Path | str | None = None,
    *,
    progress: Progress | None = None,
    environ: Mapping[str, str] | None = None,
    installer: str = install.INSTALLER,
) -> Engine:
    """Finds, installs or builds a Pulumi engine, and provides its plugins.

    Args:
        root: the checkout's top folder, by default this package's.
        progress: told what is going on; by default a line on standard error.
        environ: the environment to search, by default this process's.
        installer: the address of the official installer.

    Returns:
        The engine.

    Raises:
        EngineError: there is none and none can be built.
    """
    where = places(root)
    progress = progress or Progress()
    environ = os.environ if environ is None else environ
    engine = locate.find(where, environ)
    if engine is None:
        with _locked(where, progress):
            # Another process may have built it while this one waited.
            engine = locate.find(where, environ) or _obtain(where, progress, environ, installer)
    with _locked(where, progress):
        standins.place_beside(engine, where)
        standins.place_gcp(engine, where, progress, environ)
    where.backend.mkdir(parents=True, exist_ok=True)
    return engine


def path_only(root: Path | str | None = None, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """What to set so that `pulumi` is the engine of this checkout, for stacks on Google Cloud: `PATH` and nothing else.

    Args:
        root: the checkout's top folder, by default this package's.
        environ: the environment to search and to put the engine before, by default this process's.

    Raises:
        EngineError: there is no engine yet; `ensure` provides it.
    """
    environ = os.environ if environ is None else environ
    engine = locate.find(places(root), environ)
    if engine is None:
        raise EngineError("there is no Pulumi engine yet; run `make setup` (or `python -m engine ensure`)")
    path = [part for part in environ.get("PATH", "").split(os.pathsep) if part]
    # Where it is on PATH it is the first of its name: moving its folder would also move everything else in it.
    if engine.origin != "PATH":
        path = [str(engine.directory), *(part for part in path if part != str(engine.directory))]
    return {"PATH": os.pathsep.join(path)}


def environment(root: Path | str | None = None, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """What to set so that `pulumi` is the engine of this checkout, on its own local state.

    Args:
        root: the checkout's top folder, by default this package's.
        environ: the environment to search and to put the engine before, by default this process's.

    Returns:
        Variables to add to an environment: PATH, PULUMI_HOME, PULUMI_BACKEND_URL, PULUMI_CONFIG_PASSPHRASE,
        PULUMI_SKIP_UPDATE_CHECK, PULUMI_SUPPRESS_NEO_LINK, PULUMI_PYTHON_CMD, and
        PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION with stand-ins. The passphrase is everybody's: for a stack with
        secrets of its own, set another one afterwards.

    Raises:
        EngineError: there is no engine yet; `ensure` provides it.
    """
    where = places(root)
    environ = os.environ if environ is None else environ
    settings = {
        **path_only(root, environ),
        "PULUMI_HOME": str(where.home),
        "PULUMI_BACKEND_URL": f"file://{where.backend}",
        # Not the person's own: the committed stack `dev` is encrypted with this one.
        "PULUMI_CONFIG_PASSPHRASE": LOCAL_PASSPHRASE,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        # Local stacks are unknown to Pulumi Cloud, which the link would lead to.
        "PULUMI_SUPPRESS_NEO_LINK": "true",
        "PULUMI_PYTHON_CMD": str(where.python),
    }
    if standins.in_use(where, environ):
        # A stand-in is all there is: without this the engine would try to download what it can't.
        settings["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
    return settings


def _obtain(where: Places, progress: Progress, environ: Mapping[str, str], installer: str) -> Engine:
    useless = locate.incomplete(environ)
    if useless:
        progress.say(f"{useless} has no Python language host beside it, so it is not used")
    if not install.run(where, progress, installer):
        build.run(where, progress, environ)
    engine = locate.find(where, environ)
    if engine is None:
        raise EngineError(
            f"an engine was put into {where.engine}, but it is not complete; remove that folder and try again"
        )
    return engine


@contextlib.contextmanager
def _locked(where: Places, progress: Progress) -> Iterator[None]:
    where.engine.mkdir(parents=True, exist_ok=True)
    with where.lock.open("w") as handle:
        # Looking is done in a moment; only who waits for a build is told.
        deadline = time.monotonic() + SILENT_SECONDS
        while not _try_lock(handle):
            if time.monotonic() > deadline:
                progress.say("another process is setting up the engine; waiting for it")
                fcntl.flock(handle, fcntl.LOCK_EX)
                break
            time.sleep(0.02)
        yield


def _try_lock(handle: TextIO) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
