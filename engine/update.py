"""Which release of the Pulumi CLI is built: the newest that the Go module proxy serves of the Python SDK's own line.

`python -m engine update` writes it into `engine/cli/go.mod` and `go.sum`; nothing else here names it. The line
is the major version: Pulumi keeps the protocol between the engine and the language SDKs compatible within it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from engine import build
from engine.places import EngineError

LOCK_FILE = Path(__file__).resolve().parents[1] / "requirements.lock"

_TRIES = 10  # a release that is listed is not always served yet
_TIMEOUT = 600  # seconds: the modules of a release that is new here are downloaded


def sdk_version(lock: str) -> tuple[int, ...]:
    """The version of the `pulumi` package in the text of a lock file, for example `(3, 272, 0)`.

    Raises:
        EngineError: the lock file doesn't pin it.
    """
    found = re.search(r"^pulumi==(\d+(?:\.\d+)*)\s*$", lock, re.MULTILINE)
    if not found:
        raise EngineError(f"{LOCK_FILE.name} does not pin pulumi")
    return tuple(int(part) for part in found[1].split("."))


def candidates(listed: str, sdk: tuple[int, ...]) -> list[str]:
    """The releases of the SDK's line that are not older than the SDK, newest first.

    Args:
        listed: what `go list -m -versions` prints: the module and its versions. Pre-releases are left out.
        sdk: the SDK's version.
    """
    releases = []
    for name in listed.split():
        if found := re.fullmatch(r"v(\d+)\.(\d+)\.(\d+)", name):
            version = tuple(int(part) for part in found.groups())
            if version[0] == sdk[0] and version >= sdk:
                releases.append(version)
    return ["v" + ".".join(map(str, version)) for version in sorted(releases, reverse=True)]


def update() -> str:
    """Bring `engine/cli` to the newest release that is served.

    Returns:
        The CLI's version, for example `v3.276.0`. The files are written only if it differs.

    Raises:
        EngineError: Go is missing, or no release of the line is served.
    """
    go = shutil.which("go")
    if not go:
        raise EngineError(build.MISSING_GO)
    listed = _go(go, ["list", "-m", "-versions", build.MODULE], build.CLI_SOURCE)
    names = candidates(listed, sdk_version(LOCK_FILE.read_text(encoding="utf-8")))[:_TRIES]
    refusals = []
    for name in names:
        if name == build.version():
            return name
        with tempfile.TemporaryDirectory() as scratch:
            for file in ("go.mod", "go.sum"):
                shutil.copy(build.CLI_SOURCE / file, scratch)
            try:
                _go(go, ["get", "-tool", f"{build.PACKAGE}@{name}"], Path(scratch))
            except EngineError as error:
                refusals.append(f"{name}: {error}")
                continue
            for file in ("go.mod", "go.sum"):
                shutil.copy(Path(scratch) / file, build.CLI_SOURCE / file)
        return name
    raise EngineError("\n  ".join(["no release of the Pulumi CLI is served that fits the SDK", *refusals]))


def _go(go: str, arguments: list[str], folder: Path) -> str:
    environ = {**os.environ, "GOFLAGS": "-mod=mod"}
    try:
        done = subprocess.run(  # noqa: S603 - go, found on PATH, with our own arguments
            [go, *arguments], cwd=folder, env=environ, capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise EngineError(f"go {arguments[0]} did not end within {_TIMEOUT} s") from None
    if done.returncode:
        raise EngineError((done.stderr.strip().splitlines() or ["go printed nothing"])[-1])
    return done.stdout
