"""Years of a rollout that are scored where a map is of another kind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luray.evaluation.evaluation_years import evaluation_years


def test_a_base_map_and_the_year_after_it_are_left_out():
    forward = evaluation_years(range(2012, 2019), base_maps={2015: "a base map"})
    assert forward == ((2012, 2013, 2014, 2016, 2017, 2018), (2013, 2014, 2017, 2018), (2015, 2016))
    backward = evaluation_years(range(2018, 2011, -1), base_maps={2015})
    assert backward == (
        (2018, 2017, 2016, 2014, 2013, 2012),
        (2017, 2016, 2013, 2012),
        (2015, 2014),
    ), "after is in the direction of travel"


def test_a_rollout_to_a_base_map_is_scored_up_to_it():
    assert evaluation_years(range(2013, 2016), base_maps={2015}) == ((2013, 2014), (2014,), (2015,))


def test_a_rollout_from_a_base_map_is_refused():
    with pytest.raises(
        ValueError,
        match=r'starts from 2015, a base map.*start in another year, or set base_maps = "keep" in '
        r"\[\[sources\]\] of the maps and run `luray build`",
    ):
        evaluation_years(range(2015, 2020), base_maps={2015})


def test_a_rollout_without_a_year_to_score_is_refused():
    with pytest.raises(
        ValueError, match="no year is left to score: 2015, 2016 come to or from a base map"
    ):
        evaluation_years((2014, 2015, 2016), base_maps={2015})


@given(
    length=st.integers(2, 12),
    base_maps=st.sets(st.integers(2000, 2012)),
    step=st.sampled_from([1, -1]),
)
def test_only_years_that_touch_a_base_map_are_lost(length, base_maps, step):
    years = [2006 + step * i for i in range(length)]
    touched = {y for y in years[1:] if y in base_maps or y - step in base_maps}
    if years[0] in base_maps or len(touched) == length - 1:
        with pytest.raises(ValueError, match="base map"):
            evaluation_years(years, base_maps=base_maps)
        return

    maps, scored, left_out = evaluation_years(years, base_maps=base_maps)
    assert set(left_out) == touched
    assert [*scored, *left_out] == sorted(
        [*scored, *left_out], key=lambda y: (y in touched, step * y)
    )
    assert {*scored, *left_out} == set(years[1:])
    assert maps == tuple(y for y in years if y not in base_maps)
    if not base_maps:
        assert (maps, scored) == (tuple(years), tuple(years[1:]))
