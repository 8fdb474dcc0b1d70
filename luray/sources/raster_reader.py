"""Keep the GeoTIFF open that a thread reads, warped onto a grid where it is projected."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import rasterio
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT

from luray.core.grid import Grid
from luray.sources.geotiff import raise_faults, watched_raster
from luray.sources.refusals import refusal
from luray.storage.objects import filesystem


class _OpenRaster(threading.local):
    """The raster that a thread reads, kept open for its next read."""

    def __init__(self) -> None:
        self.key: Any = None
        """File, grid it is warped onto, and version of the file; None where nothing may be used."""
        self.resources = ExitStack()
        """Callback that closes it."""
        self.raster: Any = None
        self.faults: list[Exception] = []
        """Errors beneath GDAL; see `watched_raster`."""


_OPEN = _OpenRaster()


@contextmanager
def cached_raster(url: str, *, warp_to: Grid | None, add_alpha: bool) -> Iterator[Any]:
    """Open a raster, and leave it open until the thread reads another or the file changes.

    `warp_to` and `add_alpha` are those of `_open_warped`. A build reads a band of rows tile by
    tile. GDAL keeps what it has decoded of an open raster, so rows as wide as the globe are fetched
    and decoded once.
    """
    with refusal(url, "GeoTIFF", (OSError, RasterioError)):
        fs, path = filesystem(url)
        key = url, warp_to, fs.ukey(path)
        if _OPEN.key != key:
            # Without a key first: where closing or opening fails, nothing half open is used again.
            _OPEN.key = None
            _OPEN.resources.close()
            resources = ExitStack()
            opened = _open_warped(url, warp_to, add_alpha=add_alpha)
            _OPEN.raster, _OPEN.faults = resources.enter_context(opened)
            _OPEN.resources = resources
            _OPEN.key = key
        try:
            with raise_faults(_OPEN.faults):
                yield _OPEN.raster
        except BaseException:
            _OPEN.key = None
            # A fault is raised here, once. Closing the raster would raise it again, before the next
            # raster is opened.
            _OPEN.faults.clear()
            raise


@contextmanager
def _open_warped(
    url: str, grid: Grid | None, *, add_alpha: bool
) -> Iterator[tuple[Any, list[Exception]]]:
    """Open a raster, warped onto a grid if there is one, with the faults beneath.

    An alpha band, which the warp adds where the file has none, says which cells lie beyond the
    file.
    """
    with watched_raster(url) as (raster, faults):
        if grid is None:
            yield raster, faults
            return
        # The no-data value is kept out of the warp: the caller compares it by value.
        with WarpedVRT(
            raster,
            crs="EPSG:4326",
            resampling=Resampling.nearest,
            src_nodata=None,
            nodata=None,
            transform=rasterio.Affine(grid.step, 0, grid.west, 0, -grid.step, grid.north),
            width=grid.n_lon,
            height=grid.n_lat,
            add_alpha=add_alpha,
        ) as warped:
            yield warped, faults
