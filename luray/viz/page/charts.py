"""The charts of a report, as SVG that takes its colours from the page: light, dark or on paper."""

import io
from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from luray.core.types import F64
from luray.viz.figure import (
    ACCENT,
    INK,
    MUTED,
    RULE,
    axes_at,
    legend_below,
    new_figure,
    open_spines,
)
from luray.viz.largest import largest, shortened
from luray.viz.plots import MOST_LETTERS, MOST_NAMES, mark_observed, spread
from luray.viz.skill_plots import (
    LIGHT_ACCENT,
    MIDDLE_ACCENT,
    POINT_COLOURS,
    draw_panel,
    panels_by_lead_year,
)

COLOURS_OF_PAGE = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    ACCENT: "var(--accent)",
    MIDDLE_ACCENT: "var(--accent-2)",
    LIGHT_ACCENT: "var(--accent-3)",
    POINT_COLOURS["unbiased"]: "var(--second)",
    "#ffffff": "var(--paper)",
    "#eef1f3": "var(--shade)",
}
"""Colours of the figures, and the page's own that take their places."""

SCENARIO_COLOURS = ("#2f7fb5", "#e08a1e", "#c8383c", "#8a5aa8", "#3f9a6b")
"""Colours of the lines of several scenarios; they are legible on white and on black."""

WIDTH = 3.9
"""Inches of a chart; on the page it is as wide as its column."""


def svg(figure: Figure, name: str) -> str:
    """Return a figure as an SVG element.

    Parameters
    ----------
    figure : Figure
        Drawn with the colours of `luray.viz.figure`.
    name : str
        One of its own on the page, as ids of elements are made from it.
    """
    figure.patch.set_visible(False)
    for axes in figure.axes:
        axes.patch.set_visible(False)

    buffer = io.StringIO()
    # Text stays text: it is read aloud, found and copied.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    element = text[text.index("<svg") :]
    for colour, of_page in COLOURS_OF_PAGE.items():
        element = element.replace(colour, of_page)
    # Elements of several charts must not share an id.
    for reference in ('id="', 'href="#', "url(#"):
        element = element.replace(reference, f"{reference}{name}-")
    return element


def skill_charts(test: Mapping[str, Any], name: str) -> list[str]:
    """Return the charts of skill by lead year of one test."""
    entries = test["by_lead_year"]
    leads = [entry["lead"] for entry in entries]
    charts = []
    for number, panel in enumerate(panels_by_lead_year(entries)):
        figure = new_figure(WIDTH, 2.7)
        axes = axes_at(figure, 0.55, 0.5, WIDTH - 0.7, 1.8)
        draw_panel(axes, panel, leads)
        axes.set_xlabel(f"lead year, from {test['start_year']}", fontsize=8, color=MUTED)
        charts.append(svg(figure, f"{name}-{number}"))
    return charts


def area_chart(
    title: str,
    years: Sequence[int],
    area_of_line: Mapping[str, F64],
    colour: str,
    *,
    demand_of_line: Mapping[str, tuple[Sequence[int], F64]],
    observed: tuple[int, int] | None,
    name: str,
) -> str:
    """Return the area of some classes over the years, a line a scenario, beside the demand.

    Parameters
    ----------
    title : str
        Of the chart.
    years : sequence of int
        Of the product.
    area_of_line : mapping of str to array
        Area in km2 in each year, by the name of the scenario.
    colour : str
        Of a single line, #rrggbb; several have colours of their own.
    demand_of_line : mapping of str to tuple
        Years, and the area that the coarse scenario has in each, km2, by the same names.
    observed : tuple of int, optional
        First and last observed year.
    name : str
        See `svg`.
    """
    figure = new_figure(WIDTH, 3.1)
    axes = axes_at(figure, 0.75, 0.85, WIDTH - 0.9, 1.55)
    several = len(area_of_line) > 1
    for number, (label, area_Y) in enumerate(area_of_line.items()):
        # A single line has the colour of its class, and dots that stand out from it.
        line_colour = colour
        dot_colour = INK
        if several:
            line_colour = SCENARIO_COLOURS[number % len(SCENARIO_COLOURS)]
            dot_colour = line_colour
        axes.plot(years, area_Y / 1000, color=line_colour, linewidth=1.6, label=label or "the maps")
        if label in demand_of_line:
            demand_years, demanded_Y = demand_of_line[label]
            axes.plot(demand_years, demanded_Y / 1000, ":", color=dot_colour, linewidth=1.2)

    # One entry of the legend for all dotted lines.
    if demand_of_line:
        axes.plot([], [], ":", color=INK, linewidth=1.2, label="as the coarse forcing changes")
    axes.set_xlim(years[0], max(years[-1], years[0] + 1))
    axes.set_ylim(bottom=0)
    axes.set_title(fill(title, 36), loc="left", fontsize=9, color=INK, pad=18)
    axes.set_ylabel("1000 km²", fontsize=8, color=MUTED)
    open_spines(axes)
    mark_observed(axes, observed)
    if demand_of_line or several:
        legend_below(axes, ncols=3, top=-0.18)
    return svg(figure, name)


def flow_chart(
    years: Sequence[int],
    flows_KK: Sequence[F64],
    labels: Sequence[str],
    colours: Sequence[str],
    *,
    name: str,
) -> str:
    """Return a Sankey diagram: what became of the land of each class between some years.

    Parameters
    ----------
    years : sequence of int
        Two or more, ascending.
    flows_KK : sequence of arrays, shape (K, K)
        Area from class (rows) to class (columns) between each year and the next, km2.
    labels, colours : sequence of str
        Of the K classes.
    name : str
        See `svg`.
    """
    height = 4.2
    figure = new_figure(8.9, height)
    axes = axes_at(figure, 0.3, 0.2, 6.1, height - 0.6)
    axes.axis("off")
    total = float(flows_KK[0].sum()) or 1.0
    gap = 0.02 * total
    n_classes = len(labels)
    axes.set(xlim=(0, len(years) - 1), ylim=(total + gap * n_classes, -gap))

    # A year's stock is what leaves it; that of the last year is what arrives.
    stocks_YK = [flow.sum(axis=1) for flow in flows_KK]
    stocks_YK.append(flows_KK[-1].sum(axis=0))
    tops_YK = [_stacked(stock_K, gap) for stock_K in stocks_YK]
    for step, flow_KK in enumerate(flows_KK):
        _draw_flows(axes, step, flow_KK, tops_YK[step], tops_YK[step + 1], colours)

    width = 0.03
    for step, year in enumerate(years):
        left = min(max(step - width / 2, 0), len(years) - 1 - width)
        for k in range(n_classes):
            if stocks_YK[step][k] > 0:
                axes.add_patch(
                    mpl.patches.Rectangle(
                        (left, tops_YK[step][k]), width, stocks_YK[step][k], color=colours[k]
                    )
                )
        # The outer years are aligned with the outer edges of the diagram.
        alignment = "center"
        if step == 0:
            alignment = "left"
        elif year == years[-1]:
            alignment = "right"
        axes.text(step, -1.5 * gap, str(year), ha=alignment, va="bottom", fontsize=9, color=INK)

    # Names stand right of the last column, moved apart where they would overlap.
    last_stock_K = stocks_YK[-1]
    middles_K = tops_YK[-1] + last_stock_K / 2
    named = [k for k in largest(last_stock_K, MOST_NAMES) if last_stock_K[k] > 0]
    places = spread(middles_K[named], least=0.0, most=total + gap * n_classes, gap=0.055 * total)
    for k, place_of_label in zip(named, places, strict=True):
        share = last_stock_K[k] / total
        text = f"{shortened(labels[k], MOST_LETTERS)}  {share:.1%}"
        axes.text(len(years) - 1 + 0.03, place_of_label, text, fontsize=8, color=INK, va="center")
    return svg(figure, name)


def _stacked(stock_K: F64, gap: float) -> F64:
    """Top of each class in a column that is filled downwards, with a gap below each."""
    tops_K: F64 = np.concatenate([[0], np.cumsum(stock_K + gap)[:-1]])
    return tops_K


def _draw_flows(
    axes: Axes, step: int, flow_KK: F64, from_K: F64, to_K: F64, colours: Sequence[str]
) -> None:
    """Draw the bands from one column to the next, each as high as its area."""
    leaves_K = from_K.copy()
    arrives_K = to_K.copy()
    for i, j in np.ndindex(*flow_KK.shape):
        area = float(flow_KK[i, j])
        if area > 0:
            band = _band(step, float(leaves_K[i]), float(arrives_K[j]), area)
            opacity = 0.25 if i == j else 0.7
            axes.add_patch(PathPatch(band, facecolor=colours[i], alpha=opacity, linewidth=0))
        leaves_K[i] += area
        arrives_K[j] += area


def _band(left: float, top_left: float, top_right: float, height: float) -> Path:
    """A band of equal height from one column to the next one, both ends level."""
    middle = left + 0.5
    right = left + 1
    points = [
        (left, top_left),
        (middle, top_left),
        (middle, top_right),
        (right, top_right),
        (right, top_right + height),
        (middle, top_right + height),
        (middle, top_left + height),
        (left, top_left + height),
        (left, top_left),
    ]
    codes = [
        Path.MOVETO,
        *[Path.CURVE4] * 3,
        Path.LINETO,
        *[Path.CURVE4] * 3,
        Path.CLOSEPOLY,
    ]
    return Path(points, codes)


def reliability_chart(validation: Mapping[str, Any], title: str, *, name: str) -> str:
    """Return how often cells changed, by the probability of change that a model gave.

    Parameters
    ----------
    validation : mapping
        What a model's validation.json holds.
    title : str
        Of the chart.
    name : str
        See `svg`.
    """
    figure = new_figure(WIDTH, 3.4)
    axes = axes_at(figure, 0.65, 0.6, WIDTH - 0.85, 2.35)
    axes.plot([0, 1], [0, 1], ":", color=MUTED, linewidth=1)

    # The area of a dot grows with the share of the cells that it stands for.
    for point, colour in POINT_COLOURS.items():
        bins = validation["points"][point]["reliability"]
        predicted = [entry["predicted"] for entry in bins]
        observed = [entry["observed"] for entry in bins]
        size = [20 + 160 * np.sqrt(entry["share"]) for entry in bins]
        axes.plot(predicted, observed, color=colour, linewidth=1)
        axes.scatter(predicted, observed, size, color=colour, alpha=0.7, linewidths=0, label=point)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set_title(title, loc="left", fontsize=9, color=INK, pad=5)
    axes.set_xlabel("probability of change that the model gave", fontsize=8, color=MUTED)
    axes.set_ylabel("share that changed", fontsize=8, color=MUTED)
    axes.spines[["top", "right"]].set_visible(False)
    legend = axes.legend(frameon=False, fontsize=8, labelcolor=INK)
    for handle in legend.legend_handles:
        handle.set_sizes([40])  # type: ignore[union-attr]
    return svg(figure, name)
