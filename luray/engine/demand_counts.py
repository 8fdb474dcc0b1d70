"""Numbers of cells that a block shall have of each group, as the coarse scenario demands.

Everything here is arithmetic on counts; which cells change is decided in `reassignment`. All of a
block follows from the block alone, so that no count depends on tiles.

Shapes: G groups of classes; H W cells of a tile, Y X its blocks of b x b cells.
"""

from typing import NamedTuple

import numpy as np

from luray.core.arithmetic import ceil_div
from luray.core.compiled import compiled
from luray.core.types import F32, F64, I8, I64, U8, Bool

NO_GROUP = -1
"""Group of a class that no demand is made of, and of `OUTSIDE`."""


class GroupCounts(NamedTuple):
    """Cells of each group in each block of a tile."""

    free_GYX: I64
    """In the unconstrained map."""
    prior_GYX: I64
    """In the prior map."""
    settled_GYX: I64
    """In the settled map: the cells that are in a group in the unconstrained map, with their group
    in the prior map where they have one. So a cell that changes group is counted where it was.
    """
    land_YX: I64
    """Land cells."""


def group_counts(
    free_HW: U8, prior_HW: U8, land_HW: Bool, group_of: I8, *, block: int, n_groups: int
) -> GroupCounts:
    """Count the cells of each group in each block.

    Parameters
    ----------
    free_HW, prior_HW : arrays, uint8
        Class indices of the unconstrained map and of the prior map.
    land_HW : array, bool
        Cells that count.
    group_of : array, int8, shape (256,)
        Group of each class index, `NO_GROUP` for classes of no group.
    block : int
        Cells along a side of a block.
    n_groups : int
        G.
    """
    n_rows, n_cols = (ceil_div(n, block) for n in land_HW.shape)
    free_GYX, prior_GYX, settled_GYX = np.zeros((3, n_groups, n_rows, n_cols), np.int64)
    counts = GroupCounts(free_GYX, prior_GYX, settled_GYX, np.zeros((n_rows, n_cols), np.int64))
    _count(free_HW, prior_HW, land_HW, group_of, block, *counts)
    return counts


@compiled
def _count(
    free_HW: U8,
    prior_HW: U8,
    land_HW: Bool,
    group_of: I8,
    block: int,
    free_GYX: I64,
    prior_GYX: I64,
    settled_GYX: I64,
    land_YX: I64,
) -> None:
    for row in range(land_HW.shape[0]):
        for col in range(land_HW.shape[1]):
            if land_HW[row, col]:
                y = row // block
                x = col // block
                free_group = group_of[free_HW[row, col]]
                prior_group = group_of[prior_HW[row, col]]
                land_YX[y, x] += 1
                if prior_group >= 0:
                    prior_GYX[prior_group, y, x] += 1
                if free_group >= 0:
                    free_GYX[free_group, y, x] += 1
                    settled_group = prior_group if prior_group >= 0 else free_group
                    settled_GYX[settled_group, y, x] += 1


def demanded_counts(
    prior_GYX: I64, settled_GYX: I64, land_YX: I64, change_GYX: F32
) -> tuple[F64, I64]:
    """Return the cells that each group of each block should have.

    Parameters
    ----------
    prior_GYX, settled_GYX, land_YX : arrays, int64
        See `GroupCounts`: N, S and n below.
    change_GYX : array, float32
        Demanded change of each group's share of the land cells, c below; NaN without demand.

    Returns
    -------
    demanded_GYX : array, float64
        NaN in blocks without demand.
    cut_YX : array, int64
        Cells of gains or of losses given up, the larger of the two, rounded.

    Notes
    -----
    D_g = N_g + n c_g is asked for. Only the A cells can be had that are in some group in the
    unconstrained map. Where sum D = A nothing is added to this. Otherwise:

    - Cells exchanged with classes of no group count as they are, to the part that the sum of the
      demand does not explain: N becomes N + w (S - N), w in 0..1 such that sum D comes nearest
      to A. (Six flooded cells are not to be taken from cropland a second time.)
    - No group loses more than it has. Then the gains, or the losses if these are too large, are
      scaled until sum D = A: what cannot be had from one group is not taken from others that no
      demand is made of.
    - What is still too much or too little is scaled with the counts themselves.
    """
    asked_GYX = change_GYX.astype(np.float64) * land_YX
    is_known_YX = np.isfinite(_total(asked_GYX))
    asked_GYX = np.where(is_known_YX, asked_GYX, 0)

    # The part of the exchange with classes of no group that the demand does not explain.
    available_YX = settled_GYX.sum(axis=0)
    exchanged_GYX = (settled_GYX - prior_GYX).astype(np.float64)
    explained_YX = _ratio(_total(asked_GYX), exchanged_GYX.sum(axis=0), 1)
    weight_YX: F64 = np.clip(1 - explained_YX, 0, 1)
    base_GYX = prior_GYX.astype(np.float64) + weight_YX * exchanged_GYX

    # No group loses more than it has.
    gain_GYX = np.maximum(asked_GYX, 0)
    loss_GYX = np.maximum(-asked_GYX, 0)
    possible_loss_GYX = np.minimum(loss_GYX, base_GYX)

    # Scale the gains, or the losses, whichever are too large for the cells that there are.
    excess_YX = _total(base_GYX + gain_GYX - possible_loss_GYX) - available_YX
    cut_of_gains_YX = np.clip(_ratio(excess_YX, _total(gain_GYX), 0), 0, 1)
    cut_of_losses_YX = np.clip(_ratio(-excess_YX, _total(possible_loss_GYX), 0), 0, 1)
    gained_GYX = gain_GYX * (1 - cut_of_gains_YX)
    lost_GYX = possible_loss_GYX * (1 - cut_of_losses_YX)
    gains_given_up_YX = _total(gain_GYX - gained_GYX)
    losses_given_up_YX = _total(loss_GYX - lost_GYX)
    cut_YX = np.rint(np.maximum(gains_given_up_YX, losses_given_up_YX)).astype(np.int64)

    demanded_GYX = base_GYX + gained_GYX - lost_GYX
    demanded_GYX *= _ratio(available_YX, _total(demanded_GYX), 0)
    return np.where(is_known_YX, demanded_GYX, np.nan), cut_YX


def target_counts(free_GYX: I64, demanded_GYX: F64, *, strength: float) -> I64:
    """Return the cells that each group of each block shall have, as whole numbers.

    T = (1 - s) F + s D, s the strength, F the cells of the unconstrained map, D those of
    `demanded_counts`; T is F where D is NaN. Rounded by largest remainder (Hamilton's method, the
    lower group where equal), so that each block keeps its number of cells.

    Examples
    --------
    >>> free = np.array([10, 0, 0])[:, None, None]
    >>> demanded = np.array([2.0, 8.0, 0.0])[:, None, None]
    >>> target_counts(free, demanded, strength=0.25).ravel()
    array([8, 2, 0])
    """
    mixed_GYX = (1 - strength) * free_GYX + strength * demanded_GYX
    mixed_GYX = np.where(np.isnan(demanded_GYX), free_GYX, mixed_GYX)
    return _rounded(mixed_GYX, free_GYX.sum(axis=0))


def _total(values_GYX: F64) -> F64:
    """Sum over groups, one after the other: `sum` would add in an order that depends on Y and X."""
    total: F64 = np.add.accumulate(values_GYX)[-1]
    return total


def _ratio(a_YX: F64 | I64, b_YX: F64 | I64, otherwise: float) -> F64:
    """Return the quotient of two arrays, and another value where the divisor is 0."""
    unless_divided = np.full(a_YX.shape, float(otherwise))
    ratio: F64 = np.divide(a_YX, b_YX, out=unless_divided, where=b_YX != 0)
    return ratio


def _rounded(counts_GYX: F64, total_YX: I64) -> I64:
    """Round down, and up for the groups with the largest remainders until they sum to the total."""
    whole_GYX = np.floor(counts_GYX).astype(np.int64)
    # The argsort of an argsort is the rank; a stable sort ranks the lower group first where equal.
    order_GYX = np.argsort(whole_GYX - counts_GYX, axis=0, kind="stable")
    rank_GYX = np.argsort(order_GYX, axis=0)
    whole_GYX += rank_GYX < total_YX - whole_GYX.sum(axis=0)
    return whole_GYX
