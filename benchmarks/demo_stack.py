"""The demo with everything set up, and a ``pulumi up`` that changes nothing, against their limits.

Uses port 8085, as the demo stack does; an emulator of an earlier ``make demo KEEP=1`` must be ended first.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks import Figure
from examples import demo

DEMO_LIMIT_SECONDS = 25.0
UNCHANGED_LIMIT_SECONDS = 4.0
_RUNS = 3


def measure() -> Iterator[Figure]:
    """The figures."""
    seconds = _run_demo(keep=True)
    try:
        unchanged = statistics.median(_unchanged_up() for _ in range(_RUNS))
    finally:
        _run([sys.executable, "-m", "examples.demo", "--down"], {})
    yield Figure(
        "the demo, everything set up, without taking it down",
        f"{seconds:.1f} s",
        f"limit: {DEMO_LIMIT_SECONDS:g} s",
        seconds / DEMO_LIMIT_SECONDS,
        1.0,
    )
    yield Figure(
        f"pulumi up of the demo stack without changes, median of {_RUNS}",
        f"{unchanged:.1f} s",
        f"limit: {UNCHANGED_LIMIT_SECONDS:g} s",
        unchanged / UNCHANGED_LIMIT_SECONDS,
        1.0,
    )


def _run_demo(*, keep: bool) -> float:
    begin = time.perf_counter()
    _run([sys.executable, "-m", "examples.demo"], {"KEEP": "1" if keep else ""})
    return time.perf_counter() - begin


def _unchanged_up() -> float:
    command = ["pulumi", "up", "--stack", demo.STACK, "--non-interactive", *demo.QUIETLY, "--expect-no-changes"]
    begin = time.perf_counter()
    _run(command, demo.environment())
    return time.perf_counter() - begin


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        command, cwd=demo.ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} failed:\n{done.stdout}\n{done.stderr}")
