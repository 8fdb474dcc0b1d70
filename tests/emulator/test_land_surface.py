import doctest
from dataclasses import replace

import numpy as np
import pytest

from luray.core.grid import Grid
from luray.core.legend_files import HILDA
from luray.core.random import RandomStream
from luray.emulator import LandSurface
from luray.model.unet_config import UNetConfig
from luray.sandbox.random_model import save_random_model
from tests.cube import cubes
from tests.cube.cubes import COARSE, NATIVE
from tests.emulator.conftest import (
    assert_same,
    bmi_tests_passed,
    maps_of,
    run,
    write_config,
    write_world,
)


@pytest.mark.parametrize("kind", ["globe", "patch"])
def test_whole_grid_equals_the_serial_rollout(kind, request):
    world = request.getfixturevalue(kind)
    emulator = world.land_surface()
    start, _ = maps_of(emulator)
    maps = run(emulator, 2)
    assert_same(maps, world.serial())
    land = emulator.get_value_ptr("confidence").reshape(start.shape) > 0
    assert (maps[2003][0] != start)[land].mean() > 0.2, (
        "a model that changes nothing proves nothing"
    )


def test_bmi_tester_passes(globe, tmp_path):
    assert bmi_tests_passed(globe.config(), tmp_path) > 60


def test_docstring_example_runs(globe, tmp_path, monkeypatch):
    write_config(tmp_path / "emulator.toml", globe.config())
    monkeypatch.chdir(tmp_path)
    text = LandSurface.__doc__.replace("# doctest: +SKIP", "")
    example = doctest.DocTestParser().get_doctest(
        text, {"LandSurface": LandSurface}, "LandSurface", None, None
    )
    assert len(example.examples) > 5
    assert doctest.DocTestRunner().run(example).failed == 0


def test_members_draw_as_in_the_engine(globe):
    draws = RandomStream(3, "ssp126", 1)
    expected = globe.serial(draws=draws)
    assert (expected[2002][0] != globe.serial()[2002][0]).any()
    emulator = globe.land_surface(member=1, seed=3, scenario="ssp126")
    assert_same(run(emulator, 2), expected)


@pytest.fixture(scope="module")
def nesting(tmp_path_factory):
    """A globe whose coarse cells are 2 x 2 cells of the map, so that a demand can be met."""
    known = set(HILDA.known())
    coarse = tuple(
        replace(variable, classes=tuple(code for code in variable.classes if code in known))
        for variable in COARSE
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(cubes, "COARSE", coarse)
        patched.setitem(NATIVE["globe"], "luh2", Grid(90, -180, 18, 10, 20))
        return write_world(tmp_path_factory.mktemp("nesting"), "globe", bonus=30.0)


def test_demand_is_met_as_in_the_engine(nesting):
    expected = nesting.serial(strength=1.0)
    assert (expected[2003][0] != nesting.serial()[2003][0]).any()
    assert_same(run(nesting.land_surface(demand_strength=1.0), 2), expected)


def test_demand_follows_shares_that_are_set(nesting):
    emulator = nesting.land_surface(demand_strength=1.0)
    for name in ("crops", "wood", "young_wood"):
        emulator.set_value(name, np.zeros(200))
    maps = run(emulator, 1)
    assert (maps[2002][0] != nesting.serial(strength=1.0)[2002][0]).any()


def test_demand_of_cut_coarse_cells_is_refused(nesting):
    region = (-180.0, -45.0, -99.0, 45.0)
    with pytest.raises(ValueError, match="cuts coarse cells of 18 degrees"):
        nesting.land_surface(demand_strength=0.7, region=region, edge="observed")


def test_batch_and_threads_change_no_bit(globe):
    assert_same(run(globe.land_surface(batch=5, threads=2), 2), globe.serial())


def test_update_until_goes_year_by_year(globe):
    emulator = globe.land_surface()
    assert (emulator.get_start_time(), emulator.get_end_time()) == (0.0, 2.0)
    emulator.update_until(0.0)
    assert emulator.year == 2001
    emulator.update_until(2.0)
    assert_same({2003: maps_of(emulator)}, globe.serial())
    for time in (1.0, 2.5, 3.0):
        with pytest.raises(ValueError, match=r"from 2, which is now, to 2; choose"):
            emulator.update_until(time)
    with pytest.raises(ValueError, match="2004 is beyond the last year, 2003: set `end`"):
        emulator.update()
    assert_same({2003: maps_of(emulator)}, globe.serial())


def test_values_are_copied_as_they_are_asked_for(globe):
    emulator = globe.land_surface()
    codes = emulator.get_value_ptr("land_use")
    places = np.array([0, 17, 799])
    some = emulator.get_value_at_indices("land_use", np.empty(3, np.uint8), places)
    assert np.array_equal(some, codes[places])
    for dest, message in (
        (np.empty(5, np.uint8), r"shape \(5,\), expected 800 values, 20 rows"),
        (np.empty(800, np.float64), "array of float64, expected uint8; make one with get_var_type"),
    ):
        with pytest.raises(ValueError, match=message):
            emulator.get_value("land_use", dest)
    with pytest.raises(ValueError, match=r"indices .*expected whole numbers from 0 to 799"):
        emulator.get_value_at_indices("land_use", np.empty(1, np.uint8), np.array([800]))
    with pytest.raises(ValueError, match="no grid 3, expected one from 0 to 2"):
        emulator.get_grid_rank(3)


def test_grids_are_those_of_map_and_forcing(patch):
    emulator = patch.land_surface(region=(5.0, 47.0, 8.0, 50.0), edge="observed")
    lat = emulator.get_grid_y(0, np.empty(6))
    lon = emulator.get_grid_x(0, np.empty(6))
    assert (lat[0], lat[-1], lon[0], lon[-1]) == (49.75, 47.25, 5.25, 7.75)
    coarse = emulator.get_var_grid("crops")
    shape = emulator.get_grid_shape(coarse, np.empty(2, int))
    native = patch.cube.share_layers[0].grid
    centres = emulator.get_grid_x(coarse, np.empty(shape[1]))
    assert set(centres) <= set(native.lon)
    assert centres[0] < 5.25
    assert centres[-1] > 7.75


def test_an_emulator_is_initialized_before_it_is_used(globe):
    emulator = LandSurface()
    with pytest.raises(RuntimeError, match="call initialize"):
        emulator.update()
    emulator.initialize(globe.config())
    emulator.finalize()
    with pytest.raises(RuntimeError, match="call initialize"):
        emulator.get_current_time()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cube = 3", r"(?s)cube: .* got 3; correct.*model: Field required.*start: Field required"),
        ("cube = ", "not valid TOML"),
        ('cube = "a"\nmodel = "b"\nstart = 2001\nyear = 5', "(?s)expected keys are cube, .*year"),
        ('cube = "a"\nmodel = "b"\nstart = 2001\nedge = "product"', "a product is given for edge"),
        ('cube = "a"\nmodel = "b"\nstart = 2001\nend = 2001', "expected a year after start = 2001"),
        ('cube = "none"\nmodel = "b"\nstart = 2001', "no finished predictor cube"),
    ],
)
def test_impossible_configuration_is_refused(tmp_path, text, message):
    (tmp_path / "emulator.toml").write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        LandSurface().initialize(tmp_path / "emulator.toml")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"start": 1999}, r"start 1999: .* has maps of 2001-2003"),
        ({"window": 9, "stride": 5}, r"window 9, expected a multiple of 2\^depth = 2"),
        ({"demand_strength": 1.0}, "a demand needs whole numbers"),
    ],
)
def test_what_does_not_fit_the_cube_is_refused(globe, settings, message):
    with pytest.raises(ValueError, match=message):
        globe.land_surface(**settings)


def test_model_that_looks_back_is_refused(globe, tmp_path):
    save_random_model(globe.cube, "backward", UNetConfig(width=4, depth=1), str(tmp_path / "model"))
    config = globe.config().model_copy(update={"model": str(tmp_path / "model")})
    with pytest.raises(ValueError, match="is a backward model, expected a forward one"):
        LandSurface().initialize(config)
