"""Checking inputs: every value is read once, and findings add up in any order."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luray.core.grid import Grid
from luray.core.legend import LandClass, Legend
from luray.core.tiling import Box
from luray.core.variable import Variable
from luray.sources.base import STATE
from luray.sources.check import Findings, OpenedSource, Values, cover, examine, row_bands, summarise
from luray.sources.coverage import Coverage, cut
from luray.sources.hilda import HildaConfig
from luray.sources.luh2 import Luh2Config
from luray.sources.presence import Presence
from tests.sources.made_source import COARSE, make_source

RUN = Grid(50, 10, 0.5, 20, 30)
LUH2 = Luh2Config(kind="luh2", path="/data/luh2")
ZONE = Variable("zone", "forcing", "1", "zone", dtype="uint8", categories=(1, 2, 3))


@pytest.mark.parametrize("limit", [1, 40, 2**24])
def test_bands_cover_what_is_read_once(limit, monkeypatch):
    monkeypatch.setattr("luray.sources.check.BAND_VALUES", limit)
    native = make_source(grid=Grid(60, 0, 1, 40, 60), years=(2000, 2001, 2002), held={2001: 2000})
    maps = make_source((STATE,), grid=Grid(45, 0, 0.5, 30, 40), years=(2001, 2002), name="hilda")
    static = make_source(
        (Variable("z", "static", "m", "z"),), grid=Grid(60, 0, 0.3, 100, 100), years=()
    )
    for source, years, expected_box in (
        (native, {2000, 2002}, cut(native.grid, RUN)[1]),
        (maps, {2001, 2002}, Box(0, 20, 10, 20)),
        (static, {None}, cut(static.grid, RUN)[1]),
    ):
        bands = row_bands(source, RUN)
        assert {year for band in bands for year in band.years} == years
        seen = {year: np.zeros(source.grid.shape, int) for year in years}
        for band in bands:
            for year in band.years:
                seen[year][band.box.slices(origin=Box(0, 0, 0, 0))] += 1
            assert (
                band.box.height == 1
                or band.box.height * band.box.width * len(source.variables) <= limit
            )
        expected = np.zeros(source.grid.shape, int)
        expected[expected_box.slices(origin=Box(0, 0, 0, 0))] = 1
        for counts in seen.values():
            np.testing.assert_array_equal(counts, expected)


def test_maps_off_the_run_have_no_bands():
    with pytest.raises(ValueError, match="do not overlap the run grid"):
        row_bands(make_source((STATE,), grid=Grid(30, 10, 0.5, 20, 30)), RUN)
    with pytest.raises(ValueError, match=r"shifted by 0\.500 of a cell"):
        row_bands(make_source((STATE,), grid=Grid(50.25, 10, 0.5, 20, 30)), RUN)


def test_continuous_variable_has_range_and_gaps():
    field = np.array([[np.nan, 3], [-2, 8]], np.float32)
    assert summarise(field, COARSE[0]) == Values(4, 1, -2, 8)
    assert summarise(np.full((2, 2), np.nan, np.float32), COARSE[0]) == Values(4, 4)
    assert summarise(field, COARSE[0]) + summarise(field * 10, COARSE[0]) == Values(8, 2, -20, 80)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_categorical_variable_has_classes_and_gaps(dtype):
    codes = np.array([[0, 1, 3], [3, 255, 1]], dtype)
    assert summarise(codes, ZONE) == Values(6, 2, classes=frozenset({1, 3}))


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), max_size=30),
    st.randoms(use_true_random=False),
)
def test_findings_add_up_in_any_order(faults, shuffle: random.Random):
    parts = [
        Findings(
            (Values(4, i % 3, -i, i, frozenset({i % 5})),),
            1,
            int(text > 0),
            ((i, f"fault {text}"),) if text else (),
        )
        for i, (text, _) in enumerate(faults)
    ]
    one = sum(parts, Findings((Values(),)))
    order = list(parts)
    shuffle.shuffle(order)
    half = shuffle.randint(0, len(order))
    assert (
        sum(order[:half], Findings((Values(),))) + sum(order[half:], Findings((Values(),))) == one
    )
    first = dict.fromkeys(text for text, _ in faults if text)
    assert [message for _, message in one.messages] == [f"fault {text}" for text in first][:4]
    assert (one.pieces, one.refused) == (len(faults), sum(text > 0 for text, _ in faults))


def test_maps_are_checked_in_their_own_legend():
    legend = Legend("one class", (LandClass(200, "land", "#2d6a4f"),))
    state = replace(STATE, categories=(200,))
    maps = make_source((state,), grid=Grid(50, 10, 0.5, 20, 30), years=(0, 100), legend=legend)
    findings = examine(maps, enumerate(row_bands(maps, RUN)))
    # Of 600 cells in 8 bits, two of a year hold 200: others than in the other year.
    assert findings.values == (Values(1200, 1196, classes=frozenset({200})),)
    assert findings.presence == Presence({0: 2, 100: 2}, ever=4, always=0)


def test_unreadable_maps_leave_others_covered():
    maps = make_source(
        (STATE,), grid=RUN, name="hilda", refusals=((2000, 3, "maps.tif: it is cut; get it again"),)
    )
    half = make_source(grid=Grid(50, 10, 1, 6, 15))
    hilda, luh2 = cover(
        (OpenedSource(HildaConfig(kind="hilda", path="p"), maps), OpenedSource(LUH2, half)), RUN
    )
    assert (hilda.source, hilda.fault) == (None, "maps.tif: it is cut; get it again")
    assert luh2.coverage == Coverage(grid=0.6, land=0.6)
    assert luh2.source.rules[-1].startswith("reaches 60.0% of the run's land")


def test_program_error_is_no_refusal():
    source = make_source()
    object.__setattr__(source, "read", None)
    with pytest.raises(TypeError):
        examine(source, enumerate(row_bands(source, RUN)))
