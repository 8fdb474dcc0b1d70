"""GeoTIFFs as GDAL opens them, on disks and on stores, without losing what went wrong beneath it."""

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
    """A GeoTIFF as an open rasterio dataset; no other format is tried. Raises InputError where it
    cannot be read.
    """
    with refusal(url, "GeoTIFF", (OSError, RasterioError)), watched_raster(url) as (raster, _):
        yield raster


@contextmanager
def watched_raster(url: str) -> Iterator[tuple[Any, list[Exception]]]:
    """An open rasterio dataset, and what went wrong beneath GDAL since, which would call the file
    damaged.
    """
    fs, path = filesystem(url)
    opener = None if is_local(url) else Opener(fs, url, path)
    with warnings.catch_warnings(), raised(opener.faults if opener else []):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        if opener is None:
            with Path(path).open(
                "rb"
            ):  # the system says why a file cannot be opened, GDAL does not
                pass
        with rasterio.open(
            path, driver="GTiff", **({"opener": opener} if opener else {})
        ) as raster:
            yield raster, opener.faults if opener else []


@contextmanager
def raised(faults: list[Exception]) -> Iterator[None]:
    """Raise the first of `faults` at the end, whether or not GDAL made an error of it: what it read
    then is wrong.
    """
    try:
        yield
    except (OSError, RasterioError) as error:
        raise (faults[0] if faults else error) from error
    if faults:
        raise faults[0]


class Opener(FileContainer):  # type: ignore[misc]
    """The files of a store as GDAL opens them: the raster itself, and those that may lie beside it.

    Exceptions would be lost inside GDAL, which then takes a server that is busy for a file that is
    cut, or for a mask that is not there: `faults` remembers them.
    """

    def __init__(self, fs: Any, url: str, path: str) -> None:
        self.fs, self.url, self.path = fs, url, path
        self.beside = tuple(path + ending for ending in BESIDE)
        self.faults: list[Exception] = []

    def open(self, path: str, mode: str = "r", **_: Any) -> Any:
        """An open file."""
        if path == self.path:
            return self._watched(lambda: WatchedFile(self, self.fs.open(path, "rb")))
        if not self.isfile(path):
            raise FileNotFoundError(path)
        return WatchedFile(self, self.fs.open(path, "rb"))

    def isfile(self, path: str) -> bool:
        """True where there is a file; who may not see a file beside the raster has none there.

        Beside it are its mask and its statistics. A mask has no mask of its own, and a web server
        that answers to every name, with a page or with the raster itself, says nothing of them.
        """
        if path != self.path and (path not in self.beside or self._answers_to_every_name):
            return False
        return self._is_there(path)

    def _is_there(self, path: str) -> bool:
        try:
            return bool(
                self._watched(
                    lambda: self.fs.info(path)["type"] == "file", beside=path != self.path
                )
            )
        except (FileNotFoundError, PermissionError):
            return False

    @cached_property
    def _answers_to_every_name(self) -> bool:
        return self.url.partition("://")[0] in WEB and self._is_there(self.path + NO_FILE)

    def isdir(self, path: str) -> bool:
        """False: folders are not looked at."""
        return False

    def ls(self, path: str) -> list[str]:
        """Nothing: files beside the raster are asked for by name."""
        return []

    def mtime(self, path: str) -> int:
        """Not known."""
        return 0

    def size(self, path: str) -> int:
        """Bytes of a file."""
        return int(self.fs.info(path)["size"] or 0)

    def rm(self, path: str) -> None:
        """Files are only read."""
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    def _watched(self, call: Callable[[], Any], *, beside: bool = False) -> Any:
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
    """A file that gives GDAL nothing where reading fails, as exceptions would be lost there; the
    opener remembers.
    """

    def __init__(self, opener: Opener, file: Any) -> None:
        self._opener, self._file = opener, file

    def __enter__(self) -> "WatchedFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, size: int = -1) -> bytes:
        """Bytes from here on."""
        try:
            data: bytes = self._opener._watched(lambda: self._file.read(size))
        except OSError:
            return b""
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to another place in the file."""
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        """The place in the file."""
        return int(self._file.tell())

    def close(self) -> None:
        """Close the file."""
        self._file.close()
