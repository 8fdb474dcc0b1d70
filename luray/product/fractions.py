"""Area fractions of classes, and gross transitions between two maps, on a grid of coarse cells.

They are sums over the fine cells of a coarse one. Areas are whole numbers here (`row_shares`), and
a sum of whole numbers is exact in any order: what leaves one class enters another to the last bit.

Shapes: K classes; H W fine cells; Y X coarse cells, each a block of b x b fine ones.
"""

import numpy as np

from luray.core.arithmetic import ceil_div
from luray.core.compiled import compiled
from luray.core.grid import ALIGNMENT, Grid
from luray.core.types import F32, I64, U8

WHOLE = 2**40
"""Fixed-point share of a whole coarse cell."""


def coarse_grid(fine: Grid, step: float) -> Grid:
    """Return the grid of coarse cells over a fine grid.

    Parameters
    ----------
    fine : Grid
        Of the maps.
    step : float
        Size of a coarse cell in degrees.

    Returns
    -------
    Grid
        It begins at the fine grid's north-west corner. Its last row and column may reach past the
        fine grid.

    Raises
    ------
    ValueError
        If coarse cells are no whole blocks of fine cells. Where the size divides a right angle, as
        0.25, 0.5 and 1 do, they also have to be cells of the global grid of that size, which is
        that of LUH2.

    Examples
    --------
    >>> crete = Grid(north=35.75, west=23.25, step=0.01, n_lat=100, n_lon=325)
    >>> coarse_grid(crete, 0.25).shape
    (4, 13)
    """
    block = round(step / fine.step)
    if block < 1 or abs(block * fine.step - step) > ALIGNMENT * fine.step:
        raise ValueError(
            f"coarse cells of {step} degrees are {step / fine.step:.3f} cells of the run grid, "
            "expected a whole number; choose another size, or correct grid.step"
        )
    shape = (ceil_div(fine.n_lat, block), ceil_div(fine.n_lon, block))

    # A cell that is off the global grid of its size could not be compared with LUH2's.
    divides_right_angle = abs(90 / step - round(90 / step)) < 1e-6
    if divides_right_angle:
        from_north = (90 - fine.north) / step
        from_west = (fine.west + 180) / step
        shift = max(abs(x - round(x)) for x in (from_north, from_west))
        if shift * block > ALIGNMENT:
            raise ValueError(
                f"the run grid begins at {fine.north}, {fine.west}, which is no corner of the "
                f"global grid of {step} degrees; expected multiples of {step}, or another size"
            )
    return Grid(fine.north, fine.west, step, *shape)


def row_shares(fine: Grid, coarse: Grid) -> I64:
    """Return the share of its coarse cell that a fine cell of each row covers.

    Returns
    -------
    array of int64, shape (n_lat of the fine grid,)
        In units of 1 / `WHOLE`. Cells are spherical rectangles, see `Grid.cell_area`.
    """
    block = round(coarse.step / fine.step)
    # The area of the coarse cell over each fine row; the last coarse row may reach past the grid.
    area_of_coarse = np.repeat(coarse.cell_area, block)[: fine.n_lat]
    return np.rint(fine.cell_area / area_of_coarse * WHOLE).astype(np.int64)


def as_fraction(sums: I64) -> F32:
    """Return sums of `row_shares` as fractions of the coarse cell, float32."""
    return (sums / WHOLE).astype(np.float32)


@compiled
def class_sums(classes_HW: U8, share_H: I64, block: int, n_classes: int) -> I64:
    """Add up the area of each class in blocks of cells.

    Parameters
    ----------
    classes_HW : array, uint8
        Class indices; cells of any other value, such as `OUTSIDE`, are of no class.
    share_H : array, int64
        Those of `row_shares` that belong to the rows.
    block : int
        Cells along a side of a coarse cell. The map begins with a whole one.
    n_classes : int
        K.

    Returns
    -------
    array, int64, shape (K, Y, X)
        In units of 1 / `WHOLE` of the coarse cell.
    """
    height, width = classes_HW.shape  # rounded up
    n_rows = -(-height // block)
    n_cols = -(-width // block)
    sums_KYX = np.zeros((n_classes, n_rows, n_cols), np.int64)
    for row in range(height):
        y = row // block
        for col in range(width):
            k = classes_HW[row, col]
            if k < n_classes:
                sums_KYX[k, y, col // block] += share_H[row]
    return sums_KYX


@compiled
def transition_sums(before_HW: U8, after_HW: U8, share_H: I64, block: int, n_classes: int) -> I64:
    """Add up the area that goes from each class to each other one between two maps.

    Parameters
    ----------
    before_HW, after_HW : array, uint8
        Class indices of the same cells.
    share_H, block, n_classes
        As those of `class_sums`.

    Returns
    -------
    array, int64, shape (K, K, Y, X)
        From class (first axis) to class (second axis), in units of 1 / `WHOLE`. The diagonal is 0:
        what stays is no transition. A cell that is of no class in one of the maps counts nowhere.
    """
    height, width = after_HW.shape  # rounded up
    n_rows = -(-height // block)
    n_cols = -(-width // block)
    sums_KKYX = np.zeros((n_classes, n_classes, n_rows, n_cols), np.int64)
    for row in range(height):
        y = row // block
        for col in range(width):
            i = before_HW[row, col]
            j = after_HW[row, col]
            if i != j and i < n_classes and j < n_classes:
                sums_KKYX[i, j, y, col // block] += share_H[row]
    return sums_KKYX
