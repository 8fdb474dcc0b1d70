"""Chart of flicker: the share of changes that are undone, in predicted and in observed maps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from luray.core.arithmetic import ceil_div
from luray.core.types import F64
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

PANEL_WIDTH = 4.4
PANEL_HEIGHT = 1.9
"""Inches of a panel, with its axis and without its title."""

MOST_NAMES = 8
"""Names of decades that fit side by side."""


Decades = Sequence[Mapping[str, Any]]
"""Flicker by decade as metrics.json has it."""


def flicker_panels(metrics: Mapping[str, Any]) -> list[tuple[str, Decades]]:
    """Return what has a panel by name: the product first, then the tests."""
    named = [("the product", metrics["product"]["flicker"])]
    named += [(test["name"], test["flicker"]) for test in metrics["tests"]]
    return [(name, decades) for name, decades in named if decades]


def flicker_by_decade(metrics: Mapping[str, Any], path: str | Path) -> None:
    """Draw the share of changes that are undone within three years, by decade.

    One panel for the product where its flicker is known, and one for each test: a bar of the
    predicted maps beside one of the observed maps, lighter where these are of other years.

    Parameters
    ----------
    metrics : mapping
        `EvaluationReport.to_dict()`, or what metrics.json holds.
    path : path
        Picture to write.

    Raises
    ------
    ValueError
        If the metrics hold no flicker.
    """
    panels = flicker_panels(metrics)
    if not panels:
        raise ValueError(
            "the metrics hold no flicker, expected that of at least four years in a row; run "
            "luray evaluate with longer tests"
        )
    figure = new_figure(0.4 + PANEL_WIDTH * len(panels), 1.5 + PANEL_HEIGHT)
    for column, (name, decades) in enumerate(panels):
        left = 0.75 + column * PANEL_WIDTH
        axes = axes_at(figure, left, 0.75, PANEL_WIDTH - 0.85, PANEL_HEIGHT)
        _draw_flicker(axes, decades)
        text_at(figure, left, figure.get_figheight() - 0.36, name, size=12, weight="bold")
    footnote(figure, metrics["caveats"], left=0.75)
    save(figure, path)


def _draw_flicker(axes: Axes, decades: Decades) -> None:
    """Draw a pair of bars for each decade, and a dash where nothing changed."""
    places = np.arange(len(decades))
    predicted = _percent(decades, "predicted")
    observed = _percent(decades, "observed")
    axes.bar(places - 0.2, predicted, 0.4, color=ACCENT, label="predicted")
    bars = axes.bar(places + 0.2, observed, 0.4, color=INK, label="observed")
    # Pale where the observed maps are of other years than the predicted ones.
    for bar, decade in zip(bars, decades, strict=True):
        same_years = decade["observed_years"] == decade["years"]
        bar.set_alpha(0.75 if same_years else 0.3)

    # A dash tells "nothing changed" from "nothing was undone", which is a bar of no height.
    for shift, shares in ((-0.2, predicted), (0.2, observed)):
        for place in places[np.isnan(shares)]:
            axes.text(place + shift, 0, "–", ha="center", va="bottom", fontsize=8, color=MUTED)

    open_spines(axes)
    every = ceil_div(len(decades), MOST_NAMES)  # every how manyth decade has its name
    names = [f"{decade['years'][0] // 10 * 10}s" for decade in decades]
    axes.set_xticks(places[::every], names[::every])
    axes.set_xlim(-0.6, max(len(decades), 4) - 0.4)
    highest = np.nanmax([*predicted, *observed, 1])
    axes.set_ylim(0, 1.3 * highest)  # room for the legend
    axes.set_title("Changes undone within three years, %", loc="left", fontsize=9, color=INK, pad=5)
    axes.legend(frameon=False, fontsize=7, labelcolor=INK, handlelength=1.6, ncols=2)


def _percent(decades: Decades, maps: str) -> F64:
    """The share of each decade in percent, nan where nothing changed."""
    shares = [decade[maps] for decade in decades]
    return 100 * np.array([np.nan if share is None else share for share in shares])
