"""Charts of a product over time: area by class or mean of values, and confidence or spread."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from luray.core.types import F64
from luray.core.value_scale import MOST_LEVELS
from luray.viz.figure import (
    ACCENT,
    INK,
    MUTED,
    RULE,
    SHADE,
    axes_at,
    footnote,
    new_figure,
    open_spines,
    save,
    text_at,
)
from luray.viz.largest import largest, shortened
from luray.viz.view import View, shares

MOST_NAMES = 12
"""Layers that have a name beside them."""

MOST_LETTERS = 32
"""Of such a name."""

MOST_SINGLE_STEPS = 400
"""Time steps that a chart shows one by one."""

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
"""Digits of powers."""


def area_by_class(product: xr.Dataset, path: str | Path) -> None:
    """Draw the area of every class over the years, stacked, in km2; observed years are lighter."""
    view = View.of(product)
    figure = new_figure(10.5, 5)
    axes = axes_at(figure, 0.9, 0.75, 7.0, 3.6)
    draw_areas(axes, view)
    text_at(figure, 0.9, 4.66, "Area by class", size=13, weight="bold")
    text_at(figure, 2.4, 4.66, view.title, size=9, colour=MUTED)
    footnote(figure, view.caveats, left=0.9)
    save(figure, path)


def draw_areas(axes: Axes, view: View) -> None:
    """Draw the stacked areas on given axes.

    Beside their right end stand the classes with their share in the last year.
    """
    years = view.chart_years()
    areas_YK = view.areas(years)
    scale, unit = _unit(float(areas_YK.sum(axis=1).max()))
    areas_YK = areas_YK / scale
    colours = [view.palette.colours[k] for k in view.palette.land]
    axes.stackplot(years, areas_YK.T, colors=colours, linewidth=0.4, edgecolor="white")

    top = float(areas_YK.sum(axis=1).max()) or 1.0  # a sea has no land, but an axis
    axes.set_ylim(0, top)
    _label_years(axes, years)
    axes.spines[["top", "right"]].set_visible(False)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axes.set_ylabel(unit, color=MUTED, fontsize=8)

    last_areas_K = areas_YK[-1]
    shares_K = shares(last_areas_K)
    middles_K = np.cumsum(last_areas_K) - last_areas_K / 2
    named = largest(last_areas_K, MOST_NAMES)
    names = []
    for position in named:
        label = shortened(view.palette.label(view.palette.land[position]), MOST_LETTERS)
        names.append(f"{label}  {shares_K[position]:.1%}")
    _name_layers(axes, names, [colours[position] for position in named], middles_K[named])
    mark_observed(axes, view.observed, over="layers")


def mean_over_time(product: xr.Dataset, path: str | Path) -> None:
    """Draw the mean of the values of land over time, weighted by area."""
    view = View.of(product)
    figure = new_figure(8, 3.6)
    draw_means(axes_at(figure, 0.8, 0.75, 6.8, 2.2), view)
    heading = f"Mean {view.palette.long_name}"
    text_at(figure, 0.8, 3.26, heading, size=11, weight="bold")
    text_at(figure, 0.8 + 0.095 * len(heading), 3.26, view.title, size=9, colour=MUTED)
    footnote(figure, view.caveats, left=0.8)
    save(figure, path)


def draw_means(axes: Axes, view: View) -> None:
    """Draw the mean of the values on given axes; where a year has several maps its mean, too.

    Cells are weighted by their area. A step without any value is a gap.
    """
    scale = view.palette.scale
    assert scale is not None
    steps = view.chart_years()
    means = view.means(steps)
    positions = [view.position(step) for step in steps]
    if view.time.per_year == 1:
        axes.plot(positions, means, color=ACCENT, linewidth=1.6)
    else:
        _draw_seasons(axes, view, steps, means)
        positions.append(view.position(steps[-1] + 1))  # the end of the last step
    _label_years(axes, positions)
    open_spines(axes)
    axes.set_ylabel(in_signs(scale.units), color=MUTED, fontsize=8)
    mark_observed(axes, view.observed_years, over="paper", through=view.time.per_year > 1)


def _draw_seasons(axes: Axes, view: View, steps: Sequence[int], means: F64) -> None:
    """Draw the maps of a year one by one, or their range where there are many, and their mean."""
    by_year: dict[int, list[float]] = {}
    for step, mean in zip(steps, means, strict=True):
        by_year.setdefault(view.time.year(step), []).append(float(mean))
    whole = {
        year: found for year, found in by_year.items() if np.isfinite(found).sum() == len(found)
    }
    middles = [year + 0.5 for year in whole]

    if len(steps) <= MOST_SINGLE_STEPS:
        positions = [view.position(step + 0.5) for step in steps]
        name = f"each {view.time.each}"
        axes.plot(positions, means, color=ACCENT, linewidth=0.7, alpha=0.55, label=name)
    elif whole:
        lowest = [min(found) for found in whole.values()]
        highest = [max(found) for found in whole.values()]
        axes.fill_between(
            middles, lowest, highest, color=ACCENT, alpha=0.2, linewidth=0, label="of the seasons"
        )
    mean_of_year = [float(np.mean(found)) for found in whole.values()]
    axes.plot(middles, mean_of_year, color=ACCENT, linewidth=1.8, label="mean of the year")
    # The lines go through all of the chart, so that the legend covers what is below it.
    axes.legend(
        framealpha=0.85, edgecolor="none", fontsize=8, loc="lower left", labelcolor=INK, ncols=2
    )


def in_signs(units: str) -> str:
    """Return units with raised powers, as a reader expects them; "" for the unit 1.

    Examples
    --------
    >>> in_signs("m2 m-2"), in_signs("1")
    ('m² m⁻²', '')
    """
    if units == "1":
        return ""
    return re.sub(r"(?<=[A-Za-z])-?\d+", lambda power: power[0].translate(RAISED), units)


def _unit(most: float) -> tuple[float, str]:
    """Factor and name of the unit in which areas of up to `most` km2 have few digits."""
    for factor, name in ((1e6, "million km²"), (1e3, "1000 km²")):
        if most >= 20 * factor:
            return factor, name
    return 1.0, "km²"


def _label_years(axes: Axes, years: Sequence[float]) -> None:
    """Set the x axis to the years, with whole years as ticks; one year alone is an axis, too."""
    first = years[0]
    last = years[-1]
    axes.set_xlim(first, max(last, first + 1))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


def _name_layers(
    axes: Axes, names: Sequence[str], colours: Sequence[str], middles: Sequence[float] | F64
) -> None:
    """Write names beside the layers' right end, each led to by a line from its layer's middle."""
    top = axes.get_ylim()[1]
    left, right = axes.get_xlim()
    places = spread(middles, least=0.02 * top, most=0.98 * top, gap=0.075 * top)

    # x as a share of the axes' width, a little more than 1; y in the units of the data.
    beside = axes.get_yaxis_transform()
    for name, colour, middle, place in zip(names, colours, middles, places, strict=True):
        axes.plot(
            [1.002, 1.012, 1.018],
            [middle, place, place],
            transform=beside,
            color=MUTED,
            linewidth=0.5,
            clip_on=False,
        )
        axes.plot(
            [1.026],
            [place],
            "s",
            transform=beside,
            color=colour,
            markersize=7,
            # snow and ice are white
            markeredgecolor=RULE if colour.lower() == "#ffffff" else colour,
            clip_on=False,
        )
        axes.text(1.038, place, name, transform=beside, fontsize=8, color=INK, va="center")
    axes.set_xlim(left, right)  # matplotlib has widened it to the lines


def spread(places: Sequence[float] | F64, *, least: float, most: float, gap: float) -> F64:
    """Move ascending places apart, so that names at them do not overlap.

    A sweep upward keeps the distances, one downward the upper end.

    Parameters
    ----------
    places : array, shape (n,)
        Ascending.
    least, most : float
        Bounds of the first and the last place.
    gap : float
        Least distance of two neighbours.

    Examples
    --------
    >>> spread([0.25, 0.25, 0.75], least=0.0, most=1.0, gap=0.25)
    array([0.25, 0.5 , 0.75])
    """
    moved = np.array(places, float)
    n = len(moved)
    for k in range(n):
        lower_bound = moved[k - 1] + gap if k else least
        moved[k] = max(moved[k], lower_bound)
    for k in reversed(range(n)):
        upper_bound = moved[k + 1] - gap if k + 1 < n else most
        moved[k] = min(moved[k], upper_bound)
    return moved


def mark_observed(
    axes: Axes,
    observed: tuple[int, int] | None,
    *,
    over: Literal["layers", "paper"] = "paper",
    through: bool = False,
) -> None:
    """Mark the observed years: layers by a light veil between two lines, paper by a shade.

    The mark ends where the last of them begins, or where it ends if it goes `through` it.
    """
    if observed is None:
        return
    first, last = observed
    name = f"observed {first}–{last}" if first < last else f"observed {first}"
    last += through
    if over == "layers":
        axes.axvspan(first, last, color="white", alpha=0.22, linewidth=0)
        for year in observed:
            axes.axvline(year, color="white", linewidth=0.9)
    else:
        axes.axvspan(first, last, color=SHADE, linewidth=0, zorder=0)
    axes.annotate(
        name,
        ((first + last) / 2, 1),
        (0, 4),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=8,
        color=MUTED,
    )


def confidence_over_time(product: xr.Dataset, path: str | Path) -> None:
    """Draw the mean confidence of the land over the years, and the range of most of its cells.

    Of values it is their spread.
    """
    view = View.of(product)
    figure = new_figure(8, 3.6)
    draw_confidence(axes_at(figure, 0.8, 0.75, 6.8, 2.2), view)
    heading = "Confidence: averaged probability of the class"
    if view.palette.scale is not None:
        heading = f"Spread: standard deviation of the predicted {view.palette.long_name}"
    text_at(figure, 0.8, 3.26, heading, size=11, weight="bold")
    footnote(figure, view.caveats, left=0.8)
    save(figure, path)


def draw_confidence(axes: Axes, view: View) -> None:
    """Draw the confidence on given axes, 0 to 102 %, or the spread in units of the values.

    The mean is weighted by area; the range is that of the middle 80 % of the cells. A year without
    land, or without a spread as observed ones are, is a gap.
    """
    scale = view.palette.scale
    years = view.chart_years()
    mean_Y, low_Y, high_Y = np.full((3, len(years)), np.nan)
    for n, year in enumerate(years):
        if scale is None:
            codes, area = view.sample(year)
            quality, _ = view.sample(year, name="confidence")
            land = np.isin(codes, view.palette.land_codes)
        else:
            quality, area = view.sample(year, name="spread")
            land = quality <= MOST_LEVELS
        if land.any():
            cell_area = np.broadcast_to(area[:, None], quality.shape)
            mean_Y[n] = np.average(quality[land], weights=cell_area[land])
            low_Y[n], high_Y[n] = np.percentile(quality[land], [10, 90])

    unit = 1.0 if scale is None else scale.step
    positions = [view.position(year) for year in years]
    axes.fill_between(
        positions,
        low_Y * unit,
        high_Y * unit,
        color=ACCENT,
        alpha=0.2,
        linewidth=0,
        label="middle 80 % of cells",
    )
    axes.plot(positions, mean_Y * unit, color=ACCENT, linewidth=1.6, label="mean")
    _label_years(axes, positions)
    if scale is None:
        axes.set_ylim(0, 102)  # a line at 100 % is not cut
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} %"))
    else:
        axes.set_ylim(bottom=0)
        axes.set_ylabel(in_signs(scale.units), color=MUTED, fontsize=8)
    open_spines(axes)
    mark_observed(axes, view.observed_years, through=view.time.per_year > 1)
    axes.legend(frameon=False, fontsize=8, loc="lower left", labelcolor=INK)
