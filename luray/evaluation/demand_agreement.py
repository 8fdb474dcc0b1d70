"""Agreement of maps with the coarse scenario: their change in coarse cells beside the demand.

Areas are whole m2, so that sums of tiles are those of the whole map. Shapes: H W cells of a tile;
G groups of classes; Y X coarse cells, each a block of b x b cells.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from luray.core.legend import OUTSIDE
from luray.core.types import F32, F64, U8, Bool

DEMAND_SUMS = 3
"""|predicted - demanded|, |observed - demanded|, |demanded| change of coarse cells and groups."""

DEMANDED = 2
"""Column of the last of them."""


class DemandedChange(NamedTuple):
    """Change of a tile since the start of a rollout that a coarse scenario asks for."""

    groups: Sequence[Sequence[int]]
    """Class indices of each group."""
    block: int
    """Cells along a side of a coarse cell. The tile begins with a whole one."""
    change_GYX: F32
    """Change of each group's share of the land; nan where the scenario says nothing."""


def demand_sums(
    initial: U8, truth: U8, predicted: U8, *, demanded: DemandedChange, cell_area: F64
) -> F64:
    """Sum up how far predicted and observed net change are from the demanded one.

    Parameters
    ----------
    initial, truth, predicted : array of uint8, shape (H, W)
        Class indices; cells that are `OUTSIDE` in any of the three are left out.
    demanded : DemandedChange
        Of the same tile and year.
    cell_area : array, shape (H,)
        Area of a cell of each row in m2.

    Returns
    -------
    array, shape (3,)
        See `DEMAND_SUMS`, in m2.

    Examples
    --------
    A quarter of the land shall become class 1; one of four cells does, and none is predicted to:

    >>> initial = np.zeros((2, 2), np.uint8)
    >>> truth = np.array([[0, 1], [0, 0]], np.uint8)
    >>> change = np.array([-0.25, 0.25], np.float32).reshape(2, 1, 1)
    >>> demanded = DemandedChange(groups=[[0], [1]], block=2, change_GYX=change)
    >>> demand_sums(
    ...     initial, truth, initial, demanded=demanded, cell_area=np.array([10.0, 10.0])
    ... ).tolist()
    [20.0, 0.0, 20.0]
    """
    n_groups, n_down, n_across = demanded.change_GYX.shape
    block = demanded.block
    known = (initial != OUTSIDE) & (truth != OUTSIDE) & (predicted != OUTSIDE)
    area_H = np.rint(cell_area)

    # Classes of no group have a group of their own behind the others, which is cut off at the end.
    group_of_class = np.full(256, n_groups)
    for group, classes in enumerate(demanded.groups):
        group_of_class[list(classes)] = group

    def net_change(after: U8) -> F64:
        """Area that each group gains, less what it loses, shape (G, Y, X)."""
        row, col = np.nonzero(known & (after != initial))
        n_blocks = n_down * n_across
        block_of_cell = (row // block) * n_across + col // block
        n_bins = (n_groups + 1) * n_blocks

        # A cell that changes is gained by its new group and lost by its old one.
        sums = np.zeros(n_bins)
        for classes, sign in ((after, 1), (initial, -1)):
            group = group_of_class[classes[row, col]]
            bin_of_cell = group * n_blocks + block_of_cell
            sums += sign * np.bincount(bin_of_cell, weights=area_H[row], minlength=n_bins)
        return sums.reshape(n_groups + 1, n_down, n_across)[:n_groups]

    land_YX = _area_of_blocks(known, area_H, block)
    demanded_GYX = np.rint(demanded.change_GYX.astype(np.float64) * land_YX)

    # Coarse cells of which the scenario says nothing are left out of all three sums.
    is_demanded = ~np.isnan(demanded_GYX)
    demanded_N = demanded_GYX[is_demanded]
    predicted_N = net_change(predicted)[is_demanded]
    observed_N = net_change(truth)[is_demanded]
    return np.array(
        [
            np.abs(predicted_N - demanded_N).sum(),
            np.abs(observed_N - demanded_N).sum(),
            np.abs(demanded_N).sum(),
        ]
    )


def _area_of_blocks(cells: Bool, area_H: F64, block: int) -> F64:
    """Area of the true cells of each block, shape (Y, X)."""
    height, width = cells.shape
    in_row = np.add.reduceat(cells, np.arange(0, width, block), axis=1, dtype=np.int64)
    area: F64 = np.add.reduceat(in_row * area_H[:, None], np.arange(0, height, block), axis=0)
    return area
