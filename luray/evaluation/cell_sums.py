"""Sums over the cells of a tile, compiled: one pass over the maps each.

Areas are whole m2 in float64, whose sums are exact in any order. What the sums mean, and what is
checked before, is in `statistics` and `texture`, which call these.

Shapes: H W cells; K classes; Z zones; X blocks side by side.
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

    Cells that are outside in any map, in no zone, or of a class beyond the legend are left out.
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
    n_across = -(-width // block)
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

    Its loss of each class that both changed is hit or wrong gain; the rest is missed or falsely
    predicted.
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
        in_both = min(observed_loss, predicted_loss)
        parts[0] += hits
        parts[1] += in_both - hits
        parts[2] += observed_loss - in_both
        parts[3] += predicted_loss - in_both

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
    n_classes: int,
) -> tuple[F64, F64]:
    """Sums of each block, (Y, X, 5), and of each of its classes, (Y, X, K, 8).

    Columns are those of `block_sums`: land, hits, wrong gain, misses, false alarms; and of a class
    unchanged, lost, gained, predicted, right, predicted and right on changed cells, gain predicted.
    """
    n_down = block_row_H[-1] + 1
    n_across = block_col_W[-1] + 1
    sums_YX5 = np.zeros((n_down, n_across, 5))
    classes_YXK8 = np.zeros((n_down, n_across, n_classes, 8))
    # Nearly all cells neither change nor are predicted to. They cost one sum each here, and are
    # added to all columns that they belong to at the end.
    still_YXK = np.zeros((n_down, n_across, n_classes))
    for row in range(initial.shape[0]):
        area = area_H[row]
        y = block_row_H[row]
        for col in range(initial.shape[1]):
            if not scored[row, col]:
                continue
            x = block_col_W[col]
            i = initial[row, col]
            t = truth[row, col]
            p = predicted[row, col]
            if t == i and p == i:  # neither changes
                still_YXK[y, x, i] += area
                continue

            sums_5 = sums_YX5[y, x]
            sums_5[0] += area
            classes_K8 = classes_YXK8[y, x]
            classes_K8[p, 3] += area
            if t == i:
                classes_K8[t, 0] += area
            else:
                classes_K8[i, 1] += area
                classes_K8[t, 2] += area
                classes_K8[p, 5] += area
            if p != i:
                classes_K8[p, 7] += area

            if t == p:
                classes_K8[t, 4] += area
                classes_K8[t, 6] += area
                sums_5[1] += area  # hit
            elif t != i and p != i:
                sums_5[2] += area  # wrong gain: both change, to different classes
            elif t != i:
                sums_5[3] += area  # miss
            else:
                sums_5[4] += area  # false alarm

    for y in range(n_down):
        for x in range(n_across):
            for k in range(n_classes):
                sums_YX5[y, x, 0] += still_YXK[y, x, k]
                for column in (0, 3, 4):
                    classes_YXK8[y, x, k, column] += still_YXK[y, x, k]
    return sums_YX5, classes_YXK8


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
