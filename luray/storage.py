"""Whole objects on any store: local paths, s3://, gs://, https://. Credentials come from the environment only.

Options of the stores are the process's, not the caller's: `configure` sets them for everything that opens a URL through
fsspec (Zarr included), and workers find them in the environment.
"""

import os
import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Annotated, Any
from urllib.parse import unquote, urljoin

import aiohttp
import fsspec
from fsspec.config import conf
from fsspec.implementations.local import LocalFileSystem
from pydantic import Field

from luray.schema import Config

ENVIRONMENT = "LURAY_STORAGE"
"""Environment variable by which the options reach a worker, as JSON."""

ALIASES = {"gcs": "gs", "s3a": "s3"}
PORTS = {"http": ":80", "https": ":443"}
"""Schemes with servers that decode paths, and the port that goes without saying."""

LONGEST = 4096
UNCLEAR = r"[\x00-\x1f\x7f\\]|::|^\s|^[A-Za-z][\w+.-]*:(?!//)"
"""What readers of a URL disagree about: control characters, backslashes, fsspec's chains, schemes without slashes."""


LIBRARIES = ("aiobotocore", "aiohttp", "botocore", "gcsfs", "google")
"""Packages behind the stores, whose errors are of their own types."""
DENIED = "forbidden|denied|credential|unauthori[sz]ed"
"""What they say where the trouble is who asks."""


class RefusedError(ValueError):
    """A place that luray was led to and does not open: says which, by what, and what to allow."""


class S3Options(Config):
    """Options of s3://; an empty endpoint is AWS's own, or that of AWS_ENDPOINT_URL."""

    endpoint_url: str = ""
    anonymous: bool = False
    requester_pays: bool = False


class GcsOptions(Config):
    """Options of gs://; an empty endpoint is Google's own, or that of STORAGE_EMULATOR_HOST."""

    endpoint_url: str = ""
    anonymous: bool = False
    project: str = ""


class StorageConfig(Config):
    """Options of the object stores, and the roots that catalogs, references and redirects may lead to.

    There is no place for credentials: s3fs and gcsfs take them from the environment or the workload's identity.
    """

    s3: S3Options = S3Options()
    gs: GcsOptions = GcsOptions()
    allow: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Places, such as s3://bucket/inputs/ or https://host/, below which what a catalog names may lie."""


def configure(options: StorageConfig) -> None:
    """Use these options from now on, in this process and in those that it starts."""
    os.environ[ENVIRONMENT] = options.model_dump_json(exclude_defaults=True)
    s3 = {"endpoint_url": options.s3.endpoint_url, "anon": options.s3.anonymous,
          "requester_pays": options.s3.requester_pays}
    gs = {"endpoint_url": options.gs.endpoint_url, "token": "anon" if options.gs.anonymous else "",
          "project": options.gs.project}
    conf["s3"] = {key: value for key, value in s3.items() if value}
    conf["gs"] = {key: value for key, value in gs.items() if value}
    conf["http"] = conf["https"] = {"get_client": _guarded_client}


def configured() -> StorageConfig:
    """The options in use."""
    return StorageConfig.model_validate_json(os.environ.get(ENVIRONMENT) or "{}")


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


def public(url: str) -> str:
    """A URL without credentials, query and fragment, which may hold secrets; a local path as it is."""
    return url if is_local(url) else re.split(r"[?#]", re.sub(r"//[^/]*@", "//", url), maxsplit=1)[0]


def without_secrets(text: str) -> str:
    """A message with every URL in it as `public` shows it."""
    return re.sub(r"(\w+://)(?:[^/\s@]*@)?([^\s?#]*)(?:[?#][^\s'\"<>]*)?", r"\1\2", text)


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
    return None if _climbs(path) else (scheme, host, segments)


def _climbs(path: str) -> bool:
    """True for a path with a step `.` or `..`, however often it is encoded."""
    while (decoded := unquote(path)) != path:
        path = decoded
    return bool({".", ".."} & set(path.split("/")))


def _below(url: str, root: str) -> bool:
    place, above = _place(url), _place(root.rstrip("/") or "/") if root else None
    if place is None or above is None or place[:2] != above[:2]:
        return False
    steps = above[2] if above[2][-1] else above[2][:-1]
    return place[2][: len(steps)] == steps


async def _guarded_client(**options: Any) -> aiohttp.ClientSession:
    """An HTTP session that is led to another host only where the run file allows it."""
    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_check_redirect)
    return aiohttp.ClientSession(trace_configs=[trace], **options)


async def _check_redirect(_: aiohttp.ClientSession, __: SimpleNamespace, redirect: Any) -> None:
    start = str(redirect.url)
    headers = redirect.response.headers
    target = urljoin(start, headers.get("Location") or headers.get("URI") or "")
    require_within(target, [urljoin(start, "/")], led_by=f"a redirect of {public(start)}")


def filesystem(url: str) -> tuple[Any, str]:
    """File system and path of a URL. Its listings are never cached: other processes write beside this one."""
    fs, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
    return fs, path


@contextmanager
def accessing(url: str) -> Iterator[None]:
    """What a remote store refuses inside is said with the URL, without secrets, and what to do; disks name their files.

    Raises PermissionError, FileNotFoundError or OSError, which unlike the libraries' own errors travel between
    processes and are not worth another try: s3fs and gcsfs have tried what may pass.
    """
    try:
        yield
    except Exception as error:
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


def write_atomically(url: str, data: bytes) -> None:
    """Write a whole object or none: on a local disk through a temporary name, on an object store as one put."""
    fs, path = filesystem(url)
    if not is_local(url):
        with accessing(url):
            fs.pipe_file(path, data)
        return
    fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    temporary = f"{path}.{uuid.uuid4().hex[:8]}.partial"
    fs.pipe_file(temporary, data)
    fs.mv(temporary, path)


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


def is_local(url: str) -> bool:
    """True for a path on this machine."""
    return "://" not in url or url.startswith("file://")


configure(configured())
