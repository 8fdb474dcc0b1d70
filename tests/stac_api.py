"""A real STAC API on this machine, for the tests that find their inputs in one."""

import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.machine import patience, until


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    """True once a server is there."""
    try:
        urllib.request.urlopen(url, timeout=patience(1)).close()
    except OSError:
        return False
    return True


@contextmanager
def serve_stac(
    folder: Path, items: Iterable[dict[str, Any]], collections: Iterable[dict[str, Any]]
) -> Iterator[str]:
    """Address of an API over items and collections, which are written into `folder`."""
    files = [folder / "items.json"]
    files[0].write_text(json.dumps({"type": "FeatureCollection", "features": list(items)}))
    for collection in collections:
        files.append(folder / f"{collection['id']}.collection.json")
        files[-1].write_text(json.dumps(collection))
    address = f"127.0.0.1:{free_port()}"
    program = Path(sys.executable).with_name("rustac")
    server = subprocess.Popen(
        [str(program), "serve", "--addr", address, *map(str, files)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(
            lambda: server.poll() is not None or answers(f"http://{address}/"),
            expected="rustac answers",
        )
        assert server.poll() is None, "rustac did not start"
        yield f"http://{address}"
    finally:
        server.terminate()
        server.wait()
