"""A client of the Cloud Healthcare API that tests share: plain HTTP, so that every status and body can be seen."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from emulator.server.server import LocalEmulator

PROJECT = "hospital-imaging"
DATASET = f"projects/{PROJECT}/locations/europe-west4/datasets/radiology"
STORE = f"{DATASET}/dicomStores/pacs"


class Client:
    """Calls of one principal (None: the owner)."""

    dataset = DATASET
    store = STORE
    project = PROJECT

    def __init__(self, local: LocalEmulator, principal: str | None = None, version: str = "v1") -> None:
        self.local = local
        self.principal = principal
        self.version = version

    def acting_as(self, principal: str) -> Client:
        return Client(self.local, principal, self.version)

    def in_version(self, version: str) -> Client:
        return Client(self.local, self.principal, version)

    def raw(
        self, method: str, path: str, data: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        if not path.startswith("/"):
            path = f"/{self.version}/{path}"
        request = urllib.request.Request(self.local.url + path, data, headers or {}, method=method)
        if self.principal:
            request.add_header("Authorization", f"Bearer principal:{self.principal}")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers), error.read()

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        data = None if body is None else json.dumps(body).encode()
        status, _, answer = self.raw(method, path, data, {"Content-Type": "application/json"} if data else None)
        return status, json.loads(answer) if answer else {}

    def ok(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        status, answer = self(method, path, body)
        assert status == 200, answer
        return answer

    def refused(self, method: str, path: str, body: Any = None) -> tuple[int, str, str]:
        status, answer = self(method, path, body)
        assert status >= 400, answer
        assert answer["error"]["code"] == status
        return status, answer["error"]["status"], answer["error"]["message"]

    def wait(self, operation: dict[str, Any]) -> dict[str, Any]:
        assert set(operation) == {"name"}
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = self.ok("GET", operation["name"])
            if found.get("done"):
                return found
            time.sleep(0.005)
        raise TimeoutError(operation["name"])

    def setup(self) -> Client:
        """Create the dataset and the store."""
        place, _, name = DATASET.rpartition("/datasets/")
        self.wait(self.ok("POST", f"{place}/datasets?datasetId={name}", {}))
        self.ok("POST", f"{DATASET}/dicomStores?dicomStoreId=pacs", {})
        return self

    def bucket(self, name: str, files: dict[str, bytes] | None = None, role: str = "") -> None:
        """Create a bucket with objects, and grant the service agent a role on it."""
        from emulator.storage import service

        self.ok("POST", f"/storage/v1/b?project={PROJECT}", {"name": name})
        for path, data in (files or {}).items():
            service.put_object(self.local.emulator, name, path, data, "application/dicom")
        if role:
            self.grant(f"b/{name}", role)

    def objects(self, bucket: str) -> dict[str, bytes]:
        """The objects of a bucket."""
        from emulator.storage import service

        emulator = self.local.emulator
        return {one.name: emulator.state.blobs.read(one.blob_id) for one in service.list_objects(emulator, bucket)}

    def grant(self, resource: str, *roles: str) -> None:
        """Let the service agent hold these roles, and nobody any other, on a resource by policy key."""
        bindings = [{"role": role, "members": [self.agent]} for role in roles]
        self.local.emulator.iam.set(resource, {"bindings": bindings})

    def import_files(self, files: dict[str, bytes]) -> dict[str, Any]:
        """Import files through a bucket of their own; the finished operation."""
        self.bucket("inbox", files, "roles/storage.objectViewer")
        return self.run("import", {"gcsSource": {"uri": "gs://inbox/**"}})

    def run(self, verb: str, body: dict[str, Any]) -> dict[str, Any]:
        """Start an operation on the store and wait for it."""
        return self.wait(self.ok("POST", f"{self.store}:{verb}", body))

    def log_entries(self, operation: dict[str, Any]) -> list[dict[str, Any]]:
        """What Cloud Logging has about an operation."""
        number = operation["name"].rpartition("/")[2]
        body = {"resourceNames": [f"projects/{PROJECT}"], "filter": f'operation.id="{number}"', "pageSize": 1000}
        found: list[dict[str, Any]] = self.ok("POST", "/v2/entries:list", body).get("entries", [])
        return found

    @property
    def agent(self) -> str:
        return "serviceAccount:" + self.local.emulator.projects.provision_service_agent(PROJECT)


@pytest.fixture
def call(emulator: LocalEmulator) -> Client:
    """A client of an empty emulator."""
    return Client(emulator)


@pytest.fixture
def ready(call: Client) -> Client:
    """A client of an emulator with a dataset and an empty DICOM store."""
    return call.setup()


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """Wait until something holds."""

    def wait(holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not holds():
            assert time.monotonic() < deadline
            time.sleep(0.005)

    return wait
