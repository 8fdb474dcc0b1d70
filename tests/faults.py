"""A proxy before a store of the tests that fails as stores and networks do.

It stands before the S3 server and passes every request on, except where a fault is due. It counts
what it has done, so a test can tell that its faults were met.
"""

import random
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, get_args
from urllib.parse import urlsplit

import fsspec

FaultKind = Literal[
    "latency", "500", "503", "403", "expired", "reset", "reset after", "cut", "stale listing"
]
"""What goes wrong with a request:

- "latency": it is answered late;
- "500", "503", "403", "expired": it is answered with such an error, the last with an expired token;
- "reset": the connection is reset before the store has seen it;
- "reset after": the store has done it, and the connection is reset before the answer;
- "cut": the body of the answer ends in the middle;
- "stale listing": a listing is answered as it was before.
"""

FAULTS: tuple[FaultKind, ...] = get_args(FaultKind)
TRANSIENT: tuple[FaultKind, ...] = ("latency", "500", "503", "reset", "reset after", "cut")
"""Those that pass when the request is sent again."""

ERRORS = {
    "500": (500, "InternalError", "We encountered an internal error. Please try again."),
    "503": (503, "SlowDown", "Please reduce your request rate."),
    "403": (403, "AccessDenied", "Access Denied"),
    "expired": (400, "ExpiredToken", "The provided token has expired."),
}
"""Status, code and message of errors, as S3 has them."""


@dataclass
class Fault:
    """What happens to the next requests of a kind."""

    kind: FaultKind
    path: str = ""
    """Regular expression that the path and query of a request match somewhere."""
    methods: str = "GET PUT POST DELETE HEAD"
    times: int = 1
    """Requests that it still happens to; a large number for a store that is down."""
    seconds: float = 0.05
    """How late an answer is."""


class FaultProxy:
    """An address before a server. `faults` are what is due; `injected` counts what was done."""

    def __init__(self, upstream: str, url: str) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.url = url
        self.faults: list[Fault] = []
        self.share = 0.0
        """Share of requests that meet a transient fault at random."""
        self.random = random.Random(0)
        self.injected: Counter[FaultKind] = Counter()
        self.requests = 0
        self.outages: list[range] = []
        """Requests, by their number, at which the store is killed: their connections are reset."""
        self.listings: dict[str, tuple[int, list[tuple[str, str]], bytes]] = {}
        """Answers to listings as they were first."""
        self.lock = threading.Lock()

    def due(self, method: str, path: str) -> Fault | None:
        """The fault that a request meets."""
        with self.lock:
            self.requests += 1
            if any(self.requests in outage for outage in self.outages):
                return self._inject(Fault("reset"))
            for fault in self.faults:
                if fault.times and method in fault.methods and re.search(fault.path, path):
                    if fault.kind == "stale listing" and path not in self.listings:
                        continue
                    fault.times -= 1
                    return self._inject(fault)
            if self.random.random() < self.share:
                return self._inject(Fault(self.random.choice(TRANSIENT)))
        return None

    def _inject(self, fault: Fault) -> Fault:
        self.injected[fault.kind] += 1
        return fault


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, proxy: list[FaultProxy], *args: object) -> None:
        self.proxy = proxy
        super().__init__(*args)  # type: ignore[arg-type]

    def pass_on(self) -> None:
        """Answer a request as the server does, or with the fault that is due."""
        [proxy] = self.proxy
        fault = proxy.due(self.command, self.path)
        kind = fault.kind if fault else None
        if kind == "reset":
            self.reset()
            return
        request_body = self.body()
        if fault and kind == "latency":
            time.sleep(fault.seconds)
        if kind in ERRORS:
            self.fail(*ERRORS[kind])
            return
        if kind == "stale listing":
            self.send(*proxy.listings[self.path])
            return

        status, headers, body = self.forward(proxy.upstream, request_body)
        if kind == "reset after":
            self.reset()
            return
        if self.command == "GET" and "list-type=" in self.path:
            proxy.listings.setdefault(self.path, (status, headers, body))
        # half of an answer of two bytes and more is cut; a shorter one has no middle
        self.send(status, headers, body, cut=kind == "cut" and len(body) > 1)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = pass_on

    def body(self) -> bytes:
        """The body of the request, of a given length or in chunks."""
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def forward(
        self, upstream: str, request_body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Status, headers and body of the server's answer."""
        connection = HTTPConnection(upstream, timeout=60)
        dropped = ("connection", "transfer-encoding", "expect", "content-length")
        headers = {k: v for k, v in self.headers.items() if k.lower() not in dropped}
        headers["Content-Length"] = str(len(request_body))
        connection.request(self.command, self.path, request_body, headers)
        answer: HTTPResponse = connection.getresponse()
        body = answer.read()
        kept = [(k, v) for k, v in answer.getheaders() if k.lower() not in dropped]
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(body))
        connection.close()
        return answer.status, [*kept, ("Content-Length", length or "0")], body

    def send(
        self, status: int, headers: list[tuple[str, str]], body: bytes, *, cut: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = cut

    def fail(self, status: int, code: str, message: str) -> None:
        text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
        self.send(status, [("Content-Length", str(len(text)))], text)

    def reset(self) -> None:
        # with no time to linger, closing is a reset
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def log_message(self, *_: object) -> None:
        """Nothing: the proxy counts."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """Nothing: a connection that breaks is what is tested."""


@contextmanager
def fault_proxy(upstream: str) -> Iterator[FaultProxy]:
    """A proxy before the server at an address, without faults at first."""
    held: list[FaultProxy] = []
    server = _Server(("127.0.0.1", 0), partial(_Handler, held))
    held.append(FaultProxy(upstream, f"http://127.0.0.1:{server.server_address[1]}"))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield held[0]
    finally:
        # file systems that know the proxy close their sessions
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        server.shutdown()
        server.server_close()
        thread.join()
