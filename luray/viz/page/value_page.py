"""The page of a run of values: what its template is filled with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

from luray.core.grid import Grid
from luray.core.legend import Legend
from luray.evaluation.value_skill import IN_WORDS
from luray.viz.page import maps, value_charts, words
from luray.viz.page.maps import MapPicture, ValueTestMaps
from luray.viz.page.template import fill_template
from luray.viz.value_skill_plots import SEASONS

SCORES = {
    "bias": "bias",
    "rmse": "RMSE",
    "mae": "MAE",
    "r2": "R²",
    "anomaly_correlation": "anomaly correlation",
}
"""Scores of the table of a test, by their names in the metrics."""

MOST_SEASONS = 12
"""Steps of a year up to which the page has a table of them; metrics.csv has all."""


@dataclass(frozen=True)
class ValuePageData:
    """Everything that a report on values shows."""

    title: str
    metrics: Mapping[str, Any]
    """Contents of metrics.json."""
    legend: Legend
    """With a scale."""
    grid: Grid
    maps: Mapping[str, ValueTestMaps]
    """Maps of each test, by its name."""
    validations: Mapping[str, Mapping[str, Any]]
    """Contents of each model's validation.json, by direction."""
    point: str
    """Operating point of the run."""
    made: str
    """The version of luray that made the report, and the time."""


def render_values(data: ValuePageData) -> str:
    """Return the report on a run of values as one HTML document, which loads nothing.

    Parameters
    ----------
    data : ValuePageData
        What it shows.
    """
    metrics = data.metrics
    scale = data.legend.scale
    assert scale is not None, "a page of values"
    tests = [_test(data, test, number) for number, test in enumerate(metrics["tests"])]
    return fill_template(
        "value_report.html.jinja",
        title=data.title,
        model=metrics["model"],
        caveats=metrics["caveats"],
        inputs=metrics["inputs"],
        made=data.made,
        tests=tests,
        validations=_validations(data),
        long_name=metrics["long_name"],
        units=metrics["units"],
        scores=list(SCORES.values()),
        season=SEASONS.get(metrics["time_step"], ""),
        value_ramp=maps.ramp(scale.colours),
        value_ends=(f"{scale.first:g}", f"{scale.last:g}"),
        error_ramp=maps.error_ramp(),
        without_value=maps.WITHOUT_VALUE,
        dash=words.DASH,
        definitions=metrics["definitions"],
    )


def _test(data: ValuePageData, test: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Values of one test for the template."""
    finding = test["finding"]
    span = test["first"] if test["first"] == test["last"] else f"{test['first']} to {test['last']}"
    return {
        "heading": f"{test['name']}: {span} from the map of {test['start']}",
        "verdict": finding["verdict"],
        "mark": words.MARKS[finding["verdict"]],
        "opening": finding["opening"],
        "sentences": finding["sentences"],
        "left_out": test["left_out"],
        "maps": _maps(data, test["name"]),
        "charts": _charts(data.metrics, test, number),
        "table": _score_table(test["overall"]),
        "rows": [IN_WORDS[row] for row in test["overall"]["rows"]],
        "lead_years": _lead_year_table(test),
        "seasons": _season_table(test),
        "zones": _zone_table(test),
        "spread": _spread_in_words(test["spread"], data.metrics["units"]),
    }


def _score_table(overall: Mapping[str, Any]) -> list[list[str]]:
    """Rows of the table of scores: the model, then each null model with the skill against it."""
    rows = []
    for row, scores in overall["rows"].items():
        cells = [_number(scores[name]) for name in SCORES]
        skill = overall["skill"].get(row)
        if skill is None:
            rows.append([IN_WORDS[row], *cells, "", ""])
            continue
        interval = words.DASH
        if skill["low"] is not None:
            interval = f"{_number(skill['low'])} to {_number(skill['high'])}"
        rows.append([IN_WORDS[row], *cells, _number(skill["estimate"]), interval])
    return rows


def _lead_year_table(test: Mapping[str, Any]) -> list[list[str]]:
    """Errors of all rows by lead year."""
    return [_errors(str(entry["lead_year"]), entry) for entry in test["by_lead_year"]]


def _season_table(test: Mapping[str, Any]) -> list[list[str]]:
    """Errors of all rows by step of the year; none where there is one a year, or a great many."""
    seasons = test["by_step_of_year"]
    if not 1 < len(seasons) <= MOST_SEASONS:
        return []
    return [_errors(entry["label"], entry) for entry in seasons]


def _zone_table(test: Mapping[str, Any]) -> list[list[str]]:
    """Errors of all rows in each zone with values."""
    rows = []
    for zone, entry in test["by_zone"].items():
        if entry["rows"]["model"]["rmse"] is not None:
            rows.append(_errors(zone.replace("_", " "), entry))
    return rows


def _errors(label: str, entry: Mapping[str, Any]) -> list[str]:
    """The root mean squared error of all rows, and the bias of the model."""
    errors = [_number(scores["rmse"]) for scores in entry["rows"].values()]
    return [label, *errors, _number(entry["rows"]["model"]["bias"])]


def _charts(metrics: Mapping[str, Any], test: Mapping[str, Any], number: int) -> list[str]:
    """Charts of one test."""
    units = metrics["units"]
    leads = test["by_lead_year"]
    charts = [
        value_charts.error_chart(
            leads,
            [entry["lead_year"] for entry in leads],
            title=f"RMSE by lead year, {units}",
            below=f"lead year, from {test['start']}",
            name=f"lead-{number}",
        )
    ]
    seasons = test["by_step_of_year"]
    if len(seasons) > 1:
        below = SEASONS[metrics["time_step"]]
        places = [entry["step_of_year"] + 1 for entry in seasons]
        charts.append(
            value_charts.error_chart(
                seasons,
                places,
                title=f"RMSE by {below}, {units}",
                below=below,
                name=f"season-{number}",
            )
        )
        charts.append(
            value_charts.bias_chart(
                seasons,
                places,
                title=f"Bias of the model by {below}, {units}",
                below=below,
                name=f"bias-{number}",
            )
        )
    if test["spread"] is not None:
        charts.append(value_charts.spread_chart(test["spread"], units, name=f"spread-{number}"))
    return charts


def _spread_in_words(spread: Mapping[str, Any] | None, units: str) -> str:
    """Say how far the spread can be trusted, "" where there is none."""
    if spread is None:
        return ""
    z = spread["mean_square_z"]
    judgement = "about right"
    if z > 1.25:
        judgement = "too small"
    elif z < 0.8:
        judgement = "too large"
    return (
        f"The spread of the model is {judgement}: {_percent(spread['within_one'])} of the observed "
        f"values lie within one spread of the prediction and {_percent(spread['within_two'])} "
        f"within two (68 % and 95 % of normal errors); the mean squared z-score is {z:.2f}, and "
        f"the mean spread {spread['mean_spread']:.3g} {units}."
    )


def _validations(data: ValuePageData) -> list[dict[str, str]]:
    """A sentence and a chart on each model, one step ahead on cells held out of training."""
    described = []
    for n, (direction, validation) in enumerate(data.validations.items()):
        scores = validation["points"][data.point]
        first, last = validation["years"]
        by_class = validation["class_climatology"]
        of_what = "the class" if by_class["classes"] else "all land"
        within_one = _percent(scores["within_1_spread"])
        within_two = _percent(scores["within_2_spreads"])
        errors = (
            f"The {direction} model errs by {_number(scores['rmse'])} {validation['units']} (root "
            f"mean square), persistence by {_number(scores['persistence_rmse'])}, the climatology "
            f"of {of_what} by {_number(by_class['rmse'])}; R² {_number(scores['r2'])}."
        )
        coverage = (
            f"{within_one} of the observed values lie within one spread and {within_two} within "
            f"two. Held-out {validation['held_out']}, {first} to {last}."
        )
        chart = value_charts.coverage_chart(
            validation, f"{direction} model", point=data.point, name=f"coverage-{n}"
        )
        described.append({"sentence": f"{errors} {coverage}", "chart": chart})
    return described


def _maps(data: ValuePageData, name: str) -> dict[str, Any] | None:
    """Captions and pictures of one test, None where its maps are not there."""
    if name not in data.maps:
        return None
    shown = data.maps[name]
    scale = data.legend.scale
    assert scale is not None, "a page of values"
    most = maps.largest_error(shown, scale.levels)
    pictures: Sequence[tuple[str, MapPicture]] = [
        (f"observed, {shown.label}", maps.values(shown.truth_HW, data.legend, data.grid)),
        (f"predicted, {shown.label}", maps.values(shown.predicted_HW, data.legend, data.grid)),
        (
            "error, predicted minus observed",
            maps.errors(shown, scale.levels, data.grid, most=most),
        ),
    ]
    return {"pictures": pictures, "largest_error": f"{most * scale.step:g}"}


def _number(value: float | None) -> str:
    if value is None or isnan(value):
        return words.DASH
    return f"{value:.3f}".replace("-", "\N{MINUS SIGN}")


def _percent(share: float) -> str:
    return f"{share:.1%}".replace("%", " %")
