"""A real S3 server (moto's, a process of its own), and a proxy before it that fails as networks do."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRETS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
BUCKET = "bucket"
BUSY = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message>'
    b"</Error>"
)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Server:
    """One S3 server on 127.0.0.1, which can be stopped and started again; it forgets everything then."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = SECRETS | {"AWS_ENDPOINT_URL": self.url}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(command, **quiet)  # type: ignore[call-overload]
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                with closing_connection(self.port) as connection:
                    connection.request("PUT", f"/{BUCKET}", headers={"Host": "127.0.0.1"})
                    connection.getresponse().read()
                    return
            except OSError:
                time.sleep(0.05)
        raise TimeoutError("the S3 server did not start")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def closing_connection(port: int) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        yield connection
    finally:
        connection.close()


Fault = Callable[[int, str, str], str]
"""From number, method and path of a request: '' (passed on), `drop`, `busy`, `slow` or `cut`."""


@contextmanager
def failing(server: Server, fault: Fault) -> Iterator[tuple[str, list[str]]]:
    """A proxy before a server; gives its address, and the faults it has made so far.

    Args:
        server: The server.
        fault: What happens to each request.
    """
    made: list[str] = []
    lock = threading.Lock()
    numbers = iter(range(10**9))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def answer(self) -> None:
            with lock:
                number = next(numbers)
            body = self._body()
            kind = fault(number, self.command, self.path)
            if kind:
                made.append(kind)
            if kind == "drop":
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            if kind == "busy":
                self._send(503, [("Content-Type", "application/xml")], BUSY)
                return
            if kind == "slow":
                time.sleep(0.5)
            with closing_connection(server.port) as there:
                there.request(self.command, self.path, body, dict(self.headers))
                given = there.getresponse()
                content = given.read()
            wanted = [(k, v) for k, v in given.getheaders() if k.lower() not in {"transfer-encoding", "connection"}]
            if kind == "cut" and len(content) > 1:
                self._send(given.status, wanted, content[: len(content) // 2], len(content))
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
            else:
                self._send(given.status, wanted, content)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer  # noqa: N815

        def _body(self) -> bytes:
            if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            del self.headers["Transfer-Encoding"]
            return b"".join(parts)

        def _send(self, status: int, headers: list[tuple[str, str]], content: bytes, length: int | None = None) -> None:
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() != "content-length" or self.command == "HEAD":
                    self.send_header(name, value)
            if self.command != "HEAD":
                self.send_header("Content-Length", str(len(content) if length is None else length))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)
            self.wfile.flush()

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that goes away in the middle is what is tested here."""

    proxy = Quiet(("127.0.0.1", 0), Handler)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{proxy.server_address[1]}", made
    finally:
        proxy.shutdown()
        proxy.server_close()
