"""Years that lack what other years have."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luray.sources.presence import Presence, compare_years, presence_rule


def masks(*texts):
    return [(2000 + i, np.array([[c == "x" for c in text]])) for i, text in enumerate(texts)]


def test_cells_lacking_a_year_are_counted():
    always, presence = compare_years(masks("xxx.x", "xx..x", "xxx.x"))
    np.testing.assert_array_equal(always, [[True, True, False, False, True]])
    assert presence == Presence({2000: 4, 2001: 3, 2002: 4}, ever=4, always=3)
    rule = presence_rule(presence, name="maps", max_missing=0.25)
    assert (
        rule
        == "cells without a value in some years are left out: missing in 2001 (1 of 4 cells, 25.0%)"
    )


def test_large_holes_are_refused_by_year():
    _, presence = compare_years(masks("xxxxx", "xx...", "xxxx.", "xxxxx"))
    with pytest.raises(
        ValueError,
        match=r"maps: 60\.0% of the cells .* at most 1\.0%: missing in 2001 \(3 of 5 cells, "
        r"60\.0%\), 2002 \(1 of 5 cells, 20\.0%\); .* set max_missing",
    ):
        presence_rule(presence, name="maps", max_missing=0.01)


def test_moving_hole_is_seen():
    _, presence = compare_years(masks(".xxx", "x.xx", "xx.x"))
    assert (presence.by_year, presence.share_lost) == ({2000: 3, 2001: 3, 2002: 3}, 0.75)


def test_blank_year_is_always_refused():
    _, presence = compare_years(masks("xx", "..", "xx"))
    with pytest.raises(
        ValueError, match="maps: no value at all in 2001, while other years have some"
    ):
        presence_rule(presence, name="maps", max_missing=1.0)


def test_equal_years_need_no_rule():
    assert presence_rule(compare_years(masks("x.x", "x.x"))[1], name="maps", max_missing=0.0) == ""
    assert presence_rule(Presence(), name="maps", max_missing=0.0) == ""


@given(
    st.lists(st.lists(st.booleans(), min_size=12, max_size=12), min_size=1, max_size=5),
    st.integers(1, 11),
)
def test_presence_of_parts_adds_up(years, middle):
    maps = [(2000 + i, np.array([year])) for i, year in enumerate(years)]
    whole = compare_years(maps)[1]
    west = compare_years([(year, cells[:, :middle]) for year, cells in maps])[1]
    east = compare_years([(year, cells[:, middle:]) for year, cells in maps])[1]
    assert west + east == whole
    assert whole.ever == np.any(years, axis=0).sum()
    assert whole.always == np.all(years, axis=0).sum()
