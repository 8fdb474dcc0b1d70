"""Places: local paths and URLs as a run file or a command names them.

They are read in one way everywhere. A place that two readers could take for different ones is
refused, and so is one that would silently make a folder named `~`, `$HOME`, `file:` or `s3:`. What
passes is a plain local path or a URL.
"""

import os
import re
import unicodedata
from typing import Annotated
from urllib.parse import unquote

from pydantic import AfterValidator

LONGEST = 4096
"""Characters of the longest place."""
VARIABLE = r"\$\{(\w+)\}"
"""An environment variable in a string of the run file."""

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
"""A scheme of RFC 3986 at the beginning of a place."""
FILE_URL = re.compile(r"file:(?://(?P<host>[^/]*)(?=/)|(?!//))(?P<path>/.*)", re.DOTALL)
"""A file URL of RFC 8089: `file:///x`, `file://localhost/x`, `file:/x`."""

WEB = ("http", "https")
"""Schemes of web servers."""
WRAPPERS = frozenset(
    (
        "local",
        "data",
        "dir",
        "root",
        "reference",
        "simplecache",
        "filecache",
        "blockcache",
        "cached",
        "zip",
        "tar",
        "libarchive",
        "async_wrapper",
        "generic",
        "github",
        "gist",
        "git",
        "jupyter",
    )
)
"""Schemes of fsspec that name no store of their own, or this machine under another name."""

TO_WRITE_IT = (
    "expected a path, file:///path, s3://bucket/path, gs://bucket/path or https://host/path"
)


class PlaceError(ValueError):
    """A path or URL that does not name one place; the message says how to write it."""


def is_local(url: str) -> bool:
    """Return True for a path on this machine."""
    return "://" not in url or url.startswith("file://")


def public(url: str) -> str:
    """Return a URL without the parts that may hold secrets; a local path as it is.

    These are login, query and fragment.

    Examples
    --------
    >>> public("https://user:word@host/file.nc?signature=abc")
    'https://host/file.nc'
    """
    if is_local(url):
        return url
    without_login = re.sub(r"//[^/]*@", "//", url)
    return re.split(r"[?#]", without_login, maxsplit=1)[0]


def without_secrets(text: str) -> str:
    """Return a message with every URL in it as `public` shows it."""
    return re.sub(r"(\w+://)(?:[^/\s@]*@)?([^\s?#]*)(?:[?#][^\s'\"<>]*)?", r"\1\2", text)


def place_of(text: str) -> str:
    """Normalise a path or URL that a user wrote.

    Parameters
    ----------
    text : str
        A local path, `~/x` and `~user/x`, a file URL, or a URL of an object store or web server.

    Returns
    -------
    str
        A local path, absolute where the text began with `~` or `file:`, or a URL, its scheme in
        lower case. Normalising it again changes nothing.

    Raises
    ------
    PlaceError
        For a text that is empty, has blanks or quotes around it, names a variable or scheme that
        luray does not know, or that two readers could take for different places.

    Examples
    --------
    >>> place_of("file:///data/a%20b.nc")
    '/data/a b.nc'
    >>> place_of("S3://bucket/key")
    's3://bucket/key'
    """
    _require_plain_text(text)

    scheme = SCHEME.match(text)
    if scheme is None:
        place = _local(text)
    elif scheme[1].lower() == "file":
        place = _local_of_file_url(text)
    else:
        place = _remote(text, scheme[1].lower())
    return place


def local_place(text: str, *, what: str) -> str:
    """Normalise a place that must be on this machine.

    Parameters
    ----------
    text : str
        See `place_of`.
    what : str
        The kind of file or folder that is expected, for the error.

    Raises
    ------
    PlaceError
        For a place on another machine, or one that `place_of` refuses.
    """
    # arguments of the command line come as a pathlib.Path, which makes one slash of two
    text = re.sub(r"^(s3a?|gs|gcs|https?|memory):/(?=[^/])", r"\1://", text)
    place = place_of(text)
    if not is_local(place):
        raise PlaceError(
            f"{public(place)} is on another machine, expected {what} on this one; "
            "copy it here, or give a local path"
        )
    return place


def _checked(text: str) -> str:
    """Normalise a place of a run file."""
    # `load_run` validates twice: the first time, a variable in the place is not expanded yet
    return text if re.search(VARIABLE, text) else place_of(text)


def _checked_address(text: str) -> str:
    """Normalise the address of a server. Raises PlaceError unless it is http or https."""
    address = _checked(text)
    if not re.search(VARIABLE, text) and address.partition("://")[0] not in WEB:
        raise PlaceError(
            f"{_shown(text)} is no address of a server, expected http://host:port or https://host"
        )
    return address


Place = Annotated[str, AfterValidator(_checked)]
"""A path or URL in a configuration, normalised by `place_of`."""
OptionalPlace = Annotated[str, AfterValidator(lambda text: text and _checked(text))]
"""The same, empty where there is none."""
OptionalAddress = Annotated[str, AfterValidator(lambda text: text and _checked_address(text))]
"""The http or https URL of a server, empty where there is none."""


def _shown(text: str) -> str:
    """Return a place for a message: without secrets and control characters, and not endless."""

    def visible(character: str) -> str:
        return "?" if unicodedata.category(character) in ("Cc", "Cs") else character

    return repr("".join(map(visible, public(text)))[:200])


def _require_plain_text(text: str) -> None:
    """Raise PlaceError for a text that cannot name anything on any store."""
    shown = _shown(text)
    if not text.strip():
        raise PlaceError(f"the place is empty; {TO_WRITE_IT}")
    if _is_blank(text[0]) or _is_blank(text[-1]):
        raise PlaceError(f"{shown} has a blank before or behind it; remove it")
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"`":
        raise PlaceError(f"{shown} has quotes of its own; remove the inner ones")
    if len(text) > LONGEST:
        raise PlaceError(
            f"{shown}... has {len(text)} characters, expected at most {LONGEST}; correct it"
        )
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise PlaceError(f"{shown} has a control character in it, such as a line end; remove it")
    if "\\" in text:
        raise PlaceError(
            f"{shown} has a backslash, which Windows reads as a slash and others as a letter; "
            "write /"
        )
    # an IPv6 address as the host may have two colons
    if "::" in re.sub(r"//\[[0-9A-Fa-f:.]+\]", "//", text):
        raise PlaceError(f"{shown} has `::`, which chains file systems; give the plain place")
    variable = re.search(r"\$[A-Za-z_{(]\w*", _outside_of_web_paths(text))
    if variable:
        name = re.sub(r"\W", "", variable[0])
        raise PlaceError(
            f"{shown} has {variable[0]}, which only a shell expands; write "
            f"${{{name or 'NAME'}}} in a run file, or the place itself"
        )


def _is_blank(character: str) -> bool:
    """Return True for blanks, and for format characters, such as the invisible byte order mark."""
    return character.isspace() or unicodedata.category(character) in ("Cf", "Zl", "Zp")


def _outside_of_web_paths(text: str) -> str:
    """Return the part of a place where a dollar begins a variable.

    In the path of a web address it is a letter like any other.
    """
    address = re.match(r"(?i)https?://[^/]*", text)
    return address[0] if address else text


def _local(path: str) -> str:
    """Return a local path with `~` expanded."""
    shown = _shown(path)
    if path.startswith("//") and not path.startswith("///"):
        raise PlaceError(
            f"{shown} begins with two slashes, which some read as a host; write one, or s3:// or "
            "https://"
        )
    if "://" in path:
        raise PlaceError(f"{shown} has a URL inside a path; give one or the other")

    if re.match(r"%\w+%(/|$)", path):
        raise PlaceError(
            f"{shown} begins with a variable of Windows, which luray does not expand; write "
            "${NAME} in a run file, or the place itself"
        )
    if path.startswith("~") and not os.environ.get("HOME", "/").startswith("/"):
        raise PlaceError(
            f"{shown}: the environment variable HOME is {os.environ['HOME']!r}, expected an "
            "absolute path; set it, or write the whole path"
        )

    # a path object would drop the slash at the end
    expanded = os.path.expanduser(path)  # noqa: PTH111
    if expanded.startswith("~"):
        user = path.split("/")[0]
        raise PlaceError(
            f"{shown}: there is no home folder of {user!r} on this machine; write the whole path, "
            f"or ./{path} for a folder of that name"
        )

    segments = expanded.split("/")
    if "~" in segments[1:]:
        raise PlaceError(
            f"{shown} has `~` inside a path, where it is no home folder; write the whole path"
        )
    schemes = [s for s in segments if re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]+:", s)]
    if schemes:
        raise PlaceError(
            f"{shown} has a folder {schemes[0]!r}, which looks like the beginning of a URL; give "
            "one or the other"
        )
    try:
        os.fsencode(expanded)
    except UnicodeEncodeError:
        raise PlaceError(
            f"{shown} has letters that this locale cannot name; set PYTHONUTF8=1 or LC_ALL=C.UTF-8"
        ) from None
    return expanded


def _local_of_file_url(text: str) -> str:
    """Return the local path of a file URL of this machine, percent-decoded."""
    shown = _shown(text)
    url = FILE_URL.fullmatch("file" + text[len("file") :])
    if url is None:
        raise PlaceError(
            f"{shown} is a file URL without an absolute path; write file:///path, or the path "
            "itself"
        )
    host = url["host"] or ""
    if host.lower() not in ("", "localhost"):
        raise PlaceError(
            f"{shown} is a file URL of the host {host!r}, expected this machine; write "
            "file:///path, or the path itself"
        )
    if re.search(r"[?#]", url["path"]):
        raise PlaceError(
            f"{shown} has ? or #, which end the path of a URL; write %3F or %23, or the path itself"
        )
    try:
        path = unquote(url["path"], errors="strict")
    except UnicodeDecodeError:
        raise PlaceError(f"{shown} has % codes that are not UTF-8; write the path itself") from None
    if re.search(r"%(?![0-9A-Fa-f]{2})", url["path"]):
        raise PlaceError(f"{shown} has a % that begins no code; write %25, or the path itself")
    if re.search(r"%2[fF]", url["path"]):
        raise PlaceError(f"{shown} has a slash as the code %2F; write /, or the path itself")
    # decoding may have brought to light what the text did not show
    _require_plain_text(path)
    return _local(path)


def _remote(text: str, scheme: str) -> str:
    """Return a URL of a store or web server, its scheme in lower case."""
    import fsspec

    shown = _shown(text)
    after_colon = text[len(scheme) + 1 :]
    schemes = set(fsspec.available_protocols()) - WRAPPERS
    if not after_colon.startswith("//"):
        if scheme in schemes:
            raise PlaceError(f"{shown} lacks a slash; write {scheme}://{after_colon.lstrip('/')}")
        raise PlaceError(
            f"{shown} begins like a URL of the unknown kind {scheme!r}; {TO_WRITE_IT}, or "
            f"./{text} for a file of that name"
        )
    if scheme not in schemes:
        raise PlaceError(f"{shown} is a URL of the unknown kind {scheme!r}; {TO_WRITE_IT}")

    host, _, path = after_colon[2:].partition("/")
    if not host and scheme != "memory":
        kind = "host" if scheme in WEB else "bucket"
        raise PlaceError(f"{shown} names no host or bucket; write {scheme}://{kind}/path")
    if any(character.isspace() for character in host):
        raise PlaceError(f"{shown} has a blank in its host or bucket; correct it")
    # on the web ? and # end a path, on an object store they are letters of the key
    steps = re.split(r"[?#]", path, maxsplit=1)[0] if scheme in WEB else path
    if has_dot_segments(steps):
        raise PlaceError(
            f"{shown} has a step . or .. in it, which some readers follow and others take for a "
            "name; write the place without"
        )
    return scheme + text[len(scheme) :]


def has_dot_segments(path: str) -> bool:
    """Return True for a path with a step `.` or `..`, however often it is percent-encoded.

    Examples
    --------
    >>> has_dot_segments("a/%252e%252e/b")
    True
    """
    # Decoded until nothing changes: another reader may decode once more than this one.
    decoded = unquote(path)
    while decoded != path:
        path = decoded
        decoded = unquote(path)
    return bool({".", ".."} & set(path.split("/")))
