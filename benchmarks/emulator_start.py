"""How soon the emulator serves, and how much memory it takes when idle, against their limits.

Each is the best of several starts of ``python -m emulator serve``, in memory and with a data directory that holds a
thousand objects.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from benchmarks import Figure

READY_SECONDS = 0.6
IDLE_MIB = 120
STARTS = 3
OBJECTS = 1_000

_ROOT = Path(__file__).resolve().parent.parent


def measure() -> Iterator[Figure]:
    """The figures."""
    yield from _figures("in memory", [])
    with tempfile.TemporaryDirectory() as data:
        _fill(data)
        yield from _figures(f"on disk with {OBJECTS:,} objects", ["--data", data])


def _figures(what: str, arguments: list[str]) -> Iterator[Figure]:
    found = [_start(arguments) for _ in range(STARTS)]
    seconds, idle = min(one[0] for one in found), min(one[1] for one in found)
    yield Figure(
        f"start {what}", f"{seconds:.2f} s until ready", f"limit: {READY_SECONDS:g} s", seconds / READY_SECONDS, 1.0
    )
    yield Figure(f"idle memory {what}", f"{idle:.0f} MiB", f"limit: {IDLE_MIB} MiB", idle / IDLE_MIB, 1.0)


def _start(arguments: list[str]) -> tuple[float, float]:
    """Seconds until an emulator is ready, and its resident memory in MiB after its first answer."""
    process, seconds, url = _serve(arguments)
    with urllib.request.urlopen(f"{url}/emulator/v1/settings") as answer:  # noqa: S310 - loopback
        answer.read()
    idle = _memory(process)
    _end(process)
    return seconds, idle


def _serve(arguments: list[str]) -> tuple[subprocess.Popen[str], float, str]:
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "emulator", "serve", "--port", "0", *arguments],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    line = process.stdout.readline() if process.stdout is not None else ""
    seconds = time.perf_counter() - began
    if not line.startswith("ready "):
        _end(process)
        raise RuntimeError(f"the emulator did not start: {line!r}")
    return process, seconds, line.split()[1]


def _end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    process.wait(30)
    if process.stdout is not None:
        process.stdout.close()


def _memory(process: subprocess.Popen[str]) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text("ascii")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    if found is None:
        raise RuntimeError("the resident memory of a process can't be read here")
    return int(found[1]) / 1024


def _fill(data: str) -> None:
    process, _, url = _serve(["--data", data])
    _post(f"{url}/storage/v1/b?project=hospital-imaging", b'{"name": "inbox"}')
    for number in range(OBJECTS):
        _post(f"{url}/upload/storage/v1/b/inbox/o?uploadType=media&name={number}.dcm", b"x" * 1000)
    _end(process)


def _post(url: str, data: bytes) -> None:
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 - loopback
    with urllib.request.urlopen(request) as answer:  # noqa: S310 - loopback
        answer.read()
