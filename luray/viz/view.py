"""A product as pictures see it: its palette, and maps of one year thinned to what a picture can
show.

Everything is read lazily from the dataset, one year at a time, and kept at the size of the picture:
a global product of 18000 x 36000 cells costs a few MB. Shapes: K classes of land, H W picture
cells.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import xarray as xr

from luray.core.grid import Grid
from luray.core.types import F64, U8

OCEAN = "ocean"
UNKNOWN = "#8d99a6"
"""Colour of a code that the product's flags do not name."""

LANE = ("scenario", "member")
"""Dimensions of which a picture shows one index."""

SAMPLE = 2000
"""Cells along the longer axis from which areas are summed; larger grids are sampled evenly."""

BAND_BYTES = 64_000_000
"""Cells read at once for a mode."""


@dataclass(frozen=True)
class Palette:
    """Codes, names and colours (#rrggbb) of the flags of `land_use`, in the order of the legend."""

    codes: tuple[int, ...]
    names: tuple[str, ...]
    colours: tuple[str, ...]

    @classmethod
    def of(cls, product: xr.Dataset) -> "Palette":
        """The palette in the CF attributes of a product. Raises ValueError where they are missing
        or do not match.
        """
        flags = product["land_use"].attrs if "land_use" in product else {}
        missing = [a for a in ("flag_values", "flag_meanings", "flag_colors") if a not in flags]
        if missing:
            raise ValueError(
                f"the dataset has no land_use with {', '.join(missing)}, expected a luray product; "
                "open "
                "one with xr.open_zarr"
            )
        codes = tuple(int(v) for v in np.atleast_1d(flags["flag_values"]))
        names, colours = tuple(flags["flag_meanings"].split()), tuple(flags["flag_colors"].split())
        if not len(codes) == len(names) == len(colours):
            raise ValueError(
                f"land_use has {len(codes)} flag_values, {len(names)} flag_meanings and "
                f"{len(colours)} "
                "flag_colors, expected as many of each; publish the product again"
            )
        return cls(codes, names, colours)

    @property
    def land(self) -> tuple[int, ...]:
        """Positions of the K classes of land: every flag but the ocean."""
        return tuple(k for k, name in enumerate(self.names) if name != OCEAN)

    @property
    def ocean(self) -> str:
        """Colour of the ocean."""
        return self.colours[self.names.index(OCEAN)] if OCEAN in self.names else UNKNOWN

    @cached_property
    def rgb(self) -> U8:
        """Colour of every code, shape (256, 3)."""
        table = np.tile(np.array(rgb(UNKNOWN), np.uint8), (256, 1))
        for code, colour in zip(self.codes, self.colours, strict=True):
            table[code] = rgb(colour)
        return table

    def label(self, k: int) -> str:
        """Name of a flag as a reader expects it."""
        return self.names[k].replace("_", " ")


class Picture(NamedTuple):
    """A thinned map: values of shape (H, W), and its outer edges in degrees as matplotlib orders
    them.
    """

    values: U8
    extent: tuple[float, float, float, float]
    """West, east, south, north."""


@dataclass(frozen=True)
class View:
    """A product with its grid and palette; build it with `View.of`."""

    product: xr.Dataset
    palette: Palette
    grid: Grid

    @classmethod
    def of(cls, product: xr.Dataset) -> "View":
        """The view of a product opened with `xr.open_zarr`. Raises ValueError for another dataset.

        Of several scenarios and members it shows the first; select another before, as in
        `product.sel(member=3)`.
        """
        palette = Palette.of(product)
        product = product.isel(
            {dimension: 0 for dimension in LANE if dimension in product["land_use"].dims}
        )
        lat, lon = product["lat"].values.astype(float), product["lon"].values.astype(float)
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
                "and west "
                "first; sort the dataset"
            )
        return cls(
            product,
            palette,
            Grid(float(lat[0]) + step / 2, float(lon[0]) - step / 2, step, lat.size, lon.size),
        )

    @cached_property
    def years(self) -> tuple[int, ...]:
        """Years of the product, ascending as stored."""
        return tuple(int(y) for y in self.product["year"].values)

    @property
    def title(self) -> str:
        """Title of the product with the scenario and member that are shown, "" without any."""
        member_index = [self.product[name].item() for name in LANE if name in self.product.coords]
        said = [
            f"member {value}" if isinstance(value, int) else str(value) for value in member_index
        ]
        return ", ".join(filter(None, (str(self.product.attrs.get("title", "")), *said)))

    @property
    def caveats(self) -> tuple[str, ...]:
        """What every picture has to say beside the data."""
        return tuple(self.product.attrs.get("caveats", ()))

    @cached_property
    def origins(self) -> dict[int, str]:
        """Where the map of each year comes from: observed, hindcast or forecast."""
        origin = self.product["origin"]
        flags = zip(origin.attrs["flag_values"], origin.attrs["flag_meanings"].split(), strict=True)
        names = {int(value): name for value, name in flags}
        return {
            year: names[int(value)] for year, value in zip(self.years, origin.values, strict=True)
        }

    @property
    def observed(self) -> tuple[int, int] | None:
        """First and last observed year."""
        years = [y for y in self.years if self.origins[y] == "observed"]
        return (years[0], years[-1]) if years else None

    @property
    def aspect(self) -> float:
        """Height over width of a cell on paper: 1 / cos of the middle latitude, 1 for more than 60
        degrees of it.
        """
        if self.grid.north - self.grid.south > 60:
            return 1.0
        return float(1 / np.cos(np.radians((self.grid.north + self.grid.south) / 2)))

    def check_year(self, year: int) -> None:
        """Raises ValueError for a year that the product does not have."""
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
        name: Literal["land_use", "confidence"] = "land_use",
    ) -> Picture:
        """Codes (or percent) of one year, thinned by a whole factor to at most `at_most` cells
        along the longer axis.

        "mode" takes the most frequent code of each block (the first in the legend of equal ones),
        "nearest" the cell in its middle, which keeps the share of rare classes.
        """
        assert name == "land_use" or method == "nearest", "a mode is of codes"
        self.check_year(year)
        factor = self.factor(at_most)
        array = self.product[name].sel(year=year)
        if method == "nearest" or factor == 1:
            rows, cols = self._middles(factor)
            values = array[rows, cols].values
        else:
            values = self._mode(array, factor)
        height, width = (n * factor * self.grid.step for n in values.shape)
        north, west = self.grid.north, self.grid.west
        return Picture(values, (west, west + width, north - height, north))

    def factor(self, at_most: int) -> int:
        """Cells along a block of a picture of at most `at_most` cells along the longer axis."""
        return -(-max(self.grid.shape) // at_most)

    def _middles(self, factor: int) -> tuple[slice, slice]:
        """Rows and columns of the middle cell of each block."""
        rows, cols = (slice(min(factor, n) // 2, None, factor) for n in self.grid.shape)
        return rows, cols

    def _mode(self, array: xr.DataArray, factor: int) -> U8:
        """Most frequent code in blocks of factor x factor cells, read in bands of whole blocks."""
        rows = factor * max(1, BAND_BYTES // (factor * self.grid.n_lon))
        codes = np.array(self.palette.codes, np.uint8)
        bands = []
        for first in range(0, self.grid.n_lat, rows):
            band = array[first : first + rows].values
            starts = [np.arange(0, n, factor) for n in band.shape]
            best = np.zeros([s.size for s in starts], np.int32)
            mode = np.full(best.shape, codes[0])
            for code in codes:
                along = np.add.reduceat(band == code, starts[0], axis=0, dtype=np.int32)
                count = np.add.reduceat(along, starts[1], axis=1)
                mode[count > best] = code
                best = np.maximum(best, count)
            bands.append(mode)
        return np.concatenate(bands)

    def sample(
        self, year: int, *, name: Literal["land_use", "confidence"] = "land_use"
    ) -> tuple[U8, F64]:
        """Values of an even sample of cells, shape (H, W), and the area in km2 that each stands
        for, shape (H,).
        """
        values = self.map(year, at_most=SAMPLE, name=name).values
        area = self.grid.cell_area[self._middles(self.factor(SAMPLE))[0]]
        return (
            values,
            area * self.grid.cell_area.sum() / area.sum() * self.grid.n_lon / values.shape[1] / 1e6,
        )

    def areas(self, years: Iterable[int]) -> F64:
        """Area of each class of land in km2, shape (years, K); exact up to `SAMPLE` cells along the
        longer axis.
        """
        codes = np.array(self.palette.codes)[list(self.palette.land)]
        found = []
        for year in years:
            values, area = self.sample(year)
            cell = np.arange(len(area))[:, None] * 256 + values
            by_row = np.bincount(cell.ravel(), minlength=len(area) * 256).reshape(-1, 256)
            found.append((area @ by_row.astype(np.float64))[codes])
        return np.array(found)

    def chart_years(self) -> tuple[int, ...]:
        """Years that a chart over time reads: all, or about 50 where all would be more than 10^9
        cells.
        """
        every = (
            1
            if self.grid.n_lat * self.grid.n_lon * len(self.years) < 10**9
            else -(-len(self.years) // 50)
        )
        return tuple(sorted({*self.years[::every], self.years[-1], *(self.observed or ())}))


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue of a colour written #rrggbb."""
    red, green, blue = bytes.fromhex(colour.lstrip("#"))
    return red, green, blue


def shares(areas: F64) -> F64:
    """Shares of the last axis, zeros where it sums to nothing; same shape."""
    total = areas.sum(axis=-1, keepdims=True)
    share: F64 = np.divide(areas, total, out=np.zeros_like(areas), where=total > 0)
    return share
