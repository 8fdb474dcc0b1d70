"""The report of an evaluation of values on screen."""

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from luray.cli.score_tables import render_report
from luray.evaluation.value_report import ValueReport
from tests.evaluation.value_cases import LAI, MONTHS, value_outcome


def rendered(report, *, width=80):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(render_report(report))
    return console.export_text()


@pytest.fixture(scope="module")
def report():
    forecast = value_outcome("forecast", years=2, zones=("land cover 1", "land cover 2"))
    hindcast = value_outcome("hindcast", years=1, direction="backward", seed=3)
    return ValueReport(
        (forecast, hindcast),
        LAI,
        MONTHS,
        "U-Net of width 16",
        ("only a sandbox",),
        inputs={"lai": ("turned",)},
    )


def test_the_screen_fits_80_columns(report):
    text = rendered(report)
    assert "…" not in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80


def test_a_test_has_a_row_for_each_null_model(report):
    text = rendered(report, width=100)
    scores = report.skills["forecast"].overall.scores
    for name, row in (
        ("model", "model"),
        ("persistence", "persistence"),
        ("seasonal persistence", "seasonal_persistence"),
        ("climatology of the cell", "climatology"),
        ("climatology of the class", "class_climatology"),
    ):
        first = next(line for line in text.splitlines() if line.startswith(f"{name} "))
        numbers = first.removeprefix(name).split()
        of_row = scores[row]
        expected = [of_row.bias, of_row.rmse, of_row.mae, of_row.r2, of_row.anomaly_correlation]
        assert numbers[:5] == ["-" if np.isnan(value) else f"{value:.3f}" for value in expected]
    assert "RMSE in m2 m-2 by lead year" in text
    assert "hindcast: backward from 2003-01" in text


def test_the_verdict_and_the_caveats_are_said(report):
    text = rendered(report)
    assert "Better than all null models." in text
    assert "! only a sandbox" in text
    assert "lai: turned" in text


def test_months_and_classes_have_tables(report):
    lines = rendered(report).splitlines()
    assert any(line.startswith("12  ") for line in lines)
    assert any(line.startswith("land cover 2") for line in lines)


def test_values_of_a_year_have_no_table_of_months():
    yearly = value_outcome("forecast", years=3, time="year")
    report = ValueReport((yearly,), LAI, yearly.nulls.time, "a model")
    text = rendered(report)
    assert "by step of the year" not in text
    assert "seasonal" not in text
    assert "2004 to 2006" in text
    assert replace(report, caveats=("x",)).skills["forecast"].by_lead_year.keys() == {1, 2, 3}
