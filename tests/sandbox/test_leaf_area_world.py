"""The simulated leaf area index: its law, cell by cell, its clouds, and its files."""

import numpy as np
import pytest
from pydantic import ValidationError

from luray.core.legend_files import read_legend
from luray.core.tiling import Box
from luray.core.time_steps import TimeSteps
from luray.sandbox import leaf_area as law
from luray.sandbox.monthly_climate import monthly_climate
from luray.sandbox.refinement import refined
from luray.sandbox.storyline import FIRST_YEAR
from luray.sandbox.world import SandboxConfig, simulate
from luray.sandbox.write import LEAF_AREA, leaf_area_run, write_sandbox
from luray.sources.base import Request
from luray.sources.c3s_lai import C3sLaiConfig
from luray.sources.climate import ClimateConfig
from luray.stages.demo import load_leaf_area_demo

CONFIG = SandboxConfig(height=50, width=100, first_map=2003, last_map=2004, leaf_area=(2003, 2004))
YEARS = range(2003, 2005)
MONTHS = TimeSteps("month")


@pytest.fixture(scope="module")
def small_world():
    return simulate(CONFIG)


@pytest.fixture(scope="module")
def leaves(small_world):
    """True leaf area index by year and dekad."""
    return dict(law.leaf_area(small_world, YEARS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_sandbox(tmp_path_factory.mktemp("leaf_area") / "world", CONFIG)


def leaves_of_cell(world, row, col):
    """The law for one cell, by a walk through its dekads."""
    grid = law.leaf_grid(world)
    fine = world.config.grid
    fine_row = int((fine.north - grid.lat[row]) / fine.step)
    fine_col = int((grid.lon[col] - fine.west) / fine.step)
    climate = monthly_climate(world, range(YEARS.start - law.SPIN_UP, YEARS.stop))
    temperature = [refined(t, climate.grid, grid)[row, col] for t in climate.temperature]
    coarse = law.coarse_mean(world.terrain.temperature).astype(np.float32)
    warmer = world.terrain.temperature[fine_row, fine_col]
    warmer -= refined(coarse, climate.grid, grid)[row, col]
    site = np.clip(1 + law.SITES * law._site_noise(world, grid)[row, col], 0.6, 1.4)

    level, water = 1.0, []
    for rain in climate.rain / climate.rain.mean(0):
        level = law.WATER_LEFT * level + (1 - law.WATER_LEFT) * rain
        water.append(refined(level.astype(np.float32), climate.grid, grid)[row, col])
    uses = world.truth["ssp245"][:, fine_row, fine_col]
    value = None
    values = []
    for dekad in range(law.DEKADS * (len(YEARS) + law.SPIN_UP)):
        year = climate.first_year + dekad // law.DEKADS
        month = dekad // 3
        plants = law.PLANTS[int(uses[year - FIRST_YEAR])]
        warmth = 1 / (1 + np.exp(-(temperature[month] + warmer - plants.warmth) / law.WIDTH))
        moisture = water[month] / (water[month] + plants.thirst)
        growth = plants.least + (1 - plants.least) * warmth * moisture
        if uses[year - FIRST_YEAR] == 22 and dekad % law.DEKADS in law.HARVEST:
            growth *= law.STUBBLE
        allowed = site * plants.most * growth
        value = allowed if value is None else value + law.RESPONSE * (allowed - value)
        values.append(value)
    return values[law.SPIN_UP * law.DEKADS :]


def test_leaf_area_follows_the_law(small_world, leaves):
    grid = law.leaf_grid(small_world)
    assert grid.shape == (56, 112)
    series = np.concatenate([leaves[year] for year in YEARS])
    cells = np.argwhere(~np.isnan(series[0]))
    for row, col in np.random.default_rng(1).permutation(cells)[:12]:
        expected = leaves_of_cell(small_world, row, col)
        np.testing.assert_allclose(series[:, row, col], expected, rtol=1e-3)
    assert np.nanmax(series) < 7


def test_leaves_come_in_spring_and_fields_are_harvested(small_world, leaves):
    by_month = leaves[2003].reshape(12, 3, 56, 112).mean(1)
    use = law.world_on(
        small_world.truth["ssp245"][2003 - FIRST_YEAR], small_world, law.leaf_grid(small_world)
    )
    forest, crop = (by_month[:, use == code].mean(1) for code in (44, 22))
    assert forest[6] > 1.5 * forest[0]
    assert crop[5] > 1.5 * crop[8]
    assert np.isnan(by_month[:, np.isin(use, (0, 77))]).all()


def test_clouds_are_those_of_the_season(small_world, leaves):
    land = ~np.isnan(leaves[2003][0])
    share = []
    for dekad in (0, 18):
        seen = law.published(small_world, leaves[2003][dekad], 2003, dekad)
        share.append(np.isnan(seen)[land].mean())
        error = seen - leaves[2003][dekad]
        assert 0.03 < np.nanstd(error) < 0.3
        again = law.published(small_world, leaves[2003][dekad], 2003, dekad)
        assert np.array_equal(seen, again, equal_nan=True)
    assert share[0] > 0.3 > 0.2 > share[1] > 0


def test_files_are_those_that_the_sources_read(small_world, leaves, folder):
    assert len(list((folder / "c3s_lai").iterdir())) == 72
    grid = law.leaf_grid(small_world)
    legend = read_legend("lai")
    request = Request(YEARS, "ssp245", grid=grid, legend=legend, time=MONTHS)
    source = C3sLaiConfig(kind="c3s_lai", path=str(folder / "c3s_lai")).open(request)
    assert source.years == tuple(MONTHS.of_years(2003, 2004))
    grid.offset_of(source.grid)
    step = MONTHS.step(2004, 4)
    found = source.read(step, Box(0, 0, *grid.shape))[0]
    three = [law.published(small_world, leaves[2004][dekad], 2004, dekad) for dekad in (12, 13, 14)]
    known = ~np.isnan(three)
    mean = np.where(known, three, 0).sum(0) / np.maximum(known.sum(0), 1)
    assert np.array_equal(found == 255, ~known.any(0))
    assert np.abs(legend.scale.values(found) - mean)[found != 255].max() < 0.0251

    variables = [
        {"variable": "tas", "name": "temperature", "units": "degC"},
        {"variable": "pr", "name": "rain", "units": "kg m-2 d-1"},
    ]
    config = ClimateConfig(kind="climate", path=str(folder / "climate"), variables=variables)
    climate = monthly_climate(small_world, range(YEARS.start - law.SPIN_UP, YEARS.stop))
    values = config.open(request).read(step, Box(0, 0, *climate.grid.shape))
    n = MONTHS.step(2004, 4) - MONTHS.step(climate.first_year)
    np.testing.assert_allclose(values[0], climate.temperature[n], atol=1e-3)
    np.testing.assert_allclose(values[1], climate.rain[n] / 31, rtol=1e-5)


def test_years_that_nobody_publishes_are_refused():
    with pytest.raises(ValidationError, match=r"expected a first and a last year of 1981-2024"):
        SandboxConfig(leaf_area=(1979, 2020))


def test_the_run_file_of_leaf_area_moves():
    run = load_leaf_area_demo("elsewhere/demo", ["training.steps=7"])
    assert run.output == "elsewhere/demo/run"
    assert {source.path.split("/")[0] for source in run.sources if source.path} == {"elsewhere"}
    assert (run.training.steps, run.target.kind) == (7, "continuous")
    assert run.years == range(1990, 2021)
    assert LEAF_AREA in leaf_area_run().read_text()
