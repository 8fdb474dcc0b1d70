"""Pictures of values: the colour of the scale at every cell, and means over time."""

import numpy as np
import pytest
import xarray as xr
from matplotlib import colormaps

import luray
from luray.core.grid import Grid
from luray.core.legend import NO_VALUE, NO_VALUE_COLOUR, rgb
from luray.viz.animation import MOST_STEPS, animate, shown_years
from luray.viz.figure import new_figure
from luray.viz.frame import FrameLayout
from luray.viz.gallery import draw_pictures
from luray.viz.maps import DIFFERENCE, change_map, map_of_year, overview, overview_years
from luray.viz.palette import Palette
from luray.viz.plots import draw_means, in_signs
from luray.viz.view import View
from tests import reference
from tests.product.products import OVERVIEWS
from tests.product.value_products import LAI, MONTHLY, finished_value_product, levels_of, spread_of
from tests.viz.pictures import cells_in, image_of
from tests.viz.test_maps import map_in

SEA = Grid(50, 70, 0.5, 16, 16)
"""Far from any coast, which would hide cells."""
JULY = MONTHLY.step(2003, 6)
COLOURS = np.array([*(rgb(level.colour) for level in LAI.classes), rgb(NO_VALUE_COLOUR)], np.uint8)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("values")
    _, product = finished_value_product(folder, grid=SEA, overviews=OVERVIEWS)
    return product.url


@pytest.fixture(scope="module")
def product(store):
    return luray.open_product(store)


def painted(levels):
    return COLOURS[np.where(levels == NO_VALUE, len(LAI), levels)]


def drawn_cells(path):
    image = map_in(path, {tuple(colour) for colour in COLOURS})
    return cells_in(image, SEA)


def test_a_map_has_the_colour_of_its_value_at_every_cell(product, tmp_path):
    map_of_year(product, JULY, tmp_path / "map.png")
    drawn = drawn_cells(tmp_path / "map.png")
    expected = painted(levels_of(SEA, MONTHLY, JULY, gaps=False))
    drawn[11:, :8] = expected[11:, :8]  # below the scale bar
    assert np.array_equal(drawn, expected)


def test_stored_bytes_and_decoded_values_are_drawn_alike(store, product):
    raw = View.of(xr.open_zarr(store, mask_and_scale=False))
    decoded = View.of(product)
    for step in (MONTHLY.step(2001, 4), JULY):
        levels = levels_of(SEA, MONTHLY, step, gaps=step != JULY)
        for view in (raw, decoded):
            assert np.array_equal(view.map(step, at_most=99).values, levels)
    spread = spread_of(levels, JULY)
    assert np.array_equal(decoded.map(JULY, at_most=99, name="spread").values, spread)
    assert decoded.palette == raw.palette
    assert decoded.palette.scale == LAI.scale


def test_a_thinned_map_is_the_mean_of_blocks(product):
    view = View.of(product)
    step = MONTHLY.step(2001, 4)
    found = view.map(step, at_most=8, method="mode")
    levels = levels_of(SEA, MONTHLY, step, gaps=True).astype(float)
    levels[levels == NO_VALUE] = np.nan
    for row, col in np.ndindex(8, 8):
        block = levels[2 * row : 2 * row + 2, 2 * col : 2 * col + 2]
        known = block[~np.isnan(block)]
        mean = np.floor(known.mean() + 0.5) if known.size else NO_VALUE
        assert found.values[row, col] == mean
    assert np.array_equal(
        found.values[::7, ::7],
        reference.mean_overview(levels_of(SEA, MONTHLY, step, gaps=True))[::7, ::7],
    )


def test_means_are_weighted_by_area(product):
    view = View.of(product)
    steps = [MONTHLY.step(2001, 4), JULY]
    for step, mean in zip(steps, view.means(steps), strict=True):
        values = product.lai[view.years.index(step)]
        expected = values.weighted(product.cell_area).mean()
        assert mean == pytest.approx(float(expected), rel=1e-6)


def test_a_difference_is_the_later_less_the_earlier(product, tmp_path):
    first, last = MONTHLY.step(2000, 0), MONTHLY.step(2000, 6)
    change_map(product, first, last, tmp_path / "change.png")
    levels = [levels_of(SEA, MONTHLY, step, gaps=False).astype(int) for step in (first, last)]
    known = levels[0] != NO_VALUE
    difference = (levels[1] - levels[0])[known] * LAI.scale.step
    most = np.percentile(np.abs(difference), 99)
    expected = np.full((*SEA.shape, 3), rgb(NO_VALUE_COLOUR), np.uint8)
    expected[known] = colormaps[DIFFERENCE](0.5 + difference / 2 / most, bytes=True)[:, :3]
    image = map_in(tmp_path / "change.png", {tuple(colour) for colour in expected.reshape(-1, 3)})
    drawn = cells_in(image, SEA)
    drawn[11:, :8] = expected[11:, :8]
    assert np.array_equal(drawn, expected)


def test_an_overview_shows_one_season(product, tmp_path):
    view = View.of(product)
    shown = [MONTHLY.label(step) for step in overview_years(view)]
    assert shown == ["2000-07", "2001-07", "2002-07", "2003-07"]
    overview(product, tmp_path / "overview.png")
    lush = (image_of(tmp_path / "overview.png") == COLOURS[100]).all(axis=-1).sum()
    assert lush > 500


def test_every_month_is_on_the_axis_of_years(product):
    view = View.of(product)
    axes = new_figure(4, 3).add_subplot()
    draw_means(axes, view)
    months, of_years = axes.get_lines()
    assert months.get_xdata()[2] == pytest.approx(2000 + 2.5 / 12)
    assert of_years.get_xdata().tolist() == [2000.5, 2001.5, 2002.5, 2003.5]
    assert of_years.get_ydata()[3] == pytest.approx(np.mean(months.get_ydata()[36:]))
    assert axes.get_xlim() == (2000, 2004)
    assert axes.get_ylabel() == "m² m⁻²"
    assert in_signs("kg m-2 s-1") == "kg m⁻² s⁻¹"


def test_a_step_that_is_not_there_is_named(product):
    with pytest.raises(
        ValueError, match=r"2004-01 is not in the product, which has 2000-01-2003-12"
    ):
        View.of(product).map(MONTHLY.step(2004), at_most=9)


def test_a_frame_names_month_and_values(product):
    view = View.of(product)
    layout = FrameLayout(view, view.years, 200)
    names = [name for name, _ in layout.legend]
    assert names == [f"{value} m² m⁻²" for value in range(7, -1, -1)] + ["no value"]
    assert layout.legend[0][1] == LAI.classes[-1].colour
    frame = np.asarray(layout.frame(view.years.index(JULY)))
    top = layout.margin
    map_HW3 = frame[top : top + layout.map_size[1], top : top + layout.map_size[0]]
    expected = painted(levels_of(SEA, MONTHLY, JULY, gaps=False))
    assert np.array_equal(cells_in(map_HW3, SEA), expected)


def test_an_animation_of_many_months_has_whole_years(product, tmp_path):
    assert shown_years(View.of(product)) == tuple(MONTHLY.of_years(2000, 2003))
    months = np.array([product.time.values[0].replace(year=year, month=month)
                       for year in range(1900, 2001) for month in range(1, 13)])  # fmt: skip
    century = xr.Dataset(
        {"lai": (("time", "lat", "lon"), np.zeros((len(months), 2, 2), np.uint8))},
        {"time": months, "lat": [1.0, 0.0], "lon": [0.0, 1.0]},
        product.attrs,
    )
    century.lai.attrs = {**product.lai.attrs, "scale_factor": 0.05, "add_offset": 0.0}
    shown = shown_years(View.of(century))
    assert len(shown) <= MOST_STEPS
    assert {MONTHLY.in_year(step) for step in shown} == set(range(12))
    assert np.unique(np.diff(sorted({MONTHLY.year(step) for step in shown}))).tolist() == [2]
    animate(product, tmp_path / "few.gif", years=MONTHLY.of_years(2000, 2000), max_pixels=60)
    assert (tmp_path / "few.gif").stat().st_size > 1000


def test_the_pictures_of_values(product, tmp_path):
    few = product.isel(time=slice(6, None, 12))
    found = draw_pictures(
        few, str(tmp_path), metrics=str(tmp_path / "none.json"), validations={},
        progress=lambda *_: None,
    )  # fmt: skip
    assert {"overview", "mean", "spread", "animation", "map_2003-07"} <= found.keys()
    assert "change_2002-07_2003-07" in found
    assert not {"area_by_class", "confidence"} & found.keys()


def test_decoded_values_without_their_packing_are_refused(product):
    bare = product.copy()
    bare["lai"] = product.lai + 1
    with pytest.raises(ValueError, match="the dataset has no lai with flag_values"):
        Palette.of(bare)
