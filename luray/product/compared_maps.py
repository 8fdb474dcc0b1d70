"""Class maps of several years, wherever they come from: a product, or the maps of a predictor cube.

Maps on another grid are brought onto a coarser one whose cells are whole blocks of theirs.

Shapes: H W cells of a box; Y X cells of a grid that is `factor` times as coarse.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from luray.core.compiled import compiled
from luray.core.grid import ALIGNMENT, Grid
from luray.core.legend import OUTSIDE, Legend
from luray.core.tiling import Box
from luray.core.types import U8
from luray.cube.cube import Cube
from luray.product.product_maps import MapSeries, ProductMaps


@dataclass(frozen=True)
class ComparedMaps:
    """Class maps of several years on one grid: of a predictor cube, or of a product."""

    url: str
    grid: Grid
    legend: Legend
    years: tuple[int, ...]
    maps: Cube | MapSeries
    other_kind: Mapping[int, str] = field(default_factory=dict)
    """Years whose map is of another kind than the others', see `Source.other_kind`."""
    caveat: str = ""
    """The sequence of maps, in words, where a product has several."""

    @classmethod
    def of_cube(cls, cube: Cube) -> Self:
        """Return the observed maps of a predictor cube."""
        return cls(cube.url, cube.grid, cube.legend, cube.years, cube, cube.other_kind)

    @classmethod
    def of_product(cls, product: ProductMaps) -> Self:
        """Return the maps of a product; of several scenarios and members the first ones."""
        scenario = product.scenarios[0] if product.scenarios else None
        member = 0 if product.members else None
        chosen = []
        if len(product.scenarios) > 1:
            chosen.append(f"scenario {scenario}, of {len(product.scenarios)}")
        if product.members > 1:
            chosen.append(f"member {member}, of {product.members}")
        return cls(
            product.url,
            product.grid,
            product.legend,
            product.years,
            product.series(scenario=scenario, member=member),
            caveat="; ".join(chosen),
        )

    def require_whole(self, years: Iterable[int]) -> None:
        """Raise InputError where a part of the maps of some years is lost; see `MapSeries`.

        The maps of a predictor cube cannot be told from ocean; `luray build` has receipts of them.
        """
        if isinstance(self.maps, MapSeries):
            self.maps.require_whole(years)

    def read(self, year: int, box: Box) -> U8:
        """Return the map of a year in a box within the grid.

        Returns
        -------
        array of uint8, shape (H, W)
            Class indices of `legend`; `OUTSIDE` off land.

        Raises
        ------
        ValueError
            For a code outside the legend.
        """
        if isinstance(self.maps, Cube):
            return self.maps.state(year, box)
        return self.maps.classes(year, box)


@dataclass(frozen=True)
class Nesting:
    """Position of a grid on the common grid of two series."""

    factor: int
    """Its cells along a side of a common one."""
    row: int
    col: int
    """Its first cell in the common grid."""

    def read(self, series: ComparedMaps, year: int, box: Box) -> U8:
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

    # How far, in fine cells, the lattices are apart: at the corner, and at the far end, where a
    # difference of the steps has added up.
    longest_side = max(max(coarse.shape) * factor, max(fine.shape))
    step_error = abs(coarse.step / fine.step - factor)
    shift = max(
        step_error * longest_side / factor,
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
    """Difference of a distance from a whole number of cells."""
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
            # Strictly more, so that of equally frequent classes the first one stays.
            if 2 * n_land >= factor * factor:
                best = 0
                for k in range(1, n_classes):
                    if count_K[k] > count_K[best]:
                        best = k
                classes_YX[y, x] = best
    return classes_YX
