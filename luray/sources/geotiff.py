"""Open GeoTIFFs with GDAL, on disks and on stores, without losing what went wrong beneath it.

On a store GDAL reads through Python file objects, and an exception in one of them does not come
back out of GDAL: it takes the file for a damaged one, or a mask for absent. So the objects here
remember what they raised, and it is raised again once GDAL returns.
"""

import errno
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import rasterio
from rasterio.abc import FileContainer
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from luray.sources.refusals import refusal
from luray.storage.objects import accessing, filesystem
from luray.storage.places import WEB, is_local

BESIDE = (".msk", ".aux.xml", ".ovr")
"""Endings of the files beside a raster that GDAL reads with it: mask, statistics, overviews."""

NO_FILE = ".luray-asks-for-no-such-file"
"""Ending of a name that no server has a file for."""


@contextmanager
def open_raster(url: str) -> Iterator[Any]:
    """Open a GeoTIFF as a rasterio dataset; no other format is tried.

    Raises
    ------
    InputError
        Where it cannot be read.
    """
    with refusal(url, "GeoTIFF", (OSError, RasterioError)), watched_raster(url) as (raster, _):
        yield raster


@contextmanager
def watched_raster(url: str) -> Iterator[tuple[Any, list[Exception]]]:
    """Open a GeoTIFF as a rasterio dataset, with the list of what goes wrong beneath GDAL.

    The list grows while the dataset is read; see `raise_faults`.
    """
    fs, path = filesystem(url)
    # GDAL reads local files itself: no Python is beneath it in which an exception could be lost.
    if is_local(url):
        opener = None
        faults: list[Exception] = []
    else:
        opener = StoreOpener(fs, url, path)
        faults = opener.faults

    with warnings.catch_warnings(), raise_faults(faults):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        if opener is None:
            # The system says why a file cannot be opened; GDAL does not.
            with Path(path).open("rb"):
                pass
        options = {"opener": opener} if opener else {}
        with rasterio.open(path, driver="GTiff", **options) as raster:
            yield raster, faults


@contextmanager
def raise_faults(faults: list[Exception]) -> Iterator[None]:
    """Raise the first of `faults` at the end, in place of what GDAL made of it.

    It is raised even where GDAL made no error of it: what GDAL read then is wrong.
    """
    try:
        yield
    except (OSError, RasterioError) as error:
        raise (faults[0] if faults else error) from error
    if faults:
        raise faults[0]


class StoreOpener(FileContainer):  # type: ignore[misc]
    """The files of a store as GDAL opens them: the raster itself, and those that may lie beside it.

    `faults` remembers the exceptions that would be lost inside GDAL, which takes a server that is
    busy for a file that is cut, or for a mask that is not there.
    """

    def __init__(self, fs: Any, url: str, path: str) -> None:
        self.fs = fs
        self.url = url
        self.path = path
        self.beside = tuple(path + ending for ending in BESIDE)
        self.faults: list[Exception] = []

    def open(self, path: str, mode: str = "r", **_: Any) -> Any:
        """Open a file."""
        # GDAL looks for files beside the raster that are rarely there: that is no fault.
        if path == self.path:
            return self.watch(lambda: WatchedFile(self, self.fs.open(path, "rb")))
        if not self.isfile(path):
            raise FileNotFoundError(path)
        return WatchedFile(self, self.fs.open(path, "rb"))

    def isfile(self, path: str) -> bool:
        """Return whether there is a file; one beside the raster that may not be seen is none.

        Beside it are its mask and its statistics. A mask has no mask of its own, and a web server
        that answers to every name, with a page or with the raster itself, says nothing of them.
        """
        if path != self.path and (path not in self.beside or self._answers_to_every_name):
            return False
        return self._is_there(path)

    def _is_there(self, path: str) -> bool:
        try:
            return bool(
                self.watch(lambda: self.fs.info(path)["type"] == "file", beside=path != self.path)
            )
        except (FileNotFoundError, PermissionError):
            return False

    @cached_property
    def _answers_to_every_name(self) -> bool:
        # Object stores do not: asking them would be one more request for each raster.
        return self.url.partition("://")[0] in WEB and self._is_there(self.path + NO_FILE)

    def isdir(self, path: str) -> bool:
        """Return False: folders are not looked at."""
        return False

    def ls(self, path: str) -> list[str]:
        """Return nothing: files beside the raster are asked for by name."""
        return []

    def mtime(self, path: str) -> int:
        """Return 0: the time of change is not known."""
        return 0

    def size(self, path: str) -> int:
        """Return the bytes of a file."""
        return int(self.fs.info(path)["size"] or 0)

    def rm(self, path: str) -> None:
        """Refuse: files are only read."""
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    def watch(self, call: Callable[[], Any], *, beside: bool = False) -> Any:
        """Return what `call` returns, and remember what it raises.

        With `beside`, a file that is not there or may not be seen is no fault.
        """
        try:
            with accessing(self.url):
                return call()
        except (FileNotFoundError, PermissionError) as error:
            if not beside:
                self.faults.append(error)
            raise
        except Exception as error:
            self.faults.append(error)
            raise OSError(str(error)) from error


class WatchedFile:
    """A file that gives GDAL no bytes where reading fails; its opener remembers why."""

    def __init__(self, opener: StoreOpener, file: Any) -> None:
        self._opener = opener
        self._file = file

    def __enter__(self) -> "WatchedFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, size: int = -1) -> bytes:
        """Return the bytes from here on."""
        try:
            data: bytes = self._opener.watch(lambda: self._file.read(size))
        except OSError:
            return b""
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to another place in the file."""
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        """Return the place in the file."""
        return int(self._file.tell())

    def close(self) -> None:
        """Close the file."""
        self._file.close()
