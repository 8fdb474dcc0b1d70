"""Index maps from a native grid into boxes of the fine grid.

Arrays are resampled where they are used: a map holds, for every fine row and column, the native
cells and the weight it needs. It is computed once for the whole axis, so a value never depends on
the box that asked for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from luray.core.compiled import compiled
from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.core.types import F32, F64, Index

Method = Literal["nearest", "bilinear"]

GAP = 8
"""Native cells between two needed ones beyond which they are read in separate pieces."""


class AxisMap(NamedTuple):
    """Fine axis of n cells seen on a native axis: value = (1 - weight) * native[low] + weight *
    native[high].
    """

    low: Index
    high: Index
    weight: F32

    def take(self, index: Index | slice) -> "AxisMap":
        """The map of some fine cells."""
        return AxisMap(self.low[index], self.high[index], self.weight[index])

    def needed(self) -> list[slice]:
        """Native ranges that hold every cell used, in ascending order: two where a box crosses the
        dateline.
        """
        cells = np.unique(np.concatenate([self.low, self.high]))
        breaks = np.flatnonzero(np.diff(cells) > GAP)
        first = cells[np.concatenate([[0], breaks + 1])]
        last = cells[np.concatenate([breaks, [cells.size - 1]])]
        return [slice(int(a), int(b) + 1) for a, b in zip(first, last, strict=True)]

    def within(self, pieces: list[slice]) -> "AxisMap":
        """The same map on an array that holds only `pieces`, joined."""
        cells = np.concatenate([np.arange(p.start, p.stop) for p in pieces])
        return AxisMap(
            np.searchsorted(cells, self.low), np.searchsorted(cells, self.high), self.weight
        )


def joined(pieces: Sequence[slice], *, gap: int) -> list[slice]:
    """Pieces in ascending order, those joined that are less than `gap` cells apart."""
    found = [pieces[0]]
    for piece in pieces[1:]:
        near = piece.start - found[-1].stop < gap
        found[-1:] = [slice(found[-1].start, piece.stop)] if near else [found[-1], piece]
    return found


def same(n: int) -> AxisMap:
    """Map of n cells onto themselves."""
    return AxisMap(np.arange(n), np.arange(n), np.zeros(n, np.float32))


def axis_map(position: F64, n: int, *, method: Method, periodic: bool = False) -> AxisMap:
    """Map of fine cells whose centres lie at `position`, in native cells from the first edge (0 ..
    n).

    Nearest takes the native cell that holds the centre; bilinear interpolates between native
    centres. Beyond the native axis the last cell holds, or the first follows when `periodic`.
    """
    if method == "nearest":
        cell = np.floor(position + 1e-9).astype(np.int64)
        cell = cell % n if periodic else np.clip(cell, 0, n - 1)
        return AxisMap(cell, cell, np.zeros(cell.size, np.float32))
    low = np.floor(position - 0.5).astype(np.int64)
    weight = (position - 0.5 - low).astype(np.float32)
    if periodic:
        return AxisMap(low % n, (low + 1) % n, weight)
    return AxisMap(np.clip(low, 0, n - 1), np.clip(low + 1, 0, n - 1), weight)


@dataclass(frozen=True)
class GridMap:
    """Index maps of both axes from `native` into `fine`."""

    native: Grid
    fine: Grid
    method: Method

    @cached_property
    def rows(self) -> AxisMap:
        """Map of the fine rows, shape (n_lat,)."""
        return axis_map(
            (self.native.north - self.fine.lat) / self.native.step,
            self.native.n_lat,
            method=self.method,
        )

    @cached_property
    def cols(self) -> AxisMap:
        """Map of the fine columns, shape (n_lon,)."""
        position = (self.fine.lon - self.native.west) / self.native.step
        return axis_map(
            position, self.native.n_lon, method=self.method, periodic=self.native.periodic
        )

    def take(self, box: Box) -> tuple[AxisMap, AxisMap]:
        """Maps of a box of fine cells: past the poles and past the edge of a region the last cell
        holds.
        """
        rows, cols = cells_of(box, self.fine)
        return self.rows.take(rows), self.cols.take(cols)


@cache
def grid_map(native: Grid, fine: Grid, method: Method) -> GridMap:
    """The one map between two grids, computed once in a process."""
    return GridMap(native, fine, method)


def cells_of(box: Box, grid: Grid) -> tuple[Index, Index]:
    """Fine row and column indices of a box, shapes (height,) and (width,): rows held at the edge,
    columns wrapped.
    """
    rows = np.clip(np.arange(box.row, box.row + box.height), 0, grid.n_lat - 1)
    cols = np.arange(box.col, box.col + box.width)
    return rows, cols % grid.n_lon if grid.periodic else np.clip(cols, 0, grid.n_lon - 1)


def gather(native_VHW: F32, rows: AxisMap, cols: AxisMap, *, method: Method) -> F32:
    """Native values of V variables at the mapped cells, shape (V, rows, cols)."""
    if method == "nearest":  # whole rows are copied fastest, so the axis that grows more goes last
        if native_VHW.shape[1] < rows.low.size:
            return native_VHW.take(cols.low, axis=2).take(rows.low, axis=1)
        return native_VHW.take(rows.low, axis=1).take(cols.low, axis=2)
    one = np.float32(1)
    along = (
        native_VHW[:, rows.low] * (one - rows.weight)[:, None]
        + native_VHW[:, rows.high] * rows.weight[:, None]
    )
    mixed: F32 = along[:, :, cols.low] * (one - cols.weight) + along[:, :, cols.high] * cols.weight
    return mixed


@compiled
def interpolate(
    native_VYX: NDArray[Any], scale_V: F32, rows: AxisMap, cols: AxisMap, out_HWN: F32, first: int
) -> None:
    """Bilinear `gather` of stored values over their scale, missing ones taken as 0, into channels
    from the first.

    The native values are scaled row by row as they are used, so that no copy of them is made.
    """
    n_variables, _, n_cols = native_VYX.shape
    one, nothing, line_X = np.float32(1), np.float32(0), np.empty(n_cols, np.float32)
    for i in range(len(rows.low)):
        weight = rows.weight[i]
        for v in range(n_variables):
            above_X, below_X, scale = (
                native_VYX[v, rows.low[i]],
                native_VYX[v, rows.high[i]],
                scale_V[v],
            )
            for x in range(n_cols):
                above, below = np.float32(above_X[x]) / scale, np.float32(below_X[x]) / scale
                above, below = (
                    nothing if np.isnan(above) else above,
                    nothing if np.isnan(below) else below,
                )
                line_X[x] = above * (one - weight) + below * weight
            for j in range(len(cols.low)):
                w = cols.weight[j]
                out_HWN[i, j, first + v] = (
                    line_X[cols.low[j]] * (one - w) + line_X[cols.high[j]] * w
                )
