import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from luray.evaluation.metrics import (
    Scores,
    change_by_class,
    change_parts,
    judged,
    mean_scores,
    persistence,
    score,
)
from luray.evaluation.statistics import tile_statistics
from tests import reference
from tests.evaluation.cases import WATER, K, maps


def statistics(case, *, water=WATER):
    initial, truth, predicted, confidence, area = case
    return tile_statistics(
        initial, truth, predicted, cell_area=area, n_classes=K, water=water, confidence=confidence
    )


def close(value):
    return pytest.approx(value, rel=1e-9, abs=1e-12, nan_ok=True)


@given(maps(), st.sampled_from([WATER, None]))
def test_scores_equal_cell_by_cell_scores(case, water):
    initial, truth, predicted, confidence, area = case
    found = score(statistics(case, water=water), water=water)
    three = initial, truth, predicted, area
    assert (found.accuracy, found.macro_f1, found.weighted_f1, found.mean_iou) == close(
        reference.quality(*three, K, water, only_changed=False)
    )
    assert (
        found.change_accuracy,
        found.change_macro_f1,
        found.change_weighted_f1,
        found.change_mean_iou,
    ) == close(reference.quality(*three, K, water, only_changed=True))
    assert (found.quantity_disagreement, found.allocation_disagreement) == close(
        reference.disagreement(*three, K, water)
    )
    hits, wrong, misses, alarms = reference.change_parts(*three, water)
    union = hits + wrong + misses + alarms
    assert found.figure_of_merit == close(hits / union if union else math.nan)
    assert found.change_ratio == close(
        (hits + wrong + alarms) / (hits + wrong + misses) if hits + wrong + misses else math.nan
    )
    assert found.net_change_error == close(reference.net_change_error(*three, K, 25, water))
    assert found.brier == close(reference.brier(initial, truth, predicted, confidence, area, water))


@given(maps())
def test_the_persistence_row_is_the_score_of_the_initial_map(case):
    initial, truth, predicted, _, area = case
    known = predicted != 255
    unchanged = np.where(known, initial, 255).astype(np.uint8)
    direct = tile_statistics(initial, truth, unchanged, cell_area=area, n_classes=K, water=WATER)
    derived = persistence(statistics(case))
    np.testing.assert_array_equal(derived.table, direct.table)
    np.testing.assert_array_equal(derived.blocks, direct.blocks)
    np.testing.assert_array_equal(derived.net_change, direct.net_change)
    assert asdict(score(derived, water=WATER)) == close(asdict(score(direct, water=WATER)))


@given(maps())
def test_a_perfect_prediction_scores_one_and_has_no_disagreement(case):
    initial, truth, _, _, area = case
    found = score(
        tile_statistics(
            initial,
            truth,
            truth,
            cell_area=area,
            n_classes=K,
            water=WATER,
            confidence=np.full(truth.shape, 100, np.uint8),
        ),
        water=WATER,
    )
    assume(found.observed_change > 0)
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
    for name, value in asdict(found).items():
        if name in ones:
            assert value == 1, name
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
    truth, predicted = initial.copy(), initial.copy()
    truth[0, :3] = 1
    predicted[0, :4] = [1, 2, 0, 1]
    found = score(statistics((initial, truth, predicted, None, np.ones(1))), water=WATER)
    assert found.figure_of_merit == 1 / 4
    assert (found.accuracy, found.change_accuracy) == (0.7, 1 / 3)
    assert (found.predicted_change, found.observed_change, found.change_ratio) == (0.3, 0.3, 1)
    assert found.mean_iou == close(np.mean([6 / 8, 1 / 4, 0])), (
        "class 3 is absent and does not count"
    )
    assert found.quantity_disagreement == close(0.1)
    assert found.allocation_disagreement == close(0.2)
    assert math.isnan(found.brier)


def test_without_change_its_scores_are_nan_and_false_alarms_are_not():
    initial = np.zeros((2, 2), np.uint8)
    still = score(
        tile_statistics(initial, initial, initial, cell_area=np.ones(2), n_classes=K, water=None),
        water=None,
    )
    assert still.accuracy == 1
    assert math.isnan(still.figure_of_merit)
    assert math.isnan(still.change_accuracy)
    assert math.isnan(still.change_ratio)
    alarm = initial.copy()
    alarm[0, 0] = 1
    assert (
        score(
            tile_statistics(initial, initial, alarm, cell_area=np.ones(2), n_classes=K, water=None),
            water=None,
        ).figure_of_merit
        == 0
    )


def test_true_water_is_not_judged_but_land_taken_for_water_is_an_error():
    initial = np.array([[0, 0, WATER, 0]], np.uint8)
    truth = np.array([[0, 0, 1, WATER]], np.uint8)
    predicted = np.array([[0, WATER, 1, 0]], np.uint8)
    found = score(statistics((initial, truth, predicted, None, np.ones(1))), water=WATER)
    assert found.accuracy == close(2 / 3)
    assert found.macro_f1 == close((2 / 3 + 1) / 2), "water is no class of the mean"
    assert judged(np.ones((K, K, K)), water=WATER).sum() == K * (K - 1) * K


def test_the_mean_leaves_out_years_without_a_score():
    one = Scores(*[1.0] * len(asdict(_any_scores())))
    other = Scores(
        **{
            **asdict(one),
            "accuracy": 0.5,
            "figure_of_merit": math.nan,
            "predicted_change": 0.5,
            "observed_change": 0.25,
            "change_ratio": 2.0,
            "brier": math.nan,
        }
    )
    mean = mean_scores([one, other, Scores(**{**asdict(other), "brier": math.nan})])
    assert mean.accuracy == close(2 / 3)
    assert mean.figure_of_merit == 1
    assert mean.change_ratio == close((2 / 3) / 0.5), (
        "the ratio of the means, not the mean of ratios"
    )
    assert math.isnan(mean_scores([other]).brier)
    with pytest.raises(ValueError, match="no year"):
        mean_scores([])


def _any_scores():
    a = np.zeros((1, 1), np.uint8)
    return score(
        tile_statistics(a, a, a, cell_area=np.ones(1), n_classes=K, water=None), water=None
    )
