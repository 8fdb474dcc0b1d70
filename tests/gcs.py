"""A real server of Google's storage API on this machine, in memory; it keeps no credentials."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, partialmethod
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

# gcsfs otherwise asks every bucket for a minute whether it is of the hierarchical kind, which the
# emulator is not
os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")

import fsspec
import pytest
from gcp_storage_emulator.exceptions import NotFound

from tests.stac_api import free_port

END = b"\n--==0==--"
"""How gcsfs ends an upload: with a line feed where the emulator's parser takes a carriage return
before it for its own, and loses it from the data.
"""


def framed(raw: bytes | None, handler: Any, decode: Callable[..., bytes | None]) -> bytes | None:
    """A request as the emulator reads it, an upload ended as the standard has it."""
    data = decode(raw, handler)
    return data.removesuffix(END) + b"\r" + END if data and data.endswith(END) else data


def guarded(router: Any, method: str, handle: Callable[..., None]) -> None:
    """Handle a request unless its precondition fails, which the emulator does not look at.

    It has one thread, so nothing changes between the look and the write.
    """
    handler = router._request_handler
    address = urlsplit(handler.path)
    query = dict(parse_qsl(address.query))
    path = re.fullmatch(r".*/b/([^/]+)/o(?:/(.+))?", address.path)
    expected = query.get("ifGenerationMatch")
    if expected is not None and path is not None:
        name = query.get("name") or unquote(path[2] or "")
        try:
            found = handler.storage.get_file_obj(path[1], name)["generation"]
        except NotFound:
            found = "0"
        if found != expected:
            handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
            handler.send_response(412)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
    handle(router, method)


class GcsBucket:
    """A bucket, filled through a file system object that the program does not share."""

    def __init__(self, endpoint: str, name: str) -> None:
        self.name, self.url, self.endpoint = name, f"gs://{name}", endpoint
        self.files = fsspec.filesystem(
            "gs", token="anon", endpoint_url=endpoint, skip_instance_cache=True
        )

    def put(self, key: str, data: bytes) -> None:
        self.files.pipe_file(f"{self.name}/{key}", data)

    def get(self, key: str) -> bytes:
        return self.files.cat_file(f"{self.name}/{key}")


@contextmanager
def serve_gcs(name: str) -> Iterator[GcsBucket]:
    """A bucket on a server of its own; the endpoint comes from the environment, as everywhere."""
    from gcp_storage_emulator import server as emulator

    port = free_port()
    server = emulator.create_server("127.0.0.1", port, in_memory=True, default_bucket=name)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            emulator, "_decode_raw_data", partial(framed, decode=emulator._decode_raw_data)
        )
        handle = emulator.Router.handle
        patch.setattr(emulator.Router, "handle", partialmethod(guarded, handle=handle))
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        fsspec.get_filesystem_class("gs").clear_instance_cache()
        try:
            yield GcsBucket(f"http://127.0.0.1:{port}", name)
        finally:
            fsspec.get_filesystem_class("gs").clear_instance_cache()
            server.stop()
