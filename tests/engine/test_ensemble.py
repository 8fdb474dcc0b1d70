import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luray.core.legend import OUTSIDE
from luray.core.random import RandomStream
from luray.core.tiling import Box
from luray.engine.blending import percentages
from luray.engine.ensemble import perturbed, sample
from tests import reference

DRAWS = RandomStream(0, "ssp126", 3)


def sums_of(seed, shape, *, n_classes=7, zeros=0.3):
    random = np.random.default_rng(seed)
    sums = random.integers(1, 2**30, (n_classes, *shape)) >> random.integers(
        0, 28, (n_classes, *shape)
    )
    sums[random.random(sums.shape) < zeros] = 0
    sums[0] += sums.sum(axis=0) == 0
    return sums.astype(np.int32), random.random(shape) < 0.8


@given(
    seed=st.integers(0, 2**40),
    scenario=st.sampled_from(["", "ssp126", "ssp585"]),
    member=st.integers(0, 300),
    year=st.integers(1, 3000),
    row=st.integers(0, 17000),
    col=st.integers(0, 35000),
    n=st.sampled_from([2, 7, 8, 9]),
)
def test_a_draw_is_that_of_the_slow_twin(seed, scenario, member, year, row, col, n):
    sums, land = sums_of(seed, (2, 3), n_classes=n)
    draws, box = RandomStream(seed, scenario, member), Box(row, col, 2, 3)
    classes, confidence = sample(sums, land, draws, year=year, box=box)
    scores = perturbed(sums, draws, year=year, box=box)
    for r, c in np.ndindex(land.shape):
        drawn, exact = reference.draw(sums[:, r, c].tolist(), *draws, year, row + r, col + c)
        assert scores[:, r, c] == pytest.approx(exact, rel=1e-6)
        assert classes[r, c] == (drawn if land[r, c] else OUTSIDE)
        total, chosen = int(sums[:, r, c].sum(dtype=np.int64)), int(sums[drawn, r, c])
        assert chosen > 0
        assert confidence[r, c] == ((200 * chosen + total) // (2 * total) if land[r, c] else 0)
    assert np.array_equal(scores.argmax(axis=0)[land], classes[land])


@given(
    top=st.integers(0, 8),
    left=st.integers(0, 10),
    height=st.integers(1, 4),
    width=st.integers(1, 5),
    n=st.sampled_from([7, 9]),
)
def test_a_tile_draws_what_the_whole_grid_draws(top, left, height, width, n):
    sums, land = sums_of(1, (12, 15), n_classes=n)
    at = slice(top, top + height), slice(left, left + width)
    whole = sample(sums, land, DRAWS, year=2050, box=Box(0, 0, 12, 15))
    part = sample(sums[:, *at], land[at], DRAWS, year=2050, box=Box(top, left, height, width))
    assert all(np.array_equal(a[at], b) for a, b in zip(whole, part, strict=True))


def test_classes_are_as_frequent_as_probable():
    shares = np.array([0.5, 0.3, 0.15, 0.0499, 1e-4, 0])
    sums = np.broadcast_to((shares * 2**30).astype(np.int32)[:, None, None], (6, 1000, 1000))
    classes, _ = sample(
        sums, np.ones((1000, 1000), np.bool_), DRAWS, year=2001, box=Box(500, 70, 1000, 1000)
    )
    frequency = np.bincount(classes.ravel(), minlength=6) / 1e6
    assert frequency == pytest.approx(
        shares, abs=4 * np.sqrt(shares.max() * (1 - shares.max()) / 1e6)
    )
    assert frequency[4] == pytest.approx(1e-4, abs=4e-5)
    assert frequency[5] == 0


def test_draws_are_independent():
    sums, land = np.ones((2, 400, 400), np.int32), np.ones((400, 400), np.bool_)
    maps = {
        key: sample(sums, land, RandomStream(*key[:3]), year=key[3], box=Box(0, 0, 400, 400))[
            0
        ].astype(float)
        - 0.5
        for key in [
            (0, "a", 0, 2001),
            (1, "a", 0, 2001),
            (0, "b", 0, 2001),
            (0, "a", 1, 2001),
            (0, "a", 0, 2002),
        ]
    }
    first = maps.pop((0, "a", 0, 2001))
    others = [
        *maps.values(),
        np.roll(first, 1, 0),
        np.roll(first, 1, 1),
        np.roll(first, (1, 1), (0, 1)),
    ]
    for other in others:
        assert abs((first * other).mean()) * 4 < 4 / 400, (
            "a correlation of more than four standard deviations"
        )


def test_percentages_are_the_averaged_probabilities():
    sums, land = np.array([[[1, 0]], [[199, 0]], [[0, 7]]], np.int32), np.array([[True, False]])
    assert percentages(sums, land).tolist() == [[[1, 0]], [[100, 0]], [[0, 0]]]
