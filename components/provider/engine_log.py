"""Talking to the person from inside the dynamic provider: messages on a resource's own row, errors without traceback.

The provider is a process of its own. Its last argument is the engine's address; the engine's log service shows a
message beside the resource whose URN goes with it. Where there is no such address (tests, previews under mocks)
everything here is silent.
"""

import os
import re
import sys
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

_ADDRESS = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\]):\d+")
_LINE_EVERY = 55.0

_lock = threading.Lock()
_stub: Any = None


class Failure(Exception):  # noqa: N818 - it is an outcome, and its name never shows
    """A failure whose text is all that a person should see."""


class ProgressLine(AbstractContextManager["ProgressLine"]):
    """Shows progress as it changes; where no person watches, also as a line that stays, once a minute.

    A pipeline kills a job that is silent for too long, so a line comes also when there is nothing new to say: while a
    filter query runs, other starts have their turn, or the service is away.
    """

    def __init__(self, urn: str, text: str) -> None:
        """Begin with this text, for the resource with this URN."""
        self._urn = urn
        self._latest = text
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        """Begin to write lines."""
        if engine_address() is not None and not _a_person_watches():
            threading.Thread(target=self._write_lines, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """End with nothing further."""
        self._ended.set()

    def __call__(self, text: str) -> None:
        """Show the text."""
        self._latest = text
        progress(self._urn, text)

    def _write_lines(self) -> None:
        while not self._ended.wait(_LINE_EVERY):
            info(self._urn, self._latest)


def progress(urn: str, text: str) -> None:
    """Show a text on the resource's row until the next one comes."""
    _log(urn, text, "INFO", ephemeral=True)


def info(urn: str, text: str) -> None:
    """Show a text on the resource's row, and keep it."""
    _log(urn, text, "INFO")


def warning(urn: str, text: str) -> None:
    """Show a warning on the resource's row, and keep it."""
    _log(urn, text, "WARNING")


def engine_address() -> str | None:
    """Return the engine's address; None where this process belongs to no engine."""
    argument = sys.argv[-1] if len(sys.argv) > 1 else ""
    return argument if _ADDRESS.fullmatch(argument) else None


def _log(urn: str, text: str, severity: str, *, ephemeral: bool = False) -> None:
    address = engine_address()
    if address is None:
        return
    import grpc
    from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

    global _stub
    with _lock:
        if _stub is None:
            _stub = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address))
    request = engine_pb2.LogRequest(severity=getattr(engine_pb2, severity), message=text, urn=urn, ephemeral=ephemeral)
    try:
        _stub.Log(request, timeout=5)
    except grpc.RpcError:
        return  # nobody is listening any more; the work itself goes on or ends by other means


def _a_person_watches() -> bool:
    """Guess whether the engine writes to a terminal. It is this process's parent."""
    if os.environ.get("CI"):
        return False
    try:
        output = Path(f"/proc/{os.getppid()}/fd/1").readlink()
    except OSError:
        return True
    return str(output).startswith(("/dev/pts/", "/dev/tty"))
