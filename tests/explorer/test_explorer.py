"""The page in a real browser: what it draws is what the Zarr store holds."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from PIL import Image

import luray
from luray.core.legend import OUTSIDE, rgb
from luray.core.legend_files import HILDA
from luray.explorer.server import ExplorerServer
from tests.explorer.conftest import Explorer, explorer_at
from tests.explorer.small_world import (
    GRID,
    YEARS,
    class_maps,
    write_cube,
)

LIGHT_OCEAN = "#dfe9f0"
CLEAR = (350, 60, 1060, 620)
"""Left, top, right and bottom of the part of the screen that no panel covers."""
LINES = ("graticule", "borders", "coast")


@pytest.fixture(scope="module")
def product(world: Path) -> xr.Dataset:
    return luray.open_product(str(world / "product.zarr"))


def hide(explorer: Explorer, line: str) -> None:
    """Hide a layer of lines, which are drawn over the cells."""
    explorer.page.evaluate(
        f"void window.explorer.maplibre.setLayoutProperty('{line}', 'visibility', 'none')"
    )


@pytest.fixture(scope="module")
def shared(browser: Any, server: ExplorerServer) -> Iterator[Explorer]:
    """A page that several tests use, one after the other."""
    with explorer_at(browser, server.address) as explorer:
        explorer.page.wait_for_function("window.explorer.maplibre.getLayer('coast')")
        for line in LINES:
            hide(explorer, line)
        yield explorer


@pytest.fixture
def explorer(shared: Explorer) -> Explorer:
    """The shared page as at first."""
    shared.page.evaluate(
        "explorer.timeline.pause(); location.hash = `map=6.2/47/4&year=2005`; "
        "window.dispatchEvent(new HashChangeEvent('hashchange'))"
    )
    shared.settle()
    return shared


def picture(explorer: Explorer) -> np.ndarray:
    explorer.page.mouse.move(5, 5)
    explorer.page.evaluate(
        "new Promise(done => { explorer.maplibre.once('render', () => done()); "
        "explorer.maplibre.triggerRepaint(); })"
    )
    image = Image.open(io.BytesIO(explorer.page.screenshot()))
    return np.asarray(image.convert("RGB")).astype(int)


def colour_of(code: int) -> tuple[int, int, int]:
    by_code = {land_class.code: land_class.colour for land_class in HILDA.classes}
    return rgb(by_code.get(code, LIGHT_OCEAN))


def cells_in_view(
    explorer: Explorer, lat: np.ndarray, lon: np.ndarray, *, most: int = 200
) -> list[tuple[int, int, int, int]]:
    """Row, column, x and y of random cells that no panel covers."""
    random = np.random.default_rng(1)
    rows = random.integers(0, lat.size, 10 * most)
    cols = random.integers(0, lon.size, 10 * most)
    places = [[float(lon[col]), float(lat[row])] for row, col in zip(rows, cols, strict=True)]
    points = explorer.page.evaluate(
        "places => places.map(([lon, lat]) => explorer.project(lon, lat))", places
    )
    left, top, right, bottom = CLEAR
    cells = []
    for row, col, (x, y) in zip(rows.tolist(), cols.tolist(), points, strict=True):
        if left < x < right and top < y < bottom:
            cells.append((row, col, int(x), int(y)))
    assert len(cells) >= most, "too few cells lie where no panel covers them"
    return cells[:most]


def assert_drawn(explorer: Explorer, codes: xr.DataArray) -> None:
    """200 random cells in view have the colour of their code."""
    shown = picture(explorer)
    lat, lon = codes.lat.values, codes.lon.values
    wrong = [
        (row, col)
        for row, col, x, y in cells_in_view(explorer, lat, lon)
        if np.abs(shown[y, x] - colour_of(int(codes[row, col]))).max() > 2
    ]
    assert wrong == []


@pytest.mark.parametrize("projection", ["globe", "mercator"])
def test_cells_have_the_colour_of_their_code(
    explorer: Explorer, product: xr.Dataset, projection: str
) -> None:
    explorer.set(f"{{projection: '{projection}'}}")
    assert explorer.state("drawnLevel") == 0
    first = product.land_use.sel(scenario="ssp126", member=0).load()
    assert_drawn(explorer, first.sel(year=2005))

    slider = explorer.page.locator("#year")
    slider.focus()
    slider.press("End")
    explorer.settle()
    assert explorer.page.locator("output.year").inner_text() == "2014"
    assert slider.get_attribute("aria-valuetext") == "2014, forecast"
    assert_drawn(explorer, first.sel(year=2014))


def test_scenario_and_member_are_chosen(explorer: Explorer, product: xr.Dataset) -> None:
    explorer.page.locator("#scenario").select_option("ssp585")
    explorer.page.locator("#member").select_option("1")
    explorer.page.locator("#year").press("End")
    explorer.settle()
    assert_drawn(explorer, product.land_use.sel(scenario="ssp585", member=1, year=2014).load())


def test_far_away_the_overview_is_drawn(
    explorer: Explorer, world: Path, product: xr.Dataset
) -> None:
    explorer.page.evaluate("void explorer.maplibre.jumpTo({zoom: 3.2, center: [4, 47]})")
    explorer.settle()
    assert explorer.state("drawnLevel") == 1
    overview = luray.open_product(str(world / "product.zarr"), level=1)
    codes = overview.land_use.sel(scenario="ssp126", member=0, year=2005).load()
    shown = picture(explorer)
    random = np.random.default_rng(2)
    right = 0
    for row, col in random.integers(0, codes.shape, (200, 2)).tolist():
        x, y = explorer.state(f"project({float(codes.lon[col])}, {float(codes.lat[row])})")
        right += np.abs(shown[int(y), int(x)] - colour_of(int(codes[row, col]))).max() <= 2
    # a cell is a pixel or two wide: the pixel of its centre may be a neighbour's
    assert right > 190


def test_click_shows_the_series_of_the_cell(explorer: Explorer, product: xr.Dataset) -> None:
    land_use = product.land_use.sel(scenario="ssp126", member=0).load()
    for lat, lon in ((47.3, 3.6), (46.1, 4.4), (48.2, 5.2)):
        x, y = explorer.state(f"project({lon}, {lat})")
        explorer.page.mouse.click(x, y)
        explorer.page.wait_for_function("window.explorer.cellSeries")
        expected = land_use.sel(lat=lat, lon=lon, method="nearest")
        assert explorer.state("cellSeries") == expected.values.tolist()

    name = HILDA.classes[HILDA.index(int(expected.sel(year=2005)))].name.replace("_", " ")
    assert name in explorer.page.locator(".cell-now").inner_text()
    fractions = product.fraction.sel(scenario="ssp126", member=0, year=2005)
    coarse = fractions.sel(coarse_lat=lat, coarse_lon=lon, method="nearest").values
    explorer.page.wait_for_function(
        "!document.querySelector('.demand tbody td:last-child')?.textContent.includes('…')"
    )
    label = explorer.page.locator(".chart").get_attribute("aria-label") or ""
    shown = [float(number) for number in re.findall(r"([\d.]+) %", label)]
    assert shown == pytest.approx((100 * coarse).round(1).tolist(), abs=0.06)

    explorer.page.keyboard.press("Escape")
    assert not explorer.page.locator(".card").is_visible()


def test_demand_is_that_of_the_cube(
    explorer: Explorer, world: Path, tmp_path: Path, product: xr.Dataset
) -> None:
    shares = write_cube(tmp_path / "cube.zarr")  # the same numbers as those of the world
    year = 2010
    explorer.set(
        f"{{cell: {{lat: 47.3, lon: 3.6}}, a: {{year: {year - 1990}, scenario: 1, member: 0}}}}"
    )
    explorer.page.wait_for_function(
        "document.querySelectorAll('.demand tbody td').length === 4 && "
        "!document.querySelector('.demand').textContent.includes('…')"
    )
    row, col = int((GRID.north - 47.3) / 0.25), int((3.6 - GRID.west) / 0.25)
    y = YEARS.index(year)
    asked = 100 * (shares[1, y, :, row, col] - shares[1, y - 1, :, row, col])
    fraction = product.fraction.sel(scenario="ssp585", member=0).isel(
        coarse_lat=row, coarse_lon=col
    )
    made = 100 * (fraction.sel(year=year) - fraction.sel(year=year - 1))
    cells = [
        float(text.replace("−", "-"))
        for text in explorer.page.locator(".demand tbody td").all_inner_texts()
    ]
    expected = [asked[0], float(made.sel({"class": 22})), asked[2], float(made.sel({"class": 44}))]
    assert cells == pytest.approx(expected, abs=0.006)


def test_swipe_parts_the_screen(explorer: Explorer, product: xr.Dataset) -> None:
    explorer.page.locator("label[for=swipe]").click()
    explorer.set("{swipeAt: 0.6}")
    divider = explorer.page.locator(".divider")
    divider.focus()
    divider.press("ArrowLeft")
    explorer.settle()
    assert divider.get_attribute("aria-valuenow") == "58"
    maps = product.land_use.sel(scenario="ssp126", member=0).load()
    lat, lon = maps.lat.values, maps.lon.values
    shown = picture(explorer)
    parted = 0.58 * 1200
    for row, col, x, y in cells_in_view(explorer, lat, lon):
        if abs(x - parted) < 25 or abs(y - 0.46 * 800) < 25 or y > 620:
            continue
        year = 2005 if x < parted else 1990
        code = int(maps.sel(year=year)[row, col])
        assert np.abs(shown[y, x] - colour_of(code)).max() <= 2, (x, y, year)


def test_changes_are_those_of_the_maps(explorer: Explorer) -> None:
    explorer.set("{layer: 'first_change'}")
    explorer.page.wait_for_function("window.explorer.progress === 1")
    maps = class_maps()[0, 0]
    changed = (maps[1:] != maps[:-1]) & (maps[1:] != OUTSIDE) & (maps[:-1] != OUTSIDE)
    count = changed.sum(axis=0)
    first = np.where(count > 0, changed.argmax(axis=0) + 1, 255)
    for row in range(2):
        for col in range(3):
            tile = f"{{level: 0, row: {row}, col: {col}, turn: 0}}"
            script = f"scene.changes.get({tile}, {{scenario: 0, member: 0}})"
            box = np.s_[40 * row : 40 * row + 40, 40 * col : 40 * col + 40]
            for name, expected in (("first", first), ("count", count)):
                values = explorer.page.evaluate(f"Array.from(window.explorer.{script}.{name})")
                assert values == expected[box].ravel().tolist()
    quiet = rgb("#dcdad3")
    explorer.settle()
    shown = picture(explorer)
    lat = GRID.north - (np.arange(GRID.n_lat) + 0.5) * GRID.step
    lon = GRID.west + (np.arange(GRID.n_lon) + 0.5) * GRID.step
    for row, col, x, y in cells_in_view(explorer, lat, lon):
        if maps[15, row, col] != OUTSIDE:  # that of 2005, which is shown
            is_quiet = bool(np.abs(shown[y, x] - quiet).max() <= 2)
            assert is_quiet == (count[row, col] == 0)


@pytest.mark.parametrize("layer", ["confidence", "probability", "difference"])
def test_other_layers_are_drawn(explorer: Explorer, product: xr.Dataset, layer: str) -> None:
    explorer.page.locator(f"label[for=layer-{layer}]").click()
    explorer.set("{a: {year: 24, scenario: 0, member: 0}, ofClass: 44}")
    shown = picture(explorer)
    maps = product.land_use.sel(scenario="ssp126", member=0).load()
    ramps = {
        "confidence": ("#3b0f70", "#8c2981", "#de4968", "#fe9f6d", "#fcfdbf"),
        "probability": ("#f2f0ec", "#c7dfd0", "#7dbfa5", "#31907c", "#0b5345"),
    }
    if layer == "confidence":
        values = product.confidence.sel(scenario="ssp126", member=0, year=2014).values
    else:
        values = product.class_probability.sel(
            {"scenario": "ssp126", "year": 2014, "class": 44}
        ).values
    for row, col, x, y in cells_in_view(explorer, maps.lat.values, maps.lon.values):
        code = int(maps.sel(year=2014)[row, col])
        if code == HILDA.ocean:
            expected = np.array(rgb(LIGHT_OCEAN))
        elif layer == "difference":
            same = code == int(maps.sel(year=1990)[row, col])
            expected = np.array(rgb("#dcdad3") if same else colour_of(code))
        else:
            ramp = np.array([rgb(colour) for colour in ramps[layer]])
            at = float(values[row, col]) / 25
            expected = [np.interp(at, range(5), ramp[:, band]) for band in range(3)]
        assert np.abs(shown[y, x] - np.round(expected)).max() <= 2


def test_legend_toggles_classes_and_tells_areas(explorer: Explorer) -> None:
    explorer.page.evaluate("void explorer.maplibre.jumpTo({zoom: 5, center: [4, 47]})")
    explorer.settle()
    maps = class_maps()[0, 0, YEARS.index(2005)]
    index = HILDA.index(44)
    expected = (GRID.cell_area[:, None] * (maps == index)).sum() / 1e6
    explorer.page.wait_for_function("document.querySelector('.area').textContent !== '0 km²'")
    text = explorer.page.locator("li:has(#class-44) .area").inner_text()
    assert float(re.sub(r"[^\d.]", "", text)) == pytest.approx(expected, rel=0.02)

    explorer.page.locator("label[for=class-44]").click()
    explorer.settle()
    shown = picture(explorer)
    assert not (np.abs(shown[60:600, 320:1080] - rgb("#2d6a4f")).max(axis=2) <= 2).any()
    explorer.page.get_by_text("show all").click()
    explorer.page.locator("#palette").click()
    explorer.settle()
    assert (np.abs(picture(explorer) - rgb("#006d5b")).max(axis=2) <= 2).any()


def test_a_link_brings_the_same_view_back(
    explorer: Explorer, browser: Any, server: ExplorerServer
) -> None:
    explorer.set(
        "{layer: 'difference', a: {year: 20, scenario: 1, member: 1}, "
        "b: {year: 2, scenario: 0, member: 0}, swipe: true, swipeAt: 0.25, palette: 'safe', "
        "projection: 'mercator', hidden: new Set([44]), cell: {lat: 47.325, lon: 3.625}}"
    )
    explorer.page.wait_for_function("location.hash.includes('cell')")
    link = explorer.page.evaluate("location.href")
    assert "scenario=ssp585" in link
    state = "({...explorer.state, hidden: [...explorer.state.hidden]})"
    before = explorer.page.evaluate(state)
    with explorer_at(browser, link) as other:
        after = other.page.evaluate(state)
    # a link has the place to four decimals
    assert after.pop("camera") == pytest.approx(before.pop("camera"), abs=0.01)
    assert after == before


def test_keys_alone_do_everything(explorer: Explorer) -> None:
    page = explorer.page
    names = page.evaluate(
        """[...document.querySelectorAll('button, input, select, canvas, [tabindex="0"]')]
        .filter(e => e.offsetParent !== null)
        .filter(e => !(e.getAttribute('aria-label') || e.labels?.length || e.textContent.trim()))
        .map(e => e.outerHTML.slice(0, 80))"""
    )
    assert names == []

    page.locator("#year").focus()
    page.keyboard.press("PageDown")
    explorer.settle()
    assert explorer.state("state.a.year") == 5
    page.keyboard.press("Space")
    page.wait_for_function("window.explorer.state.a.year >= 7")
    page.keyboard.press("Space")
    assert explorer.state("timeline.playing") is False
    page.keyboard.press("g")
    explorer.settle()
    assert explorer.state("state.projection") == "mercator"
    page.keyboard.press("s")
    assert page.locator(".divider").is_visible()
    page.locator("#map canvas").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("window.explorer.cellSeries")
    page.keyboard.press("Escape")
    assert not page.locator(".card").is_visible()


PLAYED_TO_YEAR_4 = """async () => {
  // A clock of our own, of 50 ms a frame, that stands still while a map is on its way: what is
  // measured does not depend on how fast the machine draws.
  const { timeline, scene } = window.explorer;
  const requestFrame = window.requestAnimationFrame;
  let waiting = [];
  window.requestAnimationFrame = (callback) => waiting.push(callback);
  const button = document.querySelector("#play");
  button.click();
  if (button.getAttribute("aria-label") !== "Pause") throw new Error("it does not play");
  const begun = performance.now();
  let passed = 0;
  while (window.explorer.state.a.year < 4 && passed < 10000) {
    passed += 50;
    const due = waiting;
    waiting = [];
    due.forEach((callback) => callback(begun + passed));
    do await new Promise((resolve) => setTimeout(resolve, 10)); while (scene.chunks.busy);
  }
  timeline.pause();
  window.requestAnimationFrame = requestFrame;
  waiting.forEach((callback) => requestFrame(callback));
  return passed;
}"""


def test_observed_years_are_marked_and_playing_has_a_speed(explorer: Explorer) -> None:
    page = explorer.page
    marks = page.evaluate(
        "[...document.querySelectorAll('.segment')].map(e => [e.title, e.offsetLeft, e.offsetWidth])"
    )
    assert [title for title, *_ in marks] == [
        "hindcast 1990–1995",
        "observed 1996–2005",
        "forecast 2006–2014",
    ]
    width = sum(mark[2] for mark in marks)
    assert marks[1][1] / width == pytest.approx(6 / 25, abs=0.01)
    assert marks[1][2] / width == pytest.approx(10 / 25, abs=0.01)

    milliseconds = {}
    for speed in ("2", "20"):
        page.locator("#speed").select_option(speed)
        assert explorer.state("timeline.speed") == int(speed)
        explorer.set("{a: {year: 0, scenario: 0, member: 0}}")
        page.wait_for_function("!window.explorer.scene.chunks.busy")
        milliseconds[speed] = page.evaluate(PLAYED_TO_YEAR_4)
    assert 1950 <= milliseconds["2"] <= 2200, "four years at two years a second"
    assert 150 <= milliseconds["20"] <= 400


def test_the_keyboard_chooses_layers_classes_and_what_is_compared(explorer: Explorer) -> None:
    page = explorer.page
    page.locator("#layer-land_use").focus()
    page.keyboard.press("ArrowDown")
    assert explorer.state("state.layer") == "confidence"
    page.keyboard.press("ArrowUp")
    assert explorer.state("state.layer") == "land_use"
    page.locator("#class-44").focus()
    page.keyboard.press("Space")
    assert explorer.state("state.hidden.has(44)") is True
    page.keyboard.press("Space")
    assert explorer.state("state.hidden.has(44)") is False
    page.locator("#scenario").focus()
    page.keyboard.press("ArrowDown")
    assert explorer.state("state.a.scenario") == 1
    page.locator("#swipe").focus()
    page.keyboard.press("Space")
    assert explorer.state("state.swipe") is True
    page.locator("#with-year").fill("1993")
    page.keyboard.press("Enter")
    assert explorer.state("state.b.year") == 3
    page.locator("#palette").focus()
    page.keyboard.press("Enter")
    assert page.locator("#palette").get_attribute("aria-pressed") == "true"
    page.locator("#theme").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.keyboard.press("?")
    assert page.locator("dialog.help").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("dialog.help").is_visible()
