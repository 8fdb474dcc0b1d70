"""Scores are those of scikit-learn, cell by cell and weighted by area."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, brier_score_loss, f1_score, jaccard_score

from luray.core.legend import OUTSIDE
from luray.evaluation.metrics import score
from luray.evaluation.statistics import tile_statistics
from tests.evaluation.cases import WATER, K


def random_case(seed):
    rng = np.random.default_rng(seed)
    initial = rng.integers(0, K, (40, 30)).astype(np.uint8)
    truth = np.where(rng.random(initial.shape) < 0.3, rng.integers(0, K, (40, 30)), initial)
    predicted = np.where(rng.random(initial.shape) < 0.3, rng.integers(0, K, (40, 30)), initial)
    outside = rng.random(initial.shape) < 0.2
    maps = [np.where(outside, OUTSIDE, m).astype(np.uint8) for m in (initial, truth, predicted)]
    confidence = rng.integers(0, 101, initial.shape).astype(np.uint8)
    return (*maps, confidence, rng.uniform(1e5, 1e6, 40))


@pytest.mark.parametrize("seed", range(3))
def test_the_four_scores_and_brier_are_those_of_scikit_learn(seed):
    initial, truth, predicted, confidence, area = random_case(seed)
    statistics = tile_statistics(
        initial,
        truth,
        predicted,
        cell_area=area,
        n_classes=K,
        water=WATER,
        confidence=confidence,
    )
    scores = score(statistics, water=WATER)

    area_HW = np.repeat(np.rint(area)[:, None], truth.shape[1], axis=1)
    land = (truth != OUTSIDE) & (truth != WATER)
    for prefix, cells in (("", land), ("change_", land & (truth != initial))):
        true_N = truth[cells]
        predicted_N = predicted[cells]
        weight_N = area_HW[cells]
        present = set(true_N.tolist()) | set(predicted_N.tolist())
        given = {"labels": sorted(present - {WATER}), "sample_weight": weight_N}
        expected = {
            "accuracy": accuracy_score(true_N, predicted_N, sample_weight=weight_N),
            "macro_f1": f1_score(true_N, predicted_N, average="macro", **given),
            "weighted_f1": f1_score(true_N, predicted_N, average="weighted", **given),
            "mean_iou": jaccard_score(true_N, predicted_N, average="macro", **given),
        }
        for name, value in expected.items():
            assert getattr(scores, prefix + name) == pytest.approx(value, rel=1e-12), name

    right_N = truth[land] == predicted[land]
    brier = brier_score_loss(right_N, confidence[land] / 100, sample_weight=area_HW[land])
    assert scores.brier == pytest.approx(brier, rel=1e-12)
