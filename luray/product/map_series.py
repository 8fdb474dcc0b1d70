"""Class maps of several years, wherever they come from: a product, or the maps of a predictor cube.

Maps on another grid are brought onto a coarser one whose cells are whole blocks of theirs.

Shapes: H W cells of a box; Y X cells of a grid that is `factor` times as coarse.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import zarr

from luray.core.compiled import compiled
from luray.core.grid import ALIGNMENT, Grid
from luray.core.legend import OUTSIDE, LandClass, Legend
from luray.core.tiling import Box
from luray.core.types import U8
from luray.cube.cube import Cube
from luray.storage.objects import accessing
from luray.storage.places import public

NOT_LAND = ("ocean", "no_data")
"""Flags of a product that are no class of land."""


@dataclass(frozen=True)
class MapSeries:
    """Class maps of several years on one grid."""

    url: str
    grid: Grid
    legend: Legend
    years: tuple[int, ...]
    is_cube: bool
    scenario: int = 0
    member: int = 0

    @classmethod
    def open(cls, url: str, *, scenario: str = "", member: int = 0) -> Self:
        """Open a finished product, or a predictor cube for the observed maps in it.

        Parameters
        ----------
        url : str
            Place of the store.
        scenario, member : optional
            Which maps of a product of several are meant, the first ones by default.

        Raises
        ------
        ValueError
            For a store without maps, a product that is not finished, or a scenario or member that
            it does not have.
        """
        try:
            with accessing(url):
                root = zarr.open_group(url, mode="r", zarr_format=3)
        except FileNotFoundError:
            raise ValueError(
                f"{public(url)}: there is no Zarr store, expected a product or a predictor cube; "
                "correct the place"
            ) from None
        if "state" in root:
            cube = Cube.open(url)
            return cls(url, cube.grid, cube.legend, cube.years, is_cube=True)

        about: Any = root.attrs.get("luray", {})
        if "land_use" not in root or about.get("finished") is not True:
            raise ValueError(
                f"{public(url)}: no finished product and no predictor cube; finish it with "
                "`luray infer`, or give another place"
            )
        grid: Any = root.attrs["grid"]
        years: Any = root["year"]
        return cls(
            url,
            Grid(**grid),
            _legend_of(dict(root["land_use"].attrs), name=public(url)),
            tuple(int(year) for year in years[:]),
            is_cube=False,
            scenario=_position(root, "scenario", scenario, url),
            member=_position(root, "member", member, url),
        )

    def read(self, year: int, box: Box) -> U8:
        """Return the map of a year in a box within the grid.

        Returns
        -------
        array of uint8, shape (H, W)
            Class indices of `legend`; `OUTSIDE` off land.

        Raises
        ------
        ValueError
            For a year without a map, or a code outside the legend.
        """
        if self._cube is not None:
            return self._cube.state(year, box)

        if year not in self.years:
            raise ValueError(
                f"{public(self.url)} has no map of {year}, only {self.years[0]}-{self.years[-1]}"
            )
        array = self._land_use
        where = {"scenario": self.scenario, "member": self.member, "year": self.years.index(year)}
        lead = [where[name] for name in array.metadata.dimension_names[:-2]]
        with accessing(self.url):
            codes = array[(*lead, *box.slices(origin=Box(0, 0, 0, 0)))]
        codes = np.where(codes == self.legend.nodata, np.uint8(self.legend.ocean), codes)
        return self.legend.encode(codes, where=f"{public(self.url)} {year}")

    @cached_property
    def _cube(self) -> Cube | None:
        return Cube.open(self.url) if self.is_cube else None

    @cached_property
    def _land_use(self) -> Any:
        with accessing(self.url):
            return zarr.open_group(self.url, mode="r", zarr_format=3)["land_use"]

    def __getstate__(self) -> dict[str, Any]:
        # Open arrays stay behind: each process has its own.
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def _legend_of(attributes: dict[str, Any], *, name: str) -> Legend:
    """The legend of a product, from the CF flags of its maps."""
    classes = []
    codes = {}
    names = attributes["flag_meanings"].split()
    colours = attributes["flag_colors"].split()
    for code, meaning, colour in zip(attributes["flag_values"], names, colours, strict=True):
        codes[meaning] = int(code)
        if meaning not in NOT_LAND:
            classes.append(LandClass(int(code), meaning, colour))
    legend = Legend(name, tuple(classes), water=codes.get("water"))
    return Legend(
        name,
        legend.classes,
        ocean=codes.get("ocean", legend.ocean),
        nodata=codes.get("no_data", legend.nodata),
        water=legend.water,
    )


def _position(root: zarr.Group, dimension: str, wanted: Any, url: str) -> int:
    """Index of a scenario or member; 0 where nothing is asked for."""
    values = list(np.asarray(root[dimension]).tolist()) if dimension in root else []
    if not wanted:
        return 0
    if wanted not in values:
        raise ValueError(
            f"{public(url)} has no {dimension} {wanted!r}, expected one of {values or 'none'}"
        )
    return values.index(wanted)


@dataclass(frozen=True)
class Nesting:
    """How a grid lies on the common grid of two series."""

    factor: int
    """Its cells along a side of a common one."""
    row: int
    col: int
    """Its first cell in the common grid."""

    def read(self, series: MapSeries, year: int, box: Box) -> U8:
        """Return a map in a box of the common grid; a coarser cell has its most frequent class."""
        fine_box = Box(
            self.row + box.row * self.factor,
            self.col + box.col * self.factor,
            box.height * self.factor,
            box.width * self.factor,
        )
        classes_HW = series.read(year, fine_box)
        if self.factor == 1:
            return classes_HW
        return majority(classes_HW, self.factor, len(series.legend), OUTSIDE)


def common_grid(a: Grid, b: Grid) -> tuple[Grid, Nesting, Nesting]:
    """Return the grid that two grids have in common, and how each of them lies on it.

    Parameters
    ----------
    a, b : Grid
        The cells of one are whole blocks of cells of the other, or the same.

    Returns
    -------
    grid : Grid
        Whole cells of the coarser one that lie in both.
    nesting_of_a, nesting_of_b : Nesting
        How each lies on it.

    Raises
    ------
    ValueError
        For grids that do not nest, or do not meet.

    Examples
    --------
    >>> fine = Grid(north=40, west=20, step=0.5, n_lat=20, n_lon=20)
    >>> coarse = Grid(north=42, west=20, step=1, n_lat=10, n_lon=5)
    >>> grid, of_fine, of_coarse = common_grid(fine, coarse)
    >>> grid.north, grid.shape, of_fine.factor, of_coarse.row
    (40, (8, 5), 2, 2)
    """
    coarse = a if a.step >= b.step else b
    fine = b if coarse is a else a
    factor = round(coarse.step / fine.step)
    far = max(max(coarse.shape) * factor, max(fine.shape))
    shift = max(
        abs(coarse.step / fine.step - factor) * far / factor,
        _off_lattice((coarse.north - fine.north) / fine.step),
        _off_lattice((fine.west - coarse.west) / fine.step),
    )
    if shift > ALIGNMENT:
        raise ValueError(
            f"grids of {a.step:.8f} and {b.step:.8f} degrees that begin at {a.north:.5f}, "
            f"{a.west:.5f} and at {b.north:.5f}, {b.west:.5f} do not nest, expected cells of one "
            "to be whole blocks of cells of the other; resample one of them first"
        )

    # Edges of the fine grid in cells of the coarse one.
    north = (coarse.north - fine.north) / coarse.step
    west = (fine.west - coarse.west) / coarse.step
    south = north + fine.n_lat / factor
    east = west + fine.n_lon / factor
    top = max(0, int(np.ceil(north - ALIGNMENT)))
    left = max(0, int(np.ceil(west - ALIGNMENT)))
    bottom = min(coarse.n_lat, int(np.floor(south + ALIGNMENT)))
    right = min(coarse.n_lon, int(np.floor(east + ALIGNMENT)))
    if bottom <= top or right <= left:
        raise ValueError(
            f"grids that begin at {a.north:.5f}, {a.west:.5f} and at {b.north:.5f}, {b.west:.5f} "
            "have no cell in common; give maps of the same region"
        )

    grid = Grid(
        coarse.north - top * coarse.step,
        coarse.west + left * coarse.step,
        coarse.step,
        bottom - top,
        right - left,
    )
    of_coarse = Nesting(1, top, left)
    of_fine = Nesting(factor, round((top - north) * factor), round((left - west) * factor))
    return (grid, of_coarse, of_fine) if coarse is a else (grid, of_fine, of_coarse)


def _off_lattice(cells: float) -> float:
    """By how much a distance differs from a whole number of cells."""
    return abs(cells - round(cells))


@compiled
def majority(classes_HW: U8, factor: int, n_classes: int, outside: int) -> U8:
    """Return the most frequent class of each block of cells, (Y, X).

    A block is land where at least half of its cells are; of equally frequent classes the first in
    the legend counts.
    """
    n_rows = classes_HW.shape[0] // factor
    n_cols = classes_HW.shape[1] // factor
    classes_YX = np.full((n_rows, n_cols), outside, np.uint8)
    count_K = np.empty(n_classes, np.int64)
    for y in range(n_rows):
        for x in range(n_cols):
            count_K[:] = 0
            n_land = 0
            for row in range(y * factor, (y + 1) * factor):
                for col in range(x * factor, (x + 1) * factor):
                    k = classes_HW[row, col]
                    if k < n_classes:
                        count_K[k] += 1
                        n_land += 1
            if 2 * n_land >= factor * factor:
                best = 0
                for k in range(1, n_classes):
                    if count_K[k] > count_K[best]:
                        best = k
                classes_YX[y, x] = best
    return classes_YX
