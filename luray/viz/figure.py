"""The look that all figures share: colours, places in inches, writing whole files."""

import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from luray.storage.objects import write_atomically

INK = "#22303c"
MUTED = "#6b7780"
RULE = "#cfd6db"
SHADE = "#eef1f3"
ACCENT = "#1f6f8b"
DPI = 150


def new_figure(width: float, height: float) -> Figure:
    """Return an empty white figure of a size in inches, without a window or pyplot's state."""
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def axes_at(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Add axes at a place given in inches from the lower left corner."""
    axes = figure.add_axes(place_in(figure, left, bottom, width, height))
    axes.tick_params(colors=MUTED, labelsize=8, length=3, width=0.6)
    for spine in axes.spines.values():
        spine.set(color=RULE, linewidth=0.8)
    return axes


def place_in(
    figure: Figure, left: float, bottom: float, width: float, height: float
) -> tuple[float, float, float, float]:
    """Return a place given in inches from the lower left corner as shares of the figure."""
    figure_width, figure_height = figure.get_size_inches()
    return (
        left / figure_width,
        bottom / figure_height,
        width / figure_width,
        height / figure_height,
    )


def open_spines(axes: Axes) -> None:
    """Leave the left and bottom spine only, with a light grid of y."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=RULE, linewidth=0.5)
    axes.set_axisbelow(True)


def legend_below(axes: Axes, *, ncols: int, top: float) -> None:
    """Put the legend below a chart, as within it there may be no free place.

    `top` is that of the legend, as a share of the axes' height: negative below them.
    """
    axes.legend(
        frameon=False,
        fontsize=7,
        labelcolor=INK,
        handlelength=2,
        ncols=ncols,
        loc="upper left",
        bbox_to_anchor=(-0.1, top),
        columnspacing=1,
    )


def text_at(
    figure: Figure,
    x: float,
    y: float,
    text: str,
    *,
    size: float = 9,
    colour: str = INK,
    weight: str = "normal",
    align: str = "left",
) -> None:
    """Write text whose baseline starts (or ends) at a place in inches."""
    width, height = figure.get_size_inches()
    figure.text(
        x / width,
        y / height,
        text,
        fontsize=size,
        color=colour,
        fontweight=weight,
        ha=align,
        va="baseline",
    )


def footnote(figure: Figure, caveats: Sequence[str], *, left: float) -> None:
    """Write the caveats in small type along the lower edge."""
    text_at(figure, left, 0.12, " · ".join(caveats), size=7, colour=MUTED)


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure whole or not at all; the extension says the format (png, pdf, svg)."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=Path(path).suffix.lstrip(".") or "png")
    write_atomically(str(path), buffer.getvalue())
