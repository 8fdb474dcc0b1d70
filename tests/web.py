"""A real web server on this machine that answers ranges, redirects where it is told, and remembers what was asked."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Site:
    """A folder at an address; `asked` are the paths of requests, `redirects` paths that lead elsewhere by `header`."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder, self.url = folder, address
        self.asked: list[str] = []
        self.redirects: dict[str, str] = {}
        self.header = "Location"

    def put(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return f"{self.url}/{name}"


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, site: list[Site], *args: object) -> None:
        self.site = site
        super().__init__(*args)  # type: ignore[arg-type]

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        [site] = self.site
        path = self.path.split("?")[0]
        site.asked.append(path)
        file = site.folder / path.lstrip("/")
        if path in site.redirects:
            self.send_response(302)
            self.send_header(site.header, site.redirects[path])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if not file.is_file():
            self.send_error(404)
            return
        data, span = file.read_bytes(), re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        part = data[int(span[1]) : int(span[2]) + 1 if span[2] else None] if span else data
        self.send_response(206 if span else 200)
        if span:
            self.send_header("Content-Range", f"bytes {span[1]}-{int(span[1]) + len(part) - 1}/{len(data)}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if body:
            self.wfile.write(part)

    def log_message(self, *_: object) -> None:
        """Nothing: the site remembers what was asked."""


@contextmanager
def serve_site(folder: Path) -> Iterator[Site]:
    folder.mkdir(parents=True)
    held: list[Site] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, held))
    server.daemon_threads = True
    held.append(Site(folder, f"http://127.0.0.1:{server.server_address[1]}"))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield held[0]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
