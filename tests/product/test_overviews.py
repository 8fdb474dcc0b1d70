"""Overviews against a twin that counts cell by cell, and which levels a product has."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from luray.core.legend import NO_DATA, OUTSIDE
from luray.core.tiling import Tiling
from luray.product.overviews import Overviews, halve
from tests import reference

K = 3
SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 6))
VALUES = st.sampled_from([0, 1, 2, NO_DATA, OUTSIDE])


@given(data=st.data(), shape=SHAPES)
def test_half_is_the_mode_of_four_cells(data, shape):
    classes = data.draw(arrays.arrays(np.uint8, shape, elements=VALUES))
    confidence = data.draw(arrays.arrays(np.uint8, shape, elements=st.integers(0, 100)))
    expected = reference.overview(classes, confidence, K)
    for found, right in zip(halve(classes, confidence, K), expected, strict=True):
        assert found.tolist() == right.tolist()


@pytest.mark.parametrize(
    ("cells", "mode"),
    [
        ([[1, 0], [0, 1]], 1),  # of equals the first in reading order
        ([[OUTSIDE, OUTSIDE], [2, 2]], 2),  # half of it is land
        ([[OUTSIDE, OUTSIDE], [NO_DATA, 2]], OUTSIDE),
        ([[OUTSIDE, NO_DATA], [NO_DATA, 2]], NO_DATA),
        ([[OUTSIDE, 0], [1, 2]], 0),
    ],
)
def test_land_and_what_is_off_land_vote_apart(cells, mode):
    confidence = np.full((2, 2), 40, np.uint8)
    classes, mean = halve(np.array(cells, np.uint8), confidence, K)
    assert (classes.item(), mean.item()) == (mode, 40 if mode < K else 0)


def test_halves_of_tiles_are_those_of_the_whole():
    random = np.random.default_rng(0)
    classes = random.choice(np.array([0, 1, 2, OUTSIDE], np.uint8), (21, 30))
    confidence = random.integers(0, 101, classes.shape).astype(np.uint8)
    whole = halve(classes, confidence, K)
    for row in range(0, 21, 8):
        for col in range(0, 30, 8):
            tile = np.s_[row : row + 8, col : col + 8]
            half = np.s_[row // 2 : row // 2 + 4, col // 2 : col // 2 + 4]
            parts = halve(classes[tile], confidence[tile], K)
            for part, of_whole in zip(parts, whole, strict=True):
                assert np.array_equal(part, of_whole[half])


@pytest.mark.parametrize(
    ("shape", "tile", "levels"),
    [
        ((18000, 36000), 2000, Overviews(5, 3)),  # 1000, 500, 250 cells of a tile
        ((4000, 6000), 2000, Overviews(3, 3)),
        ((18000, 36000), 300, Overviews(5, 0)),  # 150 cells of a tile are too few
        ((18000, 36000), 500, Overviews(5, 1)),
        ((891, 901), 300, Overviews(0, 0)),
    ],
)
def test_levels_end_at_a_picture_of_the_whole(shape, tile, levels):
    assert Overviews.over(Tiling(*shape, window=128, stride=100, tile=tile)) == levels
