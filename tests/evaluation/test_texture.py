"""Pace and texture equal sums cell by cell, and tell large patches from small ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import generic_filter

from luray.core.legend import OUTSIDE
from luray.evaluation.statistics import scored_cells
from luray.evaluation.texture import change_since, unlike_pairs
from tests import reference
from tests.evaluation.cases import WATER, K, bordered, maps


def width(classes, *, row_area=None):
    """Mean patch width of one map."""
    n_rows = classes.shape[0]
    area = np.ones(n_rows) if row_area is None else row_area
    with_border = bordered(classes)
    pairs, unlike, *_ = unlike_pairs(
        *[with_border] * 3, scored=with_border != OUTSIDE, cell_area=area
    )
    return pairs / unlike


@given(maps())
def test_pairs_equal_a_search_for_neighbours(case):
    initial, truth, predicted, _, area = case
    three = [bordered(classes) for classes in (initial, truth, predicted)]
    found = unlike_pairs(*three, scored=scored_cells(*three, water=WATER), cell_area=area)
    expected = reference.unlike_pairs(initial, truth, predicted, area, WATER)
    np.testing.assert_array_equal(found, expected)


@given(maps(), maps())
def test_change_since_equals_cell_by_cell_sums(case, other):
    _, truth, predicted, _, area = case
    shape = tuple(min(a, b) for a, b in zip(truth.shape, other[1].shape, strict=True))
    rows, cols = (slice(0, n) for n in shape)
    now = [m[rows, cols] for m in (truth, predicted)]
    before = [m[rows, cols] for m in other[1:3]]
    scored = now[0] != OUTSIDE
    land = observed = foreseen = 0.0
    for row, col in np.argwhere(scored):
        a = round(area[row])
        land += a
        observed += a * (before[0][row, col] != now[0][row, col])
        foreseen += a * (before[1][row, col] != now[1][row, col])
    found = change_since(tuple(before), tuple(now), scored=scored, cell_area=area[rows])
    assert found.tolist() == [land, observed, foreseen]


@pytest.mark.parametrize("side", [1, 2, 5, 10])
def test_the_width_of_a_chequered_map_is_that_of_its_squares(side):
    n = 200
    row, col = np.indices((n, n)) // side
    chequered = ((row + col) % 2).astype(np.uint8)
    assert width(chequered) == pytest.approx(side, rel=0.05)


def test_width_does_not_depend_on_what_the_classes_are():
    rng = np.random.default_rng(0)
    classes = rng.integers(0, K, (30, 30)).astype(np.uint8)
    assert width(classes) == width(K - 1 - classes)
    assert width(classes) == pytest.approx(K / (K - 1), rel=0.05), "neighbours are independent"


def test_a_map_whose_small_patches_are_gone_is_wider():
    rng = np.random.default_rng(0)
    large = np.kron(rng.integers(0, K, (6, 6)), np.ones((10, 10), int)).astype(np.uint8)
    speckled = np.where(rng.random(large.shape) < 0.1, rng.integers(0, K, large.shape), large)
    smooth = generic_filter(
        speckled, lambda cells: np.bincount(cells.astype(int)).argmax(), 3, mode="nearest"
    )
    assert (speckled != large).mean() < 0.1, "most cells agree"
    assert width(smooth.astype(np.uint8)) > 1.5 * width(speckled.astype(np.uint8))


@given(st.integers(0, 2**32))
def test_a_pair_has_the_area_of_its_northern_cell(seed):
    rng = np.random.default_rng(seed)
    classes = np.array([[0], [1]], np.uint8)
    area = rng.uniform(1, 1e6, 2)
    with_border = bordered(classes)
    pairs, unlike, *_ = unlike_pairs(
        *[with_border] * 3, scored=with_border != OUTSIDE, cell_area=area
    )
    assert pairs == unlike == np.rint(area[0])
