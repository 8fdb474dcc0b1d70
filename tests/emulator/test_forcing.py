import shutil
from dataclasses import replace

import numpy as np
import pytest
import zarr

from luray.cube.cube import Cube
from tests.cube.cubes import COARSE, YEARS
from tests.emulator.conftest import World, assert_same, maps_of, run

SHARES = ("crops", "wood", "young_wood")


def array(emulator, name):
    values = np.empty(
        emulator.get_grid_size(emulator.get_var_grid(name)), emulator.get_var_type(name)
    )
    return emulator.get_value(name, values)


@pytest.fixture(scope="module")
def other(globe, tmp_path_factory) -> tuple[World, dict]:
    """The globe with another forcing in 2002 and 2003, and what that is."""
    url = str(tmp_path_factory.mktemp("other") / "cube.zarr")
    shutil.copytree(globe.cube.url, url)
    random = np.random.default_rng(7)
    coarse = zarr.open_array(f"{url}/forcing/luh2/values", mode="r+")
    given = {}
    for year in (2002, 2003):
        values = random.random(coarse.shape[1:]).astype(np.float32)
        values[[i for i, v in enumerate(COARSE) if v.classes]] /= 4
        coarse[YEARS.index(year)] = values
        given[year] = {v.name: field for v, field in zip(COARSE, values, strict=True)}
    return replace(globe, cube=Cube.open(url)), given


def test_forcing_that_is_set_counts_as_that_of_the_cube(globe, other):
    changed, given = other
    expected = changed.serial()
    assert (expected[2003][0] != globe.serial()[2003][0]).any()
    emulator = globe.land_surface()
    maps = {}
    for year in (2002, 2003):
        for name, field in given[year].items():
            emulator.set_value(name, field)
        emulator.update()
        maps[year] = maps_of(emulator)
    assert_same(maps, expected)


def test_categories_that_are_set_count_for_one_year(globe):
    emulator = globe.land_surface()
    zones = array(emulator, "zone")
    emulator.set_value("zone", (zones % 3 + 1).astype(np.uint8))
    emulator.update()
    first = maps_of(emulator)
    serial = globe.serial()
    assert (first[0] != serial[2002][0]).any()
    stored = globe.cube.native(globe.cube.forcing[0], (0,), ([slice(0, 18)], [slice(0, 36)]))
    assert emulator.get_var_grid("zone") == 1
    assert array(emulator, "zone").tobytes() != zones.tobytes()  # the cube's of 2003
    assert stored.shape == (2, 18, 36)


def test_cells_that_are_set_by_their_place_leave_the_others(globe):
    emulator = globe.land_surface()
    before = array(emulator, "people")
    emulator.set_value_at_indices("people", np.array([3, 5]), np.array([7.0, 8.0]))
    after = array(emulator, "people")
    assert after[[3, 5]].tolist() == [7.0, 8.0]
    assert np.array_equal(np.delete(after, [3, 5]), np.delete(before, [3, 5]), equal_nan=True)


def test_units_are_converted(globe):
    emulator = globe.land_surface()
    n_cells = array(emulator, "people").size
    emulator.set_value("people", np.full(n_cells, 0.5), units="ha-1")
    assert (array(emulator, "people") == 50).all()
    emulator.set_value("crops", np.full(n_cells, 12.5), units="percent")
    assert (array(emulator, "crops") == 0.125).all()


def test_years_that_the_cube_lacks_can_be_set(globe):
    emulator = globe.land_surface(end=2005)
    emulator.update_until(2.0)
    with pytest.raises(ValueError, match=r"2004: no values of .*; the cube has 2001-2003"):
        emulator.update()
    for name in emulator.get_input_var_names():
        values = array(emulator, name)
        emulator.set_value(name, np.zeros_like(values))
    emulator.update()
    assert emulator.year == 2004
    emulator.set_value("crops", np.zeros(array(emulator, "crops").size))
    with pytest.raises(ValueError, match="2005: no values of months, zone"):
        emulator.update()
    assert emulator.year == 2004


@pytest.mark.parametrize(
    ("name", "values", "units", "message"),
    [
        ("crops", np.zeros(5), "", r"shape \(5,\), expected 128 values, 8 rows .* of 16 columns"),
        ("crops", np.zeros((16, 8)), "", r"shape \(16, 8\), expected 128 values"),
        ("crops", np.full(128, 1.5), "", "128 of 128 values are out of range .*between 0 and 1"),
        ("crops", np.full(128, "a"), "", "values of <U1, expected float32"),
        ("people", np.full(128, -1.0), "", "expected 0 or more, in km-2"),
        ("urban", np.full(128, np.inf), "", "expected finite numbers"),
        ("people", np.zeros(128), "kg", "is in 'kg', expected km-2"),
        ("zone", np.full(648, 9, np.uint8), "", r"expected one of \[1, 2, 3\], or 0"),
        ("zone", np.full(648, 1.5), "", "that uint8 cannot hold .such as 1.5., expected whole"),
        ("zone", np.full(648, -1), "", "that uint8 cannot hold"),
        ("land_use", np.zeros(800), "", "is an output, .* expected one of zone, months, crops"),
        ("rain", np.zeros(5), "", "no variable 'rain', expected one of zone"),
    ],
)
def test_impossible_values_are_refused(globe, name, values, units, message):
    emulator = globe.land_surface()
    with pytest.raises(ValueError, match=message):
        emulator.set_value(name, values, units=units)
    assert_same(run(emulator, 1), globe.serial())


def test_shares_beyond_one_are_refused_at_the_update(globe):
    emulator = globe.land_surface()
    for name in SHARES:
        emulator.set_value(name, np.full(128, 0.4))
    with pytest.raises(ValueError, match=r"2002: crops, wood, young_wood sum to 1.2000"):
        emulator.update()
    assert emulator.year == 2001
    for name in SHARES:
        emulator.set_value(name, np.full(128, 0.3))
    emulator.update()
    assert emulator.year == 2002


def test_values_are_read_only_where_they_are_held(globe):
    emulator = globe.land_surface()
    for name in ("crops", "land_use"):
        with pytest.raises(ValueError, match="read-only"):
            emulator.get_value_ptr(name)[0] = 1
    before = emulator.get_value_ptr("land_use")
    start = before.copy()
    emulator.update()
    assert (before != start).any()  # the same array, after a year
