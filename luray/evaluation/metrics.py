"""Scores from statistics: agreement, Figure of Merit, disagreement, change and calibration.

What is scored: land, weighted by area. Land is every cell whose true class is not water (the ocean
is outside the maps already). A cell that was water and is land now is scored. Land that is
predicted as water is an error, but water is no class of the macro means. *Changed* cells are those
whose true class differs from the initial map of the rollout. A score without a cell to score, such
as one of changed cells where nothing changed, is nan.

Tables hold areas in m2. Shapes: J initial class, T true class, P predicted class, each of the K
classes of the legend.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np

from luray.core.types import F64, I64
from luray.evaluation.statistics import PERCENTS, Statistics

CALIBRATION_BINS = 10


@dataclass(frozen=True)
class Scores:
    """Scores of one year, or the mean of several; without unit, nan where nothing is scored."""

    accuracy: float
    macro_f1: float
    weighted_f1: float
    mean_iou: float
    change_accuracy: float
    change_macro_f1: float
    change_weighted_f1: float
    change_mean_iou: float
    figure_of_merit: float
    """Hits / (hits + wrong gain + misses + false alarms), cell by cell."""
    figure_of_merit_5: float
    figure_of_merit_25: float
    """The same in blocks of 5 x 5 and 25 x 25 cells, see `statistics.block_change`."""
    predicted_change: float
    observed_change: float
    """Share of the land whose predicted, or true, class differs from the initial one."""
    change_ratio: float
    """Predicted over observed change."""
    quantity_disagreement: float
    allocation_disagreement: float
    """Shares of the land; their sum is 1 - accuracy.

    Pontius & Millones 2011, doi:10.1080/01431161.2011.552923.
    """
    net_change_error: float
    """Net change by class in blocks of 25 x 25 cells; 1 for the null model.

    sum |predicted - observed| / sum |observed|.
    """
    demand_error: float
    observed_demand_error: float
    """Net change by group of classes in coarse cells, beside what the coarse scenario demands.

    sum |predicted - demanded| / sum |demanded|, and the same of the observed change, which says how
    far the scenario can be believed. 1 for the null model; see `demand_agreement`.
    """
    brier: float
    calibration_error: float
    """Of the confidence, taken as the probability that the class is right.

    Mean square error, and mean gap over 10 bins.
    """
    predicted_change_per_year: float
    observed_change_per_year: float
    """Share of the land whose class differs from that of the year before, in the direction of
    travel.
    """
    predicted_patch_width: float
    observed_patch_width: float
    """Mean way along a row or a column to another class, in cells; see `luray.evaluation.texture`.
    """


@dataclass(frozen=True)
class ClassChange:
    """Area in m2 that each class gained and lost since the initial map, shape (K,) each."""

    predicted_gain: F64
    observed_gain: F64
    predicted_loss: F64
    observed_loss: F64


class Agreement(NamedTuple):
    """Agreement of predicted and true classes; nan where there is no cell."""

    accuracy: float
    macro_f1: float
    weighted_f1: float
    mean_iou: float


def score(statistics: Statistics, *, water: int | None) -> Scores:
    """Return the scores of one year.

    Parameters
    ----------
    statistics : Statistics
        Sums over all cells of the year.
    water : int, optional
        Class index that is left out where it is the true class.

    Examples
    --------
    >>> perfect = Statistics.zeros(2)
    >>> perfect.table[0, 1, 1] = perfect.table[0, 0, 0] = 500.0
    >>> scores = score(perfect, water=None)
    >>> scores.accuracy, scores.figure_of_merit, scores.observed_change
    (1.0, 1.0, 0.5)
    """
    table_JTP = land_only(statistics.table, water=water)
    land = table_JTP.sum()

    # Agreement on all land, and on the cells whose true class is not the initial one.
    confusion_TP = table_JTP.sum(axis=0)
    changed_TP = _off_diagonal(table_JTP, axes=(0, 1)).sum(axis=0)
    overall = _agreement(confusion_TP, water)
    on_change = _agreement(changed_TP, water)

    # Change cell by cell: the parts of the Figure of Merit.
    parts = change_parts(table_JTP)
    hits, wrong_gain, misses, false_alarms = parts
    predicted_change = hits + wrong_gain + false_alarms
    observed_change = hits + wrong_gain + misses

    # Quantity: a class has too much or too little area. Each surplus is another class's deficit,
    # hence the half. Allocation: the rest of the disagreement, area in the wrong place.
    surplus_K = confusion_TP.sum(axis=0) - confusion_TP.sum(axis=1)
    quantity = np.abs(surplus_K).sum() / 2
    allocation = land - np.trace(confusion_TP) - quantity

    net_error, net_observed = statistics.net_change.sum(axis=0)
    brier, calibration_error = _calibration(statistics.reliability)
    land_of_pace, observed_pace, predicted_pace = statistics.pace
    pairs, _, observed_unlike, predicted_unlike = statistics.pairs
    predicted_miss, observed_miss, demanded = statistics.demand
    return Scores(
        accuracy=overall.accuracy,
        macro_f1=overall.macro_f1,
        weighted_f1=overall.weighted_f1,
        mean_iou=overall.mean_iou,
        change_accuracy=on_change.accuracy,
        change_macro_f1=on_change.macro_f1,
        change_weighted_f1=on_change.weighted_f1,
        change_mean_iou=on_change.mean_iou,
        figure_of_merit=figure_of_merit(parts),
        figure_of_merit_5=figure_of_merit(statistics.blocks[0]),
        figure_of_merit_25=figure_of_merit(statistics.blocks[1]),
        predicted_change=_ratio(predicted_change, land),
        observed_change=_ratio(observed_change, land),
        change_ratio=_ratio(predicted_change, observed_change),
        quantity_disagreement=_ratio(quantity, land),
        allocation_disagreement=_ratio(allocation, land),
        net_change_error=_ratio(net_error, net_observed),
        demand_error=_ratio(predicted_miss, demanded),
        observed_demand_error=_ratio(observed_miss, demanded),
        brier=brier,
        calibration_error=calibration_error,
        predicted_change_per_year=_ratio(predicted_pace, land_of_pace),
        observed_change_per_year=_ratio(observed_pace, land_of_pace),
        predicted_patch_width=_ratio(pairs, predicted_unlike),
        observed_patch_width=_ratio(pairs, observed_unlike),
    )


def scores_of_zones(statistics: Statistics, *, water: int | None) -> list[Scores]:
    """Return the scores of each zone; those that need more than its table are nan."""
    nothing = Statistics.zeros(statistics.n_classes)
    return [score(replace(nothing, table=table), water=water) for table in statistics.by_zone]


def mean_scores(scores: Sequence[Scores]) -> Scores:
    """Return the mean of yearly scores; a year in which a score is nan does not count for it.

    The change ratio is the ratio of the mean changes: the mean of yearly ratios would be ruled by
    years in which next to nothing changed.

    Raises
    ------
    ValueError
        For no year at all.
    """
    if not scores:
        raise ValueError(
            "no year to average, expected at least one; evaluate a year of the rollout"
        )
    means = {}
    for field in fields(Scores):
        means[field.name] = _mean([getattr(year, field.name) for year in scores])
    means["change_ratio"] = _ratio(means["predicted_change"], means["observed_change"])
    return Scores(**means)


def persistence(statistics: Statistics) -> Statistics:
    """Return the statistics of the null model on the same cells.

    The null model predicts the initial map in every year, without a confidence. All that the truth
    changed is a miss of it, and its error of the net change is the observed net change. Its maps
    have the texture of the initial one, and nothing changes from year to year.
    """
    # Observed change is hits, wrong gain and misses of the model; persistence misses all of it.
    blocks = np.zeros_like(statistics.blocks)
    blocks[:, 2] = statistics.blocks[:, :3].sum(axis=1)

    observed_net_change = statistics.net_change[:, 1:]
    net_change = np.repeat(observed_net_change, 2, axis=1)

    land, observed_pace, _ = statistics.pace
    pairs, initial_unlike, observed_unlike, _ = statistics.pairs
    _, observed_miss, demanded = statistics.demand
    return Statistics(
        _table_of_persistence(statistics.table),
        blocks,
        net_change,
        reliability=np.zeros_like(statistics.reliability),
        pace=np.array([land, observed_pace, 0]),
        pairs=np.array([pairs, initial_unlike, observed_unlike, initial_unlike]),
        by_block=statistics.by_block.of_persistence(),
        by_zone=np.array([_table_of_persistence(table) for table in statistics.by_zone]),
        demand=np.array([demanded, observed_miss, demanded]),
    )


def _table_of_persistence(table_JTP: F64) -> F64:
    """The table of a prediction that is the initial map."""
    null_JTP = np.zeros_like(table_JTP)
    k = np.arange(len(table_JTP))
    null_JTP[k, :, k] = table_JTP.sum(axis=2)
    return null_JTP


def random_allocation(statistics: Statistics) -> Statistics:
    """Return what is expected of a null model that knows how much changes, and not where.

    Of the land of each class it changes as much to each other class as is observed, in cells that
    are drawn at random: of the area A_j that began as class j, O_jk became class k, so a cell that
    became k is expected to be predicted as l with probability O_jl / A_j.

    The observed change is given to it, so it shows what placing change is worth. Only the table of
    areas is known in expectation; scores of blocks, of texture and of confidence are nan.
    """
    observed_JT = statistics.table.sum(axis=2)
    return _expected(statistics, observed_JT, _shares_of_rows(observed_JT))


def last_change(statistics: Statistics, changed_KK: F64, *, lead: int) -> Statistics:
    """Return what is expected of a null model that repeats the last observed change every year.

    Land of each class goes to each other class at the rates of the last observed year, in cells
    that are drawn at random: a Markov chain. See `random_allocation` for what is known of it.

    Parameters
    ----------
    statistics : Statistics
        Of one year.
    changed_KK : array, shape (K, K)
        Area that went from class (rows) to class (columns) in the last observed year, m2; the
        diagonal is what stayed.
    lead : int
        Years from the start.
    """
    rates_KK = _shares_of_rows(changed_KK)
    predicted_JP = np.linalg.matrix_power(rates_KK, lead)
    return _expected(statistics, statistics.table.sum(axis=2), predicted_JP)


def _expected(statistics: Statistics, observed_JT: F64, predicted_JP: F64) -> Statistics:
    """Statistics of a prediction that depends on a cell's initial class alone.

    `predicted_JP` is the probability of each class, by initial class.
    """
    nothing = Statistics.zeros(statistics.n_classes)
    return replace(nothing, table=observed_JT[:, :, None] * predicted_JP[:, None, :])


def _shares_of_rows(area_KK: F64) -> F64:
    """Each row divided by its sum; a class without land stays as it is."""
    total_K1 = area_KK.sum(axis=1, keepdims=True)
    stays_KK = np.eye(len(area_KK))
    shares_KK: F64 = np.divide(area_KK, total_K1, out=stays_KK, where=total_K1 > 0)
    return shares_KK


def land_only(table_JTP: F64, *, water: int | None) -> F64:
    """Return the table without the cells whose true class is water, same shape."""
    land_JTP = table_JTP.copy()
    if water is not None:
        land_JTP[:, water] = 0
    return land_JTP


def change_parts(table_JTP: F64) -> F64:
    """Return the area of hits, wrong gain, misses and false alarms, shape (4,).

    Pontius et al. 2008, doi:10.1007/s00168-007-0138-2.
    """
    initial, true, predicted = np.indices(table_JTP.shape)
    changed = true != initial
    foreseen = predicted != initial
    hits = changed & (predicted == true)
    wrong_gain = changed & foreseen & (predicted != true)
    misses = changed & ~foreseen
    false_alarms = ~changed & foreseen
    return np.array([table_JTP[part].sum() for part in (hits, wrong_gain, misses, false_alarms)])


def figure_of_merit(parts: F64) -> float:
    """Return the Figure of Merit of hits, wrong gain, misses and false alarms.

    Nan when nothing changed and nothing was predicted to.

    Examples
    --------
    >>> figure_of_merit(np.array([1.0, 1.0, 2.0, 0.0]))
    0.25
    """
    hits = parts[0]
    return _ratio(hits, parts.sum())


def change_by_class(table_JTP: F64) -> ClassChange:
    """Return gains and losses of every class, predicted and observed.

    Water counts here, so that the net changes of all classes sum to zero.
    """
    observed_JT = _off_diagonal(table_JTP.sum(axis=2), axes=(0, 1))
    predicted_JP = _off_diagonal(table_JTP.sum(axis=1), axes=(0, 1))
    return ClassChange(
        predicted_gain=predicted_JP.sum(axis=0),
        observed_gain=observed_JT.sum(axis=0),
        predicted_loss=predicted_JP.sum(axis=1),
        observed_loss=observed_JT.sum(axis=1),
    )


def _agreement(confusion_TP: F64, water: int | None) -> Agreement:
    """Agreement of a (true, predicted) table; no mean counts water or an absent class."""
    hits_K = np.diagonal(confusion_TP)
    true_K = confusion_TP.sum(axis=1)
    predicted_K = confusion_TP.sum(axis=0)
    counts = true_K + predicted_K > 0
    if water is not None:
        counts[water] = False

    hits = hits_K[counts]
    true = true_K[counts]
    predicted = predicted_K[counts]
    if not true.sum():
        return Agreement(np.nan, np.nan, np.nan, np.nan)

    f1 = 2 * hits / (true + predicted)
    iou = hits / (true + predicted - hits)
    return Agreement(
        accuracy=float(hits.sum() / true.sum()),
        macro_f1=float(f1.mean()),
        weighted_f1=float((f1 * true).sum() / true.sum()),
        mean_iou=float(iou.mean()),
    )


def _calibration(reliability: F64) -> tuple[float, float]:
    """Brier score and calibration error of areas by confidence, shape (101, 2)."""
    # Brier 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2, of "the class is right".
    area, right = reliability.T
    wrong = area - right
    confidence = np.arange(PERCENTS) / 100
    squares = right * (1 - confidence) ** 2 + wrong * confidence**2
    brier = _ratio(squares.sum(), area.sum())

    # Expected calibration error: by bin, how far the confidence is from the share that is right.
    gaps = np.bincount(_bins_of_percent(), weights=area * confidence - right)
    return brier, _ratio(np.abs(gaps).sum(), area.sum())


def confidence_bins(reliability: F64) -> list[tuple[float, float, F64]]:
    """Return what lies in each of 10 bins of the confidence, those without area left out.

    Parameters
    ----------
    reliability : array, shape (101, 2)
        Area, and area predicted right, by confidence in percent.

    Returns
    -------
    list of tuple
        Lower and upper edge of a bin as probabilities; area and area predicted right in m2.
    """
    sums = np.zeros((CALIBRATION_BINS, 2))
    np.add.at(sums, _bins_of_percent(), reliability)

    bins = []
    for number, sums_of_bin in enumerate(sums):
        area, _ = sums_of_bin
        if area:
            low = number / CALIBRATION_BINS
            high = (number + 1) / CALIBRATION_BINS
            bins.append((low, high, sums_of_bin))
    return bins


def _bins_of_percent() -> I64:
    """Bin of each percentage; 100 % belongs to the last bin, not to one of its own."""
    bins: I64 = np.minimum(
        np.arange(PERCENTS) * CALIBRATION_BINS // (PERCENTS - 1), CALIBRATION_BINS - 1
    )
    return bins


def _off_diagonal(table: F64, *, axes: tuple[int, int]) -> F64:
    """The table with zeros where the indices along two axes are equal, same shape."""
    index = np.indices(table.shape)
    first, second = axes
    return np.where(index[first] == index[second], 0, table)


def _ratio(part: float, total: float) -> float:
    """Part over total, nan for a total of zero."""
    return float(part / total) if total else np.nan


def _mean(values: Sequence[float]) -> float:
    """Mean of the values that are not nan, nan where there is none."""
    existing = [value for value in values if not np.isnan(value)]
    return float(np.mean(existing)) if existing else np.nan
