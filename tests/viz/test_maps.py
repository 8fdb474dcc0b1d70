"""Maps show the colour of the legend at every cell."""

import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from matplotlib import colormaps

from luray.core.grid import Grid
from luray.core.legend import rgb
from luray.viz import maps
from luray.viz.figure import DPI, new_figure, save
from luray.viz.maps import (
    PANEL_WIDTH,
    UNCHANGED,
    change_map,
    draw_map,
    map_axes_at,
    map_of_year,
    overview,
    round_length,
)
from luray.viz.projection import ProjectedGrid
from luray.viz.view import View
from tests.viz.pictures import COLOURS, GRID, YEARS, cells_in, image_of, painted, write_product

BAR = np.s_[8:, :8]
"""Cells that the scale bar may cover."""


def map_in(path, colours, *, beside=True):
    """The map in a picture: the rectangle of all pixels in its colours, without the panel on its
    right.
    """
    image = image_of(path)
    if beside:
        image = image[:, : image.shape[1] - round((PANEL_WIDTH + 0.3) * DPI)]
    known = np.zeros(image.shape[:2], bool)
    for colour in colours:
        known |= (image == colour).all(axis=-1)
    rows = np.flatnonzero(known.sum(axis=1) > 50)
    columns = np.flatnonzero(known.sum(axis=0) > 50)
    return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def assert_cells(drawn, expected):
    drawn = drawn.copy()
    drawn[BAR] = 0
    expected[BAR] = 0
    np.testing.assert_array_equal(drawn, expected)


@pytest.mark.parametrize("number", range(len(YEARS)))
def test_a_map_has_the_legend_colour_at_every_cell(product, codes, tmp_path, number):
    map_of_year(product, YEARS[number], tmp_path / "map.png")
    drawn = map_in(tmp_path / "map.png", COLOURS.values())
    assert_cells(cells_in(drawn, GRID), painted(codes[number]))


def test_cells_are_as_high_as_they_are_wide_on_the_ground(product, tmp_path):
    map_of_year(product, 2000, tmp_path / "map.png")
    height, width, _ = map_in(tmp_path / "map.png", COLOURS.values()).shape
    # On the sphere: along the middle meridian, over the parallel in the south, which is the widest.
    on_the_ground = GRID.n_lat / (GRID.n_lon * np.cos(np.radians(GRID.south)))
    assert height / width == pytest.approx(on_the_ground, rel=0.03)


def test_only_a_predicted_year_shows_its_confidence(product, tmp_path):
    panel = []
    for year in (1998, 2000):
        map_of_year(product, year, tmp_path / "map.png")
        panel.append(image_of(tmp_path / "map.png")[:, -round(PANEL_WIDTH * DPI) :])
    shade = colormaps["cividis"](0.4, bytes=True)[:3]
    hindcast, observed = ((p == shade).all(axis=-1).sum() for p in panel)
    assert hindcast > 10_000, "a map of 40 % everywhere"
    assert observed < 500


def test_change_map_shows_the_new_class_and_grey_elsewhere(product, codes, tmp_path):
    change_map(product, 1998, 2002, tmp_path / "change.png")
    expected = np.where(
        (codes[0] == codes[4])[..., None], rgb(UNCHANGED), painted(codes[4])
    ).astype(np.uint8)
    expected[codes[4] == 0] = COLOURS[0]
    drawn = map_in(tmp_path / "change.png", [*COLOURS.values(), rgb(UNCHANGED)])
    assert_cells(cells_in(drawn, GRID), expected)


def test_overview_shows_first_observed_and_last_years(product, codes, tmp_path):
    assert maps.overview_years(View.of(product)) == (1998, 1999, 2001, 2002)
    overview(product, tmp_path / "overview.png")
    image = image_of(tmp_path / "overview.png")
    upper = image[: image.shape[0] - round(3.9 * DPI)]
    ocean = (upper == COLOURS[0]).all(axis=-1)
    starts = np.flatnonzero(np.diff((ocean.sum(axis=0) > 100).astype(int), prepend=0) == 1)
    rows = np.flatnonzero(ocean.sum(axis=1) > 40)
    assert len(starts) == 4, "every map begins with three columns of ocean"
    width = round((rows[-1] - rows[0] + 1) / ProjectedGrid(GRID).ratio)
    for start, number in zip(starts, (0, 1, 3, 4), strict=True):
        drawn = upper[rows[0] : rows[-1] + 1, start : start + width]
        assert_cells(cells_in(drawn, GRID), painted(codes[number]))


def test_a_map_is_cut_at_the_edges_of_the_grid(tmp_path):
    """Thinned blocks of 3 x 3 reach past 10 x 10 cells; the part beyond must not be stretched into
    the map.
    """
    codes = np.full((1, 10, 10), 44, np.uint8)
    codes[:, 9] = 11
    grid = Grid(5, 0, 1, 10, 10)
    view = View.of(
        write_product(tmp_path / "p.zarr", codes, grid=grid, years=(2000,), origins=(0,), tile=10)
    )
    picture = view.map(2000, at_most=4, method="mode")
    figure = new_figure(4, 4)
    axes = map_axes_at(figure, view, 0, 0, 4, 4)
    draw_map(axes, view.palette.rgb[picture.values], picture, view)
    save(figure, tmp_path / "m.png")
    column = image_of(tmp_path / "m.png")[:, 300]
    assert (column == COLOURS[11]).all(axis=-1).mean() == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize(
    ("grid", "codes"),
    [
        (Grid(90, -180, 5, 36, 72), (0, 44)),
        (Grid(1, 1, 1, 1, 2), (22, 44)),
        (Grid(40, 0, 0.1, 60, 4), (0, 11)),
        (Grid(1, 0, 0.1, 2, 90), (0, 0)),
    ],
)
def test_the_globe_two_cells_strips_and_a_sea_are_drawn(tmp_path, grid, codes):
    land_use = np.resize(np.array(codes, np.uint8), (2, *grid.shape))
    land_use[1] = land_use[0, :, ::-1]
    opened = write_product(
        tmp_path / "p.zarr", land_use, grid=grid, years=(2000, 2001), origins=(2, 2), tile=100
    )
    for draw in (
        overview,
        lambda p, path: map_of_year(p, 2001, path),
        lambda p, path: change_map(p, 2000, 2001, path),
    ):
        draw(opened, tmp_path / "picture.png")
        image = image_of(tmp_path / "picture.png").reshape(-1, 3)
        assert (image == COLOURS[int(codes[-1])]).all(axis=1).sum() > 100
        assert max(image_of(tmp_path / "picture.png").shape) < 5000


def test_a_year_that_is_not_there_leaves_no_file(product, tmp_path):
    with pytest.raises(ValueError, match="year 1850"):
        map_of_year(product, 1850, tmp_path / "map.png")
    with pytest.raises(ValueError, match="year 2100"):
        change_map(product, 1998, 2100, tmp_path / "map.png")
    assert list(tmp_path.iterdir()) == []


@given(st.floats(1e-3, 1e6))
@example(999999.9999999999)
def test_a_round_length_is_1_2_or_5(most):
    length = round_length(most)
    assert most / 2.5 * (1 - 1e-9) <= length <= most
    assert re.fullmatch(r"[125]\.0+e.*", f"{length:e}")
