"""The page of a product of values by month: what it draws and says is what the store holds."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import luray
from luray.core.grid import Grid
from luray.core.legend import NO_VALUE, rgb
from luray.product.overviews import Overviews
from luray.stages.view import find_product
from tests.explorer.conftest import Explorer, explorer_at, serving
from tests.explorer.test_explorer import LINES, cells_in_view, hide, picture
from tests.product.value_products import (
    LAI,
    MONTHLY,
    fill_values,
    finished_value_product,
    levels_of,
    spread_of,
    value_cube,
    value_product,
)

GRID = Grid(49.0, 1.0, 0.05, 80, 120)
LEVELS = Overviews(1, 1)
SPREAD = ("#fcfdbf", "#fe9f6d", "#de4968", "#8c2981", "#3b0f70")
DIFFERENCE = ("#543005", "#bf812d", "#f6e8c3", "#f5f5f5", "#c7eae5", "#35978f", "#003c30")
JULY = MONTHLY.step(2003, 6)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("values")
    _, product = finished_value_product(folder, grid=GRID, tile=40, overviews=LEVELS, title="LAI")
    return str(product.url)


@pytest.fixture(scope="module")
def product(store: str) -> xr.Dataset:
    return luray.open_product(store)


@pytest.fixture(scope="module")
def address(store: str) -> Iterator[str]:
    with serving(store) as server:
        yield server.address


@pytest.fixture(scope="module")
def shared(browser: Any, address: str) -> Iterator[Explorer]:
    with explorer_at(browser, address) as explorer:
        explorer.page.wait_for_function("window.explorer.maplibre.getLayer('coast')")
        for line in LINES:
            hide(explorer, line)
        yield explorer


@pytest.fixture
def explorer(shared: Explorer) -> Explorer:
    shared.page.evaluate(
        "explorer.timeline.pause(); location.hash = `map=6.2/47/4&year=2003-07`; "
        "window.dispatchEvent(new HashChangeEvent('hashchange'))"
    )
    shared.settle()
    return shared


def on_ramp(colours: tuple[str, ...], at: float) -> np.ndarray:
    table = np.array([rgb(colour) for colour in colours])
    place = np.clip(at, 0, 1) * (len(colours) - 1)
    return np.array([np.interp(place, range(len(colours)), table[:, band]) for band in range(3)])


def assert_drawn(explorer: Explorer, colours: Any) -> None:
    """Cells in view have the colour that a function gives of row and column, where it gives one."""
    shown = picture(explorer)
    n_compared = 0
    for row, col, x, y in cells_in_view(explorer, GRID.lat, GRID.lon):
        expected = colours(row, col)
        if expected is not None:
            assert np.abs(shown[y, x] - np.round(expected)).max() <= 2, (row, col)
            n_compared += 1
    assert n_compared > 100


def colour_of_level(levels: np.ndarray) -> Any:
    def colour(row: int, col: int) -> np.ndarray | None:
        level = int(levels[row, col])
        return None if level == NO_VALUE else np.array(rgb(LAI.classes[level].colour))

    return colour


@pytest.mark.parametrize("projection", ["globe", "mercator"])
def test_cells_have_the_colour_of_their_value(explorer: Explorer, projection: str) -> None:
    explorer.set(f"{{projection: '{projection}'}}")
    assert explorer.state("drawnLevel") == 0
    assert_drawn(explorer, colour_of_level(levels_of(GRID, MONTHLY, JULY, gaps=False)))
    slider = explorer.page.locator("#year")
    slider.focus()
    slider.press("End")
    explorer.settle()
    assert explorer.page.locator("output.year").inner_text() == "2003-12"
    assert slider.get_attribute("aria-valuetext") == "2003-12, forecast"
    assert_drawn(explorer, colour_of_level(levels_of(GRID, MONTHLY, JULY + 5, gaps=False)))
    slider.press("PageDown")
    explorer.settle()
    assert explorer.page.locator("output.year").inner_text() == "2002-12", "a year back"


def test_a_cell_without_a_value_shows_the_map_below(explorer: Explorer) -> None:
    explorer.set("{a: {year: 16, scenario: 0, member: 0}}")
    levels = levels_of(GRID, MONTHLY, MONTHLY.step(2001, 4), gaps=True)
    assert_drawn(explorer, colour_of_level(levels))
    shown = picture(explorer)
    greens = {tuple(rgb(level.colour)) for level in LAI.classes}
    gaps = [
        tuple(shown[y, x].tolist())
        for row, col, x, y in cells_in_view(explorer, GRID.lat, GRID.lon)
        if levels[row, col] == NO_VALUE
    ]
    assert gaps
    assert not greens & set(gaps)
    # Its colour is told from that of the lowest values.
    contrast = np.abs(np.array(gaps) - np.array(rgb(LAI.classes[0].colour))).max(axis=1)
    assert contrast.min() > 20


def test_the_pointer_reads_the_value_with_its_unit(explorer: Explorer, product: xr.Dataset) -> None:
    x, y = explorer.state("project(4.025, 47.025)")
    explorer.page.mouse.move(x, y)
    cell = product.sel(time="2003-07").sel(lat=47.025, lon=4.025, method="nearest").squeeze()
    value, spread = float(cell.lai), float(cell.spread)
    tip = explorer.page.locator("#page > .tip")
    assert tip.text_content() == f"{value:.2f} m² m⁻²"
    explorer.page.locator("label[for=layer-spread]").click()
    explorer.settle()
    explorer.page.mouse.move(x + 1, y)
    assert tip.text_content() == f"{value:.2f} m² m⁻², spread {spread:.2f}"


@pytest.mark.parametrize("layer", ["spread", "difference"])
def test_other_layers_are_drawn(explorer: Explorer, layer: str) -> None:
    explorer.page.locator(f"label[for=layer-{layer}]").click()
    explorer.set("{b: {year: 0, scenario: 0, member: 0}}")
    levels = levels_of(GRID, MONTHLY, JULY, gaps=False)
    first = levels_of(GRID, MONTHLY, MONTHLY.step(2000, 0), gaps=False)
    spread = spread_of(levels, JULY)

    def colour(row: int, col: int) -> np.ndarray | None:
        if levels[row, col] == NO_VALUE:
            return None
        if layer == "spread":
            return on_ramp(SPREAD, spread[row, col] / round(len(LAI) / 6))
        share = (int(levels[row, col]) - int(first[row, col])) / 35
        index = 127 + np.floor(127 * np.clip(share, -1, 1) + 0.5)
        return on_ramp(DIFFERENCE, index / 254)

    assert_drawn(explorer, colour)
    labels = explorer.page.locator(".ramp-labels span").all_inner_texts()
    ends = ["0", "1.20+"] if layer == "spread" else ["−1.75", "+1.75"]
    assert [labels[0], labels[-1]] == ends


def test_the_legend_is_a_scale_with_the_mean_in_view(
    explorer: Explorer, product: xr.Dataset
) -> None:
    explorer.page.evaluate("void explorer.maplibre.jumpTo({zoom: 5, center: [4, 47]})")
    explorer.settle()
    assert explorer.page.locator(".legend .class").count() == 0
    assert explorer.page.locator(".legend .units").inner_text() == "m² m⁻²"
    assert explorer.page.locator(".ramp-labels span").all_inner_texts() == ["0.00", "3.50", "7.00"]
    assert explorer.page.locator("#layer-confidence").count() == 0
    assert not explorer.page.locator("#palette").is_visible()
    mean = float(product.lai.sel(time="2003-07").weighted(product.cell_area).mean())
    explorer.page.wait_for_function("/\\d/.test(document.querySelector('.mean').textContent)")
    text = explorer.page.locator(".mean").inner_text()
    found = re.search(r"view ([\d.]+) m² m⁻²", text)
    assert found is not None
    assert float(found[1]) == pytest.approx(mean, abs=0.03)


def test_click_shows_the_series_of_the_cell(explorer: Explorer, product: xr.Dataset) -> None:
    x, y = explorer.state("project(4.025, 47.025)")
    explorer.page.mouse.click(x, y)
    explorer.page.wait_for_function("window.explorer.cellSeries")
    cell = product.lai.sel(lat=47.025, lon=4.025, method="nearest").values
    levels = np.where(np.isnan(cell), NO_VALUE, np.rint(cell / 0.05)).astype(int)
    assert explorer.state("cellSeries") == levels.tolist()
    assert (levels == NO_VALUE).any(), "a cloud in an observed month"
    explorer.page.wait_for_function("document.querySelector('.cell-now').textContent.includes('±')")
    text = explorer.page.locator(".cell-now").inner_text()
    assert f"{cell[42]:.2f} m² m⁻² in 2003-07" in text
    assert not explorer.page.locator("ol.changes").is_visible()
    observed = re.compile(r"/spread/c/(1[2-9]|2\d|3[0-5])/")
    assert not [url for url in explorer.requests if observed.search(url)], "none is stored"
    assert [url for url in explorer.requests if "/spread/c/40/" in url]
    explorer.page.keyboard.press("Escape")


def test_a_link_names_months(explorer: Explorer, browser: Any, address: str) -> None:
    explorer.set("{layer: 'difference', a: {year: 14, scenario: 0, member: 0}}")
    explorer.page.wait_for_function("location.hash.includes('year=2001-03')")
    link = explorer.page.evaluate("location.href")
    assert "with=2000-07" in link
    with explorer_at(browser, link) as other:
        assert other.page.evaluate("[explorer.state.a.year, explorer.state.b.year]") == [14, 6]
        assert other.page.locator("#with-year").input_value() == "2000-07"
        other.page.locator("#with-year").fill("2002-11")
        other.page.locator("#with-year").press("Enter")
        other.settle()
        assert other.page.evaluate("explorer.state.b.year") == 34
    with explorer_at(browser, f"{address}#year=1990-05&layer=confidence") as other:
        notices = other.page.locator(".notices").inner_text()
        assert "no month 1990-05, only 2000-01 to 2003-12; this is 2000-01" in notices
        assert "There is no layer “confidence”" in notices


def test_the_first_view_is_of_one_season(explorer: Explorer, browser: Any, address: str) -> None:
    with explorer_at(browser, address) as first:
        assert first.page.locator("output.year").inner_text() == "2002-07"
        assert first.page.locator("#speed option").first.inner_text() == "1 month/s"
        ticks = first.page.locator(".tick").all_inner_texts()
        assert ticks == ["2000", "2001", "2002", "2003"]


def test_what_lacks_is_named_by_month(tmp_path: Path) -> None:
    cube = value_cube(f"{tmp_path}/cube.zarr")
    product = value_product(cube, f"{tmp_path}/product.zarr", years=(2001, 2003))
    assert find_product(product.url).unfinished == {
        "done": 0,
        "total": 36 * 6,
        "missing": [MONTHLY.label(step) for step in product.span.years],
    }
    fill_values(cube, product)
    product.finish()
    assert find_product(product.url).unfinished is None
