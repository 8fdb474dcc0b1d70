"""A real S3 server on this machine, for the tests that need another writer than the process itself."""

from collections.abc import Iterator
from contextlib import contextmanager
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
        return [o["Key"] for o in self.client.list_objects_v2(Bucket=self.name).get("Contents", [])]


@contextmanager
def serve(name: str) -> Iterator[Bucket]:
    """A bucket on a server of its own; credentials and endpoint come from the environment, as
    everywhere.
    """
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
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
