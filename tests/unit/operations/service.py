"""A Healthcare service in memory and in simulated time, under the real google-api-python-client.

It speaks just enough of the protocol to hold the client to its promises: how often it asks, what it repeats, what it
never repeats. Faults are planned per kind of call and must all be consumed (`assert_consumed`).

Limitations: one store; no permissions; operations end when their time has come, whatever they do.
"""

import json
import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import httplib2

from operations.google.connection import Connection, ConnectionSettings

DATASET = "projects/hospital/locations/europe-west4/datasets/radiology"
STORE = f"{DATASET}/dicomStores/pacs"
# When the service's own clock begins; the one on the wall here may be set anew.
_EPOCH = 1_700_000_000.0


class SimulatedClock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.time = 0.0
        self.wall_offset = _EPOCH
        self.slept: list[float] = []

    def now(self) -> float:
        return self.wall_offset + self.time

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        del condition
        self.time += seconds

    def random(self) -> float:
        return 0.5


@dataclass
class Operation:
    name: str
    method: str
    created: float
    seconds: float
    success: int = 10
    failure: int = 0
    error: dict[str, Any] | None = None
    cancelled: bool = False
    gone_at: float | None = None


@dataclass
class Fault:
    """What happens instead of (or, with `after`, beside) a normal answer."""

    status: int = 0
    message: str = "planned fault"
    retry_after: str | None = None
    drop: str = ""  # "before" or "after" the call takes effect
    error: Exception | None = None


@dataclass
class Service:
    clock: SimulatedClock
    instances: int = 10
    sizes: dict[str, str] = field(default_factory=dict)
    rows: int | None = None
    objects: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    errors: deque[dict[str, Any]] = field(default_factory=deque)
    operations: dict[str, Operation] = field(default_factory=dict)
    faults: dict[str, deque[Fault]] = field(default_factory=dict)
    requests: list[tuple[float, str]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    log_entries: list[dict[str, Any]] = field(default_factory=list)
    failure: int = 0
    page_size: int = 1000
    unknown_until: float = 0.0
    datasets: list[str] = field(default_factory=lambda: [DATASET])
    bigquery_dataset: bool = True
    table_kind: str = "TABLE"
    table_created: str = "1000"

    def plan(self, kind: str, *faults: Fault) -> None:
        self.faults.setdefault(kind, deque()).extend(faults)

    def assert_consumed(self) -> None:
        assert {kind: len(left) for kind, left in self.faults.items() if left} == {}

    def count(self, kind: str) -> int:
        return Counter(kind for _, kind in self.requests)[kind]

    def connection(self, endpoint: str = "http://127.0.0.1:1") -> Connection:
        endpoints = dict.fromkeys(("healthcare", "bigquery", "storage", "logging"), endpoint)
        return Connection(ConnectionSettings(endpoints=endpoints), make_http=lambda _timeout: _Http(self))

    def answer(self, method: str, uri: str, body: Any) -> tuple[int, dict[str, str], dict[str, Any]]:
        parts = urlsplit(uri)
        path, query = unquote(parts.path), {key: values[0] for key, values in parse_qs(parts.query).items()}
        kind = _kind(method, path)
        self.requests.append((self.clock.time, kind))
        fault = self.faults[kind].popleft() if self.faults.get(kind) else None
        if fault is not None:
            if fault.error is not None:
                raise fault.error
            if fault.drop == "before":
                raise ConnectionResetError("connection reset by peer")
            if fault.drop == "after":
                self._take(kind, path, query, body)
                raise ConnectionResetError("connection reset by peer")
            headers = {"retry-after": fault.retry_after} if fault.retry_after else {}
            return fault.status, headers, _error(fault.status, fault.message)
        return self._take(kind, path, query, body)

    def _take(
        self, kind: str, path: str, query: dict[str, str], body: Any
    ) -> tuple[int, dict[str, str], dict[str, Any]]:
        if kind in ("export", "import"):
            return self._start(kind, body)
        if kind == "operations.get":
            operation = self.operations.get(path.removeprefix("/v1/"))
            if operation is None or self._is_gone(operation):
                return 404, {}, _error(404, "operation not found")
            return 200, {}, self.as_json(operation)
        if kind == "operations.list":
            below = f"{path.removeprefix('/v1/')}/"
            known = [each for each in self.operations.values() if each.name.startswith(below)]
            known = [each for each in known if not self._is_gone(each)]
            begin = int(query.get("pageToken", 0))
            size = min(int(query.get("pageSize", self.page_size)), self.page_size)
            page: dict[str, Any] = {"operations": [self.as_json(each) for each in known[begin : begin + size]]}
            if begin + size < len(known):
                page["nextPageToken"] = str(begin + size)
            return 200, {}, page
        if kind == "locations.list":
            found = dict.fromkeys(each.split("/")[3] for each in self.datasets)
            locations = [{"name": f"projects/hospital/locations/{each}", "locationId": each} for each in found]
            return 200, {}, {"locations": locations}
        if kind == "datasets.list":
            there = [each for each in self.datasets if each.startswith(f"{path.removeprefix('/v1/')}/")]
            begin = int(query.get("pageToken", 0))
            end = begin + min(int(query.get("pageSize", self.page_size)), self.page_size)
            page = {"datasets": [{"name": each} for each in there[begin:end]]}
            return 200, {}, page | ({"nextPageToken": str(end)} if end < len(there) else {})
        if kind == "operations.cancel":
            self.operations[path.removeprefix("/v1/").removesuffix(":cancel")].cancelled = True
            return 200, {}, {}
        if kind == "metrics":
            counts = {"instanceCount": str(self.instances), "studyCount": "2"}
            return 200, {}, {"name": STORE, **counts, **self.sizes}
        if kind == "tables.get":
            if self.rows is None:
                return 404, {}, _error(404, self._not_found(path))
            return 200, {}, {"numRows": str(self.rows), "type": self.table_kind, "creationTime": self.table_created}
        if kind == "bigquery.datasets.get":
            if not self.bigquery_dataset:
                return 404, {}, _error(404, self._not_found(path))
            return 200, {}, {"id": "research:dicom"}
        if kind == "buckets.get":
            return 200, {}, {"name": "bucket"}
        if kind == "objects.list":
            created = self._time(self.clock.time)
            names = [name for name in sorted(self.objects) if name.startswith(query.get("prefix", ""))]
            items = [{"name": name, "size": "1", "timeCreated": created, "generation": "1"} for name in names]
            return 200, {}, {"items": items}
        if kind == "entries.list":
            return 200, {}, {"entries": self.log_entries}
        raise AssertionError(f"unexpected call {kind} {path}")

    def _not_found(self, path: str) -> str:
        """Say what BigQuery says: https://cloud.google.com/bigquery/docs/error-messages."""
        project, dataset, *table = [part for number, part in enumerate(path.split("/")[4:]) if number % 2 == 0]
        if table and self.bigquery_dataset:
            return f"Not found: Table {project}:{dataset}.{table[0]}"
        return f"Not found: Dataset {project}:{dataset}"

    def _start(self, kind: str, body: dict[str, Any]) -> tuple[int, dict[str, str], dict[str, Any]]:
        self.bodies.append(body)
        name = f"{DATASET}/operations/{1000 + len(self.operations)}"
        method = "ImportDicomData" if kind == "import" else "ExportDicomData_bq"
        error = self.errors.popleft() if self.errors else None
        self.operations[name] = Operation(
            name, method, self.clock.time, self.seconds, self.instances - self.failure, self.failure, error
        )
        return 200, {}, {"name": name}

    def as_json(self, operation: Operation) -> dict[str, Any]:
        age = self.clock.time - operation.created
        done = age >= operation.seconds or operation.cancelled
        share = 1.0 if done or not operation.seconds else age / operation.seconds
        success = int(operation.success * share)
        counter = {
            "success": str(success),
            "failure": str(operation.failure),
            "pending": str(operation.success - success),
        }
        metadata: dict[str, Any] = {
            "@type": "type.googleapis.com/google.cloud.healthcare.v1.OperationMetadata",
            "apiMethodName": f"google.cloud.healthcare.v1.dicom.DicomService.{operation.method}",
            "createTime": self._time(operation.created),
            "counter": {key: value for key, value in counter.items() if value != "0"},
        }
        found: dict[str, Any] = {"name": operation.name, "metadata": metadata}
        if done:
            metadata["endTime"] = self._time(operation.created + operation.seconds)
            error = {"code": 1, "message": "cancelled"} if operation.cancelled else operation.error
            found |= {"done": True, **({"error": error} if error else {"response": {}})}
        return found

    def add(self, seconds: float, dataset: str = DATASET, **more: Any) -> str:
        name = f"{dataset}/operations/{1000 + len(self.operations)}"
        self.operations[name] = Operation(name, "ExportDicomData_bq", self.clock.time, seconds, **more)
        return name

    def _is_gone(self, operation: Operation) -> bool:
        if self.clock.time < self.unknown_until:
            return True
        return operation.gone_at is not None and self.clock.time >= operation.gone_at

    def _time(self, moment: float) -> str:
        return datetime.fromtimestamp(_EPOCH + moment, UTC).isoformat()


class _Http(httplib2.Http):
    def __init__(self, service: Service) -> None:
        super().__init__()
        self._service = service

    def request(self, uri: str, method: str = "GET", body: Any = None, *_args: Any, **_more: Any) -> Any:
        status, headers, answer = self._service.answer(method, uri, json.loads(body) if body else None)
        response = httplib2.Response({"status": str(status), "content-type": "application/json", **headers})
        response.reason = "planned"
        return response, json.dumps(answer).encode()


def _kind(method: str, path: str) -> str:
    for ending, kind in (
        (":export", "export"),
        (":import", "import"),
        (":cancel", "operations.cancel"),
        (":getDICOMStoreMetrics", "metrics"),
        ("/operations", "operations.list"),
        ("/datasets", "datasets.list"),
        ("/locations", "locations.list"),
        ("/o", "objects.list"),
        ("entries:list", "entries.list"),
    ):
        if path.endswith(ending):
            return kind
    for part, kind in (
        ("/operations/", "operations.get"),
        ("/tables/", "tables.get"),
        ("/bigquery/v2/", "bigquery.datasets.get"),
        ("/b/", "buckets.get"),
    ):
        if part in path:
            return kind
    return f"{method} {path}"


def _error(status: int, message: str) -> dict[str, Any]:
    names = {
        400: "INVALID_ARGUMENT",
        401: "UNAUTHENTICATED",
        403: "PERMISSION_DENIED",
        404: "NOT_FOUND",
        429: "RESOURCE_EXHAUSTED",
        500: "INTERNAL",
        503: "UNAVAILABLE",
    }
    return {"error": {"code": status, "message": message, "status": names.get(status, "UNKNOWN")}}
