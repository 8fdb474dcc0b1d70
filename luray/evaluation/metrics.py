"""Scores from statistics: the four metrics of the reference table, Figure of Merit, disagreement,
change, calibration.

What is judged: cells whose true class is not water (ocean is outside the maps already), weighted by
area. A cell that was water and is now land is judged; land predicted as water is an error, but
water is no class of the macro means. *Changed* cells are those whose true class differs from the
initial map of the rollout. A score without any cell to judge (no change, say) is nan. Shapes: K
classes; tables are m2, shape (K, K, K): initial, true, predicted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from luray.evaluation.statistics import F64, Statistics

CALIBRATION_BINS = 10


@dataclass(frozen=True)
class Scores:
    """Scores of one year, or the mean of several; all without unit, nan where there is nothing to
    judge.
    """

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
    """Shares of the land; their sum is 1 - accuracy. Pontius & Millones 2011,
    doi:10.1080/01431161.2011.552923.
    """
    net_change_error: float
    """Net change by class in blocks of 25 x 25 cells: sum |predicted - observed| / sum |observed|;
    1 if persistent.
    """
    brier: float
    calibration_error: float
    """Of the confidence as the probability that the class is right: mean square, and mean gap over
    10 bins.
    """


@dataclass(frozen=True)
class ClassChange:
    """Area in m2 that each class gained and lost since the initial map, shape (K,) each."""

    predicted_gain: F64
    observed_gain: F64
    predicted_loss: F64
    observed_loss: F64


def score(statistics: Statistics, *, water: int | None) -> Scores:
    """Scores of one year; `water` is the class index left out where it is the true one."""
    table = judged(statistics.table, water=water)
    confusion, changed = table.sum(axis=0), _off_diagonal(table, axes=(0, 1)).sum(axis=0)
    parts = change_parts(table)
    land = table.sum()
    brier, gap = _calibration(statistics.reliability)
    quantity = np.abs(confusion.sum(axis=0) - confusion.sum(axis=1)).sum() / 2
    return Scores(
        *_quality(confusion, water),
        *_quality(changed, water),
        figure_of_merit=figure_of_merit(parts),
        figure_of_merit_5=figure_of_merit(statistics.blocks[0]),
        figure_of_merit_25=figure_of_merit(statistics.blocks[1]),
        predicted_change=_ratio(parts[0] + parts[1] + parts[3], land),
        observed_change=_ratio(parts[:3].sum(), land),
        change_ratio=_ratio(parts[0] + parts[1] + parts[3], parts[:3].sum()),
        quantity_disagreement=_ratio(quantity, land),
        allocation_disagreement=_ratio(land - np.trace(confusion) - quantity, land),
        net_change_error=_ratio(*statistics.net_change.sum(axis=0)),
        brier=brier,
        calibration_error=gap,
    )


def mean_scores(scores: Sequence[Scores]) -> Scores:
    """Mean of yearly scores; a year without a score does not count. The change ratio is that of the
    mean changes.

    Raises ValueError for no year at all.
    """
    if not scores:
        raise ValueError(
            "no year to average, expected at least one; evaluate a year of the rollout"
        )
    means = {f.name: _mean([getattr(s, f.name) for s in scores]) for f in fields(Scores)}
    means["change_ratio"] = _ratio(means["predicted_change"], means["observed_change"])
    return Scores(**means)


def persistence(statistics: Statistics) -> Statistics:
    """The statistics of the null model on the same cells: it predicts the initial map, without a
    confidence.
    """
    table = np.zeros_like(statistics.table)
    k = np.arange(statistics.n_classes)
    table[k, :, k] = statistics.table.sum(axis=2)
    missed = np.zeros_like(statistics.blocks)
    missed[:, 2] = statistics.blocks[:, :3].sum(axis=1)
    error = np.repeat(statistics.net_change[:, 1:], 2, axis=1)
    return Statistics(table, missed, error, np.zeros_like(statistics.reliability))


def judged(table: F64, *, water: int | None) -> F64:
    """The table without the cells whose true class is water, same shape."""
    kept = table.copy()
    if water is not None:
        kept[:, water] = 0
    return kept


def change_parts(table: F64) -> F64:
    """Area of hits, wrong gain, misses and false alarms, shape (4,); Pontius et al. 2008."""
    j, t, p = np.indices(table.shape)
    moved, foreseen = t != j, p != j
    masks = (moved & (p == t), moved & foreseen & (p != t), moved & ~foreseen, ~moved & foreseen)
    return np.array([table[mask].sum() for mask in masks])


def figure_of_merit(parts: F64) -> float:
    """Figure of Merit of hits, wrong gain, misses and false alarms; nan when nothing changed nor
    was predicted to.
    """
    return _ratio(parts[0], parts.sum())


def change_by_class(table: F64) -> ClassChange:
    """Gains and losses of every class, predicted and observed; water counts, so that the net
    changes sum to zero.
    """
    observed, predicted = (
        _off_diagonal(table.sum(axis=2), axes=(0, 1)),
        _off_diagonal(table.sum(axis=1), axes=(0, 1)),
    )
    return ClassChange(
        predicted.sum(axis=0), observed.sum(axis=0), predicted.sum(axis=1), observed.sum(axis=1)
    )


def _quality(confusion: F64, water: int | None) -> tuple[float, float, float, float]:
    """Accuracy, macro F1, weighted F1, mean IoU of a (true, predicted) table; absent classes do not
    count.
    """
    hits, true, predicted = np.diagonal(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    counts = true + predicted > 0
    if water is not None:
        counts[water] = False
    hits, true, predicted = hits[counts], true[counts], predicted[counts]
    if not true.sum():
        return np.nan, np.nan, np.nan, np.nan
    f1, iou = 2 * hits / (true + predicted), hits / (true + predicted - hits)
    return (
        float(hits.sum() / true.sum()),
        float(f1.mean()),
        float((f1 * true).sum() / true.sum()),
        float(iou.mean()),
    )


def _calibration(reliability: F64) -> tuple[float, float]:
    area, right = reliability.T
    level = np.arange(101) / 100
    brier = _ratio((right * (1 - level) ** 2 + (area - right) * level**2).sum(), area.sum())
    bins = np.minimum(np.arange(101) * CALIBRATION_BINS // 100, CALIBRATION_BINS - 1)
    gap = np.abs(np.bincount(bins, weights=area * level - right)).sum()
    return brier, _ratio(gap, area.sum())


def _off_diagonal(table: F64, *, axes: tuple[int, int]) -> F64:
    """The table with zeros where the indices of two axes are equal."""
    index = np.indices(table.shape)
    return np.where(index[axes[0]] == index[axes[1]], 0, table)


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else np.nan


def _mean(values: Sequence[float]) -> float:
    known = [v for v in values if not np.isnan(v)]
    return float(np.mean(known)) if known else np.nan
