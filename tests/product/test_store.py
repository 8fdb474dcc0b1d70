import pickle

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st

from luray.core.legend import HILDA, OUTSIDE
from luray.core.random import RandomStream
from luray.core.tiling import Box, Tile, Tiling
from luray.product.dimensions import ONE_MAP, ProductDims
from luray.product.status import status_of
from luray.product.store import Product
from luray.product.trajectories import MemberIndex, Span, TileYear
from tests.cube.cubes import make_cube

YEARS = Span(2001, 2003, (2001, 2003))
WALK = Span(2000, 2003, (2001, 2002))
NAMES = ("ssp126", "ssp585")
ALL = ProductDims(NAMES, 3, (2003,))
ASKED = [ONE_MAP, ProductDims(NAMES), ProductDims((), 2), ProductDims((), 0, (2000, 2003)), ALL]


@pytest.fixture(scope="module")
def cube(tmp_path_factory):
    return make_cube(str(tmp_path_factory.mktemp("cube") / "cube.zarr"), "region").cube


def created(cube, url, *, span=YEARS, dims=ONE_MAP, tiles=4):
    product = Product(
        str(url), span, cube.tiling(window=8, stride=4, tile=8), "f" * 64, "ssp245", dims, 5
    )
    product.create(cube, title="t", models={}, tiles=tiles)
    return product


def random_map(shape, seed):
    random = np.random.default_rng(seed)
    classes = random.choice(np.array([0, 1, 2, 3, 4, 5, 6, OUTSIDE], np.uint8), shape)
    return classes, np.where(classes == OUTSIDE, 0, random.integers(15, 101, shape)).astype(
        np.uint8
    )


def fill(product, cube):
    """Write a product as an engine does, maps of their own for each lane in predicted years;
    returns them by unit.
    """
    maps = {}
    for tile in product.tiling.tiles():
        shape = product.tiling.tile_box(tile).shape
        land = random_map(shape, [9, *tile])[0] != OUTSIDE

        def put(year, member_indices, seed, tile=tile, shape=shape, land=land):
            classes = np.where(land, random_map(shape, seed)[0] % 7, OUTSIDE).astype(np.uint8)
            confidence = np.where(land, random_map(shape, seed)[1], 0).astype(np.uint8)
            kept = None
            if year in product.dims.probability_years:
                kept = np.random.default_rng(seed).integers(0, 101, (7, *shape)).astype(np.uint8)
            product.write(year, tile, classes, confidence, member_indices, probabilities=kept)
            maps.update(
                {
                    TileYear(year, tile, member_index): (classes, confidence, kept)
                    for member_index in member_indices
                }
            )

        for year in product.span.copied:
            put(year, product.member_indices, [year, *tile])
        for n, trajectory in enumerate(product.trajectories):
            for year in trajectory.years[1:]:
                put(year, trajectory.member_indices, [n, year, *tile])
        if product.members:
            for year in product.span.years:
                for scenarios in product.alike(year):
                    product.summarise(year, tile, scenarios)
    return maps


def test_receipts_of_a_store_that_is_gone_finish_no_product(cube, tmp_path):
    product = created(cube, tmp_path / "product.zarr")
    product.ledger.record("2001/0.0", "a" * 64)
    assert created(cube, tmp_path / "product.zarr").ledger.done() == {"2001/0.0"}, (
        "the store is there: it goes on"
    )
    (tmp_path / "product.zarr").rename(tmp_path / "elsewhere.zarr")
    assert created(cube, tmp_path / "product.zarr").ledger.done() == set()


def test_a_product_whose_creation_was_interrupted_is_created_again(cube, tmp_path):
    zarr.open_group(str(tmp_path / "product.zarr"), mode="w", zarr_format=3).create_group(
        "land_use"
    )
    product = created(cube, tmp_path / "product.zarr")
    assert product.owner() == "f" * 64
    assert set(zarr.open_group(product.url, mode="r")) == {
        "land_use",
        "confidence",
        "origin",
        "year",
        "lat",
        "lon",
    }


def test_chains_are_shared_where_scenarios_are():
    tiling = Tiling(8, 8, 8, 4, 8, periodic=False)
    one = Product("p", WALK, tiling, "f", "ssp245")
    assert [tuple(c) for c in one.trajectories] == [
        ("backward", (2001, 2000), "", (MemberIndex(),), None),
        ("forward", (2002, 2003), "ssp245", (MemberIndex(),), None),
    ]
    trajectories = Product("p", WALK, tiling, "f", "ssp126", ALL, 5).trajectories
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
    assert [Product("p", WALK, tiling, "f", "ssp126", ALL).alike(year) for year in WALK.years] == [
        ((0, 1),),
        ((0, 1),),
        ((0, 1),),
        ((0,), (1,)),
    ]
    assert Product("p", YEARS, tiling, "f", "ssp126", ALL).trajectories == ()
    only = Product("p", WALK, tiling, "f", "ssp126", ProductDims(members=1), 5).trajectories
    assert only[1].draws == forward[0].draws, "a dimension more or less changes no draw"


@given(
    year=st.integers(-99, 3000),
    row=st.integers(0, 30),
    col=st.integers(0, 30),
    asked=st.sampled_from(ASKED),
    data=st.data(),
)
def test_a_receipt_names_its_unit(year, row, col, asked, data):
    product = Product("p", WALK, Tiling(8, 8, 8, 4, 8, periodic=False), "f", "ssp245", asked)
    member_index, across = (
        data.draw(st.sampled_from(product.member_indices)),
        bool(asked.members) and data.draw(st.booleans()),
    )
    unit = TileYear(
        year,
        Tile(row, col),
        MemberIndex(member_index.scenario, 0 if across else member_index.member),
        across,
    )
    assert product.unit_of(product.key(unit)) == unit


def test_keys_are_as_they_were_and_say_scenario_and_member_where_there_are_any():
    unit = TileYear(2001, Tile(3, 4), MemberIndex(1, 2))
    for asked, key in (
        (ONE_MAP, "2001/3.4"),
        (ProductDims(NAMES), "ssp585/2001/3.4"),
        (ProductDims((), 3), "m2/2001/3.4"),
        (ALL, "ssp585/m2/2001/3.4"),
    ):
        product = Product("p", WALK, Tiling(8, 8, 8, 4, 8, periodic=False), "f", "ssp245", asked)
        assert product.key(unit) == key
    assert product.key(unit._replace(across=True)) == "ssp585/across/2001/3.4"


@pytest.mark.parametrize("asked", ASKED)
def test_a_product_holds_what_was_written_to_each_lane(cube, tmp_path, asked):
    product = created(cube, tmp_path / "product.zarr", span=WALK, dims=asked, tiles=6)
    maps = fill(product, cube)
    tiles = list(product.tiling.tiles())
    assert len(tiles) == 6
    product.finish()
    for unit, (classes, confidence, _) in maps.items():
        box = product.tiling.tile_box(unit.tile)
        assert np.array_equal(product.read(unit.year, box, unit.member_index), classes)
        assert np.array_equal(
            product.confidence(unit.year, unit.tile, unit.member_index), confidence
        )
    units = list(product.units(tiles))
    assert len(set(units)) == len(units) == len(product.ledger.done())
    assert product.damaged(units) == []
    done = pickle.loads(pickle.dumps(product)).done()
    assert done.units == frozenset(units)
    assert all(
        done.of(trajectory.member_indices) == {(y, t) for y in WALK.years for t in tiles}
        for trajectory in product.trajectories
    )
    status = status_of(product.url)
    assert (status.complete, status.total, sum(status.done.values())) == (
        [2000, 2001, 2002, 2003],
        len(units),
        len(units),
    )
    with xr.open_zarr(product.url) as ds:
        expected = tuple(
            n for n, there in (("scenario", asked.scenarios), ("member", asked.members)) if there
        )
        assert ds.land_use.dims == ds.confidence.dims == (*expected, "year", "lat", "lon")
        assert ("entropy" in ds, "probability" in ds) == (
            bool(asked.members),
            bool(asked.probability_years),
        )
        for unit, (classes, _, kept) in maps.items():
            at = (
                {"scenario": asked.scenarios[unit.member_index.scenario]} if asked.scenarios else {}
            )
            at |= {"member": unit.member_index.member} if asked.members else {}
            cells = dict(
                zip(
                    ("lat", "lon"),
                    product.tiling.tile_box(unit.tile).slices(origin=Box(0, 0, 0, 0)),
                    strict=True,
                )
            )
            assert np.array_equal(
                ds.land_use.sel(year=unit.year, **at).isel(cells), HILDA.decode(classes)
            )
            if kept is not None:
                found = ds.probability.sel(probability_year=unit.year, **at).isel(cells)
                assert found.dims == ("class", "lat", "lon")
                assert np.array_equal(found, kept)
                assert np.array_equal(found.sel({"class": 44}), kept[HILDA.index(44)])


def test_shares_and_entropy_are_those_of_the_members(cube, tmp_path):
    product = created(cube, tmp_path / "product.zarr", span=WALK, dims=ALL, tiles=6)
    maps = fill(product, cube)
    product.finish()
    with xr.open_zarr(product.url) as ds:
        assert ds.class_probability.dims == ("scenario", "year", "class", "lat", "lon")
        assert ds.entropy.dims == ("scenario", "year", "lat", "lon")
        assert ds.scenario.values.tolist() == list(NAMES)
        for year in WALK.years:
            for s, name in enumerate(NAMES):
                share = ds.class_probability.sel(scenario=name, year=year).values[:, :8, :8]
                entropy = ds.entropy.sel(scenario=name, year=year).values[:8, :8]
                classes = np.stack(
                    [maps[TileYear(year, Tile(0, 0), MemberIndex(s, m))][0] for m in range(3)]
                )
                for row, col in np.ndindex(8, 8):
                    p = np.bincount(classes[:, row, col], minlength=256)[:7] / 3
                    assert share[:, row, col].tolist() == np.floor(100 * p + 0.5).tolist()
                    bits = -sum(x * np.log(x) for x in p if x > 0)
                    assert entropy[row, col] == round(100 * bits / np.log(7))
        assert (ds.entropy.sel(year=[2001, 2002]) == 0).all(), "members share what is observed"
        assert (ds.entropy.sel(year=2003) > 0).any()


@pytest.mark.parametrize("asked", [ONE_MAP, ALL])
def test_what_is_damaged_in_a_lane_is_named_and_withdrawn_alone(cube, tmp_path, asked):
    product = created(cube, tmp_path / "product.zarr", span=WALK, dims=asked, tiles=6)
    fill(product, cube)
    units = list(product.units(product.tiling.tiles()))
    member_index = product.member_indices[-1]
    harmed = [(TileYear(2003, Tile(1, 1), member_index), "confidence/c/{}3/1/1")]
    if asked is ALL:
        harmed += [
            (TileYear(2003, Tile(0, 1), MemberIndex(0, 2)), "probability/c/0/2/0/0/0/1"),
            (
                TileYear(2000, Tile(0, 0), MemberIndex(1), across=True),
                "class_probability/c/1/0/0/0/0",
            ),
            (TileYear(2003, Tile(0, 0), MemberIndex(1), across=True), "entropy/c/1/3/0/0"),
        ]
    places = [
        tmp_path / "product.zarr" / place.format("1/2/" if asked is ALL else "")
        for _, place in harmed
    ]
    for place in places:
        place.write_bytes(place.read_bytes()[:-5] + b"\0" * 5)
    found = product.damaged(units)
    assert set(found) == {unit for unit, _ in harmed}
    product.withdraw(found)
    assert not any(place.exists() for place in places)
    assert product.done().units == frozenset(units) - set(found)
    with pytest.raises(AssertionError, match=f"{len(units) - len(found)} of {len(units)} receipts"):
        product.finish()
    fill(product, cube)
    assert product.damaged(units) == []
