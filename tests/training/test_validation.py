"""The report on a model: its points lie on the curve, and its bins are those of a slow twin."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.special import softmax

from luray.model.calibration import Cells, calibrate, scores
from luray.model.operating_point import Calibration
from luray.training.validation import EDGES, validation_report

K = 3


def cells_of(n=4000, seed=0):
    """Cells whose truth is drawn from the probabilities that the logits give."""
    random = np.random.default_rng(seed)
    prior = random.integers(0, K, n)
    logits = random.normal(0, 2, (n, K)).astype(np.float32)
    logits[np.arange(n), prior] += 2
    truth = (softmax(logits, axis=1).cumsum(axis=1) > random.random((n, 1))).argmax(axis=1)
    return Cells(logits, prior, truth, random.uniform(0.5, 1.5, n))


CELLS = cells_of()
POINTS = calibrate(CELLS)
REPORT = validation_report(CELLS, POINTS)


def test_the_curve_goes_from_no_change_through_both_points():
    change = [entry["predicted_over_observed"] for entry in REPORT["curve"]]
    assert change == sorted(change)
    assert change[0] == pytest.approx(0, abs=0.01)
    assert change[-1] >= 1.49
    assert np.diff(change).max() < 0.06
    for point, calibration in POINTS.items():
        entries = REPORT["points"][point]
        assert {key: entries[key] for key in ("temperature", "bias")} == calibration._asdict()
        assert entries["accuracy"] == scores(CELLS, calibration)["accuracy"]
        [on_curve] = [e for e in REPORT["curve"] if e["bias"] == calibration.bias]
        assert on_curve["accuracy"] == entries["accuracy"]
        assert on_curve["predicted_over_observed"] == entries["predicted_over_observed"]


def reliability_by_definition(bias):
    """(share, predicted, observed) of every bin of P(change) that has cells."""
    logits = CELLS.logits_NK.astype(float) + bias * (np.arange(K) == CELLS.prior_N[:, None])
    p_change = 1 - softmax(logits, axis=1)[np.arange(len(logits)), CELLS.prior_N]
    changed = CELLS.prior_N != CELLS.truth_N
    bins = []
    for low, high in pairwise(EDGES):
        inside = (p_change >= low) & ((p_change < high) | (high == 1))
        if inside.any():
            weight = CELLS.weight_N[inside]
            predicted = np.average(p_change[inside], weights=weight)
            observed = np.average(changed[inside], weights=weight)
            bins.append((weight.sum() / CELLS.weight_N.sum(), predicted, observed))
    return bins


def test_reliability_is_its_slow_twin():
    biases = {"cautious": 0.0, "unbiased": -2.0}
    points = {point: Calibration(1.0, bias) for point, bias in biases.items()}
    report = validation_report(CELLS, points)
    for point, bias in biases.items():
        bins = report["points"][point]["reliability"]
        found = [(b["share"], b["predicted"], b["observed"]) for b in bins]
        assert np.allclose(found, reliability_by_definition(bias))

    true_model = report["points"]["cautious"]["reliability"]
    assert all(abs(b["predicted"] - b["observed"]) < 0.08 for b in true_model if b["share"] > 0.02)
    biased = report["points"]["unbiased"]["reliability"]
    assert np.mean([b["predicted"] - b["observed"] for b in biased]) > 0.1


def test_gains_and_losses_add_up_to_the_change():
    observed = np.average(CELLS.prior_N != CELLS.truth_N, weights=CELLS.weight_N)
    for point, calibration in POINTS.items():
        classes = REPORT["points"][point]["classes"]
        sums = {name: sum(c[name] for c in classes) for name in classes[0]}
        assert sums["observed_gain"] == pytest.approx(observed)
        assert sums["observed_loss"] == pytest.approx(observed)
        predicted = scores(CELLS, calibration)["predicted_over_observed"] * observed
        assert sums["predicted_gain"] == pytest.approx(predicted)
        assert sums["predicted_loss"] == pytest.approx(predicted)


def test_a_gain_is_the_area_that_comes_to_a_class():
    k = 1
    comes = (CELLS.truth_N == k) & (CELLS.prior_N != k)
    gained = CELLS.weight_N[comes].sum() / CELLS.weight_N.sum()
    classes = REPORT["points"]["cautious"]["classes"]
    assert classes[k]["observed_gain"] == pytest.approx(gained)
