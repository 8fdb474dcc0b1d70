"""Charts: area by class and confidence over time, skill by lead year, the validation of a model."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from luray.viz.figure import (
    ACCENT,
    INK,
    MUTED,
    SHADE,
    axes_at,
    footnote,
    new_figure,
    open_spines,
    save,
    text_at,
)
from luray.viz.view import View, shares


def area_by_class(product: xr.Dataset, path: str | Path) -> None:
    """Area of every class over the years, stacked, in km2; the observed years are shaded."""
    view = View.of(product)
    figure = new_figure(10.5, 5)
    axes = axes_at(figure, 0.9, 0.75, 7.0, 3.6)
    draw_areas(axes, view)
    text_at(figure, 0.9, 4.66, "Area by class", size=13, weight="bold")
    text_at(figure, 2.4, 4.66, view.title, size=9, colour=MUTED)
    footnote(figure, view.caveats, left=0.9)
    save(figure, path)


def draw_areas(axes: Axes, view: View) -> None:
    """The stacked areas on given axes; beside their right end the classes with their share in the
    last year.
    """
    years = view.chart_years()
    areas = view.areas(years)
    scale, unit = _unit(float(areas.sum(axis=1).max()))
    areas = areas / scale
    colours = [view.palette.colours[k] for k in view.palette.land]
    axes.stackplot(years, areas.T, colors=colours, linewidth=0.4, edgecolor="white")
    top = float(areas.sum(axis=1).max()) or 1.0
    axes.set(xlim=(years[0], max(years[-1], years[0] + 1)), ylim=(0, top))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.spines[["top", "right"]].set_visible(False)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axes.set_ylabel(unit, color=MUTED, fontsize=8)
    names = [
        f"{view.palette.label(k)}  {s:.1%}"
        for k, s in zip(view.palette.land, shares(areas[-1]), strict=True)
    ]
    _name_at_end(axes, names, colours, np.cumsum(areas[-1]) - areas[-1] / 2)
    mark_observed(axes, view.observed, filled=True)


def _unit(most: float) -> tuple[float, str]:
    """Factor and name of the unit in which areas of up to `most` km2 have few digits."""
    for factor, name in ((1e6, "million km²"), (1e3, "1000 km²")):
        if most >= 20 * factor:
            return factor, name
    return 1.0, "km²"


def _name_at_end(axes: Axes, names: Sequence[str], colours: Sequence[str], middle: Any) -> None:
    """Write names beside the layers' right end, pushed apart where the layers are thin, led to by a
    line.
    """
    top, (left, right) = axes.get_ylim()[1], axes.get_xlim()
    place = spread(middle, least=0.02 * top, most=0.98 * top, gap=0.075 * top)
    across = axes.get_yaxis_transform()
    for name, colour, y, at in zip(names, colours, middle, place, strict=True):
        axes.plot(
            [1.002, 1.012, 1.018],
            [y, at, at],
            transform=across,
            color=MUTED,
            linewidth=0.5,
            clip_on=False,
        )
        axes.plot([1.026], [at], "s", transform=across, color=colour, markersize=7, clip_on=False)
        axes.text(1.038, at, name, transform=across, fontsize=8, color=INK, va="center")
    axes.set_xlim(left, right)


def spread(places: Any, *, least: float, most: float, gap: float) -> Any:
    """Ascending places moved as little as a sweep up and one down need to lie `gap` apart, the last
    at most `most`.
    """
    moved = np.array(places, float)
    for k in range(len(moved)):
        moved[k] = max(moved[k], moved[k - 1] + gap if k else least)
    for k in reversed(range(len(moved))):
        moved[k] = min(moved[k], moved[k + 1] - gap if k + 1 < len(moved) else most)
    return moved


def mark_observed(axes: Axes, observed: tuple[int, int] | None, *, filled: bool = False) -> None:
    """Shade the observed years; over `filled` layers by a light veil between two lines."""
    if observed is None:
        return
    first, last = observed
    if filled:
        axes.axvspan(first, last, color="white", alpha=0.22, linewidth=0)
        for year in observed:
            axes.axvline(year, color="white", linewidth=0.9)
    else:
        axes.axvspan(first, last, color=SHADE, linewidth=0, zorder=0)
    axes.annotate(
        f"observed {first}–{last}",
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
    """Mean confidence of the land over the years, weighted by area, with the range of the middle 80
    % of its cells.
    """
    view = View.of(product)
    figure = new_figure(8, 3.6)
    draw_confidence(axes_at(figure, 0.8, 0.75, 6.8, 2.2), view)
    text_at(
        figure, 0.8, 3.26, "Confidence: averaged probability of the class", size=11, weight="bold"
    )
    footnote(figure, view.caveats, left=0.8)
    save(figure, path)


def draw_confidence(axes: Axes, view: View) -> None:
    """The confidence on given axes, 0 to 102 %."""
    years = view.chart_years()
    mean, low, high = np.full((3, len(years)), np.nan)
    for n, year in enumerate(years):
        codes, area = view.sample(year)
        percent, _ = view.sample(year, name="confidence")
        land = np.isin(codes, [view.palette.codes[k] for k in view.palette.land])
        if land.any():
            weights = np.broadcast_to(area[:, None], codes.shape)[land]
            mean[n] = np.average(percent[land], weights=weights)
            low[n], high[n] = np.percentile(percent[land], [10, 90])
    axes.fill_between(
        years, low, high, color=ACCENT, alpha=0.2, linewidth=0, label="middle 80 % of cells"
    )
    axes.plot(years, mean, color=ACCENT, linewidth=1.6, label="mean")
    axes.set(xlim=(years[0], max(years[-1], years[0] + 1)), ylim=(0, 102))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} %"))
    open_spines(axes)
    mark_observed(axes, view.observed)
    axes.legend(frameon=False, fontsize=8, loc="lower left", labelcolor=INK)


def skill_by_lead_year(metrics: Mapping[str, Any], path: str | Path) -> None:
    """Skill of the model and of persistence by lead year, one column a test; `metrics` is
    `EvaluationReport.to_dict()`.

    Rows: accuracy, Figure of Merit at 1, 5 and 25 cells, predicted and observed change. Raises
    ValueError for no test.
    """
    tests = metrics["tests"]
    if not tests:
        raise ValueError(
            "the metrics hold no test, expected at least one; run luray evaluate with "
            "evaluation.tests"
        )
    width, height = 4.4, 1.9
    figure = new_figure(0.4 + width * len(tests), 0.95 + (height + 0.5) * 3)
    for column, test in enumerate(tests):
        left = 0.75 + column * width
        leads = [entry["lead"] for entry in test["by_lead_year"]]
        for row, (title, lines) in enumerate(_panels(test["by_lead_year"])):
            axes = axes_at(figure, left, 0.75 + (2 - row) * (height + 0.5), width - 0.85, height)
            for label, values, style in lines:
                axes.plot(leads, values, label=label, **{"linewidth": 1.6, **style})
                if len(leads) == 1:
                    axes.plot(leads, values, "o", color=style["color"], markersize=4)
            open_spines(axes)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
            axes.set_title(title, loc="left", fontsize=9, color=INK, pad=5)
            axes.legend(frameon=False, fontsize=7, labelcolor=INK, handlelength=1.6)
            if row == 0:
                axes.margins(y=0.15)
            else:
                axes.set_ylim(bottom=0)
        axes.set_xlabel(
            f"lead year, {test['direction']} from {test['start_year']}", fontsize=8, color=MUTED
        )
        text_at(figure, left, figure.get_figheight() - 0.36, test["name"], size=12, weight="bold")
    footnote(figure, metrics["caveats"], left=0.75)
    save(figure, path)


def _panels(
    entries: Sequence[Mapping[str, Any]],
) -> list[tuple[str, list[tuple[str, list[float], dict[str, Any]]]]]:
    """Title and lines (label, values, style) of the three panels of one test."""

    def values(row: str, key: str, *, scale: float = 1) -> list[float]:
        return [np.nan if entry[row][key] is None else entry[row][key] * scale for entry in entries]

    null: dict[str, Any] = {"color": MUTED, "linestyle": "--"}
    merits = [
        (f"{n} cell{'s' if n > 1 else ''}", values("model", key), {"color": colour})
        for n, key, colour in (
            (25, "figure_of_merit_25", "#9cc5d3"),
            (5, "figure_of_merit_5", "#5a9bb0"),
            (1, "figure_of_merit", ACCENT),
        )
    ]
    return [
        (
            "Accuracy",
            [
                ("model", values("model", "accuracy"), {"color": ACCENT}),
                ("persistence", values("persistence", "accuracy"), null),
            ],
        ),
        ("Figure of Merit (persistence: 0)", merits),
        (
            "Changed land, % since the start",
            [
                ("predicted", values("model", "predicted_change", scale=100), {"color": ACCENT}),
                (
                    "observed",
                    values("model", "observed_change", scale=100),
                    {"color": INK, "linestyle": ":"},
                ),
            ],
        ),
    ]


def validation_of_model(report: Mapping[str, Any], path: str | Path) -> None:
    """What a model is worth on held-out cells, from its validation.json: the curve along which
    accuracy is given for change, with the operating points on it, and how often cells change that
    are said to.
    """
    figure = new_figure(12.2, 3.9)
    points = {name: report["points"][name] for name in ("cautious", "unbiased")}
    colours = {"cautious": ACCENT, "unbiased": "#c2703d"}
    curve = sorted(report["curve"], key=lambda entry: entry["predicted_over_observed"])
    panels: list[tuple[str, Callable[[Mapping[str, float]], float]]] = [
        (
            "Accuracy minus persistence, % of the land",
            lambda e: 100 * (e["accuracy"] - e["persistence"]),
        ),
        ("Figure of Merit", lambda e: e["figure_of_merit"]),
    ]
    for column, (title, value) in enumerate(panels):
        axes = axes_at(figure, 0.75 + 4 * column, 0.85, 3.2, 2.2)
        axes.plot(
            [e["predicted_over_observed"] for e in curve],
            [value(e) for e in curve],
            color=MUTED,
            linewidth=1.4,
        )
        for name, entry in points.items():
            axes.plot(
                [entry["predicted_over_observed"]],
                [value(entry)],
                "o",
                color=colours[name],
                label=name,
            )
        lowest = min(value(e) for e in points.values())
        axes.set(xlim=(0, 1.5), ylim=(lowest - 0.3 * abs(lowest) if column == 0 else 0, None))
        if column == 0:
            axes.axhline(0, color=INK, linewidth=0.8, linestyle=":")
        _label(axes, title, "change predicted / observed")
    axes = axes_at(figure, 8.75, 0.85, 3.2, 2.2)
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
    for name, entry in points.items():
        bins = entry["reliability"]
        axes.plot(
            [b["predicted"] for b in bins],
            [b["observed"] for b in bins],
            "o-",
            color=colours[name],
            markersize=3,
            linewidth=1.2,
            label=name,
        )
    axes.set(xlim=(0, 1), ylim=(0, 1))
    _label(axes, "Share of cells that changed", "P(change) of the model")
    years = report["years"]
    text_at(
        figure,
        0.75,
        3.5,
        f"The {report['direction']} model in held-out {report['held_out']}, one year ahead, "
        f"{years[0]}–{years[1]}",
        size=11,
        weight="bold",
    )
    footnote(figure, report["caveats"], left=0.75)
    save(figure, path)


def _label(axes: Axes, title: str, below: str) -> None:
    """Title, legend and name of the x axis of a panel."""
    open_spines(axes)
    axes.set_title(title, loc="left", fontsize=9, color=INK, pad=5)
    axes.set_xlabel(below, fontsize=8, color=MUTED)
    axes.legend(frameon=False, fontsize=7, labelcolor=INK)
