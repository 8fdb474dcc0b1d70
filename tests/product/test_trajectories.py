"""Which maps are computed once and shared by scenarios, and what members draw."""

from itertools import pairwise

import pytest

from luray.core.legend_files import HILDA
from luray.core.random import RandomStream
from luray.core.tiling import Tiling
from luray.product.dimensions import MemberIndex, ProductDims
from luray.product.store import Product
from luray.product.trajectories import Span
from tests.product.products import ALL, NAMES, WALK, YEARS

SPANS = [WALK, YEARS, Span(2000, 2004, (1990, 2002)), Span(1990, 2000, (1995, 1995))]

TILING = Tiling(8, 8, 8, 4, 8, periodic=False)


def product_of(span, scenario, *further):
    return Product("p", span, TILING, "f", scenario, *further, legend=HILDA)


def test_chains_are_shared_where_scenarios_are():
    one = product_of(WALK, "ssp245")
    assert [tuple(c) for c in one.trajectories] == [
        ("backward", (2001, 2000), "", (MemberIndex(),), None),
        ("forward", (2002, 2003), "ssp245", (MemberIndex(),), None),
    ]
    trajectories = product_of(WALK, "ssp126", ALL, 5).trajectories
    backward, forward = trajectories[:3], trajectories[3:]
    assert [c.member_indices for c in backward] == [
        (MemberIndex(0, m), MemberIndex(1, m)) for m in range(3)
    ]
    assert [c.draws for c in backward] == [RandomStream(5, "", m) for m in range(3)]
    assert [c.member_indices for c in forward] == [
        (MemberIndex(s, m),) for s in range(2) for m in range(3)
    ]
    assert [c.draws for c in forward] == [
        RandomStream(5, name, m) for name in NAMES for m in range(3)
    ]
    assert [(c.scenario, c.direction) for c in forward] == [
        (name, "forward") for name in NAMES for _ in range(3)
    ]
    assert [product_of(WALK, "ssp126", ALL).scenario_groups(year) for year in WALK.years] == [
        ((0, 1),),
        ((0, 1),),
        ((0, 1),),
        ((0,), (1,)),
    ]
    assert product_of(YEARS, "ssp126", ALL).trajectories == ()
    only = product_of(WALK, "ssp126", ProductDims(members=1), 5).trajectories
    assert only[1].draws == forward[0].draws, "a dimension more or less changes no draw"


@pytest.mark.parametrize("span", SPANS)
def test_each_two_years_belong_to_one_map(span):
    pairs = [pair for year in span.years if (pair := span.transition_of(year))]
    assert sorted(pairs) == list(pairwise(span.years))
    for years in span.chains.values():
        for prior, year in pairwise(years):
            assert span.transition_of(year) == tuple(sorted((prior, year))), "its prior is at hand"


@pytest.mark.parametrize("dims", [ProductDims(), ALL])
def test_groups_of_maps_are_those_that_are_written_together(dims):
    product = product_of(WALK, "ssp126", dims, 5)
    for trajectory in product.trajectories:
        for year in trajectory.years[1:]:
            assert trajectory.member_indices in product.map_groups(year)
    for year in WALK.years:
        grouped = [index for group in product.map_groups(year) for index in group]
        assert sorted(grouped) == list(product.member_indices)
    assert product.map_groups(2001) == (product.member_indices,)
