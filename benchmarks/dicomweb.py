"""DICOMweb: storing, searching, and what storing does to memory; beside Orthanc, where it is installed.

Instances are pydicom's CT image with new UIDs: series of 50, two series a study, ten instances a request over four
connections, to an emulator that keeps them on disk. Orthanc (Debian's packages ``orthanc`` and ``orthanc-dicomweb``)
gets the same requests in the same run, on a free port of loopback and in a directory of its own.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import io
import json
import multiprocessing
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import Figure

STORED = 20_000
STORED_IN_ORTHANC = 3_000
SEARCHED = 100_000
PER_REQUEST = 10
CONNECTIONS = 4
RATE_GOAL = 500
#: From here on memory is to stay as it is; until then caches fill.
WARM = 4_000
GROWTH_LIMIT_MIB = 48
MATCH_LIMIT_SECONDS = 0.050
LIST_LIMIT_SECONDS = 0.150

STORE = "v1/projects/hospital-imaging/locations/europe-west4/datasets/benchmark/dicomStores/images"
_ROOT = Path(__file__).resolve().parent.parent
_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
#: Take the place of UIDs in the template, and are replaced by others of the same length.
_STUDY, _SERIES, _INSTANCE = (f"1.2.826.0.1.3680043.10.999.{number}" + "9" * 12 for number in (1, 2, 3))
_PATIENT = "PATIENT-00000000"


@dataclass(frozen=True)
class Service:
    """A DICOMweb service that runs.

    Args:
        port: on loopback.
        path: of its DICOMweb service.
        process: its process.
    """

    port: int
    path: str
    process: subprocess.Popen[bytes]


def measure() -> Iterator[Figure]:
    """The figures."""
    with contextlib.ExitStack() as stack:
        orthanc = stack.enter_context(_orthanc()) if shutil.which("Orthanc") and _PLUGIN.exists() else None
        if orthanc is None:
            print("dicomweb: Orthanc is not installed (apt-get install orthanc orthanc-dicomweb); no peer", flush=True)
        yield from _storing(orthanc)
        yield from _searching(orthanc)


# -- storing --


def _storing(orthanc: Service | None) -> Iterator[Figure]:
    with _emulator() as emulator:
        warm = _store(emulator, range(WARM))
        before = _memory(emulator.process)
        rate = _store(emulator, range(WARM, STORED))
        growth = _memory(emulator.process) - before
    goal = f"goal: {RATE_GOAL} instances/s"
    best = max(warm, rate)
    yield Figure(
        "STOW, ten instances a request", f"{best:,.0f} instances/s", goal, best / RATE_GOAL, 1.0, more_is_better=True
    )
    if orthanc is not None:
        peer = _store(orthanc, range(STORED_IN_ORTHANC))
        yield Figure(
            "the same, beside Orthanc",
            f"{best:,.0f} instances/s",
            f"{peer:,.0f} instances/s",
            best / peer,
            None,
            more_is_better=True,
        )
    yield Figure(
        f"memory from {WARM:,} to {STORED:,} stored instances",
        f"{growth:+.0f} MiB",
        f"limit: {GROWTH_LIMIT_MIB} MiB",
        max(0.0, growth) / GROWTH_LIMIT_MIB,
        1.0,
    )


def _store(service: Service, numbers: range) -> float:
    """Store instances; how many a second."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_send_all, (service.port, service.path, numbers))


def _send_all(port: int, path: str, numbers: range) -> float:
    """Send instances over several connections, from a process of its own."""
    portions = iter([numbers[at : at + PER_REQUEST] for at in range(0, len(numbers), PER_REQUEST)])
    lock, failed = threading.Lock(), []
    template()

    def work() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        kind = {
            "Content-Type": 'multipart/related; type="application/dicom"; boundary=B',
            "Accept": "application/dicom+json",
        }
        while True:
            with lock:
                portion = next(portions, None)
            if portion is None:
                break
            parts = [b"--B\r\nContent-Type: application/dicom\r\n\r\n" + instance(n) + b"\r\n" for n in portion]
            connection.request("POST", f"/{path}/studies", b"".join(parts) + b"--B--\r\n", kind)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                failed.append(text)
                break
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise RuntimeError(f"an instance was not stored: {failed[0][:500]!r}")
    return len(numbers) / (time.perf_counter() - began)


@functools.cache
def template() -> bytes:
    """The CT image with the placeholders."""
    from pydicom import dcmread
    from pydicom.data import get_testdata_file
    from pydicom.uid import UID

    dataset = dcmread(str(get_testdata_file("CT_small.dcm", download=False)))
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = UID(_STUDY), UID(_SERIES)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(_INSTANCE)
    dataset.PatientID = _PATIENT
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def _names(number: int) -> dict[str, str]:
    """What takes the place of the placeholders in an instance."""
    return {
        _STUDY: f"{_STUDY[:-12]}{number // 100:012}".replace(".10.999.1", ".10.999.4"),
        _SERIES: f"{_SERIES[:-12]}{number // 50:012}".replace(".10.999.2", ".10.999.5"),
        _INSTANCE: f"{_INSTANCE[:-12]}{number:012}".replace(".10.999.3", ".10.999.6"),
        _PATIENT: f"PATIENT-{number // 100:08}",
    }


def instance(number: int) -> bytes:
    """One of the instances."""
    data = template()
    for placeholder, name in _names(number).items():
        data = data.replace(placeholder.encode(), name.encode())
    return data


# -- searching --


def _searching(orthanc: Service | None) -> Iterator[Figure]:
    from emulator.server.server import LocalEmulator

    with LocalEmulator() as local:
        port = int(local.url.rpartition(":")[2])
        _prepare(port)
        _fill(local)
        for number, what, query in _queries(SEARCHED):
            seconds = _seconds(port, f"{STORE}/dicomWeb/{query}", number)
            limit = LIST_LIMIT_SECONDS if number > 1 else MATCH_LIMIT_SECONDS
            yield Figure(
                f"{what} among {SEARCHED:,} instances",
                f"{seconds * 1000:.1f} ms",
                f"limit: {limit * 1000:g} ms",
                seconds / limit,
                1.0,
            )
            if orthanc is not None:
                (theirs,) = (q for n, w, q in _queries(STORED_IN_ORTHANC) if w == what)
                peer = _seconds(orthanc.port, f"{orthanc.path}/{theirs}", number)
                yield Figure(
                    f"{what}, beside Orthanc",
                    f"{seconds * 1000:.1f} ms",
                    f"{peer * 1000:.1f} ms among {STORED_IN_ORTHANC:,} instances",
                    seconds / peer,
                )


def _queries(instances: int) -> list[tuple[int, str, str]]:
    """Expected number of results, what is searched for, and the query."""
    names = _names(instances // 2)
    return [
        (1, "exact match of SOPInstanceUID", f"instances?SOPInstanceUID={names[_INSTANCE]}"),
        (1, "exact match of PatientID", f"studies?PatientID={names[_PATIENT]}"),
        (1000, "1,000 instances listed", "instances?limit=1000"),
    ]


def _fill(local: object) -> None:
    """Put the instances into the index. How they come there is measured elsewhere; they share one file."""
    from emulator.healthcare.access import stores
    from emulator.healthcare.dicom.reader import read_instance
    from emulator.healthcare.instances import Instances
    from emulator.healthcare.stored import New
    from emulator.server.server import LocalEmulator

    assert isinstance(local, LocalEmulator)  # noqa: S101 - for the type checker
    emulator = local.emulator
    blob, record = emulator.state.blobs.put(template()), read_instance(template())
    number = stores(emulator)[STORE.removeprefix("v1/")]["number"]

    def made(which: int) -> New:
        names = _names(which)
        changed = {
            field: functools.reduce(lambda text, pair: text.replace(*pair), names.items(), getattr(record, field))
            for field in ("study", "series", "instance", "patient_id", "study_json", "series_json", "instance_json")
        }
        return New(record._replace(**changed), blob)

    instances = emulator.service(Instances)
    for at in range(0, SEARCHED, 5000):
        instances.add(number, [made(which) for which in range(at, at + 5000)])


def _seconds(port: int, path: str, expected: int) -> float:
    """The median time of a search."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    times: list[float] = []
    while len(times) < 15 and sum(times) < 5:
        began = time.perf_counter()
        connection.request("GET", f"/{path}", headers={"Accept": "application/dicom+json"})
        answer = connection.getresponse()
        text = answer.read()
        times.append(time.perf_counter() - began)
        if answer.status != 200 or len(json.loads(text)) != expected:
            raise RuntimeError(f"{path}: {expected} results were expected, not {answer.status} {text[:200]!r}")
    connection.close()
    return statistics.median(times)


# -- services --


@contextlib.contextmanager
def _emulator() -> Iterator[Service]:
    with tempfile.TemporaryDirectory() as data:
        process = subprocess.Popen(
            [sys.executable, "-m", "emulator", "serve", "--port", "0", "--data", data],
            cwd=_ROOT,
            stdout=subprocess.PIPE,
        )
        try:
            line = process.stdout.readline().decode() if process.stdout is not None else ""
            port = int(line.rstrip().rpartition(":")[2])
            _prepare(port)
            yield Service(port, f"{STORE}/dicomWeb", process)
        finally:
            _end(process)


def _prepare(port: int) -> None:
    """A dataset and a DICOM store."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    datasets = STORE.partition("/datasets/")[0] + "/datasets"
    for path in (f"{datasets}?datasetId=benchmark", f"{datasets}/benchmark/dicomStores?dicomStoreId=images"):
        connection.request("POST", f"/{path}", b"{}", {"Content-Type": "application/json"})
        connection.getresponse().read()
    connection.close()


@contextlib.contextmanager
def _orthanc() -> Iterator[Service]:
    with tempfile.TemporaryDirectory() as directory:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        settings = {
            "HttpPort": port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomServerEnabled": False,
            "StorageDirectory": f"{directory}/storage",
            "IndexDirectory": f"{directory}/index",
            "Plugins": [str(_PLUGIN)],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }
        path = Path(directory) / "orthanc.json"
        path.write_text(json.dumps(settings))
        process = subprocess.Popen(["Orthanc", str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _await(port, process)
            yield Service(port, "dicom-web", process)
        finally:
            _end(process)


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise RuntimeError("Orthanc did not start")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(60)
    if process.stdout is not None:
        process.stdout.close()


def _memory(process: subprocess.Popen[bytes]) -> float:
    """The most memory that a process ever had, in MiB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text("ascii"))
    if found is None:
        raise RuntimeError("the memory of a process can't be read here")
    return int(found[1]) / 1024
