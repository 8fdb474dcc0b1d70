"""Flicker equals a scan of each cell, and is compared with observed maps of the same years."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luray.core.legend import OUTSIDE
from luray.evaluation.aggregation import merge_flicker
from luray.evaluation.flicker import WITHIN, Flicker, FlickerSeries, by_decade
from tests import reference
from tests.evaluation.cases import steady_flicker

AREA = np.array([10.4, 20.0])


def flicker_of_series(maps, years, area=AREA):
    series = FlickerSeries(area)
    for year, classes in zip(years, maps, strict=True):
        series.add(year, classes)
    return series.by_year


@st.composite
def series(draw):
    """Maps of 2 x 3 cells that flicker, shape (year, 2, 3)."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n_years = draw(st.integers(1, 14))
    steps = rng.random((n_years, 2, 3)) < draw(st.sampled_from([0.1, 0.4]))
    values = rng.choice(np.array([0, 1, 2, OUTSIDE], np.uint8), steps.shape, p=[0.4, 0.4, 0.1, 0.1])
    maps = values.copy()
    for year in range(1, n_years):
        maps[year] = np.where(steps[year], values[year], maps[year - 1])
    return maps


@given(series())
def test_flicker_equals_a_scan_of_each_cell(maps):
    years = range(2000, 2000 + len(maps))
    found = flicker_of_series(maps, years)
    assert list(found) == list(years)[1 : max(1, len(maps) - WITHIN + 1)]
    expected = {year: [0.0, 0.0] for year in found}
    for row in range(2):
        for col in range(3):
            changes = reference.flicker(maps[:, row, col].tolist(), WITHIN)
            for n, undone in changes.items():
                expected[2000 + n][0] += round(AREA[row])
                expected[2000 + n][1] += round(AREA[row]) * undone
    assert {y: [f.changed, f.undone] for y, f in found.items()} == expected


@given(series())
def test_a_series_is_the_same_from_either_end(maps):
    years = range(2000, 2000 + len(maps))
    assert flicker_of_series(maps, years) == flicker_of_series(maps[::-1], years[::-1])


@given(series())
def test_tiles_merge_to_the_whole_map_in_any_order(maps):
    years = range(2000, 2000 + len(maps))
    north = flicker_of_series(maps[:, :1], years, AREA[:1])
    south_west = flicker_of_series(maps[:, 1:, :1], years, AREA[1:])
    south_east = flicker_of_series(maps[:, 1:, 1:], years, AREA[1:])
    whole = flicker_of_series(maps, years)
    assert merge_flicker([north, south_west, south_east]) == whole
    assert merge_flicker([south_east, north, south_west]) == whole


def test_a_class_of_three_years_is_no_flicker():
    def share(*classes):
        maps = np.array(classes, np.uint8).reshape(-1, 1, 1)
        return flicker_of_series(maps, range(2000, 2000 + len(classes)), np.ones(1))[2001].share

    assert share(1, 2, 1, 1, 1) == 1, "back after one year"
    assert share(1, 2, 2, 1, 1) == 1, "back after two"
    assert share(1, 2, 2, 2, 1) == 0, "back after three"
    assert share(1, 2, 3, 1, 1) == 1, "by way of another class"
    assert share(1, 2, 3, 3, 3) == 0
    assert math.isnan(share(1, 1, 1, 1, 1)), "nothing changes"


def test_years_next_to_a_gap_are_not_counted():
    maps = np.arange(10, dtype=np.uint8).reshape(10, 1, 1) % 2
    years = [*range(2000, 2005), *range(2006, 2011)]
    found = flicker_of_series(maps, years, np.ones(1))
    assert list(found) == [2001, 2002, 2007, 2008]


def test_the_years_that_are_observed_are_compared_and_no_others():
    restless = steady_flicker(range(2015, 2020), 0.5)
    still = steady_flicker(range(2010, 2015), 0.0)
    [decade] = by_decade(restless | still, steady_flicker(range(1990, 2015), 0.25))
    assert decade == ((2010, 2014), 0.0, 0.25, (2010, 2014))


def test_the_future_stands_beside_the_observed_period():
    observed = steady_flicker(range(1990, 2000), 0.1) | steady_flicker(range(2000, 2010), 0.3)
    [decade] = by_decade(steady_flicker(range(2053, 2058), 0.4), observed)
    assert decade.years == (2053, 2057)
    assert decade.observed == pytest.approx(0.2)
    assert decade.observed_years == (1990, 2009)


def test_a_decade_weighs_its_years_by_their_change():
    years = {2001: Flicker(90.0, 9.0), 2002: Flicker(10.0, 10.0)}
    [decade] = by_decade(years, {})
    assert decade.predicted == pytest.approx(0.19)
    assert math.isnan(decade.observed)
    assert decade.observed_years is None
