"""Stands between a program and the emulator, and keeps back an answer after the call has taken effect."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, RemoteDisconnected
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class HoldingProxy:
    """One address in front of another.

    Attributes:
        url: the address.
        held: is set once an answer is kept back. Nobody gets it any more.
    """

    def __init__(self, server: ThreadingHTTPServer, behind: str) -> None:
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        self.held = threading.Event()
        self._behind = urlsplit(behind).netloc
        self._hold = ""
        self._skip = 0
        self._over = threading.Event()

    def hold(self, path_end: str, after: int = 0) -> None:
        """Keep back one answer to a POST whose path ends so, after letting some pass."""
        self._hold, self._skip = path_end, after

    def close(self) -> None:
        """Let those who wait for an answer go without."""
        self._over.set()

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, str, bytes] | None:
        """Pass a call on; None when its answer was to be kept back."""
        connection = HTTPConnection(self._behind, timeout=60)
        found: tuple[int, str, bytes] | None = None
        connection.request(method, target, body, headers)
        try:
            response = connection.getresponse()
            found = response.status, response.getheader("content-type") or "", response.read()
        except RemoteDisconnected:
            pass  # the emulator ends the connection when it is told to
        finally:
            connection.close()
        if method == "POST" and self._hold and urlsplit(target).path.endswith(self._hold):
            self._skip -= 1
            if self._skip < 0:
                self._hold = ""
                self.held.set()
                self._over.wait(60)
                return None
        return found


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

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy = HoldingProxy(server, behind)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        server.shutdown()
        thread.join()
        server.server_close()
