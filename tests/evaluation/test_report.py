"""The report of an evaluation: what its files hold."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from luray.core.legend_files import HILDA
from luray.evaluation.aggregation import Tally
from luray.evaluation.block_sums import BlockSums
from luray.evaluation.metrics import persistence, score
from luray.evaluation.report import EvaluationReport
from luray.evaluation.skill import Outcome
from tests.evaluation.cases import HILDA_WATER, random_tally, steady_flicker

CAVEATS = ("forcing: aggregated target, an upper bound", "population left out")
INPUTS = {"luh2": ("years 1850-1860 (11) hold 1861", "turned")}


@pytest.fixture(scope="module")
def report():
    forecast = Outcome(
        "forecast",
        "forward",
        2000,
        random_tally(range(2001, 2021)),
        random_tally(range(2001, 2021), seed=1),
        flicker=steady_flicker(range(2001, 2019), 0.1),
    )
    hindcast = Outcome("hindcast", "backward", 1960, random_tally([1959, 1958, 1957]))
    return EvaluationReport(
        (forecast, hindcast),
        HILDA,
        "U-Net of width 16",
        CAVEATS,
        inputs=INPUTS,
        observed_flicker=steady_flicker(range(1995, 2008), 0.25),
        product_flicker=steady_flicker(range(2015, 2099), 0.2),
        product="f" * 64,
    )


@pytest.fixture
def written(report, tmp_path):
    """The report as its JSON file has it."""
    path, _, _ = report.write(tmp_path)
    return json.loads(Path(path).read_text())


def test_json_names_model_caveats_and_inputs(written):
    assert written["caveats"] == list(CAVEATS)
    assert written["inputs"] == {"luh2": ["years 1850-1860 (11) hold 1861", "turned"]}
    assert written["model"] == "U-Net of width 16"


def test_json_holds_first_year_mean_and_every_year(report, written):
    forecast, hindcast = written["tests"]
    assert (forecast["first_year"], hindcast["first_year"]) == (2001, 1959)
    assert forecast["mean_years"] == list(range(2001, 2016)), "15 of the 20 years"
    assert hindcast["mean_years"] == [1959, 1958, 1957], (
        "all where there are fewer, in the direction of travel"
    )
    assert [e["lead"] for e in hindcast["by_lead_year"]] == [1, 2, 3]
    assert [e["year"] for e in forecast["by_lead_year"]] == list(range(2001, 2021))

    years = report.outcomes[0].tally.years
    model = forecast["rows"]["model"]
    null = forecast["rows"]["persistence"]
    first = score(years[2001], water=HILDA_WATER)
    first_of_null = score(persistence(years[2001]), water=HILDA_WATER)
    assert model["first_year"]["figure_of_merit"] == first.figure_of_merit
    assert null["first_year"]["accuracy"] == first_of_null.accuracy
    mean = np.mean([score(years[y], water=HILDA_WATER).macro_f1 for y in range(2001, 2016)])
    assert model["mean"]["macro_f1"] == pytest.approx(mean)
    assert null["mean"]["brier"] is None, "nan is null"


def test_json_has_scores_against_deflickered_maps(written):
    forecast, hindcast = written["tests"]
    assert forecast["deflickered"]["rows"]["model"]["mean"] != forecast["rows"]["model"]["mean"]
    assert hindcast["deflickered"] is None


def test_json_says_how_much_of_the_gain_is_noise(written):
    forecast, hindcast = written["tests"]

    def gain(entry, period):
        rows = entry["rows"]
        return rows["model"][period]["accuracy"] - rows["persistence"][period]["accuracy"]

    for period in ("first_year", "mean"):
        found = forecast["gain_from_noise"][period]
        expected = gain(forecast, period) - gain(forecast["deflickered"], period)
        assert found == pytest.approx(expected)
        assert found != 0
    assert hindcast["gain_from_noise"] is None


def test_json_compares_with_persistence_by_year_and_mean(report, written):
    forecast = written["tests"][0]
    for truth, entry in (("raw", forecast), ("deflickered", forecast["deflickered"])):
        compared = report.skills["forecast", truth].against_persistence
        found = entry["against_persistence"]
        assert (found["blocks"], found["block_cells"]) == (36, 5)
        gain = compared.mean.accuracy_gain
        assert found["mean"]["accuracy_gain"] == {**gain._asdict(), "verdict": gain.verdict}
        assert found["first_year"] == entry["by_lead_year"][0]["against_persistence"]
        merit = compared.by_year[7].figure_of_merit
        assert entry["by_lead_year"][7]["against_persistence"]["figure_of_merit"] == {
            **merit._asdict(),
            "verdict": merit.verdict,
        }
    rows = forecast["rows"]
    difference = rows["model"]["mean"]["accuracy"] - rows["persistence"]["mean"]["accuracy"]
    mean = forecast["against_persistence"]["mean"]["accuracy_gain"]
    assert mean["estimate"] == pytest.approx(difference), "of the 15 years of the mean"
    assert mean["low"] < difference < mean["high"]
    assert mean["verdict"] == "better", "half of the change is foreseen, and nothing else predicted"


def test_a_tally_without_blocks_is_not_compared(tmp_path):
    tally = random_tally([2001])
    alone = Tally({2001: replace(tally.years[2001], by_block=BlockSums())})
    report = EvaluationReport((Outcome("a", "forward", 2000, alone),), HILDA, "m")
    path, _, _ = report.write(tmp_path)
    [test] = json.loads(Path(path).read_text())["tests"]
    assert test["against_persistence"] is None
    assert "against_persistence" not in test["by_lead_year"][0]


def test_json_has_flicker_of_tests_and_product(written):
    forecast, hindcast = written["tests"]
    assert forecast["flicker"] == [
        {
            "years": [2001, 2007],
            "predicted": pytest.approx(0.1),
            "observed": pytest.approx(0.25),
            "observed_years": [2001, 2007],
        },
        {
            "years": [2010, 2018],
            "predicted": pytest.approx(0.1),
            "observed": pytest.approx(0.25),
            "observed_years": [1995, 2007],
        },
    ]
    assert hindcast["flicker"] == []
    assert written["product"]["fingerprint"] == "f" * 64
    decades = written["product"]["flicker"]
    assert [decade["years"][0] for decade in decades] == [2015, *range(2020, 2100, 10)]


def test_json_has_gains_and_losses_by_class(written):
    last = written["tests"][0]["change_by_class"][-1]
    gains = last["observed_gain_m2"]
    assert sum(gains.values()) == sum(last["observed_loss_m2"].values()) > 0
    assert list(gains) == [c.name for c in HILDA.classes]


def test_csv_has_a_line_a_score(report, tmp_path):
    _, path, _ = report.write(tmp_path)
    with Path(path).open(newline="") as file:
        lines = list(csv.DictReader(file))
    scores = [line for line in lines if line["accuracy"]]
    n_rows = 3  # model, persistence, random place: no map before the start is known
    assert len(scores) == 2 * (20 + 1) * n_rows + (3 + 1) * n_rows
    assert len(lines) == len(scores) + 2 + 9, "and a line for each decade of flicker"
    assert {line["caveats"] for line in lines} == {"; ".join(CAVEATS)}
    keys = ("test", "truth", "row", "period")
    first_of_hindcast = ("hindcast", "raw", "model", "first year")
    (line,) = [x for x in lines if tuple(x[key] for key in keys) == first_of_hindcast]
    expected = score(report.outcomes[1].tally.years[1959], water=HILDA_WATER)
    assert (line["year"], line["lead"]) == ("1959", "1")
    assert float(line["change_mean_iou"]) == expected.change_mean_iou
    assert {x["brier"] for x in lines if x["row"] == "persistence"} == {""}
    assert {x["period"] for x in scores if x["year"] == ""} == {
        "mean of 15 years",
        "mean of 3 years",
    }


def test_csv_has_intervals_beside_the_model_and_flicker_by_decade(report, tmp_path):
    _, path, _ = report.write(tmp_path)
    with Path(path).open(newline="") as file:
        lines = list(csv.DictReader(file))
    compared = report.skills["forecast", "raw"].against_persistence
    found = [x for x in lines if (x["test"], x["truth"], x["row"]) == ("forecast", "raw", "model")]
    for line, comparison in zip(found, [compared.mean, *compared.by_year], strict=True):
        gain = comparison.accuracy_gain
        assert float(line["accuracy_gain"]) == gain.estimate
        assert float(line["accuracy_gain_low"]) == gain.low
        assert float(line["accuracy_gain_high"]) == gain.high
        assert line["accuracy_gain_verdict"] == gain.verdict
        assert float(line["figure_of_merit_low"]) == comparison.figure_of_merit.low
        assert float(line["figure_of_merit_high"]) == comparison.figure_of_merit.high
        assert float(line["mean_iou_gain_low"]) == comparison.mean_iou_gain.low
        assert line["macro_f1_gain_verdict"] == comparison.macro_f1_gain.verdict
        assert float(line["change_weighted_f1_high"]) == comparison.change_weighted_f1.high
    assert {x["accuracy_gain_low"] for x in lines if x["row"] == "persistence"} == {""}

    decades = [x for x in lines if x["flicker"]]
    named = [(x["test"], x["row"], x["period"]) for x in decades]
    assert named[:3] == [
        ("forecast", "model", "2001-2007"),
        ("forecast", "model", "2010-2018"),
        ("", "product", "2015-2019"),
    ]
    assert float(decades[2]["flicker"]) == pytest.approx(0.2)
    assert float(decades[2]["observed_flicker"]) == pytest.approx(0.25)


def test_a_second_report_replaces_the_first(report, tmp_path):
    for name in report.write(tmp_path / "report"):
        Path(name).write_text("rubbish of an earlier run")
    paths = report.write(tmp_path / "report")
    files = sorted(p.name for p in (tmp_path / "report").iterdir())
    assert files == ["metrics.csv", "metrics.json", "metrics.parquet"], "no temporary file is left"
    assert json.loads(Path(paths[0]).read_text()) == json.loads(json.dumps(report.to_dict()))


def test_a_test_is_named_once():
    outcome = Outcome("a", "forward", 2000, random_tally([2001]))
    with pytest.raises(ValueError, match="each name once"):
        EvaluationReport((outcome, outcome), HILDA, "m")


def test_years_left_out_are_named_and_not_averaged(tmp_path):
    scored = [year for year in range(2001, 2021) if year not in (2015, 2016)]
    outcome = Outcome("forecast", "forward", 2000, random_tally(scored), left_out=(2015, 2016))
    report = EvaluationReport((outcome,), HILDA, "m")
    assert report.skills["forecast", "raw"].mean_years == (*range(2001, 2015), 2017)
    path, _, _ = report.write(tmp_path)
    (test,) = json.loads(Path(path).read_text())["tests"]
    assert test["left_out"] == [2015, 2016]
    assert {2015, 2016}.isdisjoint(
        {
            *test["mean_years"],
            *(e["year"] for e in test["by_lead_year"]),
            *(e["year"] for e in test["change_by_class"]),
        }
    )


def test_without_years_left_out_none_are_mentioned(report):
    assert not any("left_out" in test for test in report.to_dict()["tests"])
