"""The report of an evaluation on screen."""

import io
import re

import numpy as np
import pytest
from rich.console import Console

from luray.cli.score_tables import render_report
from luray.core.legend import HILDA
from luray.evaluation.aggregation import Tally
from luray.evaluation.report import EvaluationReport
from luray.evaluation.skill import Outcome
from luray.evaluation.statistics import tile_statistics
from tests.evaluation.cases import HILDA_WATER, random_tally

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
        "forecast", "forward", 2000, random_tally(years), random_tally(years, seed=1)
    )
    hindcast = Outcome("hindcast", "backward", 1960, random_tally([1959, 1958, 1957]))
    return EvaluationReport((forecast, hindcast), HILDA, "U-Net of width 16", CAVEATS)


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
