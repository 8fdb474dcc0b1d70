import pickle
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luray.model.samples import SamplePlan
from luray.windows import Core, Tiling

TILING = Tiling(400, 800, 48, 32, 64)
CORES = (Core(0, 0), Core(3, 7), Core(12, 20))


def plan_of(**options):
    numbers = {"tiling": TILING, "cores": CORES, "first_year": 1960, "last_year": 1969, "rollout_years": 3,
               "direction": "forward"}
    return SamplePlan(**numbers | options)


@given(k=st.integers(0, 2**40), seed=st.integers(0, 2**31))
def test_a_sample_is_a_pure_function_of_seed_and_number(k, seed):
    plan = plan_of(seed=seed)
    draw = plan[k]
    for other in random.Random(k).sample(range(100), 5):
        _ = plan[other]
    assert plan[k] == draw == pickle.loads(pickle.dumps(plan_of(seed=seed)))[k]


@given(k=st.integers(0, 2**40))
def test_directions_see_the_same_window_and_the_same_years_the_other_way(k):
    forward, backward = plan_of()[k], plan_of(direction="backward")[k]
    assert forward.box == backward.box
    assert forward.years == backward.years[::-1]
    assert list(np.diff(forward.years)) == [1, 1, 1]


@given(k=st.integers(0, 2**40))
def test_a_sample_lies_within_the_years_and_touches_its_core(k):
    box, years = plan_of()[k]
    assert set(years) <= set(range(1960, 1970))
    assert len(years) == 4
    assert box.shape == (48, 48)
    assert any(abs(box.row - w.row) <= 16 and abs(box.col - w.col) <= 16 for w in map(TILING.window_box, CORES))


def test_windows_years_and_shifts_are_drawn_evenly():
    plan = plan_of(cores=tuple(Core(r, c) for r in (0, 4) for c in (0, 4, 8)))
    draws = [plan[k] for k in range(4000)]
    assert len(set(draws)) > 3000
    firsts = np.bincount([d.years[0] - 1960 for d in draws])
    assert len(firsts) == 7, "the last start leaves room for the whole rollout"
    corners = np.array([(d.box.row + 8 + 16, d.box.col + 8 + 16) for d in draws])
    homes = np.unique(corners // 128, axis=0, return_counts=True)[1]
    shifts = np.bincount(corners[:, 0] % 128)
    assert len(shifts) == 33
    for counts in (firsts, homes, shifts):
        expected = len(draws) / len(counts)
        assert ((counts - expected) ** 2 / expected).sum() < len(counts) + 5 * (2 * len(counts)) ** 0.5


def test_seeds_differ():
    assert [plan_of(seed=1)[k] for k in range(20)] != [plan_of(seed=2)[k] for k in range(20)]


def test_training_without_land_or_years_is_refused():
    with pytest.raises(ValueError, match="no window of the grid has land to train on"):
        plan_of(cores=())
    with pytest.raises(ValueError, match=r"training years 1960-1962 are fewer than a rollout of 3 years needs"):
        plan_of(last_year=1962)
    assert plan_of(last_year=1963)[5].years == (1960, 1961, 1962, 1963)
