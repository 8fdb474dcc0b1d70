"""Maps of classes onto larger cells, which need not hold whole cells of the maps.

Cells of 1/360 degree go 3.6 times into one of 0.01 degree. Every result depends on the place of a
cell alone, never on the box that is read.

Shapes: H W cells of the coarser grid; Y X cells of the maps under them; N overlaps along an axis.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from luray.core.arithmetic import ceil_div
from luray.core.compiled import compiled
from luray.core.grid import ALIGNMENT, Grid
from luray.core.tiling import Box
from luray.core.types import I64, U8
from luray.storage.errors import InputError

Method = Literal["majority", "nearest"]

UNITS = 1000
"""Whole units that the side of a cell is divided into: sums of overlaps have no rounding."""


def lattice_over(fine: Grid, run: Grid, *, where: str) -> Grid:
    """Return the cells of a run's lattice that lie wholly within a finer grid.

    Raises InputError where the run's cells are the smaller ones, or none lies within.
    """
    step = run.step
    if step < fine.step * (1 - ALIGNMENT):
        raise InputError(
            f"{where}: has cells of {fine.step:.8f} degrees, the run grid smaller ones of "
            f"{step:.8f}; set grid.step to at least that of the maps"
        )
    # Cells are counted from the run grid's corner, inwards from the edges of the finer grid. Edges
    # that coincide but for rounding count as equal.
    slack = ALIGNMENT * fine.step / step
    first_row = int(np.ceil((run.north - fine.north) / step - slack))
    first_col = int(np.ceil((fine.west - run.west) / step - slack))
    end_row = int(np.floor((run.north - fine.south) / step + slack))
    end_col = int(np.floor((fine.west - run.west + fine.n_lon * fine.step) / step + slack))
    if end_row <= first_row or end_col <= first_col:
        raise InputError(f"{where}: is smaller than a cell of the run grid; get a larger region")
    return Grid(
        run.north - first_row * step,
        run.west + first_col * step,
        step,
        end_row - first_row,
        end_col - first_col,
    )


@dataclass(frozen=True)
class ClassResampling:
    """Resampling of classes from a fine grid to a coarser one that it covers."""

    fine: Grid
    coarse: Grid
    method: Method

    @cached_property
    def _rows(self) -> "Overlaps":
        offset = (self.fine.north - self.coarse.north) / self.fine.step
        ratio = self.coarse.step / self.fine.step
        return Overlaps.of(offset, ratio, self.coarse.n_lat, self.fine.n_lat, self.method)

    @cached_property
    def _cols(self) -> "Overlaps":
        offset = (self.coarse.west - self.fine.west) / self.fine.step
        ratio = self.coarse.step / self.fine.step
        return Overlaps.of(offset, ratio, self.coarse.n_lon, self.fine.n_lon, self.method)

    def fine_box(self, box: Box) -> Box:
        """Return the cells of the fine grid that a box of the coarser one is made of."""
        row, height = self._rows.under(box.row, box.height)
        col, width = self._cols.under(box.col, box.width)
        return Box(row, col, height, width)

    def resample(self, codes_YX: U8, box: Box) -> U8:
        """Return the codes of a box of the coarser grid, shape (H, W).

        Parameters
        ----------
        codes_YX : array of uint8
            The codes of `fine_box(box)`.
        box : Box
            Cells of the coarser grid.
        """
        fine = self.fine_box(box)
        assert codes_YX.shape == fine.shape
        rows = self._rows.part(box.row, box.height, fine.row)
        cols = self._cols.part(box.col, box.width, fine.col)
        return _majority(codes_YX, rows.first, rows.weights, cols.first, cols.weights)


@dataclass(frozen=True)
class Overlaps:
    """Along one axis: the first fine cell under each coarse one, and how far each lies under it."""

    first: I64
    weights: I64
    """In `UNITS`, shape (cells, N); 0 where there are fewer than N."""

    @classmethod
    def of(cls, offset: float, ratio: float, n: int, n_fine: int, method: Method) -> "Overlaps":
        """Work out the overlaps of n cells of `ratio` fine cells, beginning at `offset` of them."""
        # In whole units: edges that are equal but for rounding are equal.
        edges = np.rint((offset + ratio * np.arange(n + 1)) * UNITS).astype(np.int64)
        edges = edges.clip(0, n_fine * UNITS)
        start = edges[:-1]
        stop = edges[1:]
        if method == "nearest":
            middle = ((start + stop) // 2 // UNITS).clip(0, n_fine - 1)
            return cls(middle, np.ones((n, 1), np.int64))

        first = start // UNITS
        end = ceil_div(stop, UNITS)
        n_overlaps = int((end - first).max())

        # What a fine cell and a coarse one have in common, from the larger of their beginnings to
        # the smaller of their ends.
        cells = first[:, None] + np.arange(n_overlaps)
        low = np.maximum(cells * UNITS, start[:, None])
        high = np.minimum((cells + 1) * UNITS, stop[:, None])
        return cls(first, (high - low).clip(0))

    def under(self, start: int, length: int) -> tuple[int, int]:
        """Return the first fine cell under some cells, and how many there are."""
        first = int(self.first[start])
        last = start + length - 1
        n_last = int((self.weights[last] > 0).sum())
        return first, int(self.first[last]) + n_last - first

    def part(self, start: int, length: int, origin: int) -> "Overlaps":
        """Return the overlaps of some cells, with fine cells counted from an origin."""
        cells = slice(start, start + length)
        return Overlaps(self.first[cells] - origin, self.weights[cells])


@compiled
def _majority(codes_YX: U8, first_H: I64, weights_HN: I64, first_W: I64, weights_WN: I64) -> U8:
    """Return the code that covers most of each coarse cell, the lower of equally large ones."""
    height = len(first_H)
    width = len(first_W)
    n_rows = weights_HN.shape[1]
    n_cols = weights_WN.shape[1]
    codes_HW = np.empty((height, width), np.uint8)
    area_of_code = np.zeros(256, np.int64)
    for i in range(height):
        for j in range(width):
            # The area of each code under the coarse cell.
            for a in range(n_rows):
                for b in range(n_cols):
                    area = weights_HN[i, a] * weights_WN[j, b]
                    if area > 0:
                        area_of_code[codes_YX[first_H[i] + a, first_W[j] + b]] += area

            # The areas are taken back one by one: clearing all 256 would cost more than the rest.
            most = np.int64(0)
            best = np.uint8(0)
            for a in range(n_rows):
                for b in range(n_cols):
                    if weights_HN[i, a] * weights_WN[j, b] == 0:
                        continue
                    code = codes_YX[first_H[i] + a, first_W[j] + b]
                    area = area_of_code[code]
                    if area > most or (area == most and area > 0 and code < best):
                        most = area
                        best = code
                    area_of_code[code] = 0
            codes_HW[i, j] = best
    return codes_HW
