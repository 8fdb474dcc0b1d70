"""Index maps from a native grid into boxes of the fine grid.

Arrays are resampled where they are used: a map holds, for every fine row and column, the native
cells and the weight it needs. It is computed once for the whole axis, so a value never depends on
the box that asked for it.

Shapes: V variables; Y X rows and columns of the native grid or a piece of it; H W those of a box of
fine cells; N channels.
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
    """Where the cells of a fine axis lie on a native axis, each array of shape (fine cells,).

    The value of a fine cell is (1 - weight) * native[low] + weight * native[high].
    """

    low: Index
    high: Index
    weight: F32

    def take(self, index: Index | slice) -> "AxisMap":
        """Return the map of some of the fine cells."""
        return AxisMap(self.low[index], self.high[index], self.weight[index])

    def needed(self) -> list[slice]:
        """Return native ranges that hold every cell used, in ascending order.

        There are two where a box crosses the dateline.
        """
        cells = np.unique(np.concatenate([self.low, self.high]))
        # a few cells that nobody needs cost less than a second request
        return as_slices(cells, gap=GAP)

    def within(self, pieces: list[slice]) -> "AxisMap":
        """Return the same map on an array that holds only `pieces`, joined."""
        # the pieces are in ascending order, so the place of a cell among theirs is found by search
        cells = np.concatenate([np.arange(piece.start, piece.stop) for piece in pieces])
        low = np.searchsorted(cells, self.low)
        high = np.searchsorted(cells, self.high)
        return AxisMap(low, high, self.weight)


def as_slices(cells: Index, *, gap: int = 1) -> list[slice]:
    """Return ranges that hold cells in ascending order; those up to `gap` apart are in one.

    Examples
    --------
    >>> as_slices(np.array([2, 3, 7]))
    [slice(2, 4, None), slice(7, 8, None)]
    """
    # A range ends before each gap, and the next one begins behind it.
    breaks = np.flatnonzero(np.diff(cells) > gap)
    first_cells = cells[np.concatenate([[0], breaks + 1])]
    last_cells = cells[np.concatenate([breaks, [cells.size - 1]])]
    return [
        slice(int(first), int(last) + 1)
        for first, last in zip(first_cells, last_cells, strict=True)
    ]


def joined(pieces: Sequence[slice], *, gap: int) -> list[slice]:
    """Join pieces that are less than `gap` cells apart.

    Parameters
    ----------
    pieces : sequence of slice
        In ascending order, at least one.
    gap : int
        In cells.

    Examples
    --------
    >>> joined([slice(0, 4), slice(5, 9), slice(20, 21)], gap=3)
    [slice(0, 9, None), slice(20, 21, None)]
    """
    result = [pieces[0]]
    for piece in pieces[1:]:
        last = result[-1]
        if piece.start - last.stop < gap:
            result[-1] = slice(last.start, piece.stop)
        else:
            result.append(piece)
    return result


def same(n: int) -> AxisMap:
    """Return the map of n cells onto themselves."""
    return AxisMap(np.arange(n), np.arange(n), np.zeros(n, np.float32))


def axis_map(position: F64, n: int, *, method: Method, periodic: bool = False) -> AxisMap:
    """Map fine cells onto a native axis.

    Parameters
    ----------
    position : float64 array, shape (fine cells,)
        Centres of the fine cells, in native cells from the first edge (0 .. n).
    n : int
        Number of native cells.
    method : {"nearest", "bilinear"}
        Take the native cell that holds the centre, or interpolate between native centres.
    periodic : bool
        Whether the first native cell follows the last. If not, the outermost cells hold beyond the
        axis.

    Examples
    --------
    >>> axis_map(np.array([0.5, 1.0, 1.5]), 2, method="bilinear").weight.tolist()
    [0.0, 0.5, 0.0]
    """
    if method == "nearest":
        # a centre on an edge belongs to the cell behind it, also where rounding puts it before
        cell = np.floor(position + 1e-9).astype(np.int64)
        cell = cell % n if periodic else np.clip(cell, 0, n - 1)
        return AxisMap(cell, cell, np.zeros(cell.size, np.float32))

    # native centres lie half a cell behind the edges from which positions count
    low = np.floor(position - 0.5).astype(np.int64)
    high = low + 1
    weight = (position - 0.5 - low).astype(np.float32)
    if periodic:
        return AxisMap(low % n, high % n, weight)
    return AxisMap(np.clip(low, 0, n - 1), np.clip(high, 0, n - 1), weight)


@dataclass(frozen=True)
class GridMap:
    """Index maps of both axes from `native` into `fine`."""

    native: Grid
    fine: Grid
    method: Method

    @cached_property
    def rows(self) -> AxisMap:
        """Map of the fine rows, shape (n_lat,)."""
        position = (self.native.north - self.fine.lat) / self.native.step
        return axis_map(position, self.native.n_lat, method=self.method)

    @cached_property
    def cols(self) -> AxisMap:
        """Map of the fine columns, shape (n_lon,)."""
        position = (self.fine.lon - self.native.west) / self.native.step
        return axis_map(
            position, self.native.n_lon, method=self.method, periodic=self.native.periodic
        )

    def take(self, box: Box) -> tuple[AxisMap, AxisMap]:
        """Return the maps of the rows and columns of a box of fine cells.

        Past the poles and past the edge of a region the outermost cells hold.
        """
        rows, cols = cells_of(box, self.fine)
        return self.rows.take(rows), self.cols.take(cols)


@cache
def grid_map(native: Grid, fine: Grid, method: Method) -> GridMap:
    """Return the one map between two grids, computed once in a process."""
    return GridMap(native, fine, method)


def cells_of(box: Box, grid: Grid) -> tuple[Index, Index]:
    """Return the rows and columns of a grid that stand for those of a box.

    Parameters
    ----------
    box : Box
        Cells that may reach past the grid.
    grid : Grid
        If it spans the globe the columns wrap; else, and past the poles, the outermost hold.

    Returns
    -------
    tuple of int64 array
        Rows, shape (height,), and columns, shape (width,).

    Examples
    --------
    >>> rows, cols = cells_of(Box(-1, 4, 3, 3), Grid(90, -180, 60, 3, 6))
    >>> rows.tolist(), cols.tolist()
    ([0, 0, 1], [4, 5, 0])
    """
    rows = np.arange(box.row, box.row + box.height)
    cols = np.arange(box.col, box.col + box.width)
    cols = cols % grid.n_lon if grid.periodic else cols.clip(0, grid.n_lon - 1)
    return rows.clip(0, grid.n_lat - 1), cols


def gather(native_VYX: F32, rows: AxisMap, cols: AxisMap, *, method: Method) -> F32:
    """Resample native values to the mapped cells.

    Parameters
    ----------
    native_VYX : float32 array
        Values of V variables on the native grid, or on the part of it that the maps are on.
    rows, cols : AxisMap
        Maps of the H rows and W columns.
    method : {"nearest", "bilinear"}
        The one that the maps were made with.

    Returns
    -------
    float32 array, shape (V, H, W)
    """
    if method == "nearest":
        # whole rows are copied fastest, so the axis that grows more goes last
        if native_VYX.shape[1] < rows.low.size:
            return native_VYX.take(cols.low, axis=2).take(rows.low, axis=1)
        return native_VYX.take(rows.low, axis=1).take(cols.low, axis=2)

    # Between native rows first, then between native columns. The kernels that do the same
    # (`interpolate` here, and `interpolated_levels_and_changes` of the stem) keep to this order.
    one = np.float32(1)
    between_rows_VHX = native_VYX[:, rows.low] * (one - rows.weight)[:, None]
    between_rows_VHX += native_VYX[:, rows.high] * rows.weight[:, None]

    values_VHW: F32 = between_rows_VHX[:, :, cols.low] * (one - cols.weight)
    values_VHW += between_rows_VHX[:, :, cols.high] * cols.weight
    return values_VHW


@compiled
def interpolate(
    native_VYX: NDArray[Any], scale_V: F32, rows: AxisMap, cols: AxisMap, out_HWN: F32, first: int
) -> None:
    """Write what bilinear `gather` gives of stored values over their scale into channels.

    A missing value (NaN) is taken as 0. The native values are scaled row by row as they are used,
    so that no copy of them is made. The operations are those of `gather` in the same order: the
    results have the same bits.

    Parameters
    ----------
    native_VYX : array
        Values of V variables, in the type that they are stored in.
    scale_V : float32 array
        What the values of each variable are divided by.
    rows, cols : AxisMap
        Maps of the H rows and W columns.
    out_HWN : float32 array
        Where the channels `first` to `first + V - 1` are written.
    first : int
        The first of these channels.
    """
    n_variables, _, n_cols = native_VYX.shape
    one = np.float32(1)
    nothing = np.float32(0)
    line_X = np.empty(n_cols, np.float32)
    for i in range(len(rows.low)):
        weight = rows.weight[i]
        for v in range(n_variables):
            above_X = native_VYX[v, rows.low[i]]
            below_X = native_VYX[v, rows.high[i]]
            scale = scale_V[v]

            # first between two native rows, along the whole line: a loop that is vectorised
            for x in range(n_cols):
                above = np.float32(above_X[x]) / scale
                below = np.float32(below_X[x]) / scale
                above = nothing if np.isnan(above) else above
                below = nothing if np.isnan(below) else below
                line_X[x] = above * (one - weight) + below * weight

            for j in range(len(cols.low)):
                w = cols.weight[j]
                left = line_X[cols.low[j]] * (one - w)
                right = line_X[cols.high[j]] * w
                out_HWN[i, j, first + v] = left + right


@compiled
def nearest_levels(
    native_VYX: NDArray[Any], scale_V: F32, row_H: Index, col_W: Index, out_VHW: F32
) -> None:
    """Write what nearest `gather` gives of stored values over their scale.

    A missing value (NaN) is taken as 0.

    Parameters
    ----------
    native_VYX : array
        Values of V variables, in the type that they are stored in.
    scale_V : float32 array
        What the values of each variable are divided by.
    row_H, col_W : int64 array
        Native row of each of H rows, native column of each of W columns.
    out_VHW : float32 array
        Where the values are written.
    """
    nothing = np.float32(0)
    for v in range(len(native_VYX)):
        scale = scale_V[v]
        for i in range(len(row_H)):
            # Many fine rows lie on one coarse row: its line is copied.
            if i > 0 and row_H[i] == row_H[i - 1]:
                for j in range(len(col_W)):
                    out_VHW[v, i, j] = out_VHW[v, i - 1, j]
                continue
            for j in range(len(col_W)):
                value = np.float32(native_VYX[v, row_H[i], col_W[j]]) / scale
                out_VHW[v, i, j] = nothing if np.isnan(value) else value


@compiled
def one_hot(
    native_YX: NDArray[Any], categories: NDArray[Any], row_H: Index, col_W: Index, out_CHW: F32
) -> None:
    """Write a channel for each of C categories: 1 where the nearest native cell has it, else 0.

    Parameters
    ----------
    native_YX : array
        Codes on the native grid.
    categories : array of its type
        Code of each channel.
    row_H, col_W : int64 array
        Native row of each of H rows, native column of each of W columns.
    out_CHW : float32 array
        Where the channels are written.
    """
    line_W = np.empty(len(col_W), native_YX.dtype)
    for i in range(len(row_H)):
        for j in range(len(col_W)):
            line_W[j] = native_YX[row_H[i], col_W[j]]
        for c in range(len(categories)):
            for j in range(len(col_W)):
                out_CHW[c, i, j] = np.float32(line_W[j] == categories[c])
