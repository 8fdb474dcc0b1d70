"""A product holds what was written to it, for its own readers and for xarray."""

import pickle
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st

from luray.core.legend import OUTSIDE
from luray.core.legend_files import HILDA
from luray.core.tiling import Box, Tile, padded_map
from luray.product.dimensions import MemberIndex
from luray.product.repair import damaged
from luray.product.status import status_of
from luray.product.trajectories import Span, TileYear
from tests import reference
from tests.cube.cubes import COVER, make_cube
from tests.product.products import ALL, DIMS, NAMES, OVERVIEWS, WALK, created, fill


def test_receipts_of_a_lost_store_are_forgotten(cube, tmp_path):
    product = created(cube, tmp_path / "product.zarr")
    product.ledger.record("2001/0.0", "a" * 64)
    assert created(cube, tmp_path / "product.zarr").ledger.done() == {"2001/0.0"}, (
        "the store is there: it goes on"
    )
    (tmp_path / "product.zarr").rename(tmp_path / "elsewhere.zarr")
    assert created(cube, tmp_path / "product.zarr").ledger.done() == set()


def test_interrupted_creation_is_repeated(cube, tmp_path):
    zarr.open_group(str(tmp_path / "product.zarr"), mode="w", zarr_format=3).create_group(
        "land_use"
    )
    product = created(cube, tmp_path / "product.zarr")
    assert product.owner() == "f" * 64
    assert set(zarr.open_group(product.url, mode="r")) == {
        "land_use",
        "confidence",
        "fraction",
        "transition",
        "origin",
        "class",
        "class_from",
        "class_to",
        "year",
        "time",
        "time_bnds",
        "lat",
        "lat_bnds",
        "lon",
        "lon_bnds",
        "cell_area",
        "crs",
        "coarse_lat",
        "coarse_lat_bnds",
        "coarse_lon",
        "coarse_lon_bnds",
        "coarse_cell_area",
        "coarse_crs",
    }


def test_damaged_metadata_of_an_unfinished_product_are_named(cube, tmp_path):
    product = created(cube, tmp_path / "p.zarr")
    (tmp_path / "p.zarr/zarr.json").write_text('{"zarr_format": 3, "attri')
    with pytest.raises(ValueError, match=r"p\.zarr/zarr\.json is damaged .* --restart"):
        product.owner()


def test_a_product_is_finished_for_its_own_run_alone(cube, tmp_path):
    product = created(cube, tmp_path / "product.zarr", span=WALK, tiles=6)
    other = replace(product, fingerprint="e" * 64)
    elsewhere = replace(product, url=str(tmp_path / "elsewhere.zarr"))
    fill(product)
    assert not product.is_finished
    product.finish()
    assert [each.is_finished for each in (product, other, elsewhere)] == [True, False, False]
    product.mark(finished=False)
    assert not product.is_finished


@pytest.mark.parametrize("dims", DIMS)
def test_product_holds_what_was_written(cube, tmp_path, dims):
    product = created(cube, tmp_path / "product.zarr", span=WALK, dims=dims, tiles=6)
    maps = fill(product)
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
    assert damaged(product, units) == []
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
    with xr.open_zarr(product.url, chunks=None) as ds:
        expected = tuple(
            name
            for name, wanted in (("scenario", dims.scenarios), ("member", dims.members))
            if wanted
        )
        assert ds.land_use.dims == ds.confidence.dims == (*expected, "year", "lat", "lon")
        assert ("entropy" in ds, "probability" in ds) == (
            bool(dims.members),
            bool(dims.probability_years),
        )
        for unit, (classes, _, probabilities) in maps.items():
            at = {"scenario": dims.scenarios[unit.member_index.scenario]} if dims.scenarios else {}
            at |= {"member": unit.member_index.member} if dims.members else {}
            box = product.tiling.tile_box(unit.tile)
            rows, cols = box.slices(origin=Box(0, 0, 0, 0))
            cells = {"lat": rows, "lon": cols}
            assert np.array_equal(
                ds.land_use.sel(year=unit.year, **at).isel(cells), HILDA.decode(classes)
            )
            if probabilities is not None:
                stored = ds.probability.sel(probability_year=unit.year, **at).isel(cells)
                assert stored.dims == ("class", "lat", "lon")
                assert np.array_equal(stored, probabilities)
                assert np.array_equal(stored.sel({"class": 44}), probabilities[HILDA.index(44)])


def check_summaries(product, maps, *, n_classes):
    """Shares and entropy of the first tile, cell by cell from the members' maps."""
    with xr.open_zarr(product.url, chunks=None) as ds:
        assert ds.class_probability.dims == ("scenario", "year", "class", "lat", "lon")
        assert ds.entropy.dims == ("scenario", "year", "lat", "lon")
        assert ds.scenario.values.tolist() == list(NAMES)
        for year in WALK.years:
            for s, name in enumerate(NAMES):
                share = ds.class_probability.sel(scenario=name, year=year).values[:, :8, :8]
                entropy = ds.entropy.sel(scenario=name, year=year).values[:8, :8]
                classes = np.stack(
                    [maps[TileYear(year, Tile(0, 0), MemberIndex(s, m))].classes for m in range(3)]
                )
                for row, col in np.ndindex(8, 8):
                    p = np.bincount(classes[:, row, col], minlength=256)[:n_classes] / 3
                    assert share[:, row, col].tolist() == np.floor(100 * p + 0.5).tolist()
                    bits = -sum(x * np.log(x) for x in p if x > 0)
                    assert entropy[row, col] == round(100 * bits / np.log(n_classes))
        assert (ds.entropy.sel(year=[2001, 2002]) == 0).all(), "members share what is observed"
        assert (ds.entropy.sel(year=2003) > 0).any()


@pytest.fixture(scope="module")
def finished(cube, tmp_path_factory):
    """A finished product with everything, to read, and its maps."""
    url = tmp_path_factory.mktemp("finished") / "product.zarr"
    product = created(cube, url, span=WALK, dims=ALL, tiles=6, overviews=OVERVIEWS)
    maps = fill(product)
    product.finish()
    return product, maps


def test_summaries_are_those_of_the_members(finished):
    product, maps = finished
    check_summaries(product, maps, n_classes=7)


def test_product_has_the_legend_of_its_cube(tmp_path):
    cube = make_cube(str(tmp_path / "cube.zarr"), "region", legend=COVER).cube
    product = created(cube, tmp_path / "product.zarr", span=WALK, dims=ALL, tiles=6)
    maps = fill(product)
    product.finish()

    for unit, written in maps.items():
        box = product.tiling.tile_box(unit.tile)
        read = product.read(unit.year, box, unit.member_index)
        assert np.array_equal(read, written.classes)
        assert set(np.unique(read)) <= {0, 1, 2, OUTSIDE}
    assert (product.read(2003, Box(-4, -4, 4, 4)) == OUTSIDE).all(), "beyond the grid"

    with xr.open_zarr(product.url, chunks=None) as ds:
        assert set(np.unique(ds.land_use)) == {17, 110, 210, 5}
        assert ds.land_use.flag_values == [17, 110, 210, 5, 0]
        assert ds.land_use.flag_meanings == "ocean trees crops bare no_data"
        assert ds["class"].values.tolist() == [110, 210, 5]
        assert ds["class"].flag_meanings == "trees crops bare"
        assert ds.class_probability.sizes["class"] == ds.probability.sizes["class"] == 3
    check_summaries(product, maps, n_classes=3)


def test_unwritten_tiles_are_ocean(tmp_path):
    cube = make_cube(str(tmp_path / "cube.zarr"), "region", legend=COVER).cube
    product = created(cube, tmp_path / "product.zarr")
    assert (product.read(2001, product.tiling.everything) == OUTSIDE).all()
    with xr.open_zarr(product.url, consolidated=False) as ds:
        assert (ds.land_use == COVER.ocean).all()


@pytest.fixture(scope="module", params=["globe", "region"])
def written(request, tmp_path_factory):
    """A product and its whole map of 2001."""
    folder = tmp_path_factory.mktemp("written")
    cube = make_cube(str(folder / "cube.zarr"), request.param).cube
    span = Span(2001, 2001, (2001, 2001))
    product = created(cube, folder / "product.zarr", span=span)
    whole = np.full(cube.grid.shape, OUTSIDE, np.uint8)
    everything = product.tiling.everything
    for unit, tile_map in fill(product).items():
        cells = product.tiling.tile_box(unit.tile).slices(origin=everything)
        whole[cells] = tile_map.classes
    return product, whole


@given(data=st.data(), top=st.integers(-6, 22), height=st.integers(1, 30))
def test_any_box_is_read_as_padded(written, data, top, height):
    product, whole = written
    # A box may reach past the grid by less than the grid's width.
    n_lon = product.tiling.n_lon
    left = data.draw(st.integers(1 - n_lon, n_lon - 1))
    right = data.draw(st.integers(left + 1, 2 * n_lon - 1))
    box = Box(top, left, height, right - left)
    expected = padded_map(whole, box, periodic=product.tiling.periodic)
    assert np.array_equal(product.read(2001, box), expected)


def test_fractions_and_transitions_are_those_of_the_maps(cube, finished):
    product, maps = finished
    everything = product.tiling.everything
    areas = cube.grid.cell_area, product.coarse.grid.cell_area
    with xr.open_zarr(product.url, chunks=None) as ds:
        assert ds.fraction.dims[-4:] == ("year", "class", "coarse_lat", "coarse_lon")
        assert ds.transition.dims[-4:-2] == ("class_from", "class_to")
        assert ds.fraction.dtype == ds.transition.dtype == np.float32
        for index in (MemberIndex(0, 0), MemberIndex(1, 2)):
            one = ds.isel(scenario=index.scenario, member=index.member)
            classes = {}
            for year in WALK.years:
                classes[year] = np.full(cube.grid.shape, OUTSIDE, np.uint8)
                for tile in product.tiling.tiles():
                    cells = product.tiling.tile_box(tile).slices(origin=everything)
                    classes[year][cells] = maps[TileYear(year, tile, index)].classes
            for year in WALK.years:
                expected = reference.fractions(classes[year], 7, *areas, 2)
                np.testing.assert_allclose(one.fraction.sel(year=year), expected, atol=1e-6)
            assert one.transition.sel(year=2000).isnull().all(), "nothing is before the first year"
            for before, year in pairwise(WALK.years):
                moved = reference.transitions(classes[before], classes[year], 7, *areas, 2)
                stored = one.transition.sel(year=year).values
                np.testing.assert_allclose(stored, moved, atol=1e-6)
                gain = stored.sum(axis=0) - stored.sum(axis=1)
                change = one.fraction.sel(year=year).values - one.fraction.sel(year=before).values
                np.testing.assert_allclose(change, gain, atol=1e-6)
            assert moved.any()


def test_overviews_are_those_of_the_maps(finished):
    product, _ = finished
    with xr.open_zarr(product.url, chunks=None) as ds:
        classes = HILDA.encode(ds.land_use.values)
        confidence = ds.confidence.values
    for level in (1, 2, 3):
        overviews = [
            reference.overview(classes[index], confidence[index], 7)
            for index in np.ndindex(classes.shape[:3])
        ]
        lead = classes.shape[:3]
        classes = np.stack([half for half, _ in overviews]).reshape(*lead, *overviews[0][0].shape)
        confidence = np.stack([mean for _, mean in overviews]).reshape(classes.shape)
        with xr.open_zarr(product.url, chunks=None, group=str(level)) as ds:
            assert ds.land_use.dims == ("scenario", "member", "year", "lat", "lon")
            assert np.array_equal(ds.land_use, HILDA.decode(classes))
            assert np.array_equal(ds.confidence, confidence)
