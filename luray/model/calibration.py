"""Calibration: how a model's logits become probabilities, and how much change it may predict.

Two numbers on top of the weights, fitted on held-out cells. Every logit is divided by a temperature
(Guo et al. 2017, arXiv:1706.04599). Then the class of the prior gets a bias, which shifts the
log-odds of change by its negative.

Shapes: N cells, K classes.
"""

from typing import Any, NamedTuple, TypeVar

import numpy as np

from luray.core.types import F32, F64, I64
from luray.model.operating_point import Calibration, OperatingPoint
from luray.model.value_calibration import ValueCells

KEPT_GAIN = 0.9
"""Share of the best gain in accuracy that the cautious point keeps; the rest is spent on change.

Around the best point accuracy hardly depends on how much change is predicted, so a tenth of the
gain buys half as much change again (`luray/SKILL.md`).
"""

FEWEST_CHANGED_CELLS = 100
"""Changed cells below which a calibration is noise, and is refused."""


class Cells(NamedTuple):
    """Held-out land cells: logits, class of the prior and of the truth, and area in any unit."""

    logits_NK: F32
    prior_N: I64
    truth_N: I64
    weight_N: F64


CellsOfKind = TypeVar("CellsOfKind", Cells, ValueCells)


def n_changed(cells: Cells) -> int:
    """Return how many cells have another class than their prior."""
    return int((cells.prior_N != cells.truth_N).sum())


def calibrate(cells: Cells, operating: Cells | None = None) -> dict[OperatingPoint, Calibration]:
    """Fit both operating points on held-out cells.

    Both points share one temperature, that of least cross-entropy on `cells`. Their biases are
    chosen on `operating`. There the cells are ranked by how readily they change, and a bias says
    how far down this list change is predicted:

    - unbiased: until as much area changes as was observed to change;
    - cautious: as far as `KEPT_GAIN` of the best gain in accuracy over persistence is still there.
      Where predicting change never gains accuracy, no change is predicted.

    Parameters
    ----------
    cells : Cells
        Cells that the temperature is fitted on.
    operating : Cells, optional
        Cells that the biases are chosen on; by default the same.

    Returns
    -------
    dict
        The calibration of each operating point.

    Raises
    ------
    ValueError
        If fewer than `FEWEST_CHANGED_CELLS` of either set of cells change.
    """
    if operating is None:
        operating = cells
    for held_out in (cells, operating):
        if n_changed(held_out) < FEWEST_CHANGED_CELLS:
            raise ValueError(
                f"{n_changed(held_out)} of {held_out.prior_N.size} validation cells change, "
                f"expected at least {FEWEST_CHANGED_CELLS} to fit P(change); hold out more blocks "
                "or years (training.sampling)"
            )

    temperature = _fit_temperature(cells)
    threshold_N, summed_gain_N, _ = _by_readiness(operating, temperature)
    [unbiased_bias] = biases_of_change(operating, temperature, np.ones(1))

    if summed_gain_N.max() > 0:
        # The last such cell, not the first: of all places in the list that keep so much of the
        # gain, this one predicts the most change.
        kept_gain = KEPT_GAIN * summed_gain_N.max()
        last_cautious = np.flatnonzero(summed_gain_N >= kept_gain)[-1]
        cautious_bias = threshold_N[last_cautious]
    else:
        cautious_bias = max(0.0, threshold_N[0] + 1)  # above every cell: none changes

    return {
        "cautious": Calibration(temperature, float(cautious_bias)),
        "unbiased": Calibration(temperature, float(unbiased_bias)),
    }


def biases_of_change(cells: Cells, temperature: float, amounts: F64) -> F64:
    """Return the bias at which each of some amounts of change is predicted.

    Parameters
    ----------
    cells : Cells
        Held-out cells.
    temperature : float
        That the logits are divided by.
    amounts : array
        Predicted over observed change, from 0 on; as much as there is where they ask for more.
    """
    threshold_N, _, summed_area_N = _by_readiness(cells, temperature)
    observed_area = cells.weight_N[cells.prior_N != cells.truth_N].sum()
    last = np.searchsorted(summed_area_N, amounts * observed_area)
    biases: F64 = threshold_N[np.minimum(last, threshold_N.size - 1)]
    return biases


def _fit_temperature(cells: Cells) -> float:
    """Temperature of least cross-entropy, fitted together with a bias that is then dropped."""
    # Imported here: it takes a fifth of the time in which a worker starts, and inference fits
    # nothing.
    from scipy.optimize import minimize

    def entropy(log_temperature_and_bias: F64) -> tuple[float, F64]:
        log_temperature, bias = log_temperature_and_bias
        return cross_entropy_and_slope(
            cells, Calibration(float(np.exp(log_temperature)), float(bias))
        )

    fit = minimize(entropy, np.zeros(2), jac=True, method="BFGS", options={"gtol": 1e-6})
    return float(np.exp(fit.x[0]))


def thinned(cells: CellsOfKind, *, most: int) -> CellsOfKind:
    """Return every n-th cell with n times its weight, so that at most `most` are left."""
    step = max(1, -(-cells.prior_N.size // most))
    fields: Any = (field[::step] for field in cells)
    kept = type(cells)(*fields)
    return kept._replace(weight_N=kept.weight_N * step)


def _by_readiness(cells: Cells, temperature: float) -> tuple[F64, F64, F64]:
    """Return the bias below which each cell changes, those that change most readily first.

    Beside it stand the area that it and the cells before it set right by changing, and their area.
    """
    threshold_N, gain_N = _change_candidates(cells, temperature)
    order = np.argsort(-threshold_N, kind="stable")  # ties stay in order
    return threshold_N[order], gain_N[order].cumsum(), cells.weight_N[order].cumsum()


def _change_candidates(cells: Cells, temperature: float) -> tuple[F64, F64]:
    """Return the bias below which each cell changes, and the area that its change sets right.

    The area is negative where the prior is right and the change would be wrong, and 0 where both
    are wrong.
    """
    logits_NK = calibrated_logits(cells, Calibration(temperature))
    rows_N = np.arange(cells.prior_N.size)
    prior_logit_N = logits_NK[rows_N, cells.prior_N]

    # What a cell would change to is the likeliest class but the prior's.
    logits_NK[rows_N, cells.prior_N] = -np.inf
    other_N = logits_NK.argmax(axis=1)

    becomes_right_N = (other_N == cells.truth_N).astype(np.float64)
    was_right_N = cells.prior_N == cells.truth_N
    threshold_N = logits_NK[rows_N, other_N] - prior_logit_N
    return threshold_N, cells.weight_N * (becomes_right_N - was_right_N)


def scores(cells: Cells, calibration: Calibration) -> dict[str, float]:
    """Score a calibrated model on held-out cells, one year ahead, by area.

    Parameters
    ----------
    cells : Cells
        Held-out cells.
    calibration : Calibration
        The operating point.

    Returns
    -------
    dict
        `accuracy`, and that of `persistence` beside it; `figure_of_merit`, hits / (hits + wrong
        gains + misses + false alarms) after Pontius et al. (2008); `predicted_over_observed`
        change; `brier`, the Brier score of P(change).
    """
    logits_NK = calibrated_logits(cells, calibration)
    predicted_N = logits_NK.argmax(axis=1)
    log_p_stay_N = logits_of_class(logits_NK, cells.prior_N) - log_sum_exp(logits_NK)
    p_change_N = 1 - np.exp(log_p_stay_N)

    weight_N = cells.weight_N
    changes_N = cells.prior_N != cells.truth_N
    predicted_change_N = predicted_N != cells.prior_N
    right_N = predicted_N == cells.truth_N

    hits = weight_N[changes_N & right_N].sum()
    either = weight_N[changes_N | predicted_change_N].sum()
    observed = weight_N[changes_N].sum()
    predicted = weight_N[predicted_change_N].sum()
    return {
        "accuracy": float(np.average(right_N, weights=weight_N)),
        "persistence": float(np.average(~changes_N, weights=weight_N)),
        "figure_of_merit": float(hits / max(either, 1e-12)),
        "predicted_over_observed": float(predicted / max(observed, 1e-12)),
        "brier": float(np.average((p_change_N - changes_N) ** 2, weights=weight_N)),
    }


def calibrated_logits(cells: Cells, calibration: Calibration) -> F64:
    """Return the logits over the temperature, the prior's with the bias; shape (N, K).

    Examples
    --------
    >>> cells = Cells(
    ...     logits_NK=np.array([[2.0, 0.0]], np.float32),
    ...     prior_N=np.array([0]),
    ...     truth_N=np.array([1]),
    ...     weight_N=np.array([1.0]),
    ... )
    >>> calibrated_logits(cells, Calibration(temperature=2.0, bias=-1.5))
    array([[-0.5,  0. ]])
    """
    logits_NK = cells.logits_NK.astype(np.float64) / calibration.temperature
    logits_NK[np.arange(logits_NK.shape[0]), cells.prior_N] += calibration.bias
    return logits_NK


def cross_entropy(cells: Cells, calibration: Calibration) -> float:
    """Return the area-weighted mean of -log P(truth)."""
    logits_NK = calibrated_logits(cells, calibration)
    entropy_N = log_sum_exp(logits_NK) - logits_of_class(logits_NK, cells.truth_N)
    return float(np.average(entropy_N, weights=cells.weight_N))


def cross_entropy_and_slope(cells: Cells, calibration: Calibration) -> tuple[float, F64]:
    """Return `cross_entropy`, and how it rises with the temperature's logarithm and the bias.

    Of the logits over the temperature, the slope is the mean of the truth's minus their mean under
    the model; of the bias, how much more often the model predicts the prior than it is true.
    """
    logits_NK = calibrated_logits(cells, calibration)
    log_sum_N = log_sum_exp(logits_NK)
    entropy_N = log_sum_N - logits_of_class(logits_NK, cells.truth_N)

    probability_NK = np.exp(logits_NK - log_sum_N[:, None])
    p_stay_N = logits_of_class(probability_NK, cells.prior_N)
    stays_N = cells.prior_N == cells.truth_N
    # logits without the bias: those that the temperature divides
    scaled_truth_N = logits_of_class(logits_NK, cells.truth_N) - calibration.bias * stays_N
    scaled_mean_N = (probability_NK * logits_NK).sum(axis=1) - calibration.bias * p_stay_N

    terms = (entropy_N, scaled_truth_N - scaled_mean_N, p_stay_N - stays_N)
    entropy, *slope = (float(np.average(term_N, weights=cells.weight_N)) for term_N in terms)
    return entropy, np.array(slope)


def logits_of_class(logits_NK: F64, class_N: I64) -> F64:
    """Return the logit of one class of each cell, shape (N,)."""
    logits_N: F64 = logits_NK[np.arange(logits_NK.shape[0]), class_N]
    return logits_N


def log_sum_exp(logits_NK: F64) -> F64:
    """Return the logarithm of the sum of the exponentials of each row, shape (N,).

    It takes half the time of SciPy's, which the fit of a temperature calls dozens of times.

    Examples
    --------
    >>> log_sum_exp(np.array([[0.0, 0.0], [1000.0, 1000.0]])) - np.log(2)
    array([   0., 1000.])
    """
    largest_N = logits_NK.max(axis=1)
    sums_N = np.exp(logits_NK - largest_N[:, None]).sum(axis=1)
    log_sums_N: F64 = largest_N + np.log(sums_N)
    return log_sums_N
