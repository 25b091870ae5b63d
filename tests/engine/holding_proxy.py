"""Stands between a program and the emulator, and keeps back an answer after the call has taken effect."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

Answer = tuple[int, str, bytes]


class HoldingProxy:
    """One address in front of another.

    Attributes:
        url: the address.
        held: is set once an answer is kept back.
    """

    def __init__(self, port: int, behind: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.held = threading.Event()
        self._behind = urlsplit(behind).netloc
        self._hold = ""
        self._skip = 0
        self._released = threading.Event()

    def hold(self, call: str, after: int = 0) -> None:
        """Keep back one answer.

        Args:
            call: a pattern for the end of method and path, such as `POST .*:export`.
            after: how many such calls get their answer before.
        """
        self._hold, self._skip = call, after

    def release(self) -> None:
        """Give the answer that is kept back, if somebody still wants it."""
        self._released.set()

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer | None:
        """Pass a call on; None when there is no answer."""
        connection = HTTPConnection(self._behind, timeout=60)
        found: Answer | None = None
        try:
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            found = response.status, response.getheader("content-type") or "", response.read()
        except ConnectionError:
            pass  # the emulator ends the connection when it is told to
        finally:
            connection.close()
        if self._hold and re.fullmatch(self._hold, f"{method} {urlsplit(target).path}"):
            self._skip -= 1
            if self._skip < 0:
                self._hold = ""
                self.held.set()
                self._released.wait(60)
        return found


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Stay silent when a client is gone: that is what is tried."""


@contextmanager
def holding_proxy(behind: str) -> Iterator[HoldingProxy]:
    """Serve in front of an address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            kept = {key: value for key, value in self.headers.items() if key.lower() not in ("host", "connection")}
            found = proxy.answer(self.command, self.path, kept, body)
            if found is None:
                self.close_connection = True
                return
            status, kind, content = found
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on  # noqa: N815 - names that http.server looks for

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    server = _Server(("127.0.0.1", 0), Handler)
    proxy = HoldingProxy(server.server_address[1], behind)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield proxy
    finally:
        proxy.release()
        server.shutdown()
        thread.join()
        server.server_close()
