"""TO BE WRITTEN."""

import os
import re
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Annotated, Any
from urllib.parse import unquote, urljoin

import aiohttp
from fsspec.config import conf
from fsspec.implementations.local import LocalFileSystem
from pydantic import Field, ValidationError

from luray.core.config import Config
from luray.storage.places import LONGEST, OptionalAddress, Place, climbs
from luray.storage.places import is_local as is_local
from luray.storage.places import public as public
from luray.storage.places import without_secrets as without_secrets
from luray.storage.web import TIMEOUT, trusted_certificates

ENVIRONMENT = "LURAY_STORAGE"
"""Environment variable by which the options reach a worker, as JSON."""


ALIASES = {"gcs": "gs", "s3a": "s3"}


PORTS = {"http": ":80", "https": ":443"}
"""Schemes with servers that decode paths, and the port that goes without saying."""


UNCLEAR = r"[\x00-\x1f\x7f\\]|::|^\s|^[A-Za-z][\w+.-]*:(?!//)"
"""What readers of a URL disagree about: control characters, backslashes, fsspec's chains, schemes
without slashes.
"""


class RefusedError(ValueError):
    """A place that luray was led to and does not open: says which, by what, and what to allow."""


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
    """Options of the object stores, and the roots that catalogs, references and redirects may lead
    to.

    There is no place for credentials: s3fs and gcsfs take them from the environment or the
    workload's identity.
    """

    s3: S3Options = S3Options()
    gs: GcsOptions = GcsOptions()
    allow: Annotated[tuple[Place, ...], Field(strict=False)] = ()
    """Places, such as s3://bucket/inputs/ or https://host/, below which what a catalog names may
    lie.
    """


def configure(options: StorageConfig) -> None:
    """Use these options from now on, in this process and in those that it starts."""
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
    conf["s3"] = {key: value for key, value in s3.items() if value}
    conf["gs"] = {key: value for key, value in gs.items() if value}
    conf["http"] = conf["https"] = {"get_client": _guarded_client}


def configured() -> StorageConfig:
    """The options in use. Raises ValueError where the environment variable holds others than these."""
    try:
        return StorageConfig.model_validate_json(os.environ.get(ENVIRONMENT) or "{}")
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, f['loc']))}: {f['msg']}" for f in error.errors())
        raise ValueError(
            f"the environment variable {ENVIRONMENT} is no JSON of [storage] "
            f"({faults}); unset it, and set [storage] in the run file"
        ) from None


def environment() -> dict[str, str]:
    """What a worker on another machine needs in its environment."""
    return {ENVIRONMENT: os.environ.get(ENVIRONMENT, "{}")}


def require_within(url: str, roots: Iterable[str], *, led_by: str) -> str:
    """The URL, if it lies below one of `roots` or of the roots that the run file allows.

    Raises RefusedError for any other place, naming it and `led_by`, the document that names it: a
    catalog cannot make luray read a local file, a loopback or link-local address, or anything else
    that the user has not pointed it at.
    """
    if any(_below(url, root) for root in (*roots, *configured().allow)):
        return url
    shown = re.sub(r"[\x00-\x1f\x7f]", "?", public(url))[:LONGEST]
    if _place(url) is None:
        raise RefusedError(
            f"{led_by} leads to {shown}, which two readers could take for different places; "
            "expected a "
            "plain path or URL: correct it there"
        )
    root = shown.rsplit("/", 1)[0] + "/"
    raise RefusedError(
        f"{led_by} leads to {shown}, which is below neither its own root nor one of storage.allow "
        "in "
        f'the run file; if you trust it, add it there: allow = ["{root}"]'
    )


def _place(url: str) -> tuple[str, str, tuple[str, ...]] | None:
    """Scheme, host or bucket, and path of a URL as its store reads it; None where two readers could
    differ about it.

    Local links are followed. Object stores take a key letter by letter, HTTP servers decode it: so
    must this.
    """
    if len(url) > LONGEST or re.search(UNCLEAR, url):
        return None
    if is_local(url):
        return "file", "", tuple(os.path.realpath(LocalFileSystem._strip_protocol(url)).split("/"))
    scheme, _, rest = url.partition("://")
    scheme = ALIASES.get(scheme.lower(), scheme.lower())
    if scheme in PORTS:
        host, _, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
        host, segments = (
            host.lower().removesuffix(PORTS[scheme]),
            tuple(unquote(s) for s in path.split("/")),
        )
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
    settings: dict[str, Any] = {
        "timeout": TIMEOUT,
        "trust_env": True,
        "connector": connector,
        **options,
    }
    return aiohttp.ClientSession(trace_configs=[trace], **settings)


async def _check_redirect(_: aiohttp.ClientSession, __: SimpleNamespace, redirect: Any) -> None:
    start = str(redirect.url)
    headers = redirect.response.headers
    target = urljoin(start, headers.get("Location") or headers.get("URI") or "")
    require_within(target, [urljoin(start, "/")], led_by=f"a redirect of {public(start)}")
