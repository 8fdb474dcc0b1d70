"""Overviews: the maps at half, a quarter, ... of their resolution, for a first look.

Level 0 are the maps. Each level halves the one below: 2 x 2 cells become one.

Shapes: H W cells of a level; Y X cells of the next, (H + 1) // 2 and (W + 1) // 2.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from luray.core.compiled import compiled
from luray.core.legend import NO_VALUE
from luray.core.tiling import Tiling
from luray.core.types import U8
from luray.core.value_scale import MOST_LEVELS

COARSEST_CELLS = 1000
"""About the cells along the longer side of the coarsest level: a picture of the whole."""
TILES_A_SIDE = 5
"""Most tiles along that side of a level which is written tile by tile, were it the coarsest."""


@dataclass(frozen=True)
class Overviews:
    """The levels of a product's overviews.

    Parameters
    ----------
    levels : int
        How many there are.
    of_tiles : int
        How many of them, the finest ones, are written with each tile-year. The coarser ones follow
        from the last of these (or from the maps), when all tiles of a year are written.

    Examples
    --------
    >>> Overviews.over(Tiling(18000, 36000, window=256, stride=200, tile=2000, periodic=True))
    Overviews(levels=5, of_tiles=3)
    """

    levels: int = 0
    of_tiles: int = 0

    @classmethod
    def over(cls, tiling: Tiling, *, coarsest: int = COARSEST_CELLS) -> Self:
        """Return the levels over the grid of a tiling.

        Parameters
        ----------
        tiling : Tiling
            Its tiles are those of the product.
        coarsest : int, optional
            About the cells along the longer side of the coarsest level.
        """
        levels = max(0, round(np.log2(max(tiling.shape) / coarsest)))
        of_tiles = 0
        side = tiling.tile
        # Tiles of fewer cells would make many small objects.
        while of_tiles < levels and side % 2 == 0 and side // 2 >= coarsest // TILES_A_SIDE:
            side //= 2
            of_tiles += 1
        return cls(levels, of_tiles)

    @property
    def tile_levels(self) -> range:
        """Levels that are written with each tile-year."""
        return range(1, self.of_tiles + 1)

    @property
    def coarser_levels(self) -> range:
        """Levels that are written once all tiles of a year are there."""
        return range(self.of_tiles + 1, self.levels + 1)


NO_OVERVIEWS = Overviews()
"""Overviews of a product that has none."""


@compiled
def halve(classes_HW: U8, confidence_HW: U8, n_classes: int) -> tuple[U8, U8]:
    """Return the next level of a map and its confidence.

    A cell has the class that most of its land cells have, and their mean confidence. It is land
    where at least half of its cells are; what is not land has the more frequent of the values off
    land. Where several are as frequent, the first one in reading order counts.

    Parameters
    ----------
    classes_HW : array, uint8
        Class indices. Any other value is off land, such as `OUTSIDE` and `NO_DATA`.
    confidence_HW : array, uint8
        Percent.
    n_classes : int
        K.

    Returns
    -------
    classes, confidence : arrays, uint8, shape (Y, X)
        At an odd edge a cell has fewer than four cells. The mean is rounded half up, and 0 off
        land.
    """
    height, width = classes_HW.shape
    n_rows = (height + 1) // 2
    n_cols = (width + 1) // 2
    classes_YX = np.empty((n_rows, n_cols), np.uint8)
    confidence_YX = np.zeros((n_rows, n_cols), np.uint8)
    values = np.empty(4, np.uint8)

    for y in range(n_rows):
        for x in range(n_cols):
            # Most cells lie beside others of their kind. They need no counting, which takes three
            # times as long.
            if 2 * y + 1 < height and 2 * x + 1 < width:
                a = classes_HW[2 * y, 2 * x]
                b = classes_HW[2 * y, 2 * x + 1]
                c = classes_HW[2 * y + 1, 2 * x]
                d = classes_HW[2 * y + 1, 2 * x + 1]
                if max(a, b, c, d) < n_classes:
                    classes_YX[y, x] = _most_frequent(a, b, c, d)
                    above = int(confidence_HW[2 * y, 2 * x]) + confidence_HW[2 * y, 2 * x + 1]
                    below = (
                        int(confidence_HW[2 * y + 1, 2 * x]) + confidence_HW[2 * y + 1, 2 * x + 1]
                    )
                    confidence_YX[y, x] = (above + below + 2) // 4
                    continue
                if min(a, b, c, d) >= n_classes:
                    classes_YX[y, x] = _most_frequent(a, b, c, d)
                    continue

            n_cells = 0
            n_land = 0
            percent = 0
            for row in range(2 * y, min(2 * y + 2, height)):
                for col in range(2 * x, min(2 * x + 2, width)):
                    values[n_cells] = classes_HW[row, col]
                    n_cells += 1
                    if classes_HW[row, col] < n_classes:
                        n_land += 1
                        percent += confidence_HW[row, col]

            # Of each of the up to four values, in reading order, count how many cells have it.
            is_land = 2 * n_land >= n_cells
            most_votes = 0
            for i in range(n_cells):
                # Land cells and those off land do not vote with each other.
                if (values[i] < n_classes) != is_land:
                    continue
                votes = 0
                for j in range(n_cells):
                    if values[j] == values[i]:
                        votes += 1
                if votes > most_votes:
                    most_votes = votes
                    classes_YX[y, x] = values[i]

            # The mean of whole numbers, rounded half up.
            if is_land:
                confidence_YX[y, x] = (2 * percent + n_land) // (2 * n_land)
    return classes_YX, confidence_YX


@compiled
def halve_values(values_HW: U8) -> U8:
    """Return the next level of levels of values, or of their spread.

    A cell has the mean of its cells that are known, rounded half up. It is known where at least
    half of its cells are.

    Parameters
    ----------
    values_HW : array, uint8
        From 0 to `MOST_LEVELS`. Any other value is not known, such as `OUTSIDE` and `UNKNOWN`.

    Returns
    -------
    array, uint8, shape (Y, X)
        `NO_VALUE` where it is not known.
    """
    height, width = values_HW.shape
    n_rows = (height + 1) // 2
    n_cols = (width + 1) // 2
    means_YX = np.full((n_rows, n_cols), NO_VALUE, np.uint8)
    for y in range(n_rows):
        for x in range(n_cols):
            n_cells = 0
            n_known = 0
            total = 0
            for row in range(2 * y, min(2 * y + 2, height)):
                for col in range(2 * x, min(2 * x + 2, width)):
                    n_cells += 1
                    if values_HW[row, col] <= MOST_LEVELS:
                        n_known += 1
                        total += values_HW[row, col]
            if n_known and 2 * n_known >= n_cells:
                means_YX[y, x] = (2 * total + n_known) // (2 * n_known)
    return means_YX


@compiled
def _most_frequent(a: int, b: int, c: int, d: int) -> int:
    """Return the most frequent of four values, the first one where several are as frequent."""
    if a in (b, c, d):
        return a
    if b in (c, d):
        return b
    return c if c == d else a
