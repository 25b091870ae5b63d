"""An emulator in a process of its own that tests may kill, and plain HTTP with it."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[3]


class Process:
    """``python -m emulator serve`` on a port of its own.

    Args:
        data: the data directory; None: in memory.
        arguments: more of the command line.
    """

    def __init__(self, data: Path | None = None, *arguments: str) -> None:
        command = [sys.executable, "-m", "emulator", "serve", "--port", "0"]
        if data is not None:
            command += ["--data", str(data)]
        began = time.monotonic()
        self.process = subprocess.Popen(
            [*command, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        line = self._line()
        if not line.startswith("ready http://"):
            status, error = self.process.wait(30), self._errors()
            self._close_pipes()
            raise RuntimeError(f"the emulator did not start: {status} {line!r} {error}")
        self.seconds = time.monotonic() - began
        self.url = line.split()[1]

    def _line(self) -> str:
        return self.process.stdout.readline() if self.process.stdout is not None else ""

    def _errors(self) -> str:
        return self.process.stderr.read() if self.process.stderr is not None else ""

    def _close_pipes(self) -> None:
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.end(signal.SIGKILL)

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal and wait: exit status and what was written to standard error."""
        self.process.send_signal(number)
        status = self.process.wait(30)
        errors = self._errors()
        self._close_pipes()
        return status, errors

    def kill(self) -> None:
        """kill -9."""
        self.end(signal.SIGKILL)

    def memory(self, name: str = "VmRSS") -> int:
        """Memory of the process in KiB (Linux)."""
        text = Path(f"/proc/{self.process.pid}/status").read_text("ascii")
        return int(text.split(f"{name}:")[1].split()[0])

    def send(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """One request: status, headers and body."""
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
        try:
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, data, headers or {})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def ok(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        """The JSON of an answer that must be 200."""
        status, _, got = self.send(method, path, body, headers)
        assert status == 200, (method, path, status, got[:500])
        return json.loads(got) if got.lstrip()[:1] in (b"{", b"[") else got

    def wait(self, operation: dict[str, Any]) -> dict[str, Any]:
        """The finished operation."""
        return finished(self.ok, operation)


def finished(ask: Callable[[str, str], Any], operation: dict[str, Any]) -> dict[str, Any]:
    """The operation once it is done; ``ask`` takes method and path and returns the JSON."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found: dict[str, Any] = ask("GET", f"/v1/{operation['name']}")
        if found.get("done"):
            return found
        time.sleep(0.01)
    raise TimeoutError(operation["name"])


def request(url: str, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
    """One request with JSON: status and the JSON of the answer."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
    try:
        data = None if body is None else json.dumps(body).encode()
        connection.request(method, path, data, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        got = answer.read()
        return answer.status, json.loads(got) if got else {}
    finally:
        connection.close()
