"""The HTML report says what the metrics say, and needs nothing but itself."""

import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from luray.cli.score_tables import render_report
from luray.core.grid import Grid
from luray.core.legend import OUTSIDE, rgb
from luray.core.legend_files import HILDA
from luray.evaluation.aggregation import Tally
from luray.evaluation.report import EvaluationReport
from luray.evaluation.skill import Outcome
from luray.evaluation.statistics import TwoYears, statistics_of_year
from luray.viz.page import maps, words
from luray.viz.page.page import AreaSeries, Demand, Flows, PageData, render
from tests.evaluation.cases import bordered, random_tally
from tests.viz.pictures import cells_in

GRID = Grid(north=40, west=20, step=0.5, n_lat=30, n_lon=40)
YEARS = range(2001, 2005)


def metrics() -> dict:
    outcome = Outcome("forecast", "forward", 2000, random_tally(YEARS))
    report = EvaluationReport(
        (outcome,),
        HILDA,
        "a model of a test",
        caveats=("caveat <one>",),
        inputs={"hilda": ("codes 40-45 read as 44 forest",)},
    )
    return json.loads(json.dumps(report.to_dict()))


def compared(low: float | None, high: float | None, verdict: str) -> dict:
    """Metrics whose gain in accuracy has this interval in every period."""
    changed = metrics()
    [test] = changed["tests"]
    gain = {"estimate": 0.01, "low": low, "high": high, "verdict": verdict}
    for period in ("first_year", "mean"):
        test["against_persistence"][period]["accuracy_gain"] = gain
    for entry in test["by_lead_year"]:
        entry["against_persistence"]["accuracy_gain"] = gain
    return changed


def page_data(given: dict) -> PageData:
    rng = np.random.default_rng(0)
    shown = [rng.integers(0, 7, GRID.shape).astype(np.uint8) for _ in range(3)]
    years = tuple(range(1990, 2011))
    area = rng.random((len(years), 7)) + 1
    return PageData(
        title="A run & more",
        metrics=given,
        legend=HILDA,
        grid=GRID,
        points={"forecast": "cautious"},
        areas=AreaSeries(
            years,
            {"ssp126": area, "ssp585": 2 * area},
            (1995, 2000),
            {"ssp126": Demand((2000, 2010), {(11,): np.zeros(2), (55, 66): np.ones(2)})},
        ),
        flows={
            scenario: Flows((1990, 2000, 2010), (rng.random((7, 7)), rng.random((7, 7))))
            for scenario in ("ssp126", "ssp585")
        },
        maps={"forecast": maps.TestMaps(2004, *shown)},
        validations={},
        made="Made by a test.",
    )


class Links(HTMLParser):
    """What a document would load, its ids, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href", "xlink:href") and value:
                self.loaded.append(value)
            if name == "id" and value:
                self.ids.append(value)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_a_page_loads_nothing_and_has_each_id_once() -> None:
    page = render(page_data(metrics()))
    found = Links()
    found.feed(page)
    assert all(link.startswith(("data:", "#")) for link in found.loaded), found.loaded[:3]
    assert "@import" not in page
    assert "<script" not in page
    assert len(set(found.ids)) == len(found.ids)
    used = {link[1:] for link in found.loaded if link.startswith("#")}
    used |= set(re.findall(r"url\(#([^)]+)\)", page))
    assert used <= set(found.ids), "a chart refers to its own parts"
    assert len(page) < 5_000_000


def test_a_page_says_what_the_metrics_say() -> None:
    given = metrics()
    [test] = given["tests"]
    found = Links()
    found.feed(render(page_data(given)))
    text = " ".join(" ".join(found.text).split())
    for period in ("first_year", "mean"):
        for row in ("model", "persistence"):
            assert f"{test['rows'][row][period]['change_mean_iou']:.4f}" in text
    shown = text.replace("\N{MINUS SIGN}", "-")
    for interval in (
        test["against_persistence"]["mean"]["macro_f1_gain"],
        test["against_persistence"]["first_year"]["change_mean_iou"],
        test["by_class"]["forest"]["against_persistence"]["f1_gain"],
    ):
        assert f"{interval['low']:+.3f} to {interval['high']:+.3f}" in shown
    for entry in test["by_lead_year"]:
        assert f"{entry['model']['figure_of_merit']:.3f}" in text
    assert "caveat <one>" in text, "text of the run is escaped"
    assert "A run & more" in text
    assert "codes 40-45 read as 44 forest" in text
    assert "The coarse demand of ssp585 cannot be told" in text
    assert text.count("ssp126") > 6, "each chart of areas names its scenarios"
    assert "unmanaged grass and shrub and sparse" in text, "classes that the forcing has as one"


def test_another_target_has_no_published_scores_beside_it() -> None:
    assert "published, on other data" in text_of(render(page_data(metrics())))
    other = metrics() | {"published_on_other_data": {}}
    assert "published, on other data" not in text_of(render(page_data(other)))


def test_a_product_that_is_not_finished_is_not_told_of() -> None:
    found = Links()
    found.feed(render(replace(page_data(metrics()), areas=None, flows={})))
    text = " ".join(" ".join(found.text).split())
    assert "Cannot be told: the product of the run is not finished" in text
    assert "What became of the land" not in text


@pytest.mark.parametrize(
    ("low", "high", "verdict", "opening", "sentence"),
    [
        (0.004, 0.016, "better", "Better than persistence", r"\+1.00 percentage points \(\+0.40 to \+1.60"),
        (-0.02, -0.004, "worse", "Worse than persistence", "\N{MINUS SIGN}2.00 to \N{MINUS SIGN}0.40"),
        (-0.01, 0.02, "cannot be told", "Cannot be told from persistence", "95 % confidence"),
        (None, None, "cannot be told", "Cannot be told from persistence", "too few places"),
    ],
)  # fmt: skip
def test_verdicts_are_those_of_the_intervals(
    low: float | None, high: float | None, verdict: str, opening: str, sentence: str
) -> None:
    [test] = compared(low, high, verdict)["tests"]
    found = words.findings(test)
    assert [finding.verdict for finding in found] == [verdict, verdict]
    assert {finding.opening for finding in found} == {opening}
    assert re.search(sentence, found[1].sentence), found[1].sentence
    assert {row.verdict for row in words.lead_years(test)} == {verdict}


def test_a_test_without_change_is_not_given_a_figure_of_merit() -> None:
    [test] = metrics()["tests"]
    for row in ("model", "persistence"):
        test["rows"][row]["mean"] |= {"observed_change": 0.0, "figure_of_merit": None}
    assert "No change was observed" in words.findings(test)[1].sentence


def metrics_of(outcome: Outcome) -> dict:
    return json.loads(json.dumps(EvaluationReport((outcome,), HILDA, "a model").to_dict()))


def still_tally() -> Tally:
    """Tallies of two years in which nothing changes, and nothing is predicted to."""
    still = np.random.default_rng(0).integers(0, 6, (60, 60)).astype(np.uint8)
    maps = bordered(still)
    of_year = statistics_of_year(
        maps,
        TwoYears(maps, maps),
        TwoYears(maps, maps),
        cell_area=np.full(60, 1e6),
        n_classes=7,
        water=HILDA.index(77),
        confidence=np.full(still.shape, 90, np.uint8),
        corner=(0, 0),
        side=10,
    )
    return Tally({2001: of_year, 2002: of_year})


def test_where_nothing_changes_no_score_is_a_silent_zero() -> None:
    given = metrics_of(Outcome("still", "forward", 2000, still_tally(), demand_gap="no scenario"))
    [test] = given["tests"]
    model = test["rows"]["model"]["mean"]
    assert (model["accuracy"], model["observed_change"]) == (1, 0)
    no_score = [
        *("change_accuracy", "change_macro_f1", "change_weighted_f1", "change_mean_iou"),
        *("figure_of_merit", "figure_of_merit_5", "figure_of_merit_25", "change_ratio"),
        *("net_change_error", "demand_error", "observed_demand_error"),
    ]
    assert {name: model[name] for name in no_score} == dict.fromkeys(no_score)
    assert {entry["verdict"] for entry in test["against_persistence"]["mean"].values()} == {
        "cannot be told"
    }
    assert set(test["by_block"]["figure_of_merit"]) == {None}
    assert {scores["model"]["change_ratio"] for scores in test["by_class"].values()} == {None}
    assert test["transitions"]["changes"] == []

    grid = Grid(north=40, west=20, step=0.5, n_lat=60, n_lon=60)
    data = replace(page_data(given), grid=grid, maps={}, areas=None, flows={})
    text = text_of(render(data))
    assert text.count("Cannot be told from persistence") == 2
    assert text.count("No change was observed, so there is none to be found.") == 2
    assert "How far the maps follow the coarse scenario cannot be told: no scenario." in text
    assert "–: cannot be told, since no land changed." in text
    assert "Largest changes" not in text


def text_of(page: str) -> str:
    found = Links()
    found.feed(page)
    return " ".join(" ".join(found.text).split())


@pytest.mark.parametrize(
    ("gap", "demanded", "expected"),
    [
        ("", 0.0, "cannot be told: the coarse scenario asks for no net change in these years"),
        ("the cube has no sources of it", 0.0, "cannot be told: the cube has no sources of it"),
        ("", 4e6, "misses what the coarse scenario demands by 25.00 % of it; that of the observed"),
    ],
)
def test_the_demand_is_told_of_or_why_it_is_not(gap: str, demanded: float, expected: str) -> None:
    tally = random_tally(YEARS)
    with_demand = {
        year: replace(statistics, demand=np.array([1e6, 2e6, demanded]))
        for year, statistics in tally.years.items()
    }
    outcome = Outcome("forecast", "forward", 2000, Tally(with_demand), demand_gap=gap)
    [test] = metrics_of(outcome)["tests"]
    assert expected in words.demand(test)
    on_screen = Console(width=200, record=True, file=io.StringIO())
    on_screen.print(render_report(EvaluationReport((outcome,), HILDA, "a model")))
    says = "demand error cannot be told" in on_screen.export_text()
    assert says == (demanded == 0)


def test_agreement_has_the_colour_of_each_kind() -> None:
    initial = np.array([[0, 0, 0, 0, 0, OUTSIDE]], np.uint8)
    truth = np.array([[1, 1, 1, 0, 0, OUTSIDE]], np.uint8)
    predicted = np.array([[1, 2, 0, 1, 0, OUTSIDE]], np.uint8)
    grid = Grid(north=40, west=-45, step=1, n_lat=1, n_lon=6)
    image = image_of(maps.agreement(maps.TestMaps(2001, initial, truth, predicted), grid))
    kinds = [*maps.AGREEMENT.values(), maps.UNCHANGED, maps.WATER]
    assert cells_in(image, grid)[0].tolist() == [list(rgb(colour)) for colour in kinds]


def test_blocks_lie_where_they_are() -> None:
    grid = Grid(north=40, west=-45, step=1, n_lat=5, n_lon=6)
    places = np.array([[0, 0], [2, 1]])
    picture = maps.blocks(2, places, np.array([0.5, np.nan]), grid, most=0.5)
    image = cells_in(image_of(picture), grid)
    water = (image == rgb(maps.WATER)).all(axis=-1)
    expected = np.ones(grid.shape, bool)
    expected[:2, :2] = False
    expected[4:, 2:4] = False
    assert np.array_equal(water, expected)
    assert image[4, 2].tolist() == list(rgb(maps.UNCHANGED)), "no Figure of Merit is grey"


def test_a_large_map_is_thinned_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = Grid(north=10, west=0, step=0.1, n_lat=37, n_lon=50)
    codes = np.arange(37 * 50).reshape(37, 50).astype(np.uint8)
    monkeypatch.setattr(maps, "PIXELS", 12)
    monkeypatch.setattr(maps, "BAND_BYTES", 500)
    tallest = []

    def read(box):
        tallest.append(box.height)
        return codes[box.row : box.row + box.height, box.col : box.col + box.width]

    assert np.array_equal(maps.thinned(read, grid), codes[2::5, 2::5])
    assert max(tallest) <= 10


def image_of(picture: maps.MapPicture) -> np.ndarray:
    encoded = picture.url.removeprefix("data:image/png;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB"))
