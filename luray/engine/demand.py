"""Impose the coarse scenario's change on the fine map.

Each block of cells changes by what its coarse cell demands. A demand is a change of the share of
each group of classes since the prior year, never a level: forcing and fine map disagree about
levels.

How it is solved
----------------
Plain iterative proportional fitting finds multipliers m_g with which the *expected* counts of
p_g * m_g are the demanded ones; what must agree is the *map*, argmax_g p_g * m_g. Fitted to
sharpened probabilities p^(1/T), it tends for T -> 0 to the assignment of cells to groups with the
largest total log-probability among those with the demanded counts, and T * log m to that linear
programme's dual prices (Peyre & Cuturi 2019, doi:10.1561/2200000073, ch. 4). That limit is solved
here directly and exactly: `demand_counts` says how many cells each group shall have, and
`reassignment` moves cells by successive shortest paths until it has them.

Shapes: K classes, G groups; H W cells of a tile, Y X its blocks of b x b cells.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from pydantic import Field

from luray.core.arithmetic import ceil_div
from luray.core.config import Config
from luray.core.legend import OUTSIDE
from luray.core.percent import percent
from luray.core.types import F32, I8, I32, U8, Bool
from luray.engine.blending import decide
from luray.engine.demand_counts import NO_GROUP, demanded_counts, group_counts, target_counts
from luray.engine.reassignment import reassign


class DemandConfig(Config):
    """Strength with which the coarse change is imposed on the map: 0 not at all, 1 to the cell."""

    strength: float = Field(0.0, ge=0, le=1)


@dataclass(frozen=True)
class Shortfall:
    """The part of a demand that the map misses, in cells; `+` merges two sets of blocks.

    Examples
    --------
    >>> Shortfall(1, cut=3) + Shortfall(2, missed=5)
    Shortfall(blocks=3, cut=3, missed=5)
    """

    blocks: int = 0
    """Blocks that miss any cell."""
    cut: int = 0
    """Cells of the demand that the targets give up: a group has fewer than it should lose, or it
    should gain what no other loses.
    """
    missed: int = 0
    """Cells by which the map still differs from its targets, because the probabilities that would
    bring them are 0.
    """

    def __add__(self, other: "Shortfall") -> "Shortfall":
        return Shortfall(
            self.blocks + other.blocks, self.cut + other.cut, self.missed + other.missed
        )


def constrain(
    sums_KHW: I32,
    prior_HW: U8,
    land_HW: Bool,
    change_GYX: F32,
    *,
    block: int,
    groups: Sequence[Sequence[int]],
    strength: float,
    scores_KHW: F32 | None = None,
) -> tuple[U8, U8, Shortfall]:
    """Decide the map of a tile whose blocks change by what is demanded.

    Parameters
    ----------
    sums_KHW : array, int32
        As in `blending.decide`.
    prior_HW : array, uint8
        Class indices of the prior year.
    land_HW : array, bool
        Land mask. The tile begins on a block's corner; blocks at its far edges may be cut.
    change_GYX : array, float32
        Change of each group's share of a block's land cells since the prior year, NaN where
        nothing is demanded.
    block : int
        Cells along a side of a block.
    groups : sequence of sequences of int
        Disjoint groups of class indices.
    strength : float
        0 leaves the map of `blending.decide`, 1 imposes the demand to the cell.
    scores_KHW : array, float32, optional
        Such as those of `ensemble.perturbed`. They take the place of the sums in all of this but
        the confidence: the unconstrained map is their argmax, probabilities their shares.

    Returns
    -------
    classes, confidence : arrays, uint8, shape (H, W)
        Class indices, and the share of the chosen class in percent.
    shortfall : Shortfall
        What of the demand is not met.

    Raises
    ------
    ValueError
        For groups that overlap or lie outside the classes, a strength outside 0..1, and shapes that
        do not fit the tile.

    Notes
    -----
    The counts of a block are those of `target_counts`, and its map is argmax_k p_k * m_g(k) for
    some multipliers m: no map with these counts has a total log-probability larger by more than
    2^-40 a cell. Of cells equally good to move the first in the block goes, row by row, so that a
    block's map depends on nothing outside it. Inside a group a cell takes its most probable class.

    Cells whose unconstrained class is in no group stay as they are, and no cell joins them; a cell
    never moves to a group of probability 0, and where that forbids the targets as few cells as
    possible are missed. The count of each group lies between that of the unconstrained map and its
    target: no group that should grow shrinks.
    """
    group_of = _group_of(groups, len(sums_KHW))
    n_rows, n_cols = (ceil_div(n, block) for n in land_HW.shape)
    expected = (len(groups), n_rows, n_cols)
    if change_GYX.shape != expected or not sums_KHW.shape[1:] == prior_HW.shape == land_HW.shape:
        raise ValueError(
            f"change of shape {change_GYX.shape}, sums of {sums_KHW.shape} and prior of "
            f"{prior_HW.shape}, expected change of {expected} for land of {land_HW.shape} in "
            f"blocks of {block}; cut all to the tile, which begins on a block's corner"
        )
    if not 0 <= strength <= 1:
        raise ValueError(
            f"demand strength {strength}, expected 0 (not imposed) to 1 (to the cell); set it "
            "within"
        )

    # The map that nothing constrains: most cells keep its class.
    if scores_KHW is None:
        free, confidence = decide(sums_KHW, land_HW)
    else:
        free, confidence = _largest_scores(scores_KHW, sums_KHW, land_HW)
    if strength == 0:
        return free, confidence, Shortfall()

    # How many cells are too many in each group of each block.
    counts = group_counts(free, prior_HW, land_HW, group_of, block=block, n_groups=len(groups))
    demanded_GYX, cut_YX = demanded_counts(
        counts.prior_GYX, counts.settled_GYX, counts.land_YX, change_GYX
    )
    surplus_GYX = counts.free_GYX - target_counts(counts.free_GYX, demanded_GYX, strength=strength)

    # Which cells move.
    classes = free.copy()
    missed_YX = np.zeros_like(cut_YX)
    if scores_KHW is None:
        weights_KHW: I32 | F32 = np.ascontiguousarray(sums_KHW)
    else:
        weights_KHW = np.ascontiguousarray(scores_KHW)
    reassign(weights_KHW, classes, group_of, surplus_GYX, block, missed_YX)

    # Confidence is that of the sums even where scores decide: a draw says nothing of certainty.
    row, col = np.nonzero(classes != free)
    chosen = sums_KHW[classes[row, col], row, col]
    total = sums_KHW[:, row, col].sum(axis=0, dtype=np.int64)
    confidence[row, col] = percent(chosen, total)
    n_blocks = int(((cut_YX > 0) | (missed_YX > 0)).sum())
    return classes, confidence, Shortfall(n_blocks, int(cut_YX.sum()), int(missed_YX.sum()))


def _largest_scores(scores_KHW: F32, sums_KHW: I32, land_HW: Bool) -> tuple[U8, U8]:
    """Return the class with the largest score and the share of its sum in percent."""
    winner_HW = scores_KHW.argmax(axis=0)  # the lowest index where equal
    chosen_HW = np.take_along_axis(sums_KHW, winner_HW[None], axis=0)[0]
    confidence_HW = percent(chosen_HW, sums_KHW.sum(axis=0, dtype=np.int64))
    classes = np.where(land_HW, winner_HW.astype(np.uint8), np.uint8(OUTSIDE))
    return classes, np.where(land_HW, confidence_HW, np.uint8(0))


def _group_of(groups: Sequence[Sequence[int]], n_classes: int) -> I8:
    """Return the group of each class index, shape (256,); `NO_GROUP` for classes of no group."""
    members = list(chain.from_iterable(groups))
    repeats = len(set(members)) < len(members)
    is_class = all(0 <= k < n_classes for k in members)
    if not members or repeats or not is_class:
        raise ValueError(
            f"groups {groups} of class indices, expected each of 0..{n_classes - 1} at most once; "
            "correct the crosswalk"
        )
    group_of = np.full(OUTSIDE + 1, NO_GROUP, np.int8)
    for g, group in enumerate(groups):
        group_of[list(group)] = g
    return group_of
