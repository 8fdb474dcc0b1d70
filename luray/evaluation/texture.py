"""Pace and texture of maps: how much changes from a year to the next, and how wide patches are.

A rollout may agree with the truth cell by cell and still be another kind of map: too quiet from
year to year, or with its small patches swallowed by large ones.

How large patches are is measured by neighbours: the *mean patch width* is the number of pairs of
neighbouring cells over the number of those whose classes differ. It is the mean way in cells along
a row or a column to the next class, so it is s for a chequered map of s x s cells. The mean area of
connected patches, which is the common measure, cannot be summed up: of a patch that lies in several
tiles no tile knows the size. Pairs can, as soon as each belongs to one cell, here to its northern
or western one; a tile sees one row and one column of its neighbours for that.

Areas are whole m2, so that sums of tiles are those of the whole map. Shapes: H W cells of a tile.
"""

import numpy as np

from luray.core.types import F64, U8, Bool
from luray.evaluation.cell_sums import changed_area, pair_areas

PACE_SUMS = 3
"""Scored land, and of it what changed since the year before in the truth and in the prediction."""

PAIR_SUMS = 4
"""Pairs of scored cells, and those of unlike classes in initial, true and predicted map."""


def change_since(
    before: tuple[U8, U8], after: tuple[U8, U8], *, scored: Bool, cell_area: F64
) -> F64:
    """Sum up the area that changed from a year to the next.

    Parameters
    ----------
    before, after : tuple of uint8 arrays, shape (H, W)
        True and predicted classes of both years.
    scored : bool array, shape (H, W)
        Cells that count: scored in the later year, with a class in the earlier one.
    cell_area : array, shape (H,)
        Area of a cell of each row in m2.

    Returns
    -------
    array, shape (3,)
        See `PACE_SUMS`.

    Examples
    --------
    >>> still = np.array([[1, 1]], np.uint8)
    >>> truth = np.array([[1, 2]], np.uint8)
    >>> area = np.array([100.0])
    >>> change_since((still, still), (truth, still), scored=still == 1, cell_area=area).tolist()
    [200.0, 100.0, 0.0]
    """
    area_H = np.rint(cell_area)
    land = float(np.count_nonzero(scored, axis=1) @ area_H)

    truth_before, predicted_before = before
    truth, predicted = after
    changed_in_truth = changed_area(truth_before, truth, scored, area_H)
    changed_in_prediction = changed_area(predicted_before, predicted, scored, area_H)
    return np.array([land, changed_in_truth, changed_in_prediction])


def unlike_pairs(initial: U8, truth: U8, predicted: U8, *, scored: Bool, cell_area: F64) -> F64:
    """Sum up the pairs of neighbouring cells by area, each with that of its first cell.

    Parameters
    ----------
    initial, truth, predicted : array of uint8, shape (H + 1, W + 1)
        Class indices of the tile, of the row south of it and of the column east of it.
    scored : bool array, shape (H + 1, W + 1)
        Cells that count. Of a pair both must.
    cell_area : array, shape (H,)
        Area of a cell of each row of the tile in m2.

    Returns
    -------
    array, shape (4,)
        See `PAIR_SUMS`, in m2.

    Examples
    --------
    A row of four cells on land, and the sea around it: three pairs, of which one is unlike.

    >>> classes = np.array([[1, 1, 2, 2, 255], [255] * 5], np.uint8)
    >>> unlike_pairs(
    ...     *[classes] * 3, scored=classes != 255, cell_area=np.array([10.0])
    ... ).tolist()
    [30.0, 10.0, 10.0, 10.0]
    """
    return pair_areas(initial, truth, predicted, scored, np.rint(cell_area))
