"""The plan of a build: pieces, tasks, and what tells one input from another."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import netcdf_file

from luray.catalog.virtual import virtual_references, write_references
from luray.core.grid import Grid
from luray.core.tiling import Box, Tiling
from luray.cube.build import (
    PIECES_AT_ONCE,
    Piece,
    batches,
    create,
    finish,
    identify,
    plan_build,
    write_piece,
)
from luray.cube.cube import Cube
from luray.sources.coverage import cut
from luray.sources.gebco import GebcoConfig, open_gebco
from luray.sources.hilda import HildaConfig, open_hilda
from tests.sources.writers import axes, write_nc, write_tif

GRID = Grid(50, 10, 1, 4, 6)


def write_file(path, value=1.0):
    field = np.full(GRID.shape, value, np.float32)
    return str(write_nc(path, {**axes(GRID), "v": (("lat", "lon"), field, {"units": "1"})}))


def test_a_local_file_is_known_by_its_sha256_and_size(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert identify(str(tmp_path / "f")) == (f"sha256:{hashlib.sha256(b'abc').hexdigest()}", 3)


def test_an_object_is_known_by_its_etag(s3):
    s3.put("identity/f", b"abc")
    before = identify(f"{s3.url}/identity/f")
    assert (hashlib.md5(b"abc").hexdigest() in before.identity, before.size) == (True, 3)
    s3.put("identity/f", b"abd")
    assert identify(f"{s3.url}/identity/f") != before


@pytest.mark.parametrize("name", ["f.nc.json", "f.nc.parquet"])
def test_references_are_known_by_what_is_behind_them(tmp_path, name):
    source, url = write_file(tmp_path / "f.nc"), str(tmp_path / name)
    write_references(virtual_references(source), url)
    before, again = identify(url), identify(url)
    assert before == again
    assert before.size > (tmp_path / "f.nc").stat().st_size
    write_file(tmp_path / "f.nc", value=2.0)
    assert identify(url).identity != before.identity


def test_a_zarr_store_is_known_by_all_of_its_objects(tmp_path):
    url = str(tmp_path / "f.zarr")
    array = zarr.create_array(url, name="v", data=np.arange(6), chunks=(3,))
    before = identify(url)
    array[5] = 7
    assert identify(url).identity != before.identity
    array[5] = 5
    assert identify(url) == before


@given(years=st.integers(1, 4), rows=st.integers(1, 5), cols=st.integers(1, 12))
def test_every_piece_is_in_one_task_and_a_band_of_rows_is_never_parted(years, rows, cols):
    pieces = [
        Piece("s", year, Box(r * 10, c * 10, 10, 10))
        for year in range(years)
        for r in range(rows)
        for c in range(cols)
    ]
    tasks = list(batches(pieces))
    assert [piece for task in tasks for piece in task] == pieces
    bands = [{(p.year, p.box.row) for p in task} for task in tasks]
    assert sum(map(len, bands)) == years * rows
    assert all(len(task) < PIECES_AT_ONCE + cols for task in tasks)
    assert all(len(task) >= PIECES_AT_ONCE for task in tasks[:-1])


@given(
    north=st.integers(-80, 90),
    west=st.integers(-180, 150),
    height=st.integers(1, 9),
    width=st.integers(1, 30),
    step=st.sampled_from([0.25, 0.5, 1.5]),
)
def test_a_cut_holds_the_run_grid_and_a_cell_around_it(north, west, height, width, step):
    native = Grid(90, -180, step, round(180 / step), round(360 / step))
    run = Grid(north, west, 1, min(height, north + 90), width)
    part, box = cut(native, run)
    assert part.shape == box.shape
    assert part.north >= min(90, run.north + step / 2) - 1e-9
    assert part.south <= max(-90, run.south - step / 2) + 1e-9
    if box.width < native.n_lon:
        assert part.west <= run.west - step / 2 + 1e-9
        assert part.east >= run.east + step / 2 - 1e-9
    assert native.offset_of(part) == (box.row, box.col)


def maps_of(folder, grid, years, *, base=None):
    """HILDA+ version 1 of some years, all forest; `base` is the year whose file is called a base
    map.
    """
    for year in years:
        kind = "_base-map" if year == base else ""
        write_tif(
            folder / f"hilda_plus_{year}_states_GLOB-v1-0{kind}_wgs84-nn.tif",
            np.full(grid.shape, 44, np.uint8),
            north=grid.north,
            west=grid.west,
            step=grid.step,
        )
    return open_hilda(
        HildaConfig(kind="hilda", path=str(folder)), run_years=range(years[0], years[-1] + 1)
    )


def build_here(url, grid, sources):
    """Build a cube in this process."""
    tiling = Tiling(*grid.shape, window=16, stride=8, tile=8)
    plan = plan_build(str(url), grid=grid, tiling=tiling, sources=sources)
    create(plan)
    for phase in plan.pieces():
        for piece in phase:
            write_piece(plan, piece)
    finish(plan)
    return Cube.open(str(url))


def test_a_cube_knows_which_of_its_maps_is_of_another_kind(tmp_path):
    grid = Grid(36, 23, 0.01, 8, 8)
    cube = build_here(
        tmp_path / "a.zarr", grid, [maps_of(tmp_path / "a", grid, (2014, 2015, 2016), base=2015)]
    )
    assert list(cube.other_kind) == [2015]
    assert "base map of another kind" in cube.other_kind[2015]
    rules = zarr.open_group(tmp_path / "a.zarr", mode="r")["state"].attrs["rules"]
    assert any(rule.startswith("2015 is a base map") for rule in rules)
    plain = build_here(
        tmp_path / "b.zarr", grid, [maps_of(tmp_path / "b", grid, (2012, 2013, 2014))]
    )
    assert plain.other_kind == {}
    assert (
        "other_kind" not in zarr.open_group(tmp_path / "b.zarr", mode="r")["state"].attrs["luray"]
    )


def maps_with_a_hole(folder, grid, *, blank=False, **options):
    """Forest in three years, of which the middle one lacks a quarter or everything."""
    source = maps_of(folder, grid, (2000, 2001, 2002))
    codes = np.full(grid.shape, 44, np.uint8)
    codes[
        : grid.n_lat if blank else grid.n_lat // 2, : grid.n_lon if blank else grid.n_lon // 2
    ] = 99
    write_tif(
        folder / "hilda_plus_2001_states_GLOB-v1-0_wgs84-nn.tif",
        codes,
        north=grid.north,
        west=grid.west,
        step=grid.step,
    )
    return replace(source, **options)


def test_a_hole_in_one_year_is_refused_or_declared(tmp_path):
    grid = Grid(36, 23, 0.01, 16, 16)
    url = tmp_path / "a.zarr"
    with pytest.raises(
        ValueError,
        match=r"hilda: 25\.0% of the cells .* missing in 2001 \(64 of 256 cells, 25\.0%\)",
    ):
        build_here(url, grid, [maps_with_a_hole(tmp_path / "a", grid)])
    with pytest.raises(FileNotFoundError, match="no finished predictor cube"):
        Cube.open(str(url))
    cube = build_here(url, grid, [maps_with_a_hole(tmp_path / "a", grid, max_missing=0.3)])
    assert cube.land(Box(0, 0, 16, 16)).sum() == 192
    assert "left out: missing in 2001 (64 of 256 cells, 25.0%)" in cube.rules["hilda"][-1]
    with pytest.raises(ValueError, match="hilda: no value at all in 2001"):
        build_here(
            tmp_path / "b.zarr",
            grid,
            [maps_with_a_hole(tmp_path / "b", grid, blank=True, max_missing=1.0)],
        )


def test_what_a_source_does_not_reach_is_missing_in_the_cube(tmp_path):
    grid = Grid(56, 12.5, 0.01, 16, 16)
    relief = Grid(56.05, 12.45, 1 / 240, 60, 36)
    write_nc(
        tmp_path / "gebco/GEBCO_2023.nc",
        {
            **axes(relief),
            "elevation": (("lat", "lon"), np.full(relief.shape, 70, np.int16), {"units": "m"}),
        },
    )
    source = open_gebco(GebcoConfig(kind="gebco", path=str(tmp_path / "gebco")))
    cube = build_here(
        tmp_path / "c.zarr", grid, [maps_of(tmp_path / "maps", grid, (2000, 2001)), source]
    )
    box = Box(0, 0, 16, 16)
    seen = cube.region(box).static(box)[0] * 1000
    assert seen[:, :9].round(3).min() == 70, "to the edge of the file"
    assert (seen[:, 11:] == 0).all(), (
        "a missing value is seen as 0, not as the last one of the file"
    )
    assert any(rule.endswith("what lies beyond is missing") for rule in cube.rules["gebco"])


def test_the_real_gebco_subset_is_in_the_cube_as_scipy_reads_it(realdata, tmp_path):
    grid = Grid(56, 12.5, 0.01, 16, 24)
    path = realdata / "gebco_2020_subset/gebco_2020_n56.3_s55.2_w12.2_e13.1.nc"
    source = open_gebco(GebcoConfig(kind="gebco", path=str(path.parent)))
    build_here(tmp_path / "c.zarr", grid, [maps_of(tmp_path / "maps", grid, (2000, 2001)), source])
    group = zarr.open_group(tmp_path / "c.zarr", mode="r")["static/gebco"]
    with netcdf_file(path, mmap=False) as file:
        lat, lon, metres = (file.variables[name][:].copy() for name in ("lat", "lon", "elevation"))
    rows = [int(np.abs(lat - y).argmin()) for y in group["lat"][:]]
    cols = [int(np.abs(lon - x).argmin()) for x in group["lon"][:]]
    np.testing.assert_allclose(lat[rows], group["lat"][:], atol=1e-6)
    np.testing.assert_allclose(lon[cols], group["lon"][:], atol=1e-6)
    assert lat[rows].max() > 56 > 55.84 > lat[rows].min()
    np.testing.assert_array_equal(group["values"][0], metres[np.ix_(rows, cols)])
