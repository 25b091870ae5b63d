"""Processes that work on DICOM files: reading many on all cores, and decoding pixels out of harm's way.

A few files are read in the calling thread. For many, and for every native decoder, worker processes are started, kept
for the next time, and ended when there was none for a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.responses import Response

    from ..core.runtime import Emulator
    from ..http.call import Call
    from .dicom.reader import Record

#: So many files are worth starting processes for, whose start takes as long as reading some hundreds.
_MANY = 1000
_IDLE_SECONDS = 30.0
#: How long the end of a reading waits for what its processes still do.
_JOIN_SECONDS = 10.0
_CHUNK_FILES = 48
_CHUNK_BYTES = 4 * 1024 * 1024
#: A task on pixels that takes longer is given up, with the process that does it.
PIXEL_SECONDS = 60.0
#: Requests that may wait for pixels at a time.
_WAITING = 16


class Workers:
    """Processes of one kind, those that are idle being used again.

    Args:
        emulator: they end with it.
        kind: ``files`` or ``pixels``.
    """

    def __init__(self, emulator: Emulator, kind: str) -> None:
        self._kind = kind
        self._temporary = emulator.state.temporary
        self._lock = threading.Lock()
        self._idle: list[Worker] = []
        self._timer: threading.Timer | None = None
        self._closed = False
        emulator.on_close(self._close)

    @contextlib.contextmanager
    def one(self) -> Iterator[Worker]:
        """A process for some requests; it is ended if they fail."""
        with self._lock:
            worker = self._idle.pop() if self._idle else None
        worker = worker or Worker(self._kind, self._temporary)
        try:
            yield worker
        except BaseException:
            worker.end()
            raise
        with self._lock:
            if not self._closed:
                self._idle.append(worker)
                self._end_later()
                return
        worker.end()

    def _end_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = threading.Timer(_IDLE_SECONDS, self._end_idle)
        self._timer.daemon = True
        self._timer.start()

    def _end_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
            self._timer = None
        for worker in idle:
            worker.end()

    def _close(self) -> None:
        with self._lock:
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
        self._end_idle()


class Worker:
    """One worker process.

    Args:
        kind: ``files`` or ``pixels``.
        temporary: the emulator's directory for temporary files. The process has one of its own there, which goes with
            it: a process that is killed can't tidy up.
    """

    def __init__(self, kind: str, temporary: Path) -> None:
        root = Path(__file__).parents[2]
        self._directory = tempfile.mkdtemp(prefix="worker-", dir=temporary)
        self._process = subprocess.Popen(  # noqa: S603 - this program
            [sys.executable, "-m", "emulator.healthcare.dicom.worker", kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=root,
            # One thread each: NumPy would reserve memory for a thread on every core, of which there may be many.
            env={**os.environ, "TMPDIR": self._directory, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            bufsize=1024 * 1024,
        )

    def ask(self, task: str, *arguments: Any, seconds: float | None = None) -> Any:
        """Have a task done.

        Args:
            task: its name.
            arguments: what it takes.
            seconds: the process is killed if it takes longer.

        Raises:
            TimeoutError: it took longer.
            BrokenPipeError: the process ended.
        """
        from .dicom.worker import receive, send

        if self._process.stdin is None or self._process.stdout is None:
            raise BrokenPipeError("the worker process has no pipes")
        late = threading.Event()

        def kill() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(seconds, kill) if seconds is not None else None
        if timer is not None:
            timer.daemon = True
            timer.start()
        try:
            send(self._process.stdin, (task, arguments))  # type: ignore[arg-type]
            found = receive(self._process.stdout)  # type: ignore[arg-type]
        except OSError:
            found = None
        finally:
            if timer is not None:
                timer.cancel()
        if late.is_set():
            raise TimeoutError
        if found is None:
            raise BrokenPipeError("the worker process ended")
        return found

    def end(self) -> None:
        """End the process: its input ends, and so does it."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)


class ReaderPool:
    """Reads DICOM files."""

    def __init__(self, emulator: Emulator) -> None:
        self._blobs = emulator.state.blobs
        self._workers = Workers(emulator, "files")

    def read(
        self, blobs: list[tuple[str, int]], check: Callable[[], None]
    ) -> Iterator[tuple[range, list[Record | tuple[str, int]]]]:
        """Read blobs, in any order.

        Args:
            blobs: id and size of each.
            check: called between portions; an exception ends the reading.

        Yields:
            Positions in ``blobs``, and what was read of each: a record, or ``(message, code)``.
        """
        from .dicom.worker import read_all

        portions = list(_portions(blobs))
        if len(blobs) < _MANY:
            for portion in portions:
                check()
                yield portion, read_all(self._sources(blobs, portion))
            return
        yield from self._on_all_cores(blobs, portions, check)

    def _sources(self, blobs: list[tuple[str, int]], portion: range) -> list[bytes | str]:
        return [self._source(blobs[index][0]) for index in portion]

    def _source(self, blob: str) -> bytes | str:
        path = self._blobs.path(blob)
        return self._blobs.read(blob) if path is None else str(path)

    def _on_all_cores(
        self, blobs: list[tuple[str, int]], portions: list[range], check: Callable[[], None]
    ) -> Iterator[tuple[range, list[Record | tuple[str, int]]]]:
        todo: queue.SimpleQueue[range] = queue.SimpleQueue()
        for portion in portions:
            todo.put(portion)
        done: queue.Queue[Any] = queue.Queue(maxsize=16)
        stop = threading.Event()

        def put(value: Any) -> None:
            while not stop.is_set():
                try:
                    done.put(value, timeout=0.5)
                    return
                except queue.Full:
                    continue

        def work() -> None:
            try:
                with self._workers.one() as worker:
                    while not stop.is_set():
                        try:
                            portion = todo.get_nowait()
                        except queue.Empty:
                            break
                        put((portion, worker.ask("read", self._sources(blobs, portion))))
            except BaseException as error:  # noqa: BLE001 - told to the thread that waits for the answers
                put(error)

        threads = [threading.Thread(target=work, daemon=True) for _ in range(os.cpu_count() or 1)]
        for thread in threads:
            thread.start()
        try:
            for _ in portions:
                found = done.get()
                if isinstance(found, BaseException):
                    raise found
                check()
                yield found
        finally:
            stop.set()
            # A process that does not come back must not hold up the operation's end; its thread ends with it.
            deadline = time.monotonic() + _JOIN_SECONDS
            for thread in threads:
                thread.join(max(0.0, deadline - time.monotonic()))


class PixelPool:
    """Decodes, encodes and renders, one task for each core at a time.

    A decoder that crashes or does not come to an end takes its process with it, and nothing else.
    """

    def __init__(self, emulator: Emulator) -> None:
        self._workers = Workers(emulator, "pixels")
        self._cores = threading.BoundedSemaphore(os.cpu_count() or 1)

    def do(self, task: str, *arguments: Any) -> Any:
        """Have a task of :mod:`.dicom.worker` done.

        Raises:
            UnsupportedError: it can't be done with this instance.
        """
        from .dicom.pixels import UnsupportedError

        try:
            with self._cores, self._workers.one() as worker:
                found = worker.ask(task, *arguments, seconds=PIXEL_SECONDS)
        except TimeoutError:
            raise UnsupportedError(f"the pixels could not be worked on within {PIXEL_SECONDS:g} s") from None
        except BrokenPipeError:
            raise UnsupportedError("its pixel data make the decoder crash") from None
        if isinstance(found, UnsupportedError):
            raise found
        return found


class PixelThreads:
    """Threads that wait for pixels, so that those that all other requests share never do."""

    def __init__(self, emulator: Emulator) -> None:
        self._threads = ThreadPoolExecutor(_WAITING, thread_name_prefix="pixels")
        emulator.on_close(lambda: self._threads.shutdown(wait=False, cancel_futures=True))

    def run(self, handler: Callable[[Call], Response], call: Call) -> Future[Response]:
        """Run the handler of a call."""
        return self._threads.submit(handler, call)


def beside_others(handler: Callable[[Call], Response]) -> Callable[[Call], Awaitable[Response]]:
    """Have a handler run where its waiting for pixels holds no other request up."""

    @functools.wraps(handler)
    async def run(call: Call) -> Response:
        return await asyncio.wrap_future(call.emulator.service(PixelThreads).run(handler, call))

    return run


def _portions(blobs: list[tuple[str, int]]) -> Iterable[range]:
    start = size = 0
    for index, (_, length) in enumerate(blobs):
        if index > start and (index - start >= _CHUNK_FILES or size + length > _CHUNK_BYTES):
            yield range(start, index)
            start, size = index, 0
        size += length
    if start < len(blobs):
        yield range(start, len(blobs))
