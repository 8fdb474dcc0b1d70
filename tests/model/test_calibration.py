"""Calibration: known distortions are undone, and each point predicts the change that it should."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from luray.model.calibration import (
    KEPT_GAIN,
    Cells,
    calibrate,
    calibrated_logits,
    cross_entropy,
    cross_entropy_and_slope,
    log_sum_exp,
    scores,
    thinned,
)
from luray.model.operating_point import Calibration

K = 5


def drawn_cells(n=60_000, *, temperature=1.0, bias=0.0, seed=0):
    """Cells whose truth is drawn from known probabilities, and these probabilities.

    Their logits are distorted: a calibration of `temperature` and `bias` gives the probabilities.
    """
    random = np.random.default_rng(seed)
    prior = random.integers(0, K, n)
    true_logits = random.normal(size=(n, K)) * 1.2
    true_logits[np.arange(n), prior] += 2.5
    p = softmax(true_logits, axis=1)
    truth = (p.cumsum(axis=1) > random.random((n, 1))).argmax(axis=1)

    logits = true_logits.copy()
    logits[np.arange(n), prior] -= bias
    logits = (logits * temperature).astype(np.float32)
    return Cells(logits, prior, truth, random.uniform(0.5, 1, n)), p


def predicted_change(cells, calibration):
    """Share of the area whose likeliest class is not the prior's."""
    predicted = calibrated_logits(cells, calibration).argmax(axis=1)
    return np.average(predicted != cells.prior_N, weights=cells.weight_N)


def observed_change(cells):
    """Share of the area that changed."""
    return np.average(cells.prior_N != cells.truth_N, weights=cells.weight_N)


@pytest.mark.parametrize(("temperature", "bias"), [(1.0, 0.0), (2.5, 0.0), (0.6, -1.5), (1.7, 2.0)])
def test_a_distortion_is_found_and_undone(temperature, bias):
    cells, p = drawn_cells(temperature=temperature, bias=bias)
    fitted = Calibration(calibrate(cells)["cautious"].temperature, bias)
    assert fitted.temperature == pytest.approx(temperature, rel=0.05)
    assert np.abs(softmax(calibrated_logits(cells, fitted), axis=1) - p).mean() < 0.01

    entropy = cross_entropy(cells, fitted)
    hotter = fitted._replace(temperature=fitted.temperature * 1.1)
    for other in (Calibration(), hotter, fitted._replace(bias=bias + 0.1)):
        assert other == fitted or entropy <= cross_entropy(cells, other) + 1e-4


def test_the_slope_of_entropy_is_that_of_differences():
    cells, _ = drawn_cells(2000, temperature=1.5, bias=-1)
    here = np.array([0.3, -0.7])

    def entropy(log_temperature, bias):
        return cross_entropy(cells, Calibration(np.exp(log_temperature), bias))

    steps = np.eye(2) * 1e-5
    differences = [(entropy(*here + step) - entropy(*here - step)) / 2e-5 for step in steps]
    found, slope = cross_entropy_and_slope(cells, Calibration(np.exp(here[0]), here[1]))
    assert found == pytest.approx(entropy(*here), rel=1e-12)
    assert slope == pytest.approx(differences, abs=1e-8)


def test_the_temperature_is_that_of_a_search_without_slopes():
    cells, _ = drawn_cells(5000, temperature=1.7, bias=2.0)

    def entropy(log_temperature_and_bias):
        log_temperature, bias = log_temperature_and_bias
        return cross_entropy(cells, Calibration(np.exp(log_temperature), bias))

    searched = minimize(entropy, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-6})
    fitted = calibrate(cells)["cautious"].temperature
    assert fitted == pytest.approx(np.exp(searched.x[0]), rel=1e-4)


def test_unbiased_predicts_the_observed_amount_and_cautious_less():
    cells, _ = drawn_cells(temperature=1.5, bias=-1)
    points = calibrate(cells)
    observed = observed_change(cells)
    assert predicted_change(cells, points["unbiased"]) == pytest.approx(observed, rel=0.01)
    assert predicted_change(cells, points["cautious"]) < observed
    assert points["unbiased"].bias < points["cautious"].bias
    assert points["unbiased"].temperature == points["cautious"].temperature


def test_cautious_keeps_nine_tenths_of_the_gain():
    cells, _ = drawn_cells(temperature=1.5, bias=-1)
    cautious = calibrate(cells)["cautious"]

    def gain(bias):
        """Accuracy over that of persistence."""
        predicted = calibrated_logits(cells, cautious._replace(bias=bias)).argmax(axis=1)
        accuracy = np.average(predicted == cells.truth_N, weights=cells.weight_N)
        return accuracy - (1 - observed_change(cells))

    best = max(gain(bias) for bias in np.arange(-4, 4, 0.05))
    assert gain(cautious.bias) == pytest.approx(KEPT_GAIN * best, rel=0.02)
    assert all(gain(cautious.bias - more) < KEPT_GAIN * best for more in (0.05, 0.3, 1)), (
        "the rest is spent on the most change that it buys"
    )


@pytest.mark.parametrize(("most", "left"), [(10, 10), (9, 5), (3, 3), (1, 1), (99, 10)])
def test_thinned_cells_keep_their_weight(most, left):
    logits = np.arange(20, dtype=np.float32).reshape(10, 2)
    cells = Cells(logits, np.arange(10), np.arange(10), np.ones(10))
    thin = thinned(cells, most=most)
    assert thin.prior_N.size == left <= most
    assert thin.weight_N.sum() == pytest.approx(10, abs=left)
    assert (thin.logits_NK[:, 0] == 2 * thin.prior_N).all()


def test_where_no_change_pays_none_is_predicted():
    random = np.random.default_rng(0)
    prior, truth = random.integers(0, K, (2, 5000))
    always_wrong = np.where(np.arange(K) == ((truth + 1) % K)[:, None], 1.0, 0.0)
    cells = Cells(always_wrong.astype(np.float32), prior, truth, np.ones(5000))
    assert predicted_change(cells, calibrate(cells)["cautious"]) == 0


def test_cells_without_area_do_not_count():
    cells, _ = drawn_cells()
    counted = cells.prior_N == 0
    weighted = cells._replace(weight_N=cells.weight_N * counted)
    selected = Cells(*(field[counted] for field in cells))
    expected = calibrate(selected)["cautious"]
    assert calibrate(weighted)["cautious"] == pytest.approx(expected, abs=1e-3)


def test_too_few_changed_cells_are_refused():
    cells, _ = drawn_cells(n=500)
    unchanged = cells._replace(truth_N=cells.prior_N)
    with pytest.raises(
        ValueError, match=r"0 of 500 validation cells change, expected at least 100"
    ):
        calibrate(unchanged)


def test_scores_of_four_cells():
    cells = Cells(
        np.log(np.array([[0.6, 0.4], [0.3, 0.7], [0.2, 0.8], [0.9, 0.1]], np.float32)),
        np.array([0, 0, 1, 0]),
        np.array([0, 1, 1, 1]),
        np.array([1.0, 2.0, 3.0, 4.0]),
    )
    found = scores(cells, Calibration())
    assert found["accuracy"] == pytest.approx(6 / 10)  # the last cell changes, unpredicted
    assert found["persistence"] == pytest.approx(4 / 10)
    assert found["figure_of_merit"] == pytest.approx(2 / 6)
    assert found["predicted_over_observed"] == pytest.approx(2 / 6)
    assert found["brier"] == pytest.approx((1 * 0.4**2 + 2 * 0.3**2 + 3 * 0.2**2 + 4 * 0.9**2) / 10)


def test_biases_come_from_the_operating_cells():
    cells, _ = drawn_cells(temperature=1.5)
    operating, _ = drawn_cells(bias=1.0, seed=4)
    alone = calibrate(cells)
    both = calibrate(cells, operating)
    for point in ("cautious", "unbiased"):
        assert both[point].temperature == alone[point].temperature == pytest.approx(1.5, rel=0.05)
        assert both[point].bias != alone[point].bias

    predicted = predicted_change(operating, both["unbiased"])
    assert predicted == pytest.approx(observed_change(operating), rel=0.01)

    few = Cells(*(field[:50] for field in operating))
    with pytest.raises(ValueError, match="of 50 validation cells change, expected at least"):
        calibrate(cells, few)


def test_log_sum_exp_is_that_of_scipy():
    logits = np.random.default_rng(0).normal(size=(1000, K)) * 10.0 ** np.arange(K)
    logits[0] = -np.inf, 1e4, -1e4, 0, 1e4
    np.testing.assert_allclose(log_sum_exp(logits), logsumexp(logits, axis=1), rtol=1e-12)
