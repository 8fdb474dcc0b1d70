"""Charts of how good a model is: skill by lead year, and its validation on held-out cells."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

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

LIGHT_ACCENT = "#9cc5d3"
MIDDLE_ACCENT = "#5a9bb0"

POINT_COLOURS = {"cautious": ACCENT, "unbiased": "#c2703d"}
"""Operating points of a model, in the order in which they are drawn."""

PANEL_WIDTH = 4.4
PANEL_HEIGHT = 1.9
PANEL_GAP = 0.5
"""Inches of a panel of the skill by lead year, and between two of them."""


@dataclass(frozen=True)
class Line:
    """A line of a panel: a value for each lead year, nan where there is none."""

    label: str
    values: list[float]
    colour: str
    style: str = "-"


@dataclass(frozen=True)
class Panel:
    """A panel of one test: its title and lines."""

    title: str
    lines: list[Line]


def skill_by_lead_year(metrics: Mapping[str, Any], path: str | Path) -> None:
    """Draw the skill of the model and of persistence by lead year, one column a test.

    Rows: accuracy; Figure of Merit at 1, 5 and 25 cells; predicted and observed change.

    Parameters
    ----------
    metrics : mapping
        `EvaluationReport.to_dict()`, or what metrics.json holds.
    path : path
        Picture to write.

    Raises
    ------
    ValueError
        If the metrics hold no test.
    """
    tests = metrics["tests"]
    if not tests:
        raise ValueError(
            "the metrics hold no test, expected at least one; run luray evaluate with "
            "evaluation.tests"
        )
    row_height = PANEL_HEIGHT + PANEL_GAP
    figure = new_figure(0.4 + PANEL_WIDTH * len(tests), 0.95 + row_height * 3)
    for column, test in enumerate(tests):
        left = 0.75 + column * PANEL_WIDTH
        leads = [entry["lead"] for entry in test["by_lead_year"]]
        for row, panel in enumerate(_panels(test["by_lead_year"])):
            bottom = 0.75 + (2 - row) * row_height
            axes = axes_at(figure, left, bottom, PANEL_WIDTH - 0.85, PANEL_HEIGHT)
            _draw_panel(axes, panel, leads)
            if row == 0:
                axes.margins(y=0.15)
            else:
                axes.set_ylim(bottom=0)
        journey = f"{test['direction']} from {test['start_year']}"
        axes.set_xlabel(f"lead year, {journey}", fontsize=8, color=MUTED)
        text_at(figure, left, figure.get_figheight() - 0.36, test["name"], size=12, weight="bold")
    footnote(figure, metrics["caveats"], left=0.75)
    save(figure, path)


def _draw_panel(axes: Axes, panel: Panel, leads: Sequence[int]) -> None:
    for line in panel.lines:
        axes.plot(
            leads,
            line.values,
            label=line.label,
            linewidth=1.6,
            color=line.colour,
            linestyle=line.style,
        )
        if len(leads) == 1:  # a line of one point would not be seen
            axes.plot(leads, line.values, "o", color=line.colour, markersize=4)
    open_spines(axes)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.set_title(panel.title, loc="left", fontsize=9, color=INK, pad=5)
    axes.legend(frameon=False, fontsize=7, labelcolor=INK, handlelength=1.6)


def _panels(entries: Sequence[Mapping[str, Any]]) -> tuple[Panel, Panel, Panel]:
    """The three panels of one test, from its entries by lead year."""

    def values(
        name: str, *, row: Literal["model", "persistence"] = "model", scale: float = 1
    ) -> list[float]:
        scores = [entry[row][name] for entry in entries]
        return [np.nan if score is None else score * scale for score in scores]

    accuracy = Panel(
        "Accuracy",
        [
            Line("model", values("accuracy"), ACCENT),
            Line("persistence", values("accuracy", row="persistence"), MUTED, "--"),
        ],
    )
    figure_of_merit = Panel(
        "Figure of Merit (persistence: 0)",
        [
            Line("25 cells", values("figure_of_merit_25"), LIGHT_ACCENT),
            Line("5 cells", values("figure_of_merit_5"), MIDDLE_ACCENT),
            Line("1 cell", values("figure_of_merit"), ACCENT),
        ],
    )
    change = Panel(
        "Changed land, % since the start",
        [
            Line("predicted", values("predicted_change", scale=100), ACCENT),
            Line("observed", values("observed_change", scale=100), INK, ":"),
        ],
    )
    return accuracy, figure_of_merit, change


def validation_of_model(report: Mapping[str, Any], path: str | Path) -> None:
    """Draw what a model is worth on held-out cells.

    Two panels show the curve along which accuracy is given for change, with the operating points on
    it; a third how often cells changed, by the probability that the model gave.

    Parameters
    ----------
    report : mapping
        What the model's validation.json holds.
    path : path
        Picture to write.
    """
    figure = new_figure(12.2, 3.9)
    points = {name: report["points"][name] for name in POINT_COLOURS}
    curve = sorted(report["curve"], key=lambda entry: entry["predicted_over_observed"])

    accuracy_axes = axes_at(figure, 0.75, 0.85, 3.2, 2.2)
    lowest = _draw_curve(accuracy_axes, curve, points, _accuracy_gain)
    accuracy_axes.set(xlim=(0, 1.5), ylim=(lowest - 0.3 * abs(lowest), None))
    accuracy_axes.axhline(0, color=INK, linewidth=0.8, linestyle=":")
    _label(
        accuracy_axes, "Accuracy minus persistence, % of the land", "change predicted / observed"
    )

    merit_axes = axes_at(figure, 4.75, 0.85, 3.2, 2.2)
    _draw_curve(merit_axes, curve, points, _figure_of_merit)
    merit_axes.set(xlim=(0, 1.5), ylim=(0, None))
    _label(merit_axes, "Figure of Merit", "change predicted / observed")

    reliability_axes = axes_at(figure, 8.75, 0.85, 3.2, 2.2)
    reliability_axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
    for name, point in points.items():
        bins = point["reliability"]
        reliability_axes.plot(
            [entry["predicted"] for entry in bins],
            [entry["observed"] for entry in bins],
            "o-",
            color=POINT_COLOURS[name],
            markersize=3,
            linewidth=1.2,
            label=name,
        )
    reliability_axes.set(xlim=(0, 1), ylim=(0, 1))
    _label(reliability_axes, "Share of cells that changed", "P(change) of the model")

    first_year, last_year = report["years"]
    heading = (
        f"The {report['direction']} model in held-out {report['held_out']}, one year ahead, "
        f"{first_year}–{last_year}"
    )
    text_at(figure, 0.75, 3.5, heading, size=11, weight="bold")
    footnote(figure, report["caveats"], left=0.75)
    save(figure, path)


def _accuracy_gain(scores: Mapping[str, float]) -> float:
    """Accuracy of the model above that of persistence, in % of the land."""
    return 100 * (scores["accuracy"] - scores["persistence"])


def _figure_of_merit(scores: Mapping[str, float]) -> float:
    return scores["figure_of_merit"]


def _draw_curve(
    axes: Axes,
    curve: Sequence[Mapping[str, float]],
    points: Mapping[str, Mapping[str, float]],
    value: Callable[[Mapping[str, float]], float],
) -> float:
    """Draw a score over the change that is predicted; returns the lowest of the points."""
    axes.plot(
        [entry["predicted_over_observed"] for entry in curve],
        [value(entry) for entry in curve],
        color=MUTED,
        linewidth=1.4,
    )
    for name, point in points.items():
        change = point["predicted_over_observed"]
        axes.plot([change], [value(point)], "o", color=POINT_COLOURS[name], label=name)
    return min(value(point) for point in points.values())


def _label(axes: Axes, title: str, below: str) -> None:
    """Write title, legend and name of the x axis of a panel."""
    open_spines(axes)
    axes.set_title(title, loc="left", fontsize=9, color=INK, pad=5)
    axes.set_xlabel(below, fontsize=8, color=MUTED)
    axes.legend(frameon=False, fontsize=7, labelcolor=INK)
