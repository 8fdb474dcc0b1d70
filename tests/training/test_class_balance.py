"""Classes of the training maps: absent ones are named, rare ones weigh more."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luray.core.legend_files import HILDA
from luray.training.class_balance import class_weights, require_classes
from tests.training.counts import COUNTS, YEARS

BASE = 1964


def test_classes_absent_from_the_training_years_are_named():
    cells = np.full((len(YEARS), len(HILDA)), 10)
    cells[5:15, [0, 5]] = 0
    cells[:, 6] = 0
    counts = replace(COUNTS, cells_YK=cells)
    with pytest.raises(
        ValueError,
        match=r"class 11 \(urban\), 66 \(sparse_or_no_vegetation\) is in maps of the cube "
        r"but in none of training\.years 1960-1969",
    ):
        require_classes(counts, HILDA, years=(1960, 1969))
    require_classes(counts, HILDA, years=(1960, 1970))


def test_a_class_that_only_a_base_map_has_is_absent():
    base = YEARS.index(BASE)
    cells = np.full((len(YEARS), len(HILDA)), 10)
    cells[:, 5] = 0
    cells[[base, -1], 5] = 10
    counts = replace(COUNTS, cells_YK=cells)
    require_classes(counts, HILDA, years=(1960, 1969))
    with pytest.raises(
        ValueError, match=r"class 66 \(sparse_or_no_vegetation\) is in maps of the cube but in none"
    ):
        require_classes(counts, HILDA, years=(1960, 1969), left_out={BASE})

    without_base = counts.cells_in(1960, 1969) - cells[base]
    assert (counts.cells_in(1960, 1969, left_out={BASE}) == without_base).all()


@given(cells=st.lists(st.integers(0, 10**6), min_size=2, max_size=7), balance=st.floats(0, 1))
def test_class_weights_keep_the_mean_and_follow_rarity(cells, balance):
    weights = class_weights(cells, balance=balance)
    has_cells = np.array(cells) > 0
    assert (weights[~has_cells] == 1).all()
    if has_cells.any():
        assert np.average(weights, weights=np.array(cells)) == pytest.approx(1, rel=1e-4)
    for (n, n_weight), (m, m_weight) in pairwise(zip(cells, weights, strict=True)):
        if n and m:
            assert n_weight / m_weight == pytest.approx((n / m) ** -balance, rel=1e-3)
