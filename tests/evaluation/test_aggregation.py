"""Tallies merge in any order, and survive JSON."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luray.evaluation.aggregation import Tally, merge
from luray.evaluation.statistics import Statistics, tile_statistics
from tests.evaluation.cases import WATER, K, maps, random_tally


@st.composite
def tallies(draw):
    years = draw(st.lists(st.integers(2000, 2003), unique=True, max_size=3))
    statistics = {}
    for year in years:
        *three, confidence, area = draw(maps(max_size=6))
        statistics[year] = tile_statistics(
            *three, cell_area=area, n_classes=K, water=WATER, confidence=confidence
        )
    return Tally(statistics)


@settings(max_examples=50)
@given(tallies(), tallies(), tallies())
def test_merging_is_associative_and_commutative(a, b, c):
    assert (a + b) + c == a + (b + c) == merge([c, a, b])
    assert a + Tally() == a
    assert set((a + b).years) == set(a.years) | set(b.years)


def test_json_gives_back_blocks_and_texture():
    tally = random_tally([2001, 2002])
    again = Tally.from_json(tally.to_json())
    assert again == tally
    assert again.years[2002].by_block.sums_N5.sum() > 0
    entry = json.loads(tally.to_json())
    entry["2001"]["pairs"].pop()
    with pytest.raises(ValueError, match="pairs has shape"):
        Tally.from_json(json.dumps(entry))


@given(tallies())
def test_json_gives_back_the_same_sums(tally):
    assert Tally.from_json(tally.to_json()) == tally
    assert [int(y) for y in json.loads(tally.to_json())] == sorted(tally.years)


def test_a_merge_adds_the_areas_of_a_year():
    three = np.zeros((3, 2, 2), np.uint8)

    def tally(cell_area):
        area = np.full(2, cell_area)
        return Tally({2001: tile_statistics(*three, cell_area=area, n_classes=K, water=WATER)})

    one = tally(10.0)
    other = tally(7.0)
    assert (one + other).years[2001].table[0, 0, 0] == 68
    assert one.years[2001].table[0, 0, 0] == 40, "merging must not change its parts"
    assert one != other


@pytest.mark.parametrize(
    "text", ["", "[]", '{"2001": {}}', '{"x": 1}', '{"2001": {"table": [[[1]]]}}']
)
def test_another_text_is_no_tally(text):
    with pytest.raises(ValueError, match="no tally"):
        Tally.from_json(text)


def test_a_cut_tally_and_another_legend_are_refused():
    entry = json.loads(Tally({2001: Statistics.zeros(3)}).to_json())
    entry["2001"]["blocks"].pop()
    with pytest.raises(ValueError, match="blocks has shape"):
        Tally.from_json(json.dumps(entry))
    with pytest.raises(ValueError, match="3 and of 4 classes"):
        Tally({2001: Statistics.zeros(3)}) + Tally({2001: Statistics.zeros(4)})
