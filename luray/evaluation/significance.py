"""Whether a rollout is better than persistence: a bootstrap over blocks of the map.

Cells that lie together are right or wrong together, so a map has far fewer independent observations
than cells. Blocks of cells are drawn instead, with replacement, and every score is computed anew
from the blocks that were drawn. One draw serves the model, persistence and all years alike: what
differs between places is in both sides of a difference, and falls out of it.

A few sums of each block, year and class are all that this needs, see `block_sums`.

Shapes: N blocks with scored land, Y years, R resamples, K classes, C sums of each class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from luray.core.types import F64
from luray.evaluation.block_sums import (
    CHANGE_PARTS,
    CHANGED_PREDICTED,
    CHANGED_RIGHT,
    CLASS_SUMS,
    FALSE_ALARMS,
    GAIN_PREDICTED,
    GAINED,
    HITS,
    LAND,
    PREDICTED,
    RIGHT,
    UNCHANGED,
    BlockSums,
    aligned,
    class_sums_of_persistence,
)

RESAMPLES = 1000
"""Draws of blocks."""

LEVEL = 0.95
"""Confidence of the intervals."""

FEWEST_BLOCKS = 10
"""Blocks with land below which there is no interval: too few places to tell anything."""

Verdict = Literal["better", "worse", "cannot be told"]


class Interval(NamedTuple):
    """A score with its 95 % interval; nan where it cannot be computed."""

    estimate: float
    low: float
    high: float

    @property
    def verdict(self) -> Verdict:
        """What the interval says of a difference to persistence."""
        if self.low > 0:
            return "better"
        if self.high < 0:
            return "worse"
        return "cannot be told"


class Comparison(NamedTuple):
    """A rollout compared with persistence, in one year or the mean of several.

    Differences to the scores of persistence, which are named as in `metrics.Scores`. The Figure of
    Merit and the scores of changed cells are 0 for persistence and never lower: their intervals say
    how good, not whether.
    """

    accuracy_gain: Interval
    """Accuracy minus that of persistence: (hits - false alarms) / land."""
    figure_of_merit: Interval
    macro_f1_gain: Interval
    weighted_f1_gain: Interval
    mean_iou_gain: Interval
    change_accuracy: Interval
    change_macro_f1: Interval
    change_weighted_f1: Interval
    change_mean_iou: Interval


class ClassComparison(NamedTuple):
    """The same of one class, named as in `class_scores.ClassScores`."""

    f1_gain: Interval
    iou_gain: Interval
    change_f1: Interval
    change_iou: Interval
    figure_of_merit: Interval


@dataclass(frozen=True)
class Significance:
    """A rollout compared with persistence, year by year and in the mean."""

    side: int
    """Cells along a side of a block."""
    n_blocks: int
    """Blocks with scored land."""
    by_year: tuple[Comparison, ...]
    mean: Comparison
    by_class: tuple[tuple[ClassComparison, ...], ...]
    """By class of the legend, then by year; all nan for water."""
    mean_of_class: tuple[ClassComparison, ...]


def significance(
    years: Sequence[BlockSums],
    *,
    n_mean: int,
    water: int | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Significance:
    """Compare a rollout with persistence, with intervals from resampled blocks.

    Parameters
    ----------
    years : sequence of BlockSums
        Of the whole map in each year, in the direction of travel.
    n_mean : int
        Years from the first that the mean covers. As in `metrics.mean_scores`, a year in which a
        score does not exist does not count for it.
    water : int, optional
        Class index that has no scores and counts in no mean over classes.
    resamples : int
        Draws of as many blocks as there are.
    seed : int
        Key of the random numbers, which depend on nothing else but the number of blocks.

    Returns
    -------
    Significance
        Intervals are nan with fewer than `FEWEST_BLOCKS` blocks, and for a score that does not
        exist in some of the resamples, as a Figure of Merit where few blocks have a change.

    Notes
    -----
    The intervals are percentiles of the resamples. With few blocks these are too narrow: their
    variance lacks the factor n / (n - 1), and their tails are those of a normal distribution where
    Student's would be right. They are widened as Hesterberg 2015 does
    (doi:10.1080/00031305.2015.1089789, "expanded percentile interval").
    """
    places_N2, sums_YN5, class_sums_YNKC = aligned(years)
    n_blocks = len(places_N2)
    n_classes = class_sums_YNKC.shape[2]

    # All blocks once, which gives the scores themselves, then the resamples.
    times_drawn_RN = np.ones((1, n_blocks))
    if n_blocks >= FEWEST_BLOCKS:
        resampled_RN = times_drawn(n_blocks, resamples=resamples, seed=seed)
        times_drawn_RN = np.concatenate([times_drawn_RN, resampled_RN])

    scores_of_years = []
    class_scores_of_years = []
    for sums_N5, class_sums_NKC in zip(sums_YN5, class_sums_YNKC, strict=True):
        # Each resample's sums are those of its blocks, as often as they were drawn: one product of
        # matrices. Of whole numbers below 2^53 it is exact, and the same on every machine.
        sums_R5 = times_drawn_RN @ sums_N5
        class_sums_RX = times_drawn_RN @ class_sums_NKC.reshape(n_blocks, -1)
        class_sums_RKC = class_sums_RX.reshape(-1, n_classes, CLASS_SUMS)
        if water is not None:
            class_sums_RKC[:, water] = 0
        scores_of_years.append(_scores(sums_R5, class_sums_RKC))
        class_scores_of_years.append(_class_scores(class_sums_RKC))
    mean_scores = _mean_over_years(scores_of_years[:n_mean])
    mean_class_scores = _mean_over_years(class_scores_of_years[:n_mean])

    tails = widened_tails(n_blocks)
    by_class = []
    for k in range(n_classes):
        of_years = [_class_comparison(scores, k, tails) for scores in class_scores_of_years]
        by_class.append(tuple(of_years))
    return Significance(
        side=years[0].side,
        n_blocks=n_blocks,
        by_year=tuple(_comparison(scores, tails) for scores in scores_of_years),
        mean=_comparison(mean_scores, tails),
        by_class=tuple(by_class),
        mean_of_class=tuple(
            _class_comparison(mean_class_scores, k, tails) for k in range(n_classes)
        ),
    )


def _comparison(scores_R: Mapping[str, F64], tails: tuple[float, float]) -> Comparison:
    """Intervals of the scores of `_scores`."""
    return Comparison(**{name: interval_of(score_R, tails) for name, score_R in scores_R.items()})


def _class_comparison(
    scores_RK: Mapping[str, F64], k: int, tails: tuple[float, float]
) -> ClassComparison:
    """Intervals of the scores of `_class_scores` of class k."""
    intervals = {name: interval_of(score_RK[:, k], tails) for name, score_RK in scores_RK.items()}
    return ClassComparison(**intervals)


def _scores(sums_R5: F64, class_sums_RKC: F64) -> dict[str, F64]:
    """The scores of a `Comparison` in each resample, shape (R,), by their names."""
    land_R = sums_R5[:, LAND]
    hits_R = sums_R5[:, HITS]
    null_RKC = class_sums_of_persistence(class_sums_RKC)
    of_model = _agreement(*_all_cells(class_sums_RKC))
    of_null = _agreement(*_all_cells(null_RKC))
    on_change = _agreement(*_changed_cells(class_sums_RKC))
    return {
        "accuracy_gain": _ratio(hits_R - sums_R5[:, FALSE_ALARMS], land_R),
        "figure_of_merit": _ratio(hits_R, sums_R5[:, CHANGE_PARTS].sum(axis=1)),
        "macro_f1_gain": of_model.macro_f1 - of_null.macro_f1,
        "weighted_f1_gain": of_model.weighted_f1 - of_null.weighted_f1,
        "mean_iou_gain": of_model.mean_iou - of_null.mean_iou,
        "change_accuracy": on_change.accuracy,
        "change_macro_f1": on_change.macro_f1,
        "change_weighted_f1": on_change.weighted_f1,
        "change_mean_iou": on_change.mean_iou,
    }


def _class_scores(class_sums_RKC: F64) -> dict[str, F64]:
    """The scores of a `ClassComparison` in each resample, shape (R, K), by their names."""
    null_RKC = class_sums_of_persistence(class_sums_RKC)
    f1_RK, iou_RK = _f1_and_iou(*_all_cells(class_sums_RKC))
    null_f1_RK, null_iou_RK = _f1_and_iou(*_all_cells(null_RKC))
    change_f1_RK, change_iou_RK = _f1_and_iou(*_changed_cells(class_sums_RKC))

    hits_RK = class_sums_RKC[..., CHANGED_RIGHT]
    gain_of_either_RK = class_sums_RKC[..., GAINED] + class_sums_RKC[..., GAIN_PREDICTED] - hits_RK
    return {
        "f1_gain": f1_RK - null_f1_RK,
        "iou_gain": iou_RK - null_iou_RK,
        "change_f1": change_f1_RK,
        "change_iou": change_iou_RK,
        "figure_of_merit": _ratio(hits_RK, gain_of_either_RK),
    }


def _all_cells(class_sums_RKC: F64) -> tuple[F64, F64, F64]:
    """Area of each class in truth, in the prediction and in both, (R, K) each."""
    true_RK = class_sums_RKC[..., UNCHANGED] + class_sums_RKC[..., GAINED]
    return true_RK, class_sums_RKC[..., PREDICTED], class_sums_RKC[..., RIGHT]


def _changed_cells(class_sums_RKC: F64) -> tuple[F64, F64, F64]:
    """The same of cells that are observed to change."""
    return (
        class_sums_RKC[..., GAINED],
        class_sums_RKC[..., CHANGED_PREDICTED],
        class_sums_RKC[..., CHANGED_RIGHT],
    )


class _Agreement(NamedTuple):
    """`metrics.Agreement` of each resample, shape (R,); nan where there is no cell."""

    accuracy: F64
    macro_f1: F64
    weighted_f1: F64
    mean_iou: F64


def _agreement(true_RK: F64, predicted_RK: F64, right_RK: F64) -> _Agreement:
    """Agreement of classes; those that are in neither truth nor prediction count in no mean."""
    f1_RK, iou_RK = _f1_and_iou(true_RK, predicted_RK, right_RK)
    total_R = true_RK.sum(axis=1)
    there_RK = (true_RK + predicted_RK > 0) & (total_R > 0)[:, None]
    n_classes_R = there_RK.sum(axis=1).astype(np.float64)
    weighted_f1_R = np.where(there_RK, f1_RK * true_RK, 0).sum(axis=1)
    return _Agreement(
        accuracy=_ratio(right_RK.sum(axis=1), total_R),
        macro_f1=_ratio(f1_RK.sum(axis=1, where=there_RK), n_classes_R),
        weighted_f1=_ratio(weighted_f1_R, total_R),
        mean_iou=_ratio(iou_RK.sum(axis=1, where=there_RK), n_classes_R),
    )


def _f1_and_iou(true_RK: F64, predicted_RK: F64, right_RK: F64) -> tuple[F64, F64]:
    """F1 and intersection over union of each class; nan for one that is nowhere."""
    either_RK = true_RK + predicted_RK
    return _ratio(2 * right_RK, either_RK), _ratio(right_RK, either_RK - right_RK)


def times_drawn(n_blocks: int, *, resamples: int, seed: int) -> F64:
    """Return how often each resample draws each block, shape (R, N)."""
    # A counter-based generator, and whole numbers only: the same draws on every machine. 32 random
    # bits times the number of blocks, over 2^32, are the number of a block.
    n_draws = resamples * n_blocks
    words = np.random.Philox(key=seed).random_raw(n_draws)
    high_halves = words >> np.uint64(32)
    scaled = high_halves * np.uint64(n_blocks)
    block = (scaled >> np.uint64(32)).astype(np.int64)

    # Each resample counts its blocks in bins of its own.
    resample = np.repeat(np.arange(resamples), n_blocks)
    bin_of_draw = resample * n_blocks + block
    counts = np.bincount(bin_of_draw, minlength=n_draws)
    return counts.reshape(resamples, n_blocks).astype(np.float64)


def _ratio(part: F64, total: F64) -> F64:
    """Part over total, nan for a total of zero."""
    ratio: F64 = np.divide(part, total, out=np.full_like(part, np.nan), where=total > 0)
    return ratio


def _mean_over_years(years: Sequence[Mapping[str, F64]]) -> dict[str, F64]:
    """Mean of each score over the years in which it is not nan, nan where there is none."""
    means = {}
    for name in years[0]:
        of_years = np.stack([scores[name] for scores in years])
        known = ~np.isnan(of_years)
        total = of_years.sum(axis=0, where=known)
        means[name] = _ratio(total, known.sum(axis=0).astype(np.float64))
    return means


def widened_tails(n_blocks: int) -> tuple[float, float]:
    """Return the quantiles of the resamples that are the ends of an interval.

    They are nan for fewer than `FEWEST_BLOCKS` blocks.
    """
    if n_blocks < FEWEST_BLOCKS:
        return np.nan, np.nan

    # Imported here, as a worker that counts cells draws no intervals.
    from scipy.special import ndtr, stdtrit

    # Hesterberg's expanded percentiles: Student's quantile, widened, as a share of the normal
    # distribution; see the notes of `significance`.
    tail = (1 - LEVEL) / 2
    deviations = stdtrit(n_blocks - 1, tail) * np.sqrt(n_blocks / (n_blocks - 1))
    widened_tail = float(ndtr(deviations))
    return widened_tail, 1 - widened_tail


def interval_of(score_R: F64, tails: tuple[float, float]) -> Interval:
    """Return the interval of a score, of which the first value is the score itself.

    `tails` are those of `widened_tails`.
    """
    estimate = float(score_R[0])
    resampled = score_R[1:]
    if not resampled.size or np.isnan(resampled).any():
        return Interval(estimate, np.nan, np.nan)
    low, high = np.quantile(resampled, tails)
    return Interval(estimate, float(low), float(high))
