"""The page itself: what a template is filled with, in the order in which a reader wants it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np

from luray.core.grid import Grid
from luray.core.legend import Legend
from luray.core.types import F64
from luray.viz.page import charts, maps, words
from luray.viz.page.maps import MapPicture, TestMaps
from luray.viz.page.template import fill_template

SCORES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
    "mean_iou": "mean IoU",
}
"""The four scores of the reference table, by their names in the metrics."""

MOST_BLOCK_MERIT = 0.5
"""Figure of Merit of a block that has the last colour of the map."""

MOST_TRANSITIONS = 10
"""Changes from class to class that the page has a row for; metrics.parquet has all."""


@dataclass(frozen=True)
class Demand:
    """Change of the area of groups of classes in the coarse forcing of a scenario."""

    years: tuple[int, ...]
    change_of_group_Y: Mapping[tuple[int, ...], F64]
    """Area of a group, by its codes, less that of the last observed year, km2."""


@dataclass(frozen=True)
class AreaSeries:
    """Areas of the classes of a product over its years, beside those of the coarse forcing."""

    years: tuple[int, ...]
    area_of_scenario_YK: Mapping[str, F64]
    """km2 by year and class, of each scenario; "" where there is none."""
    observed: tuple[int, int] | None
    demand_of_scenario: Mapping[str, Demand] = field(default_factory=dict)
    """Demand of the scenarios whose coarse forcing has shares of classes."""


@dataclass(frozen=True)
class Flows:
    """Areas that went from class to class between some years of a product."""

    years: tuple[int, ...]
    area_KK: tuple[F64, ...]
    """km2 from class (rows) to class (columns), between each year and the next."""


@dataclass(frozen=True)
class PageData:
    """Everything that a report shows."""

    title: str
    metrics: Mapping[str, Any]
    """Contents of metrics.json."""
    legend: Legend
    grid: Grid
    points: Mapping[str, str]
    """Operating point of each test, by its name."""
    areas: AreaSeries | None
    """None where the product is not finished."""
    flows: Mapping[str, Flows]
    """Flows of each scenario, "" where there is none; empty while the product is not finished."""
    maps: Mapping[str, TestMaps]
    """Maps of each test, by its name."""
    validations: Mapping[str, Mapping[str, Any]]
    """Contents of each model's validation.json, by direction."""
    made: str
    """The version of luray that made the report, and the time."""


def render(data: PageData) -> str:
    """Return the report as one HTML document.

    Parameters
    ----------
    data : PageData
        What it shows.

    Returns
    -------
    str
        The document. It loads nothing: styles, charts and maps are within.
    """
    metrics = data.metrics
    tests = [_test(data, test, number) for number, test in enumerate(metrics["tests"])]
    reliability = []
    for n, (direction, validation) in enumerate(data.validations.items()):
        title = f"{direction} model"
        reliability.append(charts.reliability_chart(validation, title, name=f"reliability-{n}"))
    classes = data.legend.classes
    return fill_template(
        "report.html.jinja",
        title=data.title,
        model=metrics["model"],
        caveats=metrics["caveats"],
        inputs=metrics["inputs"],
        made=data.made,
        tests=tests,
        areas=_area_charts(data),
        scenarios=len(data.areas.area_of_scenario_YK) > 1 if data.areas else False,
        demand_unknown=_scenarios_without_demand(data.areas),
        flows=_flow_charts(data),
        reliability=reliability,
        legend=[(c.name.replace("_", " "), c.colour) for c in classes],
        agreement=maps.AGREEMENT,
        unchanged=maps.UNCHANGED,
        most_block_merit=MOST_BLOCK_MERIT,
        dash=words.DASH,
        definitions=metrics["definitions"],
    )


def _test(data: PageData, test: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Values of one test for the template."""
    return {
        "heading": words.heading(test),
        "point": data.points.get(test["name"], ""),
        "findings": words.findings(test),
        "lead_years": words.lead_years(test),
        "gap_of_years": words.gap_of_years(test),
        "gap_of_scores": words.gap_of_scores(test),
        "noise": words.noise(test),
        "demand": words.demand(test),
        "left_out": test.get("left_out", []),
        "table": _reference_table(test, data.metrics["published_on_other_data"]),
        "zones": _zone_table(test),
        "classes": _class_table(test),
        "transitions": _transition_table(test),
        "transition_years": (test["start_year"], test["transitions"]["year"]),
        "charts": charts.skill_charts(test, f"skill-{number}"),
        "maps": _maps(data, test["name"]),
        "blocks": _block_map(data, test),
    }


def _reference_table(test: Mapping[str, Any], published: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of the reference table: each period of model, persistence and the published model."""
    rows = []
    periods = {"first_year": f"first year ({test['first_year']})"}
    if len(test["mean_years"]) > 1:
        periods["mean"] = f"mean of {len(test['mean_years'])} years"
    for period, label in periods.items():
        scores_of_row = {name: row[period] for name, row in test["rows"].items()}
        if period in published:
            scores_of_row["published, on other data"] = published[period]
        for name, scores in scores_of_row.items():
            overall = [_score(scores[key]) for key in SCORES]
            of_change = [_score(scores[f"change_{key}"]) for key in SCORES]
            rows.append({"period": label, "name": name, "scores": [*overall, *of_change]})
            label = ""  # it stands at the first of them
        if test["against_persistence"]:
            gains = _gains(test["against_persistence"][period])
            name = "model minus persistence, 95 %"
            rows.append({"period": "", "name": name, "scores": gains, "ranges": True})
    return rows


def _gains(comparison: Mapping[str, Any]) -> list[str]:
    """Intervals of what each score of the reference table gains on persistence."""
    overall = [_range(comparison[f"{key}_gain"]) for key in SCORES]
    of_change = [_range(comparison[f"change_{key}"]) for key in SCORES]
    return [*overall, *of_change]


def _zone_table(test: Mapping[str, Any]) -> list[list[str]]:
    """Rows of the table by zone, means over the years; zones without land are left out."""
    rows = []
    for zone, scores_of_row in test["by_zone"].items():
        model = scores_of_row["model"]
        if model["accuracy"] is not None:
            rows.append(
                [
                    zone.replace("_", " "),
                    _score(model["accuracy"]),
                    _score(scores_of_row["persistence"]["accuracy"]),
                    _score(model["figure_of_merit"]),
                    _score(model["change_ratio"], digits=2),
                    _score(model["observed_change"]),
                ]
            )
    return rows


def _class_table(test: Mapping[str, Any]) -> list[list[str]]:
    """Rows of the table by class, means over the years; classes without scores are left out."""
    rows = []
    for name, scores_of_row in test["by_class"].items():
        model = scores_of_row["model"]
        if model["f1"] is not None:
            rows.append(
                [
                    name.replace("_", " "),
                    _score(model["f1"]),
                    _score(scores_of_row["persistence"]["f1"]),
                    _range(scores_of_row.get("against_persistence", {}).get("f1_gain")),
                    _score(model["iou"]),
                    _score(model["change_f1"]),
                    _score(model["figure_of_merit"]),
                    _score(model["change_ratio"], digits=2),
                    _score(model["observed_change"]),
                ]
            )
    return rows


def _transition_table(test: Mapping[str, Any]) -> list[list[str]]:
    """Rows of the largest observed changes from class to class, km2."""
    rows = []
    for change in test["transitions"]["changes"][:MOST_TRANSITIONS]:
        if change["observed_m2"]:
            areas = (change["observed_m2"], change["predicted_m2"], change["hits_m2"])
            rows.append(
                [
                    f"{change['from']} to {change['to']}".replace("_", " "),
                    *(f"{area / 1e6:,.0f}" for area in areas),
                    _score(change["figure_of_merit"], digits=3),
                ]
            )
    return rows


def _score(value: float | None, *, digits: int = 4) -> str:
    return words.DASH if value is None else f"{value:.{digits}f}"


def _range(interval: Mapping[str, Any] | None) -> str:
    """The ends of an interval of a difference, a dash where there is none."""
    if interval is None or interval["low"] is None:
        return words.DASH
    # Where a cell is narrow its line breaks before the second number alone.
    ends = f"{interval['low']:+.3f}\N{NO-BREAK SPACE}to {interval['high']:+.3f}"
    return ends.replace("-", "\N{MINUS SIGN}")


def _maps(data: PageData, name: str) -> list[tuple[str, MapPicture]]:
    """Captions and pictures of one test, none where its maps are not there."""
    if name not in data.maps:
        return []
    shown = data.maps[name]
    return [
        (f"observed, {shown.year}", maps.classes(shown.truth_HW, data.legend, data.grid)),
        (f"predicted, {shown.year}", maps.classes(shown.predicted_HW, data.legend, data.grid)),
        ("change, where it is right and wrong", maps.agreement(shown, data.grid)),
    ]


def _block_map(data: PageData, test: Mapping[str, Any]) -> MapPicture | None:
    """Map of the Figure of Merit by block, None where there are no blocks."""
    by_block = test.get("by_block")
    if not by_block or not by_block["places"]:
        return None
    merits_N = np.array([np.nan if x is None else x for x in by_block["figure_of_merit"]])
    places_N2 = np.array(by_block["places"], np.int64)
    return maps.blocks(by_block["side"], places_N2, merits_N, data.grid, most=MOST_BLOCK_MERIT)


def _area_charts(data: PageData) -> list[str]:
    """A chart for each class, or for the classes that the coarse forcing has as one."""
    areas = data.areas
    if areas is None:
        return []
    codes = [land_class.code for land_class in data.legend.classes]
    drawn = []
    for n, group in enumerate(_groups(areas, codes)):
        members = [codes.index(code) for code in group]
        area_of_line = {
            scenario: area_YK[:, members].sum(axis=1)
            for scenario, area_YK in areas.area_of_scenario_YK.items()
        }
        if not any(area_Y.any() for area_Y in area_of_line.values()):
            continue
        names = [data.legend.classes[k].name.replace("_", " ") for k in members]
        drawn.append(
            charts.area_chart(
                " and ".join(names),
                areas.years,
                area_of_line,
                data.legend.classes[members[0]].colour,
                demand_of_line=_demanded_areas(areas, group, area_of_line),
                observed=areas.observed,
                name=f"area-{n}",
            )
        )
    return drawn


def _groups(areas: AreaSeries, codes: Sequence[int]) -> list[tuple[int, ...]]:
    """Groups of codes that have a chart, in the order of the legend: those of the forcing first."""
    groups: dict[tuple[int, ...], None] = {}  # in order, each once
    for demand in areas.demand_of_scenario.values():
        groups.update(dict.fromkeys(demand.change_of_group_Y))

    # A class that no forcing demands is a group of its own.
    grouped_codes = set(chain.from_iterable(groups))
    for code in codes:
        if code not in grouped_codes:
            groups[code,] = None
    return sorted(groups, key=lambda group: codes.index(group[0]))


def _demanded_areas(
    areas: AreaSeries, group: tuple[int, ...], area_of_line: Mapping[str, F64]
) -> dict[str, tuple[tuple[int, ...], F64]]:
    """Years and area of a group had it changed as the forcing of each scenario does."""
    demanded = {}
    if areas.observed is not None:
        last_observed = areas.years.index(areas.observed[1])
        for scenario, demand in areas.demand_of_scenario.items():
            if group in demand.change_of_group_Y:
                observed_area = area_of_line[scenario][last_observed]
                area_Y = observed_area + demand.change_of_group_Y[group]
                demanded[scenario] = (demand.years, area_Y)
    return demanded


def _scenarios_without_demand(areas: AreaSeries | None) -> list[str]:
    """Names of scenarios of which the coarse demand cannot be told, where it is of others."""
    if areas is None or not areas.demand_of_scenario:
        return []
    return [name for name in areas.area_of_scenario_YK if name not in areas.demand_of_scenario]


def _flow_charts(data: PageData) -> list[tuple[str, str]]:
    """Name and Sankey diagram of each scenario."""
    labels: Sequence[str] = [c.name.replace("_", " ") for c in data.legend.classes]
    colours = [land_class.colour for land_class in data.legend.classes]
    drawn = []
    for n, (scenario, flows) in enumerate(data.flows.items()):
        chart = charts.flow_chart(flows.years, flows.area_KK, labels, colours, name=f"flows-{n}")
        drawn.append((scenario, chart))
    return drawn
