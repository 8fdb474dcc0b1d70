"""A real STAC API on this machine, for the tests that find their inputs in one."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serve_stac(folder: Path, items: Iterable[dict[str, Any]], collections: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Address of an API over items and collections, which are written into `folder`."""
    files = [folder / "items.json"]
    files[0].write_text(json.dumps({"type": "FeatureCollection", "features": list(items)}))
    for collection in collections:
        files.append(folder / f"{collection['id']}.collection.json")
        files[-1].write_text(json.dumps(collection))
    address = f"127.0.0.1:{free_port()}"
    program = Path(sys.executable).with_name("rustac")
    server = subprocess.Popen([str(program), "serve", "--addr", address, *map(str, files)], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://{address}/", timeout=1).close()
                break
            except OSError:
                assert server.poll() is None, "rustac did not start"
                time.sleep(0.05)
        yield f"http://{address}"
    finally:
        server.terminate()
        server.wait()
