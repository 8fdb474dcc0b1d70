"""Agreement with the coarse demand equals a sum cell by cell, and merges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luray.evaluation.demand_agreement import DemandedChange, demand_sums
from luray.evaluation.metrics import persistence, score
from luray.evaluation.statistics import Statistics, TwoYears, statistics_of_year
from tests import reference
from tests.evaluation.cases import K, bordered, maps

GROUPS = ((0,), (2, 3))
"""Class 1 belongs to no group."""


def demand_of(shape, block, seed):
    n_down, n_across = (-(-n // block) for n in shape)
    rng = np.random.default_rng(seed)
    change = rng.uniform(-0.3, 0.3, (len(GROUPS), n_down, n_across)).astype(np.float32)
    change[rng.random(change.shape) < 0.2] = np.nan
    return DemandedChange(GROUPS, block, change)


@given(maps(), st.integers(1, 5), st.integers(0, 99))
def test_sums_equal_those_cell_by_cell(case, block, seed):
    initial, truth, predicted, _, area = case
    demanded = demand_of(initial.shape, block, seed)
    expected = reference.demand_sums(
        initial, truth, predicted, demanded.change_GYX, GROUPS, block, area
    )
    found = demand_sums(initial, truth, predicted, demanded=demanded, cell_area=area)
    assert found.tolist() == expected.tolist()


@given(st.integers(0, 99), st.integers(1, 3))
def test_tiles_of_whole_coarse_cells_add_up(seed, blocks):
    rng = np.random.default_rng(seed)
    three = [rng.integers(0, K, (24, 20)).astype(np.uint8) for _ in range(3)]
    area = rng.uniform(1e5, 1e6, 24)
    demanded = demand_of((24, 20), 4, seed)
    whole = demand_sums(*three, demanded=demanded, cell_area=area)
    side = 4 * blocks
    total = np.zeros(3)
    for row in range(0, 24, side):
        for col in range(0, 20, side):
            cut = [m[row : row + side, col : col + side] for m in three]
            change = demanded.change_GYX[
                :, row // 4 : (row + side) // 4, col // 4 : (col + side) // 4
            ]
            part = demanded._replace(change_GYX=change)
            total += demand_sums(*cut, demanded=part, cell_area=area[row : row + side])
    assert total.tolist() == whole.tolist()


def scores_of(initial, truth, predicted, demanded):
    statistics = statistics_of_year(
        bordered(initial),
        TwoYears(bordered(initial), bordered(truth)),
        TwoYears(bordered(initial), bordered(predicted)),
        cell_area=np.full(len(initial), 1e6),
        n_classes=K,
        water=None,
        confidence=None,
        corner=(0, 0),
        side=5,
        demanded=demanded,
    )
    return statistics, score(statistics, water=None)


def test_what_is_demanded_has_no_error_and_persistence_all():
    rng = np.random.default_rng(0)
    initial = np.zeros((10, 10), np.uint8)
    truth = np.where(rng.random((10, 10)) < 0.3, 2, initial).astype(np.uint8)
    demanded_share = np.add.reduceat(np.add.reduceat(truth == 2, [0, 5], 0), [0, 5], 1) / 25
    change = np.stack([-demanded_share, demanded_share]).astype(np.float32)
    statistics, scores = scores_of(initial, truth, truth, DemandedChange(GROUPS, 5, change))
    assert scores.demand_error == pytest.approx(0, abs=1e-6)
    assert scores.observed_demand_error == scores.demand_error
    null = score(persistence(statistics), water=None)
    assert (null.demand_error, null.observed_demand_error) == (1, scores.observed_demand_error)


def test_without_a_scenario_there_is_no_score():
    _, scores = scores_of(*[np.zeros((5, 5), np.uint8)] * 3, None)
    assert np.isnan([scores.demand_error, scores.observed_demand_error]).all()
    assert Statistics.zeros(3).demand.tolist() == [0, 0, 0]
