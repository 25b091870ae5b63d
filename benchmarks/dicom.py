"""Importing DICOM files, and exporting their metadata to BigQuery.

The import of 5,000 files stands beside a single-process loop of ``pydicom.dcmread(path, stop_before_pixels=True)`` over
the same files. The files are pydicom's own CT and MR images with new UIDs. The metadata of 100,000 instances is
exported, the best of three times: those of the CT image, once without its 176 private elements, against 40,000 rows a
second, and once with them, which make up three quarters of a row, against 5 seconds.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import Figure
from emulator.server.server import LocalEmulator
from emulator.storage import service as storage

IMPORTED = 5_000
EXPORTED = 100_000
EXPORT_LIMIT_SECONDS = {False: EXPORTED / 40_000, True: 5.0}
EXPORTS = 3

PROJECT = "hospital-imaging"
BUCKET = "benchmark-inbox"
DATASET = f"projects/{PROJECT}/locations/europe-west4/datasets/benchmark"

#: Takes the place of a UID in the templates, and is replaced by one of the same length (PS3.5 section 9: 64 at most).
_PLACEHOLDER = "1.2.826.0.1.3680043.10.999." + "9" * 20

#: The peer. It prints how long the loop took; starting Python and importing pydicom do not count.
_PEER = """
import sys, time, warnings
from pathlib import Path
import pydicom
warnings.simplefilter("ignore")
paths = sorted(Path(sys.argv[1]).iterdir())
begin = time.perf_counter()
for path in paths:
    pydicom.dcmread(path, stop_before_pixels=True)
print(time.perf_counter() - begin)
"""


def measure() -> Iterator[Figure]:
    """The figures."""
    yield _import()
    yield _export("standard elements", private=False)
    yield _export("and 176 private elements", private=True)


def _import() -> Figure:
    templates = [_template("CT_small.dcm"), _template("MR_small.dcm")]
    with tempfile.TemporaryDirectory() as folder, LocalEmulator() as emulator:
        _prepare(emulator)
        for number in range(IMPORTED):
            data = _instance(templates[number % len(templates)], number)
            (Path(folder) / f"{number:06}.dcm").write_bytes(data)
            storage.put_object(emulator.emulator, BUCKET, f"{number:06}.dcm", data, "application/dicom")
        peer = _peer(folder)
        ours = _timed(emulator, "images:import", {"gcsSource": {"uri": f"gs://{BUCKET}/**"}}, IMPORTED)
        again = _peer(folder)
    reference = min(peer, again)
    return Figure(
        f"import of {IMPORTED:,} files",
        f"{ours:.2f} s, {IMPORTED / ours:,.0f}/s",
        f"dcmread(stop_before_pixels=True) in one process: {reference:.2f} s",
        ours / reference,
        1.0,
    )


def _export(elements: str, *, private: bool) -> Figure:
    template = _template("CT_small.dcm", pixels=False, private=private)
    with LocalEmulator() as emulator:
        _prepare(emulator)
        for number in range(EXPORTED):
            name = f"{number:06}.dcm"
            storage.put_object(emulator.emulator, BUCKET, name, _instance(template, number), "application/dicom")
        _timed(emulator, "images:import", {"gcsSource": {"uri": f"gs://{BUCKET}/**"}}, EXPORTED)
        body = {
            "bigqueryDestination": {
                "tableUri": f"bq://{PROJECT}.benchmark.instances",
                "writeDisposition": "WRITE_TRUNCATE",
            }
        }
        seconds = min(_timed(emulator, "images:export", body, EXPORTED) for _ in range(EXPORTS))
    limit = EXPORT_LIMIT_SECONDS[private]
    return Figure(
        f"metadata export of {EXPORTED:,} CT instances: {elements}",
        f"{seconds:.2f} s, {EXPORTED / seconds:,.0f} rows/s",
        f"limit: {limit:g} s",
        seconds / limit,
        1.0,
    )


def _template(name: str, *, pixels: bool = True, private: bool = True) -> bytes:
    """The bytes of one of pydicom's images with the placeholder as its SOP instance UID."""
    from pydicom import dcmread
    from pydicom.data import get_testdata_file
    from pydicom.uid import UID

    path = get_testdata_file(name, download=False)
    dataset = dcmread(str(path))
    dataset.SOPInstanceUID = UID(_PLACEHOLDER)
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(_PLACEHOLDER)
    if not pixels:
        del dataset.PixelData
    if not private:
        dataset.remove_private_tags()
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def _instance(template: bytes, number: int) -> bytes:
    uid = _PLACEHOLDER[: -len(str(number)) - 1] + f"1{number}"
    return template.replace(_PLACEHOLDER.encode(), uid.encode())


def _peer(folder: str) -> float:
    printed = subprocess.run([sys.executable, "-c", _PEER, folder], check=True, capture_output=True, text=True)
    return float(printed.stdout)


def _prepare(emulator: LocalEmulator) -> None:
    """A bucket, a DICOM store and a BigQuery dataset; permissions are not what is measured."""
    emulator.control("PATCH", "settings", {"enforceIam": False})
    call = _caller(emulator)
    call("POST", f"storage/v1/b?project={PROJECT}", {"name": BUCKET, "location": "EU"})
    call("POST", f"v1/{DATASET.rpartition('/')[0]}?datasetId=benchmark", {})
    call("POST", f"v1/{DATASET}/dicomStores?dicomStoreId=images", {})
    reference = {"datasetReference": {"datasetId": "benchmark", "projectId": PROJECT}}
    call("POST", f"bigquery/v2/projects/{PROJECT}/datasets", reference)


def _timed(emulator: LocalEmulator, method: str, body: dict[str, Any], instances: int) -> float:
    """Seconds from the request until the operation is seen to be done."""
    call = _caller(emulator)
    begin = time.perf_counter()
    name = call("POST", f"v1/{DATASET}/dicomStores/{method}", body)["name"]
    while True:
        operation = call("GET", f"v1/{name}", None)
        if operation.get("done"):
            seconds = time.perf_counter() - begin
            break
        time.sleep(0.02)
    counter = operation["metadata"]["counter"]
    if "error" in operation or counter.get("success") != str(instances):
        raise RuntimeError(f"{method} did not do its work: {operation}")
    return seconds


def _caller(emulator: LocalEmulator) -> Callable[[str, str, dict[str, Any] | None], dict[str, Any]]:
    def call(http_method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{emulator.url}/{path}", data, method=http_method)  # noqa: S310 - loopback
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - loopback
            parsed: dict[str, Any] = json.load(answer)
            return parsed

    return call
