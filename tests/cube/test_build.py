"""Cubes built from files: what is written, left out and refused."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import zarr
from scipy.io import netcdf_file

from luray.core.grid import Grid
from luray.core.legend_files import HILDA
from luray.core.tiling import Box, Tiling
from luray.cube.build import create, write_piece
from luray.cube.cube import Cube
from luray.cube.finish import finish
from luray.cube.plan import plan_build
from luray.cube.region import Region
from luray.sources.aggregated import CAVEAT, AggregatedConfig, open_aggregated
from luray.sources.base import STATE, About, Described
from luray.sources.distortion import DistortConfig
from luray.sources.gebco import GebcoConfig, open_gebco
from luray.sources.hilda import HildaConfig, open_hilda
from tests.cube.cubes import COVER
from tests.sources.writers import axes, write_nc, write_tif


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


@dataclass(frozen=True, kw_only=True)
class Covers(Described):
    """Maps of another legend, from memory; they end before the run does."""

    codes: np.ndarray

    def read(self, year, box):
        return self.codes[self.years.index(year)][None][(..., *box.slices(origin=Box(0, 0, 0, 0)))]


def covers(grid, *, legend=COVER):
    """Maps with a sub-code, ocean and missing cells."""
    published = np.array([17, 110, 111, 210, 5, 0], np.uint8)
    codes = np.random.default_rng(0).choice(published, (2, *grid.shape))
    return Covers(
        name="covers",
        about=About("t", "", "", "", (), ""),
        grid=grid,
        variables=(replace(STATE, categories=tuple(int(code) for code in legend.codes)),),
        years=(2000, 2001),
        rules=(),
        files=(),
        legend=legend,
        codes=codes,
        min_coverage=0.1,
        max_missing=1.0,
    )


def test_cube_is_built_with_the_legend_of_its_maps(tmp_path):
    grid = Grid(36, 23, 0.01, 16, 16)
    source = covers(Grid(36, 23, 0.01, 16, 12))
    cube = build_here(tmp_path / "a.zarr", grid, [source])
    assert cube.legend == COVER

    # The sub-code is merged; cells beyond the maps have no data.
    expected = np.full((2, *grid.shape), COVER.nodata, np.uint8)
    expected[..., :12] = source.codes
    expected[expected == 111] = 110
    group = zarr.open_group(tmp_path / "a.zarr", mode="r")["state"]
    np.testing.assert_array_equal(group["land_use"][:], expected)
    is_ocean = (expected == COVER.ocean).any(axis=0)
    is_land = np.isin(expected, COVER.codes).all(axis=0)
    assert (is_ocean.any(), is_land.any(), (~is_ocean & ~is_land).any()) == (True, True, True)
    np.testing.assert_array_equal(group["land"][:] == 0, is_ocean)
    np.testing.assert_array_equal(group["land"][:] == 1, is_land)
    everything = Box(0, 0, *grid.shape)
    np.testing.assert_array_equal(cube.no_data(everything), ~is_ocean & ~is_land)
    np.testing.assert_array_equal(cube.land(everything), is_land)
    assert group["land_use"].attrs["flag_values"] == [17, 110, 210, 5, 0]
    assert group["land_use"].attrs["flag_meanings"] == "ocean trees crops bare no_data"


def test_another_legend_makes_another_cube(tmp_path):
    grid = Grid(36, 23, 0.01, 16, 16)
    tiling = Tiling(*grid.shape, window=16, stride=8, tile=8)
    renamed = replace(COVER, name="renamed")
    plans = [
        plan_build("a", grid=grid, tiling=tiling, sources=[covers(grid, legend=legend)])
        for legend in (COVER, renamed)
    ]
    assert plans[0].fingerprint != plans[1].fingerprint


def test_a_cube_does_not_say_where_its_files_lay(tmp_path):
    grid = Grid(36, 23, 0.01, 8, 8)
    build_here(tmp_path / "a.zarr", grid, [maps_of(tmp_path / "a", grid, (2014, 2015))])
    files = zarr.open_group(tmp_path / "a.zarr", mode="r")["state"].attrs["files"]
    assert len(files) == 2
    assert all(identity.startswith("sha256:") for identity in files.values())
    for path in (tmp_path / "a.zarr").rglob("zarr.json"):
        assert str(tmp_path) not in path.read_text()


def test_cube_knows_maps_of_another_kind(tmp_path):
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


def random_maps(folder, grid, years):
    """HILDA+ version 2 of some years, with another class in most cells each year."""
    for year in years:
        codes = np.random.default_rng(year).choice(HILDA.codes, grid.shape)
        place = {"north": grid.north, "west": grid.west, "step": grid.step}
        write_tif(folder / f"hilda_plus_states_{year}_GLOB-v2_wgs84.tif", codes, **place)
    return open_hilda(
        HildaConfig(kind="hilda", path=str(folder)), run_years=range(years[0], years[-1] + 1)
    )


def test_a_distortion_is_said_in_its_cube(tmp_path):
    grid = Grid(36, 23, 0.01, 16, 24)
    state = random_maps(tmp_path / "maps", grid, range(2000, 2005))

    def cube_with(name, **settings):
        config = AggregatedConfig(kind="aggregated", block=4, distort=DistortConfig(**settings))
        forcing = open_aggregated(config, state=state, grid=grid)
        return forcing, build_here(tmp_path / name, grid, [state, forcing])

    plain, cube = cube_with("plain.zarr")
    assert cube.caveats == (CAVEAT,)
    late, late_cube = cube_with("late.zarr", lag=2, smooth_space=3)
    assert late_cube.caveats == (
        "forcing: class fractions aggregated from the target maps, distorted: smoothed over 3 x 3 "
        "blocks, 2 years late",
    )
    assert late_cube.rules["aggregated"][-1].startswith("distorted, in this order: smoothed")
    assert late_cube.fingerprint != cube.fingerprint

    for forcing, built, n_stored in ((plain, cube, 5), (late, late_cube, 3)):
        [layer] = built.forcing
        assert len(set(layer.steps.values())) == n_stored, "late years share the first map"
        rows_and_columns = [slice(0, 4)], [slice(0, 6)]
        for year in state.years:
            stored = built.native(layer, layer.lead(year), rows_and_columns)
            np.testing.assert_array_equal(stored, forcing.read(year, Box(0, 0, 4, 6)))


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


def test_hole_is_refused_or_declared(tmp_path):
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


def test_unreached_cells_are_missing(tmp_path):
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
    seen = Region(cube, box).static(box)[0] * 1000
    assert seen[:, :9].round(3).min() == 70, "to the edge of the file"
    assert (seen[:, 11:] == 0).all(), (
        "a missing value is seen as 0, not as the last one of the file"
    )
    assert any(rule.endswith("what lies beyond is missing") for rule in cube.rules["gebco"])


def test_real_gebco_matches_scipy(realdata, tmp_path):
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
