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
from numpy.typing import NDArray

from luray.core.arithmetic import ceil_div
from luray.core.grid import Grid
from luray.core.legend import NO_VALUE
from luray.core.time_steps import YEARLY, TimeSteps
from luray.core.types import F64, U8
from luray.core.value_scale import MOST_LEVELS
from luray.viz.palette import Palette
from luray.viz.projection import ProjectedGrid, projected_grid

Name = Literal["classes", "confidence", "spread"]
"""What a picture shows of a product."""

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

CHART_WHOLE_YEARS = 10
"""The same where a year has several maps, all of which are read."""


class Picture(NamedTuple):
    """A thinned map."""

    values: U8
    """Codes, percent or levels, shape (H, W)."""
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
    def time(self) -> TimeSteps:
        """Time steps of the maps: where a year has several, each "year" here is one of them."""
        about = self.product.attrs.get("luray", {})
        return TimeSteps(about.get("time_step", YEARLY.interval))

    @cached_property
    def years(self) -> tuple[int, ...]:
        """Years of the product, or its time steps, ascending as stored."""
        if self.time.dimension == "year":
            return tuple(int(year) for year in self.product["year"].values)
        moments = self.product["time"].values
        return tuple(self.time.step_on(when.year, when.month, when.day) for when in moments)

    def position(self, year: float) -> float:
        """Return the place of a year, or of the beginning of a step, on an axis of years."""
        return year / self.time.per_year

    @property
    def span(self) -> str:
        """The first and the last year or step, in words."""
        first, last = self.time.label(self.years[0]), self.time.label(self.years[-1])
        joint = "–" if self.time.per_year == 1 else " to "
        return f"{first}{joint}{last}" if len(self.years) > 1 else first

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
        """First and last observed year, or time step."""
        years = [year for year in self.years if self.origins[year] == "observed"]
        return (years[0], years[-1]) if years else None

    @property
    def observed_years(self) -> tuple[int, int] | None:
        """Calendar years of the same."""
        if self.observed is None:
            return None
        first, last = self.observed
        return self.time.year(first), self.time.year(last)

    @cached_property
    def projected(self) -> ProjectedGrid:
        """The grid as it lies on a map."""
        return projected_grid(self.grid)

    def check_year(self, year: int) -> None:
        """Raise ValueError for a year that the product does not have."""
        if year not in self.origins:
            label = self.time.label
            what = f"year {year}" if self.time.per_year == 1 else label(year)
            raise ValueError(
                f"{what} is not in the product, which has {label(self.years[0])}-"
                f"{label(self.years[-1])}; choose one of these"
            )

    def map(
        self,
        year: int,
        *,
        at_most: int,
        method: Literal["mode", "nearest"] = "nearest",
        name: Name = "classes",
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
            frequent ones), and of values their mean. "nearest" takes the cell in its middle, which
            keeps the share of rare classes.
        name : {"classes", "confidence", "spread"}
            What is read: codes or levels, or percent, or the steps of a spread, of which there is
            no mode.
        """
        assert name == "classes" or method == "nearest", "a mode is of codes"
        self.check_year(year)
        factor = self.factor(at_most)
        variable = self.palette.variable if name == "classes" else name
        array = self.product[variable].isel({self.time.dimension: self.years.index(year)})
        if method == "nearest" or factor == 1:
            rows, columns = self._middles(factor)
            values = self._bytes(array[rows, columns])
        else:
            values = self._summary(array, factor)
        return Picture(values, factor)

    def _bytes(self, array: xr.DataArray) -> U8:
        """Return an array as it is stored: values that xarray has decoded become levels again."""
        values = array.values
        if self.palette.scale is None or values.dtype == np.uint8:
            stored: U8 = values
            return stored
        first = self.palette.scale.first if array.name == self.palette.variable else 0.0
        levels = np.rint((values - first) / self.palette.scale.step)
        return np.where(np.isnan(levels), NO_VALUE, levels).astype(np.uint8)

    def factor(self, at_most: int) -> int:
        """Return the edge of a block in grid cells, for `at_most` blocks along the longer axis."""
        return ceil_div(max(self.grid.shape), at_most)

    def _middles(self, factor: int) -> tuple[slice, slice]:
        """Rows and columns of the middle cell of each block."""
        rows, columns = (slice(min(factor, n) // 2, None, factor) for n in self.grid.shape)
        return rows, columns

    def _summary(self, array: xr.DataArray, factor: int) -> U8:
        """Most frequent code in blocks of factor x factor cells, read in bands of whole blocks.

        Of values their mean.
        """
        blocks_in_band = max(1, BAND_BYTES // (factor * self.grid.n_lon))
        band_height = factor * blocks_in_band
        codes = np.array(self.palette.codes, np.uint8)
        bands = []
        for first in range(0, self.grid.n_lat, band_height):
            band = self._bytes(array[first : first + band_height])
            if self.palette.scale is None:
                bands.append(_block_mode(band, codes, factor))
            else:
                bands.append(_block_mean(band, factor))
        return np.concatenate(bands)

    def sample(self, year: int, *, name: Name = "classes") -> tuple[U8, F64]:
        """Return an even sample of cells and what each stands for.

        Returns
        -------
        values : array of uint8, shape (H, W)
            Codes, percent or levels.
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

        Of values a class is a level. It is exact up to `SAMPLE` cells along the longer axis.
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

    def means(self, years: Iterable[int]) -> F64:
        """Return the mean of the values of land, weighted by area, shape (years,); NaN of none.

        It is exact up to `SAMPLE` cells along the longer axis.
        """
        assert self.palette.scale is not None, "classes have no mean"
        areas_YK = self.areas(years)
        values_K = self.palette.scale.values(np.array(self.palette.land_codes, np.uint8))
        total_Y = areas_YK.sum(axis=1)
        with np.errstate(invalid="ignore"):  # no land is 0 / 0, which is NaN
            means_Y: F64 = areas_YK @ values_K.astype(np.float64) / total_Y
        return means_Y

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
        """Return the years that a chart over time reads; always the ends and the observed ends.

        Where a year has several maps these are all maps of some years, which keeps the seasons.
        """
        n_cells = self.grid.n_lat * self.grid.n_lon * len(self.years)
        if self.time.per_year > 1:
            calendar_years = sorted({self.time.year(step) for step in self.years})
            every = 1
            if n_cells >= MOST_CHART_CELLS:
                every = ceil_div(len(calendar_years), CHART_WHOLE_YEARS)
            shown = set(calendar_years[::every])
            shown |= {self.time.year(step) for step in (self.years[-1], *(self.observed or ()))}
            return tuple(step for step in self.years if self.time.year(step) in shown)
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


def _block_mean(band: U8, factor: int) -> U8:
    """Mean of the known levels in each block of a band, rounded half up; `NO_VALUE` of none."""
    first_rows = np.arange(0, band.shape[0], factor)
    first_columns = np.arange(0, band.shape[1], factor)

    def block_sums(cells: NDArray[np.int64]) -> NDArray[np.int64]:
        in_rows = np.add.reduceat(cells, first_rows, axis=0)
        sums: NDArray[np.int64] = np.add.reduceat(in_rows, first_columns, axis=1)
        return sums

    known = band <= MOST_LEVELS
    counts = block_sums(known.astype(np.int64))
    totals = block_sums(np.where(known, band, 0).astype(np.int64))
    means = (2 * totals + counts) // np.maximum(2 * counts, 1)
    return np.where(counts > 0, means, NO_VALUE).astype(np.uint8)


def shares(areas: F64) -> F64:
    """Return the shares of the last axis, zeros where it sums to nothing; same shape."""
    total = areas.sum(axis=-1, keepdims=True)
    share: F64 = np.divide(areas, total, out=np.zeros_like(areas), where=total > 0)
    return share
