"""Aggregated fractions that are made worse: equal to the slow twin, in whatever pieces they are read."""

import pickle
from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from pydantic import ValidationError

from luray.core.grid import Grid
from luray.core.legend import LandClass, Legend
from luray.core.legend_files import HILDA
from luray.core.tiling import Box
from luray.sources.aggregated import CAVEAT, AggregatedConfig, open_aggregated
from luray.sources.distortion import DistortConfig, biased
from tests import reference

YEARS = tuple(range(2000, 2007))
REGION = Grid(36, 23, 0.01, 14, 22)
"""Blocks of 3 cells, the last row and column of them cut."""
LARGE = Grid(36, 23, 0.01, 150, 150)
GLOBE = Grid(90, -180, 10, 18, 36)
MANY = Legend("many", tuple(LandClass(code, f"c{code}", "#000000") for code in range(1, 13)))
"""More classes than a block of random numbers has."""


@dataclass
class Maps:
    """Maps of several years in memory."""

    grid: Grid
    codes: np.ndarray
    legend: Legend = HILDA
    years: tuple = YEARS
    name = "maps"
    files = ()

    def read(self, year, box):
        return self.codes[self.years.index(year)][box.slices(origin=Box(0, 0, 0, 0))][None]

    @property
    def classes(self):
        """Class indices by year."""
        encoded = self.legend.encode(self.codes)
        return {year: encoded[i] for i, year in enumerate(self.years)}


def maps_on(grid, *, seed=0, legend=HILDA):
    """Random maps with ocean, some of it whole blocks; cells without a class in single years."""
    random = np.random.default_rng(seed)
    codes = random.choice(legend.codes, (len(YEARS), *grid.shape))
    n_lumps = (grid.n_lat // 3 + 1, grid.n_lon // 3 + 1)
    lumps = np.kron(random.random(n_lumps) < 0.3, np.ones((3, 3), bool))
    codes[:, lumps[: grid.n_lat, : grid.n_lon]] = legend.ocean
    codes[random.random(codes.shape) < 0.1] = legend.ocean
    return Maps(grid, codes, legend)


def distorted(maps, **settings):
    config = AggregatedConfig(kind="aggregated", block=3, distort=DistortConfig(**settings))
    return open_aggregated(config, state=maps, grid=maps.grid)


def whole(source, year):
    return source.read(year, Box(0, 0, *source.grid.shape))


SETTINGS = st.fixed_dictionaries(
    {
        "smooth_space": st.sampled_from([1, 3, 5]),
        "smooth_years": st.sampled_from([1, 3, 5, 99]),
        "lag": st.integers(0, 9),
        "scramble": st.sampled_from([0.0, 0.4, 1.0]),
        "bias": st.sampled_from([0.0, 0.3, 1.0]),
        "changing_blocks": st.sampled_from([0.0, 0.25, 1.0]),
        "fixed_year": st.sampled_from(YEARS),
        "seed": st.integers(0, 2**40),
    }
)


@given(
    settings=SETTINGS,
    grid=st.sampled_from([REGION, GLOBE]),
    year=st.sampled_from(YEARS),
    row=st.integers(0, 4),
    col=st.sampled_from([0, 1, 3, 6, 7]),
)
@limits(deadline=None)
def test_fractions_are_those_of_the_slow_twin(settings, grid, year, row, col):
    maps = maps_on(grid)
    source = distorted(maps, **settings)
    got = source.read(year, Box(row, col, 1, 1))[:, 0, 0]
    groups = [variable.classes for variable in source.variables]
    expected = reference.distorted_shares(
        maps.classes, 3, source.distort, groups, year, row, col, periodic=grid is GLOBE
    )
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-7)


@given(
    settings=SETTINGS,
    grid=st.sampled_from([REGION, GLOBE]),
    legend=st.sampled_from([HILDA, MANY]),
    year=st.sampled_from(YEARS),
    row=st.integers(0, 4),
    col=st.integers(0, 7),
    height=st.integers(1, 4),
    width=st.integers(1, 6),
)
@limits(deadline=None)
def test_a_box_has_the_bits_of_the_whole(settings, grid, legend, year, row, col, height, width):
    if legend is MANY:
        settings = {**settings, "scramble": 0.0}
    source = distorted(maps_on(grid, legend=legend), **settings)
    box = Box(row, col, height, width).clip(source.grid.shape)
    rows, cols = box.slices(origin=Box(0, 0, 0, 0))
    travelled = pickle.loads(pickle.dumps(source))
    assert np.array_equal(travelled.read(year, box), whole(source, year)[:, rows, cols])


@given(row=st.integers(0, 3), col=st.integers(0, 4), n_classes=st.integers(1, 20))
def test_a_bias_rounds_in_one_way(row, col, n_classes):
    """In double precision: that the stored values are rounded again hides most differences."""
    shares = np.random.default_rng(n_classes).random((n_classes, 4, 5))
    config, groups = DistortConfig(bias=0.7), [(k,) for k in range(n_classes)]
    everything = biased(shares, config, Box(0, 0, 4, 5), groups=groups)
    one = shares[:, row : row + 1, col : col + 1]
    alone = biased(one, config, Box(row, col, 1, 1), groups=groups)
    assert np.array_equal(alone[:, 0, 0], everything[:, row, col])


def test_smoothing_crosses_the_dateline():
    maps = maps_on(GLOBE)
    turned = Maps(GLOBE, np.roll(maps.codes, 15, axis=2))
    source, turned_source = distorted(maps, smooth_space=3), distorted(turned, smooth_space=3)
    assert np.array_equal(np.roll(whole(source, 2003), 5, axis=2), whole(turned_source, 2003))


@pytest.mark.parametrize("grid", [REGION, GLOBE])
@pytest.mark.parametrize(
    "settings", [{"smooth_space": 3, "smooth_years": 3}, {"scramble": 1.0}, {"bias": 1.0}]
)
def test_fractions_still_sum_to_one_on_land(grid, settings):
    maps = maps_on(grid)
    maps.codes[1:] = np.where(maps.codes[0] == HILDA.ocean, HILDA.ocean, maps.codes[1:])
    plain, source = distorted(maps), distorted(maps, **settings)
    assert not np.array_equal(whole(plain, 2000), whole(source, 2000))
    sums = whole(source, 2000).sum(axis=0)
    np.testing.assert_allclose(sums, whole(plain, 2000).sum(axis=0) > 0, atol=1e-6)
    assert whole(source, 2000).min() >= 0


def test_no_setting_changes_nothing_and_says_nothing():
    maps = maps_on(REGION)
    plain = open_aggregated(
        AggregatedConfig(kind="aggregated", block=3), state=maps, grid=maps.grid
    )
    idle = distorted(maps, seed=9, fixed_year=2003)
    assert idle.caveat == plain.caveat == CAVEAT
    assert idle.rules == plain.rules
    assert not any("distorted" in rule for rule in plain.rules)
    assert idle.held == {}
    assert np.array_equal(whole(idle, 2004), whole(plain, 2004))


def test_late_fractions_are_those_of_an_earlier_year():
    maps = maps_on(REGION)
    plain, late = distorted(maps), distorted(maps, lag=3)
    assert np.array_equal(whole(late, 2006), whole(plain, 2003))
    assert np.array_equal(whole(late, 2001), whole(plain, 2000)), "the first map holds"
    assert late.held == {2001: 2000, 2002: 2000, 2003: 2000}


def test_without_change_every_year_is_the_fixed_one():
    maps = maps_on(REGION)
    source = distorted(maps, changing_blocks=0.0, fixed_year=2004)
    fixed = whole(distorted(maps), 2004)
    assert all(np.array_equal(whole(source, year), fixed) for year in YEARS)
    assert source.held == dict.fromkeys(YEARS[1:], YEARS[0])
    config = AggregatedConfig(kind="aggregated", block=3, distort=source.distort)
    assert {config.place_of(year, "") for year in YEARS} == {2004}, "a plan stores one year, too"


def test_a_share_of_the_blocks_changes():
    maps = maps_on(LARGE)
    fixed, true = whole(distorted(maps), 2002), whole(distorted(maps), 2005)
    differ = (fixed != true).any(axis=0)
    is_true = {}
    for share in (0.0, 0.2, 0.7, 1.0):
        got = whole(distorted(maps, changing_blocks=share, fixed_year=2002), 2005)
        is_true[share] = (got == true).all(axis=0)
        assert (is_true[share] | (got == fixed).all(axis=0)).all()
        assert is_true[share][differ].mean() == pytest.approx(share, abs=0.04)
    assert is_true[0.7][is_true[0.2]].all(), "blocks that change with 0.2 do so with 0.7, too"


def test_scrambling_moves_between_pasture_and_unmanaged_land_alone():
    maps = maps_on(LARGE)
    true = whole(distorted(maps), 2002)
    source = distorted(maps, scramble=1.0)
    got = whole(source, 2002)
    pasture, unmanaged, others = [2], [4, 5], [0, 1, 3, 6]
    assert np.array_equal(got[others], true[others])
    both = [*pasture, *unmanaged]
    np.testing.assert_allclose(got[both].sum(axis=0), true[both].sum(axis=0), atol=1e-6)

    difference = true[unmanaged].sum(axis=0) - true[2]
    differ = np.abs(difference) > 0.1
    exchanged = (got - true)[2][differ] / difference[differ]
    assert differ.sum() > 500
    assert 0 <= exchanged.min() < 0.02
    assert 0.98 < exchanged.max() <= 1 + 1e-5
    assert exchanged.mean() == pytest.approx(0.5, abs=0.05)


def test_a_bias_is_the_same_in_all_years():
    maps = maps_on(LARGE)
    plain, source = distorted(maps), distorted(maps, bias=0.5)
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = [whole(source, year) / whole(plain, year) for year in (2001, 2005)]
        to_urban = [f[:6] / f[0] for f in factor]
    known = np.isfinite(to_urban[0]) & np.isfinite(to_urban[1])
    np.testing.assert_allclose(to_urban[0][known], to_urban[1][known], rtol=1e-5)
    assert known.sum() > 1000
    assert 1 / 3 <= to_urban[0][known].min() < 0.4
    assert 2.5 < to_urban[0][known].max() <= 3
    both = known[4] & known[5]
    np.testing.assert_allclose(to_urban[0][4][both], to_urban[0][5][both], rtol=1e-5)
    water = HILDA.index(77)
    np.testing.assert_array_equal(whole(source, 2001)[water], whole(plain, 2001)[water])


def test_another_seed_is_another_distortion():
    maps = maps_on(REGION)
    for settings in ({"bias": 0.5}, {"scramble": 0.5}):
        one, other = distorted(maps, **settings), distorted(maps, seed=1, **settings)
        assert not np.array_equal(whole(one, 2000), whole(other, 2000))
        assert one.rules != other.rules


def test_rules_and_caveat_say_all_that_is_done():
    source = distorted(
        maps_on(REGION),
        smooth_space=3,
        smooth_years=5,
        lag=1,
        scramble=0.5,
        bias=0.25,
        changing_blocks=0.1,
        fixed_year=2002,
        seed=7,
    )
    said = (
        "smoothed over 3 x 3 blocks, smoothed over 5 years, 1 year late, pasture and unmanaged "
        "land exchanged by up to 0.5, each class group off by up to 0.25 of its share, those of 2002 in "
        "all years in all but 0.1 of the blocks, seed 7"
    )
    assert source.caveat == (
        f"forcing: class fractions aggregated from the target maps, distorted: {said}"
    )
    assert source.rules[-1] == f"distorted, in this order: {said}"
    none = distorted(maps_on(REGION), changing_blocks=0.0, fixed_year=2002)
    assert none.caveat.endswith("distorted: without change: those of 2002 in all years")


def test_different_distortions_have_different_rules():
    values = {
        "smooth_space": (1, 3, 5),
        "smooth_years": (1, 3),
        "lag": (0, 1),
        "scramble": (0.0, 0.1, 0.10000001),
        "bias": (0.0, 0.3),
        "changing_blocks": (0.0, 0.5, 1.0),
    }
    said = [
        DistortConfig(**dict(zip(values, chosen, strict=True)), fixed_year=2000).words
        for chosen in product(*values.values())
    ]
    assert len(set(said)) == len(said)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"smooth_space": 2}, "smooth_space is 2, expected an odd number, .*; set 1 or 3"),
        ({"smooth_years": 4}, "smooth_years is 4, expected an odd number, .*; set 3 or 5"),
        (
            {"changing_blocks": 0.5},
            "changing_blocks is 0.5 and no year is given .*; set fixed_year",
        ),
        ({"lag": -1}, "greater than or equal to 0"),
        ({"bias": 1.5}, "less than or equal to 1"),
        ({"blur": 1}, "Extra inputs are not permitted"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        DistortConfig(**settings)


def test_a_distortion_that_does_not_go_with_the_maps_is_refused():
    with pytest.raises(
        ValueError, match=r"scramble exchanges pasture \(33\) .* have the legend many, of which no"
    ):
        distorted(maps_on(REGION, legend=MANY), scramble=0.5)
    with pytest.raises(
        ValueError, match=r"fixed_year is 1990, expected a year with a map, 2000-2006"
    ):
        distorted(maps_on(REGION), fixed_year=1990)
    with pytest.raises(ValueError, match="smooth_space is 13 blocks, wider than the 12 columns"):
        distorted(maps_on(GLOBE), smooth_space=13)


def test_unmanaged_land_that_was_none_becomes_grass():
    maps = maps_on(REGION)
    maps.codes[:] = np.where(maps.codes == HILDA.ocean, HILDA.ocean, 33)
    source = distorted(maps, scramble=1.0)
    got = whole(source, 2000)
    land = whole(distorted(maps), 2000)[2] > 0
    assert (got[4][land] > 0).all()
    assert (got[5] == 0).all()
    np.testing.assert_allclose((got[2] + got[4])[land], 1, rtol=1e-6)
