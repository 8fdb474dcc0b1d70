"""What training knows of the maps before it reads them: land and change by plot, a few MB a globe.

A *plot* is a square of `plot` x `plot` cells: a core of the window lattice, or a whole part of one
in a small region. A cube is counted tile by tile, in any order, and the counts are stored beside it
(see `luray.training.change_counts_store`).

Shapes: Y observed years, R C rows and columns of plots, K classes.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from luray.core.legend import OUTSIDE
from luray.core.tiling import Box, Tile, Tiling
from luray.core.types import I16, I32, I64, Bool
from luray.cube.cube import Cube
from luray.model.features import UNKNOWN
from luray.training.sampling_config import SamplingConfig

NO_ZONE = -1
"""Zone of a plot without a known category on its land."""


class TileCounts(NamedTuple):
    """The counts of one tile: its rectangle of plots, and the fields of `ChangeCounts` on it."""

    plots: Box
    land_RC: I32
    changed_YRC: I32
    cells_YK: I64
    zone_RC: I16


@dataclass(frozen=True, eq=False)
class ChangeCounts:
    """Land and change of every plot, and how many cells each class has in each year."""

    years: tuple[int, ...]
    """Observed years, ascending."""
    plot: int
    """Cells along a side of a plot, a divisor of the stride."""
    land_RC: I32
    """Land cells of each plot."""
    changed_YRC: I32
    """Land cells whose class is not that of the observed year before, shape (Y - 1, R, C)."""
    cells_YK: I64
    """Land cells of each class in each year."""
    zone_RC: I16
    """Category that most land cells of a plot have, `NO_ZONE` without any."""

    @classmethod
    def from_tiles(
        cls,
        parts: Iterable[TileCounts],
        *,
        years: tuple[int, ...],
        plot: int,
        tiling: Tiling,
        n_classes: int,
    ) -> "ChangeCounts":
        """Put the counts of the tiles of a grid together.

        Parameters
        ----------
        parts : iterable of TileCounts
            In any order; a tile that is not among them has no land.
        years : tuple of int
            Observed years, ascending.
        plot : int
            Cells along a side of a plot.
        tiling : Tiling
            The grid and its tiles.
        n_classes : int
            K.
        """
        shape = tuple(-(-n // plot) for n in tiling.shape)
        whole = cls(
            years,
            plot,
            np.zeros(shape, np.int32),
            np.zeros((len(years) - 1, *shape), np.int32),
            np.zeros((len(years), n_classes), np.int64),
            np.full(shape, NO_ZONE, np.int16),
        )
        for part in parts:
            rows, cols = part.plots.slices(origin=Box(0, 0, 0, 0))
            whole.land_RC[rows, cols] = part.land_RC
            whole.zone_RC[rows, cols] = part.zone_RC
            whole.changed_YRC[:, rows, cols] = part.changed_YRC
            whole.cells_YK[:] += part.cells_YK
        return whole

    def changed_between(self, first: int, last: int) -> I32:
        """Return the changed cells of each plot from each year to the next.

        Parameters
        ----------
        first, last : int
            Observed years.

        Returns
        -------
        array of int, shape (last - first, R, C)
        """
        start = self.years.index(first)
        return self.changed_YRC[start : start + last - first]

    def cells_in(self, first: int, last: int, *, left_out: Collection[int] = ()) -> I64:
        """Sum the land cells of each class over the maps of `first` .. `last`, shape (K,).

        Maps of the years `left_out` do not count.
        """
        counted = [first <= year <= last and year not in left_out for year in self.years]
        cells_K: I64 = self.cells_YK[counted].sum(axis=0)
        return cells_K


def plot_size(cube: Cube, tiling: Tiling, sampling: SamplingConfig) -> int:
    """Return the cells along a side of a plot.

    It is the largest divisor of the stride that makes as many blocks as `sampling` wants. A plot is
    whole cells of every forcing whose cell divides the stride, so no coarse cell lies in two blocks
    and what a held-out block shows of it is not seen in training.
    """
    stride = tiling.stride

    # Fine cells along a side of a coarse cell; 0 for a forcing that is finer than the maps.
    coarse_sides = [round(layer.grid.step / cube.grid.step) for layer in cube.forcing]
    whole_in_stride = [n for n in coarse_sides if n and stride % n == 0]
    smallest = max(whole_in_stride, default=1)

    # No plot is larger than a block, or there would be fewer blocks than are wanted.
    n_rows, n_cols = cube.grid.shape
    block_side = min(n_rows // sampling.blocks[0], n_cols // sampling.blocks[1])
    largest = min(max(smallest, block_side), stride)

    candidates = range(smallest, largest + 1, smallest)
    return max(n for n in candidates if stride % n == 0)


def count_tile(
    cube: Cube, tiling: Tiling, tile: Tile, sampling: SamplingConfig
) -> TileCounts | None:
    """Count one tile, year by year, so that memory holds two maps of it.

    Parameters
    ----------
    cube : Cube
        Where the maps are read.
    tiling : Tiling
        The grid and its tiles.
    tile : Tile
        Which tile is counted.
    sampling : SamplingConfig
        How large a plot is, and which variable has the zones; they are those of the first observed
        year.

    Returns
    -------
    TileCounts or None
        None for a tile without land.

    Raises
    ------
    ValueError
        If `sampling.zone` is no categorical variable of the cube.
    """
    box = tiling.tile_box(tile)
    land = cube.land(box)
    if not land.any():
        return None

    plot = plot_size(cube, tiling, sampling)
    n_classes = len(cube.legend)
    land_RC = count_by_plot(land, plot)
    cells_YK = np.zeros((len(cube.years), n_classes), np.int64)
    changed_YRC = np.zeros((len(cube.years) - 1, *land_RC.shape), np.int32)

    previous = None
    for i, year in enumerate(cube.years):
        classes = cube.state(year, box)
        cells_YK[i] = np.bincount(classes[land], minlength=OUTSIDE + 1)[:n_classes]
        if previous is not None:
            # Off the land mask both maps are OUTSIDE, so the sea never changes.
            # A value that comes out of a cloud is none either.
            changed = (classes != previous) & (classes != UNKNOWN) & (previous != UNKNOWN)
            changed_YRC[i - 1] = count_by_plot(changed, plot)
        previous = classes

    plots = Box(box.row // plot, box.col // plot, *land_RC.shape)
    zone_RC = _zones(cube, box, land, plot, sampling.zone)
    return TileCounts(plots, land_RC, changed_YRC, cells_YK, zone_RC)


def count_by_plot(cells: Bool, plot: int) -> I32:
    """Count the true cells of each plot, from an array that begins with a plot.

    The last plots of a row or column may be cut.

    Examples
    --------
    >>> count_by_plot(np.array([[True, True, False], [False, True, True]]), 2)
    array([[3, 1]], dtype=int32)
    """
    first_rows = np.arange(0, cells.shape[0], plot)
    first_cols = np.arange(0, cells.shape[1], plot)
    by_row = np.add.reduceat(cells, first_rows, axis=0, dtype=np.int32)
    counts_RC: I32 = np.add.reduceat(by_row, first_cols, axis=1, dtype=np.int32)
    return counts_RC


def _zones(cube: Cube, box: Box, land: Bool, plot: int, zone: str) -> I16:
    """Category of most land cells of each plot; a tie goes to the variable's own order."""
    shape = tuple(-(-n // plot) for n in box.shape)
    zone_RC = np.full(shape, NO_ZONE, np.int16)
    if not zone:
        return zone_RC

    variable, values = cube.categories(zone, cube.years[0], box)
    most_RC = np.zeros(shape, np.int32)
    for category in variable.categories:
        counts_RC = count_by_plot((values == category) & land, plot)
        zone_RC[counts_RC > most_RC] = category
        np.maximum(most_RC, counts_RC, out=most_RC)
    return zone_RC
