"""Intervals equal a bootstrap cell by cell, and say better or worse where that can be told."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luray.core.legend import OUTSIDE
from luray.evaluation.block_sums import (
    BLOCKS_ALONG,
    CLASS_SUMS,
    FALSE_ALARMS,
    HITS,
    LAND,
    SUMS,
    BlockSums,
    block_side,
    block_sums,
)
from luray.evaluation.class_scores import class_scores
from luray.evaluation.metrics import persistence, score
from luray.evaluation.significance import FEWEST_BLOCKS, Interval, significance
from luray.evaluation.statistics import scored_cells
from tests import reference
from tests.evaluation.cases import HILDA_WATER, WATER, K, maps, random_tally


def sums_of(initial, truth, predicted, area, *, side, corner=(0, 0), water=WATER):
    scored = scored_cells(initial, truth, predicted, water=water)
    return block_sums(
        initial,
        truth,
        predicted,
        scored=scored,
        cell_area=area,
        n_classes=K,
        corner=corner,
        side=side,
    )


def random_year(rng, shape=(12, 12), *, gain=0.5, change=0.2):
    """Initial, true and predicted map of which a share of the changes is foreseen."""
    initial = rng.integers(0, K, shape).astype(np.uint8)
    truth = np.where(rng.random(shape) < change, rng.integers(0, K, shape), initial)
    foreseen = np.where(rng.random(shape) < gain, truth, rng.integers(0, K, shape))
    predicted = np.where(rng.random(shape) < change, foreseen, initial)
    return initial, truth.astype(np.uint8), predicted.astype(np.uint8)


@given(maps(), st.integers(1, 5), st.tuples(st.integers(0, 9), st.integers(0, 9)))
def test_sums_of_blocks_equal_cell_by_cell_sums(case, side, corner):
    initial, truth, predicted, _, area = case
    found = sums_of(initial, truth, predicted, area, side=side, corner=corner)
    expected = reference.cell_blocks(initial, truth, predicted, area, side, corner, WATER)
    assert found.places_N2.tolist() == [list(place) for place in expected]
    for sums, cells in zip(found.sums_N5, expected.values(), strict=True):
        assert sums[LAND] == sum(a for a, *_ in cells)
        assert (sums[HITS] - sums[FALSE_ALARMS]) / sums[LAND] == pytest.approx(
            reference.gain_and_merit(cells)[0]
        )
        assert sums[HITS:].sum() == sum(a for a, i, t, p in cells if t != i or p != i)


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 11), st.integers(1, 9))
def test_tiles_of_any_size_and_order_merge_to_the_whole_map(seed, tile, side):
    rng = np.random.default_rng(seed)
    three = random_year(rng, (23, 17))
    area = rng.uniform(1e5, 1e6, 23)
    parts = []
    for row in range(0, 23, tile):
        for col in range(0, 17, tile):
            cut = [m[row : row + tile, col : col + tile] for m in three]
            part = sums_of(*cut, area[row : row + tile], side=side, corner=(row, col))
            parts.append(part)
    rng.shuffle(parts)
    half = len(parts) // 2
    merged = sum(parts[:half], BlockSums()) + sum(parts[half:], BlockSums())
    assert merged.to_dict() == sums_of(*three, area, side=side).to_dict()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 3), st.sampled_from([0.0, 0.02, 0.2]))
def test_intervals_equal_a_bootstrap_cell_by_cell(seed, n_mean, change):
    rng = np.random.default_rng(seed)
    area = rng.uniform(100, 1000, 12)
    years = [random_year(rng, change=change) for _ in range(2)]
    found = significance(
        [sums_of(*year, area, side=3) for year in years],
        n_mean=n_mean,
        water=WATER,
        resamples=40,
        seed=seed,
    )
    blocks = [reference.cell_blocks(*year, area, 3, (0, 0), WATER) for year in years]
    expected = reference.bootstrap(blocks, n_mean, 40, seed, K, WATER)
    comparisons = [*found.by_year, found.mean]
    of_classes = zip(*found.by_class, strict=True)
    for comparison, of_class, intervals in zip(
        comparisons, [*of_classes, found.mean_of_class], expected, strict=True
    ):
        flat = [*comparison, *(interval for of_one in of_class for interval in of_one)]
        np.testing.assert_allclose(flat, intervals, rtol=1e-9, atol=1e-12)


def test_estimates_are_the_scores():
    tally = random_tally(range(2001, 2005))
    by_block = [tally.years[year].by_block for year in tally.years]
    found = significance(by_block, n_mean=3, water=HILDA_WATER)
    for number, statistics in enumerate(tally.years.values()):
        comparison = found.by_year[number]
        model = score(statistics, water=HILDA_WATER)
        null = score(persistence(statistics), water=HILDA_WATER)
        for name, interval in comparison._asdict().items():
            gain = getattr(model, name.removesuffix("_gain"))
            if name.endswith("_gain"):
                gain -= getattr(null, name.removesuffix("_gain"))
            assert interval.estimate == pytest.approx(gain), name

        classes = class_scores(statistics.table, water=HILDA_WATER)
        null_classes = class_scores(persistence(statistics).table, water=HILDA_WATER)
        for of_class, one, null_one in zip(found.by_class, classes, null_classes, strict=True):
            for name, interval in of_class[number]._asdict().items():
                gain = getattr(one, name.removesuffix("_gain"))
                if name.endswith("_gain"):
                    gain -= getattr(null_one, name.removesuffix("_gain"))
                assert interval.estimate == pytest.approx(gain, nan_ok=True), name
    gains = [comparison.accuracy_gain.estimate for comparison in found.by_year]
    assert found.mean.accuracy_gain.estimate == pytest.approx(np.mean(gains[:3]))
    assert (found.side, found.n_blocks) == (5, 36)


def blocks_with_gain(gain_N, *, side=5):
    """Sums of blocks of 100 m2, of which so many m2 are gained, or lost where it is negative."""
    sums_N5 = np.zeros((len(gain_N), SUMS))
    sums_N5[:, LAND] = 100
    sums_N5[:, HITS] = np.maximum(gain_N, 0)
    sums_N5[:, FALSE_ALARMS] = np.maximum(-gain_N, 0)
    places_N2 = np.stack([np.arange(len(gain_N)), np.zeros(len(gain_N), int)], axis=1)
    return BlockSums(side, places_N2, sums_N5, np.zeros((len(gain_N), K, CLASS_SUMS)))


def test_the_word_is_that_of_the_interval():
    rng = np.random.default_rng(0)
    noise_N = rng.normal(0, 1, 50)
    for shift, verdict in ((2.0, "better"), (-2.0, "worse"), (0.0, "cannot be told")):
        [year] = significance([blocks_with_gain(noise_N + shift)], n_mean=1).by_year
        assert year.accuracy_gain.verdict == verdict
        assert year.accuracy_gain.low < year.accuracy_gain.estimate < year.accuracy_gain.high
    assert Interval(0.1, np.nan, np.nan).verdict == "cannot be told"


def test_few_blocks_tell_nothing():
    few = significance([blocks_with_gain(np.full(FEWEST_BLOCKS - 1, 5.0))], n_mean=1)
    assert few.mean.accuracy_gain.estimate == pytest.approx(0.05)
    assert np.isnan([few.mean.accuracy_gain.low, few.mean.figure_of_merit.high]).all()
    assert few.mean.accuracy_gain.verdict == "cannot be told"
    enough = significance([blocks_with_gain(np.full(FEWEST_BLOCKS, 5.0))], n_mean=1)
    assert enough.mean.accuracy_gain.verdict == "better"


def test_a_score_that_some_resamples_lack_has_no_interval():
    only_one = np.zeros(20)
    only_one[3] = 5.0
    found = significance([blocks_with_gain(only_one)], n_mean=1).mean
    assert found.figure_of_merit.estimate == 1
    assert np.isnan(found.figure_of_merit.low), "a third of the resamples has no change"
    assert found.accuracy_gain.low == 0
    assert found.accuracy_gain.verdict == "cannot be told", "one place is no evidence"


MEAN_CHANGE = 0.06
"""Share of the land that changes in simulated maps, over all blocks that there could be."""

MEAN_FORESEEN = 0.5
"""Share of the change that their prediction has."""

MEAN_FALSE_ALARMS = 0.015
"""Share of the unchanged land that is predicted to change."""

KNOWN_GAIN = MEAN_CHANGE * MEAN_FORESEEN - (1 - MEAN_CHANGE) * MEAN_FALSE_ALARMS
"""Accuracy minus that of persistence which follows: what an interval should hold."""


def simulated_year(rng, blocks, *, side=10, spread=0.5):
    """A map of blocks that differ in land, change and skill, as places do; sums by block."""

    def of_cells(value_of_block):
        return np.kron(value_of_block, np.ones((side, side)))

    # A lognormal of mean 1: a few places have most of the change.
    relative_change = np.exp(rng.normal(-(spread**2) / 2, spread, blocks))
    foreseen_share = rng.uniform(0, 2 * MEAN_FORESEEN, blocks)
    false_alarm_share = rng.uniform(0, 2 * MEAN_FALSE_ALARMS, blocks)
    land_share = rng.uniform(0.3, 1, blocks)

    shape = (blocks[0] * side, blocks[1] * side)
    land = rng.random(shape) < of_cells(land_share)
    changed = rng.random(shape) < of_cells(MEAN_CHANGE * relative_change)
    foreseen = changed & (rng.random(shape) < of_cells(foreseen_share))
    false_alarm = ~changed & (rng.random(shape) < of_cells(false_alarm_share))

    initial = np.where(land, 0, OUTSIDE).astype(np.uint8)
    truth = np.where(land & changed, 1, initial).astype(np.uint8)
    predicted = np.where(land & (foreseen | false_alarm), 1, initial).astype(np.uint8)
    return sums_of(initial, truth, predicted, np.full(shape[0], 100.0), side=side, water=None)


def share_of_intervals_that_hold(draws, blocks, *, seed):
    rng = np.random.default_rng(seed)
    n_inside = 0
    for _ in range(draws):
        gain = significance([simulated_year(rng, blocks)], n_mean=1).mean.accuracy_gain
        n_inside += gain.low <= KNOWN_GAIN <= gain.high
    return n_inside / draws


def test_an_interval_holds_a_known_effect_about_as_often_as_it_says():
    """200 draws: a share of 0.95 is found within 0.03 of it in 19 of 20 seeds."""
    assert 0.92 <= share_of_intervals_that_hold(200, (6, 6), seed=1) <= 0.98


@pytest.mark.slow
@pytest.mark.parametrize("blocks", [(5, 5), (6, 8), (10, 10)])
def test_intervals_of_95_percent_hold_in_93_to_97_of_100_draws(blocks):
    assert 0.93 <= share_of_intervals_that_hold(500, blocks, seed=0) <= 0.97


def test_persistence_against_itself_cannot_be_told():
    rng = np.random.default_rng(0)
    year = simulated_year(rng, (6, 6)).of_persistence()
    for comparison in (
        significance([year], n_mean=1).mean,
        *significance([year], n_mean=1).by_year,
    ):
        assert comparison.accuracy_gain == (0, 0, 0)
        assert comparison.accuracy_gain.verdict == "cannot be told"


def test_what_all_places_share_falls_out_of_the_difference():
    """Model and persistence are wrong in the same half of the map: the difference is certain."""
    rng = np.random.default_rng(0)
    misses_N = np.where(np.arange(40) < 20, 60.0, 0.0)
    year = blocks_with_gain(1 + 0.1 * rng.normal(0, 1, 40))
    year.sums_N5[:, 3] = misses_N
    gain = significance([year], n_mean=1).mean.accuracy_gain
    assert gain.high - gain.low < 0.001, "accuracies alone vary by 0.09 between resamples"


def test_resamples_depend_on_the_seed_alone():
    rng = np.random.default_rng(0)
    year = blocks_with_gain(rng.normal(0, 1, 30))
    # As text, in which nan equals nan: these blocks have no scores by class.
    assert str(significance([year], n_mean=1)) == str(significance([year], n_mean=1))
    other = significance([year], n_mean=1, seed=1).mean.accuracy_gain
    first = significance([year], n_mean=1).mean.accuracy_gain
    assert other.estimate == first.estimate
    assert other.low != first.low
    assert other.low == pytest.approx(first.low, abs=0.2 * (first.high - first.low))


@given(st.integers(1, 20000), st.integers(1, 40000), st.integers(1, 60))
def test_a_block_is_whole_coarse_cells(n_lat, n_lon, coarse):
    side = block_side((n_lat, n_lon), coarse=coarse)
    assert side % coarse == 0
    assert side == coarse or min(n_lat, n_lon) // side >= BLOCKS_ALONG
    assert min(n_lat, n_lon) // (side + coarse) < BLOCKS_ALONG, "no larger block would do"


def test_blocks_of_another_size_are_refused():
    a = blocks_with_gain(np.zeros(3))
    with pytest.raises(ValueError, match="blocks of 5 and of 6 cells cannot be merged"):
        a + blocks_with_gain(np.zeros(3), side=6)
    assert (BlockSums() + a).to_dict() == (a + BlockSums()).to_dict() == a.to_dict()


def test_json_gives_back_the_sums_of_blocks():
    sums = random_tally([2001]).years[2001].by_block
    again = BlockSums.from_dict(json.loads(json.dumps(sums.to_dict())))
    assert again.to_dict() == sums.to_dict()
    cut = {**sums.to_dict(), "places": [[0, 0]]}
    with pytest.raises(
        ValueError, match="1 places of blocks and sums by class of 36, expected 36 of both"
    ):
        BlockSums.from_dict(cut)
