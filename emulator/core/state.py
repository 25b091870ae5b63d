"""What the emulator keeps: JSON documents by collection and key, and blobs.

In memory by default. With a data directory every change is in an SQLite file (write-ahead log) or in a file of its
own before it is acknowledged, so that killing the process loses nothing that was acknowledged. Reads never touch the
disk for documents: they are held in memory as well.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Container, Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c

from .scratch import Scratch, sweep

Document = dict[str, Any]

#: Space is reserved for files up to this size, in bytes: what a client announces need not come.
_MOST_RESERVED = 16 * 1024**3

#: Blobs up to this size stay in memory when there is no data directory.
IN_MEMORY_BLOB = 1024 * 1024


class Collection(MutableMapping[str, Document]):
    """JSON documents of one kind by key. A document is never changed in place: store a new one instead."""

    def __init__(
        self,
        name: str,
        documents: dict[str, Document],
        write: Callable[[str, str, Document | None], None],
        lock: threading.RLock,
    ) -> None:
        self.name = name
        self._documents = documents
        self._write = write
        self._lock = lock

    def __getitem__(self, key: str) -> Document:
        return self._documents[key]

    def __setitem__(self, key: str, document: Document) -> None:
        # Both or neither, and in one order: of two that set a key at once, the same one is last in both places.
        with self._lock:
            self._write(self.name, key, document)
            self._documents[key] = document

    def __delitem__(self, key: str) -> None:
        with self._lock:
            if key not in self._documents:
                raise KeyError(key)
            self._write(self.name, key, None)
            del self._documents[key]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._documents))

    def __len__(self) -> int:
        return len(self._documents)

    def __contains__(self, key: object) -> bool:
        return key in self._documents

    def keys_under(self, prefix: str) -> list[str]:
        """The keys that start with ``prefix``, sorted."""
        return sorted(key for key in list(self._documents) if key.startswith(prefix))


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """A stored blob: its id, size in bytes, and checksums in base64 as Cloud Storage writes them."""

    id: str
    size: int
    crc32c: str
    md5: str


class BlobWriter:
    """Takes the bytes of a new blob. Nothing is kept unless :meth:`commit` is called.

    A file grows aside and takes its place when it is whole, so that what a killed process leaves can be told.
    """

    def __init__(self, blobs: Blobs, blob_id: str) -> None:
        self._blobs = blobs
        self.id = blob_id
        self._chunks: list[bytes] = []
        self._file: BinaryIO | None = None
        self._crc = google_crc32c.Checksum()  # type: ignore[no-untyped-call]
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._expected = 0
        self.size = 0

    def expect(self, size: int) -> None:
        """Say how many more bytes are to come, so that large files get their space at once (ten times faster)."""
        self._expected = self.size + size
        if self._file is not None:
            self._reserve(self._file)

    def _reserve(self, file: BinaryIO) -> None:
        if self.size + IN_MEMORY_BLOB < self._expected <= _MOST_RESERVED:
            # Not all file systems can, and then it makes no difference; a full disk shows when the bytes come.
            with contextlib.suppress(OSError):
                os.posix_fallocate(file.fileno(), self.size, self._expected - self.size)

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self.digest(data)
        self.append(data)

    def digest(self, data: bytes) -> None:
        """Half of :meth:`write`: bring the checksums up to date. May run beside :meth:`append` of the same bytes."""
        self._crc.update(data)  # type: ignore[no-untyped-call]
        self._md5.update(data)

    def append(self, data: bytes) -> None:
        """The other half of :meth:`write`: keep the bytes."""
        self.size += len(data)
        if self._file is None:
            self._chunks.append(data)
            if self.size > IN_MEMORY_BLOB or self._blobs.durable:
                self._spill()
        else:
            self._file.write(data)

    def _spill(self) -> None:
        path = self._blobs.part(self.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb")
        self._reserve(self._file)
        for chunk in self._chunks:
            self._file.write(chunk)
        self._chunks.clear()

    def sums(self) -> dict[str, str]:
        """``crc32c`` and ``md5`` of what was written, in base64."""
        crc = base64.b64encode(self._crc.digest()).decode()  # type: ignore[no-untyped-call]
        return {"crc32c": crc, "md5": base64.b64encode(self._md5.digest()).decode()}

    def flush(self) -> None:
        """Have what was written outlive the process, if there is a data directory."""
        if self._file is None and self._blobs.durable:
            self._spill()
        if self._file is not None:
            self._file.flush()
            self._file.truncate(self.size)

    def close(self) -> None:
        """Close the file, which :meth:`Blobs.reopen` takes up again."""
        self.flush()
        if self._file is not None:
            self._file.close()

    def commit(self) -> BlobInfo:
        """Keep the blob."""
        if self._file is None and self._blobs.durable:
            self._spill()
        if self._file is not None:
            self.flush()
            self._file.close()
            path = self._blobs.file(self.id)
            path.parent.mkdir(exist_ok=True)
            self._blobs.part(self.id).replace(path)
        else:
            self._blobs.memory[self.id] = b"".join(self._chunks)
        return BlobInfo(self.id, self.size, **self.sums())

    def take_back(self, size: int) -> None:
        """Go on after a restart: take the first ``size`` bytes, which :meth:`flush` left."""
        path = self._blobs.part(self.id)
        if size and not path.exists() and self._blobs.file(self.id).exists():
            # The process ended between the last byte and the object.
            self._blobs.file(self.id).replace(path)
        if not size or not path.exists():
            return
        self._file = path.open("r+b")
        while self.size < size and (chunk := self._file.read(min(1024 * 1024, size - self.size))):
            self._crc.update(chunk)  # type: ignore[no-untyped-call]
            self._md5.update(chunk)
            self.size += len(chunk)
        self._file.seek(self.size)
        self._file.truncate()

    def abort(self) -> None:
        """Throw the bytes away."""
        if self._file is not None:
            self._file.close()
            self._blobs.part(self.id).unlink(missing_ok=True)
        self._chunks.clear()


class Blobs:
    """Immutable byte strings by id: objects of Cloud Storage and DICOM instances.

    Args:
        directory: where files go; None for memory, and for the large ones a place among the temporary files.
        scratch: the temporary files.
    """

    def __init__(self, directory: Path | None, scratch: Scratch) -> None:
        self.durable = directory is not None
        self.memory: dict[str, bytes] = {}
        self._directory = directory
        self._scratch = scratch
        self._numbers = itertools.count(1)
        self._run = os.urandom(6).hex()

    def file(self, blob_id: str) -> Path:
        """Where the file of a blob is, if it has one."""
        return self._place() / blob_id[-2:] / blob_id

    def part(self, blob_id: str) -> Path:
        """Where the file of a blob grows until it is whole."""
        return self._place() / "parts" / blob_id

    def _place(self) -> Path:
        if self._directory is None:
            self._directory = self._scratch.directory / "blobs"
            self._directory.mkdir(exist_ok=True)
        return self._directory

    def sweep(self, wanted: Container[str]) -> None:
        """Remove what a killed process left of blobs that never became whole, but for those that still can."""
        parts = self._directory / "parts" if self._directory is not None else None
        if parts is None or not parts.is_dir():
            return
        for path in parts.iterdir():
            if path.name not in wanted:
                path.unlink(missing_ok=True)

    def create(self) -> BlobWriter:
        """A writer for a new blob."""
        return BlobWriter(self, f"{self._run}-{next(self._numbers):08x}")

    def is_new(self, blob_id: str) -> bool:
        """Whether this process made the blob."""
        return blob_id.startswith(f"{self._run}-")

    def reopen(self, blob_id: str, size: int) -> BlobWriter:
        """The writer of a blob that was being written when the process ended, with the ``size`` bytes it flushed."""
        writer = BlobWriter(self, blob_id)
        writer.take_back(size)
        return writer

    def put(self, data: bytes) -> BlobInfo:
        """Keep these bytes as a new blob."""
        writer = self.create()
        writer.write(data)
        return writer.commit()

    def path(self, blob_id: str) -> Path | None:
        """The file that holds the blob; None if it is held in memory."""
        return None if blob_id in self.memory else self.file(blob_id)

    def read(self, blob_id: str, start: int = 0, end: int | None = None) -> bytes:
        """Bytes ``start`` to ``end`` (exclusive) of a blob.

        Raises:
            FileNotFoundError: there is no such blob.
        """
        data = self.memory.get(blob_id)
        if data is not None:
            return data if start == 0 and end is None else data[start:end]
        with self.file(blob_id).open("rb") as file:
            file.seek(start)
            return file.read() if end is None else file.read(max(0, end - start))

    def chunks(self, blob_id: str, start: int = 0, end: int | None = None, size: int = 1024 * 1024) -> Iterator[bytes]:
        """The bytes of a blob in chunks of at most ``size`` bytes."""
        data = self.memory.get(blob_id)
        if data is not None:
            view = data[start:end]
            for at in range(0, len(view), size):
                yield view[at : at + size]
            return
        with self.file(blob_id).open("rb") as file:
            file.seek(start)
            left = None if end is None else end - start
            while left is None or left > 0:
                chunk = file.read(size if left is None else min(size, left))
                if not chunk:
                    return
                if left is not None:
                    left -= len(chunk)
                yield chunk

    def delete(self, blob_id: str) -> None:
        """Forget a blob; nothing happens if there is none."""
        if self.memory.pop(blob_id, None) is None and self._directory is not None:
            self.file(blob_id).unlink(missing_ok=True)

    def clear(self) -> None:
        """Forget every blob."""
        self.memory.clear()
        if self._directory is not None:
            for child in self._directory.iterdir():
                shutil.rmtree(child, ignore_errors=True)


class State:
    """All documents and blobs.

    Args:
        data: directory that keeps them; None keeps them in memory.
    """

    def __init__(self, data: Path | None = None) -> None:
        # Worker processes, which run in another directory, are given paths in it.
        data = None if data is None else data.absolute()
        self.data = data
        self.lock = threading.RLock()
        self._collections: dict[str, Collection] = {}
        self._database: sqlite3.Connection | None = None
        self._depth = 0
        self._after_commit: list[Callable[[], None]] = []
        self._scratch = Scratch()
        if data is None:
            sweep()
        else:
            data.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(data / "temporary", ignore_errors=True)
            (data / "temporary").mkdir()
            self._database = sqlite3.connect(data / "documents.sqlite", check_same_thread=False, isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS documents"
                " (collection TEXT, key TEXT, document TEXT, PRIMARY KEY (collection, key)) WITHOUT ROWID"
            )
        self.blobs = Blobs(None if data is None else data / "blobs", self._scratch)
        if data is not None:
            (data / "blobs").mkdir(exist_ok=True)

    @property
    def temporary(self) -> Path:
        """Where temporary files go: into the data directory, or one of the system's. Nothing stays there for long:
        what a killed process left is removed when an emulator starts.
        """
        return self._scratch.directory if self.data is None else self.data / "temporary"

    def collection(self, name: str) -> Collection:
        """The documents of one kind; always the same object for one name."""
        with self.lock:
            if name not in self._collections:
                self._collections[name] = Collection(name, self._load(name), self._write, self.lock)
            return self._collections[name]

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Several changes that survive a killed process together or not at all; other threads wait meanwhile.

        An exception does not undo the changes in memory: check everything before the first change.
        """
        with self.lock:
            outermost = self._depth == 0
            self._depth += 1
            if outermost and self._database is not None:
                self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            finally:
                self._depth -= 1
                if outermost and self._database is not None:
                    self._database.execute("COMMIT")
                if outermost and self._after_commit:
                    actions, self._after_commit = self._after_commit, []
                    for action in actions:
                        action()

    def after_commit(self, action: Callable[[], None]) -> None:
        """Do something once the changes of the running transaction are kept; at once if none is running.

        A blob's file goes this way: it must outlive the documents that refer to it, also when the process is killed.
        """
        with self.lock:
            if self._depth:
                self._after_commit.append(action)
                return
        action()

    def clear(self) -> None:
        """Forget everything."""
        with self.lock:
            for collection in self._collections.values():
                collection._documents.clear()  # noqa: SLF001 - one class in two parts
            if self._database is not None:
                self._database.execute("DELETE FROM documents")
            self.blobs.clear()

    def close(self) -> None:
        """Close files."""
        with self.lock:
            if self._database is not None:
                self._database.close()
                self._database = None
            self._scratch.close()

    def _load(self, name: str) -> dict[str, Document]:
        if self._database is None:
            return {}
        rows = self._database.execute("SELECT key, document FROM documents WHERE collection = ?", (name,))
        return {key: json.loads(document) for key, document in rows}

    def _write(self, name: str, key: str, document: Document | None) -> None:
        if self._database is None:
            return
        with self.lock:
            if document is None:
                self._database.execute("DELETE FROM documents WHERE collection = ? AND key = ?", (name, key))
            else:
                self._database.execute(
                    "INSERT OR REPLACE INTO documents VALUES (?, ?, ?)",
                    (name, key, json.dumps(document, separators=(",", ":"))),
                )
