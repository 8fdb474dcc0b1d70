"""Scores equal those of the definitions, summed cell by cell."""

import math
from dataclasses import asdict, fields, replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from luray.core.legend import OUTSIDE
from luray.evaluation.metrics import (
    Scores,
    change_by_class,
    change_parts,
    land_only,
    last_change,
    mean_scores,
    persistence,
    random_allocation,
    score,
)
from luray.evaluation.statistics import TwoYears, statistics_of_year, tile_statistics
from tests import reference
from tests.evaluation.cases import WATER, K, bordered, maps


def statistics(case, *, water=WATER):
    initial, truth, predicted, confidence, area = case
    return tile_statistics(
        initial, truth, predicted, cell_area=area, n_classes=K, water=water, confidence=confidence
    )


def statistics_among_years(initial, truth, predicted):
    """Statistics of the year after the initial map, of cells of 1 m2."""
    initial, truth, predicted = map(bordered, (initial, truth, predicted))
    height, width = (n - 1 for n in initial.shape)
    return statistics_of_year(
        initial,
        TwoYears(initial, truth),
        TwoYears(initial, predicted),
        cell_area=np.ones(height),
        n_classes=K,
        water=None,
        confidence=np.zeros((height, width), np.uint8),
        corner=(0, 0),
        side=2,
    )


def close(value):
    return pytest.approx(value, rel=1e-9, abs=1e-12, nan_ok=True)


@given(maps(), st.sampled_from([WATER, None]))
def test_scores_equal_cell_by_cell_scores(case, water):
    initial, truth, predicted, confidence, area = case
    scores = score(statistics(case, water=water), water=water)
    three = initial, truth, predicted, area
    assert (scores.accuracy, scores.macro_f1, scores.weighted_f1, scores.mean_iou) == close(
        reference.quality(*three, K, water, only_changed=False)
    )
    assert (
        scores.change_accuracy,
        scores.change_macro_f1,
        scores.change_weighted_f1,
        scores.change_mean_iou,
    ) == close(reference.quality(*three, K, water, only_changed=True))
    assert (scores.quantity_disagreement, scores.allocation_disagreement) == close(
        reference.disagreement(*three, K, water)
    )
    hits, wrong, misses, alarms = reference.change_parts(*three, water)
    union = hits + wrong + misses + alarms
    assert scores.figure_of_merit == close(hits / union if union else math.nan)
    assert scores.change_ratio == close(
        (hits + wrong + alarms) / (hits + wrong + misses) if hits + wrong + misses else math.nan
    )
    assert scores.net_change_error == close(reference.net_change_error(*three, K, 25, water))
    assert scores.brier == close(
        reference.brier(initial, truth, predicted, confidence, area, water)
    )


@given(maps())
def test_persistence_scores_the_initial_map(case):
    initial, truth, predicted, _, area = case
    known = predicted != 255
    unchanged = np.where(known, initial, 255).astype(np.uint8)
    direct = tile_statistics(initial, truth, unchanged, cell_area=area, n_classes=K, water=WATER)
    derived = persistence(statistics(case))
    np.testing.assert_array_equal(derived.table, direct.table)
    np.testing.assert_array_equal(derived.blocks, direct.blocks)
    np.testing.assert_array_equal(derived.net_change, direct.net_change)
    assert asdict(score(derived, water=WATER)) == close(asdict(score(direct, water=WATER)))


def test_persistence_has_the_texture_of_the_initial_map_and_no_pace():
    """Two columns of one class and two of another; in truth every second cell becomes the other."""
    initial = np.tile(np.array([0, 0, 1, 1], np.uint8), (4, 1))
    truth = initial.copy()
    truth[::2] = 1 - truth[::2]
    predicted = np.zeros_like(initial)
    model = score(statistics_among_years(initial, truth, predicted), water=None)
    null = score(persistence(statistics_among_years(initial, truth, predicted)), water=None)
    same = score(statistics_among_years(initial, truth, initial), water=None)
    assert asdict(null) == close(asdict(same) | {"brier": math.nan, "calibration_error": math.nan})
    assert (model.predicted_change_per_year, model.observed_change_per_year) == (0.5, 0.5)
    assert (null.predicted_change_per_year, null.observed_change_per_year) == (0, 0.5)
    assert null.predicted_patch_width == 24 / 4, "24 pairs, of which 4 across the middle are unlike"
    assert model.observed_patch_width == null.observed_patch_width == 24 / 16
    assert math.isnan(model.predicted_patch_width), "one class has no border"


@given(maps())
def test_a_perfect_prediction_scores_one(case):
    initial, truth, _, _, area = case
    certain = np.full(truth.shape, 100, np.uint8)
    scores = score(statistics((initial, truth, truth, certain, area)), water=WATER)
    assume(scores.observed_change > 0)
    ones = {
        "accuracy",
        "macro_f1",
        "weighted_f1",
        "mean_iou",
        "change_accuracy",
        "change_macro_f1",
        "change_weighted_f1",
        "change_mean_iou",
        "figure_of_merit",
        "figure_of_merit_5",
        "figure_of_merit_25",
        "change_ratio",
    }
    for name, value in asdict(scores).items():
        if name in ones:
            assert value == 1, name
        elif name.endswith(("per_year", "patch_width", "demand_error")):
            assert math.isnan(value), "of a map alone"
        elif name not in ("predicted_change", "observed_change"):
            assert value == close(0) or (name == "net_change_error" and math.isnan(value)), name


@given(maps())
def test_class_changes_balance_and_sum_to_the_total(case):
    table = statistics(case).table
    change = change_by_class(table)
    hits, wrong, misses, alarms = change_parts(table)
    assert change.observed_gain.sum() == change.observed_loss.sum() == hits + wrong + misses
    assert change.predicted_gain.sum() == change.predicted_loss.sum() == hits + wrong + alarms


def test_a_worked_example():
    """Ten cells of class 0: two become 1. Predicted: one of them, one of the others, and one wrong
    class.
    """
    initial = np.zeros((1, 10), np.uint8)
    truth = initial.copy()
    predicted = initial.copy()
    truth[0, :3] = 1
    predicted[0, :4] = [1, 2, 0, 1]
    scores = score(statistics((initial, truth, predicted, None, np.ones(1))), water=WATER)
    assert scores.figure_of_merit == 1 / 4
    assert (scores.accuracy, scores.change_accuracy) == (0.7, 1 / 3)
    assert (scores.predicted_change, scores.observed_change, scores.change_ratio) == (0.3, 0.3, 1)
    assert scores.mean_iou == close(np.mean([6 / 8, 1 / 4, 0])), (
        "class 3 is absent and does not count"
    )
    assert scores.quantity_disagreement == close(0.1)
    assert scores.allocation_disagreement == close(0.2)
    assert math.isnan(scores.brier)


def test_without_change_its_scores_are_nan():
    initial = np.zeros((2, 2), np.uint8)
    still = score(statistics((initial, initial, initial, None, np.ones(2)), water=None), water=None)
    assert still.accuracy == 1
    assert math.isnan(still.figure_of_merit)
    assert math.isnan(still.change_accuracy)
    assert math.isnan(still.change_ratio)


def test_false_alarms_alone_have_a_figure_of_merit_of_zero():
    initial = np.zeros((2, 2), np.uint8)
    alarm = initial.copy()
    alarm[0, 0] = 1
    scores = score(statistics((initial, initial, alarm, None, np.ones(2)), water=None), water=None)
    assert scores.figure_of_merit == 0


def test_water_is_not_scored_but_land_taken_for_it_is_wrong():
    initial = np.array([[0, 0, WATER, 0]], np.uint8)
    truth = np.array([[0, 0, 1, WATER]], np.uint8)
    predicted = np.array([[0, WATER, 1, 0]], np.uint8)
    scores = score(statistics((initial, truth, predicted, None, np.ones(1))), water=WATER)
    assert scores.accuracy == close(2 / 3)
    assert scores.macro_f1 == close((2 / 3 + 1) / 2), "water is no class of the mean"
    assert land_only(np.ones((K, K, K)), water=WATER).sum() == K * (K - 1) * K


@given(maps(), st.integers(1, 3))
def test_null_models_are_what_is_expected_of_random_places(case, lead):
    """Against probabilities that are given to each cell by its initial class."""
    initial, truth, _, _, cell_area = case
    of_maps = statistics(case, water=None)
    known = (initial != OUTSIDE) & (truth != OUTSIDE) & (case[2] != OUTSIDE)
    area = np.broadcast_to(np.rint(cell_area)[:, None], initial.shape)

    observed_KK = np.zeros((K, K))
    np.add.at(observed_KK, (initial[known], truth[known]), area[known])
    rates_KK = np.eye(K)
    for j in range(K):
        if observed_KK[j].sum():
            rates_KK[j] = observed_KK[j] / observed_KK[j].sum()
    after_years_KK = np.eye(K)
    for _ in range(lead):
        after_years_KK = after_years_KK @ rates_KK

    for found, probability_KK in (
        (random_allocation(of_maps), rates_KK),
        (last_change(of_maps, observed_KK, lead=lead), after_years_KK),
    ):
        expected_KKK = np.zeros((K, K, K))
        for j, t, m2 in zip(initial[known], truth[known], area[known], strict=True):
            expected_KKK[j, t] += m2 * probability_KK[j]
        np.testing.assert_allclose(found.table, expected_KKK, rtol=1e-12, atol=1e-3)
        assert math.isnan(score(found, water=None).figure_of_merit_5), "places are not known"


def test_random_places_change_as_much_as_is_observed():
    rng = np.random.default_rng(0)
    initial = rng.integers(0, 3, (40, 40)).astype(np.uint8)
    truth = np.where(rng.random(initial.shape) < 0.2, (initial + 1) % 3, initial).astype(np.uint8)
    of_maps = statistics((initial, truth, truth, None, np.ones(40)), water=None)
    scores = score(random_allocation(of_maps), water=None)
    assert scores.change_ratio == close(1)
    assert scores.quantity_disagreement == close(0)

    drawn = []
    for _ in range(200):
        predicted = initial.copy()
        for j in range(3):
            cells = rng.permutation(np.flatnonzero(initial == j))
            n_changed = int((truth.flat[cells] != j).sum())
            predicted.flat[cells[:n_changed]] = (j + 1) % 3
        maps_of_draw = (initial, truth, predicted, None, np.ones(40))
        drawn.append(score(statistics(maps_of_draw, water=None), water=None).accuracy)
    assert scores.accuracy == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / 200**0.5)


def test_the_mean_leaves_out_years_without_a_score():
    one = Scores(*[1.0] * len(fields(Scores)))
    other = replace(
        one,
        accuracy=0.5,
        figure_of_merit=math.nan,
        predicted_change=0.5,
        observed_change=0.25,
        change_ratio=2.0,
        brier=math.nan,
    )
    mean = mean_scores([one, other, other])
    assert mean.accuracy == close(2 / 3)
    assert mean.figure_of_merit == 1
    ratio_of_means = (2 / 3) / 0.5
    assert mean.change_ratio == close(ratio_of_means), "not the mean of the ratios"
    assert math.isnan(mean_scores([other]).brier)
    with pytest.raises(ValueError, match="no year"):
        mean_scores([])
