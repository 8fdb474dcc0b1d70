"""Turn what libraries and stores raise on a file into an InputError that says what to do.

The libraries call most faults a damaged file. Here the cause is told apart: a file of another
format, a folder, a link to nothing, a lock, a file that is cut, access that is denied.
"""

import errno
import re
import shlex
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from luray.sources.file_formats import (
    HEAD_BYTES,
    NETCDF_3,
    NETCDF_4,
    TIFF,
    FileFormat,
    identify_format,
)
from luray.storage.errors import AbsentError, InputError, WebError
from luray.storage.objects import filesystem
from luray.storage.places import is_local, public
from luray.storage.store_names import NODES
from luray.storage.trust import RefusedError

BROKEN = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    RuntimeError,
    EOFError,
    zlib.error,
)
"""Errors that the libraries of NetCDF and Zarr raise on a damaged file."""

BROKEN_NETCDF_3 = (*BROKEN, IndexError, AttributeError, ArithmeticError)
"""Errors that SciPy raises on a damaged file of version 3.

It looks for no damage, and keeps the file's attributes among those of its own object.
"""

EXPECTED = {"NetCDF": frozenset((NETCDF_4, NETCDF_3)), "GeoTIFF": frozenset((TIFF,))}
"""Formats that are read as each kind of file."""

LOCKED = "unable to lock file|already open for write|already open for read|No locks available"
"""HDF5's messages on a file that another process holds, or on a disk that has no locks."""

TRUNCATED = r"truncated file: eof = (\d+),.*stored_eof = (\d+)"
"""HDF5's message on a file that was cut: its bytes, and those that it should have."""


@contextmanager
def refusal(
    url: str, kind: str, errors: tuple[type[Exception], ...], *, missing: InputError | None = None
) -> Iterator[None]:
    """Raise what is raised inside as an InputError that names the file and what to do.

    Parameters
    ----------
    url : str
        The file or folder that is read inside.
    kind : str
        What it should be, for messages: a key of `EXPECTED`, "Zarr" or "a folder".
    errors : tuple of exception types
        What the library that reads it raises on a damaged file.
    missing : InputError, optional
        Raised where nothing is there, in place of the usual message.
    """
    shown = public(url)
    # The order matters: most of these are OSErrors, and so is what `errors` often has.
    try:
        yield
    except (InputError, RefusedError):
        raise  # complete: whoever raised it knows more
    except AbsentError as error:
        raise InputError(str(error)) from error
    except (FileNotFoundError, NotADirectoryError) as error:
        if is_local(url) and Path(url).is_symlink():
            raise InputError(
                f"{shown}: is a link to {Path(url).readlink()}, where there is nothing; "
                "get the file or correct the link"
            ) from error
        raise missing or InputError(
            f"{shown}: there is no such file; get it or correct `path`"
        ) from error
    except IsADirectoryError as error:
        raise InputError(_folder_in_place(url, kind)) from error
    except WebError as error:
        raise InputError(str(error)) from error
    except PermissionError as error:
        raise InputError(
            f"{shown}: access is denied; check the permissions or credentials"
        ) from error
    except Exception as error:
        # aiohttp, which s3fs and gcsfs read through, by name: to import it takes 0.2 s.
        of_aiohttp = type(error).__module__.split(".")[0] == "aiohttp"
        if not isinstance(error, errors) and not of_aiohttp:
            raise
        raise InputError(_damage(url, kind, error)) from error


def _folder_in_place(url: str, kind: str) -> str:
    """Say what to do about a folder where a file was expected."""
    is_store = is_local(url) and any((Path(url) / node).exists() for node in NODES)
    if is_store:
        return (
            f"{public(url)}: is a Zarr store under a name that does not end in .zarr, "
            f"expected {kind}; rename it, or link to it under such a name"
        )
    return (
        f"{public(url)}: is a folder, expected {kind}; set `path` to the file in it, or take the "
        "folder away"
    )


def _damage(url: str, kind: str, error: Exception) -> str:
    """Say why a file cannot be read: a circle of links, a lock, another format, or a cut file."""
    shown = public(url)
    unreadable = f"{shown}: cannot be read as {kind} ({error})"
    # Libraries pass on what the system or HDF5 says of links and locks as one more failure to read.
    if isinstance(error, OSError) and error.errno == errno.ELOOP:
        return f"{shown}: is a link that leads in a circle; correct it"
    if re.search(LOCKED, str(error)):
        return (
            f"{unreadable}: another process has it open for writing, or its disk has no locks; "
            "wait until it is written, or if nobody writes it set the environment variable "
            "HDF5_USE_FILE_LOCKING=FALSE. If its writer was killed, `h5clear -s "
            f"{shlex.quote(shown)}` takes its mark away"
        )
    file_format = _format_of_file(url) if kind in EXPECTED else None
    if file_format is not None and file_format.name not in EXPECTED[kind]:
        return other_format(url, kind, file_format)
    # It begins as it should: so the end of it is what is most often missing.
    sizes = re.search(TRUNCATED, str(error))
    missing_bytes = f", as it has {sizes[1]} of {sizes[2]} bytes" if sizes else ""
    return f"{unreadable}; it may be truncated{missing_bytes}: get it again"


def _format_of_file(url: str) -> FileFormat | None:
    """Return the format of a file by its first bytes; None where they cannot be read."""
    fs, path = filesystem(url)
    try:
        with fs.open(path, "rb") as file:
            return identify_format(file.read(HEAD_BYTES))
    except (OSError, ValueError, RuntimeError):
        return None


def other_format(url: str, kind: str, file_format: FileFormat) -> str:
    """Say what to do about a file of another format than the expected kind."""
    name = PurePosixPath(public(url)).name
    advice = file_format.advice.format(name=shlex.quote(name), end=PurePosixPath(name).suffix)
    return f"{public(url)}: cannot be read as {kind}: it is {file_format.name}; {advice}"
