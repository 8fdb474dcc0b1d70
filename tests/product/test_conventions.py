"""A product opens without a parameter in the readers that its users have."""

import json
from pathlib import Path

import numpy as np
import pytest
import rioxarray  # noqa: F401 - gives Datasets their `rio`
import xarray as xr
import zarr_cm

import luray
from luray.core.grid import EARTH_RADIUS_M, Grid
from luray.core.legend import OUTSIDE
from luray.core.legend_files import HILDA
from luray.core.tiling import Tile
from luray.product.conventions import Lattice
from luray.product.trajectories import TileYear
from tests.product.products import OVERVIEWS, WALK, created, fill


@pytest.fixture(scope="module")
def product(cube, tmp_path_factory):
    url = tmp_path_factory.mktemp("p") / "product.zarr"
    product = created(cube, url, span=WALK, tiles=6, overviews=OVERVIEWS)
    fill(product)
    product.finish()
    return product


def test_rioxarray_finds_where_the_maps_lie(cube, product):
    ds = xr.open_zarr(product.url)
    grid = cube.grid
    bounds = (grid.west, grid.south, grid.east, grid.north)
    for found in (ds, ds.land_use, ds.confidence.isel(year=0)):
        assert found.rio.crs.to_epsg() == 4326
        np.testing.assert_allclose(found.rio.bounds(), bounds)
    coarse = ds.fraction.rio.set_spatial_dims("coarse_lon", "coarse_lat")
    assert coarse.rio.crs.to_epsg() == 4326
    # 13 and 17 cells are 6.5 and 8.5 coarse ones: the last of each reaches past the maps.
    np.testing.assert_allclose(coarse.rio.bounds(), (4, 45, 13, 52))


def test_every_level_has_its_own_place(cube, product):
    for level in range(1, OVERVIEWS.levels + 1):
        ds = luray.open_product(product.url, level=level)
        step = cube.grid.step * 2**level
        north_west = (cube.grid.west, cube.grid.north)
        assert ds.rio.crs.to_epsg() == 4326
        left, _, _, top = ds.rio.bounds()
        np.testing.assert_allclose((left, top), north_west)
        np.testing.assert_allclose(np.diff(ds.lon), step)
        assert ds.land_use.shape == (4, -(-13 // 2**level), -(-17 // 2**level))
    with pytest.raises(ValueError, match=r"no level 4, expected one from 0, the maps, to 3"):
        luray.open_product(product.url, level=4)


def test_years_have_a_time_of_a_calendar_without_leap_days(product):
    ds = xr.open_zarr(product.url)
    assert [(t.year, t.month, t.day) for t in ds.time.values] == [(y, 1, 1) for y in WALK.years]
    assert ds.time.dt.calendar == "noleap"
    assert ds.time_bnds.dims == ("year", "bnds")
    last = ds.time_bnds.values[-1]
    assert [(t.year, t.month, t.day) for t in last] == [(2003, 1, 1), (2004, 1, 1)]
    assert set(ds.land_use.coords) >= {"time", "crs", "cell_area"}


def test_bounds_and_areas_are_those_of_the_cells(cube, product):
    ds = xr.open_zarr(product.url)
    assert set(ds.data_vars) == {"land_use", "confidence", "fraction", "transition", "origin"}
    np.testing.assert_allclose(ds.lat_bnds[:, 0] - ds.lat_bnds[:, 1], cube.grid.step)
    np.testing.assert_allclose(ds.lat_bnds.mean("bnds"), ds.lat)
    np.testing.assert_allclose(ds.cell_area, cube.grid.cell_area)
    north, south = np.radians([52, 51])
    coarse_area = EARTH_RADIUS_M**2 * np.radians(1) * (np.sin(north) - np.sin(south))
    np.testing.assert_allclose(ds.coarse_cell_area[0], coarse_area)


def test_a_level_ends_at_the_pole():
    lattice = Lattice.of(Grid(90, -180, 0.01, 18000, 36000), level=5)
    assert lattice.shape == (563, 1125)
    assert lattice.lat_edges[-1] == -90
    np.testing.assert_allclose(np.diff(lattice.lat), -0.32)


def test_geozarr_leads_to_every_level(product):
    attributes = json.loads(Path(product.url, "zarr.json").read_text())["attributes"]
    declared = {convention["name"] for convention in attributes["zarr_conventions"]}
    assert declared == {"proj", "spatial", "multiscales"}
    zarr_cm.validate_many(attributes, declared)
    for asset in attributes["multiscales"]["layout"]:
        with xr.open_zarr(product.url, group=asset["asset"].replace(".", "") or None) as ds:
            assert list(ds.land_use.shape[-2:]) == asset["spatial:shape"]
            step, _, west, _, _, north = asset["spatial:transform"]
            np.testing.assert_allclose(ds.lon[0], west + step / 2)
            np.testing.assert_allclose(ds.lat[0], north - step / 2)


def test_no_data_is_told_from_ocean(cube, tmp_path):
    product = created(cube, tmp_path / "product.zarr", span=WALK, overviews=OVERVIEWS)
    classes = np.full((8, 8), OUTSIDE, np.uint8)
    classes[:4] = 254
    classes[6:] = 3
    product.write(2001, Tile(0, 0), classes, np.zeros((8, 8), np.uint8))
    stored = product.stored(TileYear(2001, Tile(0, 0)), "land_use")
    assert stored[:, 0].tolist() == [99] * 4 + [0] * 2 + [44] * 2
    overview = product.stored(TileYear(2001, Tile(0, 0)), "2/land_use")
    assert overview[:, 0].tolist() == [99, 44]
    read = product.read(2001, product.tiling.tile_box(Tile(0, 0)))
    assert read[:, 0].tolist() == [OUTSIDE] * 6 + [HILDA.index(44)] * 2
