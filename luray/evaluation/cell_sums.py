"""Sums over the cells of a tile, compiled: one pass over the maps each.

Areas are whole m2 in float64, whose sums are exact in any order. What the sums mean, and what is
checked before, is in `statistics`, `texture` and `significance`, which call these.

`initial`, `truth` and `predicted` are class indices, (H, W): the map at the start of a rollout, and
the observed and the predicted map of a later year. In the loops their class in a cell is i, t, p.
`scored` says which cells count, and `area_H` is the area of a cell of each row in m2.

Shapes: H W cells; K classes; Z zones; Y X blocks.
"""

import numpy as np

from luray.core.compiled import compiled
from luray.core.types import F64, I64, U8, Bool


@compiled
def tables(
    initial: U8,
    truth: U8,
    predicted: U8,
    zone_HW: U8,
    area_H: F64,
    n_zones: int,
    n_classes: int,
    outside: int,
) -> tuple[F64, I64]:
    """Area by zone, initial, true and predicted class, (Z, K, K, K), and the highest index of each.

    Cells that are outside in any map, in no zone, or of a class beyond the legend are left out. The
    highest index stays 0 unless it is beyond the legend: the caller makes an error of it, as
    compiled code cannot name the map.
    """
    tables_ZJTP = np.zeros((n_zones, n_classes, n_classes, n_classes))
    highest = np.zeros(3, np.int64)
    for row in range(initial.shape[0]):
        for col in range(initial.shape[1]):
            i = initial[row, col]
            t = truth[row, col]
            p = predicted[row, col]
            if i == outside or t == outside or p == outside:
                continue
            if i >= n_classes or t >= n_classes or p >= n_classes:
                highest[0] = max(highest[0], i)
                highest[1] = max(highest[1], t)
                highest[2] = max(highest[2], p)
                continue
            zone = zone_HW[row, col]
            if zone < n_zones:
                tables_ZJTP[zone, i, t, p] += area_H[row]
    return tables_ZJTP, highest


@compiled
def change_in_blocks(
    initial: U8,
    truth: U8,
    predicted: U8,
    scored: Bool,
    area_H: F64,
    block: int,
    n_classes: int,
) -> tuple[F64, F64]:
    """Parts of the change, (4,), and net change by class, (K, 2); see `statistics.block_change`."""
    height, width = initial.shape
    n_across = -(-width // block)  # rounded up
    observed_XKK = np.zeros((n_across, n_classes, n_classes))
    predicted_XKK = np.zeros((n_across, n_classes, n_classes))
    has_change_X = np.zeros(n_across, np.bool_)
    parts = np.zeros(4)
    net_change = np.zeros((n_classes, 2))

    # One row of blocks at a time: the areas of all blocks of a tile would be far more than its map.
    for top in range(0, height, block):
        for row in range(top, min(top + block, height)):
            for col in range(width):
                i = initial[row, col]
                t = truth[row, col]
                p = predicted[row, col]
                if (t != i or p != i) and scored[row, col]:
                    x = col // block
                    has_change_X[x] = True
                    if t != i:
                        observed_XKK[x, i, t] += area_H[row]
                    if p != i:
                        predicted_XKK[x, i, p] += area_H[row]

        # Few blocks change, so only these are added up and cleared for the next row of blocks.
        for x in range(n_across):
            if has_change_X[x]:
                add_block(observed_XKK[x], predicted_XKK[x], parts, net_change)
                observed_XKK[x] = 0
                predicted_XKK[x] = 0
                has_change_X[x] = False
    return parts, net_change


@compiled
def add_block(observed_KK: F64, predicted_KK: F64, parts: F64, net_change: F64) -> None:
    """Add one block to the parts and the net change; rows are initial classes, columns later ones.

    Of the area that a class loses, what both maps lose is hit or wrong gain. What only the observed
    map loses is missed, and what only the predicted one loses is a false alarm.
    """
    n_classes = len(observed_KK)
    for j in range(n_classes):
        observed_loss = 0.0
        predicted_loss = 0.0
        observed_gain = 0.0
        predicted_gain = 0.0
        hits = 0.0
        for k in range(n_classes):
            observed_loss += observed_KK[j, k]
            predicted_loss += predicted_KK[j, k]
            observed_gain += observed_KK[k, j]
            predicted_gain += predicted_KK[k, j]
            hits += min(observed_KK[j, k], predicted_KK[j, k])

        lost_in_both = min(observed_loss, predicted_loss)
        parts[0] += hits
        parts[1] += lost_in_both - hits  # wrong gain
        parts[2] += observed_loss - lost_in_both  # misses
        parts[3] += predicted_loss - lost_in_both  # false alarms

        observed_net = observed_gain - observed_loss
        predicted_net = predicted_gain - predicted_loss
        net_change[j, 0] += abs(predicted_net - observed_net)
        net_change[j, 1] += abs(observed_net)


@compiled
def change_by_block(
    initial: U8,
    truth: U8,
    predicted: U8,
    scored: Bool,
    area_H: F64,
    block_row_H: I64,
    block_col_W: I64,
) -> F64:
    """Land, hits, wrong gain, misses and false alarms of each block, (Y, X, 5)."""
    sums_YX5 = np.zeros((block_row_H[-1] + 1, block_col_W[-1] + 1, 5))
    for row in range(initial.shape[0]):
        area = area_H[row]
        sums_X5 = sums_YX5[block_row_H[row]]
        for col in range(initial.shape[1]):
            if not scored[row, col]:
                continue
            sums_5 = sums_X5[block_col_W[col]]
            sums_5[0] += area

            i = initial[row, col]
            t = truth[row, col]
            p = predicted[row, col]
            if t == i and p == i:
                continue  # neither changes
            if t == p:
                sums_5[1] += area  # hit
            elif t != i and p != i:
                sums_5[2] += area  # wrong gain: both change, to different classes
            elif t != i:
                sums_5[3] += area  # miss
            else:
                sums_5[4] += area  # false alarm
    return sums_YX5


@compiled
def by_confidence(
    confidence: U8, truth: U8, predicted: U8, scored: Bool, area_H: F64, n_percents: int
) -> tuple[F64, int]:
    """Area, and area predicted right, by confidence in percent, (101, 2), and the highest of it."""
    sums = np.zeros((n_percents, 2))
    highest = 0
    for row in range(truth.shape[0]):
        for col in range(truth.shape[1]):
            if scored[row, col]:
                percent = confidence[row, col]
                if percent >= n_percents:
                    highest = max(highest, percent)
                else:
                    sums[percent, 0] += area_H[row]
                    if truth[row, col] == predicted[row, col]:
                        sums[percent, 1] += area_H[row]
    return sums, highest


@compiled
def changed_area(before: U8, after: U8, scored: Bool, area_H: F64) -> float:
    """Area of the scored cells whose class differs between two maps."""
    total = 0.0
    for row in range(after.shape[0]):
        # All cells of a row have the same area: count them, and multiply once.
        n_changed = 0
        for col in range(after.shape[1]):
            n_changed += scored[row, col] and before[row, col] != after[row, col]
        total += n_changed * area_H[row]
    return total


@compiled
def pair_areas(initial: U8, truth: U8, predicted: U8, scored: Bool, area_H: F64) -> F64:
    """Area of the pairs of neighbouring cells and of unlike ones, (4,); see `unlike_pairs`."""
    sums = np.zeros(4)
    for row in range(len(area_H)):
        counts = np.zeros(4, np.int64)
        for col in range(initial.shape[1] - 1):
            if not scored[row, col]:
                continue
            # The neighbours to the east and to the south: each pair belongs to one cell.
            for down in range(2):
                y = row + down
                x = col + 1 - down
                if scored[y, x]:
                    counts[0] += 1
                    counts[1] += initial[row, col] != initial[y, x]
                    counts[2] += truth[row, col] != truth[y, x]
                    counts[3] += predicted[row, col] != predicted[y, x]
        sums += counts * area_H[row]
    return sums
