"""With a data directory: what was acknowledged outlives a killed process, and nothing is left half-done."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pydicom
import pydicom.data

FILES = Path(pydicom.data.__file__).parent / "test_files"
PLACE = "projects/hospital-imaging/locations/europe-west4"
STORE = f"{PLACE}/datasets/radiology/dicomStores/pacs"


class Process:
    """An emulator in a process of its own."""

    def __init__(self, data: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "emulator", "serve", "--port", "0", "--data", str(data)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(r"http://\S+", line):
                self.url = found[0]
                break

    def call(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        address = f"{self.url}/{path.lstrip('/')}" if path.startswith("/") else f"{self.url}/v1/{path}"
        request = urllib.request.Request(address, data, {"Content-Type": kind}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return json.load(error)
        return json.loads(content) if content[:1] in (b"{", b"[") else content

    def wait(self, operation: dict[str, Any]) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found: dict[str, Any] = self.call("GET", operation["name"])
            if found.get("done"):
                return found
            time.sleep(0.01)
        raise TimeoutError

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def served(data: Path) -> Iterator[Process]:
    process = Process(data)
    try:
        yield process
    finally:
        process.kill()


def test_a_killed_emulator_loses_nothing_acknowledged_and_says_which_operation_it_interrupted(tmp_path: Path) -> None:
    with served(tmp_path) as first:
        first.wait(first.call("POST", f"{PLACE}/datasets?datasetId=radiology", {}))
        first.call("POST", f"{PLACE}/datasets/radiology/dicomStores?dicomStoreId=pacs", {"labels": {"a": "b"}})
        stored = (FILES / "CT_small.dcm").read_bytes()
        first.call("POST", f"{STORE}/dicomWeb/studies", stored, "application/dicom")
        first.call("POST", "/storage/v1/b?project=hospital-imaging", {"name": "inbox"})
        for name in ("MR_small.dcm", "rtplan.dcm"):
            address = f"/upload/storage/v1/b/inbox/o?uploadType=media&name={name}"
            first.call("POST", address, (FILES / name).read_bytes(), "application/dicom")
        first.call("PATCH", "/emulator/v1/settings", {"enforceIam": False})
        body = {"gcsSource": {"uri": "gs://inbox/MR*"}}
        done = first.wait(first.call("POST", f"{STORE}:import", body))
        assert done["metadata"]["counter"] == {"success": "1"}
        first.call("PATCH", "/emulator/v1/settings", {"operationSeconds": 3600})
        running = first.call("POST", f"{STORE}:import", {"gcsSource": {"uri": "gs://inbox/rt*"}})
        begun = first.call("POST", f"{PLACE}/datasets?datasetId=unfinished", {})
    with served(tmp_path) as second:
        assert second.call("GET", STORE) == {"name": STORE, "labels": {"a": "b"}}
        assert second.call("GET", f"{STORE}:getDICOMStoreMetrics")["instanceCount"] == "2"
        found = second.call("GET", f"{STORE}/dicomWeb/instances")
        assert [one["00080060"]["Value"] for one in found] == [["CT"], ["MR"]]
        assert second.call("GET", done["name"]) == done
        interrupted = second.call("GET", running["name"])
        assert interrupted["done"] is True
        assert interrupted["error"]["code"] == 10
        assert "stopped while this operation ran" in interrupted["error"]["message"]
        assert second.call("GET", begun["name"])["error"]["code"] == 10
        assert second.call("GET", f"{PLACE}/datasets/unfinished")["error"]["code"] == 403
        second.call("PATCH", "/emulator/v1/settings", {"enforceIam": False})
        again = second.wait(second.call("POST", f"{STORE}:import", {"gcsSource": {"uri": "gs://inbox/*"}}))
        assert again["metadata"]["counter"] == {"success": "2"}
        assert second.call("GET", f"{STORE}:getDICOMStoreMetrics")["instanceCount"] == "3"
    with served(tmp_path) as third:
        assert third.call("GET", f"{STORE}:getDICOMStoreMetrics")["instanceCount"] == "3"
        third.call("DELETE", STORE)
        third.call("POST", f"{PLACE}/datasets/radiology/dicomStores?dicomStoreId=pacs", {})
        assert third.call("GET", f"{STORE}:getDICOMStoreMetrics")["instanceCount"] == "0"


def test_a_large_instance_that_was_on_its_way_leaves_nothing(tmp_path: Path) -> None:
    with served(tmp_path) as first:
        first.wait(first.call("POST", f"{PLACE}/datasets?datasetId=radiology", {}))
        first.call("POST", f"{PLACE}/datasets/radiology/dicomStores?dicomStoreId=pacs", {})
        place = urlsplit(first.url)
        connection = http.client.HTTPConnection(place.hostname or "", place.port)
        connection.putrequest("POST", f"/v1/{STORE}/dicomWeb/studies")
        connection.putheader("Content-Type", "application/dicom")
        connection.putheader("Content-Length", "100000000")
        connection.endheaders((FILES / "CT_small.dcm").read_bytes() + b"x" * 20_000_000)
        deadline = time.monotonic() + 30
        while not any((tmp_path / "blobs" / "parts").glob("*")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    connection.close()
    with served(tmp_path) as second:
        assert second.call("GET", f"{STORE}/dicomWeb/instances") == b""  # 204: nothing was found
        assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []


def test_instances_of_a_killed_import_are_whole_and_the_rest_can_follow(tmp_path: Path) -> None:
    template = (FILES / "MR_small.dcm").read_bytes()
    uid = str(pydicom.dcmread(FILES / "MR_small.dcm").SOPInstanceUID)
    with served(tmp_path) as first:
        first.call("PATCH", "/emulator/v1/settings", {"enforceIam": False})
        first.wait(first.call("POST", f"{PLACE}/datasets?datasetId=radiology", {}))
        first.call("POST", f"{PLACE}/datasets/radiology/dicomStores?dicomStoreId=pacs", {})
        first.call("POST", "/storage/v1/b?project=hospital-imaging", {"name": "inbox"})
        for number in range(300):
            data = template.replace(uid.encode(), f"{uid[:-4]}{number:04}".encode())
            address = f"/upload/storage/v1/b/inbox/o?uploadType=media&name={number}.dcm"
            first.call("POST", address, data, "application/dicom")
        body = {"gcsSource": {"uri": "gs://inbox/*"}}
        operation = first.call("POST", f"{STORE}:import", body)
        # Killed as soon as something is stored; the operation may have come to its end by then, which is as well.
        while int(first.call("GET", f"{STORE}:getDICOMStoreMetrics")["instanceCount"]) == 0:
            pass
    with served(tmp_path) as second:
        second.call("PATCH", "/emulator/v1/settings", {"enforceIam": False})
        assert second.call("GET", operation["name"])["done"] is True
        stored = second.call("GET", f"{STORE}/dicomWeb/instances?limit=1000")
        assert stored
        address = f"{STORE}/dicomWeb/studies/{stored[0]['0020000D']['Value'][0]}"
        assert len(second.call("GET", f"{address}/metadata")) == len(stored)
        assert second.call("GET", address).count(b"DICM") == len(stored)
        done = second.wait(second.call("POST", f"{STORE}:import", body))
        assert done["metadata"]["counter"] == {"success": "300"}
        assert second.call("GET", f"{STORE}:getDICOMStoreMetrics")["instanceCount"] == "300"
