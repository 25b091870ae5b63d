"""Long-running operations: started by a call, worked on in the background, read until they are done.

An operation goes through two steps. *Prepare* checks what can be checked before anything is touched and counts the
units of work; *run* does the work. A setting or a planned fault may stretch the time between them: then the counters
move with the time, and cancelling in between means that nothing was done.

Shapes: https://cloud.google.com/healthcare-api/docs/how-tos/long-running-operations.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..core.clock import now, rfc3339
from ..core.errors import RPC_CODES, ApiError, not_found
from ..core.faults import OperationFault
from .access import datasets

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.runtime import Emulator
    from ..http.call import Call
    from .names import DatasetName

_log = logging.getLogger("emulator")
_TYPE = "type.googleapis.com/"

#: ``error.details`` and the log hold at most this many failed units of one operation.
SAMPLES = 100


class CancelledError(Exception):
    """The operation is to stop: it was cancelled, or the emulator ends."""


@dataclass(slots=True)
class Operation:
    """An operation that is not done yet.

    Attributes:
        name: resource name, ``…/datasets/D/operations/ID``.
        version: the API version that started it.
        method: ``apiMethodName`` without its leading ``google.cloud.healthcare.VERSION.``.
        seconds: how long it lasts at least.
        total: units of work (for DICOM: instances or files); known once it is prepared.
        success: units that are done.
        failure: units that failed.
        planned_failures: units that are to fail because a planned fault says so.
        samples: ``(resource, code, message)`` of the first units that failed.
    """

    name: str
    project: str
    version: str
    method: str
    created: str
    seconds: float
    fault: OperationFault
    response: dict[str, Any]
    prepare: Callable[[Operation], int]
    run: Callable[[Operation], None]
    undo: Callable[[], object] | None = None
    resume: Callable[[], None] = lambda: None
    began: float = field(default_factory=time.monotonic)
    total: int = 0
    success: int = 0
    failure: int = 0
    secondary_success: int = 0
    secondary_failure: int = 0
    planned_failures: int = 0
    waiting: bool = False
    cancel_requested: bool = False
    stopped: threading.Event = field(default_factory=threading.Event)
    samples: list[tuple[str, int, str]] = field(default_factory=list)

    @property
    def id(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]

    def check(self) -> None:
        """Stop the work if it is to stop.

        Raises:
            CancelledError: it was cancelled or the emulator ends.
        """
        if self.stopped.is_set():
            raise CancelledError

    def failed(self, resource: str, code: int, message: str) -> None:
        """Count a unit that failed."""
        self.failure += 1
        if len(self.samples) < SAMPLES:
            self.samples.append((resource, code, message))

    def take_planned_failure(self) -> bool:
        """Whether the next unit is to fail by plan."""
        if self.planned_failures <= 0:
            return False
        self.planned_failures -= 1
        return True

    def metadata(self, ended: str | None = None) -> dict[str, Any]:
        """``metadata`` as it is now."""
        found: dict[str, Any] = {
            "@type": f"{_TYPE}google.cloud.healthcare.{self.version}.OperationMetadata",
            "apiMethodName": f"google.cloud.healthcare.{self.version}.{self.method}",
            "createTime": self.created,
        }
        if ended is not None:
            found["endTime"] = ended
        found["logsUrl"] = _logs_url(self.project, self.id)
        if counter := self._counter(done=ended is not None):
            found["counter"] = counter
        if self.cancel_requested:
            found["cancelRequested"] = True
        return found

    def _counter(self, *, done: bool) -> dict[str, str]:
        """The counters as decimal text, without those that are zero."""
        success = self.success
        if not done and self.seconds and self.total:
            part = min(1.0, (time.monotonic() - self.began) / self.seconds)
            success = max(success, min(int(self.total * part), self.total - 1 - self.failure))
        numbers = {
            "success": success,
            "failure": self.failure,
            "pending": 0 if done else max(0, self.total - success - self.failure),
            "secondarySuccess": self.secondary_success,
            "secondaryFailure": self.secondary_failure,
        }
        return {name: str(number) for name, number in numbers.items() if number > 0}

    def to_json(self) -> dict[str, Any]:
        """The operation while it runs."""
        return {"name": self.name, "metadata": self.metadata()}


class Operations:
    """All operations of an emulator.

    Operations that ran when the process was killed are failed at the next start, and say so.
    """

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._records = emulator.state.collection("healthcare.operations")
        self._running: dict[str, Operation] = {}
        self._lock = threading.RLock()
        self._wake = threading.Condition(self._lock)
        self._due: list[tuple[float, int, Operation]] = []
        self._numbers = itertools.count()
        self._last_id = 0
        self._timer: threading.Thread | None = None
        self._closing = False
        self._fail_interrupted()
        emulator.on_stop(self._forget)
        emulator.on_close(self._close)

    def start(
        self,
        call: Call,
        dataset: DatasetName,
        method: str,
        *,
        prepare: Callable[[Operation], int],
        run: Callable[[Operation], None],
        response: str = "google.protobuf.Empty",
        value: dict[str, Any] | None = None,
        undo: Callable[[], object] | None = None,
        at_once: bool = False,
    ) -> dict[str, Any]:
        """Start an operation and return the first answer, which is its name alone.

        Args:
            call: the call that starts it.
            dataset: the dataset it belongs to.
            method: ``apiMethodName`` from the service on, such as ``dicom.DicomService.ImportDicomData``.
            prepare: checks and counts; returns the number of units. An ApiError ends the operation with that error.
            run: does the work, counting in the operation it gets. It calls ``check()`` now and then.
            response: type of the response; a leading ``~`` stands for ``google.cloud.healthcare.VERSION``.
            value: further fields of the response.
            undo: called if the operation does not succeed.
            at_once: an operation that need not last is done before its name is answered.
        """
        fault = call.operation_fault or OperationFault()
        seconds = self._emulator.settings.operation_seconds if fault.seconds is None else fault.seconds
        kind = response.replace("~", f"google.cloud.healthcare.{call.version}")
        operation = Operation(
            name=f"{dataset}/operations/{self._new_id()}",
            project=dataset.project,
            version=call.version,
            method=method,
            created=rfc3339(now()),
            seconds=seconds,
            fault=fault,
            response={"@type": _TYPE + kind, **(value or {})},
            prepare=prepare,
            run=run,
            undo=undo,
            planned_failures=fault.failures,
        )
        with self._lock:
            self._running[operation.name] = operation
            self._records[operation.name] = operation.to_json()
        if at_once and not seconds:
            self._begin(operation)
        else:
            self._emulator.background(lambda: self._begin(operation))
        return {"name": operation.name}

    def get(self, name: str) -> dict[str, Any] | None:
        """An operation as it is now; None if there is none of that name."""
        running = self._running.get(name)
        return running.to_json() if running is not None else self._records.get(name)

    def names(self, dataset: str) -> list[str]:
        """The names of a dataset's operations, oldest first."""
        return self._records.keys_under(f"{dataset}/operations/")

    def all_names(self) -> list[str]:
        """The names of all operations."""
        return list(self._records)

    def cancel(self, name: str) -> None:
        """Ask an operation to stop; nothing happens if it is done.

        Raises:
            ApiError: 404 if there is no such operation.
        """
        with self._lock:
            operation = self._running.get(name)
            if operation is None:
                if name not in self._records:
                    raise not_found(f"operation {name} not found")
                return
            operation.cancel_requested = True
            operation.stopped.set()
            if operation.waiting:
                self._finish(operation, _CANCELLED)

    def forget_dataset(self, dataset: str) -> None:
        """Stop the operations of a dataset that was deleted, and drop their records."""
        with self._lock:
            for name in self.names(dataset):
                operation = self._running.pop(name, None)
                if operation is not None:
                    operation.stopped.set()
                self._records.pop(name, None)

    def _new_id(self) -> str:
        with self._lock:
            self._last_id = max(self._last_id + 1, time.time_ns())
            return str(self._last_id)

    def _begin(self, operation: Operation) -> None:
        planned = operation.fault.error
        try:
            operation.check()
            try:
                operation.total = operation.prepare(operation)
            except ApiError as refused:
                if planned is None:
                    status = _status(refused)
                    self._wait_then(operation, lambda: self._finish(operation, status))
                    return
            if planned is not None:
                self._wait_then(operation, lambda: self._finish(operation, planned))
            else:
                self._wait_then(operation, lambda: self._run(operation))
        except CancelledError:
            self._finish(operation, _CANCELLED)
        except Exception:  # noqa: BLE001 - whatever is wrong in the work, the operation must end
            self._internal(operation)

    def _run(self, operation: Operation) -> None:
        error: dict[str, Any] | None = None
        try:
            operation.check()
            operation.run(operation)
        except CancelledError:
            error = _CANCELLED
        except ApiError as refused:
            error = _status(refused)
        except Exception:  # noqa: BLE001 - whatever is wrong in the work, the operation must end
            self._internal(operation)
            return
        self._finish(operation, error)

    def _internal(self, operation: Operation) -> None:
        # What was forgotten meanwhile (a reset, a deleted dataset) has lost what it worked on.
        if not self._closing and self._running.get(operation.name) is operation:
            _log.exception("%s failed", operation.name)
        self._finish(operation, {"code": RPC_CODES["INTERNAL"], "message": "Internal error encountered."})

    def _finish(self, operation: Operation, error: dict[str, Any] | None) -> None:
        with self._lock:
            # An emulator that ends leaves the record as it is: the next start says that the operation was interrupted.
            if self._closing and not operation.cancel_requested:
                self._running.pop(operation.name, None)
                return
            if self._running.get(operation.name) is not operation:
                return
            if error is not None and operation.undo is not None:
                operation.undo()
            outcome = {"response": operation.response} if error is None else {"error": error}
            record = {"name": operation.name, "metadata": operation.metadata(rfc3339(now())), "done": True, **outcome}
            if operation.fault.vanish:
                self._records.pop(operation.name, None)
            else:
                self._records[operation.name] = record
            del self._running[operation.name]

    def _wait_then(self, operation: Operation, action: Callable[[], None]) -> None:
        """Act once the operation has lasted as long as it should, without keeping a thread meanwhile."""
        left = operation.began + operation.seconds - time.monotonic()
        if left <= 0:
            action()
            return
        with self._wake:
            if operation.stopped.is_set():
                self._finish(operation, _CANCELLED)
                return
            operation.waiting = True
            operation.resume = action
            heapq.heappush(self._due, (time.monotonic() + left, next(self._numbers), operation))
            if self._timer is None:
                self._timer = threading.Thread(target=self._keep_time, name="operations", daemon=True)
                self._timer.start()
            self._wake.notify()

    def _keep_time(self) -> None:
        while True:
            with self._wake:
                if self._closing:
                    return
                if not self._due:
                    self._wake.wait()
                    continue
                left = self._due[0][0] - time.monotonic()
                if left > 0:
                    self._wake.wait(left)
                    continue
                _, _, operation = heapq.heappop(self._due)
                operation.waiting = False
                if operation.stopped.is_set():
                    continue
            self._emulator.background(operation.resume)

    def _forget(self) -> None:
        with self._lock:
            for operation in self._running.values():
                operation.stopped.set()
            self._running.clear()
            self._due.clear()

    def _close(self) -> None:
        with self._wake:
            self._closing = True
            for operation in self._running.values():
                operation.stopped.set()
            self._wake.notify_all()

    def _fail_interrupted(self) -> None:
        known = datasets(self._emulator)
        for name in [name for name in known if "creating" in known[name]]:
            known[name] = {"deleted": True, "failed": True}
        for name in list(self._records):
            record = self._records[name]
            if record.get("done"):
                continue
            metadata = {**record["metadata"], "endTime": rfc3339(now())}
            if counter := {key: text for key, text in metadata.pop("counter", {}).items() if key != "pending"}:
                metadata["counter"] = counter
            error = {
                "code": RPC_CODES["ABORTED"],
                "message": "The emulator was stopped while this operation ran. It is not continued; start it again.",
            }
            self._records[name] = {"name": name, "metadata": metadata, "done": True, "error": error}


_CANCELLED: dict[str, Any] = {"code": RPC_CODES["CANCELLED"], "message": "The operation was cancelled."}


def _status(error: ApiError) -> dict[str, Any]:
    status: dict[str, Any] = {"code": error.rpc_code, "message": error.message}
    if error.details:
        status["details"] = error.details
    return status


def _logs_url(project: str, operation_id: str) -> str:
    query = quote(f'operation.id="{operation_id}"', safe="")
    return f"https://console.cloud.google.com/logs/query;query={query}?project={project}"
