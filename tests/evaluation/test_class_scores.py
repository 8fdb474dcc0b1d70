"""Scores by class are those of scikit-learn, and of a sum cell by cell."""

from dataclasses import astuple

import numpy as np
import pytest
from sklearn.metrics import f1_score, jaccard_score

from luray.core.legend import OUTSIDE
from luray.evaluation.class_scores import (
    ClassScores,
    class_scores,
    mean_class_scores,
    transition_scores,
)
from luray.evaluation.statistics import cross_tabulate
from tests.evaluation.cases import WATER, K
from tests.evaluation.test_against_scikit_learn import random_case


def case(seed):
    """Three maps, the area of each cell, and their table."""
    *maps, _, area = random_case(seed)
    area_HW = np.repeat(np.rint(area)[:, None], maps[0].shape[1], axis=1)
    return maps, area_HW, cross_tabulate(*maps, cell_area=area, n_classes=K)


@pytest.mark.parametrize("seed", range(3))
def test_f1_and_iou_of_a_class_are_those_of_scikit_learn(seed):
    (initial, truth, predicted), area_HW, table = case(seed)
    scores = class_scores(table, water=WATER)
    land = (truth != OUTSIDE) & (truth != WATER)
    for prefix, cells in (("", land), ("change_", land & (truth != initial))):
        given = {
            "labels": [k for k in range(K) if k != WATER],
            "average": None,
            "sample_weight": area_HW[cells],
        }
        for name, function in (("f1", f1_score), ("iou", jaccard_score)):
            expected = function(truth[cells], predicted[cells], **given)
            found = [getattr(scores[k], prefix + name) for k in given["labels"]]
            assert found == pytest.approx(expected.tolist(), rel=1e-12), prefix + name
    assert np.isnan(astuple(scores[WATER])).all(), "water has no scores"


@pytest.mark.parametrize("seed", range(3))
def test_change_of_a_class_is_its_sum_cell_by_cell(seed):
    maps, area_HW, table = case(seed)
    cells = [
        (i, t, p, area)
        for i, t, p, area in zip(*(m.flat for m in maps), area_HW.flat, strict=True)
        if OUTSIDE not in (i, t, p)
    ]
    on_land = [cell for cell in cells if cell[1] != WATER]
    land = sum(area for *_, area in on_land)
    for k, scores in enumerate(class_scores(table, water=WATER)):
        if k == WATER:
            continue
        observed = sum(a for i, t, _, a in on_land if i != t and k in (i, t))
        predicted = sum(a for i, _, p, a in on_land if i != p and k in (i, p))
        gains = [(i != k and t == k, i != k and p == k, a) for i, t, p, a in on_land]
        hits = sum(a for is_gain, is_foreseen, a in gains if is_gain and is_foreseen)
        either = sum(a for is_gain, is_foreseen, a in gains if is_gain or is_foreseen)
        assert scores.observed_change == pytest.approx(observed / land, rel=1e-12)
        assert scores.predicted_change == pytest.approx(predicted / land, rel=1e-12)
        assert scores.change_ratio == pytest.approx(predicted / observed, rel=1e-12)
        assert scores.figure_of_merit == pytest.approx(hits / either, rel=1e-12)

    transitions = transition_scores(table)
    assert [t.observed_m2 for t in transitions] == sorted(
        (t.observed_m2 for t in transitions), reverse=True
    )
    assert len(transitions) == K * (K - 1)
    for change in transitions:
        observed_and_predicted = [
            (i == change.before and t == change.after, i == change.before and p == change.after, a)
            for i, t, p, a in cells
        ]
        assert change.observed_m2 == sum(a for o, _, a in observed_and_predicted if o)
        assert change.predicted_m2 == sum(a for _, p, a in observed_and_predicted if p)
        assert change.hits_m2 == sum(a for o, p, a in observed_and_predicted if o and p)
        either = sum(a for o, p, a in observed_and_predicted if o or p)
        assert change.figure_of_merit == pytest.approx(change.hits_m2 / either, rel=1e-12)


def test_a_class_that_is_nowhere_has_no_scores():
    table = np.zeros((3, 3, 3))
    table[0, 0, 0] = 10
    of_land, *others = class_scores(table, water=None)
    assert (of_land.f1, of_land.observed_change) == (1, 0)
    assert np.isnan([of_land.change_f1, of_land.figure_of_merit, of_land.change_ratio]).all()
    assert all(np.isnan(scores.f1) for scores in others)
    assert transition_scores(table) == []


def test_a_mean_leaves_out_years_without_a_score_and_weighs_change_by_its_amount():
    quiet = ClassScores(0.5, 0.4, np.nan, np.nan, np.nan, 0.001, 0.0, np.nan)
    busy = ClassScores(0.7, 0.6, 0.2, 0.1, 0.3, 0.019, 0.04, 0.475)
    mean = mean_class_scores([quiet, busy])
    assert astuple(mean) == pytest.approx((0.6, 0.5, 0.2, 0.1, 0.3, 0.01, 0.02, 0.5))
