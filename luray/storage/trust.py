"""Permissions: options of the stores, and the roots that documents may lead to.

Catalogs, references and redirects come from strangers. A place that one of them names is opened
only if it lies below the document's own root or below a root that the user has allowed, and only if
every reader takes it for the same place.
"""

import os
import re
from collections.abc import Iterable
from typing import Annotated
from urllib.parse import unquote

from pydantic import Field, ValidationError

from luray.core.config import Config
from luray.storage.places import LONGEST, OptionalAddress, Place, has_dot_segments
from luray.storage.places import is_local as is_local
from luray.storage.places import public as public
from luray.storage.places import without_secrets as without_secrets

ENVIRONMENT = "LURAY_STORAGE"
"""Environment variable by which the options reach a worker, as JSON."""

ALIASES = {"gcs": "gs", "s3a": "s3"}
"""Schemes that are another name of a store."""

PORTS = {"http": ":80", "https": ":443"}
"""Schemes whose servers decode paths, and their default ports."""

UNCLEAR = r"[\x00-\x1f\x7f\\]|::|^\s|^[A-Za-z][\w+.-]*:(?!//)"
"""Parts of a URL that readers take differently.

Control characters, backslashes, fsspec's chains (`::`), a blank at the beginning, and schemes
without slashes.
"""


class RefusedError(ValueError):
    """A place that luray was led to and does not open.

    The message names the place, the document that led to it, and what to allow.
    """


class S3Options(Config):
    """Options of s3://; an empty endpoint means AWS's own, or that of AWS_ENDPOINT_URL."""

    endpoint_url: OptionalAddress = ""
    anonymous: bool = False
    requester_pays: bool = False


class GcsOptions(Config):
    """Options of gs://; an empty endpoint means Google's, or that of STORAGE_EMULATOR_HOST."""

    endpoint_url: OptionalAddress = ""
    anonymous: bool = False
    project: str = ""


class StorageConfig(Config):
    """Options of the object stores, and the roots that documents may lead to.

    There is no place for credentials: s3fs and gcsfs take them from the environment or the
    workload's identity.

    Examples
    --------
    >>> StorageConfig(allow=["s3://bucket/inputs/"]).allow
    ('s3://bucket/inputs/',)
    """

    s3: S3Options = S3Options()
    gs: GcsOptions = GcsOptions()
    allow: Annotated[tuple[Place, ...], Field(strict=False)] = ()
    """Roots of what catalogs, references and redirects may name.

    Such as s3://bucket/inputs/ or https://host/.
    """


def configured() -> StorageConfig:
    """Return the options in use.

    Raises
    ------
    ValueError
        For an environment variable `LURAY_STORAGE` that is no JSON of the options.
    """
    try:
        return StorageConfig.model_validate_json(os.environ.get(ENVIRONMENT) or "{}")
    except ValidationError as error:
        faults = []
        for fault in error.errors():
            option = ".".join(map(str, fault["loc"]))
            faults.append(f"{option}: {fault['msg']}")
        raise ValueError(
            f"the environment variable {ENVIRONMENT} is no JSON of [storage] ({'; '.join(faults)});"
            " unset it, and set [storage] in the run file"
        ) from None


def environment() -> dict[str, str]:
    """Return the variables that a worker on another machine needs in its environment."""
    return {ENVIRONMENT: os.environ.get(ENVIRONMENT, "{}")}


def require_within(url: str, roots: Iterable[str], *, led_by: str) -> str:
    """Return the URL if it lies below one of the roots, or below one that the run file allows.

    A catalog therefore cannot make luray read a local file, a loopback or link-local address, or
    anything else that the user has not pointed it at.

    Parameters
    ----------
    url : str
        The place that luray was led to.
    roots : iterable of str
        The document's own roots.
    led_by : str
        The document that names the place, for the error.

    Raises
    ------
    RefusedError
        For any other place.
    """
    if any(_below(url, root) for root in (*roots, *configured().allow)):
        return url
    shown = re.sub(r"[\x00-\x1f\x7f]", "?", public(url))[:LONGEST]
    if _place(url) is None:
        raise RefusedError(
            f"{led_by} leads to {shown}, which two readers could take for different places; "
            "expected a plain path or URL: correct it there"
        )
    root = shown.rsplit("/", 1)[0] + "/"
    raise RefusedError(
        f"{led_by} leads to {shown}, which is below neither its own root nor one of storage.allow "
        f'in the run file; if you trust it, add it there: allow = ["{root}"]'
    )


def _place(url: str) -> tuple[str, str, tuple[str, ...]] | None:
    """Return scheme, host or bucket, and steps of the path of a URL, as its store reads it.

    None where two readers could differ about it. Local links are followed.
    """
    if len(url) > LONGEST or re.search(UNCLEAR, url):
        return None
    if is_local(url):
        from fsspec.implementations.local import LocalFileSystem

        path = os.path.realpath(LocalFileSystem._strip_protocol(url))
        return "file", "", tuple(path.split("/"))

    scheme, _, location = url.partition("://")
    scheme = ALIASES.get(scheme.lower(), scheme.lower())
    # Object stores take a key letter by letter, web servers decode it: so must this.
    if scheme in PORTS:
        without_query = re.split(r"[?#]", location, maxsplit=1)[0]
        host, _, path = without_query.partition("/")
        host = host.lower().removesuffix(PORTS[scheme])
        segments = tuple(unquote(segment) for segment in path.split("/"))
    else:
        host, _, path = location.partition("/")
        segments = tuple(path.split("/"))
    return None if has_dot_segments(path) else (scheme, host, segments)


def _below(url: str, root: str) -> bool:
    """Return whether a URL lies below a root, or is the root; an empty root holds nothing."""
    if not root:
        return False
    place = _place(url)
    root_place = _place(root.rstrip("/") or "/")
    if place is None or root_place is None:
        return False

    scheme, host, segments = place
    root_scheme, root_host, root_segments = root_place
    if (scheme, host) != (root_scheme, root_host):
        return False

    # Whole steps are compared: below /data/in lies /data/in/x, and not /data/inputs. A slash at
    # the end makes an empty last step, which counts for nothing.
    if not root_segments[-1]:
        root_segments = root_segments[:-1]
    return segments[: len(root_segments)] == root_segments
