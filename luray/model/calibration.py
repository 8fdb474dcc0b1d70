"""Operating points: how a model's logits become probabilities, and how much change it is let
predict.

Two numbers on top of the weights, fitted on held-out cells: every logit is divided by a temperature
(Guo et al. 2017, arXiv:1706.04599), and the class of the prior gets a bias, which shifts the
log-odds of change by its negative. Shapes: N cells, K classes.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from luray.core.types import F32

F64 = NDArray[np.float64]
Index = NDArray[np.int64]

OperatingPoint = Literal["cautious", "unbiased"]
"""Cautious: change is predicted as far as it does not cost accuracy. Unbiased: in the amount that
is observed.
"""

FEWEST = 100
"""Changed cells below which nothing can be fitted."""


class Calibration(NamedTuple):
    """Temperature that logits are divided by, and bias that the prior's class gets then."""

    temperature: float = 1.0
    bias: float = 0.0


PLAIN = Calibration()
"""The weights as they are."""


class Cells(NamedTuple):
    """Held-out land cells: logits of the model, class of the prior and of the truth, and area as
    weight.
    """

    logits_NK: F32
    prior_N: Index
    truth_N: Index
    weight_N: F64


def changed(cells: Cells) -> int:
    """How many cells change."""
    return int((cells.prior_N != cells.truth_N).sum())


def calibrate(cells: Cells, operating: Cells | None = None) -> dict[OperatingPoint, Calibration]:
    """Both operating points from held-out cells.

    Both have the temperature of least cross-entropy (with a bias of its own) on `cells`. On
    `operating`, which is the same cells unless given, the bias then says how far down the list of
    cells, those most likely to change first, change is predicted: unbiased, as much area as was
    observed to change; cautious, as much as still keeps half of the accuracy over persistence that
    the best point of the list has, or none where no point has any. Raises ValueError for fewer than
    `FEWEST` changed cells.
    """
    for some in (cells, operating or cells):
        if changed(some) < FEWEST:
            raise ValueError(
                f"{changed(some)} of {some.prior_N.size} validation cells change, expected at "
                "least "
                f"{FEWEST} to fit P(change); hold out more blocks or years (training.sampling)"
            )

    def entropy(x: F64) -> float:
        return cross_entropy(cells, Calibration(float(np.exp(x[0])), float(x[1])))

    from scipy.optimize import minimize  # a fifth of a worker's imports, and inference fits nothing

    best = minimize(
        entropy, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-9}
    ).x
    temperature, cells = float(np.exp(best[0])), operating or cells
    margin_N, gain_N = _by_likelihood_of_change(cells, temperature)
    weight_N = cells.weight_N[(order := np.argsort(-margin_N, kind="stable"))]
    margin_N, gained_N, area_N = margin_N[order], gain_N[order].cumsum(), weight_N.cumsum()
    observed = cells.weight_N[cells.prior_N != cells.truth_N].sum()
    unbiased = int(np.searchsorted(area_N, observed))
    paying = np.flatnonzero(gained_N >= gained_N.max() / 2)
    cautious = (
        margin_N[paying[-1]] if gained_N.max() > 0 else max(0.0, margin_N[0] + 1)
    )  # else above every cell
    return {
        "cautious": Calibration(temperature, float(cautious)),
        "unbiased": Calibration(temperature, float(margin_N[min(unbiased, margin_N.size - 1)])),
    }


def thinned(cells: Cells, *, most: int) -> Cells:
    """Every n-th cell, so that at most `most` are left, with n times the weight."""
    step = max(1, -(-cells.prior_N.size // most))
    return Cells(
        cells.logits_NK[::step],
        cells.prior_N[::step],
        cells.truth_N[::step],
        cells.weight_N[::step] * step,
    )


def _by_likelihood_of_change(cells: Cells, temperature: float) -> tuple[F64, F64]:
    """Bias below which change is predicted in each cell, and the area that is then right (or,
    negative, wrong).
    """
    out, rows = calibrated_logits(cells, Calibration(temperature)), np.arange(cells.prior_N.size)
    stay = out[rows, cells.prior_N]
    out[rows, cells.prior_N] = -np.inf
    other = out.argmax(axis=1)
    gain = (other == cells.truth_N).astype(np.float64) - (cells.prior_N == cells.truth_N)
    return out[rows, other] - stay, cells.weight_N * gain


def scores(cells: Cells, calibration: Calibration) -> dict[str, float]:
    """Scores at an operating point on held-out cells, one year ahead, by area.

    Accuracy beside persistence; Figure of Merit (hits / (hits + wrong gains + misses + false
    alarms)); predicted over observed change; Brier score of P(change).
    """
    out, (_, prior, truth, weight) = calibrated_logits(cells, calibration), cells
    told, changes = out.argmax(axis=1), prior != truth
    p_change = 1 - np.exp(out[np.arange(prior.size), prior] - logsumexp(out, axis=1))
    hits = weight[changes & (told == truth)].sum()
    return {
        "accuracy": float(np.average(told == truth, weights=weight)),
        "persistence": float(np.average(~changes, weights=weight)),
        "figure_of_merit": float(hits / max(weight[changes | (told != prior)].sum(), 1e-12)),
        "predicted_over_observed": float(
            weight[told != prior].sum() / max(weight[changes].sum(), 1e-12)
        ),
        "brier": float(np.average((p_change - changes) ** 2, weights=weight)),
    }


def calibrated_logits(cells: Cells, calibration: Calibration) -> F64:
    """Calibrated logits, shape (N, K)."""
    out = cells.logits_NK.astype(np.float64) / calibration.temperature
    out[np.arange(out.shape[0]), cells.prior_N] += calibration.bias
    return out


def cross_entropy(cells: Cells, calibration: Calibration) -> float:
    """Area-weighted mean of -log P(truth)."""
    out = calibrated_logits(cells, calibration)
    loss = logsumexp(out, axis=1) - out[np.arange(out.shape[0]), cells.truth_N]
    return float(np.average(loss, weights=cells.weight_N))


def share_of_change(cells: Cells, calibration: Calibration) -> float:
    """Share of the area whose likeliest class is not the prior's."""
    return float(
        np.average(
            calibrated_logits(cells, calibration).argmax(axis=1) != cells.prior_N,
            weights=cells.weight_N,
        )
    )


def observed_change(cells: Cells) -> float:
    """Share of the area that changed."""
    return float(np.average(cells.prior_N != cells.truth_N, weights=cells.weight_N))
