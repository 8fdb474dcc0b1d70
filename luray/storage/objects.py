"""Whole objects on any store: local paths, s3://, gs://, https://.

Credentials come from the environment only. Options of the stores are the process's, not the
caller's: `configure` sets them for everything that opens a URL through fsspec (Zarr included), and
workers find them in the environment.
"""

import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
from fsspec.config import conf

from luray.storage.errors import WebError, no_room
from luray.storage.places import WEB
from luray.storage.places import is_local as is_local
from luray.storage.places import public as public
from luray.storage.places import without_secrets as without_secrets
from luray.storage.trust import ENVIRONMENT, StorageConfig, configured

LIBRARIES = ("aiobotocore", "aiohttp", "botocore", "gcsfs", "google")
"""Packages behind the stores, whose errors are of their own types."""
DENIED = "forbidden|denied|credential|unauthori[sz]ed|HeadObject.*Bad Request"
"""Words in their messages when the store does not let this user in.

To the question whether an object is there S3 answers without words, and with 400 where a token has
expired.
"""

MEDIA_TYPE_OPTION = {
    "s3": "ContentType",
    "s3a": "ContentType",
    "gs": "content_type",
    "gcs": "content_type",
}
"""Name of the option by which the writer of a scheme takes the media type of an object."""


RANGES_AT_ONCE = 32
"""Pieces of objects that a store is asked for at once."""


def configure(options: StorageConfig) -> None:
    """Use these options from now on, in this process and in those that it starts.

    They hold for everything that opens a URL through fsspec.
    """
    os.environ[ENVIRONMENT] = options.model_dump_json(exclude_defaults=True)
    s3 = {
        "endpoint_url": options.s3.endpoint_url,
        "anon": options.s3.anonymous,
        "requester_pays": options.s3.requester_pays,
    }
    # botocore takes the proxies of the environment by itself, gcsfs only when it is told to
    gs = {
        "endpoint_url": options.gs.endpoint_url,
        "token": "anon" if options.gs.anonymous else "",
        "project": options.gs.project,
        "session_kwargs": {"trust_env": True},
    }
    # an option that is empty is left to the library, which may find it in the environment
    conf["s3"] = {key: value for key, value in s3.items() if value}
    conf["gs"] = {key: value for key, value in gs.items() if value}
    conf["http"] = conf["https"] = {"get_client": _guarded_client}


async def _guarded_client(**options: Any) -> Any:
    """Open the HTTP session of a file system."""
    from luray.storage.web_session import open_session

    return open_session(**options)


def filesystem(url: str) -> tuple[Any, str]:
    """Return the fsspec file system of a URL, and the path on it.

    Its listings are never cached: other processes write beside this one.
    """
    if url.partition("://")[0] in WEB:
        from luray.storage.web import WebFileSystem

        return WebFileSystem(get_client=_guarded_client), url
    fs, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
    return fs, path


@contextmanager
def accessing(url: str) -> Iterator[None]:
    """Explain the errors of a store that are raised inside.

    The new errors name the place without secrets, and what to do. Unlike the libraries' own errors
    they travel between processes. Trying again is of no use: s3fs, gcsfs and `WebFileSystem` have
    done so where it could help.

    Raises
    ------
    NoRoomError
        For a full disk. Other errors of a disk name their files and pass as they are.
    PermissionError, FileNotFoundError, OSError
        Of a remote store.
    """
    try:
        yield
    except WebError:
        raise
    except Exception as error:
        lacking = no_room(error, place=public(url))
        if lacking is not None:
            raise lacking from error
        # by name: their types would have to be imported, which takes seconds
        library = type(error).__module__.split(".")[0]
        is_of_store = isinstance(error, OSError) or library in LIBRARIES
        if is_local(url) or not is_of_store:
            raise

        message = without_secrets(" ".join(str(error).split()))
        fault = f"{public(url)}: {message or type(error).__name__}"
        if isinstance(error, FileNotFoundError):
            raise FileNotFoundError(
                f"{fault}; create the bucket, or correct the place in the run file"
            ) from error
        words = f"{error} {error.__cause__ or ''}"
        if isinstance(error, PermissionError) or re.search(DENIED, words, re.IGNORECASE):
            raise PermissionError(
                f"{fault}; credentials come from the environment or the workload's identity: renew "
                "them, or let them use this place"
            ) from error
        raise OSError(
            f"{fault}; if the place and [storage] in the run file are right, run the command "
            "again: what is finished is kept"
        ) from error


def write_atomically(url: str, data: bytes, *, media_type: str = "") -> None:
    """Write a whole object or none.

    On a local disk it gets its name when it is complete; on an object store it is one put.

    Parameters
    ----------
    url : str
        Of the object.
    data : bytes
        All of it.
    media_type : str, optional
        What an object store tells browsers that it is; a disk does not keep it.
    """
    fs, path = filesystem(url)
    if not is_local(url):
        option = MEDIA_TYPE_OPTION.get(url.partition("://")[0])
        options = {option: media_type} if media_type and option else {}
        with accessing(url):
            fs.pipe_file(path, data, **options)
        return
    temporary = f"{path}.{uuid.uuid4().hex[:8]}.partial"
    with accessing(url):
        fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        try:
            fs.pipe_file(temporary, data)
            fs.mv(temporary, path)
        except OSError:
            with suppress(OSError):  # the rest of the file takes room on a disk that has none
                fs.rm_file(temporary)
            raise


def read_object(url: str) -> bytes | None:
    """Return the bytes of an object, None when it is not there."""
    fs, path = filesystem(url)
    with accessing(url):
        try:
            data: bytes = fs.cat_file(path)
        except FileNotFoundError:
            return None
    return data


class ByteRange(NamedTuple):
    """Some bytes of an object."""

    url: str
    bytes: slice


def read_ranges(ranges: Sequence[ByteRange]) -> Iterator[bytes | None]:
    """Yield bytes of objects of one store, None for those of an object that is not there.

    The store is asked for up to `RANGES_AT_ONCE` at a time, so no more are held in memory.
    """
    for first in range(0, len(ranges), RANGES_AT_ONCE):
        asked = ranges[first : first + RANGES_AT_ONCE]
        with accessing(asked[0].url):
            if is_local(asked[0].url):
                answers = [_local_range(url, piece) for url, piece in asked]
            else:
                answers = _remote_ranges(asked)
        yield from answers


def _local_range(url: str, piece: slice) -> bytes | None:
    """Return bytes of a file. To open it through fsspec takes longer than to read them."""
    _, path = filesystem(url)
    try:
        with Path(path).open("rb", buffering=0) as file:
            file.seek(piece.start)
            return file.read(piece.stop - piece.start)
    except FileNotFoundError:
        return None


def _remote_ranges(ranges: Sequence[ByteRange]) -> list[bytes | None]:
    """Return bytes of objects of a remote store, asked for at once."""
    fs, _ = filesystem(ranges[0].url)
    answers = fs.cat_ranges(
        [url for url, _ in ranges],
        [piece.start for _, piece in ranges],
        [piece.stop for _, piece in ranges],
        on_error="return",
    )
    for answer in answers:
        is_absent = isinstance(answer, FileNotFoundError)
        if isinstance(answer, Exception) and not is_absent:
            raise answer
    return [answer if isinstance(answer, bytes) else None for answer in answers]


def sha256_of(url: str) -> str | None:
    """Return the sha256 of an object, None when it is not there.

    It is read in pieces: a GeoTIFF of the globe may be larger than memory has room for.
    """
    fs, path = filesystem(url)
    with accessing(url):
        try:
            with fs.open(path, "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return None


def read_json(url: str) -> Any:
    """Return what a JSON file holds, None when it is not there.

    Raises ValueError for other text.
    """
    text = read_object(url)
    return None if text is None else json.loads(text)


def exists(url: str) -> bool:
    """Return True when there is an object of this name."""
    fs, path = filesystem(url)
    with accessing(url):
        return bool(fs.exists(path))


def remove(url: str) -> None:
    """Delete an object, or a store with everything in it, if it is there."""
    fs, path = filesystem(url)
    with accessing(url):
        if fs.exists(path):
            fs.rm(path, recursive=True)


# on import: a worker takes over the options that its environment names
configure(configured())
