"""The charts of a report on values, as SVG elements of the page."""

from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

from matplotlib.ticker import MaxNLocator

from luray.viz.figure import ACCENT, INK, MUTED, axes_at, legend_below, new_figure, open_spines
from luray.viz.page.charts import WIDTH, svg
from luray.viz.skill_plots import draw_panel
from luray.viz.value_skill_plots import draw_coverage, error_panel


def error_chart(
    entries: Sequence[Mapping[str, Any]],
    places: Sequence[int],
    *,
    title: str,
    below: str,
    name: str,
) -> str:
    """Return the root mean squared error of the model and the null models over some parts.

    Parameters
    ----------
    entries : sequence of mapping
        Of the metrics, with `rows`: by lead year or by step of the year.
    places : sequence of int
        Place of each entry on the x axis.
    title, below : str
        Of the chart, and of its x axis.
    name : str
        See `charts.svg`.
    """
    figure = new_figure(WIDTH, 3.3)
    axes = axes_at(figure, 0.55, 0.95, WIDTH - 0.7, 1.95)
    draw_panel(axes, error_panel(entries, title), places)
    axes.set_xlabel(below, fontsize=8, color=MUTED)
    legend_below(axes, ncols=2, top=-0.2)
    return svg(figure, name)


def bias_chart(
    entries: Sequence[Mapping[str, Any]],
    places: Sequence[int],
    *,
    title: str,
    below: str,
    name: str,
) -> str:
    """Return the bias of the model over some parts; parameters as those of `error_chart`."""
    biases = [_or_nan(entry["rows"]["model"]["bias"]) for entry in entries]
    figure = new_figure(WIDTH, 3.3)
    axes = axes_at(figure, 0.65, 0.95, WIDTH - 0.8, 1.95)
    axes.axhline(0, color=INK, linewidth=0.8, linestyle=":")
    axes.plot(places, biases, color=ACCENT, linewidth=1.6, marker="o", markersize=3)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.set_title(title, loc="left", fontsize=9, color=INK, pad=5)
    axes.set_xlabel(below, fontsize=8, color=MUTED)
    open_spines(axes)
    return svg(figure, name)


def spread_chart(calibration: Mapping[str, Any], units: str, *, name: str) -> str:
    """Return the error of cells of similar spread, over that spread.

    Parameters
    ----------
    calibration : mapping
        `spread` of a test in the metrics.
    units : str
        Of the values.
    name : str
        See `charts.svg`.
    """
    bins = calibration["bins"]
    spreads = [entry["spread"] for entry in bins]
    errors = [entry["rmse"] for entry in bins]
    sizes = [20 + 160 * entry["share"] ** 0.5 for entry in bins]
    most = 1.08 * max(*spreads, *errors)
    figure = new_figure(WIDTH, 3.3)
    axes = axes_at(figure, 0.65, 0.6, WIDTH - 0.85, 2.3)
    axes.plot([0, most], [0, most], ":", color=MUTED, linewidth=1)
    axes.plot(spreads, errors, color=ACCENT, linewidth=1)
    axes.scatter(spreads, errors, sizes, color=ACCENT, alpha=0.7, linewidths=0)
    axes.set(xlim=(0, most), ylim=(0, most))
    axes.set_title("Spread that the model gave, and its error", loc="left", fontsize=9, color=INK)
    axes.set_xlabel(f"spread, {units}", fontsize=8, color=MUTED)
    axes.set_ylabel(f"root mean squared error, {units}", fontsize=8, color=MUTED)
    axes.spines[["top", "right"]].set_visible(False)
    return svg(figure, name)


def coverage_chart(validation: Mapping[str, Any], title: str, *, point: str, name: str) -> str:
    """Return the share of the truth within some spreads, on held-out cells, one step ahead.

    Parameters
    ----------
    validation : mapping
        What a model's validation.json holds.
    title : str
        Of the chart.
    point : str
        Operating point.
    name : str
        See `charts.svg`.
    """
    figure = new_figure(WIDTH, 3.3)
    axes = axes_at(figure, 0.65, 0.6, WIDTH - 0.85, 2.3)
    draw_coverage(axes, validation, point=point)
    axes.set_title(title, loc="left", fontsize=9, color=INK)
    return svg(figure, name)


def _or_nan(number: float | None) -> float:
    return nan if number is None else number
