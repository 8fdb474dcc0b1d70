"""The report of an evaluation on screen."""

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from luray.cli.score_tables import render_report
from luray.core.legend_files import HILDA
from luray.evaluation.aggregation import Tally
from luray.evaluation.report import EvaluationReport
from luray.evaluation.skill import Outcome
from luray.evaluation.statistics import Statistics, tile_statistics
from tests.evaluation.cases import HILDA_WATER, random_tally, steady_flicker

CAVEATS = ("forcing: aggregated target, an upper bound", "population left out")


def rendered(report, *, width=100):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(render_report(report))
    return console.export_text()


def cells(text, name):
    """Cells of the first row that begins with a name."""
    return re.search(rf"^{name} +(.*)$", text, re.MULTILINE).group(1).split()


@pytest.fixture(scope="module")
def report():
    years = range(2001, 2021)
    forecast = Outcome(
        "forecast",
        "forward",
        2000,
        random_tally(years),
        random_tally(years, seed=1),
        flicker=steady_flicker(range(2001, 2019), 0.1),
    )
    hindcast = Outcome("hindcast", "backward", 1960, random_tally([1959, 1958, 1957]))
    return EvaluationReport(
        (forecast, hindcast),
        HILDA,
        "U-Net of width 16",
        CAVEATS,
        observed_flicker=steady_flicker(range(1995, 2008), 0.25),
        product_flicker=steady_flicker(range(2015, 2031), 0.5),
    )


def test_the_screen_fits_80_columns(report):
    text = rendered(report, width=80)
    assert "…" not in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80


def test_headings_name_test_period_and_truth(report):
    text = rendered(report, width=80)
    for expected in (
        "forecast: forward from 2000, first year (2001)",
        "mean of 15 years (2001-2015)",
        "hindcast: backward from 1960, mean of 3 years (1959-1957)",
        "against de-flickered truth",
        "published",
        *CAVEATS,
    ):
        assert expected in text


def test_scores_published_of_land_use_stand_beside_no_other_target(report):
    other = replace(report, legend=replace(HILDA, name="other", variable="land_cover"))
    assert "published reference" in rendered(report)
    assert "published reference" not in rendered(other)
    assert other.to_dict()["published_on_other_data"] == {}
    assert report.to_dict()["published_on_other_data"]["mean"]["accuracy"] == 0.8270


def test_rows_hold_model_null_model_and_published_scores(report):
    text = rendered(report, width=80)
    skill = report.skills["forecast", "raw"]
    model = skill.first("model")
    null = skill.first("persistence")
    row = cells(text, "model")
    assert row[0] == f"{model.accuracy:.4f}"
    assert row[7:] == [
        f"{model.change_mean_iou:.4f}",
        f"{model.figure_of_merit:.4f}",
        f"{model.change_ratio:.2f}",
    ]
    overall = (null.accuracy, null.macro_f1, null.weighted_f1, null.mean_iou)
    assert cells(text, "persistence") == [*(f"{v:.4f}" for v in overall), *["0.0000"] * 5, "0.00"]
    assert cells(text, "published") == [
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


def test_intervals_are_shown_for_both_truths(report):
    text = rendered(report, width=80)
    assert "forecast: forward from 2000, accuracy minus persistence" in text
    assert "95% intervals from 36 blocks of 5 x 5 cells" in text
    for truth, name in (("raw", "raw"), ("deflickered", "de-flickered")):
        mean = report.skills["forecast", truth].against_persistence.mean
        gain = mean.accuracy_gain
        assert cells(text, f"{name}, mean") == [
            *(f"{value:+.4f}" for value in gain),
            *gain.verdict.split(),
            *(f"{value:.4f}" for value in mean.figure_of_merit),
        ]
        assert cells(text, f"{name}, 2001")
    noise = report.gain_from_noise(report.outcomes[0])
    assert cells(text, "from noise, 2001") == [f"{noise['first_year']:+.4f}"]
    assert cells(text, "from noise, mean") == [f"{noise['mean']:+.4f}"]


def test_each_lead_year_has_interval_pace_and_width(report):
    text = rendered(report, width=80).split("significance and texture by lead year")[1]
    row = cells(text, "2004")
    skill = report.skills["forecast", "raw"]
    gain = skill.against_persistence.by_year[3].accuracy_gain
    scores = skill.by_year["model"][3]
    assert row == [
        "4",
        f"{gain.low:+.4f}",
        f"{gain.high:+.4f}",
        *gain.verdict.split(),
        f"{scores.predicted_change_per_year:.2%}",
        f"{scores.observed_change_per_year:.2%}",
        f"{scores.predicted_patch_width:.2f}",
        f"{scores.observed_patch_width:.2f}",
    ]


def test_flicker_is_shown_by_decade(report):
    text = rendered(report, width=80)
    of_test, of_product = text.split("changes undone within 3 years")[1:]
    assert cells(of_test, "2001-2007") == ["10.0%", "25.0%", "2001-2007"]
    assert cells(of_test, "2010-2018") == ["10.0%", "25.0%", "1995-2007"]
    assert cells(of_product, "2020-2029") == ["50.0%", "25.0%", "1995-2007"]
    assert cells(of_product, "2030") == ["50.0%", "25.0%", "1995-2007"]


def test_zones_with_land_and_the_largest_changes_are_shown():
    """Zone 1 has half of the cells; 5 km2 of cropland became forest, of which 3 were foreseen."""
    table_JTP = np.zeros((7, 7, 7))
    cropland, forest = HILDA.index(22), HILDA.index(44)
    table_JTP[cropland, cropland, cropland] = 10e6
    table_JTP[cropland, forest, forest] = 3e6
    table_JTP[cropland, forest, cropland] = 2e6
    statistics = replace(
        Statistics.zeros(7),
        table=table_JTP,
        by_zone=np.stack([table_JTP / 2, np.zeros_like(table_JTP)]),
    )
    outcome = Outcome(
        "forecast", "forward", 2000, Tally({2001: statistics}), zones=("climate 1", "climate 2")
    )
    text = rendered(EvaluationReport((outcome,), HILDA, "a model"), width=80)
    assert cells(text, "climate 1") == ["0.8667", "0.6667", "0.6000", "0.60", "33.33%"]
    assert "climate 2" not in text
    assert cells(text, "cropland to forest") == ["5", "3", "3", "0.600"]
    # Of 12 km2 predicted as cropland 10 are; of 5 km2 of forest 3 are found, and nothing else.
    assert cells(text, "cropland")[:3] == ["0.9091", "0.8000", "0.8333"]
    assert cells(text, "forest") == [
        "0.7500", "0.0000", "0.6000", "0.7500", "0.6000", "20.00%", "33.33%", "0.60",
    ]  # fmt: skip
    assert "\nurban" not in text.split("by class, mean")[1].split("largest changes")[0]


def test_a_score_of_no_change_is_a_dash():
    still = np.zeros((5, 5), np.uint8)
    statistics = tile_statistics(
        still, still, still, cell_area=np.ones(5), n_classes=7, water=HILDA_WATER
    )
    outcome = Outcome("still", "forward", 2000, Tally({2001: statistics}))
    text = rendered(EvaluationReport((outcome,), HILDA, "m"))
    assert re.search(r"^model +1\.0000 1\.0000 1\.0000 1\.0000( +-){6}", text, re.MULTILINE)


def test_years_left_out_are_named():
    scored = [year for year in range(2001, 2021) if year not in (2015, 2016)]
    outcome = Outcome("forecast", "forward", 2000, random_tally(scored), left_out=(2015, 2016))
    text = rendered(EvaluationReport((outcome,), HILDA, "m"))
    assert "mean of 15 years (2001-2017 without 2015, 2016)" in text
