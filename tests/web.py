"""A real web server on this machine that answers ranges, redirects where it is told, and remembers
what was asked.

It also fails as servers do: busy, closed to strangers, without ranges, with connections that break
off.
"""

import base64
import re
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Fault = int | str | tuple[int, dict[str, str]]
LOGIN = ("ann", "word")


class Site:
    """A folder at an address; `asked` are the paths of requests, `redirects` paths that lead
    elsewhere by `header`.

    `faults` are the next answers at a path: a status, one with headers, "reset" for a connection
    that is reset, "cut" for a body that ends in the middle; `always` those at every request. Below
    `/private/` a login is asked for.
    """

    def __init__(self, folder: Path, address: str) -> None:
        self.folder, self.url = folder, address
        self.asked: list[str] = []
        self.redirects: dict[str, str] = {}
        self.header = "Location"
        self.faults: dict[str, list[Fault]] = {}
        self.always: dict[str, Fault] = {}
        self.ranges = True
        self.everything = ""
        """Name of the file with which every name is answered that has none; empty for a 404."""

    def put(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return f"{self.url}/{name}"


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, site: list[Site], *args: object) -> None:
        self.site = site
        super().__init__(*args)  # type: ignore[arg-type]

    def do_CONNECT(self) -> None:
        [site] = self.site
        site.asked.append(self.path)
        self.send_error(407 if self.path.startswith("closed") else 403)

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        [site] = self.site
        path = re.sub(r"^http://[^/]*", "", self.path).split("?")[
            0
        ]  # a proxy is asked for whole addresses
        site.asked.append(path)
        fault = site.faults[path].pop(0) if site.faults.get(path) else site.always.get(path)
        login = "Basic " + base64.b64encode(":".join(LOGIN).encode()).decode()
        if path.startswith("/private/") and self.headers.get("Authorization") != login:
            fault = 401
        if fault == "reset":
            # with no time to linger, closing is a reset
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        if isinstance(fault, int | tuple):
            status, headers = fault if isinstance(fault, tuple) else (fault, {})
            self.send_response(status)
            for name, value in {**headers, "Content-Length": "0"}.items():
                self.send_header(name, value)
            self.end_headers()
            return
        file = site.folder / path.lstrip("/")
        if path in site.redirects:
            self.send_response(302)
            self.send_header(site.header, site.redirects[path])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if not file.is_file() and site.everything:
            file = site.folder / site.everything
        if not file.is_file():
            self.send_error(404)
            return
        data, span = (
            file.read_bytes(),
            re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""),
        )
        span = span if site.ranges else None
        part = data[int(span[1]) : int(span[2]) + 1 if span[2] else None] if span else data
        self.send_response(206 if span else 200)
        if span:
            self.send_header(
                "Content-Range", f"bytes {span[1]}-{int(span[1]) + len(part) - 1}/{len(data)}"
            )
        if site.ranges:
            self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if body:
            self.wfile.write(part[: len(part) // 2] if fault == "cut" else part)
            self.close_connection = fault == "cut"

    def log_message(self, *_: object) -> None:
        """Nothing: the site remembers what was asked."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Nothing: a client that goes away, or does not trust the certificate, is what is tested."""


@contextmanager
def serve_site(folder: Path, *, tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    folder.mkdir(parents=True)
    held: list[Site] = []
    server = _Server(("127.0.0.1", 0), partial(_Handler, held))
    if tls:
        server.socket = tls.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    held.append(
        Site(folder, f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}")
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield held[0]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
