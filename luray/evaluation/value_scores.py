"""Scores of a continuous target, in its units, from the sums over its cells.

Shapes: R rows, the model and the null models; C sums; N blocks; M resamples.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from typing import NamedTuple

import numpy as np

from luray.core.types import F64
from luray.core.value_scale import ValueScale
from luray.evaluation.significance import (
    FEWEST_BLOCKS,
    RESAMPLES,
    Interval,
    interval_of,
    times_drawn,
    widened_tails,
)
from luray.evaluation.value_sums import (
    ABSOLUTE_ERROR,
    ANOMALY_PRODUCT,
    ANOMALY_SQUARE,
    AREA,
    ERROR,
    PARTS,
    SPREAD_AREA,
    SPREAD_SQUARE_ERROR,
    SQUARE_ERROR,
    TRUE,
    TRUE_ANOMALY_SQUARE,
    TRUE_SQUARE,
    WITHIN_ONE,
    WITHIN_TWO,
    BlockSquares,
    Pooled,
)

QUANTUM = 2.0**40
"""Parts of the largest sum to which those of blocks are rounded before they are resampled."""

SMALLEST_SPREAD = 0.5
"""Steps of the scale that a spread of less counts as: it is stored as 0."""

SPREAD_BINS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200, 251)
"""Edges of the bins of the spread, in steps of the scale; a bin begins with its lower edge."""


@dataclass(frozen=True)
class ValueScores:
    """Scores of one row over some cells and steps; nan where a score does not exist.

    All are weighted by area, and in the units of the target unless said.
    """

    area_km2: float
    """Area with an observed value, added up over the time steps."""
    bias: float
    """Mean of predicted minus true."""
    rmse: float
    """Root of the mean squared error."""
    mae: float
    """Mean absolute error."""
    r2: float
    """1 - sum of squared errors / sum of squares of the truth about its mean over all cells and
    steps, without unit.
    """
    anomaly_correlation: float
    """Correlation of predicted and true anomalies from the climatology of the cell, not centred
    (Rasp et al. 2020, doi:10.1029/2020MS002203), without unit. The climatology has none.
    """


def scores_of_row(sums_C: Pooled, scale: ValueScale) -> ValueScores:
    """Return the scores that follow from sums of one row.

    Parameters
    ----------
    sums_C : array, shape (9,)
        Columns as `value_sums.AREA` and those after it.
    scale : ValueScale
        What the levels stand for.

    Examples
    --------
    Two cells, of level 1 and 3, where 2 and 3 are predicted, on a scale of 0.5:

    >>> sums = [2, 32, 640, 8, 8, 64, 320, 320, 320]
    >>> scores = scores_of_row(np.array(sums, object), ValueScale("m", 0.0, 0.5, 5))
    >>> scores.bias, round(scores.rmse, 3), scores.r2, scores.anomaly_correlation
    (0.25, 0.354, 0.5, 1.0)
    """
    # Python's integers: differences of large sums are exact.
    sums = [int(value) for value in sums_C]
    area = sums[AREA]
    if not area:
        return ValueScores(0.0, *[np.nan] * 5)

    unit = scale.step / PARTS
    total_square = area * sums[TRUE_SQUARE] - sums[TRUE] ** 2  # times the area
    anomaly_squares = sums[TRUE_ANOMALY_SQUARE] * sums[ANOMALY_SQUARE]
    return ValueScores(
        area_km2=area / 10_000,
        bias=unit * sums[ERROR] / area,
        rmse=unit * sqrt(sums[SQUARE_ERROR] / area),
        mae=unit * sums[ABSOLUTE_ERROR] / area,
        r2=1 - area * sums[SQUARE_ERROR] / total_square if total_square else np.nan,
        anomaly_correlation=(
            sums[ANOMALY_PRODUCT] / sqrt(anomaly_squares) if anomaly_squares else np.nan
        ),
    )


def skills_of_rows(sums_RC: Pooled) -> list[float]:
    """Return 1 - squared error of the model / squared error of each null model.

    1 is a model without error, 0 one as good as the null model; nan where that has no error.
    """
    model, *nulls = (int(square) for square in sums_RC[:, SQUARE_ERROR])
    return [1 - model / null if null else np.nan for null in nulls]


def skill_intervals(blocks: BlockSquares, *, seed: int = 0) -> list[Interval]:
    """Return the skill against each null model with its interval, from resampled blocks.

    Blocks are drawn as `significance` draws them: one draw serves all rows and steps.

    Parameters
    ----------
    blocks : BlockSquares
        Squared errors over all steps.
    seed : int
        Key of the random numbers.

    Returns
    -------
    list of Interval
        By null model; without ends for fewer than `FEWEST_BLOCKS` blocks.
    """
    squares_NR = blocks.square_error_NR
    n_blocks = len(squares_NR)
    estimates = _skills(squares_NR.sum(axis=0)[None].astype(np.float64))
    if n_blocks < FEWEST_BLOCKS:
        return [Interval(float(skill), np.nan, np.nan) for skill in estimates[0]]

    # Whole numbers below 2^53 after any draw, whose sums are the same on every machine.
    largest = max(1, squares_NR.sum(axis=0).max())
    rounded_NR = np.rint((squares_NR / largest).astype(np.float64) * QUANTUM)
    drawn_MN = times_drawn(n_blocks, resamples=RESAMPLES, seed=seed)
    skill_M = np.concatenate([estimates, _skills(drawn_MN @ rounded_NR)])
    tails = widened_tails(n_blocks)
    return [interval_of(of_null_M, tails) for of_null_M in skill_M.T]


def _skills(squares_MR: F64) -> F64:
    """Skill against each null model, (M, R - 1); nan where that has no error."""
    model_M1 = squares_MR[:, :1]
    null_MR = squares_MR[:, 1:]
    ratio_MR = np.divide(model_M1, null_MR, out=np.full_like(null_MR, np.nan), where=null_MR > 0)
    skills: F64 = 1 - ratio_MR
    return skills


class SpreadBin(NamedTuple):
    """Cells of similar spread."""

    share: float
    """Share of the area that has a spread."""
    spread: float
    """Root mean square of the spread, in the units of the target."""
    rmse: float
    """Root mean squared error, which is the same where the spread can be trusted."""


@dataclass(frozen=True)
class SpreadCalibration:
    """How far the spread can be trusted, as the standard deviation of the truth.

    Of normal errors with the spread that is given, 68 % of the truth lies within one spread of the
    prediction and 95 % within two, and the mean squared z-score is 1.
    """

    within_one: float
    within_two: float
    mean_square_z: float
    """Mean of (error / spread)^2: above 1 the spread is too small."""
    mean_spread: float
    """Root mean square of the spread, in the units of the target."""
    bins: tuple[SpreadBin, ...]


def calibration_of(by_spread_P4: Pooled, scale: ValueScale) -> SpreadCalibration | None:
    """Return how far the spread can be trusted, None where there is none.

    Parameters
    ----------
    by_spread_P4 : array, shape (251, 4)
        Sums by spread, see `value_sums`.
    scale : ValueScale
        What the levels stand for.
    """
    area = int(by_spread_P4[:, SPREAD_AREA].sum())
    if not area:
        return None
    spread_P = np.maximum(np.arange(len(by_spread_P4)), SMALLEST_SPREAD)
    variance_P = (spread_P * scale.step) ** 2
    square_unit = (scale.step / PARTS) ** 2
    area_P = by_spread_P4[:, SPREAD_AREA].astype(np.float64)
    square_error_P = by_spread_P4[:, SPREAD_SQUARE_ERROR].astype(np.float64) * square_unit

    bins = []
    for first, end in pairwise(SPREAD_BINS):
        in_bin = slice(first, end)
        area_of_bin = area_P[in_bin].sum()
        if area_of_bin:
            mean_variance = (area_P[in_bin] @ variance_P[in_bin]) / area_of_bin
            mean_square_error = square_error_P[in_bin].sum() / area_of_bin
            bins.append(
                SpreadBin(
                    share=float(area_of_bin / area),
                    spread=sqrt(mean_variance),
                    rmse=sqrt(mean_square_error),
                )
            )
    return SpreadCalibration(
        within_one=int(by_spread_P4[:, WITHIN_ONE].sum()) / area,
        within_two=int(by_spread_P4[:, WITHIN_TWO].sum()) / area,
        mean_square_z=float((square_error_P / variance_P).sum() / area),
        mean_spread=sqrt(float(area_P @ variance_P) / area),
        bins=tuple(bins),
    )
