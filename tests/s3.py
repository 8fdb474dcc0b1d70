"""A real S3 server on this machine, for the tests that need another writer than the process itself."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partialmethod
from typing import Any
from urllib.request import Request, urlopen

import boto3
import fsspec
import pytest
from botocore.config import Config


class Bucket:
    """A bucket, and a client that shares nothing with the file system objects of the program."""

    def __init__(self, endpoint: str, name: str) -> None:
        self.name, self.url, self.endpoint = name, f"s3://{name}", endpoint
        self.client = boto3.client(
            "s3", endpoint_url=endpoint, config=Config(retries={"max_attempts": 1})
        )
        self.client.create_bucket(Bucket=name)

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=data)

    def get(self, key: str) -> bytes:
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The server lets nobody in: the keys of the environment are not among those that it knows."""

        def count(actions: bytes) -> None:
            kind = {"Content-Type": "text/plain"}
            urlopen(Request(f"{self.endpoint}/moto-api/reset-auth", actions, kind)).close()

        count(b"0")
        try:
            yield
        finally:
            count(b"inf")

    def keys(self) -> list[str]:
        """All keys: the server lists a thousand at a time."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]


CONDITIONS = threading.Lock()


def one_at_a_time(response: Any, method: Callable[[Any], Any]) -> Any:
    """Handle a conditional request alone: moto has many threads, and looks before it writes."""
    headers = response.headers
    if "If-Match" not in headers and "If-None-Match" not in headers:
        return method(response)
    with CONDITIONS:
        return method(response)


@contextmanager
def serve(name: str) -> Iterator[Bucket]:
    """A bucket on a server of its own; credentials and endpoint come from the environment, as
    everywhere.
    """
    from moto import backends
    from moto.s3.responses import S3Response
    from moto.server import ThreadedMotoServer

    services = frozenset(backends.list_of_moto_modules())
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        for name_of_method in ("put_object", "delete_object"):
            method = getattr(S3Response, name_of_method)
            patch.setattr(S3Response, name_of_method, partialmethod(one_at_a_time, method=method))
        # moto lists its folders anew for every request, which takes a third of its time
        patch.setattr(backends, "list_of_moto_modules", lambda: services)
        for key, value in (
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL", endpoint),
        ):
            patch.setenv(key, value)
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        try:
            yield Bucket(endpoint, name)
        finally:
            fsspec.get_filesystem_class("s3").clear_instance_cache()
            server.stop()
