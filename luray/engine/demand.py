"""The coarse scenario's change, imposed on the fine map: each block of cells changes by what its
coarse cell demands.

A demand is a change of the share of each group of classes since the prior year, never a level:
forcing and fine map disagree about levels. Plain iterative proportional fitting finds multipliers
m_g with which the *expected* counts of p_g * m_g are the demanded ones; what must agree is the
*map*, argmax_g p_g * m_g. Fitted to sharpened probabilities p^(1/T), it tends for T -> 0 to the
assignment of cells to groups with the largest total log-probability among those with the demanded
counts, and T * log m to that linear programme's dual prices (Peyre & Cuturi 2019,
doi:10.1561/2200000073, ch. 4). That limit is solved here directly and exactly, by successive
shortest paths (Ahuja, Magnanti & Orlin 1993, Network Flows, ch. 9.7) on a graph whose nodes are the
few groups. It always ends.

Shapes: K classes, G groups; H W cells of a tile, Y X its blocks of b x b cells; N blocks to solve;
C cells of a block.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from luray.core.compiled import compiled
from luray.core.config import Config
from luray.core.legend import OUTSIDE
from luray.core.percent import percent
from luray.core.types import F32, I32, U8, Bool
from luray.engine.blending import decide

I8 = NDArray[np.int8]
I64 = NDArray[np.int64]
F64 = NDArray[np.float64]

NOWHERE = -1
"""Group of a class that no demand is made of, and of `OUTSIDE`."""

SCALE = 2.0**40
"""Fixed-point value of a log-probability of 1: sums of integers are exact, so no cycle of moves
seems to gain.
"""

NEVER = -(2**60)
"""Fixed-point log-probability of 0."""

FAR = 2**62
"""Length of a path that does not exist."""


class DemandConfig(Config):
    """How far the coarse change is imposed on the fine map: 0 not at all, 1 to the cell."""

    strength: float = Field(0.0, ge=0, le=1)


@dataclass(frozen=True)
class Shortfall:
    """What of a demand could not be met, in cells; `+` merges two sets of blocks."""

    blocks: int = 0
    """Blocks with any cell of the following."""
    cut: int = 0
    """Cells of the demand given up in the targets: more than a group has, or gains that are not
    others' losses.
    """
    missed: int = 0
    """Cells by which the map still differs from its targets, as the probabilities that would bring
    them are 0.
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
    """Class index and confidence of a tile whose blocks change by what is demanded, uint8 (H, W),
    and what is missing.

    `sums_KHW` as in `blending.decide`; `prior_HW` are the class indices of the prior year;
    `change_GYX` is the change of each group's share of a block's land cells since then, NaN where
    nothing is demanded; `groups` are disjoint groups of class indices. The tile begins on a block's
    corner; blocks at its far edges may be cut.

    The counts of a block are those of `target_counts`, and its map is argmax_k p_k * m_g(k) for
    some multipliers m: no map with these counts has a total log-probability larger by more than
    2^-40 a cell. Of cells equally good to move the first in the block goes, row by row, so that a
    block's map depends on nothing outside it. Inside a group a cell takes its most probable class.

    Cells whose unconstrained class is in no group stay as they are, and no cell joins them; a cell
    never moves to a group of probability 0, and where that forbids the targets as few cells as
    possible are missed. The count of each group lies between that of the unconstrained map and its
    target: none that should grow shrinks. With strength 0, and in blocks without demand, the map is
    that of `blending.decide`. Confidence is the share of the chosen class in percent.

    `scores_KHW`, such as those of `sampling.perturbed`, take the place of the sums in all of this
    but the confidence: the unconstrained map is their argmax, p their share.

    Raises ValueError for groups that overlap or lie outside the classes, a strength outside 0..1
    and shapes that do not fit the tile.
    """
    group_of = _group_of(groups, len(sums_KHW))
    expected = (len(groups), *(-(-n // block) for n in land_HW.shape))
    if change_GYX.shape != expected or not sums_KHW.shape[1:] == prior_HW.shape == land_HW.shape:
        raise ValueError(
            f"change of shape {change_GYX.shape}, sums of {sums_KHW.shape} and prior of "
            f"{prior_HW.shape}, "
            f"expected change of {expected} for land of {land_HW.shape} in blocks of {block}; cut "
            "all to "
            "the tile, which begins on a block's corner"
        )
    if not 0 <= strength <= 1:
        raise ValueError(
            f"demand strength {strength}, expected 0 (not imposed) to 1 (to the cell); set it "
            "within"
        )
    free, confidence = (
        decide(sums_KHW, land_HW) if scores_KHW is None else _largest(scores_KHW, sums_KHW, land_HW)
    )
    if strength == 0:
        return free, confidence, Shortfall()
    free_GYX, prior_GYX, settled_GYX = np.zeros((3, *expected), np.int64)
    land_YX = np.zeros(expected[1:], np.int64)
    _count(free, prior_HW, land_HW, group_of, block, free_GYX, prior_GYX, settled_GYX, land_YX)
    demanded_GYX, cut_YX = demanded_counts(prior_GYX, settled_GYX, land_YX, change_GYX)
    surplus_GYX = free_GYX - target_counts(free_GYX, demanded_GYX, strength=strength)
    classes, missed_YX = free.copy(), np.zeros_like(cut_YX)
    weights = (
        np.ascontiguousarray(sums_KHW) if scores_KHW is None else np.ascontiguousarray(scores_KHW)
    )
    _balance(weights, classes, group_of, surplus_GYX, block, missed_YX)
    row, col = np.nonzero(classes != free)
    chosen, total = (
        sums_KHW[classes[row, col], row, col],
        sums_KHW[:, row, col].sum(axis=0, dtype=np.int64),
    )
    confidence[row, col] = percent(chosen, total)
    blocks = int(((cut_YX > 0) | (missed_YX > 0)).sum())
    return classes, confidence, Shortfall(blocks, int(cut_YX.sum()), int(missed_YX.sum()))


def _largest(scores_KHW: F32, sums_KHW: I32, land_HW: Bool) -> tuple[U8, U8]:
    """Class with the largest score (the lowest index where equal), and the share of its sum in
    percent.
    """
    winner_HW = scores_KHW.argmax(axis=0)
    chosen_HW = np.take_along_axis(sums_KHW, winner_HW[None], axis=0)[0]
    confidence = percent(chosen_HW, sums_KHW.sum(axis=0, dtype=np.int64))
    return (
        np.where(land_HW, winner_HW.astype(np.uint8), np.uint8(OUTSIDE)),
        np.where(land_HW, confidence, np.uint8(0)),
    )


def demanded_counts(
    prior_GYX: I64, settled_GYX: I64, land_YX: I64, change_GYX: F32
) -> tuple[F64, I64]:
    """Cells that each group of each block should have, shape (G, Y, X), NaN without demand; and the
    cells cut, (Y, X).

    N_g are the cells of the prior map, n the land cells and c_g the change of a group's share of
    them, so that D_g = N_g + n c_g is asked for. Only the A cells can be had that are in some group
    in the unconstrained map. Where sum D = A nothing is added to this. Otherwise:

    - Cells exchanged with classes of no group count as they are, to the part that the sum of the demand does not
      explain. `settled_GYX` are the A cells by their group in the prior map, or where it has none
      by that in the unconstrained map, S_g: N becomes N + w (S - N), w in 0..1 such that sum D
      comes nearest to A.
    - No group loses more than it has, and then the gains, or the losses if these are too large, are scaled until sum
      D = A: what cannot be had from one group is not taken from others that no demand is made of.
    - What even that does not settle is scaled with the counts themselves.

    Cut are the cells of gains or of losses given up, the larger of the two, rounded. All of a block
    follows from it alone.
    """
    cells_GYX = change_GYX.astype(np.float64) * land_YX
    known_YX = np.isfinite(_total(cells_GYX))
    cells_GYX = np.where(known_YX, cells_GYX, 0)
    in_play_YX, flux_GYX = settled_GYX.sum(axis=0), (settled_GYX - prior_GYX).astype(np.float64)
    part_YX: F64 = np.clip(1 - _ratio(_total(cells_GYX), flux_GYX.sum(axis=0), 1), 0, 1)
    base_GYX = prior_GYX.astype(np.float64) + part_YX * flux_GYX
    gain_GYX, loss_GYX = np.maximum(cells_GYX, 0), np.maximum(-cells_GYX, 0)
    held_GYX = np.minimum(loss_GYX, base_GYX)
    excess_YX = _total(base_GYX + gain_GYX - held_GYX) - in_play_YX
    gained_GYX = gain_GYX * (1 - np.clip(_ratio(excess_YX, _total(gain_GYX), 0), 0, 1))
    lost_GYX = held_GYX * (1 - np.clip(_ratio(-excess_YX, _total(held_GYX), 0), 0, 1))
    cut_YX = np.rint(np.maximum(_total(gain_GYX - gained_GYX), _total(loss_GYX - lost_GYX))).astype(
        np.int64
    )
    demanded_GYX = base_GYX + gained_GYX - lost_GYX
    demanded_GYX *= _ratio(in_play_YX, _total(demanded_GYX), 0)
    return np.where(known_YX, demanded_GYX, np.nan), cut_YX


def target_counts(free_GYX: I64, demanded_GYX: F64, *, strength: float) -> I64:
    """Cells that each group of each block shall have, shape (G, Y, X), with the sums of the
    unconstrained map's.

    T = (1 - s) F + s D, s the strength, F the cells of the unconstrained map, D those of
    `demanded_counts`; rounded by largest remainder (Hamilton's method, the lower group where
    equal). T is F where D is NaN.
    """
    mixed_GYX = np.where(
        np.isnan(demanded_GYX), free_GYX, (1 - strength) * free_GYX + strength * demanded_GYX
    )
    return _whole(mixed_GYX, free_GYX.sum(axis=0))


def _total(values_GYX: F64) -> F64:
    """Sum over groups, one after the other: `sum` would add in an order that depends on Y and X."""
    total: F64 = np.add.accumulate(values_GYX)[-1]
    return total


def _ratio(a_YX: F64 | I64, b_YX: F64 | I64, otherwise: float) -> F64:
    """Quotient of two arrays, float64, and another value where the divisor is 0."""
    ratio: F64 = np.divide(a_YX, b_YX, out=np.full(a_YX.shape, float(otherwise)), where=b_YX != 0)
    return ratio


def _whole(counts_GYX: F64, total_YX: I64) -> I64:
    """Counts rounded down, and up for those with the largest remainders until they sum to the
    total.
    """
    whole_GYX = np.floor(counts_GYX).astype(np.int64)
    rank_GYX = np.argsort(np.argsort(whole_GYX - counts_GYX, axis=0, kind="stable"), axis=0)
    whole_GYX += rank_GYX < total_YX - whole_GYX.sum(axis=0)
    return whole_GYX


def _group_of(groups: Sequence[Sequence[int]], n_classes: int) -> I8:
    """Group of each class index, shape (256,), `NOWHERE` for classes of no group."""
    group_of = np.full(OUTSIDE + 1, NOWHERE, np.int8)
    listed = [k for group in groups for k in group]
    if not listed or len(set(listed)) < len(listed) or not all(0 <= k < n_classes for k in listed):
        raise ValueError(
            f"groups {groups} of class indices, expected each of 0..{n_classes - 1} at most once; "
            "correct "
            "the crosswalk"
        )
    for g, group in enumerate(groups):
        group_of[list(group)] = g
    return group_of


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
    """Add the land cells of each block to the counts of the unconstrained map, the prior map and
    their settled map.

    The settled map has the cells that are in a group in the unconstrained map, with their group in
    the prior map where they have one.
    """
    for row in range(land_HW.shape[0]):
        for col in range(land_HW.shape[1]):
            if land_HW[row, col]:
                y, x = row // block, col // block
                now, before = group_of[free_HW[row, col]], group_of[prior_HW[row, col]]
                land_YX[y, x] += 1
                if before >= 0:
                    prior_GYX[before, y, x] += 1
                if now >= 0:
                    free_GYX[now, y, x] += 1
                    settled_GYX[before if before >= 0 else now, y, x] += 1


@compiled
def _balance(
    weights_KHW: I32 | F32,
    classes_HW: U8,
    group_of: I8,
    surplus_GYX: I64,
    block: int,
    missed_YX: I64,
) -> None:
    """Move cells of each block from groups with a surplus to those with a deficit, in `classes_HW`
    and `surplus_GYX`.

    `missed_YX` receives the cells of each block that could not be moved. A block without surplus
    costs nothing.
    """
    n_groups, n_rows, n_cols = surplus_GYX.shape
    home_C, place_C = np.empty(block**2, np.int64), np.empty((block**2, 2), np.int64)
    score_GC = np.empty((n_groups, block**2), np.int64)
    for y in range(n_rows):
        for x in range(n_cols):
            if not _surplus(surplus_GYX[:, y, x]):
                continue
            n_cells = _gather(
                weights_KHW,
                classes_HW,
                group_of,
                y * block,
                x * block,
                block,
                home_C,
                place_C,
                score_GC,
            )
            _exchange(score_GC[:, :n_cells], home_C[:n_cells], surplus_GYX[:, y, x])
            missed_YX[y, x] = _surplus(surplus_GYX[:, y, x])
            for c in range(n_cells):
                row, col = place_C[c, 0], place_C[c, 1]
                if group_of[classes_HW[row, col]] != home_C[c]:
                    classes_HW[row, col] = _best_class(
                        weights_KHW[:, row, col], group_of, home_C[c]
                    )


@compiled
def _surplus(surplus_G: I64) -> int:
    """Cells that are too many in some group, which are as many as are too few in others."""
    cells = 0
    for surplus in surplus_G:
        cells += max(surplus, 0)
    return cells


@compiled
def _gather(
    weights_KHW: I32 | F32,
    classes_HW: U8,
    group_of: I8,
    top: int,
    left: int,
    block: int,
    home_C: I64,
    place_C: I64,
    score_GC: I64,
) -> int:
    """Cells of a block that are in a group, row by row; returns their number.

    Fills their group, row and column, and each group's score: the logarithm of its largest
    probability over that of the cell's class, in fixed point. The quotient is rounded once, so that
    equal probabilities tie whatever the total.
    """
    n_cells, largest_G = 0, np.empty(len(score_GC))
    for row in range(top, min(top + block, classes_HW.shape[0])):
        for col in range(left, min(left + block, classes_HW.shape[1])):
            own = classes_HW[row, col]
            if group_of[own] < 0:
                continue
            home_C[n_cells], place_C[n_cells, 0], place_C[n_cells, 1] = group_of[own], row, col
            largest_G[:] = 0
            for k in range(len(weights_KHW)):
                g = group_of[k]
                if g >= 0:
                    largest_G[g] = max(largest_G[g], weights_KHW[k, row, col])
            for g in range(len(score_GC)):
                share = largest_G[g] / weights_KHW[own, row, col]
                score_GC[g, n_cells] = np.rint(log(share) * SCALE) if share else NEVER
            n_cells += 1
    return n_cells


@compiled
def _best_class(weights_K: I32 | F32, group_of: I8, group: int) -> int:
    """The class of a group with the largest weight, the lowest index where equal."""
    best = -1
    for k in range(len(weights_K)):
        if group_of[k] == group and (best < 0 or weights_K[k] > weights_K[best]):
            best = k
    return best


@compiled
def _exchange(score_GC: I64, home_C: I64, surplus_G: I64) -> None:
    """Move a cell along each arc of the cheapest path from a surplus to a deficit, until there is
    no such path.

    The arc from g to h is the cell of g that loses least by moving to h. Each step keeps the map
    optimal for its counts, and changes only the counts of the path's ends. `home_C` and `surplus_G`
    are brought up to date in place.
    """
    n_groups = len(surplus_G)
    loss_GG, cell_GG = (
        np.empty((n_groups, n_groups), np.int64),
        np.empty((n_groups, n_groups), np.int64),
    )
    length_G, via_G = np.empty(n_groups, np.int64), np.empty(n_groups, np.int64)
    for g in range(n_groups):
        for h in range(n_groups):
            _find_arc(score_GC, home_C, g, h, loss_GG, cell_GG)
    while True:
        h = _cheapest(loss_GG, surplus_G, length_G, via_G)
        if h < 0:
            return
        surplus_G[h] += 1
        while via_G[h] >= 0:
            g = via_G[h]
            _move(score_GC, home_C, cell_GG[g, h], h, loss_GG, cell_GG)
            h = g
        surplus_G[h] -= 1


@compiled
def _find_arc(score_GC: I64, home_C: I64, g: int, h: int, loss_GG: I64, cell_GG: I64) -> None:
    """Find the cell of g that loses least in h, the first where equal."""
    least, cell = FAR, -1
    for c in range(len(home_C)):
        if home_C[c] == g and g != h and score_GC[h, c] != NEVER:
            loss = score_GC[g, c] - score_GC[h, c]
            if loss < least:
                least, cell = loss, c
    loss_GG[g, h], cell_GG[g, h] = least, cell


@compiled
def _cheapest(loss_GG: I64, surplus_G: I64, length_G: I64, via_G: I64) -> int:
    """Nearest group with a deficit, or -1 if none can be reached from a surplus; fills lengths and
    predecessors.

    Bellman and Ford's relaxation, as arcs may be negative; cycles are not. A path begins where the
    predecessor is -1.
    """
    n_groups = len(surplus_G)
    for g in range(n_groups):
        length_G[g], via_G[g] = 0 if surplus_G[g] > 0 else FAR, -1
    for _ in range(n_groups):
        for g in range(n_groups):
            for h in range(n_groups):
                if (
                    length_G[g] < FAR
                    and loss_GG[g, h] < FAR
                    and length_G[g] + loss_GG[g, h] < length_G[h]
                ):
                    length_G[h], via_G[h] = length_G[g] + loss_GG[g, h], g
    nearest, length = -1, FAR
    for h in range(n_groups):
        if surplus_G[h] < 0 and length_G[h] < length:
            nearest, length = h, length_G[h]
    return nearest


@compiled
def _move(score_GC: I64, home_C: I64, c: int, h: int, loss_GG: I64, cell_GG: I64) -> None:
    """Move a cell to group h and bring the arcs of its old and new group up to date."""
    g = home_C[c]
    home_C[c] = h
    for other in range(len(loss_GG)):
        if cell_GG[g, other] == c:
            _find_arc(score_GC, home_C, g, other, loss_GG, cell_GG)
        loss, least = score_GC[h, c] - score_GC[other, c], loss_GG[h, other]
        first = loss < least or (loss == least and c < cell_GG[h, other])
        if first and other != h and score_GC[other, c] != NEVER:
            loss_GG[h, other], cell_GG[h, other] = loss, c
