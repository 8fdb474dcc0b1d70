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
    RULE,
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
    interval: tuple[list[float], list[float]] | None = None
    """Lower and upper ends of the interval of each value."""


@dataclass(frozen=True)
class Panel:
    """A panel of one test: its title and lines, and where its values begin."""

    title: str
    lines: list[Line]
    axis: Literal["from zero", "around the values"] = "from zero"


def skill_by_lead_year(metrics: Mapping[str, Any], path: str | Path) -> None:
    """Draw the skill of the model and of persistence by lead year, one column a test.

    Rows: accuracy; Figure of Merit at 1, 5 and 25 cells; change since the start; change from year
    to year; mean width of patches. Bands are the 95 % intervals of the difference to persistence.

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
    panels_of_tests = [panels_by_lead_year(test["by_lead_year"]) for test in tests]
    n_rows = len(panels_of_tests[0])
    row_height = PANEL_HEIGHT + PANEL_GAP
    figure = new_figure(0.4 + PANEL_WIDTH * len(tests), 0.95 + row_height * n_rows)
    for column, (test, panels) in enumerate(zip(tests, panels_of_tests, strict=True)):
        left = 0.75 + column * PANEL_WIDTH
        leads = [entry["lead"] for entry in test["by_lead_year"]]
        for row, panel in enumerate(panels):
            bottom = 0.75 + (n_rows - 1 - row) * row_height
            axes = axes_at(figure, left, bottom, PANEL_WIDTH - 0.85, PANEL_HEIGHT)
            draw_panel(axes, panel, leads)
        journey = f"{test['direction']} from {test['start_year']}"
        axes.set_xlabel(f"lead year, {journey}", fontsize=8, color=MUTED)
        text_at(figure, left, figure.get_figheight() - 0.36, test["name"], size=12, weight="bold")
    footnote(figure, metrics["caveats"], left=0.75)
    save(figure, path)


def draw_panel(axes: Axes, panel: Panel, leads: Sequence[int]) -> None:
    """Draw the lines of a panel over the lead years."""
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
        if line.interval is not None:
            low, high = line.interval
            axes.fill_between(leads, low, high, color=line.colour, alpha=0.18, linewidth=0)
    open_spines(axes)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.set_title(panel.title, loc="left", fontsize=9, color=INK, pad=5)
    axes.legend(
        fontsize=7,
        labelcolor=INK,
        handlelength=1.6,
        facecolor="white",
        edgecolor="none",
        framealpha=0.8,
    )
    if panel.axis == "from zero":
        axes.set_ylim(bottom=0)
    else:
        axes.margins(y=0.15)


def panels_by_lead_year(entries: Sequence[Mapping[str, Any]]) -> list[Panel]:
    """Return the panels of one test, from its entries by lead year in the metrics."""

    def values(
        name: str, *, row: Literal["model", "persistence"] = "model", scale: float = 1
    ) -> list[float]:
        scores = [entry[row][name] for entry in entries]
        return [np.nan if score is None else score * scale for score in scores]

    def ends(name: str) -> tuple[list[float], list[float]]:
        """Lower and upper ends of an interval, nan where there is none."""
        compared = [entry.get("against_persistence", {}).get(name, {}) for entry in entries]
        lows = [interval.get("low") for interval in compared]
        highs = [interval.get("high") for interval in compared]
        return _or_nan(lows), _or_nan(highs)

    # The interval is that of the difference, and drawn where persistence is plus the difference.
    null_accuracy = values("accuracy", row="persistence")
    low_gain, high_gain = ends("accuracy_gain")
    accuracy_interval = (
        list(np.add(null_accuracy, low_gain)),
        list(np.add(null_accuracy, high_gain)),
    )
    return [
        Panel(
            "Accuracy",
            [
                Line("model", values("accuracy"), ACCENT, interval=accuracy_interval),
                Line("persistence", null_accuracy, MUTED, "--"),
            ],
            axis="around the values",
        ),
        Panel(
            "Figure of Merit (persistence: 0)",
            [
                Line("25 cells", values("figure_of_merit_25"), LIGHT_ACCENT),
                Line("5 cells", values("figure_of_merit_5"), MIDDLE_ACCENT),
                Line("1 cell", values("figure_of_merit"), ACCENT, interval=ends("figure_of_merit")),
            ],
        ),
        Panel(
            "Changed land, % since the start",
            [
                Line("predicted", values("predicted_change", scale=100), ACCENT),
                Line("observed", values("observed_change", scale=100), INK, ":"),
            ],
        ),
        Panel(
            "Changed land, % since the year before",
            [
                Line("predicted", values("predicted_change_per_year", scale=100), ACCENT),
                Line("observed", values("observed_change_per_year", scale=100), INK, ":"),
            ],
        ),
        Panel(
            "Mean patch width, cells",
            [
                Line("predicted", values("predicted_patch_width"), ACCENT),
                Line("observed", values("observed_patch_width"), INK, ":"),
            ],
        ),
    ]


def _or_nan(numbers: Sequence[float | None]) -> list[float]:
    """The numbers with nan in place of None."""
    return [np.nan if number is None else number for number in numbers]


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
    curve = [*report["curve"], *points.values()]
    curve.sort(key=lambda entry: entry["predicted_over_observed"])

    accuracy_axes = axes_at(figure, 0.75, 0.85, 3.2, 2.2)
    accuracy_axes.axhline(0, color=INK, linewidth=0.8, linestyle=":")
    _draw_curve(accuracy_axes, curve, points, _accuracy_gain, digits="+.2f")
    _label(
        accuracy_axes, "Accuracy minus persistence, % of the land", "change predicted / observed"
    )

    merit_axes = axes_at(figure, 4.75, 0.85, 3.2, 2.2)
    _draw_curve(merit_axes, curve, points, _figure_of_merit, digits=".3f")
    merit_axes.set_ylim(bottom=0)
    _label(merit_axes, "Figure of Merit", "change predicted / observed")

    reliability_axes = axes_at(figure, 8.75, 0.85, 3.2, 2.2)
    reliability_axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
    for name, point in points.items():
        bins = point["reliability"]
        predicted = [entry["predicted"] for entry in bins]
        observed = [entry["observed"] for entry in bins]
        reliability_axes.plot(
            predicted,
            observed,
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
    *,
    digits: str,
) -> None:
    """Draw a score over the change that is predicted, from persistence past both points.

    The part between the points is the range of choice, and drawn bold.
    """
    first, last = sorted(point["predicted_over_observed"] for point in points.values())
    most = max(1.5, 1.05 * last)
    shown = [entry for entry in curve if entry["predicted_over_observed"] <= most]
    changes = np.array([entry["predicted_over_observed"] for entry in shown])
    values = np.array([value(entry) for entry in shown])

    axes.plot(changes, values, color=RULE, linewidth=1.6)
    between = (first <= changes) & (changes <= last)
    axes.plot(changes[between], values[between], color=MUTED, linewidth=2.2)

    for name, point in points.items():
        change = point["predicted_over_observed"]
        label = f"{name}: {value(point):{digits}}"
        axes.plot(
            [change],
            [value(point)],
            "o",
            color=POINT_COLOURS[name],
            label=label,
            clip_on=False,  # at no change at all a point lies on the axis
            zorder=5,
        )
    axes.margins(y=0.12)
    axes.set_xlim(0, most)


def _label(axes: Axes, title: str, below: str) -> None:
    """Write title, legend and name of the x axis of a panel."""
    open_spines(axes)
    axes.set_title(title, loc="left", fontsize=9, color=INK, pad=5)
    axes.set_xlabel(below, fontsize=8, color=MUTED)
    axes.legend(frameon=False, fontsize=7, labelcolor=INK)
