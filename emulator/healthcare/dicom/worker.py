"""A process that works on DICOM files for the emulator: requests on standard input, answers on standard output.

Each is a pickled object behind its length. A request is the name of a task and its arguments; an answer is what the
task returns, or an :class:`~.pixels.UnsupportedError`.

Native decoders may be led astray by a damaged file. That is why they run here: this process may crash, be killed after
a time, or run out of the memory it is allowed, and the emulator goes on.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from .reader import BadInstanceError, Record, read_instance

#: Address space of a process that works on pixels, in bytes.
MEMORY = 4 * 1024**3
#: A task on pixels that takes longer ends the process, also when the emulator that would end it is gone.
ALARM_SECONDS = 90


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


def _tasks(kind: str) -> dict[str, Callable[..., Any]]:
    if kind != "pixels":
        return {"read": read_all}
    from .pixels import stored_frames
    from .rendering import rendered
    from .transcoding import transcoded, transcoded_frames

    return {"transcode": transcoded, "frames": transcoded_frames, "cut": stored_frames, "render": rendered}


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
    data = stream.read(size)
    if len(data) < size:
        return None
    # Both ends are this program.
    value: object = pickle.loads(data)  # noqa: S301
    return value


def _answer(tasks: dict[str, Callable[..., Any]], request: Any) -> object:
    from .pixels import UnsupportedError

    name, arguments = request
    try:
        return tasks[name](*arguments)
    except UnsupportedError as error:
        return error
    except MemoryError:
        return UnsupportedError("the instance takes too much memory")


def _answers() -> BinaryIO:
    """Standard output for answers alone: what a native library prints goes nowhere."""
    stream = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    return stream


def _bound_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):  # not on every system
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(kind: str) -> None:
    """Answer requests until standard input ends, which it does when the emulator is gone.

    Args:
        kind: ``files`` or ``pixels``: which tasks this process does.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the emulator, which then closes the pipe
    answers = _answers()
    if kind == "pixels":
        os.dup2(1, 2)
        _bound_memory()
    try:
        tasks = _tasks(kind)
        while (request := receive(sys.stdin.buffer)) is not None:
            if kind == "pixels":
                signal.alarm(ALARM_SECONDS)
            send(answers, _answer(tasks, request))
            signal.alarm(0)
    except BrokenPipeError:
        os._exit(0)  # the emulator was killed; flushing at the usual exit would fail again


if __name__ == "__main__":
    main(sys.argv[1])
