"""Whole objects on any store: local paths, s3://, gs://. Credentials come from the environment only."""

import uuid
from typing import Any

import fsspec


def filesystem(url: str) -> tuple[Any, str]:
    """File system and path of a URL. Its listings are never cached: other processes write beside this one."""
    fs, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
    return fs, path


def write_atomically(url: str, data: bytes) -> None:
    """Write a whole object or none: on a local disk through a temporary name, on an object store as one put."""
    fs, path = filesystem(url)
    if not is_local(url):
        fs.pipe_file(path, data)
        return
    fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    temporary = f"{path}.{uuid.uuid4().hex[:8]}.partial"
    fs.pipe_file(temporary, data)
    fs.mv(temporary, path)


def read_object(url: str) -> bytes | None:
    """The bytes of an object, None when it is not there."""
    fs, path = filesystem(url)
    try:
        data: bytes = fs.cat_file(path)
    except FileNotFoundError:
        return None
    return data


def exists(url: str) -> bool:
    """True when there is an object of this name."""
    fs, path = fsspec.core.url_to_fs(url)
    return bool(fs.exists(path))


def remove(url: str) -> None:
    """Delete an object, or a store with everything in it, if it is there."""
    fs, path = filesystem(url)
    if fs.exists(path):
        fs.rm(path, recursive=True)


def is_local(url: str) -> bool:
    """True for a path on this machine."""
    return "://" not in url or url.startswith("file://")
