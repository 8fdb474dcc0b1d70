"""A web server for one product and the page that draws it.

It answers GET and HEAD, with ranges, for the files of the page and for the keys of the product and
of its cube, and for nothing else. A product on an object store is read through `luray.storage`, and
so with the credentials of this process.
"""

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from luray.explorer.page import CONFIG, INDEX, media_type, page_files
from luray.storage.objects import accessing, filesystem, is_local, without_secrets

KEY = re.compile(r"\w[\w.@-]*(?:/\w[\w.@-]*)*", re.ASCII)
"""Keys of a Zarr store of luray: no step begins with a dot, so none leads out of the store."""
RANGE = re.compile(r"bytes=(\d*)-(\d*)")
"""One range of RFC 9110; what asks for several is answered with the whole file."""
BYTES = "application/octet-stream"


@dataclass(frozen=True)
class Part:
    """Bytes of a file, `first` being the place of the first of them in it."""

    body: bytes
    first: int = 0
    size: int | None = None
    """Bytes of the whole file, None where the store does not say."""


class Store:
    """The keys of a Zarr store, on this machine or another.

    Parameters
    ----------
    url : str
        A local path, or the URL of an object store or web server.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.is_local = is_local(url)
        _, path = filesystem(self.url)
        self._root = Path(path).resolve() if self.is_local else None

    def read(self, key: str, first: int | None, last: int | None) -> Part | None:
        """Return a file or a range of it, None where there is none.

        Parameters
        ----------
        key : str
            Below the store.
        first, last : int or None
            Of the range, as RFC 9110 has it: both counted, and without `first` the last bytes.

        Raises
        ------
        OSError
            Where the store does not answer.
        """
        if KEY.fullmatch(key) is None:
            return None
        if self._root is not None:
            return _read_local(self._root, key, first, last)
        return self._read_remote(f"{self.url}/{key}", first, last)

    def _read_remote(self, url: str, first: int | None, last: int | None) -> Part | None:
        fs, path = filesystem(url)
        start = first
        end = None if last is None else last + 1
        if first is None and last is not None:
            # The last bytes of the object, however many it has.
            start = -last
            end = None
        with accessing(url):
            try:
                body: bytes = fs.cat_file(path, start=start, end=end)
            except FileNotFoundError:
                return None
        if start is None:
            return Part(body, 0, len(body))
        if start < 0:
            size = int(fs.info(path)["size"])
            tail = body[start:]  # a store that knows no such range sends everything
            return Part(tail, size - len(tail), size)
        return Part(body, start)


def _read_local(root: Path, key: str, first: int | None, last: int | None) -> Part | None:
    """Return a file below a folder or a range of it. A link that leads out of it is not followed"""
    path = (root / key).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        return None
    with path.open("rb") as file:
        size = path.stat().st_size
        start = first or 0
        if first is None and last is not None:
            # The last bytes of the file.
            start = max(0, size - last)
            last = None
        end = size if last is None else min(size, last + 1)
        file.seek(start)
        return Part(file.read(max(0, end - start)), start, size)


class ExplorerServer(ThreadingHTTPServer):
    """Serves the page, its configuration, and some stores.

    Parameters
    ----------
    stores : mapping
        Stores by the first step of their path.
    config : bytes
        What the page reads first, see `page_config`.
    host : str
        Address to listen on.
    port : int
        0 for any free one.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, stores: Mapping[str, Store], *, config: bytes, host: str, port: int) -> None:
        self.stores = stores
        self.files = {**page_files(), CONFIG: config}
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)

    @property
    def address(self) -> str:
        """URL of the page, as a browser on this machine opens it."""
        host, port = self.server_address[:2]
        all_interfaces = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - shown, never bound
        shown = all_interfaces.get(str(host), str(host))
        return f"http://[{shown}]:{port}/" if ":" in shown else f"http://{shown}:{port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing: a browser breaks off what it does not need any more."""


class _Handler(BaseHTTPRequestHandler):
    server: ExplorerServer
    protocol_version = "HTTP/1.1"
    server_version = "luray"
    sys_version = ""
    wbufsize = -1  # headers and body leave together
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path).lstrip("/") or INDEX
        if path in self.server.files:
            self._send(Part(self.server.files[path]), kind=media_type(path))
            return
        name, _, key = path.partition("/")
        store = self.server.stores.get(name)
        first, last = self._range()
        try:
            part = store.read(key, first, last) if store else None
        except OSError as error:
            message = without_secrets(str(error)).encode()
            self._send(Part(message), HTTPStatus.BAD_GATEWAY, kind="text/plain; charset=utf-8")
            return
        if part is None and store and self.headers.get("X-Absent") == "204":
            # The page asks for tiles without land, which are not stored; browsers report a 404.
            self._send(Part(b""), HTTPStatus.NO_CONTENT)
        elif part is None:
            self._send(Part(b"not found\n"), HTTPStatus.NOT_FOUND, kind="text/plain")
        elif first is None and last is None:
            self._send(part, kind=BYTES)
        elif not part.body:
            size = "*" if part.size is None else part.size
            headers = {"Content-Range": f"bytes */{size}"}
            self._send(
                Part(b""), HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, kind=BYTES, headers=headers
            )
        else:
            size = "*" if part.size is None else part.size
            end = part.first + len(part.body) - 1
            headers = {"Content-Range": f"bytes {part.first}-{end}/{size}"}
            self._send(part, HTTPStatus.PARTIAL_CONTENT, kind=BYTES, headers=headers)

    do_HEAD = do_GET

    def do_OPTIONS(self) -> None:
        self._send(
            Part(b""),
            HTTPStatus.NO_CONTENT,
            headers={
                "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
                "Access-Control-Allow-Headers": "Range, X-Absent",
            },
        )

    def _range(self) -> tuple[int | None, int | None]:
        """Return first and last byte that are asked for, None twice for the whole file."""
        match = RANGE.fullmatch(self.headers.get("Range", ""))
        if match is None or match[0] == "bytes=-":
            return None, None
        first, last = (int(number) if number else None for number in match.groups())
        if first is not None and last is not None and last < first:
            return None, None
        return first, last

    def _send(
        self,
        part: Part,
        status: HTTPStatus = HTTPStatus.OK,
        *,
        kind: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.send_response(status)
        if kind:
            self.send_header("Content-Type", kind)
        if status is not HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(part.body)))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Access-Control-Expose-Headers", "Content-Range, Content-Length")
        self.send_header("X-Content-Type-Options", "nosniff")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(part.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: a picture takes dozens of requests."""
