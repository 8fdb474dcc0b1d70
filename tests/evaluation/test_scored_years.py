"""Years of a rollout that are scored where a map is of another kind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luray.evaluation.scored_years import scored_years


def test_a_base_map_and_the_year_after_it_are_left_out_in_the_direction_of_travel():
    forward = scored_years(range(2012, 2019), base_maps={2015: "a base map"})
    assert forward == ((2012, 2013, 2014, 2016, 2017, 2018), (2013, 2014, 2017, 2018), (2015, 2016))
    backward = scored_years(range(2018, 2011, -1), base_maps={2015})
    assert backward == (
        (2018, 2017, 2016, 2014, 2013, 2012),
        (2017, 2016, 2013, 2012),
        (2015, 2014),
    )


def test_a_rollout_that_ends_in_a_base_map_is_scored_up_to_it():
    assert scored_years(range(2013, 2016), base_maps={2015}) == ((2013, 2014), (2014,), (2015,))


def test_a_rollout_from_a_base_map_or_to_nothing_else_is_refused():
    with pytest.raises(ValueError, match=r"starts from 2015, a base map.*start in another year"):
        scored_years(range(2015, 2020), base_maps={2015})
    with pytest.raises(
        ValueError, match="no year is left to score: 2015, 2016 come to or from a base map"
    ):
        scored_years((2014, 2015, 2016), base_maps={2015})


@given(
    length=st.integers(2, 12),
    base_maps=st.sets(st.integers(2000, 2012)),
    way=st.sampled_from([1, -1]),
)
def test_no_scored_year_touches_a_base_map_and_no_other_is_lost(length, base_maps, way):
    years = [2006 + way * i for i in range(length)]
    touched = {y for y in years[1:] if y in base_maps or y - way in base_maps}
    if years[0] in base_maps or len(touched) == length - 1:
        with pytest.raises(ValueError, match="base map"):
            scored_years(years, base_maps=base_maps)
        return
    maps, scored, left_out = scored_years(years, base_maps=base_maps)
    assert set(left_out) == touched
    assert [*scored, *left_out] == sorted(
        [*scored, *left_out], key=lambda y: (y in touched, way * y)
    )
    assert {*scored, *left_out} == set(years[1:])
    assert maps == tuple(y for y in years if y not in base_maps)
    if not base_maps:
        assert (maps, scored) == (tuple(years), tuple(years[1:]))
