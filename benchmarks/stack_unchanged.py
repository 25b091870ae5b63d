"""`pulumi up` and `pulumi preview` of stacks in which nothing has changed: what many exports cost.

Emulator, CLI, program and providers are processes of their own, each started for one measurement. A stack with exports
that have filter queries must not take longer with the square of its size, and the imports and exports of the demo stack
must not show in a preview.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import Figure
from examples import demo
from tests.engine.stack_runner import Stack
from tests.protocol.operations.hospital import dicom_file

FEW, MANY = 50, 200
FEW_LIMIT_SECONDS = 6.0
MANY_LIMIT = 3.5
PREVIEW_LIMIT = 1.15
_RUNS = 5


def measure() -> Iterator[Figure]:
    """The figures."""
    few, many = _unchanged_up(FEW), _unchanged_up(MANY)
    yield Figure(
        f"pulumi up without changes, {FEW} exports with filter queries, median of {_RUNS}",
        f"{few:.1f} s",
        f"limit: {FEW_LIMIT_SECONDS:g} s",
        few / FEW_LIMIT_SECONDS,
        1.0,
    )
    yield Figure(
        f"pulumi up without changes, {MANY} exports with filter queries, median of {_RUNS}",
        f"{many:.1f} s",
        f"{FEW} exports: {few:.1f} s",
        many / few,
        MANY_LIMIT,
    )
    with_runs, without = _unchanged_previews()
    yield Figure(
        f"pulumi preview of the demo stack without changes, median of {_RUNS}",
        f"{with_runs:.2f} s",
        f"without its imports and exports: {without:.2f} s",
        with_runs / without,
        PREVIEW_LIMIT,
    )


def _unchanged_up(exports: int) -> float:
    settings = _demo_settings()
    del settings["imaging:imports"]
    settings["imaging:exports"] = [
        {
            "name": f"metadata-{number}",
            "store": "pacs",
            "to": f"bq://research-analytics.dicom.instances_{number}",
            "writeDisposition": "WRITE_TRUNCATE",
            "filter": {"query": f"SELECT '/studies/1.2.3' AS path  -- {number}"},
        }
        for number in range(exports)
    ]
    with _deployed(settings) as stack:
        return statistics.median(
            _seconds(stack, "up", "--yes", "--skip-preview", "--expect-no-changes") for _ in range(_RUNS)
        )


def _unchanged_previews() -> tuple[float, float]:
    """Seconds of a preview of the demo stack, with its imports and exports and without them."""
    settings = _demo_settings()
    without = {key: each for key, each in settings.items() if key not in ("imaging:imports", "imaging:exports")}
    seconds: tuple[list[float], list[float]] = ([], [])
    with _deployed(settings) as one, _deployed(without) as other:
        for _ in range(_RUNS):  # in turn, so that whatever else the machine does meets both
            for stack, measured in zip((one, other), seconds, strict=True):
                measured.append(_seconds(stack, "preview", "--expect-no-changes"))
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def _seconds(stack: Stack, *command: str) -> float:
    begin = time.perf_counter()
    stack.run(*command)
    return time.perf_counter() - begin


def _demo_settings() -> dict[str, Any]:
    file = demo.ROOT / f"Pulumi.{demo.STACK}.yaml"
    settings: dict[str, Any] = importlib.import_module("yaml").safe_load(file.read_text(encoding="utf-8"))["config"]
    return settings


@contextlib.contextmanager
def _deployed(settings: dict[str, Any]) -> Iterator[Stack]:
    """Deploy a stack on an emulator of its own, with three images in the inbox and as many in the store."""
    command = [sys.executable, "-m", "emulator", "serve", "--port", "0"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, cwd=demo.ROOT, stdout=subprocess.PIPE, text=True) as emulator,
    ):
        try:
            line = emulator.stdout.readline() if emulator.stdout is not None else ""
            if not line.startswith("ready "):
                raise RuntimeError(f"the emulator did not start: {line!r}")
            url = line.split()[1]
            declared = {
                key: each for key, each in settings.items() if key not in ("imaging:imports", "imaging:exports")
            }
            stack = Stack(Path(folder), {**declared, "imaging:endpoint": url})
            stack.up()
            _post(f"{url}/storage/v1/b?project={demo.PROJECT}", json.dumps({"name": demo.INBOX}).encode())
            store = f"projects/{demo.PROJECT}/locations/europe-west4/datasets/radiology/dicomStores/pacs"
            for number in range(3):
                image = dicom_file("1.2.3", "1.2.3.1", f"1.2.3.1.{number}")
                _post(f"{url}/upload/storage/v1/b/{demo.INBOX}/o?uploadType=media&name={number}.dcm", image)
                _post(f"{url}/v1/{store}/dicomWeb/studies", image, "application/dicom")
            stack.config = {**settings, "imaging:endpoint": url}
            stack.up()
            yield stack
        finally:
            emulator.terminate()


def _post(url: str, data: bytes, kind: str = "application/json") -> None:
    request = urllib.request.Request(url, data, {"Content-Type": kind})  # noqa: S310 - loopback
    with urllib.request.urlopen(request) as answer:  # noqa: S310 - loopback
        answer.read()
