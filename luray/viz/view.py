"""A product as pictures see it: maps of one year, thinned to what a picture can show.

Everything is read lazily from the dataset, one year at a time, and held at the size of the picture:
a global product of 18000 x 36000 cells costs a few MB.

Shapes: K classes of land; H, W picture cells, each of which stands for a block of grid cells.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import xarray as xr

from luray.core.arithmetic import ceil_div
from luray.core.grid import Grid
from luray.core.types import F64, U8
from luray.viz.palette import Palette
from luray.viz.projection import ProjectedGrid, projected_grid

SINGLE_DIMENSIONS = ("scenario", "member")
"""Dimensions of which a picture shows one index."""

SAMPLE = 2000
"""Cells along the longer axis from which areas are summed; larger grids are sampled evenly."""

BAND_BYTES = 64_000_000
"""Bytes of cells that are read at once for a mode."""

MOST_CHART_CELLS = 10**9
"""Cells of all years up to which a chart over time reads every year."""

CHART_YEARS = 50
"""About the number of years that a chart reads of a larger product."""


class Picture(NamedTuple):
    """A thinned map."""

    values: U8
    """Codes or percent, shape (H, W)."""
    factor: int
    """Grid cells along a side of a picture cell; the last ones may reach past the grid's edge."""


@dataclass(frozen=True)
class View:
    """A product with its grid and palette; build it with `View.of`."""

    product: xr.Dataset
    palette: Palette
    grid: Grid

    @classmethod
    def of(cls, product: xr.Dataset) -> "View":
        """Return the view of an opened product.

        Of several scenarios and members it shows the first; select another before, as in
        `product.sel(member=3)`.

        Raises
        ------
        ValueError
            If the dataset is no product, or its grid is not regular, north and west first.
        """
        palette = Palette.of(product)
        dimensions = product[palette.variable].dims
        product = product.isel({name: 0 for name in SINGLE_DIMENSIONS if name in dimensions})
        return cls(product, palette, _grid_of(product))

    @cached_property
    def years(self) -> tuple[int, ...]:
        """Years of the product, ascending as stored."""
        return tuple(int(year) for year in self.product["year"].values)

    @property
    def title(self) -> str:
        """Title of the product with the scenario and member that are shown, "" without any."""
        parts = [str(self.product.attrs.get("title", ""))]
        for name in SINGLE_DIMENSIONS:
            if name in self.product.coords:
                value = self.product[name].item()
                parts.append(f"member {value}" if isinstance(value, int) else str(value))
        return ", ".join(part for part in parts if part)

    @property
    def caveats(self) -> tuple[str, ...]:
        """Sentences that every picture shows beside the data."""
        return tuple(self.product.attrs.get("caveats", ()))

    @cached_property
    def origins(self) -> dict[int, str]:
        """Where the map of each year comes from: observed, hindcast or forecast."""
        origin = self.product["origin"]
        meanings = origin.attrs["flag_meanings"].split()
        names = dict(zip(map(int, origin.attrs["flag_values"]), meanings, strict=True))
        flags = zip(self.years, origin.values, strict=True)
        return {year: names[int(flag)] for year, flag in flags}

    @property
    def observed(self) -> tuple[int, int] | None:
        """First and last observed year."""
        years = [year for year in self.years if self.origins[year] == "observed"]
        return (years[0], years[-1]) if years else None

    @cached_property
    def projected(self) -> ProjectedGrid:
        """The grid as it lies on a map."""
        return projected_grid(self.grid)

    def check_year(self, year: int) -> None:
        """Raise ValueError for a year that the product does not have."""
        if year not in self.origins:
            raise ValueError(
                f"year {year} is not in the product, which has {self.years[0]}-{self.years[-1]}; "
                "choose one of these"
            )

    def map(
        self,
        year: int,
        *,
        at_most: int,
        method: Literal["mode", "nearest"] = "nearest",
        name: Literal["classes", "confidence"] = "classes",
    ) -> Picture:
        """Return the map of one year, thinned by a whole factor.

        Parameters
        ----------
        year : int
            A year of the product.
        at_most : int
            Picture cells along the longer axis.
        method : {"mode", "nearest"}
            "mode" takes the most frequent code of each block (the first in the legend of equally
            frequent ones). "nearest" takes the cell in its middle, which keeps the share of rare
            classes.
        name : {"classes", "confidence"}
            What is read: codes, or percent, of which there is no mode.
        """
        assert name == "classes" or method == "nearest", "a mode is of codes"
        self.check_year(year)
        factor = self.factor(at_most)
        variable = self.palette.variable if name == "classes" else name
        array = self.product[variable].sel(year=year)
        if method == "nearest" or factor == 1:
            rows, columns = self._middles(factor)
            values = array[rows, columns].values
        else:
            values = self._mode(array, factor)
        return Picture(values, factor)

    def factor(self, at_most: int) -> int:
        """Return the edge of a block in grid cells, for `at_most` blocks along the longer axis."""
        return ceil_div(max(self.grid.shape), at_most)

    def _middles(self, factor: int) -> tuple[slice, slice]:
        """Rows and columns of the middle cell of each block."""
        rows, columns = (slice(min(factor, n) // 2, None, factor) for n in self.grid.shape)
        return rows, columns

    def _mode(self, array: xr.DataArray, factor: int) -> U8:
        """Most frequent code in blocks of factor x factor cells, read in bands of whole blocks."""
        blocks_in_band = max(1, BAND_BYTES // (factor * self.grid.n_lon))
        band_height = factor * blocks_in_band
        codes = np.array(self.palette.codes, np.uint8)
        bands = []
        for first in range(0, self.grid.n_lat, band_height):
            band = array[first : first + band_height].values
            bands.append(_block_mode(band, codes, factor))
        return np.concatenate(bands)

    def sample(
        self, year: int, *, name: Literal["classes", "confidence"] = "classes"
    ) -> tuple[U8, F64]:
        """Return an even sample of cells and what each stands for.

        Returns
        -------
        values : array of uint8, shape (H, W)
            Codes or percent.
        area : array, shape (H,)
            Area in km2 that a cell of each row stands for; in all, the area of the grid.
        """
        values = self.map(year, at_most=SAMPLE, name=name).values
        rows, _ = self._middles(self.factor(SAMPLE))
        cell_area_m2 = self.grid.cell_area

        # A sampled row stands for several rows, a sampled cell for several columns. Scaled so that
        # all of them together have the area of the grid.
        sampled_m2 = cell_area_m2[rows]
        area_of_rows_m2 = sampled_m2 * cell_area_m2.sum() / sampled_m2.sum()
        n_columns = values.shape[1]
        return values, area_of_rows_m2 * self.grid.n_lon / n_columns / 1e6

    def areas(self, years: Iterable[int]) -> F64:
        """Return the area of each class of land in km2, shape (years, K).

        It is exact up to `SAMPLE` cells along the longer axis.
        """
        codes = np.array(self.palette.codes)[list(self.palette.land)]
        areas_YK = []
        for year in years:
            values_HW, area_H = self.sample(year)
            n_rows = len(area_H)

            # Each row counts its codes in 256 bins of its own, as its cells have an area of its
            # own.
            bin_HW = np.arange(n_rows)[:, None] * 256 + values_HW
            counts_HC = np.bincount(bin_HW.ravel(), minlength=n_rows * 256).reshape(-1, 256)
            area_by_code = area_H @ counts_HC.astype(np.float64)
            areas_YK.append(area_by_code[codes])
        return np.array(areas_YK)

    def flow(self, earlier: int, later: int) -> F64:
        """Return the area that went from each class of land to each other one, km2.

        Parameters
        ----------
        earlier, later : int
            Two years of the product.

        Returns
        -------
        array, shape (K, K)
            From class (rows) to class (columns); exact up to `SAMPLE` cells along the longer axis.
        """
        # Codes that are no class of land count as one class more, which is cut off at the end.
        codes = self.palette.land_codes
        n = len(codes)
        class_of_code = np.full(256, n)
        class_of_code[list(codes)] = np.arange(n)

        earlier_HW, area_H = self.sample(earlier)
        later_HW, _ = self.sample(later)
        bin_HW = class_of_code[earlier_HW] * (n + 1) + class_of_code[later_HW]
        weights_HW = np.broadcast_to(area_H[:, None], bin_HW.shape)
        sums = np.bincount(bin_HW.ravel(), weights=weights_HW.ravel(), minlength=(n + 1) ** 2)
        flow_KK: F64 = sums.reshape(n + 1, n + 1)[:n, :n].astype(np.float64)
        return flow_KK

    def chart_years(self) -> tuple[int, ...]:
        """Return the years that a chart over time reads; always the ends and the observed ends."""
        n_cells = self.grid.n_lat * self.grid.n_lon * len(self.years)
        every = 1 if n_cells < MOST_CHART_CELLS else ceil_div(len(self.years), CHART_YEARS)
        ends = (self.years[-1], *(self.observed or ()))
        return tuple(sorted({*self.years[::every], *ends}))


def _grid_of(product: xr.Dataset) -> Grid:
    """The grid whose cell centres are the coordinates of a product."""
    lat = product["lat"].values.astype(float)
    lon = product["lon"].values.astype(float)
    if lat.size * lon.size < 2:
        raise ValueError(
            f"the product has {lat.size} x {lon.size} cells, expected at least two to tell "
            "their size"
        )
    axis = lon if lon.size > 1 else -lat
    step = float(axis[-1] - axis[0]) / (axis.size - 1)
    if step <= 0 or (lat.size > 1 and lat[0] < lat[-1]):
        raise ValueError(
            f"lat runs {lat[0]}..{lat[-1]} and lon {lon[0]}..{lon[-1]}, expected north first "
            "and west first; sort the dataset"
        )
    north = float(lat[0]) + step / 2
    west = float(lon[0]) - step / 2
    return Grid(north, west, step, lat.size, lon.size)


def _block_mode(band: U8, codes: U8, factor: int) -> U8:
    """Most frequent of `codes` in each block of a band; blocks at its edges may be smaller."""
    first_rows = np.arange(0, band.shape[0], factor)
    first_columns = np.arange(0, band.shape[1], factor)
    highest = np.zeros((first_rows.size, first_columns.size), np.int32)
    mode = np.full(highest.shape, codes[0])
    for code in codes:
        count_in_rows = np.add.reduceat(band == code, first_rows, axis=0, dtype=np.int32)
        count = np.add.reduceat(count_in_rows, first_columns, axis=1)
        # More, not as many: of equally frequent codes the first in the legend wins.
        mode[count > highest] = code
        highest = np.maximum(highest, count)
    return mode


def shares(areas: F64) -> F64:
    """Return the shares of the last axis, zeros where it sums to nothing; same shape."""
    total = areas.sum(axis=-1, keepdims=True)
    share: F64 = np.divide(areas, total, out=np.zeros_like(areas), where=total > 0)
    return share
