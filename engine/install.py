"""The official installer, run into the checkout's own folder, where it can be reached."""

from __future__ import annotations

import concurrent.futures
import shutil
import subprocess
import urllib.request
from typing import TYPE_CHECKING

from engine import build

if TYPE_CHECKING:
    from engine.places import Places
    from engine.progress import Progress

INSTALLER = "https://get.pulumi.com"
REACH_SECONDS = 3.0
INSTALL_SECONDS = 600


def run(places: Places, progress: Progress, url: str = INSTALLER) -> bool:
    """Installs Pulumi under `.local/`, in the version that would otherwise be built.

    Args:
        places: the checkout's paths.
        progress: told what is going on.
        url: where the installer's shell script is.

    Returns:
        Whether Pulumi is there now. A machine without a way to the installer is not an error: there is another way.
    """
    script = _fetch(url)
    if script is None:
        return False
    places.engine.mkdir(parents=True, exist_ok=True)
    scratch = places.engine / "installing"
    shutil.rmtree(scratch, ignore_errors=True)
    wanted = build.version().removeprefix("v")
    with progress.task(f"installing Pulumi {wanted} with the official installer"):
        try:
            done = subprocess.run(  # noqa: S603 - the publisher's own installer, fetched over TLS
                ["/bin/sh", "-s", "--", "--no-edit-path", "--version", wanted, "--install-root", str(scratch)],
                input=script,
                capture_output=True,
                timeout=INSTALL_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            progress.say(f"the official installer did not finish ({error})")
            return False
    if done.returncode or not (scratch / "bin" / "pulumi").exists():
        said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        progress.say(f"the official installer failed: {said[-1] if said else f'exit code {done.returncode}'}")
        shutil.rmtree(scratch, ignore_errors=True)
        return False
    shutil.rmtree(places.installed, ignore_errors=True)
    scratch.rename(places.installed)
    return True


def _fetch(url: str) -> bytes | None:
    # A name server that never answers is not bounded by a socket's timeout, hence the thread that is left behind.
    pool = concurrent.futures.ThreadPoolExecutor(max_workers=1)
    future = pool.submit(_read, url)
    try:
        return future.result(timeout=REACH_SECONDS)
    except (OSError, TimeoutError):
        return None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _read(url: str) -> bytes | None:
    with urllib.request.urlopen(url, timeout=REACH_SECONDS) as answer:  # noqa: S310 - the address is a constant
        text: bytes = answer.read()
    # A proxy's block page is no shell script.
    return text if text.startswith(b"#!") else None
