"""Skill of values: intervals, verdicts in words, and null models whose errors are known."""

import numpy as np
import pytest

from luray.core.value_scale import ValueScale
from luray.evaluation.significance import FEWEST_BLOCKS
from luray.evaluation.value_scores import (
    SPREAD_BINS,
    calibration_of,
    scores_of_row,
    skill_intervals,
)
from luray.evaluation.value_skill import finding_of, skill_of_values
from luray.evaluation.value_sums import (
    AREA,
    NONE,
    SPREADS,
    SUMS,
    BlockSquares,
    in_parts,
    merge_values,
    pooled,
    value_sums,
)
from tests.evaluation.value_cases import LAI, value_outcome

SCALE = ValueScale("m", 0.0, 0.5, 200)


@pytest.mark.parametrize(
    ("changed", "verdict", "opening"),
    [
        ({}, "better", "Better than all null models"),
        (
            {"error": 9.0},
            "worse",
            "Worse than seasonal persistence, climatology of the cell and climatology of all land",
        ),
        (
            {"error": 8.0},
            "cannot be told",
            "Cannot be told from seasonal persistence, climatology of the cell and climatology of all "
            "land",
        ),
        (
            {"side": 12},
            "cannot be told",
            "Smaller error than all null models, in too few places to be certain",
        ),
        (
            {"side": 12, "error": 9.0, "time": "year", "years": 3},
            "cannot be told",
            "Does not beat any null model",
        ),
    ],
)
def test_the_verdict_names_what_is_not_beaten(changed, verdict, opening):
    outcome = value_outcome("t", **changed)
    finding = finding_of(skill_of_values(outcome, LAI.scale), LAI.scale)
    assert (finding.verdict, finding.opening) == (verdict, opening)
    assert ("too few places" in finding.sentences[-1]) == ("side" in changed)


def test_intervals_hold_the_skill_and_widen_with_fewer_blocks():
    narrow, wide = (
        skill_of_values(value_outcome("t", side=side), LAI.scale).intervals["climatology"]
        for side in (2, 6)
    )
    assert narrow.estimate == wide.estimate
    for interval in (narrow, wide):
        assert interval.low < interval.estimate < interval.high
    assert wide.high - wide.low > narrow.high - narrow.low


def test_intervals_are_those_of_resampled_blocks():
    """Against a bootstrap written out, without its widening of the tails."""
    random = np.random.default_rng(0)
    squares = random.integers(1, 1000, (400, 2)) * 10**12
    places = np.stack([np.arange(400), np.zeros(400, int)], axis=1)
    [interval] = skill_intervals(BlockSquares(1, places, squares.astype(object)))
    skills = []
    for _ in range(3000):
        model, null = squares[random.integers(0, 400, 400)].astype(float).sum(axis=0)
        skills.append(1 - model / null)
    low, high = np.quantile(skills, [0.025, 0.975])
    assert interval.estimate == pytest.approx(1 - squares[:, 0].sum() / squares[:, 1].sum())
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.02)


def test_few_blocks_have_no_interval():
    squares = np.ones((FEWEST_BLOCKS - 1, 3), object)
    places = np.stack([np.arange(len(squares))] * 2, axis=1)
    for interval in skill_intervals(BlockSquares(1, places, squares)):
        assert interval.estimate == 0
        assert np.isnan(interval.low)


def test_sums_of_a_whole_globe_do_not_overflow():
    """The largest errors on all land of the Earth, in one step, and over 1000 steps."""
    land_km2 = 149_000_000
    sums = value_sums(
        in_parts(np.full((1, land_km2 // 10_000), 249, np.uint8)),
        np.zeros((1, 1, land_km2 // 10_000), np.int16),
        np.zeros((1, land_km2 // 10_000), np.int16),
        spread_HW=None,
        zone_HW=np.zeros((1, land_km2 // 10_000), np.uint8),
        n_zones=0,
        cell_area=np.array([1e10]),
        corner=(0, 0),
        side=10,
    )
    total = pooled([sums.all_land_RC] * 1000)
    [scores] = [scores_of_row(of_row, SCALE) for of_row in total]
    assert scores.area_km2 == 1000 * land_km2
    assert scores.rmse == pytest.approx(249 * 0.5)
    assert scores.bias == pytest.approx(-249 * 0.5)


def test_a_row_without_cells_has_no_scores():
    scores = scores_of_row(np.zeros(SUMS, object), SCALE)
    assert scores.area_km2 == 0
    assert np.isnan([scores.bias, scores.rmse, scores.r2]).all()


def test_truth_that_does_not_vary_has_no_r2():
    sums = value_sums(
        np.full((2, 2), 24, np.int16),
        np.full((1, 2, 2), 32, np.int16),
        np.full((2, 2), 24, np.int16),
        spread_HW=None,
        zone_HW=np.zeros((2, 2), np.uint8),
        n_zones=0,
        cell_area=np.full(2, 100.0),
        corner=(0, 0),
        side=2,
    )
    scores = scores_of_row(sums.all_land_RC[0], SCALE)
    assert (scores.bias, scores.rmse) == (0.5, 0.5)
    assert np.isnan([scores.r2, scores.anomaly_correlation]).all()


def test_gaps_and_cells_of_no_zone_count_as_they_should():
    truth = np.array([[8, NONE, 16]], np.int16)
    sums = value_sums(
        truth,
        np.array([[[8, 8, 8]]], np.int16),
        np.array([[8, NONE, 8]], np.int16),
        spread_HW=np.array([[255, 1, 2]], np.uint8),
        zone_HW=np.array([[0, 0, 7]], np.uint8),
        n_zones=1,
        cell_area=np.full(1, 300.0),
        corner=(4, 6),
        side=4,
    )
    assert sums.by_zone_ZRC[:, 0, AREA].tolist() == [3, 3]
    assert sums.by_spread_P4.sum(axis=0).tolist() == [3, 3, 3, 3 * 64], "no spread, no calibration"
    assert sums.blocks.places_N2.tolist() == [[1, 1], [1, 2]]


def test_a_right_spread_is_calibrated():
    calibration = skill_of_values(value_outcome("t", error=6.0, spread=6), LAI.scale).calibration
    assert calibration.within_one == pytest.approx(0.683, abs=0.03)
    assert calibration.within_two == pytest.approx(0.954, abs=0.02)
    assert calibration.mean_square_z == pytest.approx(1, abs=0.05)
    [in_bin] = calibration.bins
    assert in_bin.spread == pytest.approx(6 * 0.05)
    assert in_bin.rmse == pytest.approx(0.3, rel=0.05)
    too_small = skill_of_values(value_outcome("t", error=6.0, spread=3), LAI.scale).calibration
    assert too_small.mean_square_z == pytest.approx(4, rel=0.1)


def test_bins_hold_every_spread_and_none_is_no_calibration():
    by_spread = np.zeros((SPREADS, 4), object)
    assert calibration_of(by_spread, SCALE) is None
    by_spread[:, 0] = 1
    shares = [in_bin.share for in_bin in calibration_of(by_spread, SCALE).bins]
    assert len(shares) == len(SPREAD_BINS) - 1
    assert sum(shares) == pytest.approx(1)


def test_sums_of_other_zones_or_blocks_do_not_merge():
    whole = value_outcome("t").tally
    step = min(whole)
    for other in (value_outcome("t", side=8), value_outcome("t", zones=("a",))):
        with pytest.raises(ValueError, match="cannot be merged; evaluate every tile"):
            merge_values([whole, {step: other.tally[step]}])
