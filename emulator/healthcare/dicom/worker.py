"""A process that reads DICOM files for the emulator: requests on standard input, answers on standard output.

Each is a pickled object behind its length. A request is a list of sources (bytes, or the path of a file as text), an
answer a list of records, or of ``(message, code)`` for files that can't be stored.
"""

from __future__ import annotations

import os
import pickle
import signal
import struct
import sys
from pathlib import Path
from typing import BinaryIO

from .reader import BadInstanceError, Record, read_instance


def read_all(sources: list[bytes | str]) -> list[Record | tuple[str, int]]:
    """Read files; what can't be stored is answered as message and google.rpc code."""
    found: list[Record | tuple[str, int]] = []
    for source in sources:
        try:
            found.append(read_instance(Path(source) if isinstance(source, str) else source))
        except BadInstanceError as error:
            found.append((error.message, error.code))
        except FileNotFoundError:
            found.append(("the object was deleted while the import ran", 5))
        except (OSError, MemoryError) as error:
            found.append((f"the file can't be read: {type(error).__name__}", 13))
    return found


def send(stream: BinaryIO, value: object) -> None:
    """Write one object."""
    data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(struct.pack("<Q", len(data)))
    stream.write(data)
    stream.flush()


def receive(stream: BinaryIO) -> object | None:
    """Read one object; None at the end."""
    head = stream.read(8)
    if len(head) < 8:
        return None
    (size,) = struct.unpack("<Q", head)
    # Both ends are this program.
    value: object = pickle.loads(stream.read(size))  # noqa: S301
    return value


def main() -> None:
    """Answer requests until standard input ends, which it does when the emulator is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the emulator, which then closes the pipe
    try:
        while (sources := receive(sys.stdin.buffer)) is not None:
            send(sys.stdout.buffer, read_all(sources))  # type: ignore[arg-type]
    except BrokenPipeError:
        os._exit(0)  # the emulator was killed; flushing at the usual exit would fail again


if __name__ == "__main__":
    main()
