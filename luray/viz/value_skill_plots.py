"""Charts of how good a model of values is: its errors beside null models, and its validation."""

from collections.abc import Mapping, Sequence
from math import erf, nan, sqrt
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from luray.viz.figure import (
    ACCENT,
    INK,
    MUTED,
    axes_at,
    footnote,
    new_figure,
    open_spines,
    save,
    text_at,
)
from luray.viz.skill_plots import POINT_COLOURS, Line, Panel, draw_panel

ROWS = {
    "model": ("model", ACCENT, "-"),
    "persistence": ("persistence", MUTED, "--"),
    "seasonal_persistence": ("seasonal persistence", POINT_COLOURS["unbiased"], "--"),
    "climatology": ("climatology of the cell", "#8a5aa8", ":"),
    "class_climatology": ("climatology of the class", "#3f9a6b", ":"),
    "land_climatology": ("climatology of all land", "#3f9a6b", ":"),
}
"""Name, colour and style of the line of each row of the metrics."""

SEASONS = {"month": "month", "dekad": "dekad of the year", "P8D": "8 days of the year"}
"""Names of the steps of a year, by the time step of the metrics."""

PANEL_WIDTH = 4.4
PANEL_HEIGHT = 2.2
ROW_HEIGHT = 3.0
"""Inches of a panel, and of a row of them."""


def error_panel(entries: Sequence[Mapping[str, Any]], title: str) -> Panel:
    """Return the panel of the root mean squared errors of the model and the null models.

    Parameters
    ----------
    entries : sequence of mapping
        Of the metrics, with `rows`: by lead year or by step of the year.
    title : str
        Of the panel.
    """
    lines = []
    for row in entries[0]["rows"]:
        name, colour, style = ROWS[row]
        errors = [entry["rows"][row]["rmse"] for entry in entries]
        lines.append(
            Line(name, [nan if error is None else error for error in errors], colour, style)
        )
    return Panel(title, lines)


def value_skill(metrics: Mapping[str, Any], path: str | Path) -> None:
    """Draw the errors of model and null models by lead year and by step of the year.

    Parameters
    ----------
    metrics : mapping
        `ValueReport.to_dict()`, or what metrics.json holds: one column a test.
    path : path
        Picture to write.
    """
    tests = metrics["tests"]
    units = metrics["units"]
    season = SEASONS.get(metrics["time_step"], "")
    n_rows = 2 if season else 1
    figure = new_figure(0.4 + PANEL_WIDTH * len(tests), 1.0 + ROW_HEIGHT * n_rows)
    for column, test in enumerate(tests):
        left = 0.75 + column * PANEL_WIDTH
        top = figure.get_figheight() - 0.9
        axes = axes_at(figure, left, top - PANEL_HEIGHT, PANEL_WIDTH - 0.85, PANEL_HEIGHT)
        entries = test["by_lead_year"]
        lead_years = [entry["lead_year"] for entry in entries]
        draw_panel(axes, error_panel(entries, f"RMSE by lead year, {units}"), lead_years)
        axes.set_xlabel(f"lead year, {test['direction']} from {test['start']}", fontsize=8)
        if season:
            bottom = top - PANEL_HEIGHT - ROW_HEIGHT
            axes = axes_at(figure, left, bottom, PANEL_WIDTH - 0.85, PANEL_HEIGHT)
            entries = test["by_step_of_year"]
            places = [entry["step_of_year"] + 1 for entry in entries]
            draw_panel(axes, error_panel(entries, f"RMSE by {season}, {units}"), places)
            axes.set_xlabel(season, fontsize=8)
        text_at(figure, left, figure.get_figheight() - 0.36, test["name"], size=12, weight="bold")
    footnote(figure, metrics["caveats"], left=0.75)
    save(figure, path)


def draw_coverage(axes: Axes, validation: Mapping[str, Any], *, point: str) -> None:
    """Draw the share of the truth within some spreads of the prediction, beside a normal one's.

    Parameters
    ----------
    axes : Axes
        Where it is drawn.
    validation : mapping
        What a model's validation.json holds.
    point : str
        Operating point.
    """
    coverage = validation["points"][point]["coverage"]
    spreads = [entry["spreads"] for entry in coverage]
    shares = [100 * entry["within"] for entry in coverage]
    of_normal = [100 * erf(distance / sqrt(2)) for distance in spreads]
    axes.plot(spreads, of_normal, ":", color=INK, linewidth=1, label="normal errors")
    axes.plot(spreads, shares, "o-", color=ACCENT, markersize=4, linewidth=1.2, label="the model")
    axes.set(xlim=(0, None), ylim=(0, 100))
    open_spines(axes)
    axes.set_xlabel("spreads from the prediction", fontsize=8, color=MUTED)
    axes.set_ylabel("observed values within, %", fontsize=8, color=MUTED)
    axes.legend(frameon=False, fontsize=7, labelcolor=INK)


def value_validation(validation: Mapping[str, Any], path: str | Path) -> None:
    """Draw how far the spread of a model can be trusted on held-out cells, one step ahead.

    Parameters
    ----------
    validation : mapping
        What the model's validation.json holds.
    path : path
        Picture to write.
    """
    figure = new_figure(5.6, 3.9)
    axes = axes_at(figure, 0.75, 0.85, 4.5, 2.2)
    draw_coverage(axes, validation, point="cautious")
    first, last = validation["years"]
    heading = f"The {validation['direction']} model in held-out {validation['held_out']}"
    text_at(figure, 0.75, 3.55, heading, size=11, weight="bold")
    scores = validation["points"]["cautious"]
    text_at(
        figure,
        0.75,
        3.25,
        f"one step ahead, {first} to {last}: RMSE {scores['rmse']:.3g} {validation['units']}, "
        f"persistence {scores['persistence_rmse']:.3g}",
        size=8,
        colour=MUTED,
    )
    footnote(figure, validation["caveats"], left=0.75)
    save(figure, path)
