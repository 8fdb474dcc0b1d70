"""Charts of a product over time show its areas and its confidence."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luray.core.legend import rgb
from luray.core.legend_files import HILDA
from luray.viz.figure import ACCENT, axes_at, new_figure, save
from luray.viz.plots import (
    area_by_class,
    confidence_over_time,
    draw_areas,
    draw_confidence,
    spread,
)
from luray.viz.view import View, shares
from tests.viz.pictures import COLOURS, GRID, ORIGINS, YEARS, image_of, write_product


def drawn(draw, view, path):
    """The inside of axes that `draw` draws on: 400 x 500 pixels."""
    figure = new_figure(8, 4)
    draw(axes_at(figure, 1, 0.5, 500 / 150, 400 / 150), view)
    save(figure, path)
    return image_of(path)[-75 - 400 : -75, 150 : 150 + 500]


def test_layers_are_as_thick_as_the_areas(product, tmp_path):
    view = View.of(product)
    inside = drawn(draw_areas, view, tmp_path / "a.png")
    column = inside[:, 5]
    expected = shares(view.areas([1998]))[0]
    middles = []
    for code, share in zip(HILDA.codes, expected, strict=True):
        layer = np.flatnonzero((column == COLOURS[int(code)]).all(axis=-1))
        assert layer.size / 400 == pytest.approx(share, abs=0.015)
        middles.append(layer.mean())
    assert middles == sorted(middles, reverse=True), "from the bottom upward"


def test_observed_years_are_lighter(product, tmp_path):
    inside = drawn(draw_areas, View.of(product), tmp_path / "a.png")
    pure = np.isin(
        inside.astype(int) @ [65536, 256, 1],
        [np.array(c) @ [65536, 256, 1] for c in COLOURS.values()],
    )
    x = (np.array([1998.5, 2000, 2001.5]) - 1998) / 4 * 500
    shares_of_pure = pure[:, x.astype(int)].mean(axis=0)
    assert shares_of_pure[0] > 0.9
    assert shares_of_pure[1] == 0
    assert shares_of_pure[2] > 0.9


def test_confidence_is_drawn_at_its_mean(product, tmp_path):
    inside = drawn(draw_confidence, View.of(product), tmp_path / "c.png")
    for year, percent in ((1998, 40), (2000, 100), (2002, 70)):
        x = np.clip(round((year - 1998) / 4 * 500), 3, 495)
        line = np.flatnonzero((inside[:, x] == rgb(ACCENT)).all(axis=-1))
        assert (1 - line.mean() / 400) * 102 == pytest.approx(percent, abs=2)


def test_the_files_hold_the_charts(product, tmp_path):
    area_by_class(product, tmp_path / "area.png")
    image = image_of(tmp_path / "area.png")
    for code in HILDA.codes:
        assert (image == COLOURS[int(code)]).all(axis=-1).sum() > 2000, f"code {code} has a layer"
    assert not (image == COLOURS[0]).all(axis=-1).any(), "the ocean has none"
    confidence_over_time(product, tmp_path / "confidence.png")
    assert (image_of(tmp_path / "confidence.png") == rgb(ACCENT)).all(axis=-1).sum() > 1000
    assert sorted(p.name for p in tmp_path.iterdir()) == ["area.png", "confidence.png"]


def test_one_year_and_a_sea_are_charted(tmp_path):
    for n, code in enumerate((0, 44)):
        opened = write_product(
            tmp_path / f"{n}.zarr",
            np.full((1, *GRID.shape), code, np.uint8),
            grid=GRID,
            years=YEARS[:1],
            origins=ORIGINS[:1],
        )
        for draw in (area_by_class, confidence_over_time):
            draw(opened, tmp_path / "chart.png")
            assert (image_of(tmp_path / "chart.png") != 255).any()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8).map(sorted))
def test_names_keep_their_order_and_distance(places):
    moved = spread(places, least=0.02, most=0.98, gap=0.1)
    assert (np.diff(moved) >= 0.1 - 1e-9).all()
    assert moved[-1] <= 0.98
    assert moved[0] >= 0.02 - 1e-9
    lone = [p for p in places if 0.02 <= p <= 0.98]
    if len(places) == len(lone) and (np.diff(places) >= 0.1).all():
        np.testing.assert_allclose(moved, places)
