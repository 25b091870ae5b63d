"""How many small requests a second the emulator answers, and how fast large objects go in and out.

``operations.get`` over 16 connections stands beside a bare uvicorn application that answers the same bytes, in the
same run. Objects of 1 GB go through a process of its own that does nothing but send and receive.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import http.client
import json
import multiprocessing
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from benchmarks import Figure

_CONNECTIONS = 16
_REQUESTS = 20_000
_GIGABYTE = 1024**3
_PIECE = 1024 * 1024
_DATASETS = "/v1/projects/hospital-imaging/locations/europe-west4/datasets"

#: The peer: the same server software with nothing behind it.
_BARE = """
import asyncio, socket, sys, uvicorn
body = sys.stdin.buffer.readline().rstrip(b"\\n")
async def app(scope, receive, send):
    headers = [(b"content-type", b"application/json; charset=UTF-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
listener = socket.create_server(("127.0.0.1", 0))
print("ready http://127.0.0.1:%d" % listener.getsockname()[1], flush=True)
config = uvicorn.Config(app, loop="uvloop", http="httptools", ws="none", lifespan="off", log_config=None,
                        access_log=False, server_header=False, date_header=False)
uvicorn.Server(config).run(sockets=[listener])
"""


def measure() -> list[Figure]:
    """The figures."""
    with _server([sys.executable, "-m", "emulator", "serve", "--port", "0"]) as port:
        path, body = _an_operation(port)
        rate = _requests_a_second(port, path)
        sent, received = _large_object(port)
    with _server([sys.executable, "-c", _BARE], body + b"\n") as port:
        bare = _requests_a_second(port, path)
    return [
        Figure(
            f"operations.get, {_CONNECTIONS} connections",
            f"{rate:,.0f} requests/s",
            f"bare uvicorn: {bare:,.0f} requests/s",
            rate / bare,
            None,
            more_is_better=True,
        ),
        Figure(
            "the same, against its goal",
            f"{rate:,.0f} requests/s",
            "4,000 requests/s",
            rate / 4000,
            1.0,
            more_is_better=True,
        ),
        Figure("1 GB object in", f"{sent:,.0f} MB/s", "300 MB/s", sent / 300, 1.0, more_is_better=True),
        Figure("1 GB object out", f"{received:,.0f} MB/s", "300 MB/s", received / 300, 1.0, more_is_better=True),
    ]


@contextlib.contextmanager
def _server(command: list[str], first: bytes = b"") -> Iterator[int]:
    """Run a server that says where it is ready; yields its port."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdin is not None  # noqa: S101 - for the type checker
        assert process.stdout is not None  # noqa: S101
        process.stdin.write(first)
        process.stdin.close()
        line = process.stdout.readline().decode()
        yield int(line.rstrip().rpartition(":")[2])
    finally:
        process.terminate()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()


def _an_operation(port: int) -> tuple[str, bytes]:
    """Path and body of an operation that is done."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("POST", f"{_DATASETS}?datasetId=radiology", b"{}", {"Content-Type": "application/json"})
    name = json.loads(connection.getresponse().read())["name"]
    path = f"/v1/{name}"
    while True:
        connection.request("GET", path)
        body = connection.getresponse().read()
        if json.loads(body).get("done"):
            connection.close()
            return path, body
        time.sleep(0.01)


def _requests_a_second(port: int, path: str) -> float:
    """Requests a second; the best of three runs, since other work on the machine only ever slows down."""
    rates: list[float] = [_in_another_process(_load, port, path, _REQUESTS) for _ in range(3)]
    return max(rates)


def _in_another_process(work: Any, *arguments: Any) -> Any:
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(work, arguments)


def _load(port: int, path: str, requests: int) -> float:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rate: float = runner.run(_many(port, path, requests))
        return rate


async def _many(port: int, path: str, requests: int) -> float:
    loop = asyncio.get_running_loop()
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer emulator\r\n\r\n".encode()
    size = await _size_of_answer(port, request)
    started = time.perf_counter()
    clients = [_Client(request, size, requests // _CONNECTIONS, loop.create_future()) for _ in range(_CONNECTIONS)]
    for client in clients:
        await loop.create_connection(functools.partial(_itself, client), "127.0.0.1", port)
    for client in clients:
        await client.done
    return requests / (time.perf_counter() - started)


def _itself(client: _Client) -> _Client:
    return client


async def _size_of_answer(port: int, request: bytes) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"the server answers {head[:100]!r}")
    length = next(line for line in head.lower().splitlines() if line.startswith(b"content-length:"))
    writer.close()
    return len(head) + int(length.partition(b":")[2])


class _Client(asyncio.Protocol):
    """One connection: sends the next request when an answer is complete. All answers have one size."""

    def __init__(self, request: bytes, size: int, requests: int, done: asyncio.Future[None]) -> None:
        self._request = request
        self._size = size
        self._left = requests
        self._received = 0
        self.done = done
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._received < self._size:
            return
        self._received -= self._size
        self._left -= 1
        if self._left:
            self._transport.write(self._request)
        else:
            self._transport.close()
            self.done.set_result(None)


def _large_object(port: int) -> tuple[float, float]:
    """Megabytes a second into a bucket and out of it, the best of three each."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    body = json.dumps({"name": "benchmark-objects"}).encode()
    connection.request("POST", "/storage/v1/b?project=hospital-imaging", body, {"Content-Type": "application/json"})
    connection.getresponse().read()
    connection.close()
    return (
        max(_in_another_process(_send, port) for _ in range(3)),
        max(_in_another_process(_receive, port) for _ in range(3)),
    )


def _send(port: int) -> float:
    piece = memoryview(bytes(range(256)) * (_PIECE // 256))
    head = (
        "POST /upload/storage/v1/b/benchmark-objects/o?uploadType=media&name=large HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: application/octet-stream\r\nContent-Length: {_GIGABYTE}\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port)) as connection:
        started = time.perf_counter()
        connection.sendall(head.encode())
        for _ in range(_GIGABYTE // _PIECE):
            connection.sendall(piece)
        answer = connection.recv(65536)
        seconds = time.perf_counter() - started
    if not answer.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"the upload was answered with {answer[:200]!r}")
    return _GIGABYTE / 1e6 / seconds


def _receive(port: int) -> float:
    head = (
        "GET /download/storage/v1/b/benchmark-objects/o/large?alt=media HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        "Connection: close\r\n\r\n"
    )
    buffer = bytearray(_PIECE)
    received = 0
    with socket.create_connection(("127.0.0.1", port)) as connection:
        started = time.perf_counter()
        connection.sendall(head.encode())
        while count := connection.recv_into(buffer):
            received += count
        seconds = time.perf_counter() - started
    if received < _GIGABYTE:
        raise RuntimeError(f"only {received:,} bytes came out")
    return received / 1e6 / seconds
