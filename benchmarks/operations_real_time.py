"""An export of 20 s on the emulator, from the request to its verified end, beside gcloud where that is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterable

from benchmarks import Figure
from emulator.core.environment import environment
from emulator.server.server import LocalEmulator
from operations.model.requests import make_export
from operations.run.report import conclude
from operations.run.start import start
from operations.run.wait import Waiter
from tests.protocol.operations.hospital import PROJECT, STORE, TABLE, Hospital

SECONDS = 20.0


def measure() -> Iterable[Figure]:
    """Run the export by this project, then by gcloud."""
    with LocalEmulator() as emulator:
        hospital = Hospital(emulator)
        hospital.store_instances(10)
        hospital.settings(operationSeconds=SECONDS)
        begin = time.perf_counter()
        request = make_export(STORE, TABLE, write_disposition="WRITE_TRUNCATE")
        started = start(hospital.connection, request)
        outcome = Waiter(hospital.connection).wait(started.operation, timeout=120)
        conclude(hospital.connection, outcome, request, started.facts)
        ours = time.perf_counter() - begin
        hospital.close()
        yield Figure("export of 20 s, verified", f"{ours:.1f} s", f"{SECONDS:.0f} s", ours / SECONDS, 1.1)
        if shutil.which("gcloud"):
            theirs = _gcloud(emulator.url)
            yield Figure("export of 20 s", f"{ours:.1f} s", f"gcloud {theirs:.1f} s", ours / theirs, 1.0)


def _gcloud(url: str) -> float:
    command = ["gcloud", "healthcare", "dicom-stores", "export", "bq", "pacs", "--dataset=radiology", "--quiet"]
    command += ["--location=europe-west4", f"--project={PROJECT}", f"--bq-table={TABLE}", "--overwrite-table"]
    begin = time.perf_counter()
    subprocess.run(command, env={**os.environ, **environment(url)}, check=True, capture_output=True)
    return time.perf_counter() - begin
