import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luray.core.grid import EARTH_RADIUS_M, Grid

HILDA_GRID = Grid(90, -180, 0.01, 18000, 36000)


def test_centres_run_from_the_north_west_corner():
    grid = Grid(60, -10, 0.5, 4, 6)
    assert grid.lat.tolist() == [59.75, 59.25, 58.75, 58.25]
    assert grid.lon.tolist() == [-9.75, -9.25, -8.75, -8.25, -7.75, -7.25]
    assert (grid.shape, grid.south, grid.east) == ((4, 6), 58, -7)


@given(n=st.integers(1, 40))
def test_cell_areas_of_a_globe_sum_to_the_surface_of_the_earth(n):
    grid = Grid(90, -180, 180 / n, n, 2 * n)
    surface = 4 * math.pi * EARTH_RADIUS_M**2
    assert grid.cell_area.sum() * grid.n_lon == pytest.approx(surface, rel=1e-12)
    assert surface == pytest.approx(510_065_600e6, rel=1e-6)
    assert np.allclose(grid.cell_area, grid.cell_area[::-1])


def test_cell_area_is_the_integral_of_the_cosine():
    grid = Grid(72, 5, 0.25, 8, 3)
    sides = np.linspace(0, 1, 2001)
    for row, area in enumerate(grid.cell_area):
        strips = np.cos(np.radians(72 - (row + (sides[1:] + sides[:-1]) / 2) * 0.25))
        assert area == pytest.approx(
            EARTH_RADIUS_M**2 * math.radians(0.25) ** 2 * strips.mean(), rel=1e-8
        )


@pytest.mark.parametrize(
    ("grid", "periodic"),
    [
        (HILDA_GRID, True),
        (Grid(90, -180, 0.25, 720, 1440), True),
        (Grid(90, 0, 1 / 120, 21600, 43200), True),
        (Grid(90, -180, 0.00998837, 18000, 36000), False),
        (Grid(50, -20, 0.01, 1000, 2000), False),
        (Grid(90, -180, 0.25, 720, 1439), False),
    ],
)
def test_only_a_grid_around_the_globe_is_periodic(grid, periodic):
    assert grid.periodic is periodic


@given(row=st.integers(0, 17990), col=st.integers(0, 35990), noise=st.floats(-0.01, 0.01))
def test_offset_finds_the_cell_whatever_the_rounding_of_the_file(row, col, noise):
    part = Grid(90 - (row + noise) * 0.01, -180 + (col - noise) * 0.01, 0.01, 5, 5)
    assert HILDA_GRID.offset_of(part) == (row, col)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (Grid(40.005, 20, 0.01, 10, 10), r"shifted by 0\.500 of a cell"),
        (Grid(40, 20.005, 0.01, 10, 10), r"shifted by 0\.500 of a cell"),
        (
            Grid(40, 20, 0.02, 10, 10),
            r"cell size 0\.02000000 differs from the run grid's 0\.01000000",
        ),
        (Grid(90, -180, 0.00998837, 18000, 36000), r"cell size 0\.00998837 differs"),
    ],
)
def test_a_grid_off_the_lattice_is_refused(other, words):
    with pytest.raises(ValueError, match=words):
        HILDA_GRID.offset_of(other)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((90.5, -180, 0.25, 720, 1440), "give the outer edges"),
        ((90, -180, 0.25, 721, 1440), "within -90..90"),
        ((90, -180, 0.25, 720, 1441), "expected at most 360"),
        ((90, -180, 0, 720, 1440), "must be positive"),
        ((90, -180, 1, 0, 10), "must be positive"),
    ],
)
def test_impossible_grids_are_refused(numbers, words):
    with pytest.raises(ValueError, match=words):
        Grid(*numbers)
