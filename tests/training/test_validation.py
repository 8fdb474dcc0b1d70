from itertools import pairwise

import numpy as np
import pytest
from scipy.special import softmax

from luray.model.calibration import Calibration, Cells, calibrate, scores
from luray.training.validation import BIASES, EDGES, validation_report

K = 3


def cells_of(n=4000, seed=0):
    """Cells whose truth is drawn from the probabilities that the logits give: a model that knows
    what it knows.
    """
    random = np.random.default_rng(seed)
    prior = random.integers(0, K, n)
    logits = random.normal(0, 2, (n, K)).astype(np.float32)
    logits[np.arange(n), prior] += 2
    drawn = (softmax(logits, axis=1).cumsum(axis=1) > random.random((n, 1))).argmax(axis=1)
    return Cells(logits, prior, drawn, random.uniform(0.5, 1.5, n))


CELLS = cells_of()
POINTS = calibrate(CELLS)
REPORT = validation_report(CELLS, POINTS)


def test_points_lie_on_the_curve():
    assert [entry["bias"] for entry in REPORT["curve"]] == pytest.approx(BIASES)
    change = [entry["predicted_over_observed"] for entry in REPORT["curve"]]
    assert change == sorted(change, reverse=True), "a larger bias on the prior predicts less change"
    for point, calibration in POINTS.items():
        found = REPORT["points"][point]
        assert {k: found[k] for k in ("temperature", "bias")} == calibration._asdict()
        assert found["accuracy"] == scores(CELLS, calibration)["accuracy"]
        assert change[-1] <= found["predicted_over_observed"] <= change[0]


def test_reliability_is_the_slow_twin_and_that_of_a_true_model_is_a_diagonal():
    plain = validation_report(
        CELLS, {"cautious": Calibration(), "unbiased": Calibration(1.0, -2.0)}
    )
    for point, bias in (("cautious", 0.0), ("unbiased", -2.0)):
        shown = CELLS.logits_NK.astype(float) + bias * (np.arange(K) == CELLS.prior_N[:, None])
        p = 1 - softmax(shown, axis=1)[np.arange(len(shown)), CELLS.prior_N]
        bins = []
        for low, high in pairwise(EDGES):
            inside = (p >= low) & ((p < high) | (high == 1))
            if inside.any():
                weight = CELLS.weight_N[inside]
                changed = (CELLS.prior_N != CELLS.truth_N)[inside]
                bins.append(
                    (
                        weight.sum() / CELLS.weight_N.sum(),
                        np.average(p[inside], weights=weight),
                        np.average(changed, weights=weight),
                    )
                )
        found = [
            (b["share"], b["predicted"], b["observed"])
            for b in plain["points"][point]["reliability"]
        ]
        assert np.allclose(found, bins)
    honest = plain["points"]["cautious"]["reliability"]
    assert all(abs(b["predicted"] - b["observed"]) < 0.08 for b in honest if b["share"] > 0.02)
    pushed = plain["points"]["unbiased"]["reliability"]
    assert np.mean([b["predicted"] - b["observed"] for b in pushed]) > 0.1


def test_gains_and_losses_of_the_classes_add_up_to_the_change():
    for point, calibration in POINTS.items():
        classes = REPORT["points"][point]["classes"]
        sums = {name: sum(c[name] for c in classes) for name in classes[0]}
        observed = np.average(CELLS.prior_N != CELLS.truth_N, weights=CELLS.weight_N)
        assert (
            sums["observed_gain"] == pytest.approx(sums["observed_loss"]) == pytest.approx(observed)
        )
        ratio = scores(CELLS, calibration)["predicted_over_observed"]
        assert (
            sums["predicted_gain"]
            == pytest.approx(sums["predicted_loss"])
            == pytest.approx(ratio * observed)
        )
    k = 1
    gained = (
        CELLS.weight_N[(CELLS.truth_N == k) & (CELLS.prior_N != k)].sum() / CELLS.weight_N.sum()
    )
    assert REPORT["points"]["cautious"]["classes"][k]["observed_gain"] == pytest.approx(gained)
