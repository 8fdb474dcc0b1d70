"""The HTML report on values says what the metrics say, and needs nothing but itself."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from luray.core.grid import Grid
from luray.core.legend import OUTSIDE, rgb
from luray.evaluation.value_report import ValueReport
from luray.viz.gallery import _pictures_of_skill
from luray.viz.page import maps
from luray.viz.page.value_page import ValuePageData, render_values
from luray.viz.value_skill_plots import value_skill, value_validation
from tests.evaluation.value_cases import LAI, MONTHS, value_outcome
from tests.viz.test_report_page import Links

GRID = Grid(north=40, west=20, step=0.5, n_lat=30, n_lon=40)


def metrics(**changed):
    outcome = value_outcome("forecast", **{"years": 2, "zones": ("zone 1", "zone 2"), **changed})
    report = ValueReport(
        (outcome,),
        LAI,
        outcome.nulls.time,
        "a model of a test",
        ("caveat <one>",),
        inputs={"lai": ("codes 249-255 read as no retrieval",)},
    )
    return json.loads(json.dumps(report.to_dict()))


def shown_maps(label="2005-12"):
    random = np.random.default_rng(0)
    truth = random.integers(0, len(LAI), GRID.shape).astype(np.uint8)
    predicted = np.clip(truth.astype(int) + 3, 0, len(LAI) - 1).astype(np.uint8)
    truth[4:8] = 254
    for levels in (truth, predicted):
        levels[:, :10] = OUTSIDE
    return maps.ValueTestMaps(label, truth, predicted)


VALIDATION = {
    "direction": "forward",
    "caveats": ["caveat <one>"],
    "held_out": "years",
    "years": ["2002-01", "2003-12"],
    "cells": 1000,
    "units": LAI.scale.units,
    "class_climatology": {"classes": "land_use", "rmse": 0.345},
    "points": {
        "cautious": {
            "rmse": 0.123,
            "persistence_rmse": 0.456,
            "r2": 0.789,
            "within_1_spread": 0.67,
            "within_2_spreads": 0.94,
            "coverage": [
                {"spreads": s, "within": w} for s, w in ((0.5, 0.4), (1, 0.67), (2, 0.94))
            ],
        }
    },
}


def page_of(given):
    return render_values(
        ValuePageData(
            title="A run & more",
            metrics=given,
            legend=LAI,
            grid=GRID,
            maps={"forecast": shown_maps()},
            validations={"forward": VALIDATION},
            point="cautious",
            made="Made by a test.",
        )
    )


def text_of(page):
    found = Links()
    found.feed(page)
    return " ".join(" ".join(found.text).split())


def test_a_page_loads_nothing_and_has_each_id_once():
    page = page_of(metrics())
    found = Links()
    found.feed(page)
    assert all(link.startswith(("data:", "#")) for link in found.loaded), found.loaded[:3]
    assert "@import" not in page
    assert "<script" not in page
    assert len(set(found.ids)) == len(found.ids)
    used = {link[1:] for link in found.loaded if link.startswith("#")}
    used |= set(re.findall(r"url\(#([^)]+)\)", page))
    assert used <= set(found.ids), "a chart refers to its own parts"


def test_a_page_says_what_the_metrics_say():
    given = metrics()
    [test] = given["tests"]
    text = text_of(page_of(given))
    assert "Better than all null models" in text
    assert f"RMSE by lead year, {LAI.scale.units}" in text
    for row, scores in test["overall"]["rows"].items():
        for name in ("rmse", "mae", "r2"):
            assert f"{scores[name]:.3f}".replace("-", "−") in text, (row, name)
    for sentence in test["finding"]["sentences"]:
        assert sentence in text
    assert f"{test['spread']['within_one']:.1%}".replace("%", " %") in text
    assert "caveat <one>" in text
    assert (
        "errs by 0.123 m2 m-2 (root mean square), persistence by 0.456, the climatology of the class by 0.345; R² 0.789"
        in text
    )
    assert "67.0 % of the observed values" in text
    assert "codes 249-255 read as no retrieval" in text
    assert "zone 2" in text
    assert "forecast: 2004-01 to 2005-12 from the map of 2003-12" in text


def test_what_is_for_classes_is_left_out():
    text = text_of(page_of(metrics()))
    for word in ("accuracy", "Figure of Merit", "By class", "What became of the land", "confusion"):
        assert word not in text


def test_a_year_has_no_table_of_months_and_dekads_have_a_chart():
    yearly = text_of(page_of(metrics(time="year", years=3)))
    assert "RMSE by month" not in yearly
    assert "seasonal" not in yearly.split("What to keep in mind")[0]
    dekads = text_of(page_of(metrics(time="dekad", years=1)))
    assert "RMSE by dekad of the year" in dekads


@pytest.mark.parametrize(
    ("error", "spread", "judgement"),
    [(6.0, 6, "about right"), (6.0, 2, "too small"), (2.0, 9, "too large")],
)
def test_the_spread_is_judged(error, spread, judgement):
    assert f"spread of the model is {judgement}" in text_of(
        page_of(metrics(error=error, spread=spread))
    )


def colours_of(picture):
    data = base64.b64decode(picture.url.partition(",")[2])
    image = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    return {tuple(colour) for colour in image.reshape(-1, 3).tolist()}


def test_pictures_have_the_colours_of_values_gaps_and_sea():
    shown = shown_maps()
    of_truth = colours_of(maps.values(shown.truth_HW, LAI, GRID))
    assert rgb(maps.WITHOUT_VALUE) in of_truth
    assert rgb(maps.WATER) in of_truth
    levels = np.unique(shown.truth_HW[shown.truth_HW < len(LAI)])
    assert sum(rgb(LAI.classes[level].colour) in of_truth for level in levels) > 0.9 * len(levels)
    assert rgb(maps.WITHOUT_VALUE) not in colours_of(maps.values(shown.predicted_HW, LAI, GRID))


def test_errors_are_orange_where_too_high_and_white_where_right():
    shown = shown_maps()
    assert maps.largest_error(shown, len(LAI)) == 3
    of_errors = colours_of(maps.errors(shown, len(LAI), GRID, most=3))
    darkest_orange = (127, 59, 8)
    assert darkest_orange in of_errors
    assert rgb(maps.WITHOUT_VALUE) in of_errors
    right = maps.ValueTestMaps("x", shown.predicted_HW, shown.predicted_HW)
    assert maps.largest_error(right, len(LAI)) == 1
    assert darkest_orange not in colours_of(maps.errors(right, len(LAI), GRID, most=3))


def test_a_map_without_values_has_a_page():
    nothing = np.full(GRID.shape, 254, np.uint8)
    shown = maps.ValueTestMaps("x", nothing, nothing)
    assert maps.largest_error(shown, len(LAI)) == 1
    assert rgb(maps.WITHOUT_VALUE) in colours_of(maps.errors(shown, len(LAI), GRID, most=1))


def test_metrics_hold_months_by_their_name():
    [test] = metrics(time="month", years=1)["tests"]
    assert [entry["label"] for entry in test["by_step_of_year"]][:2] == ["01", "02"]
    assert test["by_step"][0]["step"] == MONTHS.label(MONTHS.step(2004, 0))


def size_of(file):
    """Width and height of a picture."""
    with Image.open(file) as picture:
        return picture.size


def test_pictures_of_skill_and_validation_are_drawn(tmp_path):
    yearly = metrics(time="year", years=3)
    heights = []
    for name, given in (("months", metrics()), ("years", yearly)):
        file = tmp_path / f"{name}.png"
        value_skill(given, file)
        heights.append(size_of(file)[1])
    assert heights[0] > 1.5 * heights[1], "months have a panel of their own"
    value_validation(VALIDATION, tmp_path / "validation.png")
    assert size_of(tmp_path / "validation.png")[0] == round(5.6 * 150)


def test_the_gallery_draws_values_and_no_flicker(tmp_path):
    (tmp_path / "metrics.json").write_text(json.dumps(metrics()))
    (tmp_path / "validation.json").write_text(json.dumps(VALIDATION))
    places = {"forward": str(tmp_path / "validation.json")}
    drawn = dict(_pictures_of_skill(str(tmp_path / "metrics.json"), places))
    assert list(drawn) == ["skill.png", "validation_forward.png"]
    for name, draw in drawn.items():
        draw(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 10_000
