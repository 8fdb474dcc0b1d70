"""Products of values with several maps a year: for their own readers, and for xarray."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import luray
from luray.catalog.finished import read_finished
from luray.catalog.product_maps import product_maps
from luray.core.legend import NO_VALUE, OUTSIDE, Legend
from luray.core.tiling import Box, Tile
from luray.core.time_steps import TimeSteps
from luray.core.value_scale import ValueScale
from luray.cube.cube import Cube
from luray.cube.schema import NativeLayout, create_native
from luray.engine.side_work import CoarserOverviews, CopyYears, years_to_copy
from luray.product.dimensions import FIRST, ProductDims
from luray.product.overviews import halve_values
from luray.product.product_maps import legend_of_flags
from luray.product.repair import damaged, withdraw
from luray.product.status import status_of
from luray.product.trajectories import TileYear
from tests import reference
from tests.product.products import OVERVIEWS
from tests.product.value_products import (
    GRID,
    LAI,
    MONTHLY,
    fill_values,
    finished_value_product,
    levels_of,
    on_land,
    spread_of,
    value_cube,
    value_product,
)

MARCH = MONTHLY.step(2003, 2)
"""A predicted month."""
OBSERVED = MONTHLY.step(2001, 4)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("values")
    return finished_value_product(folder, overviews=OVERVIEWS)


def values_of(levels):
    return np.where(levels == NO_VALUE, np.nan, 0.05 * levels)


def test_xarray_reads_values_and_their_spread(made):
    _, product = made
    with xr.open_zarr(product.url, chunks=None) as ds:
        assert set(ds.data_vars) == {"lai", "spread", "origin"}
        assert ds.lai.dims == ds.spread.dims == ("time", "lat", "lon")
        march = ds.sel(time="2003-03").squeeze("time")
        levels = levels_of(GRID, MONTHLY, MARCH, gaps=False)
        np.testing.assert_allclose(march.lai, values_of(levels), atol=1e-6)
        np.testing.assert_allclose(march.spread, values_of(spread_of(levels, MARCH)), atol=1e-6)
        may = ds.sel(time="2001-05").squeeze("time")
        clouded = levels_of(GRID, MONTHLY, OBSERVED, gaps=True)
        np.testing.assert_allclose(may.lai, values_of(clouded), atol=1e-6)
        assert np.isnan(may.lai.values[on_land(GRID)]).any(), "there are clouds over land"
        assert may.spread.isnull().all(), "what is observed has no spread"
        assert (ds.lai.attrs["units"], ds.lai.attrs["standard_name"]) == (
            "m2 m-2",
            "leaf_area_index",
        )
        assert ds.lai.attrs["ancillary_variables"] == "spread"
        assert ds.spread.attrs["standard_name"] == "leaf_area_index standard_error"
        assert "flag_values" not in ds.lai.attrs


def test_time_is_that_of_a_calendar_without_leap_days(made):
    _, product = made
    with xr.open_zarr(product.url, chunks=None) as ds:
        assert ds.time.dt.calendar == "noleap"
        assert ds.sizes["time"] == 48
        first = ds.time_bnds.values[1]
        assert [str(moment)[:10] for moment in first] == ["2000-02-01", "2000-03-01"]
        assert np.array_equal(ds.time_bnds[:, 0], ds.time)
        assert "year" not in ds.variables
        assert ds.origin.dims == ("time",)
        assert ds.origin.values.tolist() == [1] * 12 + [0] * 24 + [2] * 12


def test_receipts_are_named_by_months(made):
    cube, product = made
    keys = product.ledger.done()
    assert {"2000-01/0.0", "2003-12/overviews"} <= keys
    units = list(product.units(product.tiling.tiles()))
    assert product.done().units == frozenset(units)
    assert damaged(product, units) == []
    status = status_of(product.url)
    assert status.time == MONTHLY
    assert [MONTHLY.label(step) for step in status.years[::47]] == ["2000-01", "2003-12"]
    assert status.complete == list(status.years)
    about = json.loads(Path(product.url, "zarr.json").read_text())["attributes"]["luray"]
    assert (about["time_step"], about["steps"]) == ("month", ["2000-01", "2003-12"])
    assert (about["target"], "years" in about) == ("lai", False)
    assert Cube.open(cube.url).time == MONTHLY


def test_a_level_of_the_overviews_is_the_mean(made):
    _, product = made
    root = zarr.open_group(product.url, mode="r")
    for name in ("lai", "spread"):
        finer = root[name]
        for level in range(1, OVERVIEWS.levels + 1):
            coarser = root[f"{level}/{name}"]
            for index in (0, 13, 47):
                expected = reference.mean_overview(finer[index])
                assert np.array_equal(coarser[index], expected)
            finer = coarser
    attributes = json.loads(Path(product.url, "zarr.json").read_text())["attributes"]
    methods = [asset.get("resampling_method") for asset in attributes["multiscales"]["layout"]]
    assert methods == [None, *["average"] * OVERVIEWS.levels]
    with xr.open_zarr(product.url, group="2", chunks=None) as ds:
        assert float(ds.lai.max()) <= 7
        assert ds.lai.dims == ("time", "lat", "lon")


@given(
    arrays.arrays(
        np.uint8,
        st.tuples(st.integers(1, 6), st.integers(1, 6)),
        elements=st.sampled_from([0, 1, 2, 139, 250, 254, 255]),
    )
)
def test_half_is_the_mean_of_four_cells(values):
    assert halve_values(values).tolist() == reference.mean_overview(values).tolist()


def test_a_damaged_month_is_found_and_withdrawn(tmp_path):
    cube, product = finished_value_product(tmp_path, years=(2001, 2003), overviews=OVERVIEWS)
    units = list(product.units(product.tiling.tiles()))
    whole = [product.stored(TileYear(MARCH, tile), "lai") for tile in product.tiling.tiles()]
    place = tmp_path / "product.zarr" / product.layout.shard(TileYear(MARCH, Tile(0, 0)), "lai")
    place.write_bytes(place.read_bytes()[:-3])
    [wrong] = damaged(product, units)
    assert product.layout.key(wrong) == "2003-03/0.0"
    withdraw(product, [wrong])
    assert set(status_of(product.url).years) - set(status_of(product.url).complete) == {MARCH}
    fill_values(cube, product)  # the same again
    product.finish()
    assert damaged(product, units) == []
    assert all(
        np.array_equal(product.stored(TileYear(MARCH, tile), "lai"), before)
        for tile, before in zip(product.tiling.tiles(), whole, strict=True)
    )


def test_an_interrupted_product_goes_on_with_what_lacks(tmp_path):
    cube = value_cube(f"{tmp_path}/cube.zarr")
    product = value_product(cube, f"{tmp_path}/product.zarr", overviews=OVERVIEWS)
    tiles = list(product.tiling.tiles())
    copies = list(years_to_copy(product, tiles, product.done()))
    assert str(copies[0]) == "copying 2001-01 to 2001-08 of tile 0.0"
    assert sum(len(copy.years) for copy in copies) == 24 * len(tiles)

    levels = np.where(on_land(GRID), 3, OUTSIDE).astype(np.uint8)[:8, :8]
    product.write(MONTHLY.step(2001, 0), Tile(0, 0), levels, levels)
    again = list(years_to_copy(product, tiles, product.done()))
    assert again[0] == CopyYears(
        Tile(0, 0), tuple(range(copies[0].years[0] + 1, copies[0].years[0] + 9)), MONTHLY
    )
    overviews = CoarserOverviews(product, tiles, product.done())
    for tile in tiles[:-1]:
        assert overviews.map_written(MARCH, (FIRST,)) == [], tile
    [possible] = overviews.map_written(MARCH, (FIRST,))
    assert str(possible) == "making the overviews of 2003-03"


def test_annual_values_keep_their_years(tmp_path):
    time = TimeSteps("year")
    dims = ProductDims(("ssp126", "ssp585"))
    cube, product = finished_value_product(tmp_path, time=time, dims=dims)
    with xr.open_zarr(product.url, chunks=None) as ds:
        assert ds.lai.dims == ("scenario", "year", "lat", "lon")
        assert ds.year.values.tolist() == [2000, 2001, 2002, 2003]
        future = ds.lai.sel(scenario="ssp585", year=2003)
        land = cube.land(product.tiling.everything)
        levels = np.where(land, levels_of(GRID, time, 2003, gaps=False), NO_VALUE)
        np.testing.assert_allclose(future, values_of(levels), atol=1e-6)
    assert "ssp126/2003/0.0" in product.ledger.done()
    about = json.loads(Path(product.url, "zarr.json").read_text())["attributes"]["luray"]
    assert (about["years"], "time_step" in about) == ([2000, 2003], False)


def test_shards_of_observed_months_are_moved(tmp_path):
    cube = value_cube(f"{tmp_path}/cube.zarr")
    for place in (tmp_path / "cube.zarr/state/lai/c").rglob("*"):
        if place.is_file():
            place.write_bytes(place.read_bytes() + b"moved")
    product = value_product(cube, f"{tmp_path}/product.zarr")
    fill_values(cube, product)
    shards = tmp_path / "product.zarr/lai/c"
    step = OBSERVED - product.span.first
    assert (shards / f"{step}/1/1").read_bytes().endswith(b"moved")
    assert not (tmp_path / f"product.zarr/spread/c/{step}").exists(), "there is nothing to store"


def test_a_cube_of_months_opens_in_xarray(made):
    cube, _ = made
    with xr.open_zarr(cube.url, group="state", chunks=None) as ds:
        may = ds.lai.sel(time="2001-05").squeeze("time")
        clouded = levels_of(GRID, MONTHLY, OBSERVED, gaps=True)
        np.testing.assert_allclose(may, values_of(clouded), atol=1e-6)
        assert ds.time.dt.calendar == "noleap"
    with xr.open_zarr(cube.url, group="forcing/climate", chunks=None) as ds:
        assert ds["values"].dims == ("time", "variable", "lat", "lon")
        assert ds["values"].sel(time="2002-02").values.flat[0] == 13
    with xr.open_zarr(cube.url, group="forcing/isimip", chunks=None) as ds:
        assert ds["values"].sel(year=2002).values.flat[0] == 1


def test_values_of_days_have_no_place_in_a_cube(tmp_path):
    root = zarr.open_group(str(tmp_path / "cube.zarr"), mode="w", zarr_format=3)
    with pytest.raises(ValueError, match="weather has 365 values a year, expected 1, 12, 36 or 46"):
        create_native(
            root,
            "weather",
            role="forcing",
            grid=GRID,
            variables=(),
            years=range(3),
            layout=NativeLayout((5, 6), (5, 6)),
            per_year=365,
        )


def test_a_year_is_predicted_again_from_where_its_chain_enters_it(made):
    _, product = made
    labels = [MONTHLY.label(step) for step in product.from_year(2003)]
    assert labels == [f"2003-{month:02}" for month in range(1, 13)]
    labels = [MONTHLY.label(step) for step in product.from_year(2000)]
    assert labels == [f"2000-{month:02}" for month in range(12, 0, -1)]
    with pytest.raises(
        ValueError, match=r"2001 is not predicted: the product has 2000-2003, of wh"
    ):
        product.from_year(2001)


def test_readers_know_scale_and_months(made):
    _, product = made
    finished = read_finished(product.url)
    assert (finished.legend, finished.time) == (LAI, MONTHLY)
    assert finished.years == tuple(product.span.years)
    maps = product_maps(finished, None).series()
    levels = levels_of(GRID, MONTHLY, MARCH, gaps=False)
    box = Box(-1, 0, 15, 17)
    assert np.array_equal(maps.codes(MARCH, box)[1:14], levels)
    assert np.array_equal(maps.spread(MARCH, box)[1:14], spread_of(levels, MARCH))
    assert (maps.spread(MARCH, box)[[0, 14]] == NO_VALUE).all()
    assert (maps.classes(MARCH, box)[1:14] == np.where(levels == 255, OUTSIDE, levels)).all()


def test_a_scale_of_ones_own_is_read_from_its_packing(tmp_path):
    scale = ValueScale("m", -2.0, 0.25, 40, "linear", "", ("#000000", "#ff0000", "#ffffff"))
    own = Legend.of_values("mine", scale, variable="height", long_name="canopy height")
    cube = value_cube(f"{tmp_path}/cube.zarr", legend=own)
    product = value_product(cube, f"{tmp_path}/product.zarr")
    attributes = json.loads(Path(product.url, "height/zarr.json").read_text())["attributes"]
    read = legend_of_flags(attributes, variable="height")
    assert (read.scale, read.long_name) == (scale, "canopy height")


def test_a_level_knows_its_maps_and_their_months(made):
    _, product = made
    level = luray.open_product(product.url, level=1)
    assert level.luray["target"] == "lai"
    assert level.lai.sel(time="2003-03").shape == (1, 7, 9)
