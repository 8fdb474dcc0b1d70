"""Whole objects on any store: local paths, s3://, gs://, https://. Credentials come from the environment only.

Options of the stores are the process's, not the caller's: `configure` sets them for everything that opens a URL through
fsspec (Zarr included), and workers find them in the environment.
"""

import errno
import os
import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Annotated, Any
from urllib.parse import unquote, urljoin

import aiohttp
import fsspec
from fsspec.config import conf
from fsspec.implementations.local import LocalFileSystem
from pydantic import Field, ValidationError

from luray.http import TIMEOUT, WebError, WebFileSystem, trusted_certificates
from luray.places import LONGEST, WEB, OptionalAddress, Place, climbs
from luray.places import is_local as is_local
from luray.places import public as public
from luray.places import without_secrets as without_secrets
from luray.schema import Config

ENVIRONMENT = "LURAY_STORAGE"
"""Environment variable by which the options reach a worker, as JSON."""

ALIASES = {"gcs": "gs", "s3a": "s3"}
PORTS = {"http": ":80", "https": ":443"}
"""Schemes with servers that decode paths, and the port that goes without saying."""

UNCLEAR = r"[\x00-\x1f\x7f\\]|::|^\s|^[A-Za-z][\w+.-]*:(?!//)"
"""What readers of a URL disagree about: control characters, backslashes, fsspec's chains, schemes without slashes."""


LIBRARIES = ("aiobotocore", "aiohttp", "botocore", "gcsfs", "google")
"""Packages behind the stores, whose errors are of their own types."""
DENIED = "forbidden|denied|credential|unauthori[sz]ed"
"""What they say where the trouble is who asks."""

NO_ROOM = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the quota is used up",
           errno.EFBIG: "the file would exceed the size that is allowed here"}
"""Errors of the system that end once there is room again, in words."""


class RefusedError(ValueError):
    """A place that luray was led to and does not open: says which, by what, and what to allow."""


class NoRoomError(OSError):
    """A place that nothing more can be written to: says which, what was kept, and how to go on."""


class S3Options(Config):
    """Options of s3://; an empty endpoint is AWS's own, or that of AWS_ENDPOINT_URL."""

    endpoint_url: OptionalAddress = ""
    anonymous: bool = False
    requester_pays: bool = False


class GcsOptions(Config):
    """Options of gs://; an empty endpoint is Google's own, or that of STORAGE_EMULATOR_HOST."""

    endpoint_url: OptionalAddress = ""
    anonymous: bool = False
    project: str = ""


class StorageConfig(Config):
    """Options of the object stores, and the roots that catalogs, references and redirects may lead to.

    There is no place for credentials: s3fs and gcsfs take them from the environment or the workload's identity.
    """

    s3: S3Options = S3Options()
    gs: GcsOptions = GcsOptions()
    allow: Annotated[tuple[Place, ...], Field(strict=False)] = ()
    """Places, such as s3://bucket/inputs/ or https://host/, below which what a catalog names may lie."""


def configure(options: StorageConfig) -> None:
    """Use these options from now on, in this process and in those that it starts."""
    os.environ[ENVIRONMENT] = options.model_dump_json(exclude_defaults=True)
    s3 = {"endpoint_url": options.s3.endpoint_url, "anon": options.s3.anonymous,
          "requester_pays": options.s3.requester_pays}
    # botocore takes the proxies of the environment by itself, gcsfs only when it is told to
    gs = {"endpoint_url": options.gs.endpoint_url, "token": "anon" if options.gs.anonymous else "",
          "project": options.gs.project, "session_kwargs": {"trust_env": True}}
    conf["s3"] = {key: value for key, value in s3.items() if value}
    conf["gs"] = {key: value for key, value in gs.items() if value}
    conf["http"] = conf["https"] = {"get_client": _guarded_client}


def configured() -> StorageConfig:
    """The options in use. Raises ValueError where the environment variable holds others than these."""
    try:
        return StorageConfig.model_validate_json(os.environ.get(ENVIRONMENT) or "{}")
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, f['loc']))}: {f['msg']}" for f in error.errors())
        raise ValueError(f"the environment variable {ENVIRONMENT} is no JSON of [storage] "
                         f"({faults}); unset it, and set [storage] in the run file") from None


def environment() -> dict[str, str]:
    """What a worker on another machine needs in its environment."""
    return {ENVIRONMENT: os.environ.get(ENVIRONMENT, "{}")}


def require_within(url: str, roots: Iterable[str], *, led_by: str) -> str:
    """The URL, if it lies below one of `roots` or of the roots that the run file allows.

    Raises RefusedError for any other place, naming it and `led_by`, the document that names it: a catalog cannot make
    luray read a local file, a loopback or link-local address, or anything else that the user has not pointed it at.
    """
    if any(_below(url, root) for root in (*roots, *configured().allow)):
        return url
    shown = re.sub(r"[\x00-\x1f\x7f]", "?", public(url))[:LONGEST]
    if _place(url) is None:
        raise RefusedError(f"{led_by} leads to {shown}, which two readers could take for different places; expected a "
                           "plain path or URL: correct it there")
    root = shown.rsplit("/", 1)[0] + "/"
    raise RefusedError(f"{led_by} leads to {shown}, which is below neither its own root nor one of storage.allow in "
                       f'the run file; if you trust it, add it there: allow = ["{root}"]')


def _place(url: str) -> tuple[str, str, tuple[str, ...]] | None:
    """Scheme, host or bucket, and path of a URL as its store reads it; None where two readers could differ about it.

    Local links are followed. Object stores take a key letter by letter, HTTP servers decode it: so must this.
    """
    if len(url) > LONGEST or re.search(UNCLEAR, url):
        return None
    if is_local(url):
        return "file", "", tuple(os.path.realpath(LocalFileSystem._strip_protocol(url)).split("/"))
    scheme, _, rest = url.partition("://")
    scheme = ALIASES.get(scheme.lower(), scheme.lower())
    if scheme in PORTS:
        host, _, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
        host, segments = host.lower().removesuffix(PORTS[scheme]), tuple(unquote(s) for s in path.split("/"))
    else:
        host, _, path = rest.partition("/")
        segments = tuple(path.split("/"))
    return None if climbs(path) else (scheme, host, segments)


def _below(url: str, root: str) -> bool:
    place, above = _place(url), _place(root.rstrip("/") or "/") if root else None
    if place is None or above is None or place[:2] != above[:2]:
        return False
    steps = above[2] if above[2][-1] else above[2][:-1]
    return place[2][: len(steps)] == steps


async def _guarded_client(**options: Any) -> aiohttp.ClientSession:
    """An HTTP session that is led to another host only where the run file allows it.

    It takes proxies (http_proxy, https_proxy, no_proxy) and logins (.netrc) from the environment.
    """
    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_check_redirect)
    connector = aiohttp.TCPConnector(ssl=trusted_certificates())
    settings: dict[str, Any] = {"timeout": TIMEOUT, "trust_env": True, "connector": connector, **options}
    return aiohttp.ClientSession(trace_configs=[trace], **settings)


async def _check_redirect(_: aiohttp.ClientSession, __: SimpleNamespace, redirect: Any) -> None:
    start = str(redirect.url)
    headers = redirect.response.headers
    target = urljoin(start, headers.get("Location") or headers.get("URI") or "")
    require_within(target, [urljoin(start, "/")], led_by=f"a redirect of {public(start)}")


def filesystem(url: str) -> tuple[Any, str]:
    """File system and path of a URL. Its listings are never cached: other processes write beside this one."""
    if url.partition("://")[0] in WEB:
        return WebFileSystem(get_client=_guarded_client), url
    fs, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
    return fs, path


@contextmanager
def accessing(url: str) -> Iterator[None]:
    """Say what a store refuses inside with its place, without secrets, and what to do.

    Raises NoRoomError for a full disk, and of a remote store PermissionError, FileNotFoundError or OSError. Unlike the
    libraries' own errors these travel between processes. They are not worth another try: what may pass was tried
    again below. Other errors of a disk name their files and pass as they are.
    """
    try:
        yield
    except WebError:
        raise
    except Exception as error:
        lacking = no_room(error, place=public(url))
        if lacking is not None:
            raise lacking from error
        if is_local(url) or not (isinstance(error, OSError) or type(error).__module__.split(".")[0] in LIBRARIES):
            raise
        said = f"{public(url)}: {without_secrets(' '.join(str(error).split())) or type(error).__name__}"
        if isinstance(error, FileNotFoundError):
            raise FileNotFoundError(f"{said}; create the bucket, or correct the place in the run file") from error
        if isinstance(error, PermissionError) or re.search(DENIED, str(error), re.IGNORECASE):
            raise PermissionError(f"{said}; credentials come from the environment or the workload's identity: renew "
                                  "them, or let them use this place") from error
        raise OSError(f"{said}; if the place and [storage] in the run file are right, run the command again: what is "
                      "finished is kept") from error


def no_room(error: BaseException, *, place: str) -> NoRoomError | None:
    """Explain an error that means that nothing more can be written; None for any other, and for an explained one.

    `place` is named where the system does not name the file. Libraries wrap such errors: the cause counts.
    """
    cause: BaseException | None = error
    while cause is not None and not (isinstance(cause, OSError) and cause.errno in NO_ROOM):
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, NoRoomError) or cause is None:
        return None

    assert isinstance(cause, OSError)
    assert cause.errno is not None
    where = str(cause.filename) if cause.filename else place
    return NoRoomError(f"{where}: {NO_ROOM[cause.errno]}; make room, or set another place, and "
                       "run the command again: it goes on where it was, as whatever was finished "
                       "is kept")


def write_atomically(url: str, data: bytes) -> None:
    """Write a whole object or none: on a local disk through a temporary name, on an object store as one put."""
    fs, path = filesystem(url)
    if not is_local(url):
        with accessing(url):
            fs.pipe_file(path, data)
        return
    temporary = f"{path}.{uuid.uuid4().hex[:8]}.partial"
    with accessing(url):
        fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        try:
            fs.pipe_file(temporary, data)
            fs.mv(temporary, path)
        except OSError:
            with suppress(OSError):  # what is left of it takes room on a disk that has none
                fs.rm_file(temporary)
            raise


def read_object(url: str) -> bytes | None:
    """The bytes of an object, None when it is not there."""
    fs, path = filesystem(url)
    with accessing(url):
        try:
            data: bytes = fs.cat_file(path)
        except FileNotFoundError:
            return None
    return data


def exists(url: str) -> bool:
    """True when there is an object of this name."""
    fs, path = filesystem(url)
    with accessing(url):
        return bool(fs.exists(path))


def remove(url: str) -> None:
    """Delete an object, or a store with everything in it, if it is there."""
    fs, path = filesystem(url)
    with accessing(url):
        if fs.exists(path):
            fs.rm(path, recursive=True)


configure(configured())
