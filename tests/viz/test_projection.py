"""Pictures have a projection and coastlines, and ask nobody for them."""

import socket

import numpy as np
import pytest
import shapely

from luray.core.grid import Grid
from luray.viz.coastlines import SCALES, coastlines, coastlines_of_scale
from luray.viz.maps import overview
from luray.viz.projection import ProjectedGrid

GLOBE = Grid(90, -180, 1, 180, 360)
EUROPE = Grid(60, 0, 0.5, 40, 60)
PACIFIC = Grid(-10, 170, 0.1, 100, 200)
GRIDS = [GLOBE, EUROPE, PACIFIC, Grid(35.75, 23.25, 0.01, 100, 325), Grid(90, -30, 1, 60, 360)]


@pytest.mark.parametrize("grid", GRIDS)
def test_a_pixel_shows_the_cell_that_lies_there(grid):
    projected = ProjectedGrid(grid)
    raster = projected.raster(300)
    for share_down, share_across in ((0.5, 0.5), (0.2, 0.7), (0.8, 0.1)):
        row = int(share_down * grid.n_lat)
        col = int(share_across * grid.n_lon)
        place = projected.to_metres(grid.lon[[col]], grid.lat[[row]])
        columns, rows = projected.to_pixels(*place, projected.size(300))
        pixel = int(rows[0]), int(columns[0])
        assert raster.inside_HW[pixel]
        tolerance = 1 + 2 * max(grid.shape) / 300
        assert abs(raster.row_HW[pixel] - row) <= tolerance
        assert abs(raster.col_HW[pixel] - col) <= tolerance


@pytest.mark.parametrize("grid", GRIDS)
def test_a_share_of_the_area_is_that_share_of_the_picture(grid):
    raster = ProjectedGrid(grid).raster(400)
    northern_half = raster.inside_HW & (raster.row_HW < grid.n_lat // 2)
    expected = grid.cell_area[: grid.n_lat // 2].sum() / grid.cell_area.sum()
    assert northern_half.sum() / raster.inside_HW.sum() == pytest.approx(expected, abs=0.01)


def test_off_the_grid_is_background():
    raster = ProjectedGrid(GLOBE).raster(200)
    assert not raster.inside_HW[0, 0], "the world is not a rectangle"
    values = np.full(GLOBE.shape, 7, np.uint8)
    painted = raster.paint(values, factor=1, background=9)
    assert painted[0, 0] == 9
    assert set(np.unique(painted)) == {7, 9}


@pytest.mark.parametrize("scale", SCALES)
def test_coastlines_are_those_of_the_land(scale):
    lines = coastlines_of_scale(scale)
    known = {"Lisbon": (-9.4, 38.7), "Cape Town": (18.4, -33.9), "Auckland": (174.8, -36.9)}
    for name, place in known.items():
        assert lines.distance(shapely.Point(place)) < 0.8, name
    assert lines.distance(shapely.Point(25, 50)) > 3, "none in the middle of Europe"
    points = shapely.get_coordinates(lines)
    lengths = np.abs(np.diff(points, axis=0))[:, 0]
    assert points[:, 1].min() > -86, "the lower edge of the map is no coast of Antarctica"
    within = [np.abs(np.diff(shapely.get_coordinates(line)[:, 0])).max() for line in lines.geoms]
    assert max(within) < 20, "no coast crosses the map"
    assert lengths.size > 4000


def test_coastlines_go_on_past_180_degrees():
    longitudes = shapely.get_coordinates(coastlines(PACIFIC))[:, 0]
    assert longitudes.max() > 175
    assert longitudes.min() < -170
    lines = ProjectedGrid(PACIFIC).coastlines
    west, east, south, north = ProjectedGrid(PACIFIC).extent
    for line in lines:
        assert (line[:, 0] > west - 1).all()
        assert (line[:, 0] < east + 1).all()
        assert (line[:, 1] > south - 1).all()
        assert (line[:, 1] < north + 1).all()


def test_a_sea_without_a_coast_is_drawn():
    assert ProjectedGrid(Grid(30, -45, 0.1, 10, 10)).coastlines == []


def test_a_map_is_drawn_where_there_is_no_network(product, tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("CARTOPY_DATA_DIR", str(tmp_path / "nothing"))
    overview(product, tmp_path / "overview.png")
    assert (tmp_path / "overview.png").exists()


def test_cells_of_no_whole_block_are_painted_as_off_the_grid():
    """A grid of 7 x 10 cells, of which a picture by blocks of 3 x 3 holds 6 x 9."""
    raster = ProjectedGrid(Grid(north=47, west=3, step=0.1, n_lat=7, n_lon=10)).raster(100)
    painted = raster.paint(np.ones((2, 3), np.uint8), factor=3, background=9)
    beyond = (raster.row_HW >= 6) | (raster.col_HW >= 9)
    np.testing.assert_array_equal(painted == 1, raster.inside_HW & ~beyond)
    assert (raster.inside_HW & beyond).any()
