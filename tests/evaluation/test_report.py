import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from luray.core.legend import HILDA
from luray.evaluation.aggregation import Tally
from luray.evaluation.metrics import persistence, score
from luray.evaluation.report import EvaluationReport, Outcome
from luray.evaluation.statistics import tile_statistics

CAVEATS = ("forcing: aggregated target, an upper bound", "population left out")
INPUTS = {"luh2": ("years 1850-1860 (11) hold 1861", "turned")}
WATER = 6


def tally(years, *, seed=0):
    rng = np.random.default_rng(seed)
    initial = rng.integers(0, 7, (30, 30)).astype(np.uint8)
    made, truth = {}, initial
    for year in years:
        truth = np.where(
            rng.random(truth.shape) < 0.05, rng.integers(0, 7, truth.shape), truth
        ).astype(np.uint8)
        predicted = np.where(rng.random(truth.shape) < 0.5, truth, initial).astype(np.uint8)
        made[year] = tile_statistics(
            initial,
            truth,
            predicted,
            cell_area=np.full(30, 1e6),
            n_classes=7,
            water=WATER,
            confidence=np.full(truth.shape, 80, np.uint8),
        )
    return Tally(made)


@pytest.fixture(scope="module")
def report():
    forecast = Outcome(
        "forecast", "forward", 2000, tally(range(2001, 2021)), tally(range(2001, 2021), seed=1)
    )
    hindcast = Outcome("hindcast", "backward", 1960, tally([1959, 1958, 1957]))
    return EvaluationReport(
        (forecast, hindcast), HILDA, "U-Net of width 16", CAVEATS, inputs=INPUTS
    )


def test_json_holds_first_year_mean_and_every_year(report, tmp_path):
    path, _ = report.write(tmp_path)
    found = json.loads(Path(path).read_text())
    assert found["caveats"] == list(CAVEATS)
    assert found["inputs"] == {"luh2": ["years 1850-1860 (11) hold 1861", "turned"]}
    assert found["model"] == "U-Net of width 16"
    forecast, hindcast = found["tests"]
    assert (forecast["first_year"], hindcast["first_year"]) == (2001, 1959)
    assert forecast["mean_years"] == list(range(2001, 2016)), "15 of the 20 years"
    assert hindcast["mean_years"] == [1959, 1958, 1957], (
        "all where there are fewer, in the direction of travel"
    )
    assert [e["lead"] for e in hindcast["by_lead_year"]] == [1, 2, 3]
    assert [e["year"] for e in forecast["by_lead_year"]] == list(range(2001, 2021))
    years = report.outcomes[0].tally.years
    first = score(years[2001], water=WATER)
    assert forecast["rows"]["model"]["first_year"]["figure_of_merit"] == first.figure_of_merit
    assert (
        forecast["rows"]["persistence"]["first_year"]["accuracy"]
        == score(persistence(years[2001]), water=WATER).accuracy
    )
    mean = np.mean([score(years[y], water=WATER).macro_f1 for y in range(2001, 2016)])
    assert forecast["rows"]["model"]["mean"]["macro_f1"] == pytest.approx(mean)
    assert forecast["rows"]["persistence"]["mean"]["brier"] is None, "nan is null"
    assert forecast["deflickered"]["rows"]["model"]["mean"] != forecast["rows"]["model"]["mean"]
    assert hindcast["deflickered"] is None
    gains = forecast["change_by_class"][-1]["observed_gain_m2"]
    assert (
        sum(gains.values()) == sum(forecast["change_by_class"][-1]["observed_loss_m2"].values()) > 0
    )
    assert list(gains) == [c.name for c in HILDA.classes]


def test_csv_has_a_line_for_each_test_truth_row_and_year_with_the_caveats(report, tmp_path):
    _, path = report.write(tmp_path)
    with Path(path).open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 2 * (20 + 1) * 2 + (3 + 1) * 2
    assert {line["caveats"] for line in lines} == {"; ".join(CAVEATS)}
    (line,) = [
        x
        for x in lines
        if (x["test"], x["truth"], x["row"], x["period"])
        == ("hindcast", "raw", "model", "first year")
    ]
    found = score(report.outcomes[1].tally.years[1959], water=WATER)
    assert (line["year"], line["lead"]) == ("1959", "1")
    assert float(line["change_mean_iou"]) == found.change_mean_iou
    assert {x["brier"] for x in lines if x["row"] == "persistence"} == {""}
    assert {x["period"] for x in lines if x["year"] == ""} == {
        "mean of 15 years",
        "mean of 3 years",
    }


def test_nothing_but_the_two_files_is_left_and_a_second_report_replaces_them(report, tmp_path):
    for name in report.write(tmp_path / "report"):
        Path(name).write_text("rubbish of an earlier run")
    paths = report.write(tmp_path / "report")
    assert sorted(p.name for p in (tmp_path / "report").iterdir()) == [
        "metrics.csv",
        "metrics.json",
    ]
    assert json.loads(Path(paths[0]).read_text()) == json.loads(json.dumps(report.to_dict()))


def test_the_screen_fits_80_columns_and_says_what_it_shows(report):
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(report.render())
    text = console.export_text()
    assert "…" not in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    for expected in (
        "forecast: forward from 2000, first year (2001)",
        "mean of 15 years (2001-2015)",
        "hindcast: backward from 1960, mean of 3 years (1959-1957)",
        "against de-flickered truth",
        "published",
        *CAVEATS,
    ):
        assert expected in text
    skill = report.skills["forecast", "raw"]
    model, null = skill.first("model"), skill.first("persistence")
    row = re.search(r"^model +(.*)$", text, re.M).group(1).split()
    assert row[0] == f"{model.accuracy:.4f}"
    assert row[7:] == [
        f"{model.change_mean_iou:.4f}",
        f"{model.figure_of_merit:.4f}",
        f"{model.change_ratio:.2f}",
    ]
    row = re.search(r"^persistence +(.*)$", text, re.M).group(1).split()
    assert row == [
        *(f"{v:.4f}" for v in (null.accuracy, null.macro_f1, null.weighted_f1, null.mean_iou)),
        *["0.0000"] * 5,
        "0.00",
    ]
    published = re.search(r"^published +(.*)$", text, re.M).group(1).split()
    assert published == [
        "0.8826",
        "0.8072",
        "0.8802",
        "0.6983",
        "0.4796",
        "0.3182",
        "0.4818",
        "0.2089",
        "-",
        "-",
    ]


def test_no_change_is_a_dash():
    still = np.zeros((5, 5), np.uint8)
    made = Tally(
        {2001: tile_statistics(still, still, still, cell_area=np.ones(5), n_classes=7, water=WATER)}
    )
    outcome = Outcome("still", "forward", 2000, made)
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(EvaluationReport((outcome,), HILDA, "m").render())
    assert re.search(
        r"^model +1\.0000 1\.0000 1\.0000 1\.0000( +-){6}", console.export_text(), re.M
    )


def test_a_test_tallied_on_the_wrong_side_without_a_year_or_named_twice_is_refused():
    with pytest.raises(ValueError, match=r"goes backward from 2000 but was tallied in \[2001\]"):
        Outcome("hindcast", "backward", 2000, tally([2001]))
    with pytest.raises(ValueError, match="no year tallied"):
        Outcome("forecast", "forward", 2000, Tally())
    one = Outcome("a", "forward", 2000, tally([2001]))
    with pytest.raises(ValueError, match="each name once"):
        EvaluationReport((one, one), HILDA, "m")


def test_years_that_are_left_out_are_named_and_not_averaged(tmp_path):
    scored = [y for y in range(2001, 2021) if y not in (2015, 2016)]
    outcome = Outcome("forecast", "forward", 2000, tally(scored), left_out=(2015, 2016))
    assert outcome.scores_beyond
    report = EvaluationReport((outcome,), HILDA, "m")
    assert report.skills["forecast", "raw"].averaged == (*range(2001, 2015), 2017)
    path, _ = report.write(tmp_path)
    (test,) = json.loads(Path(path).read_text())["tests"]
    assert test["left_out"] == [2015, 2016]
    assert {2015, 2016}.isdisjoint(
        {
            *test["mean_years"],
            *(e["year"] for e in test["by_lead_year"]),
            *(e["year"] for e in test["change_by_class"]),
        }
    )
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(report.render())
    assert "mean of 15 years (2001-2017 without 2015, 2016)" in console.export_text()


def test_a_report_without_years_left_out_does_not_speak_of_them(report):
    assert not any("left_out" in test for test in report.to_dict()["tests"])
    assert not report.outcomes[0].scores_beyond
    ended = Outcome("forecast", "forward", 2000, tally(range(2001, 2015)), left_out=(2015,))
    assert not ended.scores_beyond, "nothing is scored beyond 2015"
