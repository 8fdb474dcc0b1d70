"""Maps of one or several GeoTIFFs, and their series by year.

A map may come in several files that lie side by side, a `RasterMosaic`. Like a `RasterFile` it
holds paths and layouts, no open file, so that it can travel to a worker.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Any

import numpy as np

from luray.core.grid import Grid
from luray.core.tiling import Box, hull
from luray.sources.layout import Layout
from luray.sources.raster import RasterFile, inspect_raster
from luray.sources.raster_band import RasterBand
from luray.sources.years import check_series, shared_years
from luray.storage.errors import InputError


@dataclass(frozen=True)
class RasterMosaic:
    """GeoTIFFs of one lattice that lie side by side, read as one map.

    Cells between them are missing.
    """

    parts: tuple[RasterFile, ...]
    layout: Layout
    """Layout of the rectangle around all of them."""

    @property
    def url(self) -> str:
        """The first file and how many there are beside it, for messages."""
        return f"{self.parts[0].url} and {len(self.parts) - 1} beside it"

    @property
    def urls(self) -> tuple[str, ...]:
        """The files that are read."""
        return tuple(chain.from_iterable(part.urls for part in self.parts))

    @property
    def bands(self) -> tuple[RasterBand, ...]:
        """Bands of data, the same in every part."""
        return self.parts[0].bands

    @property
    def rules(self) -> tuple[str, ...]:
        """Corrections of the parts, each once, and that they are put together."""
        rules_of_parts = chain.from_iterable(part.rules for part in self.parts)
        each_once = dict.fromkeys(rules_of_parts)
        return (*each_once, f"{len(self.parts)} files side by side read as one map")

    def band(self, number: int) -> RasterBand:
        """Return a band of data by its number in the files."""
        return self.parts[0].band(number)

    def may_miss(self, number: int) -> bool:
        """Return whether `read` can mask cells of a band: between the parts, or in one of them."""
        cells_of_parts = sum(part.layout.grid.n_lat * part.layout.grid.n_lon for part in self.parts)
        has_gaps = cells_of_parts < self.layout.grid.n_lat * self.layout.grid.n_lon
        return has_gaps or any(part.may_miss(number) for part in self.parts)

    def read(self, box: Box, *, band: int = 1) -> "np.ma.MaskedArray[Any, Any]":
        """Read a band in a box, masked between the parts; see `RasterFile.read`."""
        values_HW = np.zeros(box.shape, self.band(band).dtype)
        missing_HW = np.ones(box.shape, np.bool_)
        for part in self.parts:
            row, col = self.layout.grid.offset_of(part.layout.grid)
            common = box.intersection(Box(row, col, *part.layout.grid.shape))
            if common is None:
                continue
            in_part = common._replace(row=common.row - row, col=common.col - col)
            values_of_part = part.read(in_part, band=band)
            in_box = common.slices(origin=box)
            values_HW[in_box] = values_of_part.data
            missing_HW[in_box] = np.ma.getmaskarray(values_of_part)
        return np.ma.masked_array(values_HW, missing_HW)


Raster = RasterFile | RasterMosaic


def require_one_band(file: Raster) -> RasterBand:
    """Return the band of a map.

    Raises InputError for a file of several bands: nothing says which of them is meant.
    """
    if len(file.bands) != 1:
        names = [band.description or f"band {band.number}" for band in file.bands]
        raise InputError(
            f"{file.url}: has {len(file.bands)} bands ({', '.join(names)}), expected one map; name "
            "the one to read, or write it to a file of its own (gdal_translate -b N)"
        )
    return file.bands[0]


def join_rasters(files: Sequence[RasterFile], *, map_of: str = "cells of one map") -> Raster:
    """Join files that lie side by side into one raster; one file is that raster already.

    Parameters
    ----------
    files : sequence of RasterFile
        At least one.
    map_of : str
        What the map is of, for messages.

    Raises
    ------
    InputError
        For files that overlap, of different lattices or of different bands, naming two of them.
    """
    first = files[0]
    if len(files) == 1:
        return first

    # Every file in cells of the first, whose lattice the mosaic has.
    boxes = []
    for file in files:
        try:
            row, col = first.layout.grid.offset_of(file.layout.grid)
        except ValueError as error:
            raise InputError(
                f"{file.url}: does not continue {first.url}, expected files of one lattice: {error}"
            ) from error
        if _comparable_bands(file) != _comparable_bands(first):
            raise InputError(
                f"{file.url}: bands {_comparable_bands(file)} differ from those of {first.url}, "
                f"{_comparable_bands(first)}; expected the same in all files of a map"
            )
        boxes.append(Box(row, col, *file.layout.grid.shape))

    for i, j in combinations(range(len(files)), 2):
        if boxes[i].intersection(boxes[j]):
            raise InputError(
                f"{map_of} occur more than once: {files[i].url} and {files[j].url} overlap, "
                "expected one file for a place, or several that lie side by side; "
                "keep one of the two"
            )
    return RasterMosaic(tuple(files), _layout_around(first.layout.grid, boxes))


def _comparable_bands(file: RasterFile) -> list[tuple[int, str, str, str]]:
    """Return what the parts of a mosaic must have in common."""
    # The no-data value as text, because NaN does not equal itself.
    return [(band.number, band.dtype, str(band.nodata), band.units) for band in file.bands]


def _layout_around(first: Grid, boxes: Sequence[Box]) -> Layout:
    """Return the layout of the rectangle around boxes that are given in cells of the first grid."""
    around = hull(boxes)
    north = first.north - around.row * first.step
    west = first.west + around.col * first.step
    return Layout(Grid(north, west, first.step, *around.shape), around.height)


def map_series(
    files: Sequence[tuple[int, str]], run_years: range, *, where: str, warp_to: Grid | None = None
) -> Mapping[int, Raster]:
    """Open the map of each year of the run; several files of a year are a mosaic.

    Only the headers of the run's years are read.

    Parameters
    ----------
    files : sequence of (int, str)
        Year and place of each file.
    run_years : range
        Years of the run.
    where : str
        The source, for messages.
    warp_to : Grid, optional
        See `inspect_raster`.

    Returns
    -------
    mapping of int to Raster
        The maps by year, ascending.

    Raises
    ------
    InputError
        For a year of the run that is missing between others, naming it, and for files of one year
        that overlap, naming both.
    """
    files_of_year: dict[int, list[str]] = {}
    for year, file in sorted(files):
        files_of_year.setdefault(year, []).append(file)
    # Years are checked by their files' names, before any is opened.
    check_series(list(files_of_year), where=where, wanted=run_years)
    shared = shared_years(list(files_of_year), run_years, where=where)
    maps = {}
    for year in sorted(shared):
        rasters = [inspect_raster(file, warp_to=warp_to) for file in files_of_year[year]]
        maps[year] = join_rasters(rasters, map_of=f"{where}: years {year}")
    return maps
