import numpy as np
import pytest
from scipy.special import softmax

from luray.model.calibration import (
    Calibration,
    Cells,
    calibrate,
    calibrated_logits,
    cross_entropy,
    observed_change,
    scores,
    share_of_change,
    thinned,
)

K = 5


def drawn(n=60_000, *, temperature=1.0, bias=0.0, seed=0):
    """Cells whose truth is drawn from known probabilities, and logits that a model distorts: P =
    calibrated(logits).
    """
    random = np.random.default_rng(seed)
    prior = random.integers(0, K, n)
    true = random.normal(size=(n, K)) * 1.2
    true[np.arange(n), prior] += 2.5
    p = softmax(true, axis=1)
    truth = (p.cumsum(axis=1) > random.random((n, 1))).argmax(axis=1)
    logits = true.copy()
    logits[np.arange(n), prior] -= bias
    return Cells(
        (logits * temperature).astype(np.float32), prior, truth, random.uniform(0.5, 1, n)
    ), p


@pytest.mark.parametrize(("temperature", "bias"), [(1.0, 0.0), (2.5, 0.0), (0.6, -1.5), (1.7, 2.0)])
def test_a_distortion_is_found_and_undone(temperature, bias):
    cells, p = drawn(temperature=temperature, bias=bias)
    found = Calibration(calibrate(cells)["cautious"].temperature, bias)
    assert found.temperature == pytest.approx(temperature, rel=0.05)
    assert np.abs(softmax(calibrated_logits(cells, found), axis=1) - p).mean() < 0.01
    for other in (
        Calibration(),
        found._replace(temperature=found.temperature * 1.1),
        found._replace(bias=bias + 0.1),
    ):
        assert other == found or cross_entropy(cells, found) <= cross_entropy(cells, other) + 1e-4


def test_unbiased_predicts_the_observed_amount_and_cautious_less():
    cells, _ = drawn(temperature=1.5, bias=-1)
    points = calibrate(cells)
    assert share_of_change(cells, points["unbiased"]) == pytest.approx(
        observed_change(cells), rel=0.01
    )
    assert share_of_change(cells, points["cautious"]) < observed_change(cells)
    assert points["unbiased"].bias < points["cautious"].bias
    assert points["unbiased"].temperature == points["cautious"].temperature
    truth = cells.truth_N

    def gain(bias):
        told = calibrated_logits(cells, points["cautious"]._replace(bias=bias)).argmax(axis=1)
        return np.average(told == truth, weights=cells.weight_N) - (1 - observed_change(cells))

    best = max(gain(bias) for bias in np.arange(-4, 4, 0.05))
    cautious = points["cautious"].bias
    assert gain(cautious) == pytest.approx(best / 2, rel=0.05), (
        "half of what can be won is kept, the rest is spent"
    )
    assert all(gain(cautious - more) < best / 2 for more in (0.05, 0.3, 1)), (
        "on the most change that it buys"
    )


@pytest.mark.parametrize(("most", "left"), [(10, 10), (9, 5), (3, 3), (1, 1), (99, 10)])
def test_thinned_cells_keep_their_weight(most, left):
    cells = Cells(
        np.arange(20, dtype=np.float32).reshape(10, 2), np.arange(10), np.arange(10), np.ones(10)
    )
    found = thinned(cells, most=most)
    assert found.prior_N.size == left <= most
    assert found.weight_N.sum() == pytest.approx(10, abs=left)
    assert (found.logits_NK[:, 0] == 2 * found.prior_N).all()


def test_where_no_change_pays_none_is_predicted():
    random = np.random.default_rng(0)
    prior, truth = random.integers(0, K, (2, 5000))
    logits = np.where(np.arange(K) == ((truth + 1) % K)[:, None], 1.0, 0.0).astype(
        np.float32
    )  # always wrong
    cells = Cells(logits, prior, truth, np.ones(5000))
    assert share_of_change(cells, calibrate(cells)["cautious"]) == 0


def test_area_weighs():
    cells, _ = drawn()
    half = cells.weight_N * (cells.prior_N == 0)
    only = Cells(*(x[cells.prior_N == 0] for x in cells[:3]), cells.weight_N[cells.prior_N == 0])
    some = calibrate(Cells(*cells[:3], half))["cautious"]
    assert some == pytest.approx(calibrate(only)["cautious"], abs=1e-3)


def test_too_few_changed_cells_are_named():
    cells, _ = drawn(n=500)
    still = Cells(cells.logits_NK, cells.prior_N, cells.prior_N, cells.weight_N)
    with pytest.raises(
        ValueError, match=r"0 of 500 validation cells change, expected at least 100"
    ):
        calibrate(still)


def test_scores_of_a_point_are_those_of_its_cells():
    cells = Cells(
        np.log(np.array([[0.6, 0.4], [0.3, 0.7], [0.2, 0.8], [0.9, 0.1]], np.float32)),
        np.array([0, 0, 1, 0]),
        np.array([0, 1, 1, 1]),
        np.array([1.0, 2.0, 3.0, 4.0]),
    )
    found = scores(cells, Calibration())
    assert found["accuracy"] == pytest.approx(6 / 10)  # the last cell changes and is told not to
    assert found["persistence"] == pytest.approx(4 / 10)
    assert found["figure_of_merit"] == pytest.approx(2 / 6)
    assert found["predicted_over_observed"] == pytest.approx(2 / 6)
    assert found["brier"] == pytest.approx((1 * 0.4**2 + 2 * 0.3**2 + 3 * 0.2**2 + 4 * 0.9**2) / 10)


def test_points_are_chosen_on_the_operating_cells_at_the_temperature_of_the_others():
    cells, _ = drawn(temperature=1.5)
    operating, _ = drawn(bias=1.0, seed=4)
    alone, both = calibrate(cells), calibrate(cells, operating)
    for point in ("cautious", "unbiased"):
        assert both[point].temperature == alone[point].temperature == pytest.approx(1.5, rel=0.05)
        assert both[point].bias != alone[point].bias
    told = share_of_change(operating, both["unbiased"])
    assert told == pytest.approx(observed_change(operating), rel=0.01)
    few = Cells(*(part[:50] for part in operating))
    with pytest.raises(ValueError, match="of 50 validation cells change, expected at least"):
        calibrate(cells, few)
