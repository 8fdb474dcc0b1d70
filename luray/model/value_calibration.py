"""Calibration of a model of values: its mean error is taken away, and its spread set right.

Two numbers on top of the weights, fitted on held-out cells: the bias is added to the position in
the scale, and the spread is multiplied by the temperature, so that the mean of (error / spread)^2
is 1.
Both operating points are the same: values have no amount of change to choose.

Shapes: N cells.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from luray.core.types import F64
from luray.core.value_scale import ValueScale
from luray.model.operating_point import Calibration, OperatingPoint

FEWEST_CELLS = 100
"""Held-out cells below which a calibration is noise, and is refused."""

EDGES = (0.5, 1.0, 1.5, 2.0, 3.0)
"""Distances from the prediction, in spreads, within which truths are counted."""

LEAST_DEVIATION = 1e-6
"""Smallest standard deviation that an error is divided by, as a share of the scale."""


class ValueCells(NamedTuple):
    """Held-out cells whose value is known: positions in the scale, and area in any unit."""

    mean_N: F64
    """Predicted."""
    deviation_N: F64
    """Predicted standard deviation."""
    prior_N: F64
    """At the step before, NaN where it is not known."""
    truth_N: F64
    weight_N: F64


def calibrate_values(cells: ValueCells) -> dict[OperatingPoint, Calibration]:
    """Fit bias and temperature on held-out cells.

    Raises
    ------
    ValueError
        If there are fewer than `FEWEST_CELLS`.
    """
    if cells.truth_N.size < FEWEST_CELLS:
        raise ValueError(
            f"{cells.truth_N.size} held-out cells have a value, expected at least {FEWEST_CELLS} "
            "to calibrate the spread; hold out more blocks or years (training.sampling)"
        )
    bias = float(np.average(cells.truth_N - cells.mean_N, weights=cells.weight_N))
    error_N = cells.truth_N - np.clip(cells.mean_N + bias, 0, 1)
    ratio_N = error_N / np.maximum(cells.deviation_N, LEAST_DEVIATION)
    temperature = float(np.sqrt(np.average(ratio_N**2, weights=cells.weight_N)))
    point = Calibration(max(temperature, 1e-3), bias)
    return {"cautious": point, "unbiased": point}


def value_scores(
    cells: ValueCells, calibration: Calibration, scale: ValueScale
) -> dict[str, float]:
    """Score a calibrated model on held-out cells, one step ahead, by area.

    Returns
    -------
    dict
        `bias`, `mae` and `rmse` in the unit of the scale; `persistence_rmse`, of the step before;
        `r2`, 1 minus the squared errors over those from the mean truth; `within_1_spread` and
        `within_2_spreads`, shares of the truths (a normal distribution has 0.683 and 0.954).
    """
    size = scale.step * (scale.levels - 1)  # of the scale in its unit
    predicted_N = np.clip(cells.mean_N + calibration.bias, 0, 1)
    error_N = predicted_N - cells.truth_N
    ratio_N = np.abs(error_N) / np.maximum(
        cells.deviation_N * calibration.temperature, LEAST_DEVIATION
    )

    def mean(values_N: Any) -> float:
        return float(np.average(values_N, weights=cells.weight_N))

    known = ~np.isnan(cells.prior_N)
    change_N = (cells.truth_N - cells.prior_N)[known]
    persistence = np.nan
    if known.any():
        persistence = float(np.average(change_N**2, weights=cells.weight_N[known])) ** 0.5
    variance = mean((cells.truth_N - mean(cells.truth_N)) ** 2)
    return {
        "bias": mean(error_N) * size,
        "mae": mean(np.abs(error_N)) * size,
        "rmse": mean(error_N**2) ** 0.5 * size,
        "persistence_rmse": persistence * size,
        "r2": 1 - mean(error_N**2) / max(variance, 1e-12),
        "within_1_spread": mean(ratio_N <= 1),
        "within_2_spreads": mean(ratio_N <= 2),
    }


def value_report(
    cells: ValueCells, points: Mapping[OperatingPoint, Calibration], scale: ValueScale
) -> dict[str, Any]:
    """Return the report on a finished model: its scores, and how far its spread can be trusted.

    Returns
    -------
    dict
        `cells`, their number; `units`; `points`, for each operating point its calibration and
        scores, and in `coverage` the share of truths `within` each of `EDGES` spreads.
    """
    described: dict[str, Any] = {}
    for point, calibration in points.items():
        predicted_N = np.clip(cells.mean_N + calibration.bias, 0, 1)
        spread_N = np.maximum(cells.deviation_N * calibration.temperature, LEAST_DEVIATION)
        ratio_N = np.abs(predicted_N - cells.truth_N) / spread_N
        coverage = [
            {"spreads": edge, "within": float(np.average(ratio_N <= edge, weights=cells.weight_N))}
            for edge in EDGES
        ]
        described[point] = {
            **calibration._asdict(),
            **value_scores(cells, calibration, scale),
            "coverage": coverage,
        }
    return {"cells": int(cells.truth_N.size), "units": scale.units, "points": described}
