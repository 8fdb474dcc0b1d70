"""Fractions and transitions on coarse cells, against cell-by-cell twins."""

import numpy as np
import pytest

from luray.core.grid import Grid
from luray.core.legend import OUTSIDE
from luray.product.fractions import (
    WHOLE,
    as_fraction,
    class_sums,
    coarse_grid,
    row_shares,
    transition_sums,
)

K = 3
FINE = Grid(north=60, west=10, step=0.05, n_lat=17, n_lon=23)
BLOCK = 5


def random_map(rng: np.random.Generator) -> np.ndarray:
    classes = rng.integers(0, K, FINE.shape).astype(np.uint8)
    classes[rng.random(FINE.shape) < 0.2] = OUTSIDE
    return classes


def test_sums_are_those_of_a_loop_over_cells() -> None:
    rng = np.random.default_rng(0)
    before, after = random_map(rng), random_map(rng)
    coarse = coarse_grid(FINE, 0.25)
    share = row_shares(FINE, coarse)

    expected = np.zeros((K, *coarse.shape), np.int64)
    expected_moves = np.zeros((K, K, *coarse.shape), np.int64)
    for (row, col), k in np.ndenumerate(after):
        at = (row // BLOCK, col // BLOCK)
        if k != OUTSIDE:
            expected[(k, *at)] += share[row]
        if k != OUTSIDE and before[row, col] not in (k, OUTSIDE):
            expected_moves[(before[row, col], k, *at)] += share[row]

    assert np.array_equal(class_sums(after, share, BLOCK, K), expected)
    assert np.array_equal(transition_sums(before, after, share, BLOCK, K), expected_moves)


def test_what_leaves_a_class_enters_another_exactly() -> None:
    rng = np.random.default_rng(1)
    before, after = random_map(rng), random_map(rng)
    after[before == OUTSIDE] = OUTSIDE
    before[after == OUTSIDE] = OUTSIDE
    share = row_shares(FINE, coarse_grid(FINE, 0.25))

    moves = transition_sums(before, after, share, BLOCK, K)
    change = moves.sum(axis=0) - moves.sum(axis=1)
    first = class_sums(before, share, BLOCK, K)
    last = class_sums(after, share, BLOCK, K)
    assert np.array_equal(last - first, change)

    stored = as_fraction(moves)
    stored_change = stored.sum(axis=0) - stored.sum(axis=1)
    assert np.abs(as_fraction(last) - as_fraction(first) - stored_change).max() < 1e-6


def test_a_cell_full_of_land_has_a_fraction_of_one() -> None:
    share = row_shares(FINE, coarse_grid(FINE, 0.25))
    sums = class_sums(np.zeros((10, 10), np.uint8), share[:10], BLOCK, K)
    assert np.abs(sums[0] - WHOLE).max() <= BLOCK**2  # each cell is rounded to half a unit
    assert as_fraction(sums[0]).tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize(
    ("fine", "step", "message"),
    [
        (FINE, 0.12, "2.400 cells of the run grid, expected a whole number"),
        (Grid(60.05, 10, 0.05, 20, 20), 0.25, "no corner of the global grid of 0.25 degrees"),
    ],
)
def test_a_grid_that_does_not_nest_is_refused(fine: Grid, step: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        coarse_grid(fine, step)


def test_a_grid_of_odd_cells_begins_at_the_corner_of_its_maps() -> None:
    brazil = Grid(
        north=6.053680859479002, west=-75.000073576554, step=0.044966, n_lat=891, n_lon=901
    )
    assert coarse_grid(brazil, 5 * 0.044966).shape == (179, 181)
