"""Maps of values onto larger cells: the mean of what lies under a cell, weighted by area.

Every result depends on the place of a cell alone, never on the box that is read.

Shapes: H W cells of the coarser grid; Y X cells of the maps under them; N overlaps along an axis.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from luray.core.compiled import compiled
from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.core.types import F32, I64
from luray.sources.class_resampling import Overlaps


@dataclass(frozen=True)
class MeanResampling:
    """Means over the cells of a coarser grid that a fine one covers.

    A cell has a value where at least half of its area has one.
    """

    fine: Grid
    coarse: Grid

    @cached_property
    def _rows(self) -> Overlaps:
        offset = (self.fine.north - self.coarse.north) / self.fine.step
        ratio = self.coarse.step / self.fine.step
        return Overlaps.of(offset, ratio, self.coarse.n_lat, self.fine.n_lat, "majority")

    @cached_property
    def _cols(self) -> Overlaps:
        offset = (self.coarse.west - self.fine.west) / self.fine.step
        ratio = self.coarse.step / self.fine.step
        return Overlaps.of(offset, ratio, self.coarse.n_lon, self.fine.n_lon, "majority")

    def fine_box(self, box: Box) -> Box:
        """Return the cells of the fine grid that a box of the coarser one is made of."""
        row, height = self._rows.under(box.row, box.height)
        col, width = self._cols.under(box.col, box.width)
        return Box(row, col, height, width)

    def mean(self, values_YX: F32, box: Box) -> F32:
        """Return the means over a box of the coarser grid, shape (H, W); NaN where unknown.

        Parameters
        ----------
        values_YX : array of float32
            The values of `fine_box(box)`; NaN is missing and carries no weight.
        box : Box
            Cells of the coarser grid.
        """
        fine = self.fine_box(box)
        assert values_YX.shape == fine.shape
        rows = self._rows.part(box.row, box.height, fine.row)
        cols = self._cols.part(box.col, box.width, fine.col)
        return _mean(values_YX, rows.first, rows.weights, cols.first, cols.weights)


@compiled
def _mean(values_YX: F32, first_H: I64, weights_HN: I64, first_W: I64, weights_WN: I64) -> F32:
    """Return the mean of each coarse cell's known part, NaN where that is less than half of it."""
    height = len(first_H)
    width = len(first_W)
    mean_HW = np.empty((height, width), np.float32)
    for i in range(height):
        for j in range(width):
            area = np.int64(0)
            known_area = np.int64(0)
            total = 0.0
            for a in range(weights_HN.shape[1]):
                for b in range(weights_WN.shape[1]):
                    weight = weights_HN[i, a] * weights_WN[j, b]
                    if weight == 0:
                        continue
                    area += weight
                    value = values_YX[first_H[i] + a, first_W[j] + b]
                    if not np.isnan(value):
                        known_area += weight
                        total += weight * np.float64(value)
            if known_area > 0 and 2 * known_area >= area:
                mean_HW[i, j] = total / known_area
            else:
                mean_HW[i, j] = np.nan
    return mean_HW
