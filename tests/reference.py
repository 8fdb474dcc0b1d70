"""Slow twins: every fast path of luray again, one cell at a time, as its definition reads."""

import hashlib
import json
import math
from collections import Counter, defaultdict
from fractions import Fraction
from functools import cache
from itertools import groupby, pairwise, product

import numpy as np
import torch
from scipy import stats
from scipy.optimize import linear_sum_assignment

from luray.model.features import changes
from luray.model.model_input import assemble

OUTSIDE = 255


# evaluation


def judged_cells(initial, truth, predicted, area, water=None):
    """Every cell that is known in all maps, without true water.

    (row, column, area in whole m2, initial, true, predicted).
    """
    for row in range(initial.shape[0]):
        for col in range(initial.shape[1]):
            i, t, p = int(initial[row, col]), int(truth[row, col]), int(predicted[row, col])
            if OUTSIDE not in (i, t, p) and t != water:
                yield row, col, float(round(area[row])), i, t, p


def cross_tabulate(initial, truth, predicted, area, n_classes):
    table = np.zeros((n_classes, n_classes, n_classes))
    for _, _, a, i, t, p in judged_cells(initial, truth, predicted, area):
        table[i, t, p] += a
    return table


def change_parts(initial, truth, predicted, area, water=None):
    """Hits, wrong gain, misses, false alarms: Pontius et al. 2008, one cell at a time."""
    hits = wrong = misses = alarms = 0.0
    for _, _, a, i, t, p in judged_cells(initial, truth, predicted, area, water):
        if t != i and p == t:
            hits += a
        elif t != i and p != i:
            wrong += a
        elif t != i:
            misses += a
        elif p != i:
            alarms += a
    return hits, wrong, misses, alarms


def block_parts(initial, truth, predicted, area, block, water=None):
    """The same where, inside a block, change of one initial class may be moved about freely."""
    observed = defaultdict(float)
    predicted_change = defaultdict(float)
    for row, col, a, i, t, p in judged_cells(initial, truth, predicted, area, water):
        in_block = row // block, col // block
        if t != i:
            observed[in_block, i, t] += a
        if p != i:
            predicted_change[in_block, i, p] += a
    hits = sum(min(a, predicted_change[key]) for key, a in list(observed.items()))
    by_origin = defaultdict(lambda: [0.0, 0.0])
    for side, sums in enumerate((observed, predicted_change)):
        for (in_block, i, _), a in sums.items():
            by_origin[in_block, i][side] += a
    both = sum(min(pair) for pair in by_origin.values())
    misses = sum(max(o - p, 0) for o, p in by_origin.values())
    alarms = sum(max(p - o, 0) for o, p in by_origin.values())
    return hits, both - hits, misses, alarms


def net_change_error(initial, truth, predicted, area, n_classes, block, water=None):
    net = defaultdict(lambda: [0.0] * 4)
    for row, col, a, i, t, p in judged_cells(initial, truth, predicted, area, water):
        for k in range(n_classes):
            entry = net[row // block, col // block, k]
            entry[0] += a * ((t == k) - (i == k))
            entry[1] += a * ((p == k) - (i == k))
    observed = sum(abs(o) for o, *_ in net.values())
    return sum(abs(p - o) for o, p, *_ in net.values()) / observed if observed else math.nan


def demand_sums(initial, truth, predicted, change, groups, block, area):
    """|predicted - demanded|, |observed - demanded| and |demanded| change, cell by cell."""
    n_groups, n_down, n_across = change.shape
    sums = np.zeros(3)
    for y, x, g in np.ndindex(n_down, n_across, n_groups):
        land, of_truth, of_prediction = 0.0, 0.0, 0.0
        for row in range(y * block, min((y + 1) * block, len(initial))):
            for col in range(x * block, min((x + 1) * block, initial.shape[1])):
                i, t, p = int(initial[row, col]), int(truth[row, col]), int(predicted[row, col])
                if OUTSIDE in (i, t, p):
                    continue
                land += round(area[row])
                of_truth += round(area[row]) * ((t in groups[g]) - (i in groups[g]))
                of_prediction += round(area[row]) * ((p in groups[g]) - (i in groups[g]))
        demanded = float(change[g, y, x]) * land
        if not np.isnan(demanded):
            demanded = round(demanded)
            sums += [abs(of_prediction - demanded), abs(of_truth - demanded), abs(demanded)]
    return sums


def quality(initial, truth, predicted, area, n_classes, water=None, *, only_changed):
    """Accuracy, macro F1, weighted F1, mean IoU: class by class, from the cells."""
    cells = [
        (a, t, p)
        for _, _, a, i, t, p in judged_cells(initial, truth, predicted, area, water)
        if t != i or not only_changed
    ]
    total = sum(a for a, _, _ in cells)
    if not total:
        return (math.nan,) * 4
    f1s, ious, weights = [], [], []
    for k in (k for k in range(n_classes) if k != water):
        right = sum(a for a, t, p in cells if t == p == k)
        true = sum(a for a, t, _ in cells if t == k)
        told = sum(a for a, _, p in cells if p == k)
        if not true and not told:
            continue
        precision = right / told if told else 0.0
        recall = right / true if true else 0.0
        f1s.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
        ious.append(right / sum(a for a, t, p in cells if k in (t, p)))
        weights.append(true)
    accuracy = sum(a for a, t, p in cells if t == p) / total
    weighted = sum(f * w for f, w in zip(f1s, weights, strict=True)) / sum(weights)
    return accuracy, sum(f1s) / len(f1s), weighted, sum(ious) / len(ious)


def disagreement(initial, truth, predicted, area, n_classes, water=None):
    """Quantity and allocation disagreement, Pontius & Millones 2011: class by class, as shares."""
    cells = list(judged_cells(initial, truth, predicted, area, water))
    total = sum(a for _, _, a, *_ in cells)
    if not total:
        return math.nan, math.nan
    quantity = allocation = 0.0
    for k in range(n_classes):
        missed = sum(a for _, _, a, _, t, p in cells if t == k != p)
        added = sum(a for _, _, a, _, t, p in cells if p == k != t)
        quantity += abs(missed - added)
        allocation += 2 * min(missed, added)
    return quantity / 2 / total, allocation / 2 / total


def brier(initial, truth, predicted, confidence, area, water=None):
    cells = list(judged_cells(initial, truth, predicted, area, water))
    total = sum(a for _, _, a, *_ in cells)
    error = sum(a * (confidence[row, col] / 100 - (t == p)) ** 2 for row, col, a, _, t, p in cells)
    return error / total if total else math.nan


def cell_blocks(initial, truth, predicted, area, side, corner, water=None):
    """Judged cells (area, initial, true, predicted) of each block of the map."""
    blocks = defaultdict(list)
    for row, col, *cell in judged_cells(initial, truth, predicted, area, water):
        blocks[(corner[0] + row) // side, (corner[1] + col) // side].append(cell)
    return dict(sorted(blocks.items()))


def gain_and_merit(cells):
    """Accuracy minus that of persistence, and Figure of Merit, of (area, initial, true, predicted)."""
    land = sum(a for a, *_ in cells)
    right = sum(a for a, _, t, p in cells if p == t)
    unchanged = sum(a for a, i, t, _ in cells if t == i)
    hits = sum(a for a, i, t, p in cells if t != i and p == t)
    either = sum(a for a, i, t, p in cells if t != i or p != i)
    return (
        right / land - unchanged / land
    ) if land else math.nan, hits / either if either else math.nan


def class_agreement(cells, k):
    """F1 and IoU of class k over (area, true, predicted), nan where it is nowhere."""
    both = sum(a for a, t, p in cells if t == k and p == k)
    either = sum(a for a, t, p in cells if k in (t, p))
    return (2 * both / (both + either), both / either) if either else (math.nan, math.nan)


def agreement(cells, n_classes, water):
    """Accuracy, macro F1, weighted F1 and mean IoU over (area, true, predicted)."""
    land = sum(a for a, *_ in cells)
    if not land:
        return (math.nan,) * 4
    there = [k for k in range(n_classes) if k != water and any(k in (t, p) for _, t, p in cells)]
    f1 = {k: class_agreement(cells, k)[0] for k in there}
    iou = [class_agreement(cells, k)[1] for k in there]
    right = sum(a for a, t, p in cells if t == p)
    weighted = sum(a * f1[t] for a, t, _ in cells)
    return right / land, sum(f1.values()) / len(f1), weighted / land, sum(iou) / len(iou)


def scores_against_persistence(cells, n_classes, water):
    """Scores of a `Comparison`, then those of a `ClassComparison` of each class, in one list."""
    model = [(a, t, p) for a, _, t, p in cells]
    null = [(a, t, i) for a, i, t, _ in cells]
    changed = [(a, t, p) for a, i, t, p in cells if t != i]
    gain, merit = gain_and_merit(cells)
    of_model = agreement(model, n_classes, water)
    of_null = agreement(null, n_classes, water)
    scores = [gain, merit]
    scores += [m - n for m, n in zip(of_model[1:], of_null[1:], strict=True)]
    scores += agreement(changed, n_classes, water)
    for k in range(n_classes):
        if k == water:
            scores += [math.nan] * 5
            continue
        f1, iou = class_agreement(model, k)
        null_f1, null_iou = class_agreement(null, k)
        gained = sum(a for a, i, t, p in cells if i != k and t == p == k)
        either = sum(a for a, i, t, p in cells if i != k and k in (t, p))
        merit_of_class = gained / either if either else math.nan
        scores += [f1 - null_f1, iou - null_iou, *class_agreement(changed, k), merit_of_class]
    return scores


def bootstrap(blocks_of_years, n_mean, resamples, seed, n_classes, water):
    """Intervals (estimate, low, high) of all scores for each year, then for the mean.

    Each resample is a list of cells, whole blocks of them.
    """
    places = sorted(set().union(*blocks_of_years))
    words = np.random.Philox(key=seed).random_raw(resamples * len(places))
    drawn = [places[(int(word) >> 32) * len(places) >> 32] for word in words]
    samples = [places, *(drawn[n : n + len(places)] for n in range(0, len(drawn), len(places)))]

    scores = []  # by sample, by year and mean, by score
    for sample in samples:
        years = []
        for blocks in blocks_of_years:
            cells = [cell for place in sample for cell in blocks.get(place, [])]
            years.append(scores_against_persistence(cells, n_classes, water))
        means = []
        for number in range(len(years[0])):
            known = [year[number] for year in years[:n_mean] if not math.isnan(year[number])]
            means.append(sum(known) / len(known) if known else math.nan)
        scores.append([*years, means])

    n = len(places)
    tail = stats.norm.cdf(stats.t.ppf(0.025, n - 1) * math.sqrt(n / (n - 1)))
    whole, *resampled = np.array(scores)
    low, high = np.quantile(resampled, [tail, 1 - tail], axis=0)
    return np.stack([whole, low, high], axis=-1)


def unlike_pairs(initial, truth, predicted, area, water=None):
    """Area of pairs of judged neighbours, and of those unlike in each of the three maps."""
    judged = {
        (row, col): cell for row, col, *cell in judged_cells(initial, truth, predicted, area, water)
    }
    sums = np.zeros(4)
    for (row, col), (a, *first) in judged.items():
        for place in ((row, col + 1), (row + 1, col)):
            if place in judged:
                _, *second = judged[place]
                sums += [a, *(a * (x != y) for x, y in zip(first, second, strict=True))]
    return sums


def flicker(series, within=3):
    """Changes of one cell by the place of the new class in the series: whether they are undone."""
    changes = {}
    for n in range(1, len(series) - within + 1):
        before, after = series[n - 1], series[n]
        if before != after and OUTSIDE not in (before, after):
            changes[n] = before in series[n + 1 : n + within]
    return changes


def deflicker(series, within=2):
    """One cell's classes by year, without returns to the class before within so many years."""
    calm = list(series)
    for year in range(1, len(calm)):
        if calm[year - 1] in series[year + 1 : year + within]:
            calm[year] = calm[year - 1]
    return calm


def value_scores(cells, step):
    """Bias, rmse, mae, R2 and anomaly correlation of cells (area, true, predicted, climatology).

    Values are levels of a scale of this step.
    """
    total = sum(a for a, *_ in cells)
    mean_truth = sum(a * t for a, t, _, _ in cells) / total
    square_error = sum(a * (p - t) ** 2 for a, t, p, _ in cells)
    square_truth = sum(a * (t - mean_truth) ** 2 for a, t, _, _ in cells)
    product = sum(a * (p - c) * (t - c) for a, t, p, c in cells)
    of_truth = sum(a * (t - c) ** 2 for a, t, _, c in cells)
    of_prediction = sum(a * (p - c) ** 2 for a, _, p, c in cells)
    both = of_truth * of_prediction
    return {
        "area_km2": float(total) / 10_000,
        "bias": float(step * sum(a * (p - t) for a, t, p, _ in cells) / total),
        "rmse": step * math.sqrt(square_error / total),
        "mae": float(step * sum(a * abs(p - t) for a, t, p, _ in cells) / total),
        "r2": float(1 - square_error / square_truth) if square_truth else math.nan,
        "anomaly_correlation": float(product) / math.sqrt(both) if both else math.nan,
    }


def spread_scores(cells):
    """Share within one and two spreads, and the mean squared z, of (area, true, predicted, spread)."""
    total = sum(a for a, *_ in cells)
    one = sum(a for a, t, p, s in cells if abs(p - t) <= s)
    two = sum(a for a, t, p, s in cells if abs(p - t) <= 2 * s)
    square = sum(a * ((p - t) / max(s, Fraction(1, 2))) ** 2 for a, t, p, s in cells)
    return float(one / total), float(two / total), float(square / total)


def mean_level(values_and_areas):
    """Mean of (level, area), rounded to an eighth of a level; None of nothing."""
    values_and_areas = list(values_and_areas)
    total = sum(a for _, a in values_and_areas)
    if not total:
        return None
    mean = Fraction(sum(v * a for v, a in values_and_areas), total)
    return Fraction(math.floor(8 * mean + Fraction(1, 2)), 8)


def null_values(maps, classes, area, training, seasonal, start, step, row, col):
    """What each null model says of a cell: persistence, seasonal, climatology of cell and class.

    `maps` and `classes` by time step; `training` the steps of the climatology of `step`, and of
    `start`, by their step of the year as `maps` has them; levels above 249 are unknown.
    """

    def known(at, r, c):
        level = int(maps[at][r, c])
        return None if level > 249 else Fraction(level)

    def of_cell(at):
        levels = [known(s, row, col) for s in training[at]]
        return mean_level((level, 1) for level in levels if level is not None)

    def of_class(at):
        own = int(classes[at][row, col])
        of_own = []
        of_all = []
        for s in training[at]:
            for r, c in np.ndindex(maps[s].shape):
                if known(s, r, c) is not None:
                    of_all.append((known(s, r, c), area[r]))
                    if int(classes[s][r, c]) == own:
                        of_own.append((known(s, r, c), area[r]))
        in_a_class = own >= 0
        return mean_level(of_own) if of_own and in_a_class else mean_level(of_all)

    def first(*values):
        return next(value for value in values if value is not None)

    climatology = first(of_cell(step), of_class(step))
    persistence = first(known(start, row, col), of_cell(start), of_class(start))
    seasonal_value = None if seasonal is None else known(seasonal, row, col)
    return persistence, first(seasonal_value, climatology), climatology, of_class(step)


# geometry


def cells_seen(tiling, tile):
    """Every cell of a tile's padded box that lies on the grid but not in the tile itself.

    {(owner, row and column in the padded box, row and column in the owner's box)}; a globe one tile
    wide sees itself.
    """
    cells = set()
    top = tile.row * tiling.tile
    left = tile.col * tiling.tile
    bottom = min(top + tiling.tile, tiling.n_lat)
    right = min(left + tiling.tile, tiling.n_lon)
    for row in range(top - tiling.margin, bottom + tiling.margin):
        for col in range(left - tiling.margin, right + tiling.margin):
            home = col % tiling.n_lon if tiling.periodic else col
            in_tile = top <= row < bottom and left <= col < right
            if in_tile or not (0 <= row < tiling.n_lat and 0 <= home < tiling.n_lon):
                continue
            owner = row // tiling.tile, home // tiling.tile
            cells.add(
                (
                    owner,
                    row - (top - tiling.margin),
                    col - (left - tiling.margin),
                    row % tiling.tile,
                    home % tiling.tile,
                )
            )
    return cells


def cores_with_land(tiling, land):
    """Lattice positions of the cores of the whole grid that hold a land cell."""
    return {(row // tiling.stride, col // tiling.stride) for row, col in np.argwhere(land).tolist()}


# resampling


@cache
def axis_weights(position, n, method, periodic):
    """Weight of each of n native cells at an exact position, from 0 at the first edge to n."""
    weights = [Fraction(0)] * n
    for i in range(-2 * n - 2, 3 * n + 2):
        if method == "nearest":
            share = Fraction(i <= position < i + 1)
        else:
            share = max(Fraction(0), 1 - abs(position - (i + Fraction(1, 2))))
        weights[i % n if periodic else min(max(i, 0), n - 1)] += share
    assert sum(weights) == 1, "the position lies too far off the native grid for this twin"
    return weights


def resample(values, native, fine, row, col, method):
    """Value of one fine cell from the whole native array (lat, lon).

    Grids are (north, west, step, periodic), exact. Beyond the fine grid the last row holds; a
    column wraps or holds.
    """
    north, west, step, periodic = native
    f_north, f_west, f_step, f_periodic, f_lat, f_lon = fine
    row = min(max(row, 0), f_lat - 1)
    col = col % f_lon if f_periodic else min(max(col, 0), f_lon - 1)
    along = axis_weights(
        (north - (f_north - (row + Fraction(1, 2)) * f_step)) / step, values.shape[0], method, False
    )
    across = axis_weights(
        (f_west + (col + Fraction(1, 2)) * f_step - west) / step, values.shape[1], method, periodic
    )
    return sum(
        float(a * b) * float(values[i, j])
        for i, a in enumerate(along)
        for j, b in enumerate(across)
        if a and b
    )


# the model's input and output


def share_changes(codes, now, before, features):
    """Change and relative change of the coarse share of each cell's class, (2, H, W)."""
    found = np.zeros((2, *codes.shape), np.float32)
    for k, code in enumerate(features.codes):
        levels = [c for c, classes in enumerate(share_classes(features)) if code in classes]
        if levels:
            shares = [sum(levels_of[c] for c in levels) for levels_of in (now, before)]
            found = np.where(codes == k, np.stack(changes(*shares, np)), found)
    return found


def share_classes(features):
    """Codes of the classes that each level channel is a share of."""
    return [v.classes for v in features.forcing for _ in range(v.channels)]


def remembered(codes, n_classes, history):
    """What a cell remembers, 2 K + 3 numbers in single precision, from its codes, newest first."""
    known = [(n, code) for n, code in enumerate(codes) if code < n_classes]
    weights = [round(1000 * 0.9**n) for n in range(history)]
    others = [code for _, code in known if code != known[0][1]]
    runs = [len(list(run)) for _, run in groupby(code for _, code in known)]
    shares = [sum(weights[n] for n, code in known if code == k) for k in range(n_classes)]
    changed = sum(weights[newer[0]] for newer, older in pairwise(known) if newer[1] != older[1])
    age = runs[0] - 1 if runs else 0
    single = np.float32
    return np.array(
        [
            *(single(share) * single(1 / sum(weights)) for share in shares),
            *(single(bool(others) and others[0] == k) for k in range(n_classes)),
            single(age / (age + 3)),
            single(changed) * single(1 / 1000),
            single(len(known)) * single(1 / history),
        ]
    )


def model_input(maps, fields, box, year, prior_year, features):
    """Input of one window (1, C, H, W) as training puts it together, from forcing and static.

    `maps` are the last ones, the prior first.
    """
    missing = [np.full_like(maps[0], OUTSIDE)] * (features.history - len(maps))
    return assemble(
        torch.from_numpy(np.stack([*maps, *missing])[None]),
        torch.from_numpy(fields.forcing(year, box)[None]),
        torch.from_numpy(fields.forcing(prior_year, box)[None]),
        torch.from_numpy(fields.static(box)[None]),
        features,
    )


def probabilities(heads, prior, temperature=1.0, bias=0.0):
    """Probabilities (K, H, W) from the heads (K + 1, H, W) of the model, in single precision."""
    is_prior = prior == np.arange(len(heads) - 1)[:, None, None]
    bonus = np.where(
        heads[-1] > 20, heads[-1], np.log1p(np.exp(np.minimum(heads[-1], np.float32(20))))
    )
    logits = (heads[:-1] + bonus * is_prior) / np.float32(temperature) + is_prior * np.float32(bias)
    shares = np.exp(logits - logits.max(axis=0))
    return shares / shares.sum(axis=0)


def seen_value(level, scale):
    """A level as the model sees it, in single precision."""
    position = np.float32(level / (scale.levels - 1))
    return np.float32(math.sqrt(position)) if scale.transform == "sqrt" else position


def value_and_spread(heads, prior, scale, temperature=1.0, bias=0.0):
    """Position and its deviation, (2, H, W), from the heads (2, H, W), cell by cell."""
    single = np.float32
    found = np.zeros((2, *prior.shape), np.float32)
    for row, col in np.ndindex(prior.shape):
        level = int(prior[row, col])
        known = level < scale.levels
        mean = (seen_value(level, scale) if known else single(0)) + heads[0, row, col]
        raw = heads[1, row, col]
        soft = raw if raw > 20 else np.log1p(np.exp(raw))
        spread = single(soft + single(1e-3))
        if scale.transform == "sqrt":
            mean = min(max(mean, single(0)), single(1))
            variance = spread * spread
            spread = np.sqrt(4 * mean * mean + 2 * variance) * spread
            mean = mean * mean + variance
        mean = min(max(mean, single(0)), single(1))
        found[0, row, col] = min(max(mean + single(bias), 0), 1)
        found[1, row, col] = min(spread * single(temperature), 1)
    return found


def decide_values(sums, land, scale):
    """Level and spread in steps, rounded half up, of integer sums (3, lat, lon)."""
    levels = np.full(land.shape, OUTSIDE)
    spread = np.full(land.shape, 255)
    for row, col in np.argwhere(land).tolist():
        weight, value, deviation = (int(s) for s in sums[:, row, col])
        for field, total in ((levels, value), (spread, deviation)):
            exact = Fraction(total * (scale.levels - 1), weight)
            field[row, col] = min(math.floor(exact + Fraction(1, 2)), 250)
    return levels, spread


def quantise(probabilities):
    """Probabilities 0..1 as fixed-point integers 0..65535."""
    return np.rint(probabilities * np.float32(65535)).astype(np.int32)


def taps(field):
    """What each of the nine taps of a 3 x 3 kernel sees of a field (H, W, ...), zeros beyond its
    edge.
    """
    height, width = field.shape[:2]
    padded = np.pad(field, [(1, 1), (1, 1), *[(0, 0)] * (field.ndim - 2)])
    return [padded[dy : dy + height, dx : dx + width] for dy in range(3) for dx in range(3)]


def last_other(codes, n_classes):
    """Class of the newest map that differs from the class now, `OUTSIDE` for none."""
    known = [code for code in codes if code < n_classes]
    return next((code for code in known if code != known[0]), OUTSIDE)


def beyond_quiet(weights, maps, now, before, features):
    """What each cell gives by each tap (H, W, 9, O) beyond a cell that had one class in all maps."""
    n_classes = features.n_classes
    memory = weights[:, features.memory]
    stories, story_of = np.unique(np.reshape(maps, (len(maps), -1)), axis=1, return_inverse=True)
    numbers = np.zeros((stories.shape[1], 2 * n_classes + 3), np.float32)
    other = np.full(stories.shape[1], OUTSIDE)
    for story, codes in enumerate(stories.T.tolist()):
        if codes[0] == OUTSIDE or len(set(codes)) == 1:
            continue
        numbers[story] = remembered(codes, n_classes, features.history)
        other[story] = last_other(codes, n_classes)
        if codes[0] < n_classes:
            numbers[story] -= remembered(codes[:1] * len(maps), n_classes, features.history)
    story_of = story_of.reshape(maps[0].shape)
    fields = [*np.moveaxis(numbers[story_of], -1, 0)]
    if share_codes(features):
        fields += [*share_changes(other[story_of], now, before, features)]
    given = np.zeros((*maps[0].shape, 9, weights.shape[-1]), np.float32)
    for m, field in enumerate(fields):
        given += field[..., None, None] * memory[:, m]
    return given


def share_codes(features):
    """Codes of the classes that some forcing is a share of."""
    return {code for classes in share_classes(features) for code in classes} & {*features.codes}


def first_layer(weights, bias, features, maps, now, before, static, groups, fixed):
    """First convolution and ReLU of a window (H, W, O), channel after channel in single precision.

    `weights` are (9, C, O); `maps` the last ones, the prior first; `now` and `before` the level
    channels of both years, `groups` the variables of each source, `fixed` the static ones.
    """
    prior = maps[0]
    n_classes, history = features.n_classes, features.history

    def one_hot(vectors):
        """Sum of what each tap gives, (H, W, O), row by row of the kernel."""
        rows = [(vectors[i] + vectors[i + 1]) + vectors[i + 2] for i in (0, 3, 6)]
        return (rows[0] + rows[1]) + rows[2]

    firsts = np.cumsum([0, *(v.channels for v in fixed)])
    laid = [int(c) for c, v in zip(firsts, fixed, strict=False) if not v.categories]
    w_static, out = weights[:, weights.shape[1] - len(static) :], bias
    if laid:
        kernel = (
            torch.from_numpy(w_static[:, laid]).reshape(3, 3, len(laid), -1).permute(3, 2, 0, 1)
        )
        shown = torch.from_numpy(np.stack([static[laid]] * 2)).contiguous(
            memory_format=torch.channels_last
        )
        out = (
            torch.conv2d(
                shown,
                kernel.contiguous(memory_format=torch.channels_last),
                torch.from_numpy(bias),
                padding=1,
            )[0]
            .permute(1, 2, 0)
            .numpy()
        )
    for first, v in zip(firsts, fixed, strict=False):
        if v.categories:
            seen = [taps(static[first + c]) for c in range(v.channels)]
            out = out + one_hot(
                [
                    sum(seen[c][t][..., None] * w_static[t, first + c] for c in range(v.channels))
                    for t in range(9)
                ]
            )
    out = np.broadcast_to(out, (*prior.shape, weights.shape[-1]))
    step = np.abs(out).max(axis=(0, 1)) / np.float32(32767)
    step[step == 0] = 1
    out = np.rint(out / step) * step
    land = weights[:, n_classes]
    classes = weights[:, :n_classes] + land[:, None]
    if history > 1:
        quiet = remembered([0] * len(maps), n_classes, history)
        share, age, n_known = quiet[0], quiet[-3], quiet[-1]
        classes = classes + weights[:, n_classes + 1 : 2 * n_classes + 1] * share
        classes = classes + weights[:, 3 * n_classes + 1, None] * age
        classes = classes + weights[:, 3 * n_classes + 3, None] * n_known
    known = [taps(prior == k) for k in range(n_classes)]
    hidden = taps(prior == 254)
    out = out + one_hot(
        [
            sum(
                (known[k][t][..., None] * classes[t, k] for k in range(n_classes)),
                hidden[t][..., None] * land[t],
            )
            for t in range(9)
        ]
    )
    if history > 1:
        given = beyond_quiet(weights, maps, now, before, features)
        for t in range(9):
            out = out + taps(given[:, :, t])[t]
    level = n_classes + 1 + (2 * n_classes + 3 + 2 * bool(share_codes(features))) * (history > 1)
    if share_codes(features):
        for field in share_changes(prior, now, before, features):
            total = 0
            for t, x in enumerate(taps(field)):
                total = total + x[..., None] * weights[t, level]
            out = out + total
            level += 1
    first_level, change = level, level + len(now)
    continuous = sum(not v.categories for group in groups for v in group)
    for variables in groups:
        if variables[0].categories:
            for v in variables:
                seen = [taps(now[level - first_level + c]) for c in range(v.channels)]
                out = out + one_hot(
                    [
                        sum(
                            seen[c][t][..., None] * weights[t, level + c] for c in range(v.channels)
                        )
                        for t in range(9)
                    ]
                )
                level += v.channels
            continue
        at = slice(level - first_level, level - first_level + len(variables))
        values = [now[at], *changes(now[at], before[at], np)]
        firsts = level, change, change + continuous
        if variables[0].resampling == "nearest":
            given = np.zeros((9, *prior.shape, weights.shape[-1]), np.float32)
            for kind, first in zip(values, firsts, strict=True):
                for i, field in enumerate(kind):
                    given = given + field[..., None] * weights[:, None, None, first + i]
            line = np.zeros(given.shape[1:], np.float32)
            for t in range(9):
                line = line + taps(given[t])[t]
            out = out + line
        else:
            for i in range(len(variables)):
                for kind, first in zip(values, firsts, strict=True):
                    products = [
                        x[..., None] * weights[t, first + i] for t, x in enumerate(taps(kind[i]))
                    ]
                    total = products[0]
                    for product_ in products[1:]:
                        total = total + product_
                    out = out + total
        level, change = level + len(variables), change + len(variables)
    return np.maximum(out, np.float32(0))


def predict(predictor, cores, maps, inputs, *, year, prior_year, box):
    """`Predictor.predict`, window after window."""
    tiling = predictor.tiling
    padded = tiling.padded(box)
    sums = np.zeros((predictor.features.n_classes, *padded.shape), np.int32)
    for core in cores:
        window = tiling.window_box(core)
        at = window.slices(origin=padded)
        shown_maps = [one_map[at] for one_map in maps]
        prior = shown_maps[0]
        first = np.empty((*prior.shape, len(predictor.stem.bias_O)), np.float32)
        inputs.write_first_layer(first, shown_maps, window, year=year, prior_year=prior_year)
        with torch.inference_mode():
            shown = torch.from_numpy(np.stack([first] * 2)).permute(0, 3, 1, 2)
            heads = predictor.trunk(shown)[0].numpy()
        shares = probabilities(heads, prior, *predictor.calibration)
        sums[:, at[0], at[1]] += quantise(shares) * predictor.weights_HW
    return sums


# blending


def blend(tiling, windows, taper):
    """Overlap average (K, lat, lon) in floats of {core: probabilities (K, window, window)}.

    Cell by cell; 0 where there is no window.
    """
    n_classes = next(iter(windows.values())).shape[0]
    sums = np.zeros((n_classes, *tiling.shape))
    totals = np.zeros(tiling.shape)

    def weight(i):
        return 1 if taper == "uniform" else min(i + 1, tiling.window - i, max(1, 2 * tiling.margin))

    for core, p in windows.items():
        for i in range(tiling.window):
            for j in range(tiling.window):
                row = core.row * tiling.stride - tiling.margin + i
                col = core.col * tiling.stride - tiling.margin + j
                if tiling.periodic:
                    col %= tiling.n_lon
                if 0 <= row < tiling.n_lat and 0 <= col < tiling.n_lon:
                    sums[:, row, col] += weight(i) * weight(j) * p[:, i, j]
                    totals[row, col] += weight(i) * weight(j)
    return np.divide(sums, totals, out=np.zeros_like(sums), where=totals > 0)


def decide(sums, land):
    """Class and confidence in percent, rounded half up, of integer sums (K, lat, lon)."""
    classes = np.full(land.shape, OUTSIDE)
    confidence = np.zeros(land.shape, int)
    for row, col in np.argwhere(land).tolist():
        cell = [int(s) for s in sums[:, row, col]]
        classes[row, col] = cell.index(max(cell))
        confidence[row, col] = math.floor(Fraction(100 * max(cell), sum(cell)) + Fraction(1, 2))
    return classes, confidence


# forcing


def distorted_shares(maps, block, distort, groups, year, row, col, *, periodic):
    """Shares of every class in one block: `maps` has the class indices of the run grid by year."""
    [number] = random_numbers(["distort", "change", distort.seed], 1, 0, row, col)
    if number >= distort.changing_blocks:
        year = distort.fixed_year
    return _record_of(maps, block, distort, groups, year, row, col, periodic)


def _record_of(maps, block, distort, groups, year, row, col, periodic):
    """Shares that are smoothed and late, then scrambled, then biased."""
    centre = max((y for y in maps if y <= year - distort.lag), default=min(maps))
    own, around = [], []
    for y, dr, dc in product(
        range(-(distort.smooth_years // 2), distort.smooth_years // 2 + 1),
        *[range(-(distort.smooth_space // 2), distort.smooth_space // 2 + 1)] * 2,
    ):
        if centre + y in maps:
            cells = _land_cells(maps[centre + y], block, row + dr, col + dc, periodic)
            around += cells
            own += cells if (dr, dc) == (0, 0) else []
    if not own:
        return [0.0] * len(groups)
    shares = [around.count(k) / len(around) for k in range(len(groups))]

    if distort.scramble:
        [number] = random_numbers(["distort", "scramble", distort.seed], 1, 0, row, col)
        exchanged = distort.scramble * number
        pasture, grass, sparse = (shares[k] for k in (2, 4, 5))
        unmanaged = grass + sparse
        shares[2] = (1 - exchanged) * pasture + exchanged * unmanaged
        left = (1 - exchanged) * unmanaged + exchanged * pasture
        shares[4], shares[5] = (
            (left * grass / unmanaged, left * sparse / unmanaged) if unmanaged else (left, 0.0)
        )
    if distort.bias:
        distinct = list(dict.fromkeys(g for g in groups if g))
        numbers = random_numbers(["distort", "bias", distort.seed], len(distinct), 0, row, col)
        factor = {
            g: 1 - distort.bias + 2 * distort.bias * u
            for g, u in zip(distinct, numbers, strict=True)
        }
        free = [k for k, g in enumerate(groups) if g]
        wrong = {k: shares[k] * factor[groups[k]] for k in free}
        total, wanted = sum(wrong.values()), sum(shares[k] for k in free)
        for k in free:
            shares[k] = wrong[k] * wanted / total if total else 0.0
    return shares


def _land_cells(classes, block, row, col, periodic):
    """Class indices of the land cells of one block, of which parts may lie beyond the grid."""
    n_lat, n_lon = classes.shape
    cells = []
    for r in range(row * block, (row + 1) * block):
        for c in range(col * block, (col + 1) * block):
            c = c % n_lon if periodic else c
            if 0 <= r < n_lat and 0 <= c < n_lon and classes[r, c] != OUTSIDE:
                cells.append(int(classes[r, c]))
    return cells


# demand


def draw(sums, seed, scenario, member, year, row, col):
    """Class and scores of one cell by the exponential race, from numpy's Philox and math's log."""
    numbers = random_numbers([seed, scenario, member], len(sums), year, row, col)
    scores = [float(s) / -math.log(u) for s, u in zip(sums, numbers, strict=True)]
    return scores.index(max(scores)), scores


def random_numbers(stream, n, year, row, col):
    """Numbers between 0 and 1 of one cell, from numpy's Philox."""
    key = hashlib.sha256(json.dumps(stream).encode()).digest()
    blocks = -(-n // 8)
    words = sum(int.from_bytes(key[i : i + 8], "little") << 8 * i for i in (0, 8))
    raw = np.random.Philox(
        key=words, counter=col * blocks + (row << 64) + (year << 128)
    ).random_raw(blocks * 4)
    halves = [half for word in raw.tolist() for half in (word & 0xFFFFFFFF, word >> 32)]
    return [(half + 0.5) / 2**32 for half in halves[:n]]


def demanded_counts(prior, settled, land, change):
    """Cells of each group that one block should have, exact."""
    cells = [land * Fraction(float(c)) for c in change]
    available = sum(settled)
    flux = [s - n for s, n in zip(settled, prior, strict=True)]
    part = min(max(1 - sum(cells) / Fraction(sum(flux)), 0), 1) if sum(flux) else 0
    base = [n + part * f for n, f in zip(prior, flux, strict=True)]
    gain = [max(c, 0) for c in cells]
    loss = [min(max(-c, 0), b) for c, b in zip(cells, base, strict=True)]
    excess = sum(base) + sum(gain) - sum(loss) - available
    if excess > 0 and sum(gain):
        gain = [g * (1 - min(excess / sum(gain), 1)) for g in gain]
    if excess < 0 and sum(loss):
        loss = [x * (1 - min(-excess / sum(loss), 1)) for x in loss]
    level = [b + g - x for b, g, x in zip(base, gain, loss, strict=True)]
    return [x * available / sum(level) if sum(level) else x for x in level]


def largest_remainder(counts, total):
    """Whole numbers that sum to the total: one at a time to the first group that lacks most."""
    whole = [math.floor(c) for c in counts]
    while sum(whole) < total:
        lacking = [c - w for c, w in zip(counts, whole, strict=True)]
        whole[lacking.index(max(lacking))] += 1
    return whole


def every_assignment(scores, targets):
    """Fewest cells missed, then largest total of `scores` (cells, groups), of all maps."""
    best = None
    for homes in product(range(len(targets)), repeat=len(scores)):
        total = sum(scores[c][g] for c, g in enumerate(homes))
        missed = sum(max(homes.count(g) - t, 0) for g, t in enumerate(targets))
        if total > -math.inf and (best is None or (-missed, total) > best):
            best = -missed, total
    return -best[0], best[1]


def assignment(scores, targets):
    """Largest total of finite `scores` (cells, groups) with the target counts.

    The matrix has a column for each place in a group.
    """
    places = np.repeat(np.arange(len(targets)), targets)
    return scores[:, places][linear_sum_assignment(scores[:, places], maximize=True)].sum()


# training


def mixed_loss(steps, area, change_weight, class_weights=None):
    """Training loss of a batch: steps of (logits (B, K, H, W), target, previous), area (B, H, W)."""
    land = changed = land_area = changed_area = 0.0
    for logits, target, previous in steps:
        for b, i, j in np.ndindex(target.shape):
            t, p = int(target[b, i, j]), int(previous[b, i, j])
            if OUTSIDE in (t, p):
                continue
            cell = [float(x) for x in logits[b, :, i, j]]
            entropy = math.log(sum(math.exp(x - max(cell)) for x in cell)) + max(cell) - cell[t]
            weight = area[b, i, j] * (1 if class_weights is None else class_weights[t])
            land, land_area = land + weight * entropy, land_area + weight
            if t != p:
                changed, changed_area = changed + weight * entropy, changed_area + weight
    return (1 - change_weight) * (land / land_area if land_area else 0.0) + change_weight * (
        changed / changed_area if changed_area else 0.0
    )


# product


def fractions(classes, n_classes, area, coarse_area, block):
    """Share of each coarse cell's area that each class covers, by areas of rows of cells."""
    n_rows, n_cols = (-(-n // block) for n in classes.shape)
    shares = np.zeros((n_classes, n_rows, n_cols))
    for (row, col), k in np.ndenumerate(classes):
        if k < n_classes:
            shares[k, row // block, col // block] += area[row] / coarse_area[row // block]
    return shares


def transitions(before, after, n_classes, area, coarse_area, block):
    """Share of each coarse cell's area that goes from one class to another."""
    shares = np.zeros((n_classes, *fractions(after, n_classes, area, coarse_area, block).shape))
    for (row, col), j in np.ndenumerate(after):
        i = before[row, col]
        if i != j and max(i, j) < n_classes:
            y, x = row // block, col // block
            shares[i, j, y, x] += area[row] / coarse_area[y]
    return shares


def overview(classes, confidence, n_classes):
    """Half of the resolution: the mode of 2 x 2 cells, the first met where several are."""
    n_rows, n_cols = (-(-n // 2) for n in classes.shape)
    halves = np.zeros((n_rows, n_cols), np.uint8)
    means = np.zeros((n_rows, n_cols), np.uint8)
    for y, x in np.ndindex(n_rows, n_cols):
        values = classes[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].ravel().tolist()
        percent = confidence[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].ravel().tolist()
        land = [k for k in values if k < n_classes]
        voters = land
        if len(land) < len(values) / 2:
            voters = [k for k in values if k >= n_classes]
        halves[y, x] = Counter(voters).most_common(1)[0][0]  # the first met comes first
        if voters is land:
            total = sum(p for p, k in zip(percent, values, strict=True) if k < n_classes)
            means[y, x] = math.floor(Fraction(total, len(land)) + Fraction(1, 2))
    return halves, means


def mean_overview(values):
    """Half of the resolution: the mean of what is known, 255 where less than half of it is."""
    n_rows, n_cols = (-(-n // 2) for n in values.shape)
    means = np.full((n_rows, n_cols), 255, np.uint8)
    for y, x in np.ndindex(n_rows, n_cols):
        cells = values[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].ravel().tolist()
        known = [value for value in cells if value <= 250]
        if len(known) >= len(cells) / 2:
            means[y, x] = math.floor(Fraction(sum(known), len(known)) + Fraction(1, 2))
    return means


# viz


def mode_blocks(codes, factor, legend):
    """Most frequent code of each block, the first in the legend where equally frequent."""
    blocks = []
    for top in range(0, codes.shape[0], factor):
        row = []
        for left in range(0, codes.shape[1], factor):
            cells = codes[top : top + factor, left : left + factor].ravel().tolist()
            row.append(max(legend, key=cells.count))
        blocks.append(row)
    return np.array(blocks, np.uint8)


# sources.class_resampling


def majority_of_area(codes, fine_step, coarse_step, offset, shape):
    """Code that covers most of each cell of a coarser grid, the lower of equally large ones.

    Steps and offset (row, column of the first coarse cell, in fine cells) are exact fractions.
    """
    ratio = Fraction(coarse_step) / Fraction(fine_step)

    def overlaps(first, n_fine):
        start, stop = Fraction(first), Fraction(first) + ratio
        for i in range(n_fine):
            length = min(stop, i + 1) - max(start, i)
            if length > 0:
                yield i, length

    coarse = np.zeros(shape, np.uint8)
    for y, x in np.ndindex(*shape):
        area = Counter()
        for i, height in overlaps(offset[0] + y * ratio, codes.shape[0]):
            for j, width in overlaps(offset[1] + x * ratio, codes.shape[1]):
                area[int(codes[i, j])] += height * width
        most = max(area.values())
        coarse[y, x] = min(code for code, covered in area.items() if covered == most)
    return coarse


# sources.value_resampling


def mean_of_area(values, tenths, offset, shape):
    """Mean over each cell of a coarser grid of the values that are known, weighted by area.

    Cells are `tenths` tenths of a fine cell wide, the first one begins at `offset` tenths. NaN is
    unknown, and where less than half of the area is known so is the mean.
    """
    ratio = Fraction(tenths, 10)

    def overlap(first, i):
        return max(Fraction(0), min(first + ratio, i + 1) - max(first, Fraction(i)))

    mean = np.full(shape, np.nan)
    for y, x in np.ndindex(*shape):
        north = Fraction(offset[0], 10) + y * ratio
        west = Fraction(offset[1], 10) + x * ratio
        area, total = Fraction(0), Fraction(0)
        for i, j in np.ndindex(*values.shape):
            covered = overlap(north, i) * overlap(west, j)
            if covered and not np.isnan(values[i, j]):
                area += covered
                total += covered * Fraction(float(values[i, j]))
        if area and 2 * area >= ratio**2:
            mean[y, x] = total / area
    return mean


# sources.cci_lc


def sea_of_blocks(codes, water, block, origin):
    """Cells in blocks, counted from an origin outside, of which all that are there are water."""
    sea = np.ones(codes.shape, bool)
    place = {}
    for row, col in np.ndindex(*codes.shape):
        key = (row + origin[0]) // block, (col + origin[1]) // block
        place.setdefault(key, []).append((row, col))
    for cells in place.values():
        whole = all(codes[cell] == water for cell in cells)
        for cell in cells:
            sea[cell] = whole
    return sea
