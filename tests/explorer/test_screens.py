"""Pages of their own: other screens, other eyes, keys alone; what is missing; and how fast it is."""

import re
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from luray.explorer.server import ExplorerServer
from luray.stages.view import find_product
from tests.explorer.conftest import explorer_at, serving
from tests.explorer.small_world import SCENARIOS, write_product, write_wide_product
from tests.explorer.test_explorer import colour_of, picture
from tests.machine import patience


def test_a_link_to_what_is_not_there_says_so(browser: Any, server: ExplorerServer) -> None:
    link = f"{server.address}#year=1700&scenario=ssp999&member=7&layer=height"
    with explorer_at(browser, link) as explorer:
        notices = " ".join(explorer.page.locator(".notice").all_inner_texts())
    for part in ("no year 1700", "ssp999", ", ".join(SCENARIOS), "member 7", "no layer “height”"):
        assert part in notices


def test_a_small_dark_screen(browser: Any, server: ExplorerServer) -> None:
    """A phone, which has as much room as a desktop at 400 percent."""
    with explorer_at(browser, server.address, size=(320, 568), scheme="dark") as explorer:
        page = explorer.page
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
        assert page.locator("#year").is_visible()
        page.locator("#open-panel").click()
        box = page.locator(".panel").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 320
        page.locator("label[for=layer-confidence]").click()
        assert explorer.state("state.layer") == "confidence"


@pytest.mark.parametrize("height", [200, 256], ids=["1280x800", "1280x1024"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_desktop_at_400_percent(
    browser: Any, server: ExplorerServer, height: int, scheme: str
) -> None:
    """WCAG 1.4.10: nothing is cut, overlaps or needs scrolling in two directions."""
    with explorer_at(
        browser, server.address, size=(320, height), scale=4, scheme=scheme
    ) as explorer:
        page = explorer.page
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
        boxes = {
            name: page.locator(name).bounding_box() or pytest.fail(f"no {name}")
            for name in (".tools", ".timeline", "#year", "#play", "#speed")
        }
        for name, box in boxes.items():
            assert box["x"] >= 0, name
            assert box["y"] >= 0, name
            assert box["x"] + box["width"] <= 320, name
            assert box["y"] + box["height"] <= height, name
        below_tools = boxes[".tools"]["y"] + boxes[".tools"]["height"]
        assert boxes[".timeline"]["y"] - below_tools > 0.3 * height, "there is room for the map"
        west, north = explorer.state("project(1, 49)")
        east, south = explorer.state("project(7, 45)")
        assert -1 <= west < east <= 321
        assert 0 <= north < south <= height

        page.locator("#open-panel").click()
        last = page.locator("label[for=swipe]")
        last.scroll_into_view_if_needed()
        last.click()
        assert explorer.state("state.swipe") is True
        page.locator(".panel .icon-button").click()
        assert not page.locator(".panel").is_visible()

        page.locator("#map canvas").focus()
        page.keyboard.press("Enter")
        page.wait_for_function("window.explorer.cellSeries")
        table = page.locator(".demand")
        table.scroll_into_view_if_needed()
        box = table.bounding_box()
        assert box is not None
        assert box["y"] < height
        assert page.evaluate(
            "(({scrollWidth, clientWidth}) => scrollWidth <= clientWidth)"
            "(document.querySelector('.card-body'))"
        )
        page.keyboard.press("Escape")
        assert not page.locator(".card").is_visible()


def test_share_copies_the_link_to_the_view(browser: Any, server: ExplorerServer) -> None:
    with explorer_at(browser, server.address) as explorer:
        explorer.context.grant_permissions(["clipboard-read", "clipboard-write"])
        explorer.set("{layer: 'changes', a: {year: 20, scenario: 1, member: 1}}")
        explorer.page.locator("#share").click()
        explorer.page.wait_for_selector(".toast:not([hidden])")
        assert "copied" in explorer.page.locator(".toast").inner_text()
        link = explorer.page.evaluate("navigator.clipboard.readText()")
    for part in ("year=2010", "layer=changes", "scenario=ssp585", "member=1", "map="):
        assert part in link


def test_every_control_is_reached_by_tab_and_shows_it(browser: Any, server: ExplorerServer) -> None:
    with explorer_at(browser, server.address) as explorer:
        page = explorer.page
        explorer.set("{layer: 'difference', swipe: true, cell: {lat: 47.3, lon: 3.6}}")
        expected = page.evaluate(
            """[...document.querySelectorAll(
                 'a[href], button, input:not([type=radio]), select, canvas[tabindex], [role=slider]'
               )].filter(e => e.offsetParent !== null && !e.disabled)
               .map(e => { e.dataset.reached = 'no'; return e.outerHTML.slice(0, 60); }).length"""
        )
        page.evaluate("document.activeElement?.blur()")
        without_outline = []
        for _ in range(expected + 12):
            page.keyboard.press("Tab")
            focused = page.evaluate(
                """(() => {
                  const e = document.activeElement;
                  if (e === document.body) return null;
                  e.dataset.reached = 'yes';
                  const ringed = e.closest('.choice, .class') ?? e;
                  const {outlineStyle, outlineWidth} = getComputedStyle(ringed);
                  const box = ringed.getBoundingClientRect();
                  const inside = box.bottom > 0 && box.top < innerHeight && box.right > 0;
                  const shows = outlineStyle !== 'none' && parseFloat(outlineWidth) >= 1;
                  return {name: e.outerHTML.slice(0, 80), shown: shows && inside};
                })()"""
            )
            if focused and not focused["shown"]:
                without_outline.append(focused["name"])
        assert (
            page.evaluate(
                "[...document.querySelectorAll('[data-reached=no]')].map(e => e.outerHTML.slice(0, 80))"
            )
            == []
        )
        assert without_outline == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_below_it(
    browser: Any, server: ExplorerServer, scheme: str
) -> None:
    """WCAG 1.4.3: a contrast of 4.5 between text and surface."""
    with explorer_at(browser, server.address, scheme=scheme) as explorer:
        explorer.set("{swipe: true, cell: {lat: 47.3, lon: 3.6}}")
        pairs = explorer.page.evaluate(
            """[...document.querySelectorAll('.panel *, .card *, .timeline *')]
            .filter(e => e.offsetParent !== null && !['OPTION', 'CANVAS'].includes(e.tagName))
            .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
            .map(e => {
              let below = e;
              const clear = c => c === 'rgba(0, 0, 0, 0)' || c === 'transparent';
              while (clear(getComputedStyle(below).backgroundColor)) below = below.parentElement;
              const {color} = getComputedStyle(e);
              return [e.className + ': ' + e.textContent.slice(0, 30), color,
                      getComputedStyle(below).backgroundColor];
            })"""
        )
    assert len(pairs) > 30
    faint = [name for name, ink, paper in pairs if contrast(ink, paper) < 4.5]
    assert faint == []


def contrast(ink: str, paper: str) -> float:
    """Contrast of two CSS colours, as WCAG 2 defines it."""

    def luminance(colour: str) -> float:
        channels = [float(number) / 255 for number in re.findall(r"[\d.]+", colour)[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    darker, lighter = sorted((luminance(ink), luminance(paper)))
    return (lighter + 0.05) / (darker + 0.05)


def test_without_overviews_the_page_says_how_to_make_them(browser: Any, tmp_path: Path) -> None:
    place = tmp_path / "product.zarr"
    write_wide_product(place)
    assert "no overviews" in find_product(str(place)).notes[0]
    with serving(place) as server:
        far = f"{server.address}#map=3.5/42/-2&projection=mercator"
        with explorer_at(browser, far) as explorer:
            explorer.page.wait_for_selector(".notice")
            notice = explorer.page.locator(".notice")
            assert "no overviews" in notice.inner_text()
            assert "product.overview_cells" in notice.inner_text()
            shown = picture(explorer)
            x, y = explorer.state("project(-2, 42)")
            assert np.abs(shown[int(y), int(x)] - colour_of(44)).max() <= 2, "the middle is drawn"
            explorer.page.evaluate("void explorer.maplibre.jumpTo({zoom: 6})")
            explorer.settle()
            explorer.page.wait_for_function("document.querySelector('.notice').hidden")


def test_without_webgl_the_page_says_so(browser: Any, server: ExplorerServer) -> None:
    script = "HTMLCanvasElement.prototype.getContext = () => null"
    with explorer_at(browser, server.address, script=script, settles=False) as explorer:
        alert = explorer.page.locator("[role=alert]").inner_text()
    assert "no WebGL 2" in alert


def test_a_product_that_is_not_finished_is_shown(browser: Any, tmp_path: Path) -> None:
    write_product(tmp_path / "product.zarr", finished=False, overviews=False, members=0)
    with (
        serving(tmp_path / "product.zarr") as server,
        explorer_at(browser, server.address) as explorer,
    ):
        assert "0 of 300 tile-years are there" in explorer.page.locator(".notice").inner_text()
        assert explorer.page.locator(".segment.missing").count() == 1
        explorer.page.locator("label[for=layer-probability]").click()
        assert "stores no probability" in explorer.page.locator(".about").inner_text()


def test_it_is_fast(browser: Any, server: ExplorerServer) -> None:
    """Figures of a machine with nothing else to do; the limits follow the machine."""
    with explorer_at(browser, server.address, size=(1280, 720)) as explorer:
        first_picture = explorer.state("firstPicture")
        explorer.page.wait_for_function("!window.explorer.scene.chunks.busy")
        changes = explorer.page.evaluate(
            """async () => {
              const times = [];
              for (let i = 0; i < 8; i++) {
                const year = 15 + (i % 2);
                const begun = performance.now();
                const drawn = new Promise(done => {
                  const {layer} = explorer.scene;
                  const before = layer.onFrame;
                  layer.onFrame = () => {
                    before();
                    if (explorer.scene.shown('a').year === year) { layer.onFrame = before; done(); }
                  };
                });
                explorer.set({a: {...explorer.state.a, year}});
                await drawn;
                times.push(performance.now() - begun);
              }
              return times;
            }"""
        )
        frames = explorer.page.evaluate(
            """async () => {
              explorer.set({a: {...explorer.state.a, year: 0}});
              explorer.timeline.play();
              const times = [];
              let last = performance.now();
              while (times.length < 90 && explorer.timeline.playing) {
                const now = await new Promise(requestAnimationFrame);
                times.push(now - last);
                last = now;
              }
              explorer.timeline.pause();
              return times;
            }"""
        )
    change = statistics.median(changes)
    rate = 1000 / statistics.median(frames)
    print(
        f"first picture {first_picture:.0f} ms, change of year {change:.0f} ms, "
        f"{rate:.0f} frames a second while playing"
    )
    assert first_picture < 1000 * patience(8)
    assert change < 1000 * patience(1)
