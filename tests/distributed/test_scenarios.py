"""A run of several scenarios: what they share is stored once, and each sees what a run of its own would see."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import zarr

from luray.cube.build import create, finish, write_piece
from luray.cube.packing import pack, unpack
from luray.cube.regions import Cube
from luray.cube.scenario import Scenario
from luray.distributed import stages
from luray.model.samples import Draw
from luray.sandbox import SandboxConfig, write_sandbox
from luray.windows import Box
from tests.distributed.conftest import small_run

NAMES = ("ssp245", "ssp126", "ssp585")
SETTINGS = ("inference.years=[2004, 2043]", "inference.observed=[2008, 2010]", "training.years=[2008, 2010]",
            "evaluation.tests=[]", "demand.strength=1.0")
SEVERAL = f"scenarios={list(NAMES)}".replace("'", '"')
BOX = Box(20, 30, 64, 64)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    config = SandboxConfig(height=100, width=150, scenario=NAMES, first_map=2007, last_map=2011)
    return write_sandbox(tmp_path_factory.mktemp("scenarios") / "world", config)


def run_of(world, output, *settings):
    return small_run(world, output, *SETTINGS, *settings)


def built(run):
    plan = stages.plan_cube(run)
    create(plan)
    for pieces in plan.pieces():
        for piece in pieces:
            write_piece(plan, piece)
    finish(plan)
    return Cube.open(run.cube)


@pytest.fixture(scope="module")
def cubes(world):
    """The cube of each scenario alone, and that of all of them under an empty name."""
    alone = {name: built(run_of(world, world.parent / name, f"scenario={name}")) for name in NAMES}
    return {**alone, "": built(run_of(world, world.parent / "all", SEVERAL))}


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_sees_what_a_run_of_its_own_sees(cubes, name):
    alone, view = cubes[name], cubes[""].of_scenario(name)
    here, there = view.region(BOX), alone.region(BOX)
    for year in range(2004, 2044):
        assert np.array_equal(here.forcing(year, BOX), there.forcing(year, BOX)), year
    assert np.array_equal(here.static(BOX), there.static(BOX))
    assert view.features == alone.features
    draw = Draw(BOX, (2010, 2009))
    assert pack(view, draw) == pack(alone, draw)
    assert np.array_equal(view.sample([draw], given=[unpack(view, draw, pack(view, draw))]).forcing_BTLHW,
                          alone.sample([draw]).forcing_BTLHW)
    land = view.land(Box(0, 0, 50, 50))
    demanded = [Scenario.of(cube, tile=50).change(2040, 2039, Box(0, 0, 50, 50), land) for cube in (view, alone)]
    assert np.array_equal(*demanded, equal_nan=True)
    assert np.nanmax(np.abs(demanded[0])) > 0


def test_a_lead_means_the_same_values_in_every_view(cubes):
    region = cubes[""].region(BOX)
    region.forcing(2043, BOX)
    for name in NAMES[1:]:
        moved = dataclasses.replace(region, cube=cubes[""].of_scenario(name))
        assert np.array_equal(moved.forcing(2043, BOX), cubes[name].region(BOX).forcing(2043, BOX))


def test_only_what_differs_is_stored_again(cubes, world):
    root = zarr.open_group(cubes[""].url, mode="r")
    stored = {path: root[f"forcing/{path}/year"][:].tolist() for path in root["forcing"]}
    own = list(range(2015, 2044))
    assert {path: years for path, years in stored.items() if "@" in path} == {
        "luh2@ssp126": own, "luh2@ssp585": own, "isimip@ssp126": list(range(2006, 2044)),
        "isimip@ssp585": list(range(2006, 2044)), "koppen@ssp126": [2041], "koppen@ssp585": [2041]}
    for path in ("luh2", "isimip", "koppen"):
        alone = zarr.open_group(cubes["ssp245"].url, mode="r")
        assert stored[path] == alone[f"forcing/{path}/year"][:].tolist()
    assert "@" not in "".join(layer.path for layer in cubes[""].forcing), "layers of the cube are those of one scenario"
    assert [s["title"] for s in cubes[""].sources] == [s["title"] for s in cubes["ssp245"].sources]


def test_a_list_of_one_scenario_has_the_cube_of_one_scenario(world, cubes, tmp_path):
    run = run_of(world, tmp_path, 'scenarios=["ssp126"]')
    assert stages.plan_cube(run).fingerprint == cubes["ssp126"].fingerprint
    (tmp_path / "cube.zarr").symlink_to(cubes["ssp126"].url)
    assert stages.open_cube(run).of_scenario("ssp126").fingerprint == cubes["ssp126"].fingerprint
    assert stages.plan_cube(run_of(world, tmp_path, SEVERAL)).fingerprint == cubes[""].fingerprint
    assert len({cube.fingerprint for cube in cubes.values()}) == 4


def test_a_run_that_ends_before_its_scenarios_differ_stores_nothing_twice(world, tmp_path):
    plan = stages.plan_cube(run_of(world, tmp_path, SEVERAL, f"sources={_without_people(world)}",
                                   "inference.years=[2007, 2011]"))
    assert [s.name for s in plan.sources if s.scenario] == []


def _without_people(world: Path) -> str:
    kinds = {"hilda": "hilda", "luh2": "luh2", "koppen": "koppen", "gebco": "gebco"}
    return "[" + ", ".join(f'{{kind="{kind}", path="{world / folder}"}}' for kind, folder in kinds.items()) + "]"


def test_a_cube_of_other_scenarios_is_refused(world, cubes, tmp_path):
    (tmp_path / "cube.zarr").symlink_to(cubes[""].url)
    fewer = run_of(world, tmp_path, 'scenarios=["ssp245", "ssp585"]')
    with pytest.raises(ValueError, match=r"built for scenarios \['ssp245', 'ssp126', 'ssp585'\], the run file has"):
        stages.open_cube(fewer)
    with pytest.raises(ValueError, match=r"no scenario 'ssp370', expected one of \['ssp245'"):
        cubes[""].of_scenario("ssp370")


def test_the_check_and_the_list_cover_every_scenario(world, tmp_path, ray_cluster):
    run = run_of(world, tmp_path, SEVERAL)
    report = stages.check(run)
    assert report.refused == ()
    parts = {s.name: s.found for s in report.sources if "@" in s.name}
    assert set(parts) == {f"{source}@{name}" for source in ("luh2", "isimip", "koppen") for name in NAMES[1:]}
    assert "1 file; years 2015-2043" in parts["luh2@ssp126"]
    lacking = run_of(world, tmp_path, 'scenarios=["ssp245", "ssp370"]')
    refused = {one.name: one.fault for one in stages.opened_sources(lacking) if one.fault}
    assert set(refused) == {"luh2@ssp370", "isimip@ssp370", "koppen@ssp370"}
    assert "ssp370" in refused["luh2@ssp370"]
    with pytest.raises(ValueError, match="ssp370"):
        stages.plan_cube(lacking)
