"""TO BE WRITTEN."""

import errno
import re
import shlex
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import aiohttp

from luray.sources.file_forms import HEAD, NETCDF_3, NETCDF_4, TIFF, Form, form_of
from luray.storage.errors import InputError
from luray.storage.objects import filesystem
from luray.storage.places import is_local, public
from luray.storage.trust import RefusedError
from luray.storage.web import AbsentError, WebError
from luray.storage.zarr_inputs import NODES

BROKEN = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    RuntimeError,
    EOFError,
    zlib.error,
    aiohttp.ClientError,
)
"""What the libraries of NetCDF and Zarr raise on a damaged file."""


ENGINES = {NETCDF_4: "h5netcdf", NETCDF_3: "scipy"}
"""xarray's name of the library that reads a form of NetCDF."""


EXPECTED = {"NetCDF": frozenset(ENGINES), "GeoTIFF": frozenset((TIFF,))}
"""Forms of a file that are read as a kind."""


LOCKED = "unable to lock file|already open for write|already open for read|No locks available"
"""What HDF5 says of a file that another process holds, or of a disk that has no locks."""


SHORT = r"truncated file: eof = (\d+),.*stored_eof = (\d+)"
"""What HDF5 says of a file that was cut: its bytes, and those that it should have."""


@contextmanager
def refusal(
    url: str, kind: str, errors: tuple[type[Exception], ...], *, missing: InputError | None = None
) -> Iterator[None]:
    """Say what a library or a store raises inside as an InputError that names the file and what to
    do.
    """
    shown = public(url)
    try:
        yield
    except (InputError, RefusedError):
        raise
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
    except errors as error:
        raise InputError(_damage(url, kind, error)) from error


def _folder_in_place(url: str, kind: str) -> str:
    """What to do about a folder where a file was expected."""
    store = is_local(url) and any((Path(url) / node).exists() for node in NODES)
    if store:
        return (
            f"{public(url)}: is a Zarr store under a name that does not end in .zarr, "
            f"expected {kind}; rename it, or link to it under such a name"
        )
    return (
        f"{public(url)}: is a folder, expected {kind}; set `path` to the file in it, or take the "
        "folder away"
    )


def _damage(url: str, kind: str, error: Exception) -> str:
    """Why a file cannot be read: another form, a lock, a circle of links, or a file that was cut."""
    shown, said = public(url), f"{public(url)}: cannot be read as {kind} ({error})"
    if isinstance(error, OSError) and error.errno == errno.ELOOP:
        return f"{shown}: is a link that leads in a circle; correct it"
    if re.search(LOCKED, str(error)):
        return (
            f"{said}: another process has it open for writing, or its disk has no locks; wait "
            "until it is written, or if nobody writes it set the environment variable "
            "HDF5_USE_FILE_LOCKING=FALSE. If its writer was killed, `h5clear -s "
            f"{shlex.quote(shown)}` takes its mark away"
        )
    form = _form_of_file(url) if kind in EXPECTED else None
    if form is not None and form.name not in EXPECTED[kind]:
        return _foreign(url, kind, form)
    short = re.search(SHORT, str(error))
    why = f", as it has {short[1]} of {short[2]} bytes" if short else ""
    return f"{said}; it may be truncated{why}: get it again"


def _form_of_file(url: str) -> Form | None:
    """The form of a file by its first bytes; None where they cannot be read."""
    fs, path = filesystem(url)
    try:
        with fs.open(path, "rb") as file:
            return form_of(file.read(HEAD))
    except (OSError, ValueError, RuntimeError):
        return None


def _foreign(url: str, kind: str, form: Form) -> str:
    """What to do about a file of another form than the expected one."""
    name = PurePosixPath(public(url)).name
    advice = form.advice.format(name=shlex.quote(name), end=PurePosixPath(name).suffix)
    return f"{public(url)}: cannot be read as {kind}: it is {form.name}; {advice}"
