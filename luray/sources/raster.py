"""GeoTIFFs by box: where a file lies, what its bands are, which cells it says are missing.

A `RasterFile` holds a path and a layout, no open file, so that it can travel to a worker. Files are
opened by `luray.sources.raster_header` and `raster_reader`, which are imported when one is: a run
file names its sources without GDAL. Maps of several files are in `luray.sources.mosaic`.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.core.types import Bool
from luray.sources.layout import Layout
from luray.sources.raster_band import RasterBand
from luray.storage.errors import InputError


@dataclass(frozen=True)
class RasterFile:
    """A GeoTIFF in longitude and latitude: where it is, how it lies, what its bands are."""

    url: str
    layout: Layout
    bands: tuple[RasterBand, ...]
    """Its bands of data: an alpha band is none."""
    alpha: int = 0
    """Number of the band that is 0 where the others are missing; 0 where there is none."""
    warp_from: str = ""
    """Projection that it is warped from, as WKT; empty for longitude and latitude."""
    beside: tuple[str, ...] = ()
    """Files beside it that GDAL reads with it: masks, statistics, its place."""

    @property
    def urls(self) -> tuple[str, ...]:
        """The files that are read."""
        return (self.url, *self.beside)

    @property
    def rules(self) -> tuple[str, ...]:
        """Corrections that bring it onto luray's grids, and the mask that is followed, in words."""
        rules = list(self.layout.rules)
        if self.alpha:
            rules.append("cells with alpha 0 read as missing")
        if any(band.masked for band in self.bands):
            rules.append("cells outside the file's mask read as missing")
        return tuple(rules)

    def band(self, number: int) -> RasterBand:
        """Return a band of data by its number in the file."""
        return next(band for band in self.bands if band.number == number)

    def may_miss(self, number: int) -> bool:
        """Return whether `read` can mask cells of a band."""
        return self.band(number).masked or bool(self.alpha) or bool(self.warp_from)

    def read(self, box: Box, *, band: int = 1) -> "np.ma.MaskedArray[Any, Any]":
        """Read a band, counted from 1, in a box.

        Returns
        -------
        masked array, shape (height, width)
            Masked where a mask or an alpha band says that cells are missing. The no-data value is
            left to the caller, for whom it may be a class.
        """
        from luray.sources.raster_reader import cached_raster

        # `cached_raster` also raises what went wrong beneath GDAL, once both are read.
        warp_to = self.layout.grid if self.warp_from else None
        with cached_raster(self.url, warp_to=warp_to, add_alpha=not self.alpha) as raster:
            values_HW = self.layout.read(box, partial(_read_window, raster, band))
            missing_HW: Any = np.ma.nomask
            if self.may_miss(band):
                missing_HW = self.layout.read(box, partial(self._read_missing, raster, band))
        return np.ma.masked_array(values_HW, missing_HW)

    def _read_missing(self, raster: Any, band: int, rows: slice, cols: slice) -> Bool:
        """Read which cells of a rectangle of the file are missing."""
        missing_HW: Bool = np.zeros((rows.stop - rows.start, cols.stop - cols.start), np.bool_)
        # GDAL makes a mask of the no-data value too. So masks are asked for only where the file has
        # one, or where the warp has left cells empty.
        if self.band(band).masked or self.warp_from:
            missing_HW |= raster.read_masks(band, window=_window(rows, cols)) == 0
        if self.alpha:
            alpha_HW = _read_window(raster, self.alpha, rows, cols)
            _require_opaque_or_not(alpha_HW, where=f"{self.url}, band {self.alpha}")
            missing_HW |= alpha_HW == 0
        return missing_HW


def inspect_raster(
    url: str,
    *,
    warp_to: Grid | None = None,
    alpha: Literal["mask", "data"] = "mask",
    packed: Literal["refused", "kept"] = "refused",
) -> RasterFile:
    """Read from a GeoTIFF's header what it holds and how it lies.

    Parameters
    ----------
    url : str
        Local path or URL.
    warp_to : Grid, optional
        Grid onto whose cells a projected file is warped, nearest cell; without it such a file is
        refused.
    alpha : {"mask", "data"}
        What a band that counts as alpha is. GDAL calls the last of four bands of bytes so unless it
        is told otherwise; `data` takes every band for data.
    packed : {"refused", "kept"}
        Treatment of bands with a scale or an offset; those that are kept are read as stored.

    Raises
    ------
    InputError
        For an unreadable file, one without a place or with ground control points in its stead,
        another coordinate reference system than longitude and latitude on WGS 84, a rotated grid,
        scaled bands, and several images in one file.
    """
    from luray.sources.raster_header import read_header

    return RasterFile(url, *read_header(url, warp_to=warp_to, alpha=alpha, packed=packed))


def _read_window(raster: Any, band: int, rows: slice, cols: slice) -> NDArray[Any]:
    """Read a rectangle of the file."""
    return np.asarray(raster.read(band, window=_window(rows, cols)))


def _window(rows: slice, cols: slice) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return a rectangle of the file as rasterio takes it."""
    return (rows.start, rows.stop), (cols.start, cols.stop)


def _require_opaque_or_not(alpha: NDArray[Any], *, where: str) -> None:
    """Raise InputError for an alpha band with more than two values: it may be a map."""
    opaque = np.unique(alpha[alpha != 0])
    if opaque.size > 1:
        raise InputError(
            f"{where}: counts as alpha and holds {opaque[:5].tolist()}..., expected 0 where cells "
            "are missing and one other value; if it is a map, say so in the file: gdal_edit.py "
            "-colorinterp_N undefined, N being the band"
        )
