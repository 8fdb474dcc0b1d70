"""Move the cells of a block to other groups until each group has its number of cells.

Of all maps with the demanded counts the one with the largest total log-probability is wanted: an
assignment problem. It is solved by successive shortest paths (Ahuja, Magnanti & Orlin 1993, Network
Flows, ch. 9.7) on a graph whose nodes are the few groups, not the many cells:

- The arc from group g to group h is the one cell of g that loses least by moving to h; its length
  is that loss of log-probability.
- A path leads from a group with a surplus, perhaps through groups that are in balance, to a group
  with a deficit. Moving one cell along each of its arcs takes one cell from the surplus and adds
  one to the deficit; the groups between keep their counts.
- Always the shortest path is taken. Then the map after each step is the best one for the counts
  that it has, so that no cycle of moves can gain anything: arcs may be negative, cycles are not,
  and Bellman and Ford's algorithm finds the shortest paths. It always ends, because each step
  lowers the surplus by a cell.

Lengths are integers (`SCALE`), because sums of floats could make a cycle seem to gain.

Shapes: K classes, G groups; H W cells of a tile, Y X its blocks; C cells of a block.
"""

from math import log

import numpy as np

from luray.core.compiled import compiled
from luray.core.types import F32, I8, I32, I64, U8

SCALE = 2.0**40
"""Fixed-point value of a log-probability of 1: sums of integers are exact."""

NEVER = -(2**60)
"""Fixed-point log-probability of 0."""

FAR = 2**62
"""Length of a path that does not exist."""


@compiled
def reassign(
    weights_KHW: I32 | F32,
    classes_HW: U8,
    group_of: I8,
    surplus_GYX: I64,
    block: int,
    missed_YX: I64,
) -> None:
    """Move cells of each block from groups with a surplus to groups with a deficit.

    Parameters
    ----------
    weights_KHW : array, int32 or float32
        Probability of each class up to a factor of the cell.
    classes_HW : array, uint8
        The map, changed in place.
    group_of : array, int8, shape (256,)
        Group of each class index, negative for classes of no group.
    surplus_GYX : array, int64
        Cells that are too many in each group, negative for too few; changed in place.
    block : int
        Cells along a side of a block.
    missed_YX : array, int64
        Receives the cells of each block that could not be moved.
    """
    n_groups, n_rows, n_cols = surplus_GYX.shape
    group_C = np.empty(block**2, np.int64)
    place_C2 = np.empty((block**2, 2), np.int64)
    score_GC = np.empty((n_groups, block**2), np.int64)
    for y in range(n_rows):
        for x in range(n_cols):
            if not _cells_too_many(surplus_GYX[:, y, x]):
                continue  # most blocks: they cost nothing
            n_cells = _gather_cells(
                weights_KHW,
                classes_HW,
                group_of,
                y * block,
                x * block,
                block,
                group_C,
                place_C2,
                score_GC,
            )
            _move_along_shortest_paths(
                score_GC[:, :n_cells], group_C[:n_cells], surplus_GYX[:, y, x]
            )
            missed_YX[y, x] = _cells_too_many(surplus_GYX[:, y, x])

            # A cell that has come home again keeps its class.
            for c in range(n_cells):
                row = place_C2[c, 0]
                col = place_C2[c, 1]
                if group_of[classes_HW[row, col]] != group_C[c]:
                    classes_HW[row, col] = _best_class(
                        weights_KHW[:, row, col], group_of, group_C[c]
                    )


@compiled
def _cells_too_many(surplus_G: I64) -> int:
    """Return the cells that are too many in some group: as many are too few in others."""
    cells = 0
    for surplus in surplus_G:
        cells += max(surplus, 0)
    return cells


@compiled
def _gather_cells(
    weights_KHW: I32 | F32,
    classes_HW: U8,
    group_of: I8,
    top: int,
    left: int,
    block: int,
    group_C: I64,
    place_C2: I64,
    score_GC: I64,
) -> int:
    """List the cells of a block that are in a group, row by row; return their number.

    Fills their group, row and column, and each group's score: the logarithm of its largest
    probability over that of the cell's class, in fixed point.
    """
    n_cells = 0
    largest_G = np.empty(len(score_GC))
    for row in range(top, min(top + block, classes_HW.shape[0])):
        for col in range(left, min(left + block, classes_HW.shape[1])):
            current_class = classes_HW[row, col]
            if group_of[current_class] < 0:
                continue  # such a cell stays as it is
            group_C[n_cells] = group_of[current_class]
            place_C2[n_cells, 0] = row
            place_C2[n_cells, 1] = col

            largest_G[:] = 0
            for k in range(len(weights_KHW)):
                g = group_of[k]
                if g >= 0:
                    largest_G[g] = max(largest_G[g], weights_KHW[k, row, col])

            # The quotient is rounded once, not two logarithms: equal probabilities tie whatever the
            # total of the cell.
            for g in range(len(score_GC)):
                share = largest_G[g] / weights_KHW[current_class, row, col]
                score_GC[g, n_cells] = np.rint(log(share) * SCALE) if share else NEVER
            n_cells += 1
    return n_cells


@compiled
def _best_class(weights_K: I32 | F32, group_of: I8, group: int) -> int:
    """Return the class of a group with the largest weight, the lowest index where equal."""
    best = -1
    for k in range(len(weights_K)):
        if group_of[k] == group and (best < 0 or weights_K[k] > weights_K[best]):
            best = k
    return best


@compiled
def _move_along_shortest_paths(score_GC: I64, group_C: I64, surplus_G: I64) -> None:
    """Move cells from surplus to deficit until there is no path; all arguments change in place."""
    n_groups = len(surplus_G)
    loss_GG = np.empty((n_groups, n_groups), np.int64)  # length of the arc from g to h
    cell_GG = np.empty((n_groups, n_groups), np.int64)  # the cell that would move along it
    length_G = np.empty(n_groups, np.int64)
    via_G = np.empty(n_groups, np.int64)
    for g in range(n_groups):
        for h in range(n_groups):
            _find_arc(score_GC, group_C, g, h, loss_GG, cell_GG)

    while True:
        h = _nearest_deficit(loss_GG, surplus_G, length_G, via_G)
        if h < 0:
            return
        surplus_G[h] += 1
        # From the end of the path to its beginning. A move changes the arcs that leave its two
        # groups; the arcs of the path that are still to be used leave other groups.
        while via_G[h] >= 0:
            g = via_G[h]
            _move(score_GC, group_C, cell_GG[g, h], h, loss_GG, cell_GG)
            h = g
        surplus_G[h] -= 1


@compiled
def _find_arc(score_GC: I64, group_C: I64, g: int, h: int, loss_GG: I64, cell_GG: I64) -> None:
    """Find the cell of g that loses least by moving to h, the first where equal."""
    least_loss = FAR
    cell = -1
    for c in range(len(group_C)):
        if group_C[c] == g and g != h and score_GC[h, c] != NEVER:
            loss = score_GC[g, c] - score_GC[h, c]
            if loss < least_loss:
                least_loss = loss
                cell = c
    loss_GG[g, h] = least_loss
    cell_GG[g, h] = cell


@compiled
def _nearest_deficit(loss_GG: I64, surplus_G: I64, length_G: I64, via_G: I64) -> int:
    """Return the group with a deficit that is nearest to any surplus, -1 if none can be reached.

    Fills the length of the shortest path to each group and its last but one group, -1 where a path
    begins. Bellman and Ford: with n nodes, n rounds over all arcs find all shortest paths, as there
    is no cycle of negative length.
    """
    n_groups = len(surplus_G)
    for g in range(n_groups):
        length_G[g] = 0 if surplus_G[g] > 0 else FAR
        via_G[g] = -1
    for _ in range(n_groups):
        for g in range(n_groups):
            for h in range(n_groups):
                # FAR is tested first: a sum with it would overflow.
                if (
                    length_G[g] < FAR
                    and loss_GG[g, h] < FAR
                    and length_G[g] + loss_GG[g, h] < length_G[h]
                ):
                    length_G[h] = length_G[g] + loss_GG[g, h]
                    via_G[h] = g

    nearest = -1
    least_length = FAR
    for h in range(n_groups):
        if surplus_G[h] < 0 and length_G[h] < least_length:
            nearest = h
            least_length = length_G[h]
    return nearest


@compiled
def _move(score_GC: I64, group_C: I64, c: int, h: int, loss_GG: I64, cell_GG: I64) -> None:
    """Move a cell to group h, and update the arcs of its old and of its new group."""
    g = group_C[c]
    group_C[c] = h
    for other in range(len(loss_GG)):
        # The old group has lost its best cell for some arcs: look for the next best one.
        if cell_GG[g, other] == c:
            _find_arc(score_GC, group_C, g, other, loss_GG, cell_GG)

        # In its new group the cell may be the best one, the first in the block where equal.
        loss = score_GC[h, c] - score_GC[other, c]
        least_loss = loss_GG[h, other]
        is_best = loss < least_loss or (loss == least_loss and c < cell_GG[h, other])
        if is_best and other != h and score_GC[other, c] != NEVER:
            loss_GG[h, other] = loss
            cell_GG[h, other] = c
