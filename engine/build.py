"""Building the Pulumi CLI from its tagged Go module, for machines where the official installer can't be reached.

The module is named in `engine/cli/go.mod` through Go's `tool` directive and pinned by `go.sum`. `go install …@version`
is refused for it because it carries replace directives; a module of one's own that requires it is not.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from engine.places import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine.places import Places
    from engine.progress import Progress

CLI_SOURCE = Path(__file__).resolve().parent / "cli"
"""The Go module (go.mod and go.sum) that names the Pulumi CLI's version and every hash it is built from."""

MODULE = "github.com/pulumi/pulumi/pkg/v3"
PACKAGE = f"{MODULE}/cmd/pulumi"
VERSION_VARIABLE = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"
MISSING_GO = (
    "neither Pulumi nor Go was found: install Pulumi (https://www.pulumi.com/docs/install/), "
    "or Go 1.26 or newer (https://go.dev/doc/install) so that Pulumi can be built from source"
)
LOG_LINES_SHOWN = 15


def version() -> str:
    """The CLI's version as go.mod requires it, for example `v3.276.0`."""
    text = (CLI_SOURCE / "go.mod").read_text(encoding="utf-8")
    found = re.search(rf"^\s*{re.escape(MODULE)} (v\S+)", text, re.MULTILINE)
    if not found:
        raise EngineError(f"{CLI_SOURCE / 'go.mod'} requires no {MODULE}")
    return found[1]


def flags() -> list[str]:
    """The flags of `go build`. Without the version the Automation API refuses to parse what `pulumi version` prints."""
    return [
        "-mod=readonly",
        "-trimpath",
        "-tags=osusergo,grpcnotrace",
        f"-ldflags=-s -w -X {VERSION_VARIABLE}={version()}",
    ]


def directory(places: Places) -> Path:
    """Where the build of exactly these sources and flags is kept."""
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        digest.update((CLI_SOURCE / name).read_bytes())
    digest.update("\0".join(flags()).encode())
    return places.engine / f"pulumi-{version()}-{digest.hexdigest()[:12]}"


def run(places: Places, progress: Progress, environ: Mapping[str, str] | None = None) -> Path:
    """Builds the CLI and puts it in place in one step, so that a killed build leaves nothing half done.

    Args:
        places: the checkout's paths.
        progress: told what is going on.
        environ: the environment for Go, by default this process's.

    Returns:
        The folder that holds `pulumi`.

    Raises:
        EngineError: Go is missing, or the build failed; the newest log lines are in the text.
    """
    environ = dict(os.environ if environ is None else environ)
    go = shutil.which("go", path=environ.get("PATH", ""))
    if not go:
        raise EngineError(MISSING_GO)
    environ["CGO_ENABLED"] = "0"
    target = directory(places)
    places.engine.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="building-", dir=places.engine) as scratch:
        folder = Path(scratch) / target.name
        folder.mkdir()
        # One compiler per core, but no more than 4: each takes up to half a gigabyte.
        jobs = str(min(os.cpu_count() or 1, 4))
        command = [go, "build", "-v", "-p", jobs, *flags(), "-o", str(folder / "pulumi"), PACKAGE]
        _build(command, environ, places, progress)
        if target.exists():
            shutil.rmtree(target)
        folder.rename(target)
    return target


def _build(command: list[str], environ: dict[str, str], places: Places, progress: Progress) -> None:
    tail: deque[str] = deque(maxlen=LOG_LINES_SHOWN)
    with (
        places.build_log.open("w", encoding="utf-8") as log,
        progress.task(f"building the Pulumi CLI {version()} from source (about 3 minutes the first time)") as task,
    ):
        total = _count_packages(command[0], environ)
        process = subprocess.Popen(  # noqa: S603 - go, found on PATH, with our own arguments
            command, cwd=CLI_SOURCE, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        with process:
            try:
                compiled = 0
                for line in process.stdout or ():
                    log.write(line)
                    log.flush()
                    tail.append(line.rstrip())
                    if line.startswith("go: downloading"):
                        task.note(line.removeprefix("go: ").strip())
                    elif "/" in line and " " not in line.strip():
                        compiled += 1
                        count = f"{compiled:,} of {max(total, compiled):,} packages compiled"
                        task.note(count if total else line.strip())
            except BaseException:
                # Leaving the block waits for Go to end; after an interrupt it need not finish first.
                process.kill()
                raise
        code = process.returncode
    if code:
        lines = "\n  ".join(tail) or "(it printed nothing)"
        raise EngineError(
            f"building the Pulumi CLI failed (go build ended with {code}); the newest lines of {places.build_log}:\n"
            f"  {lines}\n"
            "If modules could not be downloaded, check the network or GOPROXY; "
            "or install Pulumi yourself (https://www.pulumi.com/docs/install/)."
        )


def _count_packages(go: str, environ: dict[str, str]) -> int:
    # Only for the progress line. Listing needs every module; where some are still to be downloaded it says 0 at once.
    try:
        done = subprocess.run(  # noqa: S603 - go, found on PATH, with our own arguments
            [go, "list", "-mod=readonly", "-deps", PACKAGE],
            cwd=CLI_SOURCE,
            env={**environ, "GOPROXY": "off"},
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    return len(done.stdout.splitlines())
