"""Operating points: how a model's logits become probabilities, and how much change it is let predict.

Two numbers on top of the weights, fitted on held-out cells: every logit is divided by a temperature (Guo et al. 2017,
arXiv:1706.04599), and the class of the prior gets a bias, which shifts the log-odds of change by its negative. Shapes:
N cells, K classes.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize
from scipy.special import logsumexp

from luray.schema import F32

F64 = NDArray[np.float64]
Index = NDArray[np.int64]

OperatingPoint = Literal["cautious", "unbiased"]
"""Cautious: change is predicted where it is likelier than not. Unbiased: in the amount that is observed."""

FEWEST = 100
"""Changed cells below which nothing can be fitted."""
SPAN = 20.0
"""Largest bias of either sign."""


class Calibration(NamedTuple):
    """Temperature that logits are divided by, and bias that the prior's class gets then."""

    temperature: float = 1.0
    bias: float = 0.0


PLAIN = Calibration()
"""The weights as they are."""


def calibrated(logits_BKHW: F32, prior_BKHW: F32, calibration: Calibration) -> F32:
    """Logits at an operating point, same shape; `prior_BKHW` is the one-hot prior."""
    if calibration == PLAIN:
        return logits_BKHW
    return logits_BKHW / np.float32(calibration.temperature) + prior_BKHW * np.float32(calibration.bias)


class Cells(NamedTuple):
    """Held-out land cells: logits of the model, class of the prior and of the truth, and area as weight."""

    logits_NK: F32
    prior_N: Index
    truth_N: Index
    weight_N: F64


def calibrate(cells: Cells) -> dict[OperatingPoint, Calibration]:
    """Both operating points from held-out cells.

    Cautious has the temperature and bias of least cross-entropy, so that P(change) is what happens; unbiased the same
    temperature, and the bias at which as much area is predicted to change as did. Raises ValueError for fewer than
    `FEWEST` changed cells.
    """
    changed = int((cells.prior_N != cells.truth_N).sum())
    if changed < FEWEST:
        raise ValueError(f"{changed} of {cells.prior_N.size} validation cells change, expected at least {FEWEST} to "
                         "fit P(change); hold out more blocks or years (training.sampling)")

    def entropy(x: F64) -> float:
        return cross_entropy(cells, Calibration(float(np.exp(x[0])), float(x[1])))

    best = minimize(entropy, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-9}).x
    cautious = Calibration(float(np.exp(best[0])), float(best[1]))

    def excess(bias: float) -> float:
        return share_of_change(cells, cautious._replace(bias=bias)) - observed_change(cells)

    bias = float(brentq(excess, -SPAN, SPAN, xtol=1e-4)) if excess(-SPAN) > 0 > excess(SPAN) else cautious.bias
    return {"cautious": cautious, "unbiased": cautious._replace(bias=bias)}


def judged(cells: Cells, calibration: Calibration) -> dict[str, float]:
    """Scores at an operating point on held-out cells, one year ahead, by area.

    Accuracy beside persistence; Figure of Merit (hits / (hits + wrong gains + misses + false alarms)); predicted over
    observed change; Brier score of P(change).
    """
    out, (_, prior, truth, weight) = scores(cells, calibration), cells
    told, changes = out.argmax(axis=1), prior != truth
    p_change = 1 - np.exp(out[np.arange(prior.size), prior] - logsumexp(out, axis=1))
    hits = weight[changes & (told == truth)].sum()
    return {"accuracy": float(np.average(told == truth, weights=weight)),
            "persistence": float(np.average(~changes, weights=weight)),
            "figure_of_merit": float(hits / max(weight[changes | (told != prior)].sum(), 1e-12)),
            "predicted_over_observed": float(weight[told != prior].sum() / max(weight[changes].sum(), 1e-12)),
            "brier": float(np.average((p_change - changes) ** 2, weights=weight))}


def scores(cells: Cells, calibration: Calibration) -> F64:
    """Calibrated logits, shape (N, K)."""
    out = cells.logits_NK.astype(np.float64) / calibration.temperature
    out[np.arange(out.shape[0]), cells.prior_N] += calibration.bias
    return out


def cross_entropy(cells: Cells, calibration: Calibration) -> float:
    """Area-weighted mean of -log P(truth)."""
    out = scores(cells, calibration)
    loss = logsumexp(out, axis=1) - out[np.arange(out.shape[0]), cells.truth_N]
    return float(np.average(loss, weights=cells.weight_N))


def share_of_change(cells: Cells, calibration: Calibration) -> float:
    """Share of the area whose likeliest class is not the prior's."""
    return float(np.average(scores(cells, calibration).argmax(axis=1) != cells.prior_N, weights=cells.weight_N))


def observed_change(cells: Cells) -> float:
    """Share of the area that changed."""
    return float(np.average(cells.prior_N != cells.truth_N, weights=cells.weight_N))
