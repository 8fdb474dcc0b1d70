"""`luray view` serves the page, and of the file system the product alone."""

import http.client
import json
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from luray.cli.app import app
from luray.explorer.server import ExplorerServer
from luray.stages.view import find_product, make_server
from tests.explorer.small_world import write_empty_product
from tests.machine import patience


def get(
    server: ExplorerServer, path: str, *, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a path that is sent as it is."""
    where = urlsplit(server.address)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=patience(30))
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body


def test_serves_page_config_and_keys(server: ExplorerServer, world: Path) -> None:
    status, headers, body = get(server, "/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"explorer.js" in body
    assert json.loads(get(server, "/explorer.json")[2]) == {"product": "product/", "cube": "cube/"}
    key = "product.zarr/land_use/c/0/0/0/0/0"
    status, headers, body = get(server, "/product/land_use/c/0/0/0/0/0")
    assert (status, body) == (200, (world / key).read_bytes())
    assert headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-9", 0, 9),
        ("bytes=5-", 5, None),
        ("bytes=-7", -7, None),
        ("bytes=3-99999999", 3, None),
    ],
)
def test_serves_ranges(
    server: ExplorerServer, world: Path, asked: str, first: int, last: int | None
) -> None:
    whole = (world / "product.zarr/zarr.json").read_bytes()
    status, headers, body = get(server, "/product/zarr.json", Range=asked)
    expected = whole[first : None if last is None else last + 1]
    assert (status, body) == (206, expected)
    start = len(whole) + first if first < 0 else first
    end = start + len(expected) - 1
    assert headers["content-range"] == f"bytes {start}-{end}/{len(whole)}"


def test_a_range_beyond_the_end_is_refused(server: ExplorerServer) -> None:
    status, headers, _ = get(server, "/product/zarr.json", Range="bytes=99999999-")
    assert status == 416
    assert headers["content-range"].startswith("bytes */")


@pytest.mark.parametrize(
    "path",
    [
        "/product/../cube.zarr/zarr.json",
        "/product/%2e%2e/secret.txt",
        "/product//etc/passwd",
        "/product/%2fetc%2fpasswd",
        "/product/link.txt",
        "/product/land_use",
        "/secret.txt",
        "/sources.sha256",
        "/../../secret.txt",
    ],
)
def test_serves_nothing_else(server: ExplorerServer, world: Path, path: str) -> None:
    (world / "secret.txt").write_text("secret")
    link = world / "product.zarr/link.txt"
    link.unlink(missing_ok=True)
    link.symlink_to(world / "secret.txt")
    status, _, body = get(server, path)
    assert status == 404
    assert b"secret" not in body


def test_listens_on_loopback_alone(server: ExplorerServer) -> None:
    assert server.server_address[0] == "127.0.0.1"


def test_a_port_that_is_taken(world: Path) -> None:
    viewed = find_product(str(world / "product.zarr"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"127.0.0.1:{port} cannot be listened on.*--port"):
            make_server(viewed, port=port)


def test_a_product_that_is_not_finished(tmp_path: Path) -> None:
    write_empty_product(tmp_path / "product.zarr", finished=False, members=0)
    viewed = find_product(str(tmp_path / "product.zarr"))
    assert viewed.unfinished is not None
    assert viewed.unfinished["done"] == 0
    assert len(viewed.unfinished["missing"]) == 25
    assert "not finished" in viewed.notes[0]


def test_says_what_is_wrong(tmp_path: Path, world: Path) -> None:
    for place, message in (
        (tmp_path / "nothing.zarr", "found no Zarr store, expected a product"),
        (world / "cube.zarr", "is no product of luray"),
    ):
        with pytest.raises(ValueError, match=message):
            find_product(str(place))


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["view", str(tmp_path / "nothing.zarr"), "--no-browser"])
    assert "found no Zarr store" in str(result.exception)
