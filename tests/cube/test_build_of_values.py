"""A cube of monthly values built from files: clouds, land, tiles, and forcing by month."""

import cftime
import numpy as np
import pytest

from luray.core.grid import Grid
from luray.core.legend import OUTSIDE
from luray.core.legend_files import read_legend
from luray.core.tiling import Box, Tiling
from luray.core.time_steps import TimeSteps
from luray.cube.build import create, write_piece
from luray.cube.cube import Cube
from luray.cube.finish import finish
from luray.cube.land import tiles_with_land
from luray.cube.plan import plan_build
from luray.cube.region import Region
from luray.model.features import UNKNOWN
from luray.planning.expected_cube import expected_cube
from luray.planning.workload import cube_bytes
from luray.sources.base import Request
from luray.sources.climate import ClimateConfig
from luray.sources.season import SeasonConfig
from luray.sources.values import ValuesConfig
from tests.sources.writers import axes, write_nc, write_tif

GRID = Grid(46, 4, 0.1, 16, 16)
COARSE = Grid(46.5, 3.5, 0.5, 5, 6)
WHOLE = Box(0, 0, 16, 16)
MONTHS = TimeSteps("month")
LAI = read_legend("lai")
TILING = Tiling(16, 16, window=16, stride=8, tile=8)
YEARS = range(2003, 2005)


def tenths(step):
    """The first tile is under clouds in one half or the other, the last is sea."""
    values = np.full((16, 16), step % 12 + 10, np.uint8)
    values[:8, :8] = np.where(np.arange(8) % 2 == step % 2, 255, values[:8, :8])
    values[8:, 8:] = 255
    return values


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Tables of a run file: the maps, monthly climate, and the season."""
    folder = tmp_path_factory.mktemp("inputs")
    steps = MONTHS.of_years(2003, 2004)
    for step in steps:
        name = f"lai_{MONTHS.label(step)}-15.tif"
        write_tif(folder / "lai" / name, tenths(step), north=46, west=4, step=0.1)
    unit = {"units": "days since 2000-01-01"}
    moments = [cftime.datetime(step // 12, step % 12 + 1, 15) for step in steps]
    stamps = cftime.date2num(moments, unit["units"]).astype(np.float64)
    maps = np.stack([np.full(COARSE.shape, 270 + step % 12, np.float32) for step in steps])
    write_nc(
        folder / "climate" / "tas.nc",
        {
            **axes(COARSE),
            "time": (("time",), stamps, unit),
            "tas": (("time", "lat", "lon"), maps, {"units": "K"}),
        },
    )
    return (
        ValuesConfig(
            kind="values",
            name="mine",
            path=str(folder / "lai"),
            pattern="lai_{date}.tif",
            scale_factor=0.1,
            no_value=(255,),
        ),
        ClimateConfig.model_validate(
            {
                "kind": "climate",
                "path": str(folder / "climate"),
                "variables": [{"variable": "tas", "name": "temperature", "units": "degC"}],
            }
        ),
        SeasonConfig(kind="season"),
    )


@pytest.fixture(scope="module")
def sources(tables):
    request = Request(YEARS, "", grid=GRID, legend=LAI, time=MONTHS)
    opened = [table.open(request) for table in tables]
    opened[0] = type(opened[0])(**{**vars(opened[0]), "max_missing": tables[0].max_missing})
    return opened


@pytest.fixture(scope="module")
def cube(sources, tmp_path_factory):
    url = str(tmp_path_factory.mktemp("cube") / "cube.zarr")
    plan = plan_build(url, grid=GRID, tiling=TILING, sources=sources, time=MONTHS)
    create(plan)
    for phase in plan.pieces():
        for piece in phase:
            write_piece(plan, piece)
    finish(plan)
    return Cube.open(url)


def test_clouds_are_unknown_and_sea_is_outside(cube):
    assert (cube.time, cube.legend) == (MONTHS, LAI)
    assert cube.years == tuple(MONTHS.of_years(2003, 2004))
    land = cube.land(WHOLE)
    assert land[:8].all()
    assert land[8:, :8].all()
    assert not land[8:, 8:].any()
    for step in (cube.years[0], cube.years[7]):
        numbers = tenths(step)
        expected = np.where(numbers == 255, UNKNOWN, 2 * numbers.astype(int))
        expected[8:, 8:] = OUTSIDE
        assert np.array_equal(cube.state(step, WHOLE), expected)


def test_a_tile_that_is_never_whole_has_land(cube):
    tiles = {(tile.row, tile.col) for tile in tiles_with_land(cube, TILING)}
    assert tiles == {(0, 0), (0, 1), (1, 0)}


def test_gaps_are_said_by_their_dates(cube):
    [gaps] = [rule for rule in cube.rules["mine"] if "gaps" in rule]
    assert gaps.startswith("cells without a value at times are gaps: missing in 2003-01 (32 of 192")


def test_forcing_is_that_of_the_month(cube):
    region = Region(cube, WHOLE)
    names = [variable.name for layer in cube.forcing for variable in layer.variables]
    for step in (cube.years[3], cube.years[18]):
        values = dict(zip(names, region.forcing(step, WHOLE), strict=True))
        assert values["temperature"] == pytest.approx(270 + step % 12 - 273.15, abs=1e-4)
        angle = np.arctan2(values["season_sin"], values["season_cos"]) % (2 * np.pi)
        first, end = MONTHS.bounds(step, epoch=MONTHS.year(step))
        assert angle == pytest.approx(2 * np.pi * (first + end) / 2 / 365, abs=1e-5)


def test_a_plan_counts_every_month_of_the_forcing(tables, cube):
    expected = expected_cube(
        "nowhere",
        grid=GRID,
        sources=tables,
        years=YEARS,
        observed=cube.years,
        legend=LAI,
        time=MONTHS,
    )
    built = {layer.path: layer for layer in cube.forcing}
    counts = {}
    for layer in expected.forcing:
        assert layer.per_year == 12
        assert layer.steps == built[layer.path].steps
        assert layer.lead(cube.years[17]) == built[layer.path].lead(cube.years[17])
        counts[layer.path] = len(set(layer.steps.values()))
    # two years of climate; the season is the same in both
    assert counts == {"forcing/climate/values": 24, "forcing/season/values": 12}
    maps_and_land = (len(cube.years) + 1) * GRID.n_lat * GRID.n_lon
    climate = expected.forcing[0].grid
    season = expected.forcing[1].grid
    assert cube_bytes(expected) == (
        maps_and_land
        + 24 * 4 * climate.n_lat * climate.n_lon
        + 12 * 2 * 4 * season.n_lat * season.n_lon
    )
