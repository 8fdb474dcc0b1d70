"""The final report on a model: what it says of cells that it was not trained on, one year ahead.

Shapes: N cells, K classes, see `calibration`. Everything is by area.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import logsumexp

from luray.model.calibration import Calibration, Cells, OperatingPoint, calibrated_logits, scores

BIASES = np.arange(-3, 2.01, 0.25)
"""Biases of the prior's class at which the trade of accuracy for change is shown."""
EDGES = (0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1)
"""Bins of P(change)."""


def validation_report(cells: Cells, points: Mapping[OperatingPoint, Calibration]) -> dict[str, Any]:
    """Scores of each operating point, the curve that they lie on, and reliability and change by
    class at each.

    `curve` has an entry a bias, at the temperature of the cautious point; `reliability` has the
    share of the area, the mean P(change) and the share that changed in each bin of P(change) that
    is not empty; `classes` the observed and predicted gain and loss of each class as shares of the
    land.
    """
    temperature = points["cautious"].temperature
    curve = [
        {"bias": float(bias)} | scores(cells, Calibration(temperature, float(bias)))
        for bias in BIASES
    ]
    return {
        "cells": int(cells.prior_N.size),
        "curve": curve,
        "points": {
            point: calibration._asdict()
            | scores(cells, calibration)
            | {
                "reliability": reliability(cells, calibration),
                "classes": by_class(cells, calibration),
            }
            for point, calibration in points.items()
        },
    }


def reliability(cells: Cells, calibration: Calibration) -> list[dict[str, float]]:
    """P(change) against the share that changed, in bins."""
    out, rows = calibrated_logits(cells, calibration), np.arange(cells.prior_N.size)
    p_change_N = -np.expm1(np.minimum(out[rows, cells.prior_N] - logsumexp(out, axis=1), 0))
    changed_N = cells.prior_N != cells.truth_N
    bin_N = np.clip(np.searchsorted(EDGES, p_change_N, side="right") - 1, 0, len(EDGES) - 2)
    area, told, seen = (
        np.bincount(bin_N, weights=cells.weight_N * x, minlength=len(EDGES) - 1)
        for x in (1, p_change_N, changed_N)
    )
    return [
        {
            "share": float(area[i] / area.sum()),
            "predicted": float(told[i] / area[i]),
            "observed": float(seen[i] / area[i]),
        }
        for i in np.flatnonzero(area)
    ]


def by_class(cells: Cells, calibration: Calibration) -> list[dict[str, float]]:
    """Observed and predicted gain and loss of each class, in model order, as shares of the land."""
    told_N, n = calibrated_logits(cells, calibration).argmax(axis=1), cells.logits_NK.shape[1]
    total = cells.weight_N.sum()

    def share(classes_N: Any, where_N: Any) -> Any:
        return np.bincount(classes_N[where_N], weights=cells.weight_N[where_N], minlength=n) / total

    seen_N, moves_N = cells.truth_N != cells.prior_N, told_N != cells.prior_N
    columns = {
        "observed_gain": share(cells.truth_N, seen_N),
        "observed_loss": share(cells.prior_N, seen_N),
        "predicted_gain": share(told_N, moves_N),
        "predicted_loss": share(cells.prior_N, moves_N),
    }
    return [{name: float(values[k]) for name, values in columns.items()} for k in range(n)]
