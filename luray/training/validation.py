"""The final report on a model: its scores on cells that it was not trained on, one year ahead.

Shapes: N cells, K classes, see `luray.model.calibration`. Everything is by area.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from luray.core.types import F64
from luray.model.calibration import (
    Cells,
    biases_of_change,
    calibrated_logits,
    log_sum_exp,
    logits_of_class,
    scores,
)
from luray.model.operating_point import Calibration, OperatingPoint

AMOUNTS = np.arange(31) / 20
"""Predicted over observed change at which the trade of accuracy for change is shown."""
EDGES = (0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1)
"""Bins of P(change), finer where most cells lie."""


def validation_report(cells: Cells, points: Mapping[OperatingPoint, Calibration]) -> dict[str, Any]:
    """Score a model at its operating points and between them.

    Parameters
    ----------
    cells : Cells
        Held-out cells.
    points : mapping
        Calibration of each operating point.

    Returns
    -------
    dict
        `cells`, their number. `curve`, the `scores` at each of `AMOUNTS` and at the operating
        points, from little change to much, at the temperature of the cautious point. `points`, for
        each operating point its calibration and scores, its `reliability` and its change by class
        (`classes`).
    """
    temperature = points["cautious"].temperature
    biases_of_points = [calibration.bias for calibration in points.values()]
    biases = np.union1d(biases_of_change(cells, temperature, AMOUNTS), biases_of_points)
    curve = []
    for bias in biases[::-1]:
        calibration = Calibration(temperature, float(bias))
        curve.append({"bias": float(bias)} | scores(cells, calibration))

    return {
        "cells": int(cells.prior_N.size),
        "curve": curve,
        "points": {
            point: _point_report(cells, calibration) for point, calibration in points.items()
        },
    }


def _point_report(cells: Cells, calibration: Calibration) -> dict[str, Any]:
    return {
        **calibration._asdict(),
        **scores(cells, calibration),
        "reliability": reliability(cells, calibration),
        "classes": change_by_class(cells, calibration),
    }


def reliability(cells: Cells, calibration: Calibration) -> list[dict[str, float]]:
    """Compare P(change) with the share that changed, in bins of P(change).

    Returns
    -------
    list of dict
        For each bin that is not empty its edges (`from`, `to`), the `share` of the area in it, the
        mean P(change) (`predicted`) and the share that changed (`observed`).
    """
    p_change_N = _change_probability(cells, calibration)
    changed_N = cells.prior_N != cells.truth_N
    n_bins = len(EDGES) - 1
    bin_N = np.clip(np.searchsorted(EDGES, p_change_N, side="right") - 1, 0, n_bins - 1)

    def sum_by_bin(values_N: Any) -> F64:
        sums: F64 = np.bincount(bin_N, cells.weight_N * values_N, n_bins).astype(np.float64)
        return sums

    area = sum_by_bin(1)
    predicted = sum_by_bin(p_change_N)
    observed = sum_by_bin(changed_N)
    return [
        {
            "from": float(EDGES[i]),
            "to": float(EDGES[i + 1]),
            "share": float(area[i] / area.sum()),
            "predicted": float(predicted[i] / area[i]),
            "observed": float(observed[i] / area[i]),
        }
        for i in np.flatnonzero(area)
    ]


def _change_probability(cells: Cells, calibration: Calibration) -> F64:
    """Calibrated probability that each cell changes, shape (N,)."""
    logits_NK = calibrated_logits(cells, calibration)
    log_p_stay_N = logits_of_class(logits_NK, cells.prior_N) - log_sum_exp(logits_NK)
    # By rounding a class that is certain can be likelier than 1.
    p_change_N: F64 = -np.expm1(np.minimum(log_p_stay_N, 0))
    return p_change_N


def change_by_class(cells: Cells, calibration: Calibration) -> list[dict[str, float]]:
    """Return observed and predicted gain and loss of each class, as shares of the land.

    Returns
    -------
    list of dict
        `observed_gain`, `observed_loss`, `predicted_gain` and `predicted_loss` of each class, in
        model order.
    """
    n_classes = cells.logits_NK.shape[1]
    predicted_N = calibrated_logits(cells, calibration).argmax(axis=1)
    land = cells.weight_N.sum()

    def area_share(class_N: Any, where_N: Any) -> Any:
        weight_N = cells.weight_N[where_N]
        return np.bincount(class_N[where_N], weights=weight_N, minlength=n_classes) / land

    changes_N = cells.truth_N != cells.prior_N
    predicted_change_N = predicted_N != cells.prior_N
    columns = {
        "observed_gain": area_share(cells.truth_N, changes_N),
        "observed_loss": area_share(cells.prior_N, changes_N),
        "predicted_gain": area_share(predicted_N, predicted_change_N),
        "predicted_loss": area_share(cells.prior_N, predicted_change_N),
    }
    return [{name: float(shares[k]) for name, shares in columns.items()} for k in range(n_classes)]
